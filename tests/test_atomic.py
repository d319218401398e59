"""Tests that files are written whole or not at all, also where there is no room."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from opv2v_doctor.atomic import NotWritten, write, write_all

FULL = """
import resource, sys
from pathlib import Path
from opv2v_doctor.atomic import NotWritten, write_all
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    write_all(Path(sys.argv[1]), {"small": b"new", "large": b"x" * 5000})
except NotWritten as problem:
    print(problem)
"""


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    write(tmp_path / "a", b"one")
    write(tmp_path / "a", b"two")
    assert (tmp_path / "a").read_bytes() == b"two"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_without_room_nothing_is_left_of_all_files(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FULL, tmp_path], capture_output=True, text=True, check=True)
    assert "no room" in done.stdout and "large" in done.stdout
    assert list(tmp_path.iterdir()) == []
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 1000


def test_a_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(NotWritten, match="cannot be written"):
        write(tmp_path / "a", b"two")
    assert (tmp_path / "a").is_dir()
    with pytest.raises(NotWritten):
        write_all(tmp_path / "absent", {"b": b"x"})
