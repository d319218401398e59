"""Scratch folders go with their process, also with one that was killed; those of the living stay."""

import os
import subprocess
import sys
import time
from pathlib import Path

from opv2v_doctor.scratch import LOCK, PREFIX, UNFINISHED

OWNER = "from opv2v_doctor.scratch import scratch_folder as s; print(s('x'), flush=True); import time; "


def owner(place: Path, then: str) -> "subprocess.Popen[str]":
    """A process that makes a folder in the place."""
    env = {**os.environ, "TMPDIR": str(place)}
    return subprocess.Popen([sys.executable, "-c", OWNER + then], env=env, stdout=subprocess.PIPE, text=True)


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
