"""The GitHub report: workflow commands that become annotations on the lines of a pull request."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from opv2v_doctor.check import Check, Finding
from opv2v_doctor.reporters import Examination
from opv2v_doctor.reporters.wording import hazards, lines, one_line, outcome, place, printable, tally, verdict
from opv2v_doctor.result import Result, Status


def report(results: Iterable[Result], examination: Examination) -> Iterator[str]:
    """Write each result's annotations as it comes, then one line with the counts."""
    kept: list[Result] = []
    for result in results:
        kept.append(result)
        for finding in hazards(result):
            yield _annotation(result.check, finding, examination)
        if result.status in (Status.BLOCKED, Status.CRASHED):
            yield _command("error", {"title": _title(result.check)}, outcome(result))
    yield f"opv2v-doctor: {tally(kept)}: {verdict(kept, examination)}"


def _annotation(check: Check, finding: Finding, examination: Examination) -> str:
    """One annotation; a place outside the repository has no line to stand on and goes into the message."""
    path = examination.relative(finding.path) if finding.path else None
    inside = path is not None and not path.is_absolute()
    where = (
        {"file": printable(str(path)), **({"line": str(finding.line)} if finding.line else {})}
        if inside
        else {}
    )
    message = lines(finding.message)
    if path is not None and not inside:
        message = [f"{place(finding, examination)}:", *message]
    if finding.hint:
        message += [f"fix: {one_line(finding.hint)}"]
    return _command(finding.severity.name.lower(), {**where, "title": _title(check)}, "\n".join(message))


def _title(check: Check) -> str:
    return f"{check.code} {one_line(check.claim)}"


def _command(name: str, properties: Mapping[str, str], message: str) -> str:
    listed = ",".join(f"{key}={_property(value)}" for key, value in properties.items())
    return f"::{name} {listed}::{_escaped(message)}"


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _escaped(text).replace(":", "%3A").replace(",", "%2C")
