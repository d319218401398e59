"""The Markdown report: a pull request comment, the verdict on top and the findings folded away."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from opv2v_doctor.check import Finding
from opv2v_doctor.reporters import Examination
from opv2v_doctor.reporters.phrases import (
    claim,
    evidence,
    first,
    hazards,
    hint,
    launch,
    message,
    one_line,
    outcome,
    place,
    revision,
    tally,
    verdict,
)
from opv2v_doctor.result import Result, Status, exit_code

SIGNS = {0: "✅", 1: "❌", 3: "❓"}
STATUS_SIGNS = {
    Status.PASSED: "✅",
    Status.WARNED: "⚠️",
    Status.FAILED: "❌",
    Status.KNOWN: "☑️",
    Status.SKIPPED: "➖",
    Status.BLOCKED: "❓",
    Status.CRASHED: "💥",
}


def escape(text: str) -> str:
    """Plain text as one line of Markdown: no markup, no HTML, no table cell, and nobody is notified."""
    plain = re.sub(r"([\\`*_\[\]|~#!$])", r"\\\1", one_line(text))
    plain = plain.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    plain = re.sub(r"^(\d+(?=[.)](\s|$))|(?=[-+]))", r"\1\\", plain)  # it would start a list
    return re.sub(r"([@#])(?=\w)", "\\1\N{ZERO WIDTH SPACE}", plain)


def report(results: Iterable[Result], examination: Examination) -> Iterator[str]:
    """Write the whole report, once all results are there."""
    kept, say = list(results), examination.say
    sign = SIGNS[exit_code(kept, strict=examination.strict)]
    yield f"## {sign} opv2v-doctor: {verdict(kept, examination)}"
    yield ""
    what = ", ".join(escape(part) for part in (revision(examination), launch(examination)) if part)
    yield f"{tally(kept, say)}. {what}."
    yield from _first(kept, examination)
    yield from _table(kept, examination)
    for result in kept:
        if hazards(result):
            yield from _details(
                f"{result.check.code} {say(result.status.value)}", _list(hazards(result), examination)
            )
    notes = [f for result in kept for f in result.findings if f not in hazards(result)]
    if notes:
        yield from _details(f"{say('notes')} ({len(notes)})", _list(notes, examination))


def _first(results: list[Result], examination: Examination) -> Iterator[str]:
    chosen = first(results)
    if chosen is not None:
        check, finding = chosen
        yield ""
        yield f"**{examination.say('First to fix: ')}{check.code}** (`opv2v-doctor explain {check.code}`)"
        yield ""
        yield from _list([finding], examination)


def _table(results: list[Result], examination: Examination) -> Iterator[str]:
    say = examination.say
    yield from ("", f"| {say('check')} | | {say('claim')} |", "| --- | --- | --- |")
    for result in results:
        seen = evidence(result, examination)
        cell = f"{STATUS_SIGNS[result.status]} {escape(outcome(result, say))}" + f" ({escape(seen)})" * bool(
            seen
        )
        yield f"| {result.check.code} | {cell} | {escape(claim(result.check, examination))} |"


def _details(summary: str, body: Iterable[str]) -> Iterator[str]:
    yield from ("", f"<details><summary>{summary}</summary>")
    yield from ("", *body, "", "</details>")


def _list(findings: Iterable[Finding], examination: Examination) -> Iterator[str]:
    for finding in findings:
        where = place(finding.at, examination)
        shown = f"<code>{escape(where)}</code> " if where else ""
        said = "<br>".join(escape(line) for line in message(finding, examination))
        told = " ".join(line.strip() for line in hint(finding, examination))
        fix = f"<br>{examination.say('fix: ')}{escape(told)}" if told else ""
        yield f"- {shown}{said}{fix}"
