"""Channels: whatever a process does that is asked, it is bounded, it is gone afterwards, and we are not."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from opv2v_doctor import channel as channels
from opv2v_doctor.channel import Channel, Closed, NoLine, Silent, TooLong

HEAD = "import os, signal, subprocess, sys, threading, time\nrequests, answers = map(int, sys.argv[1:3])\n"
SAY = "os.write(answers, b'%d\\n' % os.getpid())\n"
SLEEP = "time.sleep(600)\n"
DETACHED = """
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.write(answers, b'%d\\n' % os.getpid())
        time.sleep(600)
    os._exit(0)
"""
Start = Callable[..., Channel]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """A function that starts a script as the process of a channel."""
    opened: list[Channel] = []

    def start(body: str, memory: int = 0) -> Channel:
        script = tmp_path / f"script{len(opened)}.py"
        script.write_text(HEAD + body)
        opened.append(Channel([sys.executable, script], "last", cwd=tmp_path, memory=memory))
        return opened[-1]

    yield start
    for channel in opened:
        channel.close()


def line(channel: Channel, seconds: float = 20) -> bytes:
    return channel.line(time.monotonic() + seconds)


def gone(pid: int) -> bool:
    """Whether a process is gone, a moment after it was to."""
    deadline = time.monotonic() + 5
    while (found := psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie") and (
        time.monotonic() < deadline
    ):
        time.sleep(0.02)
    return not found


def test_requests_and_answers_cross_and_the_last_word_is_last(start: Start) -> None:
    channel = start("os.write(answers, os.read(requests, 100) + sys.argv[3].encode() + b'\\nmore')\n" + SLEEP)
    channel.send(b"asked ", 1)
    assert line(channel) == b"asked last"
    with pytest.raises(Silent):
        line(channel, 0.1)


@pytest.mark.parametrize("ended", [SLEEP, "os._exit(0)", "os.kill(os.getppid(), signal.SIGSTOP)\n" + SLEEP])
def test_who_detaches_is_gone_afterwards(start: Start, ended: str) -> None:
    channel = start(DETACHED + "time.sleep(1)\n" + ended)
    pid = int(line(channel))
    assert psutil.pid_exists(pid)
    if ended == "os._exit(0)":
        with pytest.raises(Closed):
            line(channel)
    else:
        time.sleep(1.5)
        channel.close()
    assert gone(pid)


@pytest.mark.parametrize("stops", ["", "os.kill(os.getppid(), signal.SIGSTOP)\n"], ids=["runs", "stopped"])
def test_who_detaches_is_gone_when_we_are_killed(stops: str, tmp_path: Path) -> None:
    """Also where it has stopped its supervisor before."""
    script = tmp_path / "script.py"
    script.write_text(HEAD + stops + DETACHED + SLEEP)
    us = (
        "import os, signal, sys, time; from opv2v_doctor.channel import Channel; "
        f"channel = Channel([sys.executable, {str(script)!r}]); "
        "print(channel.line(time.monotonic() + 20).decode(), flush=True); "
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    said = subprocess.run([sys.executable, "-c", us], capture_output=True, timeout=60, check=False)
    assert said.returncode == -signal.SIGKILL
    assert gone(int(said.stdout))


@pytest.mark.parametrize(
    "attack",
    [
        "os.kill(os.getppid(), signal.SIGKILL)",
        "os.killpg(os.getpgid(os.getppid()), signal.SIGKILL)",
        "os.killpg(0, signal.SIGKILL)",
        "os.kill(os.getppid(), signal.SIGINT)",
        "os.kill(os.getppid(), signal.SIGTERM); time.sleep(0.5)",
        "os.kill(os.getppid(), signal.SIGHUP)",
        "os.kill(os.getpid(), 35)",
    ],
)
def test_who_attacks_its_parent_ends_itself(start: Start, attack: str) -> None:
    channel = start(SAY + f"{attack}\n{SLEEP}")
    pid = int(line(channel))
    with pytest.raises(Closed):
        line(channel)
    assert channel.ending()[0] is not None
    assert gone(pid)


def test_a_signal_without_a_name_is_told_as_a_code(start: Start) -> None:
    channel = start("os.kill(os.getpid(), 35)")
    with pytest.raises(Closed):
        line(channel)
    assert channel.ending() == (128 + 35, "")


def test_memory_is_bounded_in_each_process(start: Start) -> None:
    body = """
for _ in range(2):
    try:
        bytearray(400 << 20)
        os.write(answers, b'had it\\n')
    except MemoryError:
        os.write(answers, b'had not\\n')
    if os.fork():
        os.wait()
        break
"""
    assert line(start(body, memory=300 << 20)) == b"had not"
    channel = start(body, memory=800 << 20)
    assert [line(channel), line(channel)] == [b"had it", b"had it"]
    assert 1 << 28 < channels.memory_share() < psutil.virtual_memory().total


def test_what_it_prints_is_read_and_its_end_kept(start: Start) -> None:
    before = sum(psutil.disk_usage(str(place)).used for place in (Path("/tmp"), Path.cwd()))
    channel = start(
        "for _ in range(200): os.write(1, b'x' * (1 << 20))\n" + "print('end')\nos.write(answers, b'done\\n')"
    )
    assert line(channel, 60) == b"done"
    with pytest.raises(Closed):
        line(channel)
    assert channel.ending() == (0, "")
    assert channel.printed().endswith("xend\n")
    assert len(channel.printed()) <= channels.KEPT
    after = sum(psutil.disk_usage(str(place)).used for place in (Path("/tmp"), Path.cwd()))
    assert after - before < 100 << 20


def test_a_line_without_an_end_has_a_bound(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "LONGEST", 3 << 20)
    channel = start("while True: os.write(answers, b'x' * (1 << 16))")
    with pytest.raises(TooLong):
        line(channel)


def test_lines_without_an_end_have_a_deadline(start: Start) -> None:
    channel = start("while True: os.write(answers, b'x\\n' * (1 << 14))")
    begun, deadline = time.monotonic(), time.monotonic() + 1
    with pytest.raises(Silent):
        while True:
            channel.line(deadline)
    assert time.monotonic() - begun < 3


def test_a_request_that_nobody_reads_has_a_deadline(start: Start) -> None:
    channel = start(SLEEP)
    begun = time.monotonic()
    with pytest.raises(Silent):
        channel.send(b"x" * (1 << 20), 0.5)
    assert time.monotonic() - begun < 3


def test_a_request_to_one_that_has_ended_is_no_error(start: Start) -> None:
    channel = start("")
    with pytest.raises(Closed):
        line(channel)
    channel.send(b"x" * (1 << 20), 5)


def test_the_code_of_one_that_ends_at_once_is_known(start: Start) -> None:
    for _ in range(20):
        channel = start("os._exit(7)")
        with pytest.raises(Closed):
            line(channel)
        assert channel.ending() == (7, "")


def test_what_does_not_start_says_so(tmp_path: Path) -> None:
    (tmp_path / "program").write_text("no program")
    with closing(Channel([tmp_path / "program"])) as channel:
        with pytest.raises(NoLine):
            line(channel)
        assert channel.ending() == (126, "")
        assert "does not start: Permission denied" in channel.printed()


def test_a_lock_that_a_signal_left_taken_keeps_nobody(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal's exception between two instructions of Popen.poll() leaves it so."""
    monkeypatch.setattr(channels, "LAST", 0.5)
    channel = start(SAY + SLEEP)
    pid, process = int(line(channel)), channel._process
    process._waitpid_lock.acquire()  # type: ignore[attr-defined]
    channel.close()
    assert gone(pid)
    process._waitpid_lock.release()  # type: ignore[attr-defined]
    assert process.wait(5) is not None


def test_nothing_is_left_open(start: Start) -> None:
    before = set(Path("/proc/self/fd").iterdir())
    for _ in range(3):
        start(SLEEP).close()
    assert set(Path("/proc/self/fd").iterdir()) <= before
