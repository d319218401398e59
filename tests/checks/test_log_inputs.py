"""What went into a training: samples, weights, and waiting for data."""

from typing import Any

from opv2v_doctor.result import Status
from opv2v_doctor.testing import run_check

WEIGHTS = {"model": {"pretrained": "/weights/model.pth"}, "train_params": {"epochs": 8}}


def test_samples_that_were_replaced_are_a_warning(healthy_log: Any) -> None:
    line = healthy_log.say("Error in Data.__getitem__ for scene_idx=12: cannot read 000069_camera2.png")
    healthy_log.say("Retrying with scene_idx=7 (1 of 3)")
    healthy_log.say("Error in Data.__getitem__ for scene_idx=31: cannot read 000069_camera2.png")
    result = run_check("LOG010", healthy_log.write())
    (finding,) = result.findings
    assert (result.status, finding.line) == (Status.WARNED, line)
    assert (finding.evidence["count"], finding.evidence["most_often"]) == (2, 2)


def test_weights_that_no_line_loads_are_an_error(log: Any) -> None:
    line = log.start()
    result = run_check("LOG011", log.write(WEIGHTS))
    assert (result.status, result.findings[0].line) == (Status.FAILED, line)


def test_weights_that_a_line_loads_are_fine(log: Any) -> None:
    log.say("Loading pretrained:")
    log.say("/weights/model.pth")
    log.say("_IncompatibleKeys(missing_keys=['head.weight', 'head.bias'], unexpected_keys=['old'])")
    log.start()
    result = run_check("LOG011", log.write(WEIGHTS))
    assert result.status is Status.PASSED
    assert "2 parameters" in result.findings[0].message


def test_a_training_that_waits_for_data_is_a_warning(log: Any) -> None:
    for epoch in range(6):
        log.epoch(epoch, time=1.0, data=0.8)
    assert run_check("LOG012", log.write()).status is Status.WARNED


def test_the_first_step_may_wait(log: Any) -> None:
    for epoch in range(100):
        log.epoch(epoch, steps=1, time=8.0, data=7.0)
    assert run_check("LOG012", log.write()).status is Status.PASSED
