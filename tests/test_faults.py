"""Every fault that can be put into the embedded repository is named by its check, and only where it is."""

from collections.abc import Callable
from pathlib import Path

import pytest

from opv2v_doctor.registry import installed_checks
from opv2v_doctor.result import Status
from opv2v_doctor.sandbox import FAULTS
from opv2v_doctor.target import make_target
from opv2v_doctor.testing import run_check

CODES = {check.code for check in installed_checks()}
BAD = (Status.FAILED, Status.WARNED, Status.BLOCKED)
# A check that needs hardware has fixtures of its own (a driver made for the test); so has what no edit of a
# repository can bring about.
ELSEWHERE = {
    "CFG010": "tests/checks/test_config.py",
    "CFG012": "tests/checks/test_config.py",
    "DAT002": "tests/checks/test_dataset.py",
    "LDR003": "tests/checks/test_loader.py",
    "ENV001": "tests/checks/test_environment.py",
    "ENV005": "tests/checks/test_environment.py",
    "ENV006": "tests/checks/test_environment.py",
}


@pytest.mark.parametrize("name", [name for name, fault in FAULTS.items() if fault.code in CODES])
def test_a_fault_is_named_by_its_check(name: str, broken: Callable[..., Path]) -> None:
    result = run_check(FAULTS[name].code, make_target(repo=broken(name)))
    assert result.status in BAD, (result.status, result.reason)
    assert result.findings or result.reason


@pytest.mark.parametrize("code", sorted(CODES))
def test_each_check_has_a_fixture_that_makes_it_fire(code: str) -> None:
    if code in ELSEWHERE:
        assert code in (Path(__file__).parents[1] / ELSEWHERE[code]).read_text()
    else:
        assert code in {fault.code for fault in FAULTS.values()}
