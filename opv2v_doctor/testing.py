"""For tests of checks: run one check on a target, without what it requires."""

from __future__ import annotations

from opv2v_doctor.registry import installed_checks
from opv2v_doctor.result import Result
from opv2v_doctor.runner import run
from opv2v_doctor.target import Target


def run_check(code: str, target: Target) -> Result:
    """The result of the installed check with this code.

    Raises KeyError for a code that no installed check has.
    """
    check = {check.code: check for check in installed_checks()}[code]
    (result,) = run([check], target, ignored=dict.fromkeys(check.requires, "tested alone"))
    return result
