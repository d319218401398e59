"""Log: numbers that are not as they should be: rates, NaN, a validation or a metric that stays."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from opv2v_doctor import Finding, Findings, Skip, Target, check, error, note, warning
from opv2v_doctor.facts.logs import judged_logs
from opv2v_doctor.facts.logs.epoch_parts import EpochPart, Span
from opv2v_doctor.facts.logs.log_files import Log
from opv2v_doctor.facts.logs.loss_curves import curve, fall
from opv2v_doctor.facts.logs.metric_runs import Run
from opv2v_doctor.facts.logs.run_configs import RunConfig, run_config

FEWEST_EPOCHS, FEWEST_LINES = 4, 50  # before these nothing can be said
FEWEST_TESTS = 5
WORTH = 0.1  # the share by which a training loss has to fall before validation is compared with it
ROUNDING = 0.51e-6  # rates are printed with six decimals
LEAST = 0.01  # below it, four decimals do not show whether a value moves
NOT_LEARNED = ("lr", "epoch", "wd", "time", "data", "max mem", "momentum", "gt_mask_mean", "n_parameters")


@check("LOG013", tier="run")
def learning_rate_follows_its_schedule(target: Target) -> Findings:
    """The learning rates in the log are those of the configured schedule.

    ## Why it matters
    Another rate than planned: a schedule stepped once for each process, a resume with another config, a group
    that the schedule does not reach.

    ## How to fix
    Compare the config of the launch with that of the run, and resume with the run's own.
    """
    judged = False
    for log in judged_logs(target):
        config = run_config(log)
        if config is None or log.source != "text" or config.rate("", 0.0) is None:
            continue
        judged = True
        for group in ("", *config.groups):
            yield from _group(log, config, group)
    if not judged:
        raise Skip("no config with a known schedule, beside the log or in it")


@dataclass(frozen=True, order=True)
class _Rate:
    distance: float
    line: int
    measured: float
    expected: float

    @property
    def is_wrong(self) -> bool:
        return self.distance > ROUNDING + 1e-3 * abs(self.expected)


def _group(log: Log, config: RunConfig, group: str) -> Iterator[Finding]:
    """One group's rates in the last launch: the config is that launch's."""
    name = f"lr_{group}" if group else "lr"
    last = log.segments[-1].number if log.segments else -1
    runs = [
        run for segment, run in log.pieces if segment == last and run.phase == "train" and name in run.names
    ]
    rates = [rate for run in runs if run.steps for rate in _rates(run, config, group, name)]
    wrong = [rate for rate in rates if rate.is_wrong]
    if wrong:
        first, worst = wrong[0], max(wrong)
        yield error(
            f"{name} is {first.measured:g}, the schedule says {first.expected:.6f}, here first and in "
            f"{len(wrong)} of {len(rates)} lines; worst in line {worst.line}: {worst.measured:g} instead of "
            f"{worst.expected:.6f}",
            path=log.path,
            line=first.line,
            hint=f"compare train_params with {config.place}: lr, min_lr, warmup_epochs, epochs",
            measured=first.measured,
            expected=first.expected,
        )
    elif rates:
        yield note(f"{name} follows the schedule in {len(rates)} lines", path=log.path)


def _rates(run: Run, config: RunConfig, group: str, name: str) -> Iterator[_Rate]:
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
    for log in judged_logs(target):
        broken = [(span.broken_line, name, part) for part, name, span in _spans(log) if span.broken_line]
        if broken:
            line, name, part = min(broken, key=lambda one: one[0])
            yield error(
                f"{name} is not a finite number, first in epoch {part.epoch} ({part.phase}); "
                f"{len({name for _, name, _ in broken})} metrics are not, in the end",
                path=log.path,
                line=line,
                hint="resume from a checkpoint that was saved before this line, with a lower train_params.lr",
                epoch=part.epoch,
            )
        for stopped in log.of("unstable")[:1]:
            at = "".join(f", epoch {place.value}" for place in log.of("unstable_at")[:1])
            yield error(
                f"the loss was {stopped.value}, and the training stopped{at}",
                path=log.path,
                line=stopped.line,
                hint="lower train_params.lr, and look at the batch that was saved beside the log",
            )


def _spans(log: Log) -> Iterator[tuple[EpochPart, str, Span]]:
    for part in log.parts:
        for name in part.names:
            if (span := part.span(name)) is not None:
                yield part, name, span


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
    for log in judged_logs(target):
        train, test = curve(log, "train"), curve(log, "test")
        finite = all(math.isfinite(point.average) for point in (*train, *test))
        if len(test) < FEWEST_TESTS or len(train) < FEWEST_EPOCHS or not finite:
            continue
        trained, tested = fall(train), fall(test)
        low, high = min(test, key=lambda p: p.average), max(test, key=lambda p: p.average)
        said = (
            f"validation loss {low.average:.4g} to {high.average:.4g} over {len(test)} epochs "
            f"({-100 * tested:+.1f} %), training loss {train[0].average:.4g} to {train[-1].average:.4g} "
            f"({-100 * trained:+.1f} %)"
        )
        if trained > WORTH and tested < WORTH * trained:
            yield warning(
                f"{said}; the best is epoch {low.epoch}, line {low.line}, the worst line {high.line}",
                path=log.path,
                line=test[0].line,
                hint=f"see which part stays high: opv2v-doctor log {log.path} --format csv",
                trained=trained,
                tested=tested,
            )
        else:
            yield note(said, path=log.path, line=test[-1].line)


@check("LOG016", tier="run")
def no_metric_is_stuck(target: Target) -> Findings:
    """No metric has had one and the same value for epochs.

    ## Why it matters
    A loss that does not move to the last digit has no gradient: a detached branch, a constant target, a
    frozen head, an output that is clamped.

    ## How to fix
    See that the output it is computed from depends on weights that are trained.
    """
    for log in judged_logs(target):
        last = log.segments[-1].number if log.segments else -1
        for phase in ("train", "test"):
            parts = [part for part in log.phase(phase) if part.segment == last]
            names = dict.fromkeys(name for part in parts[-FEWEST_EPOCHS:] for name in part.names)
            for name in names:
                if not name.endswith(NOT_LEARNED) and not name.startswith("lr_"):
                    yield from _stuck(log, phase, name, parts)


def _stuck(log: Log, phase: str, name: str, parts: list[EpochPart]) -> Iterator[Finding]:
    """A metric that has not moved for epochs. Zero is left out: a loss that does not apply is zero."""
    last = parts[-1].span(name)
    if last is None or not math.isfinite(last.last_median) or abs(last.last_median) < LEAST:
        return
    same: list[tuple[EpochPart, Span]] = []
    for part in reversed(parts):
        span = part.span(name)
        if span is None or not span.lowest == span.highest == last.last_median:
            break
        same.append((part, span))
    lines = sum(span.count for _, span in same)
    if len(same) >= FEWEST_EPOCHS and lines >= (FEWEST_LINES if phase == "train" else FEWEST_TESTS):
        part, span = same[-1]
        yield warning(
            f"{name} is {last.last_median:g} in all {lines} lines ({phase}) since epoch {part.epoch}",
            path=log.path,
            line=span.first_line,
            hint=f"see that what {name} is computed from is trained and not clamped",
            epochs=len(same),
        )
