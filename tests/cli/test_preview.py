"""The command `preview`: the sample that training gets, on a page, or the reason why there is none."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from opv2v_doctor.cli.preview import indices_of, show_samples
from opv2v_doctor.facts.samples.draws import samples
from opv2v_doctor.target import make_target
from opv2v_doctor.user_error import UsageError


def preview(repo: Path, split: str, output: Path | None, **words: Any) -> int:
    asked = {"index": None, "random": 0, "seed": 0, **words}
    return show_samples(make_target(repo=repo, splits=(split,)), output=output, **asked)


def summary(folder: Path) -> Any:
    return json.loads((folder / "summary.json").read_text())


def test_the_sample_is_the_one_that_training_gets(healthy: Path, tmp_path: Path) -> None:
    drawn = samples(make_target(repo=healthy), "train")
    most = next(each for each in drawn.samples if each.requested == max(drawn.view_counts) and each.key[0])
    assert preview(healthy, "train", tmp_path / "page", index=most.key[0]) == 0
    found = summary(tmp_path / "page")
    assert (tuple(found["key"]), found["length"]) == (most.key, drawn.length)
    assert [view["agent"] for view in found["views"]] == [view.identity.agent for view in most.views]
    for view, expected in zip(found["views"], most.views, strict=True):
        mask = np.load(tmp_path / "page" / f"{view['files']}_non_ambiguous_mask.npy")
        depth = np.load(tmp_path / "page" / f"{view['files']}_depth.npy")
        assert mask.mean() == pytest.approx(expected.mask_mean)
        assert expected.depth is not None
        assert depth.max() == pytest.approx(expected.depth.maximum)
        assert view["normalisation"] == {
            "name": "dinov2",
            "rule": "mapanything.utils.image.NORMALIZATIONS['dinov2']",
        }


def test_a_healthy_sample_is_like_its_reference(
    healthy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert preview(healthy, "val", tmp_path) == 0
    said = capsys.readouterr().out
    assert str(tmp_path / "preview.html") in said
    assert "scp " in said
    assert "the rig sees" not in said
    for view in summary(tmp_path)["views"]:
        assert view["mask_mean"] == pytest.approx(view["rig_coverage"], abs=0.01)


def test_a_range_is_a_set_that_one_can_walk_through(healthy: Path, tmp_path: Path) -> None:
    assert preview(healthy, "val", tmp_path, index=indices_of("4:20")) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["index.html", "val_4", "val_5"]
    index = (tmp_path / "index.html").read_text()
    assert re.findall(r'<a href="([^"]*)"', index) == ["val_4/preview.html", "val_5/preview.html"]
    assert index.count("data:image/jpeg") >= 4 and "0 of them not as the files show" in index
    first = (tmp_path / "val_4" / "preview.html").read_text()
    assert re.findall(r'<a href="(\.\.[^"]*)"', first) == ["../val_5/preview.html", "../index.html"]


@pytest.mark.parametrize("word", ["-1", "3:3", "5:2", "0:1000000", "1:", "all"])
def test_an_index_that_means_nothing_is_wrong_usage(word: str) -> None:
    with pytest.raises(UsageError, match="--index"):
        indices_of(word)


def test_an_index_beyond_the_end_is_wrong_usage(healthy: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has 6 samples, 0 to 5"):
        preview(healthy, "val", tmp_path / "page", index=6)
    with pytest.raises(UsageError, match="choose one"):
        preview(healthy, "val", tmp_path / "page", index=1, random=2)
    with pytest.raises(UsageError, match="unknown split"):
        preview(healthy, "holdout", tmp_path / "page")
    assert not (tmp_path / "page").exists()


def test_the_same_seed_draws_the_same_samples(healthy: Path, tmp_path: Path) -> None:
    for folder in ("one", "two"):
        assert preview(healthy, "train", tmp_path / folder, random=2, seed=7) == 0
    one, two = ({each.name for each in (tmp_path / folder).glob("*/")} for folder in ("one", "two"))
    assert one == two
    assert len(one) == 2


def test_nothing_is_written_into_the_examined_repository(
    healthy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = set(healthy.iterdir())
    monkeypatch.chdir(tmp_path)
    assert preview(healthy, "val", None) == 0
    assert (tmp_path / "preview" / "val_0" / "preview.html").is_file()
    monkeypatch.chdir(healthy)
    assert preview(healthy, "val", None) == 0
    assert (healthy.parent / f"{healthy.name}_preview" / "val_0" / "preview.html").is_file()
    assert set(healthy.iterdir()) == before


def test_a_crop_is_named_and_a_failure_is_no_page(
    broken: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    repo = broken("cropped_before_stitching")
    assert preview(repo, "val", tmp_path / "val") == 0
    assert "images cropped to 256:64 before stitching" in capsys.readouterr().out
    for path in (repo / "data").glob("OPV2V/test/*/*/*_camera1.png"):
        path.write_bytes(b"")
    assert preview(repo, "test", tmp_path / "test") == 3
    assert "could not be drawn" in capsys.readouterr().out
    assert not (tmp_path / "test").exists()


def test_help_knows_the_options() -> None:
    import typer

    from opv2v_doctor.cli.preview import preview as command

    app = typer.Typer(rich_markup_mode=None)
    app.command()(command)
    said = CliRunner().invoke(app, ["--help"]).output
    assert all(word in said for word in ("--index", "--random", "--seed", "--output", "--split"))
