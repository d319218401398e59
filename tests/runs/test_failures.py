"""Tests that the first failure is named, not those that follow from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from opv2v_doctor.runs.failures import description, first_failure
from opv2v_doctor.runs.output import OWN, Output

ENTRY = """\
[{n}]:
  time      : x
  host      : h
  rank      : {rank} (local_rank: {rank})
  exitcode  : {code} (pid: 9)
"""
CLOSED = "RuntimeError: [enforce fail at gloo] Connection closed by peer"


def table(*failed: tuple[int, int]) -> str:
    """What torchrun says, the first one being its root cause."""
    others = "".join(ENTRY.format(n=n, rank=rank, code=code) for n, (rank, code) in enumerate(failed[1:]))
    cause = ENTRY.format(n=0, rank=failed[0][0], code=failed[0][1])
    return f"=====\ntrain.py FAILED\nFailures:\n{others}Root Cause (first observed failure):\n{cause}=====\n"


@pytest.fixture
def output(tmp_path: Path) -> Output:
    return Output(tmp_path / "run/output/1")


def write(output: Output, own: str, **ranks: str) -> None:
    output.folder.mkdir(parents=True)
    (output.folder / OWN).write_text(own)
    for name, text in ranks.items():
        folder = output.folder / "id_x" / "attempt_0" / name.removeprefix("rank")
        folder.mkdir(parents=True)
        (folder / "stdout.log").write_text("before\n")
        (folder / "stderr.log").write_text(text)


def test_who_complains_of_a_lost_peer_did_not_fail_first(output: Output) -> None:
    write(output, table((0, 1), (1, 1)), rank0=CLOSED, rank1="ValueError: NaN")
    failure = first_failure(output, 1, {})
    assert (failure.rank, failure.exit_code, failure.last_lines[-1]) == (1, 1, "ValueError: NaN")


def test_who_was_killed_failed_before_who_raised(output: Output) -> None:
    write(output, table((0, 1), (1, -9)), rank0="KeyError: 1", rank1="")
    failure = first_failure(output, 1, {0: 5.0})
    assert (failure.rank, failure.signal) == (1, "SIGKILL")
    assert "memory" in description(failure)


def test_who_torchrun_ended_is_not_blamed(output: Output) -> None:
    write(output, table((0, -15), (1, 3)), rank0="", rank1="")
    assert first_failure(output, 1, {}).rank == 1


def test_of_two_that_raised_the_earlier_one_failed_first(output: Output) -> None:
    write(output, table((0, 1), (1, 1)), rank0="KeyError: 1", rank1="KeyError: 1")
    assert first_failure(output, 1, {0: 5.0, 1: 4.0}).rank == 1


def test_the_short_message_is_enough(output: Output) -> None:
    write(output, "E1122 failed (exitcode: -11) local_rank: 1 (pid: 4) of binary: python\n", rank1="boom")
    failure = first_failure(output, 1, {})
    assert (failure.rank, failure.signal, failure.last_lines) == (1, "SIGSEGV", ("before", "boom"))


def test_without_torchrun_the_training_itself_failed(output: Output) -> None:
    write(output, "Traceback\nValueError: x\n")
    failure = first_failure(output, 128 + 11, {})
    assert (failure.rank, failure.signal, failure.last_lines) == (
        None,
        "SIGSEGV",
        ("Traceback", "ValueError: x"),
    )
    assert failure.log == "output/1/launch.log"
