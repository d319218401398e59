"""The program among others: a file that goes while it is read, an audit that is killed, hostile names."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from opv2v_doctor.sandbox.scene import write_scene

torch = pytest.importorskip("torch", reason="no torch: make test")
DOCTOR = (sys.executable, "-m", "opv2v_doctor")
HOSTILE = "\x1b[2J\u202e\x9b2J"
FORMULA = "=cmd|' C calc'!A0"


def started(*words: object, **env: str) -> subprocess.Popen[str]:
    """In a process group of its own."""
    return subprocess.Popen(
        [*DOCTOR, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, **env},
    )


def doctor(*words: object, **env: str) -> subprocess.CompletedProcess[str]:
    command = [*DOCTOR, *map(str, words)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, env={**os.environ, **env}
    )


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that takes a while to read."""
    path = tmp_path_factory.mktemp("whole") / "checkpoint-1.pth"
    torch.save({"model": {f"w{n}": torch.zeros(1000, 1000) for n in range(40)}, "epoch": 1}, path)
    return path


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 3)


def replaced(path: Path) -> None:
    path.with_suffix(".new").write_bytes(os.urandom(9000))
    path.with_suffix(".new").rename(path)


def a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize("change", [Path.unlink, cut, replaced, a_pipe], ids=lambda change: change.__name__)
@pytest.mark.parametrize("seconds", [0.5, 1.0])
def test_a_checkpoint_that_goes_while_it_is_read_ends_in_an_answer(
    change: Callable[[Path], None], seconds: float, checkpoint: Path, tmp_path: Path
) -> None:
    path = Path(shutil.copy(checkpoint, tmp_path))
    with started("checkpoint", "--deep", path) as process:
        time.sleep(seconds)
        change(path)
        _, errors = process.communicate(timeout=60)
    assert process.returncode in (0, 1, 2)
    assert "Traceback" not in errors


def test_what_a_killed_audit_read_is_kept_and_the_next_one_goes_on(tmp_path: Path) -> None:
    root, cache = tmp_path / "data", tmp_path / "cache"
    write_scene(root, tmp_path / "depth", image_size=(96, 72), scenarios={"train": (3,)}, frames=6)
    shutil.rmtree(tmp_path / "depth")
    (root / "train" / "gone" / "1").mkdir(parents=True)
    (root / "train" / "gone" / "1" / "000001.yaml").write_text("x")
    words = ("audit", root, "--cache", cache, "--workers", 2)
    temporary = {"TMPDIR": str(tmp_path)}
    with started(*words, **temporary) as process:
        deadline = time.monotonic() + 60
        while not list(cache.glob("*-wal")) and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.3)
        process.send_signal(signal.SIGKILL)  # its workers are not asked
    shutil.rmtree(root / "train" / "gone")
    deadline = time.monotonic() + 30
    while _members(process.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not _members(process.pid), "workers outlive it"
    resumed = doctor(*words, **temporary)
    anew = doctor("audit", root, "--cache", tmp_path / "other", "--workers", 1, **temporary)
    assert (resumed.returncode, resumed.stderr) == (anew.returncode, "")
    assert resumed.stdout.splitlines()[-4:] == anew.stdout.splitlines()[-4:]
    assert not list(tmp_path.glob("opv2v-doctor-*"))


def _members(group: int) -> list[str]:
    """The living processes of a process group."""
    found = []
    for place in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, of = place.read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        found += [place.parent.name] if int(of) == group and state != "Z" else []
    return found


@pytest.mark.parametrize(
    "encodings",
    [
        pytest.param(("utf-8", "ascii"), id="in turns"),
        pytest.param(("utf-8",), id="utf-8", marks=pytest.mark.nightly),
        pytest.param(("ascii",), id="ascii", marks=pytest.mark.nightly),
    ],
)
def test_names_command_neither_a_terminal_nor_a_spreadsheet(
    encodings: tuple[str, ...], tmp_path: Path
) -> None:
    scenario = tmp_path / "data" / "train" / f"{FORMULA}{HOSTILE}" / "-1"
    scenario.mkdir(parents=True)
    (scenario / "000069.yaml").write_text("x")
    run = tmp_path / f"{FORMULA}{HOSTILE}\nfinished passed" / "run"
    run.mkdir(parents=True)
    log = Path(__file__).parents[1] / "corpus" / "logs" / "healthy_detr.log"
    shutil.copy(log, run / "train.log")
    said_of = {}
    commands = (
        ("audit", tmp_path / "data", "--cache", tmp_path / "cache", "--format", "csv"),
        ("audit", tmp_path / "data", "--cache", tmp_path / "cache"),
        ("runs", "list", tmp_path),
        ("log", run / "train.log", "--format", "csv"),
        ("log", run / "train.log"),
        ("checkpoint", run),
        ("runs", "show", run),
    )
    for number, words in enumerate(commands):
        done = doctor(*words, PYTHONIOENCODING=encodings[number % len(encodings)])
        said_of[words] = done.stdout
        said = done.stdout + done.stderr
        strange = {letter for letter in said if not letter.isprintable()} - {"\n"}
        assert not strange, words
        if words[-1] == "csv":
            cells = [cell.strip('"') for line in done.stdout.splitlines() for cell in line.split(",")]
            assert not [cell for cell in cells if cell.startswith(("=", "+", "@"))]
    table = said_of[commands[0]]
    assert ",'=cmd|" in table  # said as text
    assert ",-1," in table  # the agent's number stays a number


def test_a_run_with_a_line_break_in_its_name_is_one_row(tmp_path: Path) -> None:
    (tmp_path / "a\n2026-01-01 00:00  finished  passed" / "run").mkdir(parents=True)
    (tmp_path / "a\n2026-01-01 00:00  finished  passed" / "run" / "run.json").write_text("{")
    done = doctor("runs", "list", tmp_path)
    assert len(done.stdout.splitlines()) == 3
    assert len(done.stderr.splitlines()) == 1


def test_what_libraries_say_of_damaged_pictures_stays_in_the_report(tmp_path: Path) -> None:
    write_scene(
        tmp_path / "data", tmp_path / "depth", image_size=(96, 72), scenarios={"train": (1,)}, frames=1
    )
    for number, path in enumerate(sorted((tmp_path / "data").rglob("*.png"))):
        content = bytearray(path.read_bytes())
        content[60 if number else 12] ^= 0xFF
        path.write_bytes(content)
    for workers in (1, 2):
        done = doctor("audit", tmp_path / "data", "--cache", tmp_path / f"{workers}", "--workers", workers)
        assert (done.returncode, done.stderr) == (1, "")
        assert "wrong checksum" in done.stdout
