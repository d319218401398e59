"""What went wrong in the launches of the last training: names that were not there, and exceptions."""

from typing import Any

import pytest

from opv2v_doctor import Severity
from opv2v_doctor.registry import installed_checks, select
from opv2v_doctor.result import Status, first_to_fix
from opv2v_doctor.runner import run
from opv2v_doctor.target import Target
from opv2v_doctor.testing import run_check

OLD, NEW = "/home/user/old", "/repo"
MISSING = "name 'OPV2VCoopCylindricalDataset' is not defined"
MEMORY = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB"


def frame(path: str, line: int) -> str:
    return f'  File "{path}", line {line}, in train\n    call()'


def raises(log: Any, text: str, path: str = "/repo/mapanything/train/losses.py", line: int = 78) -> int:
    """A traceback; the line of its exception."""
    log.say("Traceback (most recent call last):")
    log.say(frame(path, line))
    return int(log.say(text))


def first(target: Target) -> str:
    """The code of what is to be fixed first."""
    chosen = first_to_fix(run(select(installed_checks(), ["LOG"]), target))
    assert chosen is not None
    return chosen[0].check.code


def test_a_class_that_an_older_copy_lacks_is_an_error(log: Any) -> None:
    log.launch(job=f"{OLD}/mapanything/train")
    log.say("Traceback (most recent call last):")
    log.say(frame(f"{OLD}/scripts/train.py", 50))
    log.say(frame(f"{OLD}/mapanything/datasets/__init__.py", 71))
    log.say('  File "<string>", line 1, in <module>')
    line = log.say(f"NameError: {MISSING}")
    log.launch(job=f"{NEW}/mapanything/train")
    result = run_check("LOG001", log.write())
    (finding,) = result.findings
    assert (result.status, finding.line, finding.event) == (Status.FAILED, line, line)
    values = finding.text.values
    assert (values["copy"], values["name"]) == (OLD, "OPV2VCoopCylindricalDataset")
    assert (
        f"in {OLD}/mapanything/datasets/__init__.py:71; other launches of this log ran {NEW}"
        in finding.message
    )
    assert str(finding.hint) == f"launch from {NEW}, with PYTHONPATH=."


def test_without_another_copy_the_name_is_told(log: Any) -> None:
    raises(log, "ModuleNotFoundError: No module named 'mapanything.utils'", "/venv/bin/x.py")
    (finding,) = run_check("LOG001", log.write()).findings
    assert "other launches" not in finding.message
    assert str(finding.hint) == "launch from the checkout that defines mapanything.utils, with PYTHONPATH=."


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("ImportError: cannot import name 'Cylinder' from 'mapanything'", Status.FAILED),
        ("AttributeError: module 'mapanything' has no attribute 'Cylinder'", Status.FAILED),
        ("AttributeError: partially initialized module 'a' has no attribute 'b'", Status.FAILED),
        ("AttributeError: 'NoneType' object has no attribute 'shape'", Status.PASSED),
        ("ValueError: name 'x' is not defined", Status.PASSED),
        ("NameError: something else", Status.PASSED),
    ],
)
def test_a_missing_name_is_told_from_other_exceptions(log: Any, text: str, status: Status) -> None:
    log.launch()
    log.epoch(0)
    raises(log, text)
    target = log.write()
    assert run_check("LOG001", target).status is status
    assert run_check("LOG002", target).status is Status.FAILED


def test_of_a_chain_the_name_that_ended_the_process_counts(log: Any) -> None:
    log.launch()
    log.epoch(0)
    raises(log, "ValueError: the mask is empty")
    log.say("During handling of the above exception, another exception occurred:")
    raises(log, f"NameError: {MISSING}")
    assert run_check("LOG001", log.write()).status is Status.FAILED  # it ended the process
    log.say("During handling of the above exception, another exception occurred:")
    raises(log, "ValueError: no other loader")
    assert run_check("LOG001", log.write()).status is Status.PASSED


def test_one_event_is_told_once(log: Any) -> None:
    log.launch()
    log.epoch(0)
    line = raises(log, f"NameError: {MISSING}")
    target = log.write()
    (other,) = run_check("LOG002", target).findings
    assert (other.message, str(other.hint)) == (
        "NameError stopped the launch, as LOG001 says",
        "fix LOG001 first",
    )
    (end,) = run_check("LOG004", target).findings
    assert end.message == f"the last launch stopped in epoch 0, step 999 of 1000 (LOG001, line {line})"
    assert first(target) == "LOG001"


def test_the_cause_is_told_from_what_followed(log: Any) -> None:
    log.say("[rank1]: Traceback (most recent call last):")
    log.say("[rank0]: Traceback (most recent call last):")
    log.say(f"[rank0]: {frame('/venv/torch/distributed.py', 3)}")
    log.say(f"[rank1]: {frame('/repo/mapanything/train/losses.py', 78)}")
    log.say("[rank0]: torch.distributed.DistBackendError: NCCL error: remote process exited")
    log.say("[rank1]: ValueError: the mask is empty")
    (finding,) = run_check("LOG002", log.write()).findings
    assert finding.line == 1
    assert finding.message == "ValueError: the mask is empty, in /repo/mapanything/train/losses.py:78"


def test_a_consequence_alone_is_told(log: Any) -> None:
    log.launch()
    log.epoch(0)
    raises(log, "torch.distributed.elastic.multiprocessing.errors.ChildFailedError: ")
    (finding,) = run_check("LOG002", log.write()).findings
    assert finding.message.startswith("ChildFailedError")


def test_a_consequence_refers_to_what_came_from_outside(log: Any) -> None:
    log.launch()
    log.epoch(0)
    killed = log.say("Killed")
    raises(log, "torch.distributed.elastic.multiprocessing.errors.ChildFailedError: ")
    target = log.write()
    (finding,) = run_check("LOG002", target).findings
    assert finding.message == f"ChildFailedError followed from line {killed}: see LOG004"
    (end,) = run_check("LOG004", target).findings
    assert (end.line, end.message) == (killed, "it was killed: Killed (1 line)")
    assert first(target) == "LOG004"


def test_a_consequence_refers_to_a_loss_that_is_not_finite(log: Any) -> None:
    log.launch()
    log.epoch(0)
    line = log.say("Loss is nan, stopping training")
    raises(log, "torch.distributed.elastic.multiprocessing.errors.ChildFailedError: ")
    target = log.write()
    (finding,) = run_check("LOG002", target).findings
    assert finding.message == f"ChildFailedError followed from line {line}: see LOG014"
    (end,) = run_check("LOG004", target).findings
    assert end.message.endswith(f"(LOG014, line {line})")
    assert first(target) == "LOG014"


def test_the_causes_of_one_launch_do_not_hide_the_end_of_another(log: Any) -> None:
    log.launch()
    raises(log, "ValueError: the mask is empty")
    log.launch()
    log.epoch(0)
    raises(log, "torch.distributed.elastic.multiprocessing.errors.ChildFailedError: ")
    found = run_check("LOG002", log.write()).findings
    assert [(finding.severity, finding.message[:10]) for finding in found] == [
        (Severity.NOTE, "ValueError"),
        (Severity.ERROR, "ChildFaile"),
    ]


def test_what_was_typed_into_a_debugger_is_no_fault_of_the_training(log: Any) -> None:
    debugger = "/root/.vscode-server/debugpy/_vendored/pydevd/_pydevd_bundle/pydevd_vars.py"
    log.launch()
    log.epoch(0)
    log.say("Traceback (most recent call last):")
    log.say(frame(debugger, 629))
    log.say(frame("<string>", 1))
    line = log.say("NameError: name 'tensor' is not defined")
    target = log.write()
    assert run_check("LOG001", target).status is Status.PASSED
    result = run_check("LOG002", target)
    assert result.status is Status.PASSED
    assert [finding.line for finding in result.findings] == [line]
    assert "debugger" in result.findings[0].message


def test_what_a_training_raises_under_a_debugger_is_its_own(log: Any) -> None:
    log.say("Traceback (most recent call last):")
    log.say(frame("/debugpy/_vendored/pydevd/pydevd.py", 3489))
    log.say(frame("/repo/mapanything/train/losses.py", 78))
    log.say("NameError: name 'Cylinder' is not defined")
    assert run_check("LOG001", log.write()).status is Status.FAILED


def test_an_interrupt_by_hand_is_the_end_and_no_fault(log: Any) -> None:
    log.launch()
    log.epoch(0)
    line = raises(log, "KeyboardInterrupt")
    target = log.write()
    result = run_check("LOG002", target)
    assert (result.status, result.findings[0].hint) == (Status.PASSED, None)
    end = run_check("LOG004", target)
    assert (end.status, end.findings[0].line) == (Status.WARNED, line - 3)  # where its traceback begins


def test_what_was_interrupted_is_resumed_from_what_was_saved(log: Any) -> None:
    log.launch()
    log.epoch(0)
    log.save("last")
    raises(log, "KeyboardInterrupt")
    (finding,) = run_check("LOG004", log.write()).findings
    assert str(finding.hint) == "resume: train_params.resume=true"


@pytest.mark.parametrize(
    ("saved", "then"), [(True, "resume: train_params.resume=true"), (False, "launch again")]
)
def test_the_way_on_is_the_one_that_there_is(log: Any, saved: bool, then: str) -> None:
    log.launch()
    log.epoch(0)
    if saved:
        log.save("last")
    raises(log, "ValueError: the mask is empty")
    log.save("too late")
    (finding,) = run_check("LOG002", log.write()).findings
    assert str(finding.hint) == f"correct what it says, then {then}"


def test_an_exception_about_memory_has_the_remedy_for_memory(log: Any) -> None:
    log.launch()
    log.epoch(0)
    line = raises(log, MEMORY)
    target = log.write()
    (finding,) = run_check("LOG002", target).findings
    assert "max_num_of_imgs_per_gpu" in str(finding.hint)
    (end,) = run_check("LOG004", target).findings
    assert end.message.endswith(f"(LOG002, line {line - 3})")  # where its traceback begins
    assert first(target) == "LOG002"


def test_the_last_lines_of_an_exception_are_shown(log: Any) -> None:
    log.launch()
    log.epoch(0)
    raises(log, "RuntimeError: Error(s) in loading state_dict for MapAnything:")
    log.say('\tMissing key(s) in state_dict: "normal_head.weight", "normal_head.bias".')
    log.say("not part of it")
    (finding,) = run_check("LOG002", log.write()).findings
    assert '"normal_head.weight", "normal_head.bias"., in ' in finding.message
    assert "not part" not in finding.message


def test_what_several_ranks_say_is_counted(log: Any) -> None:
    log.launch(3)
    log.epoch(0)
    for _ in range(3):
        raises(log, "ValueError: the mask is empty")
    (finding,) = run_check("LOG002", log.write()).findings
    assert finding.message.endswith("losses.py:78; 3 tracebacks")


def _upload_fails(log: Any) -> int:
    return raises(log, "TimeoutError: will try again", "/venv/tracker/upload.py", 21)


def test_an_exception_that_a_training_outlived_is_a_warning(log: Any) -> None:
    log.launch()
    log.start()
    log.epoch(0)
    _upload_fails(log)
    log.epoch(1)
    (finding,) = run_check("LOG002", log.write()).findings
    assert finding.severity is Severity.WARNING
    assert finding.message.endswith("will try again, in /venv/tracker/upload.py:21; the training went on")
    assert str(finding.hint) == "see whether what failed there is missing from the training"


def test_a_name_that_a_training_did_without_is_a_warning_of_one_check(log: Any) -> None:
    log.launch()
    log.epoch(0)
    raises(log, f"NameError: {MISSING}")
    log.epoch(1)
    target = log.write()
    assert run_check("LOG001", target).status is Status.WARNED
    assert run_check("LOG002", target).status is Status.PASSED


def test_a_few_steps_of_the_other_ranks_or_another_launch_are_no_survival(log: Any) -> None:
    log.launch()
    log.start()
    log.epoch(0)
    _upload_fails(log)
    log.metrics("Epoch: [1]  [   0/1000]  eta: 0:03:44  lr: 0.001  epoch: 1.0 (1.0)", {"loss": 1.0}, 1, 0)
    assert run_check("LOG002", log.write()).status is Status.FAILED


def test_an_epoch_of_nan_is_no_survival(log: Any) -> None:
    log.launch()
    log.epoch(0)
    _upload_fails(log)
    log.epoch(1, loss=float("nan"))
    log.end()
    assert run_check("LOG002", log.write()).status is Status.FAILED


def test_what_a_later_launch_overcame_is_history(log: Any) -> None:
    log.launch()
    log.start()
    log.epoch(0)
    _upload_fails(log)
    missing = log.say("NameError: name 'Cylinder' is not defined")
    log.launch()
    log.start()
    log.epoch(1)
    log.end()
    target = log.write()
    (finding,) = run_check("LOG002", target).findings
    assert (finding.severity, finding.message.rpartition("; ")[2]) == (
        Severity.NOTE,
        "a later launch went on",
    )
    assert finding.hint is None
    assert run_check("LOG002", target).status is Status.PASSED
    assert missing > 0


def test_the_name_that_a_later_launch_found_is_history(log: Any) -> None:
    log.launch()
    raises(log, f"NameError: {MISSING}")
    log.launch()
    log.epoch(0)
    target = log.write()
    result = run_check("LOG001", target)
    (finding,) = result.findings
    assert (result.status, finding.severity, finding.hint) == (Status.PASSED, Severity.NOTE, None)
    assert run_check("LOG002", target).findings == ()


def test_what_was_overcome_does_not_hide_that_it_came_again(log: Any) -> None:
    log.launch()
    log.epoch(0)
    raises(log, MEMORY)
    log.launch()
    log.epoch(1)
    again = raises(log, MEMORY)
    found = run_check("LOG002", log.write()).findings
    assert [(finding.severity, finding.event) for finding in found if finding.severity > Severity.NOTE] == [
        (Severity.ERROR, again)
    ]
    assert len(found) == 2


def test_one_of_what_was_typed_is_enough(log: Any) -> None:
    log.launch()
    log.epoch(0)
    for _ in range(3):
        log.say("Traceback (most recent call last):")
        log.say(frame("/debugpy/_vendored/pydevd/pydevd_vars.py", 629))
        log.say(frame("<string>", 1))
        log.say("NameError: name 'tensor' is not defined")
    assert len(run_check("LOG002", log.write()).findings) == 1
