"""Log: what robust losses mean: the errors that they were computed from."""

from collections.abc import Iterator

from opv2v_doctor import (
    Finding,
    Findings,
    Place,
    Skip,
    Target,
    Text,
    check,
    examined,
    note,
    sentence,
    warning,
)
from opv2v_doctor.facts.past.logs import each_log, judged_logs
from opv2v_doctor.facts.past.logs.epoch_parts import EpochPart
from opv2v_doctor.facts.past.logs.log_files import Log
from opv2v_doctor.facts.past.logs.residuals import RobustLoss, robust_loss
from opv2v_doctor.facts.past.logs.run_configs import run_config


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
