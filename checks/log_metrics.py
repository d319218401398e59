"""Log: numbers that are not as they should be: learning rates, and values that are not finite."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

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
    error,
    examined,
    note,
    sentence,
)
from opv2v_doctor.facts.past.logs import config_of, each_log, judged_logs
from opv2v_doctor.facts.past.logs.epoch_parts import EpochPart, Span
from opv2v_doctor.facts.past.logs.log_files import Log
from opv2v_doctor.facts.past.logs.metric_rows import MetricRows
from opv2v_doctor.facts.past.logs.run_configs import RunConfig

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
    stopped = log.of("unstable")
    lasting = [one for one in broken if log.fate(one[0], one[0]) != "overcome"]
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
    unresolved = [one for one in stopped if log.fate(one.line, one.line) != "overcome"]
    for one in (unresolved or stopped)[:1]:
        if not lasting or one.line < lasting[0][0]:
            epochs = [
                Text("epoch {place}", place=at.value) for at in log.of("unstable_at") if at.line > one.line
            ]
            said = Text("the loss was {value}, and the training stopped", value=one.value)
            yield _broken(log, one.line, sentence([said, *epochs[:1]], ", "), lasting=bool(unresolved))


def _broken(log: Log, line: int, said: Text, *, lasting: bool) -> Finding:
    at = Place(log.path, line)
    if not lasting:
        return note("{said}; a later launch went on with finite values", at=at, event=line, said=said)
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
