"""The HTML report: one file for a pull request or a chat, which needs no network, no server and no script.

With a script it can be filtered; the page allows this one script and no other, by its digest, so that even a
text that were not escaped could not run.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import groupby
from typing import Any

from opv2v_doctor import pages
from opv2v_doctor.check import Finding, Severity
from opv2v_doctor.neutral import printable
from opv2v_doctor.reporters import Examination, Excerpt, ReportPicture
from opv2v_doctor.reporters.json import plain, strict
from opv2v_doctor.reporters.phrases import (
    claim,
    counts,
    evidence,
    first,
    hint,
    launch,
    message,
    news,
    one_line,
    place,
    revision,
    verdict,
    way_out,
)
from opv2v_doctor.result import Result, Status, exit_code
from opv2v_doctor.text import Place, Text, Value

SIGNS = {
    Status.PASSED: "✓",
    Status.WARNED: "!",
    Status.FAILED: "✗",
    Status.KNOWN: "=",
    Status.SKIPPED: "–",
    Status.BLOCKED: "?",
    Status.CRASHED: "‼",
}
TONES = {0: "passed", 1: "failed", 3: "blocked"}
ORDER = (
    *(Status.FAILED, Status.CRASHED, Status.BLOCKED, Status.WARNED),
    *(Status.PASSED, Status.KNOWN, Status.SKIPPED),
)
LONGEST_NUMBER = 600  # characters of one piece of evidence


def report(results: Iterable[Result], examination: Examination) -> Iterator[str]:
    """Write the whole page, once all results are there."""
    yield document(list(results), examination)


def document(results: Sequence[Result], examination: Examination, **more: Any) -> str:
    """The page of these results; `more` is what `pages.render` takes besides, as charts and their script."""
    found = [one for result in results for one in (*result.findings, way_out(result)) if one.at]
    worst = [one.at for one in found if one.severity > Severity.NOTE and one.at]
    told = _Told(examination, examination.excerpts(worst))
    values: dict[str, Any] = {
        "tone": TONES[exit_code(results, strict=examination.strict)],
        "title": verdict(results, examination),
        "head": list(_head(results, examination)),
        "first": told.first(results),
        "counts": [(status.value, n) for status in ORDER if (n := counts(results)[status])],
        "signs": {status.value: sign for status, sign in SIGNS.items()},
        "pictures": [_picture(one, examination) for one in examination.pictures(results)],
        "families": [(family, rows, _tally(rows)) for family, rows in told.families(results)],
        "charts": "",
        "data": "",
    }
    styles, scripts = ("reporters/report.css",), ("reporters/report.js", *more.pop("scripts", ()))
    return pages.render(
        "reporters/report.html",
        styles=(*styles, *more.pop("styles", ())),
        scripts=scripts,
        say=examination.say,
        language=examination.language,
        **{**values, **more},
    )


def _tally(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, int]]:
    """How many checks of a family ended in each status, the worst first."""
    seen = Counter(row["status"] for row in rows)
    return [(status.value, seen[status.value]) for status in ORDER if seen[status.value]]


def _head(results: Sequence[Result], examination: Examination) -> Iterator[tuple[str, str]]:
    """What was examined, as names and values."""
    say, started = examination.say, examination.started
    yield say("repository"), printable(str(examination.repo))
    yield say("revision"), revision(examination)
    if examination.gpus is not None:
        yield say("launch"), launch(examination)
    if started:
        seconds = sum(result.seconds for result in results)
        yield say("examined"), f"{started:%Y-%m-%d %H:%M} {started.tzname() or ''} ({seconds:.1f} s)"


class _Told:
    """Results in the words of a page, with what stands at their places."""

    def __init__(self, examination: Examination, excerpts: Mapping[Place, Excerpt]) -> None:
        self.examination, self.excerpts = examination, excerpts

    def first(self, results: Sequence[Result]) -> Mapping[str, Any] | None:
        chosen = first(results)
        if chosen is None:
            return None
        check, found = chosen
        (result,) = (one for one in results if one.check is check)
        place = result.findings.index(found) + 1 if found in result.findings else 0
        told = {"code": check.code, "claim": claim(check, self.examination), "id": f"{check.code}-{place}"}
        return {**told, **self.finding(found)}

    def families(self, results: Sequence[Result]) -> Iterator[tuple[str, list[Mapping[str, Any]]]]:
        """The checks of each family, in the order of the checklist; a family that comes twice is one."""
        order = list(dict.fromkeys(result.check.family for result in results))
        gathered = sorted(results, key=lambda result: order.index(result.check.family))
        for family, alike in groupby(gathered, key=lambda result: result.check.family):
            yield family, [self.row(result) for result in alike]

    def row(self, result: Result) -> Mapping[str, Any]:
        check, examination = result.check, self.examination
        return {
            "code": check.code,
            "name": check.name,
            "tier": check.tier.value,
            "requires": check.requires,
            "claim": claim(check, examination),
            "status": result.status.value,
            "examined": evidence(result, examination),
            "reason": one_line(result.reason.told(examination.say)) if result.reason else "",
            "way_out": {**self.finding(way_out(result)), "message": ""},
            "seconds": result.seconds,
            "is_open": bool(news(result)) or result.status in (Status.BLOCKED, Status.CRASHED),
            "findings": [self.finding(finding) for finding in result.findings],
            "page": _page(examination.page(check)),
        }

    def finding(self, finding: Finding) -> Mapping[str, Any]:
        examination, at = self.examination, finding.at
        return {
            "severity": finding.severity.name.lower(),
            "message": "\n".join(message(finding, examination)),
            "place": place(at, examination),
            "line": at.line if at else None,
            "address": examination.address(at) if at else "",
            "excerpt": self.excerpts.get(at, ()) if at else (),
            "hint": "\n".join(hint(finding, examination)),
            "evidence": [(printable(name), _number(value)) for name, value in finding.text.values.items()],
        }


def _number(value: Value) -> str:
    """A piece of evidence in one line: a sentence as it is, all else as JSON."""
    text = (
        str(value) if isinstance(value, str | Text) else json.dumps(strict(plain(value)), ensure_ascii=False)
    )
    return one_line(text if len(text) <= LONGEST_NUMBER else f"{text[:LONGEST_NUMBER]} …")


def _picture(picture: ReportPicture, examination: Examination) -> Mapping[str, Any]:
    from markupsafe import Markup

    return {
        "title": picture.title,
        "family": picture.family,
        "caption": printable(examination.say(picture.caption)),
        "legend": picture.legend,
        "missing": one_line(examination.say(picture.missing)),
        "svg": "" if picture.missing else Markup(picture.svg(examination.say)),
    }


@cache
def _page(page: str) -> str:
    """The check's page below its claim, as HTML that nothing in a docstring can break out of."""
    from markdown_it import MarkdownIt
    from markupsafe import Markup

    reader = MarkdownIt("commonmark", {"html": False}).disable("image")
    tokens = reader.parse(page.partition("\n")[2])
    for token in tokens:
        if token.tag in ("h1", "h2", "h3"):
            token.tag = "h4"
    return Markup(reader.renderer.render(tokens, reader.options, {}))
