"""How the last training ended."""

import os
import threading
import time
from typing import Any

import pytest

from opv2v_doctor import Severity
from opv2v_doctor.facts.past.logs.stops import KINDS
from opv2v_doctor.facts.past.logs.writers import writing
from opv2v_doctor.result import Status
from opv2v_doctor.testing import run_check

from ..edges import assert_edge

MEMORY = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("CUDA out of memory. Tried to allocate 2.00 GiB", "out_of_memory"),
        (
            "[E ProcessGroupNCCL.cpp:607] [Rank 2] Watchdog caught collective operation timeout: Work",
            "nccl_timeout",
        ),
        ("write failed: No space left on device", "disk_full"),
        (
            "slurmstepd: error: *** JOB 17 ON node3 CANCELLED AT 2026-01-01T00:00:00 DUE TO TIME LIMIT ***",
            "time_limit",
        ),
        ("slurmstepd: error: *** JOB 17 ON node3 CANCELLED DUE TO PREEMPTION ***", "preempted"),
        ("slurmstepd: error: *** JOB 17 ON node3 CANCELLED AT 2026-01-01T00:00:00 ***", "killed"),
        ("PBS: job killed: walltime 3610 exceeded limit 3600", "time_limit"),
        ("slurmstepd: error: Detected 1 oom_kill event in StepId=17.0", "out_of_memory"),
        ("RuntimeError: DataLoader worker (pid 12) is killed by signal: Killed.", "out_of_memory"),
        ("RuntimeError: [enforce fail at inline_container.cc:603] . unexpected pos 1024 vs 900", "disk_full"),
        ("RuntimeError: PytorchStreamWriter failed writing file data/12: file write failed", "disk_full"),
        ("  what():  CUDA error: an illegal memory access was encountered", "cuda_error"),
        ("CUDA error: device-side assert triggered", "cuda_error"),
        ("CUDA error: uncorrectable ECC error encountered", "gpu_lost"),
        ("NVRM: Xid (PCI:0000:3b:00): 79, pid=12, GPU has fallen off the bus.", "gpu_lost"),
        ("train.py: error: unrecognized arguments: --epohs 20", "usage"),
        ("Could not override 'train_params.epohs'.", "usage"),
        ("In 'train': Could not find 'dataset/opv2v_cyl_6gpu'", "usage"),
        ("Fatal Python error: Aborted", "aborted"),
        ("Killed", "killed"),
        ("torch.distributed.elastic: failed (exitcode: -9) local_rank: 0", "killed"),
        ("torch.distributed.elastic: failed (exitcode: -11) local_rank: 0", "killed"),
    ],
)
def test_what_stopped_a_training_is_an_error_with_its_line(log: Any, text: str, kind: str) -> None:
    log.launch()
    log.epoch(0)
    line = log.say(text)
    log.say(text)
    result = run_check("LOG004", log.write())
    (finding,) = result.findings
    assert (result.status, finding.line, finding.event) == (Status.FAILED, line, line)
    assert finding.text.values["kind"] == kind
    assert finding.hint == KINDS[kind][1]
    assert finding.message.endswith(f"{text[:200].rstrip()} (2 lines)")
    assert finding.hint is not None


def test_what_follows_from_an_exception_is_not_told_again(log: Any) -> None:
    log.launch()
    log.epoch(0)
    log.say("Traceback (most recent call last):")
    line = log.say("ValueError: the mask is empty")
    log.say("Sending process 12 closing signal SIGTERM")
    (finding,) = run_check("LOG004", log.write()).findings
    assert finding.message.endswith(f"(LOG002, line {line - 1})")  # where its traceback begins


def test_what_did_not_stop_a_training_is_a_warning(log: Any) -> None:
    log.launch()
    log.start()
    for epoch in range(8):
        if epoch == 2:
            line = log.say("write failed: No space left on device")
            log.say("write failed: No space left on device")
        log.epoch(epoch)
    log.end()
    result = run_check("LOG004", log.write())
    warned = [finding for finding in result.findings if finding.severity > Severity.NOTE]
    assert [finding.line for finding in warned] == [line]
    assert warned[0].message.endswith("(2 lines); the training went on")
    assert result.status is Status.WARNED


def test_what_stopped_an_earlier_launch_does_not_hide_how_the_last_one_stopped(log: Any) -> None:
    log.launch()
    log.epoch(0)
    log.say("CUDA out of memory. Tried to allocate 2.00 GiB")
    log.launch()
    log.epoch(1)
    log.epoch(2)
    del log.lines[-9:]
    found = run_check("LOG004", log.old()).findings
    assert [finding.severity for finding in found] == [Severity.NOTE, Severity.WARNING]
    assert found[0].message.startswith("out of memory")
    assert found[0].message.endswith("(1 line); a later launch went on")
    assert found[0].hint is None
    assert found[1].message.startswith("the log stops in epoch 2, step 600 of 1000")


def test_launches_that_were_ended_alike_are_told_once(log: Any) -> None:
    for epoch in range(4):
        log.launch()
        log.epoch(epoch)
        line = log.say("slurmstepd: error: *** JOB 17 ON node3 CANCELLED DUE TO PREEMPTION ***")
    found = run_check("LOG004", log.write()).findings
    assert [(finding.severity, finding.message.count("(3 lines)")) for finding in found] == [
        (Severity.NOTE, 1),
        (Severity.ERROR, 0),
    ]
    assert found[1].line == line


def test_what_follows_what_came_from_outside_is_not_told_again(log: Any) -> None:
    log.launch()
    log.epoch(0)
    line = log.say("CUDA out of memory. Tried to allocate 2.00 GiB")
    log.say("Sending process 12 closing signal SIGTERM")
    (finding,) = run_check("LOG004", log.write()).findings
    assert (finding.line, finding.text.values["kind"]) == (line, "out_of_memory")


def test_the_end_of_an_earlier_launch_is_not_that_of_the_last(healthy_log: Any) -> None:
    healthy_log.launch()
    healthy_log.start()
    healthy_log.epoch(7)
    del healthy_log.lines[-9:]
    (finding,) = run_check("LOG004", healthy_log.old()).findings
    assert finding.severity is Severity.WARNING
    assert "stops in epoch 7" in finding.message
    assert (finding.line, finding.event) == (len(healthy_log.lines), len(healthy_log.lines))


def test_a_launch_that_died_after_a_training_that_ended_is_no_pass(healthy_log: Any) -> None:
    line = len(healthy_log.lines) + 1
    healthy_log.launch()
    result = run_check("LOG004", healthy_log.old())
    assert (result.status, result.findings[0].line) == (Status.FAILED, line)


@pytest.mark.parametrize("start", [True, False])
def test_a_launch_that_never_made_a_step_is_an_error(log: Any, start: bool) -> None:
    line = log.launch()
    if start:
        log.start()
    result = run_check("LOG004", log.old())
    (finding,) = result.findings
    assert (result.status, (finding.line or 0) <= line) == (Status.FAILED, True)
    assert "never made a step" in finding.message
    assert "launcher" in str(finding.hint)


def test_an_evaluation_makes_no_step_and_need_not(log: Any) -> None:
    log.launch()
    log.test(1, 3.0)
    assert "an evaluation only" in str(run_check("LOG004", log.old()).reason)


@pytest.mark.parametrize("code", ["LOG001", "LOG002", "LOG010"])
def test_a_launch_that_never_made_a_step_shows_nothing(log: Any, code: str) -> None:
    log.launch()
    assert run_check(code, log.old()).status is Status.SKIPPED


def test_a_training_that_ended_early_says_both_numbers(log: Any) -> None:
    log.launch()
    log.start()
    for epoch in range(7):
        log.epoch(epoch)
    line = log.end()
    result = run_check("LOG004", log.write(None))
    (finding,) = result.findings
    assert (result.status, finding.line, finding.event) == (Status.WARNED, line, line)
    assert finding.message == "ended after 7 epochs of 8: the last one is epoch 6"


@pytest.mark.parametrize(("epochs", "status"), [(8, Status.PASSED), (7, Status.WARNED)])
def test_without_an_announcement_the_config_says_how_many(log: Any, epochs: int, status: Status) -> None:
    for epoch in range(epochs):
        log.epoch(epoch)
    log.end()
    assert run_check("LOG004", log.write()).status is status


def test_where_nobody_says_how_many_the_end_is_enough(log: Any) -> None:
    log.epoch(0)
    log.end()
    result = run_check("LOG004", log.write(None))
    assert result.status is Status.PASSED
    assert "how many epochs were planned is not in the log" in result.findings[0].message


def test_the_end_of_a_training_is_told(healthy_log: Any) -> None:
    result = run_check("LOG004", healthy_log.write())
    (finding,) = result.findings
    assert finding.message == "ended after epoch 7 and 0:16:35"
    assert [(one.count, one.unit) for one in result.examined] == [(1, "launch")]


def test_a_launch_with_nothing_left_to_do_ended_normally(healthy_log: Any) -> None:
    healthy_log.launch()
    healthy_log.start()
    healthy_log.end()
    assert run_check("LOG004", healthy_log.write()).status is Status.PASSED


def test_an_end_without_any_step_is_none(log: Any) -> None:
    log.launch()
    log.end()
    assert run_check("LOG004", log.write()).status is Status.SKIPPED


def test_a_power_cut_leaves_nul_bytes_at_the_end(healthy_log: Any) -> None:
    target = healthy_log.old()
    path = target.logs[0]
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:50]) + bytes(5000))
    os.utime(path, (1, 1))
    result = run_check("LOG004", target)
    (finding,) = result.findings
    assert (result.status, finding.line, finding.event) == (Status.FAILED, 51, 51)
    assert finding.message.startswith("5000 NUL bytes end the log")


def test_a_head_of_nul_bytes_is_a_note(healthy_log: Any) -> None:
    target = healthy_log.write()
    path = target.logs[0]
    path.write_bytes(bytes(1 << 20) + path.read_bytes())
    result = run_check("LOG004", target)
    assert (result.status, result.findings[0].severity) == (Status.PASSED, Severity.NOTE)
    assert run_check("LOG013", target).status is Status.PASSED


def test_nul_bytes_in_between_do_not_hide_that_a_log_stops(log: Any) -> None:
    log.launch()
    log.epoch(0)
    target = log.old()
    path = target.logs[0]
    path.write_bytes(bytes(100) + path.read_bytes())
    os.utime(path, (1, 1))
    assert run_check("LOG004", target).status is Status.WARNED


def test_statistics_among_what_a_training_printed_have_no_steps_either(log: Any) -> None:
    log.launch()
    log.lines.append('{"epoch": 3, "train_loss": 2.5}')
    (finding,) = run_check("LOG004", log.old()).findings
    assert finding.message.startswith("the log stops in epoch 3, and")


def test_what_an_earlier_launch_announced_is_not_the_last_one_s(log: Any) -> None:
    log.launch()
    log.say("Start training for 20 epochs")
    log.launch()
    log.say("Starting main training")
    for epoch in range(8):
        log.epoch(epoch)
    log.end()
    assert run_check("LOG004", log.write()).status is Status.PASSED


def test_of_a_long_line_the_beginning_is_shown(log: Any) -> None:
    log.launch()
    log.epoch(0)
    log.say("CUDA out of memory " + "x" * 400)
    (finding,) = run_check("LOG004", log.write()).findings
    assert len(finding.message) == len("out of memory: ") + 200 + len(" (1 line)")


ROOT = """\
============================================================
scripts/train.py FAILED
------------------------------------------------------------
Root Cause (first observed failure):
[0]:
  time      : 2026-03-01_12:00:05
  host      : node3
  rank      : {rank} (local_rank: {rank})
  exitcode  : {code} (pid: 4722)
  error_file: <N/A>
============================================================"""


def raised(log: Any, *lines: str, rank: str = "") -> int:
    """A traceback; the number of its last line."""
    for line in ("Traceback (most recent call last):", *lines):
        number = log.say(f"{rank}{line}")
    return int(number)


def of(log: Any, *codes: str) -> list[tuple[str, Severity, int | None]]:
    """What these checks say of an old log: code, severity and line, evidence of a pass aside."""
    target = log.old(None)
    found = [(code, one) for code in codes for one in run_check(code, target).findings]
    return [(code, one.severity, one.line) for code, one in found if one.line]


def test_ctrl_c_is_no_fault_wherever_it_arrives(log: Any) -> None:
    log.launch()
    log.epoch(0)
    raised(log, '  File "/x/PIL/ImageFile.py", line 644, in _save', "AttributeError: no attribute 'fileno'")
    log.say("During handling of the above exception, another exception occurred:")
    begun = len(log.lines) + 1
    raised(log, '  File "/x/map/scripts/train.py", line 80, in <module>', "KeyboardInterrupt")
    assert of(log, "LOG001", "LOG002", "LOG004") == [
        ("LOG002", Severity.NOTE, begun),
        ("LOG004", Severity.WARNING, begun),
    ]
    assert run_check("LOG002", log.old(None)).status is Status.PASSED


def test_what_followed_from_ctrl_c_is_none_either(log: Any) -> None:
    log.launch()
    log.epoch(0)
    raised(log, "KeyboardInterrupt")
    log.say("During handling of the above exception, another exception occurred:")
    raised(log, "RuntimeError: DataLoader worker (pid 12) exited unexpectedly")
    assert [severity for _, severity, _ in of(log, "LOG002", "LOG004")] == [Severity.NOTE, Severity.WARNING]


def test_of_a_chain_the_exception_that_ended_the_process_is_told(log: Any) -> None:
    log.launch()
    log.epoch(0)
    raised(log, '  File "/repo/a/data.py", line 3, in load', "KeyError: 'depth'")
    log.say("The above exception was the direct cause of the following exception:")
    begun = len(log.lines) + 1
    raised(
        log,
        '  File "/repo/scripts/train.py", line 8, in main',
        '  File "/env/lib/python3.11/site-packages/torch/utils.py", line 700, in reraise',
        "ValueError: cannot draw sample 12",
    )
    (finding,) = run_check("LOG002", log.old()).findings
    assert finding.line == begun
    assert finding.message.endswith("sample 12, in /repo/scripts/train.py:8; raised from KeyError")


def test_of_several_ranks_torchrun_knows_which_failed_first(log: Any) -> None:
    log.launch()
    log.epoch(0)
    raised(log, "RuntimeError: the peer is gone", rank="[rank0]: ")
    begun = len(log.lines) + 1
    raised(log, "ValueError: the mask is empty", rank="[rank2]: ")
    log.say(ROOT.format(rank=2, code=1))
    (ending,) = [one for one in run_check("LOG004", log.old()).findings if one.severity is Severity.ERROR]
    assert (ending.line, ending.message.endswith("; rank 2 failed first, exit code 1")) == (begun, True)


def test_a_rank_whose_words_are_elsewhere_is_named(log: Any) -> None:
    log.launch()
    log.epoch(0)
    log.say("[WARNING] Sending process 4720 closing signal SIGTERM")
    log.say(ROOT.format(rank=3, code=1))
    begun = len(log.lines) + 1
    raised(log, "torch.distributed.elastic.multiprocessing.errors.ChildFailedError:")
    (ending,) = run_check("LOG004", log.old()).findings
    assert ending.text.values["kind"] == "rank_failed"
    assert ending.line == begun - 4
    assert "--redirects" in str(ending.hint)


def test_an_exception_that_the_disk_made_says_so(log: Any) -> None:
    log.launch()
    log.epoch(0)
    raised(log, "RuntimeError: [enforce fail at inline_container.cc:603] . unexpected pos 1024 vs 900")
    (finding,) = run_check("LOG002", log.old()).findings
    assert finding.message.endswith("; the disk was full")
    assert str(finding.hint) == "make room on the disk"


def test_memory_that_grew_is_not_helped_by_a_smaller_batch(log: Any) -> None:
    log.launch()
    for epoch in range(8):
        log.epoch(epoch)
    for number, line in enumerate(log.lines):
        log.lines[number] = line.replace("max mem: 20514", f"max mem: {20514 + 100 * number}")
    log.say("CUDA out of memory. Tried to allocate 2.00 GiB")
    (finding,) = run_check("LOG004", log.old()).findings
    assert "see LOG024" in str(finding.hint)


def test_what_stands_behind_a_progress_bar_is_read(log: Any) -> None:
    log.launch()
    log.epoch(0)
    bar = "\r".join(f"Loading: {step}%|###| {step}/1000 [00:00<00:09, 10.0it/s]" for step in range(20_000))
    said = "slurmstepd: error: *** JOB 17 ON n1 CANCELLED DUE TO TIME LIMIT ***"
    log.lines.append(bar + said)
    (finding,) = run_check("LOG004", log.old()).findings
    assert (finding.line, finding.text.values["kind"]) == (len(log.lines), "time_limit")
    assert said in finding.message
    assert "it/s" not in finding.message


def test_a_log_that_a_process_holds_is_still_written(log: Any) -> None:
    log.launch()
    log.epoch(0, every=300)
    target = log.old()
    with target.logs[0].open("a"):
        hung = run_check("LOG004", target)
        os.utime(target.logs[0])
        reason = str(run_check("LOG004", target).reason)
    assert f"still written, by process {os.getpid()}, in epoch 0, step 999 of 1000" in reason
    (finding,) = hung.findings
    assert f"process {os.getpid()} still holds the log" in finding.message
    assert run_check("LOG004", log.write()).status is Status.WARNED  # a young copy


def test_a_process_may_be_silent_for_two_hours(log: Any) -> None:
    log.launch()
    log.epoch(0, every=300)

    def status(age: float) -> Status:
        target = log.write()
        with target.logs[0].open("a"):
            os.utime(target.logs[0], (time.time() - age,) * 2)
            return run_check("LOG004", target).status

    assert_edge(7200, status, inside=Status.SKIPPED)


def test_a_log_that_grows_is_still_written(log: Any, tmp_path: Any) -> None:
    log.launch()
    log.epoch(0, every=300)
    path = log.write().logs[0]
    grower = threading.Timer(0.2, lambda: path.write_text(path.read_text() + "more\n"))
    grower.start()
    found = writing(path)
    grower.join()
    assert found is not None
    assert found.grows
