"""The program as a process: its streams closed, full or cut off, and signals in the middle."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

DOCTOR = f"{sys.executable} -m opv2v_doctor"


def shell(script: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", script],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **env},
        check=False,
    )


@pytest.mark.parametrize("closed", ["<&-", "2>&-", ">&-", "<&- >&- 2>&-"])
def test_closed_streams_change_no_verdict(closed: str, healthy: Path) -> None:
    ended = shell(f"{DOCTOR} check CFG001 --repo '{healthy}' {closed}")
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_reader_that_has_enough_is_no_finding(healthy: Path) -> None:
    ended = shell(f"{DOCTOR} check CFG --repo '{healthy}' | head -1; echo ${{PIPESTATUS[0]}}")
    assert ended.stdout.splitlines()[-1] in ("0", "141")  # it may have said all before head left
    assert ended.stderr == ""


def test_a_full_disk_is_said_in_one_line() -> None:
    ended = shell(f"{DOCTOR} schema > /dev/full")
    assert ended.returncode == 3
    assert ended.stderr == "opv2v-doctor: the report cannot be written: No space left on device\n"


def test_signs_that_a_terminal_lacks_end_nothing(healthy: Path) -> None:
    ended = shell(f"{DOCTOR} check CFG001 --repo '{healthy}' --format markdown", PYTHONIOENCODING="latin-1")
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize(("words", "sign"), [("check DAT009", "*/.alive"), ("smoke", "*/*/events.jsonl")])
def test_who_is_ended_leaves_nothing_behind(
    words: str, sign: str, number: signal.Signals, code: int, healthy: Path, tmp_path: Path
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "opv2v_doctor", *words.split(), "--repo", healthy],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob(f"opv2v-doctor-{sign}")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(number)
    _, said = process.communicate(timeout=120)
    assert (process.returncode, said) == (code, "opv2v-doctor: interrupted\n")
    assert not list(tmp_path.glob("opv2v-doctor-*"))
    commands = [" ".join(each.info["cmdline"] or ()) for each in psutil.process_iter(["cmdline"])]
    assert not [command for command in commands if str(tmp_path) in command]


def test_a_report_follows_a_link_and_keeps_what_is_no_file(healthy: Path, tmp_path: Path) -> None:
    real, link, pipe = tmp_path / "real.json", tmp_path / "link.json", tmp_path / "pipe"
    real.touch()
    link.symlink_to(real)
    os.mkfifo(pipe)
    assert shell(f"{DOCTOR} check CFG001 --repo '{healthy}' --output '{link}'").returncode == 0
    assert link.is_symlink()
    assert real.read_text().startswith("{")
    read = shell(
        f"cat '{pipe}' & {DOCTOR} check CFG001 --repo '{healthy}' --format json --output '{pipe}' >&2; wait"
    )
    assert read.stdout.startswith("{")
    assert pipe.is_fifo()
    refused = shell(f"{DOCTOR} check CFG001 --repo '{healthy}' --output '{tmp_path}'")
    assert (refused.returncode, "it is a directory" in refused.stderr) == (2, True)


HANGS = """#!/bin/bash
(trap "" TERM INT; setsid sleep 6000) &
echo $! > "{sign}"
sleep 6000
"""


@pytest.mark.parametrize("seconds", [0, 0.1])
def test_who_interrupts_a_hanging_interpreter_twice_leaves_nothing(
    seconds: float, healthy: Path, tmp_path: Path
) -> None:
    python, sign = tmp_path / "python", tmp_path / "sign"
    python.write_text(HANGS.format(sign=sign))
    python.chmod(0o755)
    process = subprocess.Popen(
        [sys.executable, "-m", "opv2v_doctor", "run-all", "--repo", healthy, "--python", python],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not sign.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.5)
    children = psutil.Process(process.pid).children(recursive=True)
    begun = time.monotonic()
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        time.sleep(seconds)
    _, said = process.communicate(timeout=20)
    assert time.monotonic() - begun < 5
    assert process.returncode in (130, -signal.SIGINT)
    assert said in ("", "opv2v-doctor: interrupted\n")
    assert len(children) > 2  # the supervisor, the interpreter, and what detached from it
    assert psutil.wait_procs(children, timeout=10)[1] == []


def at_work(repo: Path, tmp_path: Path) -> "subprocess.Popen[str]":
    """A doctor that has begun to work: its folder is there."""
    process = subprocess.Popen(
        [sys.executable, "-m", "opv2v_doctor", "check", "DAT009", "--repo", repo],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("opv2v-doctor-*")) and time.monotonic() < deadline:
        time.sleep(0.02)
    return process


@pytest.mark.parametrize("seconds", [0.0, 0.01, 0.1])
def test_who_is_interrupted_twice_ends_at_once(seconds: float, healthy: Path, tmp_path: Path) -> None:
    process = at_work(healthy, tmp_path)
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        time.sleep(seconds)
    _, said = process.communicate(timeout=10)
    assert process.returncode in (130, -signal.SIGINT)  # before or after Python's own last steps
    assert said in ("", "opv2v-doctor: interrupted\n")
    assert shell(f"{DOCTOR} schema >/dev/null", TMPDIR=str(tmp_path)).returncode == 0
    assert not list(tmp_path.glob("opv2v-doctor-*"))


@pytest.mark.parametrize("seconds", [0.0, 0.003, 0.03])
def test_who_is_asked_to_end_twice_ends_tidily(seconds: float, healthy: Path, tmp_path: Path) -> None:
    """As `timeout` asks: itself, and through the process group."""
    process = at_work(healthy, tmp_path)
    for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGHUP, signal.SIGTERM):
        process.send_signal(number)
        time.sleep(seconds)
    _, said = process.communicate(timeout=60)
    assert process.returncode - 128 in (signal.SIGTERM, signal.SIGHUP)  # of two that wait the lower number
    assert said == "opv2v-doctor: interrupted\n"
    assert not list(tmp_path.glob("opv2v-doctor-*"))
