"""The program where something is missing: git, a name, a folder, a terminal; what it says is one line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from opv2v_doctor.cli.streams import user

pytestmark = pytest.mark.slow
LONG = "x" * 300  # no file system takes such a name


def doctor(*words: object, flags: tuple[str, ...] = (), **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *flags, "-m", "opv2v_doctor", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **env},
        check=False,
    )


def test_who_has_no_name_here_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 3_999_999_999)  # of no passwd entry
    assert user() == "3999999999"


def test_demo_without_git_writes_nothing(tmp_path: Path) -> None:
    refused = doctor("demo", tmp_path / "demo", PATH=str(tmp_path))
    assert (refused.returncode, "demo needs git" in refused.stderr) == (2, True)
    assert not (tmp_path / "demo").exists()


@pytest.mark.parametrize("module", ["torch", "hydra", "tensorboard"])
def test_demo_without_what_its_repository_runs_on_names_the_extra(tmp_path: Path, module: str) -> None:
    hidden = f"import sys; sys.modules['{module}'] = None; from opv2v_doctor.cli import main; main()"
    command = [sys.executable, "-c", hidden, "demo", str(tmp_path / "demo")]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    (line,) = refused.stderr.splitlines()
    assert refused.returncode == 2
    told = f"needs {module}: name an interpreter with --python, or pip install 'opv2v-doctor[demo]'"
    assert told in line
    assert not (tmp_path / "demo").exists()


def test_a_demo_that_cannot_be_trained_says_why(tmp_path: Path) -> None:
    # The doctor does not listen to PYTHONHASHSEED here, the training does.
    failed = doctor("demo", tmp_path / "demo", flags=("-E",), PYTHONHASHSEED="nonsense")
    assert failed.returncode == 3
    assert "make_pretrained.py" in failed.stderr
    assert "PYTHONHASHSEED must be" in failed.stderr
    assert "Traceback" not in failed.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("log", "{healthy}/experiments", "--format", "html", "--output", "{tmp}/missing/log.html"),
        ("log", "{healthy}/experiments", "--format", "csv", "--output", "{tmp}"),
        ("log", "{healthy}/experiments", "--format", "html", "--output", f"{LONG}.html"),
        ("log", LONG),
        ("run-all", "--repo", "{healthy}", "--output", f"{LONG}.json"),
        ("run-all", "--repo", "{healthy}", "--run", LONG),
        ("smoke", "--repo", "{healthy}", "--output", "{tmp}/missing/smoke.json"),
        ("audit", "{healthy}/data/OPV2V", "--output", "{tmp}/missing/audit.json"),
        ("init", LONG),
        ("demo", LONG),
        ("serve", LONG),
        ("list", "--repo", "{tmp}/missing"),
        ("explain", "CFG006", "--repo", "{tmp}/missing"),
    ],
    ids=lambda words: f"{words[0]} {words[-1][-12:]}",
)
def test_a_place_that_cannot_be_is_refused_at_once(
    words: tuple[str, ...], healthy: Path, tmp_path: Path
) -> None:
    refused = doctor(*(word.format(healthy=healthy, tmp=tmp_path) for word in words))
    assert refused.returncode == 2
    assert refused.stdout == ""
    assert refused.stderr.startswith("opv2v-doctor: ")
    assert len(refused.stderr.splitlines()) == 1


def test_a_pipe_gets_no_progress_bar_whatever_colours_are_forced(healthy: Path) -> None:
    ended = doctor("check", "CFG006", "--repo", healthy, FORCE_COLOR="1")
    assert (ended.returncode, ended.stderr) == (0, "")


def test_without_docstrings_there_are_no_pages() -> None:
    refused = doctor("list", PYTHONOPTIMIZE="2")
    assert (refused.returncode, "python -OO" in refused.stderr) == (2, True)


@pytest.mark.parametrize(
    "words",
    [
        *("list", "run-all", "check CFG006", "explain CFG006", "init", "trust", "train", "infer", "smoke"),
        *("preview", "pointcloud", "audit", "audit .", "demo x", "serve .", "log -", "log x", "checkpoint x"),
        *("runs list", "runs list .", "runs show .", "runs adopt .", "schema"),
    ],
)
def test_a_working_directory_that_was_removed_is_said_in_one_line(words: str, tmp_path: Path) -> None:
    script = f"cd '{tmp_path}' && rmdir '{tmp_path}' && exec {sys.executable} -m opv2v_doctor {words}"
    refused = subprocess.run(
        ["bash", "-c", script],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (refused.returncode, refused.stdout) == (2, "")
    (line,) = refused.stderr.splitlines()
    assert line.startswith("opv2v-doctor: the working directory was removed")
