"""Log charts: what one asks of a training's log, a chart a question, of one run or of several."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import isfinite
from math import log as ln

from opv2v_doctor.facts.past.logs.log_files import Log
from opv2v_doctor.facts.past.logs.loss_curves import Point as EpochPoint
from opv2v_doctor.facts.past.logs.loss_curves import curve, curve_of_terms, shared_terms
from opv2v_doctor.facts.past.logs.metric_names import is_gradient_norm
from opv2v_doctor.facts.past.logs.run_configs import run_config
from opv2v_doctor.figures.report_charts import Chart, Point, Series, extremes
from opv2v_doctor.text import Text, quoted

MOST = 2000  # points of a curve: more are not seen
TRAINING, VALIDATION, EXPECTED = range(3)  # colours, the same in every chart
DONE = {
    "train": 1.0,
    "test": 0.0,
}  # the average of an epoch is known at its end; an evaluation names the epochs before it
GIB = 1024.0  # MiB

LOSS = Text("Loss: training against validation")
SHARED = Text("Loss of the terms that both have")
RATE = Text("Learning rate against its schedule")
MASK_LOSS = Text("Mask loss against the best constant")
MASK_MEAN = Text("Share of the masks: predicted against true")
GRADIENT = Text("Gradient norm")
TIMES = Text("Time of a step, and of loading its data")
MEMORY = Text("Memory of the GPU, at most so far")


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked of each log: its answer is some series, or none."""

    title: Text
    y: Text
    answer: Callable[[Log], Iterator[Series]]
    caption: str | Text = ""
    ratios: bool = False


def charts(logs: Sequence[Log], names: Sequence[str] = ()) -> Iterator[Chart]:
    """A chart of each question, drawn or missing.

    `names` tell several logs apart, and then a colour is a run instead of a phase.
    """
    for asked in QUESTIONS:
        series = []
        for number, log in enumerate(logs):
            for one in asked.answer(log):
                if len(logs) > 1 and one.kind in ("faint", "best", "last"):
                    continue  # of several runs that would be a thicket
                points = extremes([point for point in one.points if isfinite(point[1])], MOST)
                if not points:
                    continue
                named = (
                    Text("{run}: {curve}", run=names[number], curve=one.name) if len(logs) > 1 else one.name
                )
                kind = (
                    "dashes" if len(logs) > 1 and one.colour == TRAINING and one.kind == "steps" else one.kind
                )
                colour = number % 8 if len(logs) > 1 else one.colour
                series.append(Series(name=named, points=points, kind=kind, colour=colour))
        if not series:
            yield Chart(title=asked.title, family="log", missing=Text("not in this log"))
        else:
            yield Chart(
                title=asked.title,
                family="log",
                caption=asked.caption,
                x=Text("epochs"),
                y=asked.y,
                series=tuple(series),
                ratios=asked.ratios and all(point[1] > 0 for one in series for point in one.points),
            )


def loss_series(log: Log) -> Iterator[Series]:
    """The loss of both phases, the best and the last of what is validated, else of the training."""
    yield Series(
        name=Text("training (median of a window)"), points=lines(log, "train", "loss", False), kind="faint"
    )
    yield from _both(curve(log, "train"), curve(log, "test"))


def _shared(log: Log) -> Iterator[Series]:
    found = shared_terms(log)
    if found is not None:
        yield from _both(*(curve_of_terms(log, phase, found.names) for phase in DONE))


def _both(train: Sequence[EpochPoint], test: Sequence[EpochPoint]) -> Iterator[Series]:
    trained, tested = _ends(train, "train"), _ends(test, "test")
    yield Series(name=Text("training (average of an epoch)"), points=trained, kind="steps", colour=TRAINING)
    yield Series(name=Text("validation (average)"), points=tested, kind="steps", colour=VALIDATION)
    judged, colour = (tested, VALIDATION) if tested else (trained, TRAINING)
    done = DONE["test" if tested else "train"]  # the log counts an epoch from its start
    if judged:
        best, last = min(judged, key=lambda point: point[1]), judged[-1]
        yield Series(
            name=Text("best {value:.4g} (epoch {epoch:g})", value=best[1], epoch=best[0] - done),
            points=[best],
            kind="best",
            colour=colour,
        )
        yield Series(
            name=Text("last {value:.4g} (epoch {epoch:g})", value=last[1], epoch=last[0] - done),
            points=[last],
            kind="last",
            colour=colour,
        )


def _ends(points: Sequence[EpochPoint], phase: str) -> list[Point]:
    return [(one.epoch + DONE[phase], one.average, one.line) for one in points if isfinite(one.average)]


def _rates(log: Log) -> Iterator[Series]:
    config, groups = run_config(log), [name for name in _names(log) if name == "lr" or name.startswith("lr_")]
    for number, name in enumerate(groups):
        measured = lines(log, "train", name, False)
        yield Series(name=quoted(name), points=measured, colour=number if len(groups) > 1 else TRAINING)
        group = name.removeprefix("lr_") if name != "lr" else ""
        rates = [(x, config.rate(group, x), line) for x, _, line in measured] if config else []
        yield Series(
            name=Text("{name}, as configured", name=name),
            points=[(x, rate, line) for x, rate, line in rates if rate is not None],
            kind="dashes",
            colour=number if len(groups) > 1 else EXPECTED,
        )


def _mask_losses(log: Log) -> Iterator[Series]:
    for name in _mask_names(log, "_mask_avg"):
        yield Series(name=quoted(name), points=lines(log, "train", name, True), colour=TRAINING)
        yield Series(
            name=Text("{name}, validation", name=name),
            points=_ends(curve(log, "test", name), "test"),
            kind="steps",
            colour=VALIDATION,
        )
    for name in _mask_names(log, "gt_mask_mean"):
        means = lines(log, "train", name, True)
        yield Series(
            name=Text("the best constant: H(mean of the target)"),
            points=[(x, -p * ln(p) - (1 - p) * ln(1 - p), line) for x, p, line in means if 0 < p < 1],
            kind="dashes",
            colour=EXPECTED,
        )


def _mask_means(log: Log) -> Iterator[Series]:
    for name in _mask_names(log, "mask_mean"):
        is_true = name.endswith("gt_mask_mean")
        yield Series(
            name=quoted(name),
            points=lines(log, "train", name, True),
            kind="dashes" if is_true else "line",
            colour=TRAINING,
        )
        yield Series(
            name=Text("{name}, validation", name=name),
            points=_ends(curve(log, "test", name), "test"),
            kind="dashes" if is_true else "steps",
            colour=VALIDATION,
        )


def _gradients(log: Log) -> Iterator[Series]:
    norms = [name for name in _names(log) if is_gradient_norm(name) and "loss" not in name.lower()]
    for colour, name in enumerate(norms):
        yield Series(name=quoted(name), points=lines(log, "train", name, False), colour=colour % 4)


def _times(log: Log) -> Iterator[Series]:
    for colour, (name, told) in enumerate((("time", Text("a step")), ("data", Text("waiting for its data")))):
        yield Series(name=told, points=lines(log, "train", name, False), colour=colour)


def _memory(log: Log) -> Iterator[Series]:
    points = [(x, value / GIB, line) for x, value, line in lines(log, "train", "max mem", False)]
    yield Series(name=Text("memory"), points=points)


def _names(log: Log) -> list[str]:
    return list(dict.fromkeys(name for _, run in log.pieces if run.phase == "train" for name in run.names))


def _mask_names(log: Log, end: str) -> list[str]:
    return [name for name in _names(log) if "Mask" in name and name.endswith(end)]


def lines(log: Log, phase: str, name: str, average: bool) -> list[Point]:
    """A number of every line that was kept: (epochs, value, line of the log)."""
    found: list[Point] = []
    for _, run in log.pieces:
        if run.phase == phase and name in run.names:
            column = run.names.index(name)
            values = run.averages if average and run.averaged[column] else run.medians
            within = run.step.clip(0) / run.steps if run.steps else run.step * 0.0
            found += zip(
                (run.epoch + within).tolist(), values[:, column].tolist(), run.line.tolist(), strict=True
            )
    return found


def epoch_at(log: Log, line: int) -> float:
    """How far the training was, in epochs, when a line was written."""
    before = [part for part in log.parts if part.first_line <= line]
    if not before:
        return 0.0
    part = max(before, key=lambda part: part.first_line)
    if not part.steps or part.phase != "train":
        return float(part.epoch)
    share = (line - part.first_line) / max(1, part.last_line - part.first_line)
    return part.epoch + min(1.0, share) * (part.last_step + 1) / part.steps


QUESTIONS = (
    Question(title=LOSS, y=Text("loss"), answer=loss_series, ratios=True),
    Question(
        title=SHARED,
        y=Text("loss"),
        answer=_shared,
        caption=Text("The criteria of training and validation differ: these are on one yardstick."),
        ratios=True,
    ),
    Question(title=RATE, y=Text("learning rate"), answer=_rates),
    Question(
        title=MASK_LOSS,
        y=Text("mask loss"),
        answer=_mask_losses,
        caption=Text("What is not below the dashed line has learned nothing of where the masks are."),
        ratios=True,
    ),
    Question(title=MASK_MEAN, y=Text("share of the view"), answer=_mask_means),
    Question(title=GRADIENT, y=Text("norm"), answer=_gradients, ratios=True),
    Question(title=TIMES, y=Text("seconds"), answer=_times, ratios=True),
    Question(title=MEMORY, y=Text("GiB"), answer=_memory),
)
