"""Log: what the numbers say: rates, losses, masks, curves over the epochs, and what went in."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from statistics import fmean

from opv2v_doctor import (
    Blocked,
    Finding,
    Findings,
    Place,
    Skip,
    Target,
    Text,
    Threshold,
    check,
    counted,
    error,
    examined,
    note,
    sentence,
    warning,
)
from opv2v_doctor.facts.past.logs import config_of, each_log, judged_logs, launches_with_steps, text_logs
from opv2v_doctor.facts.past.logs.epoch_parts import EpochPart, Span
from opv2v_doctor.facts.past.logs.log_files import Log
from opv2v_doctor.facts.past.logs.loss_curves import (
    Point,
    SharedTerms,
    curve,
    curve_of_terms,
    fall,
    shared_terms,
    updates,
)
from opv2v_doctor.facts.past.logs.metric_names import (
    has_bounds,
    is_gradient_norm,
    is_loss,
    is_score,
    is_setting,
)
from opv2v_doctor.facts.past.logs.metric_rows import MetricRows
from opv2v_doctor.facts.past.logs.residuals import RobustLoss, robust_loss
from opv2v_doctor.facts.past.logs.run_configs import RunConfig, run_config
from opv2v_doctor.facts.past.logs.stops import AFTERMATH
from opv2v_doctor.facts.past.mask_bounds import FEWEST_UPDATES, bounds

ROUNDING = 0.51e-6  # rates are printed with six decimals
RATE = Threshold(
    1e-3, "of the rate", "what float32 and the rounding of an epoch's steps explain", healthy=0.0
)


@check("LOG013", tier="run")
def learning_rate_follows_its_schedule(target: Target) -> Findings:
    """The learning rates in the log are those of the configured schedule.

    ## Why it matters
    Another rate than planned: a schedule stepped once for each process, a resume with another config, a group
    that the schedule does not reach.

    ## How to fix
    Compare the config of the launch with that of the run, and resume with the run's own.
    """
    yield from each_log(judged_logs(target), _schedule)


def _schedule(log: Log) -> Findings:
    if log.source != "text":
        raise Skip("{log} does not hold the rate of each step", log=log.path)
    config = config_of(log)
    if config.rate("", 0.0) is None:
        raise Skip("the config names no schedule that is known here", at=config.place)
    for group in ("", *config.groups):
        yield from _group(log, config, group)


@dataclass(frozen=True, order=True)
class _Rate:
    distance: float
    line: int
    measured: float
    expected: float

    @property
    def is_wrong(self) -> bool:
        return self.distance > ROUNDING + RATE * abs(self.expected)


def _group(log: Log, config: RunConfig, group: str) -> Findings:
    """One group's rates in the last launch: the config is that launch's."""
    name = f"lr_{group}" if group else "lr"
    last = log.segments[-1].number if log.segments else -1
    runs = [
        run for segment, run in log.pieces if segment == last and run.phase == "train" and name in run.names
    ]
    rates = [rate for run in runs if run.steps for rate in _rates(run, config, group, name)]
    wrong = [rate for rate in rates if rate.is_wrong]
    yield examined(len(rates), "learning rate", group=group)
    if wrong and not config.names_schedule(group):
        raise Blocked(
            "{name} does not follow a linear warm-up and a cosine, and the config names no schedule_type",
            hint="name it: train_params.schedule_type",
            at=config.place,
            name=name,
        )
    if wrong:
        yield _other_rates(log, config, name, rates)


def _other_rates(log: Log, config: RunConfig, name: str, rates: list[_Rate]) -> Finding:
    wrong = [rate for rate in rates if rate.is_wrong]
    first, worst = wrong[0], max(wrong)
    return error(
        "{name} is {measured:g}, the schedule gives {expected:.6f}; {wrong} of {n:line|lines} differ, most "
        "of all line {worst} with {most:g} instead of {most_expected:.6f}",
        hint="compare train_params with {config}: lr, min_lr, warmup_epochs, epochs",
        at=Place(log.path, first.line),
        event=first.line,
        name=name,
        measured=first.measured,
        expected=first.expected,
        wrong=len(wrong),
        n=len(rates),
        worst=worst.line,
        most=worst.measured,
        most_expected=worst.expected,
        config=config.place,
    )


def _rates(run: MetricRows, config: RunConfig, group: str, name: str) -> Iterator[_Rate]:
    """The rates of a run's lines; within an accumulation of gradients, the rate stays."""
    stride = max(1, int(config.number("train_params.accum_iter") or 1))
    measured = run.medians[:, run.names.index(name)]
    for epoch, step, line, rate in zip(run.epoch, run.step, run.line, measured, strict=True):
        expected = config.rate(group, float(epoch + step // stride * stride / run.steps))
        if expected is not None and math.isfinite(rate):
            yield _Rate(abs(rate - expected), int(line), float(rate), expected)


@check("LOG014", tier="run")
def every_value_is_finite(target: Target) -> Findings:
    """Every value in the log is a finite number.

    ## Why it matters
    From the first NaN on, the weights are NaN: what is trained after it is lost, and so is every checkpoint
    that was written since.

    ## How to fix
    Resume from the last checkpoint before it with a lower learning rate or `train_params.amp=0`; look at the
    batch that was saved beside the log.
    """
    yield from each_log(judged_logs(target), _finite)


def _finite(log: Log) -> Findings:
    yield examined(sum(part.values for part in log.parts), "value")
    broken = sorted(
        ((span.broken_line, name, part) for part, name, span in _spans(log) if span.broken_line),
        key=lambda one: one[0],
    )
    aside = [one for one in broken if _is_aside(*one[1:])]
    broken = [one for one in broken if one not in aside]
    stopped = log.of("unstable")
    lasting = [one for one in broken if log.fate(one[0], one[0]) == "stopped"]
    for line, name, part in (lasting or broken)[:1]:
        metrics = {name for _, name, _ in (lasting or broken)}
        said = Text(
            "{metric} is not a finite number, first in epoch {epoch} ({phase}); in all "
            "{n:metric is|metrics are} not finite",
            metric=name,
            epoch=part.epoch,
            phase=part.phase,
            n=len(metrics),
        )
        yield _broken(log, line, said, lasting=bool(lasting))
    for line, name, part in aside[:1]:
        yield note(
            "{metric} is not a finite number in {n:epoch|epochs}, first in epoch {epoch} ({phase}); "
            "the losses are",
            at=Place(log.path, line),
            event=line,
            metric=name,
            n=sum(other == name for _, other, _ in aside),
            epoch=part.epoch,
            phase=part.phase,
        )
    unresolved = [one for one in stopped if log.fate(one.line, one.line) != "overcome"]
    for one in (unresolved or stopped)[:1]:
        if not lasting or one.line < lasting[0][0]:
            epochs = [
                Text("epoch {place}", place=at.value) for at in log.of("unstable_at") if at.line > one.line
            ]
            said = Text("the loss was {value}, and the training stopped", value=one.value)
            yield _broken(log, one.line, sentence([said, *epochs[:1]], ", "), lasting=bool(unresolved))


def _is_aside(name: str, part: EpochPart) -> bool:
    """Whether a value says nothing of the weights: a step that a scaler leaves out, a score of no samples."""
    if is_gradient_norm(name):
        return part.is_finite
    return part.phase == "test" and not is_loss(name)


def _broken(log: Log, line: int, said: Text, *, lasting: bool) -> Finding:
    at = Place(log.path, line)
    if not lasting:
        on = AFTERMATH["overcome" if log.fate(line, line) == "overcome" else "survived"]
        return note("{said}; {on} with finite values", at=at, event=line, said=said, on=on)
    saved = any(save.line < line for save in log.of("save"))
    return error(
        said,
        hint="resume from a checkpoint that was saved before this line, with a lower train_params.lr"
        if saved
        else "launch again with a lower train_params.lr",
        at=at,
        event=line,
    )


def _spans(log: Log) -> Iterator[tuple[EpochPart, str, Span]]:
    for part in log.parts:
        for name in part.names:
            if (span := part.span(name)) is not None:
                yield part, name, span


@check("LOG019", tier="run")
def losses_are_read_as_residuals(target: Target) -> Findings:
    """The robust losses are shown as the errors that they were computed from.

    ## Why it matters
    Barron's robust loss grows like a root: with alpha 0.5 and c 0.05, a loss of 7.5 is an error of 0.75, and
    not of 7.5 metres. It is divided by its weight before it is turned back.

    ## How to fix
    Nothing: read the residuals, not the losses.
    """
    yield from each_log(judged_logs(target), _residuals)


def _residuals(log: Log) -> Findings:
    """The last value of each robust loss of the training."""
    loss = robust_loss(_criterion(log))
    if loss is None:
        raise Skip("no criterion with a robust loss is known for {log}", log=log.path)
    parts = log.phase("train") or list(log.parts)
    names = parts[-1].names if parts else ()
    losses = [name for name in names if name.endswith(("_avg", "_scale")) and "bot95%" not in name]
    told = [one for name in losses for one in _residual(log, loss, name, parts[0], parts[-1])]
    yield examined(len(told), "robust loss")
    yield from told


def _criterion(log: Log) -> str:
    """The training criterion: what the log says was created, else what the config says."""
    created, config = log.of("criterion"), run_config(log)
    return created[-1].value if created else (config.text("loss.train_criterion") if config else "")


def _residual(log: Log, loss: RobustLoss, name: str, first: EpochPart, last: EpochPart) -> Iterator[Finding]:
    span, began = last.span(name), first.span(name)
    residual = loss.residual(name, span.last) if span else None
    if span and loss.part(name) and span.last < 0:
        yield warning(
            "{metric} is {value:.3g}, and no robust loss is negative: another criterion wrote these lines",
            hint="compare loss.train_criterion with the line that says which criterion was created",
            at=Place(log.path, span.last_line),
            metric=name.rpartition("Loss_")[2],
            value=span.last,
        )
    if span is None or residual is None:
        return
    earlier = loss.residual(name, began.last) if began and first is not last else None
    said = Text(
        "{metric} {value:.3g} is a robust-loss value, not metres: a residual of {residual:.3g} {unit}"
        if loss.part(name) == "pose_trans"
        else "{metric} {value:.3g} is a robust-loss value: a residual of {residual:.3g} {unit}",
        metric=name.rpartition("Loss_")[2],
        value=span.last,
        residual=residual,
        unit=loss.unit(name),
    )
    began_at = Text("{residual:.3g} in epoch {epoch}", residual=earlier or 0.0, epoch=first.epoch)
    rule = Text(
        "rho with alpha {alpha:g}, c {scale:g}, weight {weight:g}",
        alpha=loss.alpha,
        scale=loss.scale,
        weight=loss.weight(name),
    )
    yield note(
        sentence([said, *([began_at] if earlier is not None else []), rule]),
        at=Place(log.path, span.last_line),
        residual=residual,
    )


LEARNED = Threshold(0.5, "of the entropy", "far below what any constant prediction costs", healthy=0.013)
AT_THE_MEAN = Threshold(0.95, "of the entropy", "a prediction of the mean costs all of it")
COLLAPSED = Threshold(1.05, "of the entropy", "worse than a prediction of the mean")


@check("LOG017", tier="run")
def masks_are_learned(target: Target) -> Findings:
    """The mask loss is below that of the best constant prediction.

    ## Why it matters
    A mean cross-entropy is judged against the entropy of its target: with a mean of p, the best constant
    prediction costs H(p), 0.63 for p = 0.33. Far below, the mask is learned, however small the number looks.
    At H(p) the head knows the mean and nothing else. Above it, it has collapsed.

    ## How to fix
    At H(p): see that the mask's head gets a gradient, and give it weight. Above: `pos_weight = (1 - p) / p`.
    """
    yield from each_log(judged_logs(target), _masks)


def _masks(log: Log) -> Findings:
    found = [mask for phase in ("train", "test") if (mask := _last_mask(log, phase))]
    if not found:
        raise Skip(
            "no mask loss with the mean of its target in {log} (MaskLoss_mask_avg, gt_mask_mean)",
            log=log.path,
        )
    steps = updates(log) or 0
    judged = [mask for mask in found if steps >= FEWEST_UPDATES or _share(*mask[1:]) < LEARNED]
    if not judged:
        raise Skip(
            "too early to judge the mask: {n:update|updates}, at least {fewest:g} are needed",
            n=steps,
            fewest=FEWEST_UPDATES,
        )
    for part, loss, mean in judged:
        yield examined(1, "mask loss", phase=part.phase)
        yield _learning(log, part, loss, mean)


def _last_mask(log: Log, phase: str) -> tuple[EpochPart, Span, float] | None:
    """The last epoch of a phase that has a mask loss, the loss, and the mean of its target."""
    for part in reversed(log.phase(phase)):
        loss, mean = _ending(part, "MaskLoss_mask_avg"), _ending(part, "gt_mask_mean")
        if loss is not None and mean is not None and 0 < mean.last < 1:
            return part, loss, mean.last
    return None


def _ending(part: EpochPart, end: str) -> Span | None:
    """The metric with this ending, if its last value is finite."""
    spans = [part.span(name) for name in part.names if name.endswith(end)]
    return next((span for span in spans if span and math.isfinite(span.last)), None)


def _entropy(mean: float) -> float:
    """What the best constant prediction costs."""
    return -mean * math.log(mean) - (1 - mean) * math.log(1 - mean)


def _share(loss: Span, mean: float) -> float:
    return loss.last / _entropy(mean)


def _learning(log: Log, part: EpochPart, loss: Span, mean: float) -> Finding:
    share = _share(loss, mean)
    said = Text(
        "{loss} is far below {bound}: the mask head has learned something"
        if share < LEARNED
        else "{loss} is below {bound}: the mask is partly learned"
        if share <= AT_THE_MEAN
        else "{loss} is that of {bound}: the mask head knows the mean and nothing else"
        if share <= COLLAPSED
        else "{loss} is above {bound}: the mask head has collapsed",
        loss=Text(
            "mask loss {loss:.4g} ({phase}, epoch {epoch})",
            loss=loss.last,
            phase=part.phase,
            epoch=part.epoch,
        ),
        bound=Text(
            "the best constant predictor ({entropy:.3f} for a target mean of {mean:.3g})",
            entropy=_entropy(mean),
            mean=mean,
        ),
        share=share,
    )
    at = Place(log.path, loss.last_line)
    if share <= AT_THE_MEAN:
        return note(said, at=at)
    predicted = _ending(part, "pred_mask_mean")
    if predicted is not None:
        said = sentence([said, Text("the mean of its predictions is {mean:.3g}", mean=predicted.last)])
    if share > COLLAPSED:
        return error(
            said, hint="weigh the mask loss: pos_weight={weight:.2f}", at=at, weight=(1 - mean) / mean
        )
    return warning(said, hint="see that the mask head gets a gradient, and give its loss more weight", at=at)


@check("LOG018", tier="run")
def predicted_masks_cover_what_the_target_does(target: Target) -> Findings:
    """The mean of the predicted masks is near that of their target.

    ## Why it matters
    A prediction that covers much more or less than its target is biased, whatever its loss is. A fixed band,
    such as 0.25 to 0.5, is no target: the right mask of the usual rig covers 0.86.

    ## How to fix
    Weigh the classes: `pos_weight = (1 - p) / p`. The band for logs that do not have the target's mean is a
    setting: `masks.band`.
    """
    yield from each_log(judged_logs(target), lambda log: _coverage(target, log))


def _coverage(target: Target, log: Log) -> Findings:
    steps = updates(log) or 0
    parts = [*log.phase("train")[-1:], *log.phase("test")[-1:]]
    means = [(part, mean) for part in parts if (mean := _ending(part, "pred_mask_mean"))]
    if not means:
        raise Skip("no mean of predicted masks in {log} (pred_mask_mean)", log=log.path)
    if steps < FEWEST_UPDATES:
        raise Skip(
            "too early to judge the mask: {n:update|updates}, at least {fewest:g} are needed",
            n=steps,
            fewest=FEWEST_UPDATES,
        )
    for part, predicted in means:
        yield examined(1, "predicted mean", phase=part.phase)
        yield _coverage_finding(target, log, part, predicted)


def _coverage_finding(target: Target, log: Log, part: EpochPart, predicted: Span) -> Finding:
    mean = _ending(part, "gt_mask_mean")
    expected = bounds(target.settings.masks, mean.last if mean else None)
    if expected is None:
        raise Skip(
            "no mean of the target's masks in {log} (gt_mask_mean)",
            hint="set masks.band in opv2v-doctor.toml to where the mean should lie",
            log=log.path,
        )
    low, high = expected
    said = Text(
        "the mean of the predicted masks is {predicted:.3g} ({phase}, epoch {epoch}), expected {low:.3g} to "
        "{high:.3g}",
        predicted=predicted.last,
        phase=part.phase,
        epoch=part.epoch,
        low=low,
        high=high,
    )
    at = Place(log.path, predicted.last_line)
    if low <= predicted.last <= high:
        return note(said, at=at)
    return warning(
        said,
        hint="weigh the classes of the mask loss: pos_weight = (1 - p) / p",
        at=at,
        measured=predicted.last,
    )


FEWEST_EPOCHS = Threshold(4, "epochs", "fewer show no trend")
FEWEST_TESTS = Threshold(5, "evaluations", "fewer show no trend")
FEWEST_LINES = Threshold(50, "metric lines", "so many equal values are no chance")
WORTH = Threshold(0.1, "of the training loss", "validation is compared with a training that fell by more")
FOLLOWS = Threshold(
    0.1, "of the fall of the training loss", "a validation that learns falls by more", faulty=-0.025
)
LEAST = Threshold(0.01, "the value of a metric", "below it, four decimals do not show whether it moves")


TURNED = Threshold(0.25, "of what was gained", "validation goes up and down by less", healthy=0.1)
BOTH = Threshold(0.1, "of what a score gained", "where the loss turned as well, less is enough", faulty=0.18)
FEW = 0.02  # of a score: what it has to lose at least
LATE = 2 / 3  # of the evaluations: what was best after it has not turned yet


@check("LOG015", tier="run")
def validation_falls_with_training(target: Target) -> Findings:
    """Validation gets better while the training loss falls, and does not turn.

    ## Why it matters
    A validation that stays where it was or gets worse again, while training falls, is the sign of learning by
    heart, of a validation set unlike the training's, or of a validation that measures something else. Where
    there are scores (accuracy, AP, PSNR), they decide, unless the loss ends above where it began: it may
    rise a little while they get better. Where the two criteria differ (other terms are logged), their sums
    are two yardsticks: only the terms that both have are compared.

    ## How to fix
    Look at the parts of the validation loss: one that stays high holds the sum up. Compare the preprocessing
    of the two sets, and stop where it was best.
    """
    yield from each_log(judged_logs(target), _validation)


def _validation(log: Log) -> Findings:
    shared = shared_terms(log)
    train, test = (
        curve_of_terms(log, phase, shared.names) if shared else curve(log, phase)
        for phase in ("train", "test")
    )
    names = dict.fromkeys(name for part in log.phase("test") for name in part.names if is_score(name))
    scores = {name: points for name in names if len(points := _finite_points(log, name)) >= FEWEST_TESTS}
    most = max([len(test), *map(len, scores.values())])
    if most < FEWEST_TESTS or len(train) < FEWEST_EPOCHS:
        raise Skip(
            "{epochs} and {tests} with a loss, at least {fewest:g} and {fewest_tests:g} are needed",
            epochs=counted(len(train), "epoch"),
            tests=counted(most, "evaluation"),
            fewest=FEWEST_EPOCHS,
            fewest_tests=FEWEST_TESTS,
        )
    if not all(math.isfinite(point.average) for point in (*train, *test)):
        raise Skip("the losses are not all finite: see LOG014")
    trained = fall(train)
    if trained <= WORTH:
        raise Skip(
            "the training loss changed by {change:+.1%}: validation is compared with a fall of more than "
            "{worth:.0%}",
            change=-trained,
            worth=WORTH,
        )
    yield examined(most, "evaluation")
    turned = {name: points for name, points in scores.items() if _has_turned(points, train, sign=-1)}
    loss = len(test) >= FEWEST_TESTS
    tested = fall(test) if loss else 0.0
    stays = loss and (tested < FOLLOWS * trained or _has_turned(test, train, sign=1))
    worse = loss and test[-1].average > test[0].average  # than at its first evaluation
    both = all(_has_turned(points, train, sign=-1, lost=BOTH) for points in scores.values())
    bad = (len(turned) == len(scores) or (stays and (worse or both))) if scores else stays
    shown = [_course(Text("{name}", name=name), points, max) for name, points in (turned or scores).items()][
        :1
    ]
    said = sentence(
        [
            *shown,
            *([_course(Text("validation loss"), test)] if loss else []),
            _course(Text("training loss"), train),
            *([_only_shared(shared)] if shared else []),
        ]
    )
    first = test or next(iter((turned or scores).values()))
    if bad:
        yield warning(
            said,
            hint="look for the part of the validation loss that stays high, among the metrics of this line",
            at=Place(log.path, first[0].line),
            trained=trained,
            tested=tested,
        )
    else:
        yield note(said, at=Place(log.path, first[-1].line), trained=trained, tested=tested)


def _only_shared(shared: SharedTerms) -> Text:
    """That two yardsticks were not compared."""
    return Text(
        "the criteria differ, so these are sums of the {n:term|terms} that both have, without {train} of "
        "training and {test} of validation",
        n=len(shared.names),
        train=[name.rpartition("Loss_")[2] for name in shared.only_train][:3],
        test=[name.rpartition("Loss_")[2] for name in shared.only_test][:3],
    )


def _finite_points(log: Log, name: str) -> tuple[Point, ...]:
    """A score's points; none of one that has never moved: it says nothing."""
    points = tuple(point for point in curve(log, "test", name) if math.isfinite(point.average))
    return points if len({point.average for point in points}) > 1 else ()


def _has_turned(points: Sequence[Point], train: Sequence[Point], *, sign: int, lost: float = TURNED) -> bool:
    """Whether a curve lost much of what it had gained, long before the end, while training went on falling.

    `sign`: 1 where lower is better, -1 where higher is.
    """
    values = [sign * point.average for point in points]
    smooth = [fmean(values[max(0, i - 1) : i + 2]) for i in range(len(values))]
    best = min(range(len(smooth)), key=smooth.__getitem__)
    last = fmean(values[-max(2, len(values) // 5) :])
    gained = values[0] - smooth[best]
    later = [point.average for point in train if point.line > points[best].line]
    falls_on = bool(later) and fmean(later[-max(1, len(later) // 5) :]) < later[0]
    worse = last - smooth[best]
    return (
        best < LATE * len(values)
        and falls_on
        and worse > lost * max(gained, 0.0)
        and worse > (WORTH if lost == TURNED else FEW) * abs(smooth[best])
    )


def _course(name: Text, points: Sequence[Point], best_of: Callable[..., Point] = min) -> Text:
    """A curve by three of its points."""
    best = best_of(points, key=lambda point: point.average)
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
    """No metric has had one and the same value for epochs, while others moved.

    ## Why it matters
    A loss that does not move to the last digit has no gradient: a detached branch, a constant target, a
    frozen head, an output that is clamped. Settings, such as a weight decay, and scores that are as good as
    they get are no such metrics.

    ## How to fix
    See that the output it is computed from depends on weights that are trained.
    """
    yield from each_log(judged_logs(target), _moving)


def _moving(log: Log) -> Findings:
    last = log.segments[-1].number if log.segments else -1
    for phase, fewest in (("train", FEWEST_LINES), ("test", FEWEST_TESTS)):
        parts = [part for part in log.phase(phase) if part.segment == last]
        names = dict.fromkeys(name for part in parts[-int(FEWEST_EPOCHS) :] for name in part.names)
        judged = [name for name in names if not is_setting(name) and _is_enough(parts, name, fewest)]
        yield examined(len(judged), "metric", phase=phase)
        stuck = {name: one for name in judged if (one := _stuck(name, parts, fewest))}
        if stuck and (len(stuck) < len(judged) or len(judged) == 1):
            yield _stuck_finding(log, stuck)


def _is_enough(parts: Sequence[EpochPart], name: str, fewest: float) -> bool:
    """Whether a metric can be judged. Zero cannot: a loss that does not apply is zero."""
    spans = [span for part in parts if (span := part.span(name))]
    last = parts[-1].span(name)
    if last is None or not math.isfinite(last.last_median) or abs(last.last_median) < LEAST:
        return False
    if len(f"{abs(last.last_median):e}".partition("e")[0].rstrip("0")) < 3:  # one digit: chosen, or rounded
        return False
    return len(spans) >= FEWEST_EPOCHS and sum(span.count for span in spans) >= fewest


_Stuck = tuple[EpochPart, Span, int, int]  # where a metric stopped moving, and for how many lines and epochs


def _stuck(name: str, parts: Sequence[EpochPart], fewest: float) -> _Stuck | None:
    """Since when a metric has not moved; a score that has moved before may be as good as it gets."""
    same: list[tuple[EpochPart, Span]] = []
    for part in reversed(parts):
        span = part.span(name)
        if span is None or not span.lowest == span.highest == (same[0][1] if same else span).last_median:
            break
        same.append((part, span))
    lines = sum(span.count for _, span in same)
    if len(same) < FEWEST_EPOCHS or lines < fewest:
        return None
    if has_bounds(name) and (len(same) < len(parts) or same[0][1].last_median % 1 == 0):
        return None
    return (*same[-1], lines, len(same))


def _stuck_finding(log: Log, stuck: Mapping[str, _Stuck]) -> Finding:
    """One finding for all metrics of a phase that are stuck: they have one cause."""
    name, (part, span, lines, epochs) = min(stuck.items(), key=lambda one: one[1][1].first_line)
    said = Text(
        "{metric} is {value:g} in all {n:line|lines} since epoch {epoch} ({phase})",
        metric=name,
        value=span.last_median,
        n=lines,
        epoch=part.epoch,
        phase=part.phase,
    )
    others = [other for other in stuck if other != name]
    more = [Text("so are {others}", others=others)] if others else []
    return warning(
        sentence([said, *more]),
        hint=Text("see that what {metric} is computed from is trained and not clamped", metric=name),
        at=Place(log.path, span.first_line),
        event=span.first_line,
        epochs=epochs,
    )


WEIGHTS = ("model.pretrained", "model.model_config.pretrained_checkpoint_path")
WINDOW = Threshold(
    20, "steps", "the average of `time` and `data`: the first ones hold the start of the workers"
)
FEWEST_LOADED_LINES = Threshold(10, "metric lines", "averages of so many times twenty steps are no chance")
SHORTEST_WAIT = Threshold(10, "s of waiting", "less, in all lines, is not worth a word")
HALF = Threshold(0.5, "of a step", "more than half of the time the GPUs wait", healthy=0.013, faulty=0.8)


@check("LOG010", tier="run")
def no_sample_was_replaced(target: Target) -> Findings:
    """No line of the log says that a sample failed to load and was replaced by another.

    ## Why it matters
    The dataset draws another random sample after any exception: missing files become repetitions of those
    that are there, and only the first rank says so.

    ## How to fix
    Repair the files, or leave the samples out of the lists.
    """
    yield from each_log(text_logs(target), _replacements)


def _replacements(log: Log) -> Findings:
    failures = log.of("error")
    if failures:
        reasons = Counter(re.sub(r"^\S+ for \w+=.*?: ", "", failure.value) for failure in failures)
        reason, count = reasons.most_common(1)[0]
        said = Text(
            "{n:sample|samples} failed to load and were replaced, first {first}; most often: {reason}",
            n=log.counts["error"],
            first=failures[0].value.partition(": ")[0],
            reason=reason[:200],
        )
        overcome = log.fate(failures[-1].line, failures[-1].line) == "overcome"
        yield (note if overcome else warning)(
            Text("{said}; a later launch replaced none", said=said) if overcome else said,
            hint=""
            if overcome
            else Text("repair the files that it names, or leave these samples out of the lists"),
            at=Place(log.path, failures[0].line),
            event=failures[0].line,
            count=log.counts["error"],
            most_often=count,
        )
    yield examined(launches_with_steps(log), "launch")


@check("LOG011", tier="run")
def pretrained_weights_were_loaded(target: Target) -> Findings:
    """The pretrained weights that the config names were loaded.

    ## Why it matters
    A fine-tuning that never loads its weights trains from random numbers, and nothing says so.

    ## How to fix
    `model.pretrained=FILE` or `model.model_config.pretrained_checkpoint_path=FILE`, and look for the line.
    """
    yield from each_log(text_logs(target), _weights)


def _weights(log: Log) -> Findings:
    config = config_of(log)
    named = next((key for key in WEIGHTS if config.get(key)), None)
    if named is None:
        raise Skip("the config names no pretrained weights ({keys})", keys=list(WEIGHTS), at=config.place)
    file = str(config.get(named))
    loaded = log.of("weights")
    if not loaded:
        started = log.of("start")
        if not started:
            raise Skip("no launch in {log} came to the start of a training", log=log.path)
        yield error(
            "{key} is {file}, and no line says that weights were loaded",
            hint="see that the model reads {key}",
            at=Place(log.path, started[-1].line),
            event=started[-1].line,
            key=named,
            file=file,
        )
        return
    if not any(PurePosixPath(one.value).name == PurePosixPath(file).name for one in loaded):
        raise Blocked(
            "{key} is {file}, and the log names other weights: {loaded}",
            hint="compare the two files",
            at=Place(log.path, loaded[-1].line),
            key=named,
            file=file,
            loaded=loaded[-1].value,
        )
    yield examined(1, "weights file")
    for keys in log.of("keys"):
        missing = re.findall(r"'[\w.]+'", keys.value.partition("unexpected_keys")[0])
        if missing:
            yield note(
                "the weights lack {n:parameter|parameters} or more, such as {first}",
                at=Place(log.path, keys.line),
                event=keys.line,
                n=len(missing),
                first=missing[0],
            )


@check("LOG012", tier="run")
def loading_keeps_up(target: Target) -> Findings:
    """Loading data takes less time than computing with it.

    ## Why it matters
    Where most of a step is spent waiting for data, the GPUs are idle for that share of their cost.

    ## How to fix
    `dataset.num_workers=MORE`, data on a local disk, smaller files.
    """
    yield from each_log(judged_logs(target), _loading)


def _loading(log: Log) -> Findings:
    timed = [run for _, run in log.pieces if run.phase == "train" and {"time", "data"} <= set(run.names)]
    found = [one for run in timed for one in _shares(run)]
    if not timed:
        raise Skip("no `time` and `data` of steps in {log}", log=log.path)
    if len(found) < FEWEST_LOADED_LINES:
        raise Skip(
            "{n:metric line|metric lines} of step {window:g} or later, or at the end of a shorter epoch, "
            "at least "
            "{fewest:g} are needed: steps before it hold the start of the workers",
            n=len(found),
            window=WINDOW,
            fewest=FEWEST_LOADED_LINES,
        )
    shares = [(share, line) for share, line, _ in found]
    yield examined(len(shares), "metric line")
    mean, worst = fmean(share for share, _ in shares), max(shares)
    said = Text(
        "{mean:.0%} of a step is spent waiting for data, {worst:.0%} at worst",
        mean=mean,
        worst=worst[0],
    )
    if mean > HALF and sum(waited for *_, waited in found) >= SHORTEST_WAIT:
        yield warning(
            said,
            hint="raise dataset.num_workers, or move the data to a faster disk",
            at=Place(log.path, worst[1]),
            share=mean,
        )
    else:
        yield note(said, at=Place(log.path, worst[1]), share=mean)


def _shares(run: MetricRows) -> Iterator[tuple[float, int, float]]:
    """The share of loading, the line, and the seconds of waiting, of each line that averages enough steps.

    Of epochs no longer than the window, that is the last line: it holds the start of the workers, which each
    of them waits for.
    """
    times, loads = (run.medians[:, run.names.index(name)] for name in ("time", "data"))
    for step, line, seconds, load in zip(run.step, run.line, times, loads, strict=True):
        if seconds > 0 and (step >= WINDOW or step + 1 == run.steps):
            steps = min(step + 1, int(WINDOW))
            yield float(load / seconds), int(line), float(load) * steps
