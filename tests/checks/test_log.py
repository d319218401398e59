"""What happened to the last training: names, exceptions, lines that cannot be read, and the end."""

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from opv2v_doctor import Severity
from opv2v_doctor.result import Status
from opv2v_doctor.target import Target
from opv2v_doctor.testing import run_check

CODES = [f"LOG{number:03d}" for number in range(1, 20)]
SHARED = Path(os.environ.get("OPV2V_DOCTOR_SHARED", Path(__file__).parents[3] / "shared")) / "data"
HEALTHY = (
    "real_run/train.log",
    "real_run/log.txt",
    "public_logs/2025-11-20_16-32-18_no_pred_norm/train_one_sample.log",
    "public_logs/2025-11-20_16-32-18_no_pred_norm/log.txt",
    "public_logs/2025-11-23_08-35-29_dinov2_feature_mlp_dense_head/train_one_sample.log",
    "public_logs/2025-11-23_08-35-29_dinov2_feature_mlp_dense_head/log.txt",
)
OLD, NEW = "/home/user/old", "/repo"
NAME_ERROR = "NameError: name 'OPV2VCoopCylindricalDataset' is not defined"


def of(path: Path) -> Target:
    return Target(repo=path.parent, python=Path(sys.executable), logs=(path,))


def shared(name: str) -> Path:
    path = SHARED / name
    if not path.is_file():
        pytest.skip(f"{path} is not here")
    return path


def frame(path: str, line: int) -> str:
    return f'  File "{path}", line {line}, in train\n    call()'


@pytest.mark.parametrize("code", CODES)
def test_a_healthy_log_is_silent(healthy_log: Any, code: str) -> None:
    result = run_check(code, healthy_log.write())
    assert result.status is Status.PASSED, result


@pytest.mark.parametrize("name", HEALTHY)
def test_the_real_healthy_logs_are_silent(name: str) -> None:
    target = of(shared(name))
    for code in CODES:
        assert run_check(code, target).status in (Status.PASSED, Status.SKIPPED), code


def test_a_class_that_an_older_copy_lacks_is_an_error(log: Any) -> None:
    log.launch(job=f"{OLD}/mapanything/train")
    log.say("Traceback (most recent call last):")
    log.say(frame(f"{OLD}/scripts/train.py", 50))
    log.say(frame(f"{OLD}/mapanything/datasets/__init__.py", 71))
    log.say('  File "<string>", line 1, in <module>')
    line = log.say(NAME_ERROR)
    log.launch(job=f"{NEW}/mapanything/train")
    result = run_check("LOG001", log.write())
    (finding,) = result.findings
    assert (result.status, finding.line) == (Status.FAILED, line)
    assert (finding.evidence["copy"], finding.evidence["name"]) == (OLD, "OPV2VCoopCylindricalDataset")
    assert NEW in finding.hint


def test_an_attribute_of_an_object_is_no_missing_name(log: Any) -> None:
    log.say("Traceback (most recent call last):")
    log.say("AttributeError: 'NoneType' object has no attribute 'shape'")
    target = log.write()
    assert run_check("LOG001", target).status is Status.PASSED
    assert run_check("LOG002", target).status is Status.FAILED


def test_the_cause_is_told_from_what_followed(log: Any) -> None:
    log.say("[rank1]: Traceback (most recent call last):")
    log.say("[rank0]: Traceback (most recent call last):")
    log.say(f"[rank0]: {frame('/venv/torch/distributed.py', 3)}")
    log.say(f"[rank1]: {frame('/repo/mapanything/train/losses.py', 78)}")
    log.say("[rank0]: torch.distributed.DistBackendError: NCCL error: remote process exited")
    log.say("[rank1]: ValueError: the mask is empty")
    (finding,) = run_check("LOG002", log.write()).findings
    assert finding.line == 1
    assert "ValueError" in finding.message
    assert "losses.py:78" in finding.message


def test_what_was_typed_into_a_debugger_is_no_fault_of_the_training(log: Any) -> None:
    debugger = "/root/.vscode-server/debugpy/_vendored/pydevd/_pydevd_bundle/pydevd_vars.py"
    log.say("Traceback (most recent call last):")
    log.say(frame(debugger, 629))
    log.say(frame("<string>", 1))
    log.say("NameError: name 'tensor' is not defined")
    target = log.write()
    assert run_check("LOG001", target).status is Status.PASSED
    result = run_check("LOG002", target)
    assert result.status is Status.PASSED
    assert [finding.line for finding in result.findings] == [6]
    assert "debugger" in result.findings[0].message


def test_what_a_training_raises_under_a_debugger_is_its_own(log: Any) -> None:
    log.say("Traceback (most recent call last):")
    log.say(frame("/debugpy/_vendored/pydevd/pydevd.py", 3489))
    log.say(frame("/repo/mapanything/train/losses.py", 78))
    log.say("NameError: name 'Cylinder' is not defined")
    assert run_check("LOG001", log.write()).status is Status.FAILED


def test_a_launch_that_never_made_a_step_is_said_so(log: Any) -> None:
    import os

    log.say("Start training for 100 epochs")
    target = log.write()
    os.utime(target.logs[0], (1, 1))
    for finding in run_check("LOG004", target).findings:
        assert "step -1" not in finding.message


def test_an_interrupt_by_hand_is_a_warning(log: Any) -> None:
    log.say("Traceback (most recent call last):")
    log.say("KeyboardInterrupt")
    assert run_check("LOG002", log.write()).status is Status.WARNED


def _upload_fails(log: Any) -> None:
    log.say("Traceback (most recent call last):")
    log.say(frame("/venv/tracker/upload.py", 21))
    log.say("TimeoutError: will try again")


def test_an_exception_that_a_training_outlived_is_a_warning(log: Any) -> None:
    log.launch()
    log.start()
    log.epoch(0)
    _upload_fails(log)
    log.epoch(1)
    (finding,) = run_check("LOG002", log.write()).findings
    assert finding.severity is Severity.WARNING
    assert finding.message.endswith("will try again, in /venv/tracker/upload.py:21; the training went on")


def test_a_few_steps_of_the_other_ranks_or_another_launch_are_no_survival(log: Any) -> None:
    log.launch()
    log.start()
    log.epoch(0)
    _upload_fails(log)
    log.metrics("Epoch: [1]  [   0/1000]  eta: 0:03:44  lr: 0.001  epoch: 1.0 (1.0)", {"loss": 1.0}, 1, 0)
    assert run_check("LOG002", log.write()).status is Status.FAILED


def test_what_a_later_launch_overcame_is_history_for_the_gate(log: Any) -> None:
    log.launch()
    log.start()
    log.epoch(0)
    _upload_fails(log)
    log.say("NameError: name 'Cylinder' is not defined")
    log.launch()
    log.start()
    log.epoch(1)
    log.end()
    asked = log.write()
    assert run_check("LOG002", asked).status is Status.FAILED
    gate = replace(asked, logs=(), run=asked.repo)
    (finding,) = run_check("LOG002", gate).findings
    assert (finding.severity, finding.message.rpartition("; ")[2]) == (
        Severity.NOTE,
        "a later launch went on",
    )


def test_what_stopped_an_earlier_launch_does_not_hide_how_the_last_one_stopped(log: Any) -> None:
    log.launch()
    log.epoch(0)
    log.say("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB")
    _upload_fails(log)
    log.launch()
    log.epoch(1)
    log.epoch(2)
    del log.lines[-9:]
    asked = log.write()
    os.utime(asked.logs[0], (1, 1))
    found = run_check("LOG004", replace(asked, logs=(), run=asked.repo)).findings
    assert [finding.severity for finding in found] == [Severity.NOTE, Severity.WARNING]
    assert found[0].message.startswith("out of memory")
    assert "stops in epoch 2" in found[1].message
    (error, _) = run_check("LOG004", asked).findings
    assert error.severity is Severity.ERROR


def test_the_end_of_an_earlier_launch_is_not_that_of_the_last(healthy_log: Any) -> None:
    healthy_log.launch()
    healthy_log.start()
    healthy_log.epoch(7)
    del healthy_log.lines[-9:]
    target = healthy_log.write()
    os.utime(target.logs[0], (1, 1))
    (finding,) = run_check("LOG004", target).findings
    assert finding.severity is Severity.WARNING
    assert "stops in epoch 7" in finding.message


def test_a_line_that_two_ranks_wrote_is_counted(healthy_log: Any) -> None:
    line = healthy_log.say("Epoch: [0]  [ 100/1000]  eta: 0:03:44  lr: 0.0Epoch: [0]  [ 100/1000]")
    result = run_check("LOG003", healthy_log.write())
    finding = next(f for f in result.findings if f.severity is Severity.WARNING)
    assert (result.status, finding.line, finding.evidence["count"]) == (Status.WARNED, line, 1)


@pytest.mark.parametrize(
    "text",
    [
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB",
        "[E ProcessGroupNCCL.cpp:607] [Rank 2] Watchdog caught collective operation timeout: WorkNCCL(9)",
        "OSError: [Errno 28] No space left on device",
        "slurmstepd: error: *** JOB 17 ON node3 CANCELLED AT 2026-01-01T00:00:00 DUE TO TIME LIMIT ***",
        "Killed",
        "torch.distributed.elastic: failed (exitcode: -9) local_rank: 0",
    ],
)
def test_what_stopped_a_training_is_an_error_with_its_line(log: Any, text: str) -> None:
    log.launch()
    log.epoch(0)
    line = log.say(text)
    result = run_check("LOG004", log.write())
    assert result.status is Status.FAILED
    assert line in [finding.line for finding in result.findings]


def test_a_power_cut_leaves_nul_bytes_at_the_end(healthy_log: Any) -> None:
    target = healthy_log.write()
    path = target.logs[0]
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:50]) + bytes(5000))
    result = run_check("LOG004", target)
    assert (result.status, result.findings[0].line) == (Status.FAILED, 51)


def test_a_head_of_nul_bytes_is_a_note(healthy_log: Any) -> None:
    target = healthy_log.write()
    path = target.logs[0]
    path.write_bytes(bytes(1 << 20) + path.read_bytes())
    assert run_check("LOG004", target).status is Status.PASSED
    assert run_check("LOG013", target).status is Status.PASSED


def test_a_log_that_just_stops_is_a_warning_once_it_is_old(log: Any) -> None:
    log.launch()
    log.epoch(0)
    target = log.write()
    assert run_check("LOG004", target).status is Status.PASSED  # still written
    os.utime(target.logs[0], (0, 0))
    assert run_check("LOG004", Target(**{**vars(target), "gpus": 2})).status is Status.WARNED


def test_no_log_is_a_skip(tmp_path: Path) -> None:
    target = Target(repo=tmp_path, python=Path(sys.executable), run=tmp_path)
    assert {run_check(code, target).status for code in CODES} == {Status.SKIPPED}


@pytest.mark.parametrize("code", CODES)
def test_the_sandbox_s_own_training_is_silent(healthy: Path, code: str) -> None:
    from opv2v_doctor.target import make_target

    assert run_check(code, make_target(repo=healthy)).status in (Status.PASSED, Status.SKIPPED)


def test_the_log_of_the_mission_tells_its_five_problems() -> None:
    path = Path(__file__).parents[2] / "examples" / "mission" / "train.log"
    target, lines = of(path), path.read_text().splitlines()
    found = {code: run_check(code, target) for code in CODES}
    failed = {code for code, result in found.items() if result.status is Status.FAILED}
    assert failed == {"LOG001", "LOG005"}
    assert {code for code, result in found.items() if result.status is Status.WARNED} == {"LOG015"}

    (absent,) = found["LOG001"].findings
    assert NAME_ERROR in lines[(absent.line or 0) - 1]
    (length,) = found["LOG005"].findings
    assert "Epoch: [1]  [   0/4000]" in lines[(length.line or 0) - 1]
    assert (length.evidence["before"], length.evidence["after"]) == (5000, 4000)
    assert length.evidence["gpus"] == [4, 5]
    (stays,) = found["LOG015"].findings
    assert "Test Epoch: [1]" in lines[(stays.line or 0) - 1]

    mask = found["LOG017"].findings[0]  # 0.008 is learned, not collapsed
    assert mask.severity is Severity.NOTE
    assert "NonAmbiguousMaskLoss_mask_avg: 0.008" in lines[(mask.line or 0) - 1]
    pose = next(f for f in found["LOG019"].findings if "pose_trans" in f.message)
    assert 0.7 < float(str(pose.evidence["residual"])) < 0.85  # 7 to 8 is not metres
    assert "pose_trans_avg: 7." in lines[(pose.line or 0) - 1]
