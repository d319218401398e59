"""The page of a log: its curves, with the findings at their steps, in one file that needs no network."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from html import escape
from importlib.resources import files
from math import isfinite
from math import log as ln
from string import Template
from typing import Any

from opv2v_doctor.check import Finding, Severity
from opv2v_doctor.facts.past.logs.log_files import Log
from opv2v_doctor.facts.past.logs.run_configs import run_config
from opv2v_doctor.figures.plotly_page import plotly_tags
from opv2v_doctor.result import Result

PANELS = ("loss", "learning rate", "masks", "validation")
COLOURS = {Severity.ERROR: "#b3261e", Severity.WARNING: "#c98200", Severity.NOTE: "#8b96a3"}
FIGURE = """\
<div id="curves"></div>
<script id="figure" type="application/json">{}</script>
<script>
"use strict";
plotlyReady.then((Plotly) => {{
  const {{ data, layout }} = JSON.parse(document.getElementById("figure").textContent);
  Plotly.newPlot("curves", data, layout, {{ displaylogo: false, responsive: true }});
}});
</script>"""
Points = list[tuple[float, float, int]]  # epoch, value, line


def page(logs: Sequence[Log], results: Sequence[Result]) -> str:
    """The page as HTML."""
    shown = [log for log in logs if log.pieces]
    findings = [(result, finding) for result in results for finding in result.findings]
    drawn = _figure(shown, [finding for _, finding in findings]) if shown else "<p>No metrics to draw.</p>"
    title = f"Training log: {', '.join(log.path.name for log in shown[:3]) or 'no metrics'}"
    said = _number_of_findings([finding for _, finding in findings])
    return document(
        title,
        f"{sum(log.lines for log in logs)} lines; findings: {said}",
        drawn,
        "\n".join(_row(result, finding) for result, finding in findings),
    )


def document(title: str, summary: str, figure: str, rows: str) -> str:
    """A page of curves; figure and rows of its table are HTML."""
    template = Template(files("opv2v_doctor.figures").joinpath("curves.html").read_text(encoding="utf-8"))
    return template.substitute(title=escape(title), summary=escape(summary), figure=figure, rows=rows)


def _number_of_findings(findings: Sequence[Finding]) -> str:
    counts = {kind: sum(finding.severity is kind for finding in findings) for kind in reversed(Severity)}
    return ", ".join(f"{count} {kind.name.lower()}{'s' * (count != 1)}" for kind, count in counts.items())


def _row(result: Result, finding: Finding) -> str:
    place = f"{finding.path.name if finding.path else ''}{f':{finding.line}' if finding.line else ''}"
    severity = finding.severity.name.lower()
    cells = (result.check.code, severity, place, finding.message, str(finding.hint or ""))
    return f'<tr class="{severity}">{"".join(f"<td>{escape(cell)}</td>" for cell in cells)}</tr>'


def _figure(logs: Sequence[Log], findings: Sequence[Finding]) -> str:
    subplots = importlib.import_module("plotly.subplots")
    figure = subplots.make_subplots(
        rows=len(PANELS), cols=1, shared_xaxes=True, subplot_titles=PANELS, vertical_spacing=0.05
    )
    for log in logs:
        named = f"{log.path.parent.name}/{log.path.name}: " if len(logs) > 1 else ""
        for panel, name, points, dash in _curves(log):
            _draw(figure, PANELS.index(panel) + 1, f"{named}{name}", points, dash)
        for finding in findings:
            if finding.path == log.path and finding.line and finding.severity > Severity.NOTE:
                _mark(figure, log, finding)
    figure.update_layout(
        height=1100, hovermode="x unified", template="plotly_white", margin={"t": 40, "r": 20}
    )
    figure.update_xaxes(title_text="epoch", row=len(PANELS), col=1)
    told = figure.to_json().replace("<", "\\u003c")  # no word of a log closes the script tag
    return f"{plotly_tags()}\n{FIGURE.format(told)}"


def _draw(figure: Any, row: int, name: str, points: Points, dash: str) -> None:
    finite = [point for point in points if isfinite(point[1])]
    if finite:
        figure.add_scatter(
            x=[epoch for epoch, _, _ in finite],
            y=[value for _, value, _ in finite],
            customdata=[line for _, _, line in finite],
            hovertemplate="%{y:.5g} (line %{customdata})",
            name=escape(name),
            mode="lines+markers" if len(finite) < 60 else "lines",
            line={"dash": dash, "width": 1.6},
            row=row,
            col=1,
        )


def _mark(figure: Any, log: Log, finding: Finding) -> None:
    """A line across all panels where the log was when it said what the finding is about."""
    epoch = _epoch_at(log, finding.line or 0)
    figure.add_vline(
        x=epoch,
        line={"color": COLOURS[finding.severity], "dash": "dot", "width": 1},
        annotation={
            "text": f"line {finding.line}",
            "hovertext": escape(finding.message[:300]),
            "font": {"size": 10, "color": COLOURS[finding.severity]},
            "textangle": -90,
            "yanchor": "top",
        },
        row=1,
        col=1,
    )


def _epoch_at(log: Log, line: int) -> float:
    """How far the training was when a line was written."""
    before = [part for part in log.parts if part.first_line <= line]
    if not before:
        return 0.0
    part = max(before, key=lambda part: part.first_line)
    share = (line - part.first_line) / max(1, part.last_line - part.first_line)
    whole = (
        min(1.0, share) * (part.last_step + 1) / part.steps if part.steps and part.phase == "train" else 0.0
    )
    return part.epoch + whole


def _curves(log: Log) -> Iterator[tuple[str, str, Points, str]]:
    """(panel, name, points, dash) of everything that is drawn."""
    names = list(dict.fromkeys(name for _, run in log.pieces for name in run.names))
    yield "loss", "training loss (median)", _points(log, "train", "loss", False), "solid"
    yield "loss", "training loss (average)", _points(log, "train", "loss", True), "dash"
    for name in names:
        if name == "lr" or name.startswith("lr_"):
            measured = _points(log, "train", name, False)
            yield "learning rate", name, measured, "solid"
            yield "learning rate", f"{name}, as configured", _expectation(log, name, measured), "dot"
        elif "Mask" in name and name.endswith(("_mask_avg", "mask_mean")):
            points = _points(log, "train", name, True)
            yield "masks", name, points, "solid"
            if name.endswith("gt_mask_mean"):
                yield "masks", "H(target mean): the best constant", _entropies(points), "dot"
    yield "validation", "validation loss (average)", _points(log, "test", "loss", True), "solid"
    yield "validation", "training loss (average)", _points(log, "train", "loss", True), "dash"


def _points(log: Log, phase: str, name: str, average: bool) -> Points:
    found: Points = []
    for _, run in log.pieces:
        if run.phase != phase or name not in run.names:
            continue
        column = run.names.index(name)
        values = run.averages if average and run.averaged[column] else run.medians
        within = run.step.clip(0) / run.steps if run.steps and phase == "train" else run.step * 0.0
        found += zip(
            (run.epoch + within).tolist(), values[:, column].tolist(), run.line.tolist(), strict=True
        )
    if phase == "test":  # what an evaluation ends with
        later = [*found[1:], None]
        found = [one for one, after in zip(found, later, strict=False) if after is None or one[0] != after[0]]
    return found


def _expectation(log: Log, name: str, measured: Points) -> Points:
    config = run_config(log)
    if config is None:
        return []
    group = name.removeprefix("lr_") if name != "lr" else ""
    rates = [(epoch, config.rate(group, epoch), line) for epoch, _, line in measured]
    return [(epoch, rate, line) for epoch, rate, line in rates if rate is not None]


def _entropies(means: Points) -> Points:
    return [(x, -p * ln(p) - (1 - p) * ln(1 - p), line) for x, p, line in means if 0 < p < 1]
