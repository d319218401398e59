"""Nothing of the examined repository is imported into the doctor's own process, however it is launched."""

import itertools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from opv2v_doctor.isolation import isolated_command

pytestmark = pytest.mark.slow
BIN = Path(sys.executable).parent
CHECKOUT = Path(__file__).parents[1]
EARLY = ("sitecustomize", "usercustomize")  # Python imports them before any line of ours
HIDING = (
    *("typing", "inspect", "dataclasses", "tomllib", "json", "datetime", "subprocess", "tempfile", "queue"),
    *(
        "rich",
        "typer",
        "click",
        "git",
        "yaml",
        "numpy",
        "pydantic",
        "jinja2",
        "packaging",
        "pandas",
        "theirs",
    ),
)
METHODS = {
    "module": (sys.executable, "-m", "opv2v_doctor"),
    "code": (sys.executable, "-c", "from opv2v_doctor.cli import main; main()"),
    "script": (str(BIN / "opv2v-doctor"),),
    "isolated module": (sys.executable, "-I", "-m", "opv2v_doctor"),
}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A training repository with a file for each name that could hide a module, and an entry point."""
    path = tmp_path / "repository"
    (path / "scripts").mkdir(parents=True)
    (path / "scripts" / "train.py").write_text("")
    for name in (*HIDING, *EARLY):
        (path / f"{name}.py").write_text(f"open({str(tmp_path / name)!r}, 'w').close()\nCHECKS = ()\n")
    package = path / "theirs-1.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1\n")
    (package / "entry_points.txt").write_text("[opv2v_doctor.checks]\ntheirs = theirs:CHECKS\n")
    return path


def ran(repository: Path) -> set[str]:
    """The modules of the repository that were executed."""
    return {path.name for path in repository.parent.iterdir() if path.name in (*HIDING, *EARLY)}


def launched(
    command: tuple[str, ...], *words: object, cwd: Path, **env: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*command, *map(str, words)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **env},
        check=False,
    )


PATHS = ("", ".", ":/nowhere", "{repository}")
BY_DAY = [*zip(METHODS, ("{repository}", ".", ":/nowhere", "{repository}"), strict=True)]


@pytest.mark.parametrize(
    ("method", "paths"),
    [
        pytest.param(*each, marks=[] if each in BY_DAY or not each[1] else pytest.mark.nightly)
        for each in itertools.product(METHODS, PATHS)
    ],
)
def test_no_module_of_the_repository_is_imported(method: str, paths: str, repository: Path) -> None:
    env = {"PYTHONPATH": paths.format(repository=repository)}
    listed = launched(METHODS[method], "list", cwd=repository, **env)
    examined = launched(METHODS[method], "check", "ENV004", "--format", "json", cwd=repository, **env)
    assert (listed.returncode, "ENV001" in listed.stdout) == (0, True), listed.stderr
    assert json.loads(examined.stdout)["results"]
    allowed = set(EARLY) if paths and method != "isolated module" else set()
    assert ran(repository) <= allowed


def test_an_audit_and_its_workers_import_nothing_of_the_working_directory(
    healthy: Path, repository: Path
) -> None:
    for name in ("multiprocessing", "pickle", "concurrent"):
        (repository / f"{name}.py").write_text(f"open({str(repository.parent / 'json')!r}, 'w').close()\n")
    audited = launched(
        METHODS["module"], "audit", healthy / "data" / "OPV2V", "--workers", "2", cwd=repository
    )
    assert audited.returncode in (0, 1), audited.stderr
    assert ran(repository) == set()


def test_the_training_interpreter_gets_what_the_shell_said(repository: Path, tmp_path: Path) -> None:
    interpreter = tmp_path / "python"
    interpreter.write_text(
        f'#!/bin/sh\necho "$PYTHONPATH|$PYTHONHASHSEED|$PYTHONUSERBASE" > {tmp_path}/said\n'
    )
    interpreter.chmod(0o755)
    env = {"PYTHONPATH": "/elsewhere", "PYTHONHASHSEED": "7", "PYTHONUSERBASE": "/base"}
    launched(METHODS["module"], "check", "ENV001", "--python", interpreter, cwd=repository, **env)
    assert (tmp_path / "said").read_text() == f"{repository}:/elsewhere|7|/base\n"


STATE = (
    "import sys, json; f = sys.flags; print(json.dumps([f.optimize, f.dont_write_bytecode, f.bytes_warning, "
    "f.dev_mode, f.utf8_mode, f.quiet, sorted(set(sys.warnoptions)), sys.stdout.write_through, "
    "sys._xoptions.get('importtime')]))"
)


@pytest.mark.parametrize(
    ("options", "env"),
    [
        ((), {}),
        (("-O", "-B", "-q", "-u"), {}),
        (("-bb", "-W", "error::UserWarning", "-W", "ignore"), {}),
        (("-X", "dev", "-X", "utf8=0"), {}),
        ((), {"PYTHONOPTIMIZE": "2", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"}),
        ((), {"PYTHONWARNINGS": "error::UserWarning", "PYTHONDEVMODE": "1", "PYTHONUTF8": "1"}),
    ],
)
def test_options_outlive_the_restart(options: tuple[str, ...], env: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "state.py").write_text(STATE)
    place = str(tmp_path / "state.py")
    words = f"isolated_command({place!r})"
    again = f"import os; from opv2v_doctor.isolation import *; os.execv(sys.executable, {words})"
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    outputs = [
        subprocess.run(
            [sys.executable, *options, "-c", code],
            env={**clean, **env},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for code in (STATE, again)
    ]
    assert outputs[0] == outputs[1]


def test_an_isolated_word_list_names_this_interpreter() -> None:
    words = isolated_command("program.py")
    assert (words[0], words[-1]) == (sys.executable, "program.py")
    assert {"-E", "-P"} <= set(words)


def test_options_of_ours_are_seen_after_the_restart(repository: Path) -> None:
    refused = launched(METHODS["module"], "list", cwd=repository, PYTHONPATH=".", PYTHONOPTIMIZE="2")
    assert (refused.returncode, "python -OO" in refused.stderr) == (2, True)
    words = ("explain", "MSK002", "--lang", "zh")
    spoken = launched(METHODS["module"], *words, cwd=repository, PYTHONPATH=".", PYTHONIOENCODING="latin-1")
    assert (spoken.returncode, "\\u76f8\\u673a" in spoken.stdout) == (0, True)


def test_an_interpreter_that_drops_options_is_no_endless_loop(repository: Path, tmp_path: Path) -> None:
    wrapper = tmp_path / "wrapper"
    wrapper.write_text(f"#!/bin/sh\nexec {sys.executable} -m opv2v_doctor list\n")
    wrapper.chmod(0o755)
    code = f"import sys; sys.executable = {str(wrapper)!r}; from opv2v_doctor.cli import main; main()"
    refused = launched((sys.executable, "-c", code), "list", cwd=repository, PYTHONPATH=str(repository))
    assert refused.returncode == 3
    assert "does not start itself with -E -P" in refused.stderr


def test_a_user_site_that_somebody_moved_is_left_out(repository: Path, tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "venv", "--without-pip", "--system-site-packages", tmp_path / "venv"],
        check=True,
    )
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    here = next(Path(entry) for entry in sys.path if entry.endswith("site-packages"))
    site = tmp_path / "venv" / "lib" / version / "site-packages"
    (site / "ours.pth").write_text(f"import site; site.addsitedir({str(here)!r})\n")
    python = (str(tmp_path / "venv" / "bin" / "python"),)
    base = repository / "base" / "lib" / version / "site-packages"
    base.mkdir(parents=True)
    shutil.copytree(repository / "theirs-1.dist-info", base / "theirs-1.dist-info")
    shutil.copy(repository / "theirs.py", base)
    env = {"PYTHONUSERBASE": str(repository / "base")}
    code = "from importlib.metadata import entry_points as e; [p.load() for p in e(name='theirs')]"
    launched((*python, "-c", code), cwd=tmp_path, **env)
    assert ran(repository) == {"theirs"}  # the attack is one
    (tmp_path / "theirs").unlink()
    listed = launched((*python, "-m", "opv2v_doctor"), "list", cwd=tmp_path, **env)
    assert (listed.returncode, ran(repository)) == (0, set()), listed.stderr
