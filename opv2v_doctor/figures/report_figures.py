"""The pictures of a report: drawn of facts that the checks have measured, never by measuring anew."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from math import isfinite
from statistics import mean

from opv2v_doctor.check import NoAnswer, Skip
from opv2v_doctor.figures.report_charts import Chart, Point, Series
from opv2v_doctor.result import Result, Status
from opv2v_doctor.target import Target
from opv2v_doctor.text import Text

MOST_WORLD_SIZES = 4
ANSWERED = (Status.PASSED, Status.WARNED, Status.FAILED)
STACKED = 0.09  # of a row: how far apart views of one value are drawn


def charts(target: Target, results: Sequence[Result]) -> Iterator[Chart]:
    """A chart of each kind that the checks asked for; where its fact is not known, the reason."""
    by_code = {result.check.code: result for result in results}
    for title, family, code, draw in _KINDS:
        result = by_code.get(code)
        if result is None:
            continue  # nobody asked for it
        measured = result.status in ANSWERED or (result.status is Status.SKIPPED and result.findings)
        why = None if measured else _untold(result)
        try:
            found = list(draw(target)) if not why else []
        except NoAnswer as problem:
            found, why = [], problem.reason
        except Exception as problem:  # a picture must not cost the report of all that was examined
            said = f"{type(problem).__name__}: {problem}"
            found, why = [], Text("it cannot be drawn: {problem}", problem=said)
        nothing = Text("there is nothing to draw")
        yield from found or [Chart(title=title, family=family, missing=why or nothing)]


def _untold(result: Result) -> Text:
    """That the check which measures what would be drawn gave no answer."""
    status = Text(result.status.value)
    reason = result.reason or status
    return Text("{code} was {status}: {reason}", code=result.check.code, status=status, reason=reason)


def _loader_lengths(target: Target) -> Iterator[Chart]:
    from opv2v_doctor.facts.launch.loaders import lengths, real_length

    found, now = lengths(target), real_length(target)
    if not found:
        raise Skip("an epoch is as long as its data: only this launch's length is known")
    wanted, ends = target.settings.steps_per_epoch, (min(found), max(found))
    here = Series(name=Text("this launch"), points=[(now.gpus, now.steps)], kind="dots", colour=1)
    yield Chart(
        title=LENGTHS,
        family="loader",
        caption=Text(
            "This launch's dataset config on other numbers of GPUs: an epoch is not the same training."
        ),
        x=Text("GPUs"),
        y=Text("steps per epoch"),
        series=(
            Series(name=Text("steps per epoch"), points=list(found.items()), kind="steps"),
            *(
                [Series(name=Text("wanted"), points=[(x, wanted) for x in ends], kind="dashes", colour=2)]
                if wanted
                else []
            ),
            here,
        ),
    )


def _learning_rates(target: Target) -> Iterator[Chart]:
    from opv2v_doctor.facts.launch.loaders import computed_length
    from opv2v_doctor.facts.launch.schedule import curves, steps_per_epoch

    if steps_per_epoch(target) is None:
        raise Skip("an epoch is as long as its data: its updates are not known")
    series = []
    for colour, gpus in enumerate(_world_sizes(target)):
        length = computed_length(target, gpus)
        if length is None or not length.steps:
            continue
        trained = [curve for curve in curves(target, length.steps).values() if not curve.plan.frozen]
        rates = [
            (e * length.steps, rate) for e, rate in zip(trained[0].epochs, trained[0].rates, strict=True)
        ]
        steps = Text("{gpus:GPU|GPUs}, {steps} steps per epoch", gpus=gpus, steps=length.steps)
        series.append(Series(name=steps, points=rates, kind="dashes" if colour else "line", colour=colour))
    yield Chart(
        title=RATES,
        family="schedule",
        caption=Text(
            "The first trained parameter group, by the repository's own function: "
            "what the same config does on other numbers of GPUs."
        ),
        x=Text("updates"),
        y=Text("learning rate"),
        series=tuple(series),
    )


def _world_sizes(target: Target) -> list[int]:
    """This launch's first, then those that the settings know, else the next one."""
    others = [gpus for gpus, _ in target.settings.launch.variants if gpus != target.gpus]
    return [target.gpus, *(others or [target.gpus + 1])][:MOST_WORLD_SIZES]


def _masks(target: Target) -> Iterator[Chart]:
    from opv2v_doctor.facts.samples.draws import each_split

    splits, dots, valid, seen, cropped = [], [], [], [], []
    for row, drawn in enumerate(reversed(list(each_split(target)))):  # the first one on top
        splits.append(drawn.split)
        dots += _stack(row, [view.mask_mean for view in drawn.views])
        valid += _stack(row - 0.3, [view.valid_mean for view in drawn.views])
        for place, cut in _expected_means(target, drawn.split):
            seen.append((place, float(row)))
            cropped.append((cut, float(row)))
    yield Chart(
        title=MASKS,
        family="masks",
        caption=Text("One dot per view. What the rig sees follows from its cameras alone."),
        x=Text("share of the panorama"),
        series=(
            Series(name=Text("what the rig sees"), points=seen, kind="ticks", colour=1),
            Series(name=Text("if images were cropped first"), points=cropped, kind="ticks", colour=3),
            Series(name="non_ambiguous_mask", points=dots, kind="dots"),
            Series(name="valid_mask", points=valid, kind="dots", colour=2),
        ),
        rows=tuple(splits),
        ends=(0.0, 1.0),
    )


def _stack(row: float, means: Sequence[float | None]) -> list[Point]:
    """One dot a view; views of nearly the same value above each other."""
    seen: Counter[float] = Counter()
    points: list[Point] = []
    for value in sorted(value for value in means if value is not None):
        near = round(value, 2)
        points.append((value, row + STACKED * min(seen[near], 3)))
        seen[near] += 1
    return points


def _expected_means(target: Target, split: str) -> list[tuple[float, float]]:
    """What the rigs of a split see, on average, with whole and with cropped images; none where not known."""
    from opv2v_doctor.facts.geometry.coverages import coverages

    try:
        found = coverages(target, split)
    except NoAnswer:
        return []
    cropped = [view.cropped for view in found if view.cropped is not None]
    return [(mean(view.seen for view in found), mean(cropped))] if cropped else []


def _depths(target: Target) -> Iterator[Chart]:
    from opv2v_doctor.facts.geometry.lidar import lidar_errors
    from opv2v_doctor.facts.launch.splits import examined_splits

    found = {}
    for split in examined_splits(target):
        with suppress(NoAnswer):  # a split without LiDAR files has no part in the picture
            found[split] = lidar_errors(target, split)
    for title, parts in ((DEPTHS, "distances"), (SECTORS, "sectors")):
        names = list(dict.fromkeys(name for e in found.values() for name, _, _ in getattr(e, parts)))
        if not names:
            continue
        yield Chart(
            title=title,
            family="geometry",
            caption=Text(
                "Relative difference of the depth from the LiDAR points at its pixels: "
                "the dot is the median, the line reaches to the 90th percentile."
            ),
            y=Text("difference, %"),
            series=tuple(
                Series(
                    name=split,
                    points=[
                        (names.index(name) + 0.16 * (place - (len(found) - 1) / 2), 100 * low, 100 * high)
                        for name, low, high in getattr(errors, parts)
                    ],
                    kind="spans",
                    colour=place,
                )
                for place, (split, errors) in enumerate(found.items())
            ),
            columns=tuple(map(str, names)),
        )


def _losses(target: Target) -> Iterator[Chart]:
    from opv2v_doctor.facts.past.logs import judged_logs
    from opv2v_doctor.figures.log_charts import loss_series

    for log in judged_logs(target)[:1]:
        series = [replace(one, points=[p for p in one.points if isfinite(p[1])]) for one in loss_series(log)]
        if any(one.points for one in series):
            yield Chart(
                title=LOSSES,
                family="log",
                caption=f"{log.path.parent.name}/{log.path.name}",
                x=Text("epochs"),
                y=Text("loss"),
                series=tuple(one for one in series if one.points),
            )


LENGTHS, RATES = Text("Steps per epoch over world sizes"), Text("Learning rate by update")
MASKS, LOSSES = Text("Masks against what the rig sees"), Text("Loss, as the log has it")
DEPTHS, SECTORS = Text("Depth against LiDAR, by distance"), Text("Depth against LiDAR, by direction")

# title, family, the check that has measured what is drawn, and what draws it
_KINDS: tuple[tuple[Text, str, str, Callable[[Target], Iterator[Chart]]], ...] = (
    (LENGTHS, "loader", "LDR001", _loader_lengths),
    (RATES, "schedule", "SCH002", _learning_rates),
    (MASKS, "masks", "MSK001", _masks),
    (DEPTHS, "geometry", "GEO007", _depths),
    (LOSSES, "log", "LOG003", _losses),
)
