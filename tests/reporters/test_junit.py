"""The JUnit report: what each status becomes, and that any message is well-formed XML."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import junitparser

from opv2v_doctor.reporters import REPORTERS, Examination
from opv2v_doctor.result import Result


def cases(report: str) -> dict[str, junitparser.TestCase]:
    """The test cases by the code of their check."""
    document = junitparser.JUnitXml.fromstring(report.encode("utf-8"))
    return {case.name.split()[0]: case for suite in document for case in suite}


def test_a_suite_is_a_family(written: Callable[[str], str]) -> None:
    document = junitparser.JUnitXml.fromstring(written("junit").encode("utf-8"))
    assert [(suite.name, suite.tests) for suite in document] == [
        ("config", 2),
        ("dataset", 3),
        ("checkpoint", 1),
    ]
    assert (document.tests, document.failures, document.errors, document.skipped) == (6, 1, 2, 1)


def test_every_status_has_its_outcome(written: Callable[[str], str]) -> None:
    by_code = cases(written("junit"))
    assert by_code["CFG901"].is_passed
    assert by_code["CFG902"].is_failure
    assert by_code["DAT901"].is_error
    assert by_code["DAT902"].is_error
    assert by_code["DAT903"].is_passed
    assert by_code["DAT903"].system_out
    assert by_code["CKP901"].is_skipped


def test_a_failure_says_where(written: Callable[[str], str]) -> None:
    (failure,) = cases(written("junit"))["CFG902"].result
    assert "configs/dataset/opv2v.yaml:12: error:" in failure.text


def test_a_warning_is_a_failure_when_strict(results: tuple[Result, ...], examination: Examination) -> None:
    report = "".join(REPORTERS["junit"](results, replace(examination, strict=True)))
    assert cases(report)["DAT903"].is_failure
