"""Log: curves over the epochs: a validation that does not fall, a metric that does not move."""

import math
from collections.abc import Sequence

from opv2v_doctor import (
    Findings,
    Place,
    Skip,
    Target,
    Text,
    Threshold,
    check,
    counted,
    examined,
    note,
    sentence,
    warning,
)
from opv2v_doctor.facts.past.logs import each_log, judged_logs
from opv2v_doctor.facts.past.logs.epoch_parts import EpochPart, Span
from opv2v_doctor.facts.past.logs.log_files import Log
from opv2v_doctor.facts.past.logs.loss_curves import Point, curve, fall

FEWEST_EPOCHS = Threshold(4, "epochs", "fewer show no trend")
FEWEST_TESTS = Threshold(5, "evaluations", "fewer show no trend")
FEWEST_LINES = Threshold(50, "metric lines", "so many equal values are no chance")
WORTH = Threshold(0.1, "of the training loss", "validation is compared with a training that fell by more")
FOLLOWS = Threshold(
    0.1, "of the fall of the training loss", "a validation that learns falls by more", faulty=-0.025
)
LEAST = Threshold(0.01, "the value of a metric", "below it, four decimals do not show whether it moves")
NOT_LEARNED = ("lr", "epoch", "wd", "time", "data", "max mem", "momentum", "gt_mask_mean", "n_parameters")


@check("LOG015", tier="run")
def validation_falls_with_training(target: Target) -> Findings:
    """The validation loss falls while the training loss does.

    ## Why it matters
    A validation that stays where it was, while training falls, is the sign of learning by heart, of a
    validation set unlike the training's, or of a validation that measures something else.

    ## How to fix
    Look at the parts of the validation loss: one that stays high holds the sum up. Compare the preprocessing
    of the two sets, and stop where it was best.
    """
    yield from each_log(judged_logs(target), _validation)


def _validation(log: Log) -> Findings:
    train, test = curve(log, "train"), curve(log, "test")
    if len(test) < FEWEST_TESTS or len(train) < FEWEST_EPOCHS:
        raise Skip(
            "{epochs} and {tests} with a loss, at least {fewest:g} and {fewest_tests:g} are needed",
            epochs=counted(len(train), "epoch"),
            tests=counted(len(test), "evaluation"),
            fewest=FEWEST_EPOCHS,
            fewest_tests=FEWEST_TESTS,
        )
    if not all(math.isfinite(point.average) for point in (*train, *test)):
        raise Skip("the losses are not all finite: see LOG014")
    trained, tested = fall(train), fall(test)
    if trained <= WORTH:
        raise Skip(
            "the training loss changed by {change:+.1%}: validation is compared with a fall of more than "
            "{worth:.0%}",
            change=-trained,
            worth=WORTH,
        )
    yield examined(len(test), "evaluation")
    said = sentence([_course(Text("validation loss"), test), _course(Text("training loss"), train)])
    if tested < FOLLOWS * trained:
        yield warning(
            said,
            hint="look for the part of the validation loss that stays high, among the metrics of this line",
            at=Place(log.path, test[0].line),
            trained=trained,
            tested=tested,
        )
    else:
        yield note(said, at=Place(log.path, test[-1].line), trained=trained, tested=tested)


def _course(name: Text, points: Sequence[Point]) -> Text:
    """A curve by three of its points."""
    best = min(points, key=lambda point: point.average)
    return Text(
        "{name} {first:.4g} (epoch {first_epoch}), best {best:.4g} (epoch {best_epoch}), last {last:.4g} "
        "(epoch {last_epoch})",
        name=name,
        first=points[0].average,
        first_epoch=points[0].epoch,
        best=best.average,
        best_epoch=best.epoch,
        last=points[-1].average,
        last_epoch=points[-1].epoch,
    )


@check("LOG016", tier="run")
def no_metric_is_stuck(target: Target) -> Findings:
    """No metric has had one and the same value for epochs.

    ## Why it matters
    A loss that does not move to the last digit has no gradient: a detached branch, a constant target, a
    frozen head, an output that is clamped.

    ## How to fix
    See that the output it is computed from depends on weights that are trained.
    """
    yield from each_log(judged_logs(target), _moving)


def _moving(log: Log) -> Findings:
    last = log.segments[-1].number if log.segments else -1
    for phase, fewest in (("train", FEWEST_LINES), ("test", FEWEST_TESTS)):
        parts = [part for part in log.phase(phase) if part.segment == last]
        names = dict.fromkeys(name for part in parts[-int(FEWEST_EPOCHS) :] for name in part.names)
        judged = [
            name
            for name in names
            if not name.endswith(NOT_LEARNED)
            and not name.startswith("lr_")
            and _is_enough(parts, name, fewest)
        ]
        yield examined(len(judged), "metric", phase=phase)
        for name in judged:
            yield from _stuck(log, name, parts, fewest)


def _is_enough(parts: Sequence[EpochPart], name: str, fewest: float) -> bool:
    """Whether a metric can be judged. Zero cannot: a loss that does not apply is zero."""
    spans = [span for part in parts if (span := part.span(name))]
    last = parts[-1].span(name)
    if last is None or not math.isfinite(last.last_median) or abs(last.last_median) < LEAST:
        return False
    return len(spans) >= FEWEST_EPOCHS and sum(span.count for span in spans) >= fewest


def _stuck(log: Log, name: str, parts: Sequence[EpochPart], fewest: float) -> Findings:
    """A metric that has not moved for epochs."""
    same: list[tuple[EpochPart, Span]] = []
    for part in reversed(parts):
        span = part.span(name)
        if span is None or not span.lowest == span.highest == (same[0][1] if same else span).last_median:
            break
        same.append((part, span))
    lines = sum(span.count for _, span in same)
    if len(same) >= FEWEST_EPOCHS and lines >= fewest:
        part, span = same[-1]
        yield warning(
            "{metric} is {value:g} in all {n:line|lines} since epoch {epoch} ({phase})",
            hint="see that what {metric} is computed from is trained and not clamped",
            at=Place(log.path, span.first_line),
            event=span.first_line,
            metric=name,
            value=span.last_median,
            n=lines,
            epoch=part.epoch,
            phase=part.phase,
            epochs=len(same),
        )
