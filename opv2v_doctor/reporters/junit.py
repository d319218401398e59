"""The JUnit report: for CI servers, a suite a family, a test case a check."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from io import BytesIO

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

from opv2v_doctor.check import Finding
from opv2v_doctor.reporters import Examination
from opv2v_doctor.reporters.phrases import hint, message, news, one_line, outcome, place, way_out
from opv2v_doctor.result import Result, Status


def report(results: Iterable[Result], examination: Examination) -> Iterator[str]:
    """Write the whole report as one document, once all results are there."""
    families: dict[str, list[Result]] = {}
    for result in results:
        families.setdefault(result.check.family, []).append(result)
    document = JUnitXml("opv2v-doctor")
    for family, members in families.items():
        document.add_testsuite(_suite(family, members, examination))
    document.update_statistics()  # type: ignore[no-untyped-call]
    stream = BytesIO()
    document.write(stream, pretty=True)
    yield stream.getvalue().decode("utf-8").rstrip("\n")


def _suite(family: str, results: list[Result], examination: Examination) -> TestSuite:
    suite = TestSuite(family)
    if examination.started is not None:
        suite.timestamp = examination.started.isoformat(timespec="seconds")
    suite.add_testcases([_case(result, examination) for result in results])
    return suite


def _case(result: Result, examination: Examination) -> TestCase:
    """A test case whose identity, code and name, stays the same when the wording changes."""
    check = result.check
    case = TestCase(f"{check.code} {check.name}", check.family, round(result.seconds, 3))
    told_of = [*result.findings, *([way_out(result)] if result.hint else [])]
    told = "\n".join(line for finding in told_of for line in _sentences(finding, examination))
    ending = _ending(result, told, strict=examination.strict)
    if ending is not None:
        case.result = [ending]
    if told and not isinstance(ending, Failure | Error):
        case.system_out = told
    return case


def _ending(result: Result, told: str, *, strict: bool) -> Skipped | Failure | Error | None:
    """What JUnit calls this status; None is a pass."""
    ending: Failure | Error
    if result.status in (Status.SKIPPED, Status.KNOWN):
        known = "known" * (result.status is Status.KNOWN)
        return Skipped(one_line(str(result.reason or known)))
    if result.status in (Status.BLOCKED, Status.CRASHED):
        ending = Error(outcome(result), str(result.status))
    elif result.status is Status.FAILED or (strict and result.status is Status.WARNED):
        worst = max(news(result), key=lambda finding: finding.severity, default=None)
        ending = Failure(one_line(worst.message) if worst else "", str(result.status))
    else:
        return None
    ending.text = told
    return ending


def _sentences(finding: Finding, examination: Examination) -> list[str]:
    where = place(finding.at, examination)
    head, *rest = message(finding, examination)
    fix = [f"  fix: {' '.join(line.strip() for line in hint(finding, examination))}"] if finding.hint else []
    severity = finding.severity.name.lower()
    return [
        f"{where}: {severity}: {head}" if where else f"{severity}: {head}",
        *(f"  {line}" for line in rest),
        *fix,
    ]
