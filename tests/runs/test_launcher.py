"""Tests of launching: output, exit codes, the rank that failed, interrupts, stalls, no process left."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from opv2v_doctor.runs.directory import LOCK, DirectoryTaken, claim
from opv2v_doctor.runs.record import RunStatus

if TYPE_CHECKING:
    from .conftest import Stub


def test_a_training_runs_to_its_end_and_is_written_down(stub: Stub) -> None:
    code, said = stub.train(epochs=2)
    run = stub.record()
    assert (code, run.state, run.last.exit_code) == (0, RunStatus.FINISHED, 0)
    assert "0: Epoch: [1]  [4/5]" in said and "1: Epoch: [1]  [4/5]" in said
    assert run.last.ended is not None and run.last.ended >= run.last.started
    assert not stub.living()


def test_one_process_needs_no_agent(stub: Stub) -> None:
    code, said = stub.train(ranks=1, epochs=1)
    assert (code, stub.record().state) == (0, RunStatus.FINISHED)
    assert "None: Epoch: [0]  [4/5]" in said


@pytest.mark.parametrize(("fault", "code"), [("exit", 7), ("raise", 1)])
@pytest.mark.parametrize("ranks", [1, 2])
def test_the_rank_that_fails_is_named_with_its_last_lines(
    stub: Stub, ranks: int, fault: str, code: int
) -> None:
    ended, said = stub.train(ranks=ranks, fault=fault, epochs=1)
    failure = stub.record().last.failure
    assert failure is not None
    assert (ended, failure.exit_code, failure.rank) == (code, code, 1 if ranks == 2 else None)
    assert stub.record().state is RunStatus.FAILED
    if fault == "raise":
        assert "ValueError: the loss is NaN" in failure.last_lines
        assert "looking into the abyss" in said
    assert not stub.living()


def test_a_killed_rank_is_named_with_its_signal(stub: Stub) -> None:
    process = stub.start(epochs=200)
    stub.wait_for_steps()
    os.kill(stub.rank(1), signal.SIGKILL)
    said, _ = process.communicate(timeout=20)
    failure = stub.record().last.failure
    assert failure is not None
    assert (failure.rank, failure.signal, process.returncode) == (1, "SIGKILL", 137)
    assert "rank 1 failed first" in said
    assert not stub.living()


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_an_interrupt_reaches_all_ranks(stub: Stub, number: signal.Signals, code: int) -> None:
    process = stub.start(epochs=200)
    stub.wait_for_steps()
    process.send_signal(number)
    said, _ = process.communicate(timeout=20)
    assert (process.returncode, stub.record().state) == (code, RunStatus.INTERRUPTED)
    assert "KeyboardInterrupt" in said  # the ranks were asked gently
    assert not stub.living()


def test_ranks_that_ignore_an_interrupt_are_ended_harder(stub: Stub) -> None:
    process = stub.start(epochs=200)
    stub.wait_for_steps()
    for number in (0, 1):
        os.kill(stub.rank(number), signal.SIGSTOP)  # neither SIGINT nor SIGTERM gets through
    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert stub.record().state is RunStatus.INTERRUPTED
    assert time.monotonic() - started < 10
    assert not stub.living()


@pytest.mark.parametrize("seconds", [0, 0.05])
def test_who_interrupts_a_training_twice_does_not_wait(stub: Stub, seconds: float) -> None:
    process = stub.start(epochs=200)
    stub.wait_for_steps()
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        time.sleep(seconds)
    said, _ = process.communicate(timeout=20)
    assert process.returncode in (130, -signal.SIGINT)  # before or after Python's own last steps
    assert stub.record().state is RunStatus.INTERRUPTED
    assert "opv2v_doctor" not in said or "Traceback" not in said.split("opv2v_doctor")[0]
    assert not stub.living()


def test_nothing_outlives_the_launcher(stub: Stub) -> None:
    process = stub.start(epochs=200)
    stub.wait_for_steps()
    assert stub.record().state is RunStatus.RUNNING
    process.kill()
    process.communicate()
    assert stub.record().state is RunStatus.INTERRUPTED
    stub.wait_for(lambda: not stub.living())


def test_nothing_outlives_the_supervisor(stub: Stub) -> None:
    process = stub.start(epochs=200)
    stub.wait_for_steps()
    parents = [pid for pid in stub.living() if _parent(pid) == process.pid]
    assert len(parents) == 1
    os.kill(parents[0], signal.SIGKILL)
    process.communicate(timeout=20)
    assert stub.record().state is RunStatus.INTERRUPTED
    assert not stub.living()


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_a_rank_that_leaves_is_told_from_those_that_wait(stub: Stub) -> None:
    process = stub.start(epochs=200, seconds=0.01, fault="leave")
    assert process.stdout is not None
    for line in process.stdout:
        if "stalled" in line:
            break
    assert "rank 1 ended without a failure" in line
    assert process.poll() is None  # said, not ended
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)


def test_a_rank_that_hangs_is_named(stub: Stub) -> None:
    process = stub.start(epochs=200, fault="hang")
    assert process.stdout is not None
    for line in process.stdout:
        if "stalled" in line:
            break
    assert "rank 1 gave no sign" in line
    assert "rank 0 waits for it" in line
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)


def test_a_second_launch_into_the_same_directory_is_told(stub: Stub) -> None:
    first = stub.start(epochs=200)
    stub.wait_for_steps()
    for resume in (False, True):
        code, said = stub.train(resume=resume)
        assert code == 1
        assert "belongs to another launch" in said
    assert stub.record().state is RunStatus.RUNNING
    first.send_signal(signal.SIGTERM)
    first.communicate(timeout=20)
    code, said = stub.train()
    assert code == 1 and "holds a run already" in said


def test_files_of_the_user_make_no_empty_directory(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("mine")
    with (
        pytest.raises(DirectoryTaken, match=r"is not empty \(config\.yaml\)"),
        claim([tmp_path], resume=False),
    ):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]
    (tmp_path / LOCK).touch()  # a launch that was killed left both
    with claim([tmp_path], resume=False) as place:
        assert place.path == tmp_path


def test_of_launches_at_once_exactly_one_wins(stub: Stub) -> None:
    started = [stub.start(epochs=1) for _ in range(4)]
    said = [process.communicate(timeout=30)[0] for process in started]
    codes = sorted(process.returncode for process in started)
    assert codes == [0, 1, 1, 1], said
    assert len(stub.record().launches) == 1
    assert stub.record().state is RunStatus.FINISHED


def test_a_resume_keeps_the_first_stamp_and_adds_its_own(stub: Stub) -> None:
    stub.train(epochs=1)
    first = stub.record().first
    code, _ = stub.train(epochs=3, resume=True)
    run = stub.record()
    assert (code, len(run.launches), run.first) == (0, 2, first)
    assert (run.path / "stamps" / "2" / "config.yaml").read_text() == "stub: true\n"
    steps = [json.loads(line)["step"] for line in (run.path / "steps-0.jsonl").read_text().splitlines()]
    assert steps == list(range(1, 16))


def test_the_environment_of_a_launch_around_ours_is_not_handed_on(
    stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "5")
    monkeypatch.setenv("WORLD_SIZE", "8")
    code, _ = stub.train(ranks=1, epochs=1)
    assert code == 0
    assert (stub.run / "steps-0.jsonl").exists()
