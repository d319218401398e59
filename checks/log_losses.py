"""Log: what losses mean: masks against the entropy of their target, robust losses as residuals."""

import math
from collections.abc import Iterator

from opv2v_doctor import (
    Finding,
    Findings,
    Place,
    Skip,
    Target,
    Text,
    Threshold,
    check,
    error,
    examined,
    note,
    sentence,
    warning,
)
from opv2v_doctor.facts.logs import each_log, judged_logs
from opv2v_doctor.facts.logs.epoch_parts import EpochPart, Span
from opv2v_doctor.facts.logs.log_files import Log
from opv2v_doctor.facts.logs.loss_curves import updates
from opv2v_doctor.facts.logs.residuals import RobustLoss, robust_loss
from opv2v_doctor.facts.logs.run_configs import run_config

FEWEST_UPDATES = Threshold(500, "updates", "before these a mask need not have been learned")
LEARNED = Threshold(0.5, "of the entropy", "far below what any constant prediction costs")
AT_THE_MEAN = Threshold(0.95, "of the entropy", "a prediction of the mean costs all of it")
COLLAPSED = Threshold(1.05, "of the entropy", "worse than a prediction of the mean")
NEAR = Threshold(0.1, "of the panorama", "between the means of prediction and target")


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
        yield _learned(log, part, loss, mean)


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


def _learned(log: Log, part: EpochPart, loss: Span, mean: float) -> Finding:
    at, share = Place(log.path, loss.last_line), _share(loss, mean)
    said = Text(
        "mask loss {loss:.4g} ({phase}, epoch {epoch}); the best constant prediction of a target with mean "
        "{mean:.3g} costs {entropy:.3f}",
        loss=loss.last,
        phase=part.phase,
        epoch=part.epoch,
        mean=mean,
        entropy=_entropy(mean),
    )
    if share < LEARNED:
        return note(
            sentence([said, Text("far below it: the mask head has learned something")]), at=at, share=share
        )
    predicted = _ending(part, "pred_mask_mean")
    constant = [Text("the mean of its predictions is {mean:.3g}", mean=predicted.last)] if predicted else []
    if share > COLLAPSED:
        verdict = Text("above it: the mask head has collapsed")
        hint = Text("weigh the mask loss: pos_weight={weight:.2f}", weight=(1 - mean) / mean)
        return error(sentence([said, verdict, *constant]), hint=hint, at=at, share=share)
    if share > AT_THE_MEAN:
        verdict = Text("as much: the mask head knows the mean and nothing else")
        hint = Text("see that the mask head gets a gradient, and give its loss more weight")
        return warning(sentence([said, verdict, *constant]), hint=hint, at=at, share=share)
    return note(sentence([said, Text("below it: the mask is partly learned")]), at=at, share=share)


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
        yield _covered(target, log, part, predicted)


def _covered(target: Target, log: Log, part: EpochPart, predicted: Span) -> Finding:
    mean, masks = _ending(part, "gt_mask_mean"), target.settings.masks
    if mean is None and "band" not in masks.model_fields_set:
        raise Skip(
            "no mean of the target's masks in {log} (gt_mask_mean)",
            hint="set masks.band in opv2v-doctor.toml to where the mean should lie",
            log=log.path,
        )
    low, high = (mean.last - NEAR, mean.last + NEAR) if mean else masks.band
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
