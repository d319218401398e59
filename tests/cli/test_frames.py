"""`preview --data` and refusals: what works where no MapAnything training is."""

import json
import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from opv2v_doctor.cli.program import app
from opv2v_doctor.figures.frame_page import with_points
from opv2v_doctor.geometry.cameras import Pinhole
from opv2v_doctor.recognition import recognised, refusal
from opv2v_doctor.sandbox import write_scene
from opv2v_doctor.target import make_target
from opv2v_doctor.user_error import UsageError


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of two agents, one of them a roadside unit, images as .jpg, beside another repository."""
    repo = tmp_path_factory.mktemp("OpenCOOD")
    for name in ("opencood/tools/train.py", "opencood/logs/run/net_epoch1.pth"):
        (repo / name).parent.mkdir(parents=True, exist_ok=True)
        (repo / name).write_text("import torch\n")
    root = repo / "dataset/OPV2V"
    write_scene(root, repo / "depth", image_size=(80, 60), scenarios={"validate": (2,)}, frames=2)
    for path in root.rglob("*_camera?.png"):
        picture = cv2.imread(str(path))
        assert picture is not None
        cv2.imwrite(str(path.with_suffix(".jpg")), picture)
        path.unlink()
    agents = sorted(path for path in root.glob("validate/*/*") if path.is_dir())
    agents[-1].rename(agents[-1].with_name("-1"))
    return repo


def preview(*words: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["preview", *map(str, words)], catch_exceptions=True)
    said = done.output if not isinstance(done.exception, UsageError) else str(done.exception)
    return done.exit_code, said


def test_a_frame_is_shown_from_its_files_alone(scene: Path, tmp_path: Path) -> None:
    code, said = preview("--data", scene / "dataset/OPV2V", "--index", 1, "--output", tmp_path / "page")
    assert code == 0
    assert "000071, 1 of 2: 2 agents" in said and "agent -1:" in said
    assert "4 cameras see 0.8" in said
    page = (tmp_path / "page/preview.html").read_text()
    assert page.count("data:image/jpeg") == 6
    names = json.loads((tmp_path / "page/summary.json").read_text())["files"]
    assert {Path(name).suffix for name in names} == {".html", ".png"}
    panorama, lidar = (
        cv2.imread(str(next((tmp_path / "page").glob(f"view0_*_{name}.png"))))
        for name in ("panorama", "lidar")
    )
    assert panorama is not None and lidar is not None
    assert panorama.shape == (252, 1008, 3)
    assert (panorama != lidar).any(-1).sum() > 100
    assert preview("--data", scene / "dataset/OPV2V", "--output", tmp_path / "page")[0] == 0  # it is ours


def test_an_agent_of_lidar_alone_is_shown_so(scene: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(scene / "dataset/OPV2V", tmp_path / "data"))
    for path in root.rglob("-1/*.jpg"):
        path.unlink()
    code, said = preview("--data", root, "--output", tmp_path / "page")
    assert code == 0
    assert "agent -1:" in said and "no camera" in said
    assert not list((tmp_path / "page").glob("view0_agent-1_cameras.png"))
    assert list((tmp_path / "page").glob("view0_agent-1_lidar.png"))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--data", "dataset/OPV2V/validate"], "give "),
        (["--data", "dataset/nowhere"], "no such folder"),
        (["--data", "dataset/OPV2V", "--index", "2"], "2 frames, counted from 0"),
        (["--data", "dataset/OPV2V", "--split", "train"], "unknown split 'train'"),
        (["--data", "opencood"], "give the folder that holds"),
    ],
)
def test_what_is_not_there_is_said(
    scene: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], told: str
) -> None:
    monkeypatch.chdir(scene)
    code, said = preview(*words)
    assert code != 0
    assert told in said


def test_nothing_is_written_into_the_dataset(scene: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = scene / "dataset/OPV2V"
    monkeypatch.chdir(root)
    before = set(root.rglob("*"))
    assert preview("--data", ".")[0] == 0
    assert set(root.rglob("*")) == before
    assert list((scene / "dataset/OPV2V_preview").glob("validate_*_000069/preview.html"))


def test_the_nearest_point_is_on_top() -> None:
    camera = Pinhole(np.array([[10.0, 0, 5], [0, 10, 5], [0, 0, 1]]), 10, 10)
    black = np.zeros((10, 10, 3), np.uint8)
    near, far = np.array([[0.0, 0, 3]]), np.array([[0.0, 0, 50]])
    only_near = with_points(black, camera, near)
    assert (only_near != 0).any(-1).sum() == 1
    assert (with_points(black, camera, np.concatenate([near, far])) == only_near).all()
    assert (with_points(black, camera, np.array([[0.0, 0, -3], [99, 0, 1]])) == 0).all()


def test_a_refusal_names_what_is_there_and_what_works(scene: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(scene)
    with pytest.raises(UsageError) as raised:
        make_target()
    said = str(raised.value)
    assert f"{scene} is OpenCOOD (opencood/tools/train.py)" in said
    for command in (
        "opv2v-doctor audit dataset/OPV2V",
        "opv2v-doctor preview --data dataset/OPV2V",
        "opv2v-doctor log FILE",
        "opv2v-doctor checkpoint opencood/logs/run/net_epoch1.pth",
    ):
        assert command in said


@pytest.mark.parametrize(
    ("evidence", "name"),
    [
        ("opencood/tools/heal_tools.py", "HEAL"),
        ("opencood/tools/pose_graph_pre_calc.py", "CoAlign"),
        ("dust3r/training.py", "DUSt3R"),
        ("mapanything/model.py", None),
        ("src/train.py", None),
    ],
)
def test_repositories_are_recognised_by_what_they_alone_have(
    tmp_path: Path, evidence: str, name: str | None
) -> None:
    for path in (evidence, "opencood/tools/train.py") if evidence.startswith("opencood") else (evidence,):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    kind = recognised(tmp_path)
    assert (kind.name if kind else None) == name
    assert ("is not a training repository: it lacks x (y)" in refusal(tmp_path, "it lacks x", "y")) == (
        not kind
    )


def test_a_script_of_another_kind_is_refused_and_one_of_hydra_is_not(tmp_path: Path) -> None:
    for path in ("dust3r/training.py", "scripts/train.py"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("import argparse\n")
    with pytest.raises(UsageError, match="is DUSt3R"):
        make_target(repo=tmp_path)
    (tmp_path / "scripts/train.py").write_text("import hydra\n")
    assert make_target(repo=tmp_path).repo == Path(os.path.realpath(tmp_path))


def test_frames_are_recorded_for_rerun(scene: Path, tmp_path: Path) -> None:
    pytest.importorskip("rerun", reason="no rerun: pip install rerun-sdk")
    words = ("--data", scene / "dataset/OPV2V", "--index", "0:2", "--output", tmp_path / "pages")
    code, said = preview(*words, "--rrd", tmp_path / "frames.rrd")
    assert code == 0
    assert f"{tmp_path / 'frames.rrd'}: 2 frames" in said
    assert (tmp_path / "frames.rrd").stat().st_size > 10_000


def test_a_frame_s_page_is_told_in_chinese(scene: Path, tmp_path: Path) -> None:
    assert preview("--data", scene / "dataset/OPV2V", "--lang", "zh", "--output", tmp_path / "page")[0] == 0
    page = (tmp_path / "page/preview.html").read_text()
    assert '<html lang="zh">' in page
    summary = json.loads((tmp_path / "page/summary.json").read_text())
    assert any("cameras see" in said for said in summary["views"][0]["told"])  # what programs read is English
