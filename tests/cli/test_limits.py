"""Want of descriptors, memory or disk is told as that: in one line, or by a blocked check; exit code 3."""

import contextlib
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

KIB, MIB = 1 << 10, 1 << 20


def doctor(
    *words: object, limit: tuple[int, int] | None = None, **env: str
) -> subprocess.CompletedProcess[str]:
    """The program, under a limit of the kernel's."""
    bounded = f"import resource; resource.setrlimit({limit[0]}, ({limit[1]}, {limit[1]})); " if limit else ""
    return subprocess.run(
        [sys.executable, "-c", f"{bounded}from opv2v_doctor.cli import main; main()", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **env},
        check=False,
    )


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KiB."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(place)]
    with contextlib.suppress(FileNotFoundError):
        if subprocess.run(mount, capture_output=True, check=False).returncode == 0:
            yield place
            subprocess.run(["umount", place], check=True)
            return
    pytest.skip("no disk can be mounted here: run the tests as root")


def told(done: subprocess.CompletedProcess[str], words: str) -> None:
    """One line, exit code 3."""
    assert (done.returncode, done.stdout) == (3, ""), done.stderr
    (line,) = done.stderr.splitlines()
    assert words in line


@pytest.mark.parametrize("command", [["run-all", "--tier", "static"], ["list"], ["runs", "list"]])
def test_too_few_descriptors_are_told_at_once(command: list[str], healthy: Path) -> None:
    where = ["--repo", healthy] if command[0] != "runs" else [healthy]
    for most in (4, 5, 20):
        done = doctor(*command, *where, limit=(resource.RLIMIT_NOFILE, most))
        told(done, f"{most} open files are too few: `ulimit -n ")


@pytest.mark.parametrize("most", [60, 100, 200, 400])
def test_too_little_memory_is_told_at_once(most: int, healthy: Path) -> None:
    done = doctor("check", "DAT", "--repo", healthy, limit=(resource.RLIMIT_AS, most * MIB))
    told(done, f"{most} MiB of memory are too few: `ulimit -v ")


def test_memory_for_the_doctor_alone_blocks_what_is_asked(healthy: Path) -> None:
    done = doctor("check", "DAT001", "--repo", healthy, limit=(resource.RLIMIT_AS, 700 * MIB))
    assert (done.returncode, done.stderr) == (3, "")
    assert "700 MiB of memory are too few for the training interpreter" in done.stdout
    assert "crashed" not in done.stdout


def test_a_full_disk_is_not_the_repository_s_fault(healthy: Path, small_disk: Path) -> None:
    (small_disk / "fill").write_bytes(b"")
    with contextlib.suppress(OSError), (small_disk / "fill").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(KIB))
    done = doctor("check", "ENV004", "GEO001", "MSK001", "--repo", healthy, TMPDIR=str(small_disk))
    assert (done.returncode, done.stderr) == (3, "")
    assert "No space left on device" in done.stdout
    assert "failed" not in done.stdout and "crashed" not in done.stdout


def test_a_disk_that_is_filled_by_samples_is_told(healthy: Path, small_disk: Path) -> None:
    done = doctor("check", "GEO001", "GEO012", "--repo", healthy, TMPDIR=str(small_disk))
    assert (done.returncode, done.stderr) == (3, "")
    assert "what the training interpreter wrote is not whole" in done.stdout
    assert f"make room on the disk of {small_disk}" in done.stdout
    assert "failed" not in done.stdout and "crashed" not in done.stdout


def test_no_temporary_folder_is_the_working_directory(tmp_path: Path) -> None:
    """Python's own choice, where nothing else can be written to, would be the examined repository."""
    program = (
        "import os, tempfile; from pathlib import Path; os.access = lambda path, mode: False\n"
        "from opv2v_doctor.scratch import sweep; sweep(); print(tempfile.gettempdir())"
    )
    said = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert Path(said.stdout.strip()) != tmp_path
