"""Log: what losses mean: masks against the entropy of their target, robust losses as residuals."""

import math
from collections.abc import Iterator

from opv2v_doctor import Finding, Findings, Target, check, error, note, warning
from opv2v_doctor.facts.logs import judged_logs
from opv2v_doctor.facts.logs.epoch_parts import EpochPart, Span
from opv2v_doctor.facts.logs.log_files import Log
from opv2v_doctor.facts.logs.loss_curves import updates
from opv2v_doctor.facts.logs.residuals import RobustLoss, robust_loss
from opv2v_doctor.facts.logs.run_configs import run_config

FEWEST_UPDATES = 500  # before these a mask need not have been learned
LEARNED, AT_THE_MEAN, COLLAPSED = 0.5, 0.95, 1.05  # shares of the entropy
NEAR = 0.1  # between the means of prediction and target, at least


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
    for log in judged_logs(target):
        for phase in ("train", "test"):
            yield from _masks(log, phase)


def _masks(log: Log, phase: str) -> Iterator[Finding]:
    """The verdict on the last epoch of a phase that has a mask loss."""
    for part in reversed(log.phase(phase)):
        loss, mean = _ending(part, "MaskLoss_mask_avg"), _ending(part, "gt_mask_mean")
        if loss is not None and mean is not None and 0 < mean.last < 1 and math.isfinite(loss.last):
            yield _learned(log, part, loss, mean.last)
            return


def _ending(part: EpochPart, end: str) -> Span | None:
    return next((part.span(name) for name in part.names if name.endswith(end)), None)


def _learned(log: Log, part: EpochPart, loss: Span, mean: float) -> Finding:
    path, line = log.path, loss.last_line
    entropy = -mean * math.log(mean) - (1 - mean) * math.log(1 - mean)
    share, steps = loss.last / entropy, updates(log)
    said = (
        f"mask loss {loss.last:.4g} ({part.phase}, epoch {part.epoch}) is {100 * share:.1f} % of "
        f"H({mean:.3g}) = {entropy:.3f}"
    )
    if share < LEARNED:
        return note(
            f"{said}: learned, not collapsed: no constant output costs less than H", path=path, line=line
        )
    if steps is None or steps < FEWEST_UPDATES:
        return note(f"{said}: too early to judge, after {steps or 'few'} updates", path=path, line=line)
    predicted = _ending(part, "pred_mask_mean")
    mean_said = f", and predicts a mean of {predicted.last:.3g}" if predicted else ""
    if share > COLLAPSED:
        hint = f"weigh the mask: pos_weight={(1 - mean) / mean:.2f}"
        return error(f"{said}: collapsed{mean_said}", path=path, line=line, hint=hint, share=share)
    if share > AT_THE_MEAN:
        hint = "see that the mask's head gets a gradient"
        return warning(f"{said}: no information{mean_said}", path=path, line=line, hint=hint, share=share)
    return note(f"{said}: partly learned", path=path, line=line)


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
    for log in judged_logs(target):
        steps = updates(log)
        if steps is None or steps < FEWEST_UPDATES:
            continue
        for part in log.phase("train")[-1:] + log.phase("test")[-1:]:
            yield from _covered(target, log, part)


def _covered(target: Target, log: Log, part: EpochPart) -> Iterator[Finding]:
    predicted, mean = _ending(part, "pred_mask_mean"), _ending(part, "gt_mask_mean")
    if predicted is None:
        return
    low, high = getattr(target.settings.masks, "band", (0.25, 0.5))
    if mean is not None:
        low, high = mean.last - NEAR, mean.last + NEAR
    wanted = f"that of its target is {mean.last:.3g}" if mean else f"the band is {low:g} to {high:g}"
    said = f"the mean of predicted masks is {predicted.last:.3g} ({part.phase}, epoch {part.epoch}), {wanted}"
    if low <= predicted.last <= high:
        yield note(said, path=log.path, line=predicted.last_line)
    else:
        yield warning(
            said,
            path=log.path,
            line=predicted.last_line,
            hint="weigh the classes of the mask loss: pos_weight = (1 - p) / p",
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
    for log in judged_logs(target):
        loss = robust_loss(_criterion(log))
        if loss is not None and log.parts:
            yield from _residuals(log, loss)


def _criterion(log: Log) -> str:
    """The training criterion: what the log says was created, else what the config says."""
    created, config = log.of("criterion"), run_config(log)
    return created[-1].value if created else (config.text("loss.train_criterion") if config else "")


def _residuals(log: Log, loss: RobustLoss) -> Iterator[Finding]:
    """The last value of each robust loss of the training."""
    parts = log.phase("train") or list(log.parts)
    for name in parts[-1].names:
        if name.endswith(("_avg", "_scale")) and "bot95%" not in name:
            yield from _residual(log, loss, name, parts[0], parts[-1])


def _residual(log: Log, loss: RobustLoss, name: str, first: EpochPart, last: EpochPart) -> Iterator[Finding]:
    span, began = last.span(name), first.span(name)
    residual = loss.residual(name, span.last) if span else None
    if span is None or residual is None:
        return
    weight = f" / {loss.weight(name):g}" if loss.weight(name) != 1 else ""
    length = f", not {span.last:.2g} metres" if loss.part(name) == "pose_trans" else ""
    earlier = loss.residual(name, began.last) if began and first is not last else None
    before = f" ({earlier:.3g} in epoch {first.epoch})" if earlier is not None else ""
    yield note(
        f"{name.rpartition('Loss_')[2]} {span.last:.4g}{weight} is a residual of {residual:.3g} "
        f"{loss.unit(name)}{length}{before}: rho with alpha {loss.alpha:g}, c {loss.scale:g}",
        path=log.path,
        line=span.last_line,
        residual=residual,
    )
