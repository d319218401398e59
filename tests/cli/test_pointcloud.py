"""The command `pointcloud` on the trained embedded repository, and the words that it refuses."""

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from opv2v_doctor.cli.pointcloud import pointcloud
from opv2v_doctor.user_error import UsageError

RUN = Path("experiments", "opv2v_cyl_coop")


def command(*words: object) -> tuple[int, str]:
    """Exit code and output. Whatever else the command raises is a failure."""
    app = typer.Typer()
    app.command()(pointcloud)
    ran = CliRunner().invoke(app, [str(word) for word in words])
    if ran.exception and not isinstance(ran.exception, SystemExit):
        raise ran.exception
    return ran.exit_code, ran.output


@pytest.fixture(scope="module")
def output(healthy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one call wrote: noisy poses are given to the model, and place the points."""
    place = tmp_path_factory.mktemp("pointcloud") / "new"
    code, words = command(
        *("--repo", healthy, "--run", healthy / RUN, "--output", place, "--split", "val", "--index", 1),
        *("--pose-input", "noisy", "--noise", "2,5", "--pose-source", "input", "--compare", "--points", 5000),
    )
    assert code == 0, words
    assert "given noisy poses: that moves its points by" in words
    return place


def summary(place: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((place / "summary.json").read_text(encoding="utf-8"))
    return found


def test_page_pictures_tensors_and_cloud_are_written(output: Path) -> None:
    names = {path.name for path in output.iterdir()}
    assert {"summary.json", "tensors", "val_1_pointcloud.html", "val_1_pointcloud.ply"} <= names
    for agent in summary(output)["agents"]:
        assert {f"agent_{agent}_{kind}.png" for kind in ("cloud", "depth", "mask")} <= names
        assert (output / "tensors" / f"agent_{agent}_input_pose.npy").is_file()


def test_the_summary_tells_errors_inputs_and_counts(output: Path) -> None:
    found = summary(output)
    total = found["total"]
    assert found["inputs"]["poses"] == "noisy" and found["inputs"]["effect"] > 0
    assert found["inputs"]["noise"] == {"metres": 2, "degrees": 5}
    assert "camera_poses" in found["inputs"]["keys"] and "depth_z" not in found["inputs"]["keys"]
    assert found["render"]["pose_source"] == "input"
    assert total["pred_mask_mean"] == pytest.approx(total["gt_mask_mean"], abs=0.1)
    assert total["pose_rmse"] > 0 and total["point_rmse"]["of_itself"] < 1e-3
    assert total["points"]["lidar"] > 0 and total["points"]["drawn"] <= 5000
    assert all(part["loaded"] == part["elements"] for part in found["weights"].values())
    assert found["views"][0]["pose"]["error_metres"] == 0


def test_the_run_directory_stays_as_it_was(output: Path, healthy: Path) -> None:
    assert not (healthy / RUN / "eval_runs").exists()
    assert not (healthy / "pointcloud").exists()


def test_another_sample_of_the_same_run_goes_where_the_command_was_given(
    output: Path, healthy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, words = command("--repo", healthy, "--run", healthy / RUN, "--depth-source", "lidar")
    assert code == 0, words
    (place,) = [path for path in (tmp_path / "pointcloud").iterdir() if path.is_dir()]
    assert (tmp_path / "pointcloud" / ".gitignore").read_text() == "*\n"
    assert place.name == "opv2v_cyl_coop_checkpoint-best_val_0"
    assert summary(place)["inputs"] == {
        "keys": ["camera_model", "data_norm_type", "img"],
        "poses": "none",
        "depth": "none",
        "noise": None,
        "effect": None,
    }


def test_an_index_that_is_not_there_is_a_wrong_word(output: Path, healthy: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--split val --index 999"):
        command("--repo", healthy, "--run", healthy / RUN, "--index", 999, "--output", tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--pose-source", "input"), "--pose-input"),
        (("--noise", "1"), "--noise"),
        (("--noise", "1,nan"), "--noise"),
        (("--camera-eye", "1,2"), "--camera-eye"),
        (("--camera-center", "1,2,3"), "--camera-eye"),
        (("--camera-eye", "0,0,0"), "no direction"),
        (("--output", "."), "not empty"),
        (("--checkpoint", "nowhere.pth"), "nowhere.pth"),
        (("--split", "vall"), "did you mean 'val'"),
        (("--split", "val", "--split", "test"), "one split"),
    ],
)
def test_a_wrong_word_is_named(words: tuple[str, ...], named: str, healthy: Path) -> None:
    with pytest.raises(UsageError, match=named):
        command("--repo", healthy, "--run", healthy / RUN, *words)
