"""Scratch folders go with their process, also with one that was killed; those of the living stay."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from opv2v_doctor.scratch import LOCK, PREFIX, UNFINISHED

OWNER = "from opv2v_doctor.scratch import scratch_folder as s; print(s('x'), flush=True); import time; "
KILLED_AT_STEP = """import os, signal, sys; os.read(0, 1); steps = iter(range(1, 100))
sys.addaudithook(lambda event, _: event in ("os.remove", "os.rmdir", "os.rename")
    and next(steps) == {step} and os.kill(os.getpid(), signal.SIGKILL))
"""


def owner(place: Path, then: str) -> "subprocess.Popen[str]":
    """A process that makes a folder in the place."""
    env = {**os.environ, "TMPDIR": str(place)}
    return subprocess.Popen(
        [sys.executable, "-c", OWNER + then],
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def made(process: "subprocess.Popen[str]") -> Path:
    assert process.stdout is not None
    return Path(process.stdout.readline().strip())


def aged(folder: Path) -> None:
    """Made an hour ago."""
    os.utime(folder, (time.time() - 3600,) * 2)


def test_a_folder_goes_with_its_process(tmp_path: Path) -> None:
    with owner(tmp_path, "") as process:
        folder = made(process)
        assert folder.name.startswith(f"{PREFIX}x-")
    assert not folder.exists()


def test_a_killed_process_is_tidied_after_and_the_living_are_left_alone(tmp_path: Path) -> None:
    with owner(tmp_path, "time.sleep(60)") as killed, owner(tmp_path, "time.sleep(60)") as living:
        left, used = made(killed), made(living)
        strange = tmp_path / f"{PREFIX}of-an-older-version"
        strange.mkdir()
        killed.kill()
        killed.wait()
        for folder in (left, used, strange):
            assert folder.is_dir()
            aged(folder)
        with owner(tmp_path, "") as next_one:
            made(next_one)
        assert not left.exists()
        assert (used / LOCK).exists() and strange.exists()
        living.kill()


@pytest.mark.parametrize("step", range(1, 8))
def test_who_is_killed_while_it_removes_its_folder_is_tidied_after(step: int, tmp_path: Path) -> None:
    with owner(tmp_path, KILLED_AT_STEP.format(step=step)) as ends:
        folder = made(ends)
        (folder / "sub").mkdir()
        for name in ("one", "other", "sub/third"):
            (folder / name).touch()
        ends.communicate("now")
    assert ends.returncode == -signal.SIGKILL
    for left in tmp_path.iterdir():
        aged(left)
    with owner(tmp_path, "") as next_one:
        made(next_one)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_was_just_made_is_left_alone(tmp_path: Path) -> None:
    young, old, strange = (tmp_path / f"{UNFINISHED}{name}" for name in ("young", "old", "strange"))
    for folder in (young, old, strange):
        folder.mkdir()
        (folder / LOCK).touch()
    (strange / "somebody's").touch()
    aged(old)
    aged(strange)
    with owner(tmp_path, "") as process:
        made(process)
    assert (young.exists(), old.exists(), strange.exists()) == (True, False, True)


def doctor(place: Path, *words: object) -> "subprocess.Popen[str]":
    """A real doctor whose temporary files are in the place."""
    return subprocess.Popen(
        [sys.executable, "-m", "opv2v_doctor", *map(str, words)],
        env={**os.environ, "TMPDIR": str(place)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def folders(place: Path) -> set[Path]:
    return set(place.glob(f"{PREFIX}*"))


def new_folder(place: Path, before: set[Path]) -> Path:
    """The folder that a doctor made, once it is there."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if found := folders(place) - before:
            return found.pop()
        time.sleep(0.01)
    raise AssertionError("no folder was made")


def test_the_next_command_removes_what_a_killed_doctor_left(healthy: Path, tmp_path: Path) -> None:
    with doctor(tmp_path, "check", "CFG001", "--repo", healthy) as killed:
        new_folder(tmp_path, set())
        killed.kill()
    left = folders(tmp_path)
    assert left
    with doctor(tmp_path, "schema") as next_one:
        assert next_one.wait(60) == 0
    assert not folders(tmp_path)


def test_two_doctors_at_once_leave_each_others_folders_alone(healthy: Path, tmp_path: Path) -> None:
    """The first one stands still meanwhile: it lives, however little it does."""
    with doctor(tmp_path, "check", "CFG001", "--repo", healthy) as first:
        used = new_folder(tmp_path, set())
        first.send_signal(signal.SIGSTOP)
        before = folders(tmp_path)
        try:
            with doctor(tmp_path, "check", "CFG001", "--repo", healthy) as second:
                new_folder(tmp_path, before)
                assert second.wait(120) == 0
            assert folders(tmp_path) == before
            assert used in before
        finally:
            first.send_signal(signal.SIGCONT)
        assert first.wait(120) == 0
    assert not folders(tmp_path)
