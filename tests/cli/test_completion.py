"""Completion in bash and zsh, as the shells ask for it: real calls of the program."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from opv2v_doctor.audit.verdicts import VERDICTS
from opv2v_doctor.cli import completion
from opv2v_doctor.diagnosis import CHECKS as DIAGNOSIS
from opv2v_doctor.registry import installed_checks
from opv2v_doctor.sandbox import FAULTS
from opv2v_doctor.smoke import CHECKS as SMOKE

COMPLETE = "_OPV2V_DOCTOR_COMPLETE"
PROGRAM = "opv2v-doctor"


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As much of a training repository as completion looks at."""
    folder = tmp_path_factory.mktemp("repo")
    for name in ("dataset/one.yaml", "dataset/other.yaml", "model/one.yaml", "train.yaml"):
        (folder / "settings" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "settings" / name).touch()
    (folder / "scripts").mkdir()
    (folder / "scripts/train.py").write_text('@hydra.main(version_base=None, config_path="../settings")\n')
    (folder / "experiments/first").mkdir(parents=True)
    (folder / "experiments/first/run.json").touch()
    (folder / "data/no_run").mkdir(parents=True)
    (folder / "data/no_run/train.log").touch()
    return folder


def asked(repo: Path, **env: str) -> str:
    """What the program answers to a shell."""
    ran = subprocess.run(
        [sys.executable, "-c", "from opv2v_doctor.cli import main; main()"],
        capture_output=True,
        text=True,
        env={**os.environ, **env},
        cwd=repo,
        check=False,
    )
    assert ran.stderr == ""
    return ran.stdout


def in_bash(repo: Path, *words: str) -> list[str]:
    """The replies to a TAB behind these words, the last of which is begun; bash splits words at `=`."""
    said = " ".join([PROGRAM, *words])
    return asked(
        repo, COMP_WORDS=said, COMP_CWORD=str(len(words)), **{COMPLETE: "complete_bash"}
    ).splitlines()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["check", "MSK00"], [f"MSK00{number}" for number in range(1, 7)]),
        (["check", "geom"], ["geometry"]),
        (["check", "masks", "--split", "v"], ["val"]),
        (["demo", "--fault", "eval_sets"], ["eval_sets_share_a_key"]),
        (["runs", "show", "exp"], ["experiments/first"]),
        (["train", "--resume", "exp"], ["experiments/first"]),
        (["run-all", "da"], ["dataset=one", "dataset=other"]),
        (["run-all", "dataset", "="], ["one", "other"]),
        (["run-all", "dataset", "=", "ot"], ["other"]),
    ],
    ids=" ".join,
)
def test_bash_is_offered(words: list[str], expected: list[str], repo: Path) -> None:
    assert in_bash(repo, *words) == expected


def test_zsh_is_offered_whole_words(repo: Path) -> None:
    said = asked(repo, _TYPER_COMPLETE_ARGS=f"{PROGRAM} run-all dataset=o", **{COMPLETE: "complete_zsh"})
    assert "dataset=one" in said and "dataset=other" in said and "model" not in said


class Shell:
    """An interactive shell on a terminal of its own, which is typed into."""

    def __init__(self, home: Path, folder: Path, *words: str) -> None:
        self._process, self._terminal = pty.fork()
        if not self._process:
            path = f"{home}{os.pathsep}{os.environ['PATH']}"
            plain = {"HOME": str(home), "ZDOTDIR": str(home), "PATH": path, "TERM": "dumb", "PS1": "$ "}
            os.chdir(folder)
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 500, 0, 0))  # no prompt wraps a word
            os.execvpe(words[0], words, {**os.environ, **plain})

    def typed(self, text: str, until: str, seconds: float = 20) -> str:
        """What it shows after this was typed, as soon as what is waited for is there; without the bell."""
        os.write(self._terminal, text.encode())
        said, end = "", time.monotonic() + seconds
        while not re.search(until, said) and time.monotonic() < end:
            if select.select([self._terminal], [], [], 0.1)[0]:
                said += os.read(self._terminal, 1 << 16).decode(errors="replace").replace("\a", "")
        return said

    def close(self) -> None:
        os.kill(self._process, signal.SIGKILL)
        os.waitpid(self._process, 0)
        os.close(self._terminal)


@pytest.mark.parametrize(
    "words", [("bash", "--noprofile", "-i"), ("zsh", "-d", "-i")], ids=lambda words: str(words[0])
)
def test_a_shell_completes_what_is_typed(words: tuple[str, ...], repo: Path, tmp_path: Path) -> None:
    """The program installs its completion from that shell, and a new one answers to its first TAB."""
    if shutil.which(words[0]) is None:
        pytest.skip(f"no {words[0]}: apt-get install {words[0]}")
    program = tmp_path / PROGRAM
    program.write_text(f"#!{sys.executable} -P\nfrom opv2v_doctor.cli import main; main()\n")
    program.chmod(0o755)
    env = {**os.environ, "HOME": str(tmp_path), "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    line = f"{PROGRAM} --install-completion; true"  # so that it is the shell's child
    subprocess.run([words[0], "-c", line], check=True, env=env, capture_output=True)
    for begun, ended in (("check MSK", "check MSK00"), ("train dataset=ot", "train dataset=other")):
        shell = Shell(tmp_path, repo, *words)
        try:
            assert "here" in shell.typed("echo he're'\r", r"\nhere\r")
            assert ended in shell.typed(f"{PROGRAM} {begun}\t", ended)
        finally:
            shell.close()


def test_every_code_and_fault_is_offered() -> None:
    every = {check.code for check in (*installed_checks(), *SMOKE, *DIAGNOSIS, *VERDICTS)}
    assert every - set(completion.codes("")) <= {"PLG001"}  # what loads plugins is no file of the checklist
    assert set(completion.families("")) >= {check.family for check in installed_checks()} - {"plugins"}
    assert set(completion.faults("")) == set(FAULTS)


def test_completion_imports_nothing_heavy(repo: Path) -> None:
    code = (
        "import sys; from opv2v_doctor.cli.program import app\n"
        "try: app(prog_name='opv2v-doctor')\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'cv2', 'yaml', 'pandas', 'plotly'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    words = {"COMP_WORDS": f"{PROGRAM} check MSK", "COMP_CWORD": "2", COMPLETE: "complete_bash"}
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **words}, check=False
    )
    assert (ran.returncode, ran.stderr, "MSK001" in ran.stdout) == (0, "", True)
