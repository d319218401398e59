"""For tests of checks: run one check on a target, without what it requires, on facts that it is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from opv2v_doctor.registry import installed_checks
from opv2v_doctor.result import Result
from opv2v_doctor.runner import run
from opv2v_doctor.state import State
from opv2v_doctor.target import Target


def run_check(code: str, target: Target, given: Mapping[Callable[..., Any], Any] | None = None) -> Result:
    """The result of the installed check with this code.

    `given` are facts by their functions, `{coverages: (...,)}`: each has this value, whatever else it is
    asked with (a split, say), and is not measured. Facts that are not given are measured in a state of their
    own, and only where the check asks for them. So a check is tested in a moment, without an interpreter or
    a trained repository; the target need not even be there.

    Raises KeyError for a code that no installed check has, TypeError where what is given is no fact.
    """
    if given is not None:
        target = replace(target, state=State(given))
    check = {check.code: check for check in installed_checks()}[code]
    (result,) = run([check], target, ignored=dict.fromkeys(check.requires, "tested alone"))
    return result
