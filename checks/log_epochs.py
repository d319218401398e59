"""Log: epochs and their lengths, evaluations, and the checkpoints that follow from them."""

from collections.abc import Iterator
from itertools import pairwise

from opv2v_doctor import Finding, Findings, Target, check, error, warning
from opv2v_doctor.facts.logs import judged_logs, logs_with_config
from opv2v_doctor.facts.logs.epoch_parts import EpochPart
from opv2v_doctor.facts.logs.log_files import Log
from opv2v_doctor.facts.logs.run_configs import RunConfig, run_config
from opv2v_doctor.facts.logs.segments import Segment

MOST_GPUS = 64
MOST_BY_CHANCE = 16  # without a config, ratios of larger numbers of GPUs explain anything


@check("LOG005", tier="run")
def epochs_keep_their_length(target: Target) -> Findings:
    """All launches of one training have the same number of steps an epoch.

    ## Why it matters
    Steps an epoch follow from the number of GPUs. The learning rate follows the epoch: the same warm-up and
    the same cosine are then another number of updates, and the run is not the one that was planned.

    ## How to fix
    Resume on the number of GPUs that it began with, or choose the dataset config whose epoch has the old
    length on the new number: samples = steps * GPUs * batch.
    """
    for log in judged_logs(target):
        for before, after in pairwise([segment for segment in log.segments if segment.steps]):
            if before.steps != after.steps:
                yield _other_length(log, before, after, run_config(log))


def _other_length(log: Log, before: Segment, after: Segment, config: RunConfig | None) -> Finding:
    gpus, batch = _gpus(before.steps, after.steps, config)
    hint = "keep the length of an epoch: the data, the batch or the number of GPUs changed"
    if gpus:
        samples = f"{before.steps * gpus[1] * batch:_}" if batch else f"{before.steps * gpus[1]} * batch"
        hint = f"resume on {gpus[0]} GPUs, or give an epoch {samples} samples on {gpus[1]}"
    why = f", as when {gpus[0]} GPUs become {gpus[1]}" if gpus else ""
    return error(
        f"{after.steps} steps an epoch since here, {before.steps} before (line {before.first_line}){why}; "
        f"{_effect(before.steps, after.steps, config)}",
        path=log.path,
        line=after.first_line,
        hint=hint,
        before=before.steps,
        after=after.steps,
        gpus=list(gpus),
    )


def _effect(before: int, after: int, config: RunConfig | None) -> str:
    """What another length of an epoch does to a schedule that follows the epoch."""
    keys = ("train_params.warmup_epochs", "train_params.epochs")
    warmup, epochs = (config.number(key) if config else None for key in keys)
    if warmup is None or epochs is None:
        return f"the same warm-up and cosine are {after / before:.2f} times as many updates"
    return (
        f"at that length the warm-up of {warmup:g} epochs is {warmup * after:.0f} updates instead of "
        f"{warmup * before:.0f}, and all {epochs:g} epochs are {epochs * after:.0f} instead of "
        f"{epochs * before:.0f}"
    )


def _gpus(before: int, after: int, config: RunConfig | None) -> tuple[tuple[int, ...], int | None]:
    """The numbers of GPUs that explain two lengths: with the batch by the config, else the smallest."""
    samples = (config.samples() if config else None) or 0
    images = (config.number("train_params.max_num_of_imgs_per_gpu") if config else None) or 0
    for batch in range(min(int(images), MOST_GPUS), 0, -1) if samples else ():
        counts = [
            [count for count in range(1, MOST_GPUS + 1) if samples // batch // count == steps]
            for steps in (before, after)
        ]
        if all(counts):
            return (counts[0][0], counts[1][0]), batch
    numbers = range(1, MOST_BY_CHANCE + 1)
    pairs = [(a, b) for a in numbers for b in numbers if a != b and before * a == after * b]
    return min(pairs, key=sum, default=()), None


@check("LOG006", tier="run")
def epochs_follow_each_other(target: Target) -> Findings:
    """Each launch goes on with the epoch after the last one that was finished.

    ## Why it matters
    Epochs that are trained again, left out or counted anew make another schedule, and a second meaning for
    each number in the log and on the checkpoints.

    ## How to fix
    Resume from the last checkpoint (`train_params.resume=true`, the same run directory), or give a training
    that starts anew a directory of its own.
    """
    for log in judged_logs(target):
        for before, after in pairwise([segment for segment in log.segments if segment.trained]):
            finished = before.last[0] if _is_finished(before) else before.last[0] - 1
            first = after.first[0]
            if after.first_line < before.last_line:
                continue  # they are at work at once, which is another check's affair
            if first == 0 and finished > 0:
                yield _renumbered(log, after, f"counts from epoch 0 again; epoch {finished} was finished")
            elif first <= finished:
                yield _renumbered(log, after, f"trains epochs {first} to {finished} again")
            elif first > finished + 1:
                yield _renumbered(log, after, f"starts at epoch {first}; epoch {finished} was finished last")


def _is_finished(segment: Segment) -> bool:
    """Whether a launch finished the last epoch that it speaks of."""
    return not segment.steps or segment.last[1] + max(segment.stride, 1) >= segment.steps


def _renumbered(log: Log, segment: Segment, what: str) -> Finding:
    return warning(
        f"the launch that trains from this line {what}",
        path=log.path,
        line=segment.first_line,
        hint="resume from checkpoint-last.pth: train_params.resume=true, hydra.run.dir=RUN",
        epoch=segment.first[0],
    )


@check("LOG007", tier="run")
def one_training_writes_the_log(target: Target) -> Findings:
    """One training at a time writes into the log.

    ## Why it matters
    Two trainings in one run directory overwrite each other's checkpoints: what is left is from neither.

    ## How to fix
    Give each launch a directory of its own: `hydra.run.dir=DIR`.
    """
    for log in judged_logs(target):
        for before, after in pairwise(log.segments):
            if after.first_line < before.last_line:
                yield error(
                    f"another training starts here, while one goes on to line {before.last_line} "
                    f"({before.steps} and {after.steps} steps an epoch)",
                    path=log.path,
                    line=after.first_line,
                    hint="stop one of them, and give it another hydra.run.dir",
                )
                break


@check("LOG008", tier="run")
def configured_evaluation_ran(target: Target) -> Findings:
    """The evaluation that the config asks for ran.

    ## Why it matters
    Without it no best checkpoint is chosen, and nothing tells that the training learns by heart.

    ## How to fix
    `train_params.eval_freq=1`, and a set in `dataset.test_dataset`.
    """
    for log, config in logs_with_config(target):
        due = _due(log, config)
        if due and not log.phase("test"):
            yield warning(
                f"an evaluation was due after epoch {due[0] - 1} (eval_freq is "
                f"{config.number('train_params.eval_freq'):g}), and none is in the log",
                path=log.path,
                line=log.phase("train")[-1].last_line,
                hint="see that dataset.test_dataset has a set: opv2v-doctor check CFG006",
            )


def _due(log: Log, config: RunConfig) -> list[int]:
    """The epochs before which an evaluation should have run; what a kill came before is not missing."""
    every = int(config.number("train_params.eval_freq") or 0)
    asked = any(mark in config.text("dataset.test_dataset") for mark in "(@")
    finished = [part.epoch + 1 for part in log.phase("train") if part.last_step + 1 >= part.steps > 0]
    begun = {part.epoch for part in log.phase("train")}
    return [
        epoch
        for epoch in finished
        if asked and every > 0 and epoch % every == 0 and _went_on(epoch, begun, log)
    ]


def _went_on(epoch: int, begun: set[int], log: Log) -> bool:
    return epoch in begun or bool(log.of("end"))


@check("LOG009", tier="run")
def best_checkpoint_is_the_best(target: Target) -> Findings:
    """checkpoint-best.pth was written after the best epoch.

    ## Why it matters
    What is evaluated and published is that file. Where it was never written, or before the best epoch, it is
    not what it is called.

    ## How to fix
    Evaluate the numbered checkpoint of the best epoch instead.
    """
    for log in judged_logs(target):
        if log.of("save"):
            yield from _best(log)


def _best(log: Log) -> Iterator[Finding]:
    tests = [(span.last_median, part) for part in log.phase("test") if (span := part.span("loss"))]
    if not tests or any(part.number for _, part in tests):
        return  # several sets: the training averages them, each weighing the same
    value, best = min(tests, key=lambda test: test[0])
    written = [save.line for save in log.of("save") if save.value.endswith("checkpoint-best.pth")]
    if not any(line > best.last_line for line in written) and _goes_on(log, best):
        last = f"last written in line {written[-1]}" if written else "never written"
        yield warning(
            f"the best epoch is {best.epoch} (median loss {value:g}); checkpoint-best.pth was {last}",
            path=log.path,
            line=best.last_line,
            hint=f"use checkpoint-{best.epoch}.pth",
            epoch=best.epoch,
        )


def _goes_on(log: Log, test: EpochPart) -> bool:
    """Whether the training went on after an evaluation, so that it had the time to save."""
    return bool(log.of("end")) or any(part.first_line > test.last_line for part in log.phase("train"))
