"""The HTML report: one file for a pull request or a chat, which needs no network, no server and no script.

With a script it can be filtered; the page allows this one script and no other, by its digest, so that even a
text that were not escaped could not run.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from itertools import groupby
from typing import TYPE_CHECKING, Any

from opv2v_doctor import __version__
from opv2v_doctor.check import Finding
from opv2v_doctor.neutral import printable
from opv2v_doctor.reporters import Examination, ReportPicture
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
from opv2v_doctor.text import Text, Value

if TYPE_CHECKING:
    from jinja2 import Template

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
    from markupsafe import Markup

    kept, say = list(results), examination.say
    style, script = _part("report.css"), _part("report.js")
    yield _template().render(
        say=say,
        language=examination.language,
        version=__version__,
        style=Markup(style),
        script=Markup(script),
        policy=f"default-src 'none'; img-src data:; style-src {_digest(style)}; script-src {_digest(script)}",
        tone=TONES[exit_code(kept, strict=examination.strict)],
        verdict=verdict(kept, examination),
        head=list(_head(kept, examination)),
        first=_first(kept, examination),
        counts=[(status.value, n) for status in ORDER if (n := counts(kept)[status])],
        signs={status.value: sign for status, sign in SIGNS.items()},
        pictures=[_picture(one, examination) for one in examination.pictures(kept)],
        families=[(family, rows, _tally(rows)) for family, rows in _families(kept, examination)],
    )


@cache
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined

    surroundings = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    surroundings.filters["ticked"] = _with_code
    return surroundings.from_string(_part("report.html"))


@cache
def _part(name: str) -> str:
    return files("opv2v_doctor.reporters").joinpath(name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    """What a content security policy knows an inline script or style by."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _with_code(text: str) -> str:
    """A text, what stands between backticks as code."""
    from markupsafe import Markup, escape

    plain, *marked = re.split(r"`([^`\n]+)`", text)
    pairs = zip(marked[::2], marked[1::2], strict=True)
    return escape(plain) + Markup("").join(Markup("<code>{}</code>{}").format(*pair) for pair in pairs)


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


def _first(results: Sequence[Result], examination: Examination) -> Mapping[str, Any] | None:
    chosen = first(results)
    if chosen is None:
        return None
    check, finding = chosen
    return {"code": check.code, "claim": claim(check, examination), **_finding(finding, examination)}


def _families(
    results: Sequence[Result], examination: Examination
) -> Iterator[tuple[str, list[Mapping[str, Any]]]]:
    """The checks of each family, in the order of the checklist; a family that comes twice is one."""
    order = list(dict.fromkeys(result.check.family for result in results))
    gathered = sorted(results, key=lambda result: order.index(result.check.family))
    for family, alike in groupby(gathered, key=lambda result: result.check.family):
        yield family, [_row(result, examination) for result in alike]


def _row(result: Result, examination: Examination) -> Mapping[str, Any]:
    check = result.check
    return {
        "code": check.code,
        "name": check.name,
        "tier": check.tier.value,
        "requires": check.requires,
        "claim": claim(check, examination),
        "status": result.status.value,
        "examined": evidence(result, examination),
        "reason": one_line(result.reason.told(examination.say)) if result.reason else "",
        "place": place(result.at, examination),
        "hint": "\n".join(hint(way_out(result), examination)),
        "seconds": result.seconds,
        "is_open": bool(news(result)) or result.status in (Status.BLOCKED, Status.CRASHED),
        "findings": [_finding(finding, examination) for finding in result.findings],
        "page": _page(examination.page(check)),
    }


def _finding(finding: Finding, examination: Examination) -> Mapping[str, Any]:
    return {
        "severity": finding.severity.name.lower(),
        "message": "\n".join(message(finding, examination)),
        "place": place(finding.at, examination),
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
