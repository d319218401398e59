"""Every fault that can be put into the embedded repository is named by its check, and only where it is."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from opv2v_doctor.diagnosis import CHECKS as DIAGNOSIS
from opv2v_doctor.registry import installed_checks
from opv2v_doctor.result import Status
from opv2v_doctor.sandbox import FAULTS
from opv2v_doctor.smoke import CHECKS as SMOKE
from opv2v_doctor.target import make_target
from opv2v_doctor.testing import run_check

CODES = {check.code for check in installed_checks()}
ONE_SPLIT = {code for code in CODES if code.startswith("GEO")}  # its faults are in all samples of every split
BAD = (Status.FAILED, Status.WARNED, Status.BLOCKED)
FAMILIES = "".join(path.read_text() for path in (Path(__file__).parent / "checks").glob("test_*.py"))
# a fault that its family's tests put in is held there, to its path and line; the others are held here, but
# for those of another launch than the default one (checks/test_single_cameras.py)
HERE = [
    name
    for name, fault in FAULTS.items()
    if fault.code in CODES and not fault.overrides and f'"{name}"' not in FAMILIES
]


@pytest.mark.parametrize("name", HERE)
def test_a_fault_is_named_by_its_check(name: str, broken: Callable[..., Path]) -> None:
    code = FAULTS[name].code
    few: dict[str, Any] = {"splits": ("test",), "num_samples": 2} if code in ONE_SPLIT else {}
    result = run_check(code, make_target(repo=broken(name), **few))
    assert result.status in BAD, (result.status, result.reason)
    assert result.findings or result.reason


@pytest.mark.parametrize("code", sorted(CODES))
def test_each_check_has_a_fixture_that_makes_it_fire(code: str) -> None:
    """A fault, or a test of its own where no edit of a repository brings the fault about."""
    assert code in {fault.code for fault in FAULTS.values()} or code in FAMILIES


def test_each_fault_is_one_that_some_check_names() -> None:
    elsewhere = {check.code for check in (*SMOKE, *DIAGNOSIS)}
    assert {fault.code for fault in FAULTS.values()} <= CODES | elsewhere
