"""Names that are no UTF-8, and data that are no files: they cost their row, not the answer."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from opv2v_doctor.cli.program import app

from .test_rasters import npy, png_bomb

BAD = os.fsdecode(b"b\xe9\xff")
RECORD = '{"schema": 1, "launches": [{"stamp": {}, "digest": "", "started": "2026-01-01T00:00:00+00:00"}]}'
FORMATS = ("text", "json", "markdown", "sarif", "junit", "csv", "github")
Build = Callable[..., Path]


def doctor(*words: object, codes: tuple[int, ...], **env: str) -> str:
    """What the program says; it ends with one of these codes, in time, without a traceback."""
    done = subprocess.run(
        [sys.executable, "-m", "opv2v_doctor", *map(str, words)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=150,
        env={**os.environ, **env},
        check=False,
    )
    said = done.stderr.decode(errors="replace")
    assert done.returncode in codes and "Traceback" not in said, (words, done.returncode, said[-2000:])
    return done.stdout.decode(errors="surrogateescape") + said


def written(output: Path, *words: object, code: int) -> str:
    """What the program writes into a file, called in this process: its streams are not the point."""
    ended = CliRunner().invoke(app, [*map(str, words), "--output", str(output)])
    assert ended.exit_code == code, (words, ended.output, ended.exception)
    return output.read_text(encoding="utf-8")


@pytest.fixture
def run(healthy: Path, tmp_path: Path) -> Path:
    """A run in a folder, of a name, with a log of a name that are no UTF-8."""
    place = tmp_path / f"runs{BAD}" / f"run{BAD}"
    shutil.copytree(healthy / "experiments" / "opv2v_cyl_coop", place)
    (place / "run.json").write_text(RECORD)
    (place / f"x{BAD}.log").write_bytes((place / "train.log").read_bytes())
    return place


def test_runs_of_such_names_are_listed_shown_and_judged(run: Path, tmp_path: Path) -> None:
    spelled = f"run{BAD}".encode("ascii", "backslashreplace").decode()
    for env in ({"LC_ALL": "C.UTF-8"}, {"LC_ALL": "C", "PYTHONIOENCODING": "ascii"}):
        said = doctor("runs", "list", run.parent, codes=(0,), **env)
        assert spelled in said and "interrupted" in said
    for words in (("show", run), ("verify", run), ("diff", run, run)):
        doctor("runs", *words, codes=(0, 1))
    doctor("log", run / f"x{BAD}.log", codes=(0,))
    for form in ("json", "html"):
        assert written(tmp_path / f"log.{form}", "log", run, "--format", form, code=0)


def test_a_dataset_of_such_names_is_audited(healthy: Path, tmp_path: Path) -> None:
    root = tmp_path / f"data{BAD}"
    shutil.copytree(healthy / "data" / "OPV2V", root)
    scenario = min((root / "train").iterdir())
    scenario = scenario.rename(scenario.with_name(scenario.name + BAD))
    image = min(scenario.glob("*/*_camera0.png"))
    image.rename(image.with_name(f"{BAD}.png"))
    for form in FORMATS:
        words = ("audit", root, "--workers", 1, "--cache", tmp_path / "c", "--format", form)
        assert written(tmp_path / f"audit.{form}", *words, code=1)
    again = doctor("audit", root, "--format", "csv", "--cache", tmp_path / "c", codes=(1,))
    assert f"{scenario.name.removesuffix(BAD)}b\\xe9\\xff" in again
    assert "cannot be read" not in again  # what is shown is found again on the disk


def pipe(path: Path) -> None:
    os.mkfifo(path)


def zero(path: Path) -> None:
    path.symlink_to("/dev/zero")


def bomb(path: Path) -> None:
    """A few bytes that claim to be billions of pixels, numbers, points or nodes."""
    levels = (f"c{n}: &c{n} [*c{n - 1}, *c{n - 1}, *c{n - 1}, *c{n - 1}]\n".encode() for n in range(1, 40))
    path.write_bytes(
        {
            ".png": png_bomb(65535, 65535),
            ".npy": npy("(1000000, 1000000)"),
            ".pcd": b"FIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nPOINTS 999999999999\nDATA binary\n",
            ".yaml": b"c0: &c0 [x]\n" + b"".join(levels),
        }[path.suffix]
    )


VICTIMS = (
    "data/OPV2V/train/**/*.png",
    "data/OPV2V/validate/**/*.yaml",
    "data/OPV2V/test/**/*.pcd",
    "data/**/*.npy",
)


@pytest.mark.parametrize(
    "makes",
    [
        pytest.param((pipe, zero, bomb), id="each"),
        *(pytest.param((make,), id=make.__name__, marks=pytest.mark.nightly) for make in (pipe, zero, bomb)),
    ],
)
def test_data_that_are_no_files_end_in_an_answer(
    makes: tuple[Callable[[Path], None], ...], broken: Build, tmp_path: Path
) -> None:
    repo = broken()
    for victims in VICTIMS:
        for number, path in enumerate(sorted(repo.glob(victims))):
            path.unlink()
            makes[number % len(makes)](path)
    said = doctor("check", "DAT", "MSK", "GEO", "--repo", repo, "--timeout", 6, codes=(1, 3))
    assert " crashed" not in said
    roots = repo / "data" / "OPV2V", "--depth", repo / "data" / "opv2v_depth"
    doctor("audit", *roots, "--cache", tmp_path / "cache", codes=(1,))
    page = tmp_path / "preview"
    doctor("preview", "--repo", repo, "--timeout", 6, "--output", page, codes=(0, 1, 2, 3))
