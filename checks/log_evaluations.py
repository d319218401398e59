"""Log: evaluations, and the best checkpoint that follows from them."""

import math
from itertools import pairwise
from pathlib import PurePosixPath

from opv2v_doctor import Findings, Override, Place, Skip, Target, Text, check, examined, warning
from opv2v_doctor.facts.past.logs import config_of, each_log, text_logs
from opv2v_doctor.facts.past.logs.epoch_parts import EpochPart
from opv2v_doctor.facts.past.logs.log_files import Log

BEST = "checkpoint-best.pth"


@check("LOG008", tier="run")
def configured_evaluation_ran(target: Target) -> Findings:
    """The evaluation that the config asks for ran.

    ## Why it matters
    Without it no best checkpoint is chosen, and nothing tells that the training learns by heart.

    ## How to fix
    `train_params.eval_freq=1`, and a set in `dataset.test_dataset`.
    """
    yield from each_log(text_logs(target), _evaluations)


def _evaluations(log: Log) -> Findings:
    config = config_of(log)
    every = int(config.number("train_params.eval_freq") or 0)
    if every <= 0:
        raise Skip("train_params.eval_freq asks for no evaluation", at=config.place)
    if not any(mark in config.text("dataset.test_dataset") for mark in "(@"):
        raise Skip("the config in the log names no set in dataset.test_dataset", at=config.place)
    due = _due(log, every)
    if not due:
        raise Skip("the training did not go on after an epoch that an evaluation was due after")
    missing = [part for part, until in due if not _has_evaluation(log, part.last_line, until)]
    ran = len(due) - len(missing)
    yield examined(ran, "evaluation")
    if ran == 0 or len(missing) > 1:  # one less may be the first or the last epoch's
        yield warning(
            "{ran} of {due:evaluation|evaluations} ran that eval_freq={every} asks for; the first that is "
            "missing was due after epoch {epoch}",
            hint="see whether dataset.test_dataset gets a loader: `check CFG006` in the training repository",
            at=Place(log.path, missing[0].last_line),
            event=missing[0].last_line,
            ran=ran,
            due=len(due),
            every=every,
            epoch=missing[0].epoch,
        )


def _due(log: Log, every: int) -> list[tuple[EpochPart, int]]:
    """The epochs after which an evaluation was due, and the line before which: a kill may have come first."""
    parts = log.phase("train")
    ends = [end.line for end in log.of("end") if parts and end.line > parts[-1].last_line]
    followed = [(part, after.first_line) for part, after in pairwise(parts) if part.segment == after.segment]
    followed += [(parts[-1], ends[-1])] if ends else []
    return [(part, line) for part, line in followed if part.is_whole and (part.epoch + 1) % every == 0]


def _has_evaluation(log: Log, after: int, before: int) -> bool:
    return any(after < part.first_line < before for part in log.phase("test"))


@check("LOG009", tier="run")
def best_checkpoint_is_the_best(target: Target) -> Findings:
    """checkpoint-best.pth was written after the best epoch.

    ## Why it matters
    What is evaluated and published is that file. Where it was never written, or after another epoch, it is
    not what it is called.

    ## How to fix
    Evaluate the numbered checkpoint of the best epoch instead.
    """
    yield from each_log(text_logs(target), _best)


def _best(log: Log) -> Findings:
    if not log.of("save"):
        raise Skip("no line of {log} says that a checkpoint was saved", log=log.path)
    tests = [(span.last_median, part) for part in log.phase("test") if (span := part.span("loss"))]
    finite = [(value, part) for value, part in tests if math.isfinite(value)]
    if not finite:
        raise Skip("no evaluation with a loss in {log}", log=log.path)
    if any(part.number for _, part in finite):  # the training averages them, each weighing the same
        raise Skip("several sets are evaluated: the mean that chooses the best is not in {log}", log=log.path)
    value, best = min(finite, key=lambda test: test[0])
    if not _goes_on(log, best):
        raise Skip(
            "the log ends before checkpoint-best.pth could be written", at=Place(log.path, best.last_line)
        )
    yield examined(len(finite), "evaluation")
    written = [save.line for save in log.of("save") if save.value.endswith(BEST)]
    before = [test for test in finite if written and test[1].last_line < written[-1]]
    if not before or before[-1][0] > value:
        last = Text("never written")
        if written:
            last = Text("last written in line {line}", line=written[-1])
        yield warning(
            "epoch {epoch} is the best (median loss {value:g}); checkpoint-best.pth was {last}",
            hint=_instead(log, best.epoch),
            at=Place(log.path, best.last_line),
            event=best.last_line,
            epoch=best.epoch,
            value=value,
            last=last,
        )


def _goes_on(log: Log, test: EpochPart) -> bool:
    """Whether the training went on after an evaluation, so that it had the time to save."""
    return bool(log.of("end")) or any(part.first_line > test.last_line for part in log.phase("train"))


def _instead(log: Log, epoch: int) -> Text:
    """The checkpoint of an epoch, if one was kept."""
    name = f"checkpoint-{epoch}.pth"
    if any(PurePosixPath(save.value).name == name for save in log.of("save")):
        return Text("use {file}", file=name)
    return Text("keep every epoch in the next training: {keep}", keep=Override("train_params.keep_freq=1"))
