"""The GitHub report: workflow commands that become annotations on the lines of a pull request."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from opv2v_doctor.check import Check, Finding
from opv2v_doctor.neutral import printable
from opv2v_doctor.reporters import Examination
from opv2v_doctor.reporters.phrases import (
    hint,
    message,
    news,
    one_line,
    place,
    tally,
    verdict,
    way_out,
)
from opv2v_doctor.result import Result, Status


def report(results: Iterable[Result], examination: Examination) -> Iterator[str]:
    """Write each result's annotations as it comes, then one line with the counts."""
    kept: list[Result] = []
    for result in results:
        kept.append(result)
        for finding in news(result):
            yield _annotation(result.check, finding, examination)
        if result.status in (Status.BLOCKED, Status.CRASHED):
            yield _annotation(result.check, way_out(result), examination)
    yield f"opv2v-doctor: {tally(kept)}: {verdict(kept, examination)}"


def _annotation(check: Check, finding: Finding, examination: Examination) -> str:
    """One annotation; a place outside the repository has no line to stand on and goes into the message."""
    path = examination.relative(finding.at.path) if finding.at else None
    inside = path is not None and not path.is_absolute()
    where = (
        {"file": printable(str(path)), **({"line": str(finding.line)} if finding.line else {})}
        if inside
        else {}
    )
    said = message(finding, examination)
    if finding.at and (not inside or finding.at.near):
        said = [f"{place(finding.at, examination)}:", *said]
    if told := hint(finding, examination):
        said += [f"fix: {' '.join(line.strip() for line in told)}"]
    return _command(finding.severity.name.lower(), {**where, "title": _title(check)}, "\n".join(said))


def _title(check: Check) -> str:
    return f"{check.code} {one_line(check.claim)}"


def _command(name: str, properties: Mapping[str, str], message: str) -> str:
    listed = ",".join(f"{key}={_property(value)}" for key, value in properties.items())
    return f"::{name} {listed}::{_escape(message)}"


def _escape(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _escape(text).replace(":", "%3A").replace(",", "%2C")
