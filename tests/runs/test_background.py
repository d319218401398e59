"""Commands beside a training: what they are given, how they fail, and that none is left."""

from __future__ import annotations

import time
from pathlib import Path

from opv2v_doctor.runs.background import Background, Errand


def run(script: str, given: bytes = b"", seconds: float = 10.0) -> str:
    """How a shell script failed."""
    heard: list[str] = []
    background = Background()
    background.add(Errand(words=("/bin/sh", "-c", script), given=given, seconds=seconds, then=heard.append))
    background.close(20)
    assert len(heard) == 1
    return heard[0]


def test_a_command_gets_what_it_is_given(tmp_path: Path) -> None:
    assert run(f"cat > '{tmp_path}/got'", given="训练 ends\n".encode()) == ""
    assert (tmp_path / "got").read_text() == "训练 ends\n"


def test_a_command_that_reads_nothing_is_no_failure() -> None:
    assert run("exit 0", given=b"x" * 1_000_000) == ""


def test_a_failure_is_told_with_its_last_words() -> None:
    assert run("echo one; echo no such host >&2; exit 3") == "ended with exit code 3: no such host"


def test_a_command_that_is_not_there_is_a_failure() -> None:
    heard: list[str] = []
    background = Background()
    background.add(Errand(words=("/no/such/program",), seconds=5.0, then=heard.append))
    background.close(20)
    assert "127" in heard[0] and "/no/such/program" in heard[0]


def test_a_command_that_hangs_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    alive = tmp_path / "alive"
    script = f"(trap '' TERM; while :; do touch '{alive}'; sleep 0.05; done) & sleep 600"
    assert run(script, seconds=0.5) == "was ended after 0.5 s"
    alive.unlink()
    time.sleep(0.3)
    assert not alive.exists()


def test_closing_ends_what_runs_and_leaves_out_what_waits(tmp_path: Path) -> None:
    heard: list[str] = []
    background = Background()
    for script in (f"touch '{tmp_path}/one'; sleep 600", f"touch '{tmp_path}/two'"):
        background.add(Errand(words=("/bin/sh", "-c", script), seconds=600, then=heard.append))
    began = time.monotonic()
    while not (tmp_path / "one").exists():
        assert time.monotonic() < began + 20
        time.sleep(0.01)
    background.close(0.1)
    assert time.monotonic() - began < 20
    assert heard == ["was ended with the training"] and not (tmp_path / "two").exists()


def test_nothing_to_do_starts_nothing() -> None:
    Background().close(0)
