"""The page of logs: the report of what is wrong with them, and their curves, in one offline file."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from opv2v_doctor import pages
from opv2v_doctor.check import Severity
from opv2v_doctor.facts.past.logs.happenings import happenings
from opv2v_doctor.facts.past.logs.log_files import Log
from opv2v_doctor.facts.past.logs.run_configs import run_config
from opv2v_doctor.facts.past.logs.summaries import summary
from opv2v_doctor.figures.log_charts import charts, epoch_at
from opv2v_doctor.figures.plotly_page import plotly_tags
from opv2v_doctor.figures.report_charts import Chart, Series
from opv2v_doctor.neutral import printable
from opv2v_doctor.reporters import Examination, Say
from opv2v_doctor.reporters.html import document
from opv2v_doctor.reporters.phrases import message, one_line
from opv2v_doctor.result import Result
from opv2v_doctor.text import Text

SCRIPTS, STYLES = ("figures/curves.js",), ("figures/curves.css",)
MOST_DIFFERENCES, LONGEST = 80, 100  # keys of configs, and characters of a value
NAMED_AS_SECRET = re.compile(r"token|secret|passw|api_?key|credential", re.IGNORECASE)


def page(logs: Sequence[Log], results: Sequence[Result], examination: Examination) -> str:
    """The page as HTML."""
    shown, say = [log for log in logs if log.pieces], examination.say
    names = names_of(shown)
    marks = list(_marks(shown, results, examination))
    runs = [_run(log, name, n, marks, say) for n, (log, name) in enumerate(zip(shown, names, strict=True))]
    head = [(run["name"], f"{run['epochs']}; {run['end']}; {say('best')}: {run['best']}") for run in runs]
    return document(
        results,
        examination,
        head=[
            (say("log"), printable(", ".join(str(log.path) for log in logs))),
            *(head if len(head) == 1 else []),
        ],
        **drawn(
            list(charts(shown, names)),
            say,
            runs=runs,
            differences=list(islice(_differences(shown), MOST_DIFFERENCES)) if len(shown) > 1 else [],
            launches=list(_launches(shown[0], say)) if len(shown) == 1 else [],
            marks=marks,
            bands=_bands(shown[0]) if len(shown) == 1 else [],
            events=list(_events(shown[0], results, say)) if len(shown) == 1 else [],
        ),
    )


def comparison(logs: Sequence[Log], say: Say = str, language: str = "en") -> str:
    """A page of several runs over each other, which judges nothing."""
    names = names_of(logs)
    styled = drawn(
        list(charts(logs, names)),
        say,
        runs=[_run(log, name, n, (), say) for n, (log, name) in enumerate(zip(logs, names, strict=True))],
        differences=list(islice(_differences(logs), MOST_DIFFERENCES)),
    )
    return alone(styled, title=say("Runs compared"), answer=", ".join(names), say=say, language=language)


def alone(styled: Mapping[str, Any], **values: Any) -> str:
    """A page of nothing but curves, and problems where there are some."""
    styles = ("reporters/report.css", *styled["styles"])
    return pages.render("figures/drawn.html", **{"problems": (), **values, **styled, "styles": styles})


def drawn(
    found: Sequence[Chart],
    say: Say,
    *,
    runs: Sequence[Mapping[str, Any]] = (),
    differences: Sequence[Any] = (),
    launches: Sequence[Mapping[str, Any]] = (),
    marks: Sequence[Mapping[str, Any]] = (),
    bands: Sequence[tuple[float, float]] = (),
    events: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """What makes a page of a report one with curves: its sections, their data, style, script and policy."""
    from markupsafe import Markup

    missing, found = [one for one in found if one.missing], [one for one in found if not one.missing]
    known = [point[0] for chart in found for one in chart.series for point in one.points]
    spread = (max(known) - min(known)) or 1.0 if known else 1.0
    told = {
        "charts": [_told(chart, say) for chart in found],
        "marks": marks,
        "bands": bands,
        "events": [{"x": event["x"], "told": event["told"]} for event in events],
        "span": [min(known, default=0.0) - 0.02 * spread, max(known, default=1.0) + 0.02 * spread],
        "words": pages.words(SCRIPTS, say),
    }
    sections = pages.fragment(
        "figures/curves.html",
        say=say,
        charts=found,
        missing=missing,
        runs=runs,
        differences=differences,
        launches=launches,
        events=events,
    )
    data = f'<script id="curves-data" type="application/json">{pages.embedded(told)}</script>\n'
    return {
        "charts": Markup(sections),
        "data": Markup(data + (plotly_tags() if found else "")),
        "policy": pages.DRAWING,
        "styles": STYLES,
        "scripts": SCRIPTS,
    }


def names_of(logs: Sequence[Log]) -> list[str]:
    """A name for each log that tells it from the others: its folder, else its file."""
    folders = [log.path.parent for log in logs]
    if len(set(folders)) < 2:
        return [printable(log.path.name) for log in logs]
    root = Path(os.path.commonpath(folders))
    return [
        printable(str((log.path if folders.count(folder) > 1 else folder).relative_to(root)))
        if folder != root
        else printable(log.path.name)
        for log, folder in zip(logs, folders, strict=True)
    ]


def _told(chart: Chart, say: Say) -> dict[str, Any]:
    return {
        "x": say(chart.x),
        "y": say(chart.y),
        "ratios": chart.ratios,
        "columns": chart.columns,
        "series": [
            {
                "name": printable(say(one.name)),
                "kind": one.kind,
                "colour": one.colour,
                "x": [round(point[0], 5) for point in one.points],
                "y": [float(f"{point[1]:.6g}") for point in one.points],
                "lines": [int(point[2]) for point in one.points] if _has_lines(one) else None,
            }
            for one in chart.series
        ],
    }


def _has_lines(one: Series) -> bool:
    return len(one.points[0]) > 2


def _marks(
    logs: Sequence[Log], results: Sequence[Result], examination: Examination
) -> Iterator[dict[str, Any]]:
    """Where the training was when it said what a finding is about; `id` is the finding's in the page."""
    by_path = {log.path: log for log in logs}
    for result in results:
        for number, finding in enumerate(result.findings, 1):
            log, line = by_path.get(finding.path) if finding.path else None, finding.event or finding.line
            if log is not None and line and finding.severity > Severity.NOTE:
                yield {
                    "id": f"{result.check.code}-{number}",
                    "code": result.check.code,
                    "severity": finding.severity.name.lower(),
                    "x": round(epoch_at(log, line), 4),
                    "message": " ".join(message(finding, examination))[:300],
                    "log": str(log.path),
                }


def _run(log: Log, name: str, number: int, marks: Sequence[Mapping[str, Any]], say: Say) -> dict[str, Any]:
    told = summary(log)
    own = [mark for mark in marks if mark["log"] == str(log.path)]
    first = min(own, key=lambda mark: mark["severity"] != "error", default=None)
    epochs = (
        Text("{n:epoch|epochs}", n=told.epochs)
        if told.planned is None
        else Text("{n:g} of {planned:g} epochs", n=told.epochs, planned=told.planned)
    )
    return {
        "name": name,
        "colour": number % 8,
        "epochs": say(epochs),
        "end": one_line(say(told.end)),
        "best": one_line(say(told.best)),
        "problem": (first["id"], f"{first['code']} {first['message']}"[:120]) if first else None,
    }


def _bands(log: Log) -> list[tuple[float, float]]:
    """Every second launch, from where to where it trained."""
    return [(epoch_at(log, one.first_line), epoch_at(log, one.last_line)) for one in log.trained[1::2]]


def _launches(log: Log, say: Say) -> Iterator[dict[str, Any]]:
    for one in log.trained:
        yield {
            "lines": f"{one.place}–{one.last_line}",
            "epochs": f"{one.first[0]}–{one.last[0]}",
            "steps": one.steps or "",
            "cause": one_line(say(one.cause)),
        }


def _events(log: Log, results: Sequence[Result], say: Say) -> Iterator[dict[str, Any]]:
    """What happened and is no finding: from where to where in epochs, its lines, and what it was."""
    judged = {
        finding.event or finding.line
        for result in results
        for finding in result.findings
        if finding.path == log.path and finding.severity > Severity.NOTE
    }
    for one in happenings(log):
        if not judged.intersection(range(one.line, one.last_line + 1)):
            begin, end = epoch_at(log, one.line), epoch_at(log, one.last_line)
            yield {
                "x": [round(begin, 4), round(max(begin, end), 4)],
                "lines": f"{one.line}–{one.last_line}" if one.last_line > one.line else str(one.line),
                "epochs": f"{begin:.2f}–{end:.2f}" if end > begin else f"{begin:.2f}",
                "told": one_line(say(one.told)),
            }


def _differences(logs: Sequence[Log]) -> Iterator[tuple[str, list[str]]]:
    """The keys whose values are not the same in all configs, and these values."""
    known = [_flat(config.values) if (config := run_config(log)) else None for log in logs]
    keys = {key for one in known if one for key in one}
    for key in sorted(
        keys, key=lambda key: (key.startswith("dataset."), key)
    ):  # whose many parts follow from few
        values = ["–" if one is None else one.get(key, "–") for one in known]
        told = {value for value, one in zip(values, known, strict=True) if one is not None}
        if len(told) > 1 and not NAMED_AS_SECRET.search(key):
            yield printable(key), values


def _flat(node: Mapping[str, Any], above: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in node.items():
        name = f"{above}{key}"
        if isinstance(value, Mapping) and value:
            found |= _flat(value, f"{name}.")
        else:
            text = printable(str(value))
            found[name] = text if len(text) <= LONGEST else f"{text[:LONGEST]} …"
    return found
