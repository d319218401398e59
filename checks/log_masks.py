"""Log: what a mask loss means, against the entropy of its target."""

import math

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
from opv2v_doctor.facts.past.logs import each_log, judged_logs
from opv2v_doctor.facts.past.logs.epoch_parts import EpochPart, Span
from opv2v_doctor.facts.past.logs.log_files import Log
from opv2v_doctor.facts.past.logs.loss_curves import updates

FEWEST_UPDATES = Threshold(500, "updates", "before these a mask need not have been learned")
LEARNED = Threshold(0.5, "of the entropy", "far below what any constant prediction costs", healthy=0.013)
AT_THE_MEAN = Threshold(0.95, "of the entropy", "a prediction of the mean costs all of it")
COLLAPSED = Threshold(1.05, "of the entropy", "worse than a prediction of the mean")
NEAR = Threshold(0.1, "of the panorama", "between the means of prediction and target", healthy=0.0004)


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
