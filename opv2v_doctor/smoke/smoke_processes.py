"""Smoke: several ranks against one process that gets the same batches."""

import math
from collections.abc import Iterator

from opv2v_doctor.check import Blocked, Findings, Skip, check, error, examined, note, warning
from opv2v_doctor.smoke.launches import STEPS, alone, uninterrupted_trace
from opv2v_doctor.smoke.traces import Step
from opv2v_doctor.target import Target
from opv2v_doctor.threshold import Threshold

SAME_RATE = Threshold(1e-6, "of the learning rate", "the same formula, in double precision", healthy=0.0)
ROUNDING = Threshold(1e-3, "of a gradient's norm", "the order of a sum differs", healthy=0.0)
SMALL = Threshold(1e-6, "of the largest gradient", "below it, rounding is all there is")


@check("SMK005", tier="run")
def learning_rate_does_not_follow_the_processes(target: Target) -> Findings:
    """The learning rate of an update is the same on any number of processes.

    ## Why it matters
    A schedule that is stepped once per process, or that counts samples instead of updates, runs through its
    curve as many times as fast as there are GPUs: the training ends at its minimum long before it is done.

    ## How to fix
    Compute the rate from epoch and step of the loader that this process has, without the world size.
    """
    found = list(_updates(target))
    yield examined(sum(bool(ranks[0].lr) for _, ranks, _ in found), "update")
    for update, ranks, single in found:
        for group, rate in ranks[0].lr.items():
            other = single[0].lr.get(group, math.nan)
            if not math.isclose(rate, other, rel_tol=SAME_RATE, abs_tol=1e-12):
                yield error(
                    "update {update}: the learning rate of {group} is {rate:.6g} on {gpus} processes, "
                    "{other:.6g} on one",
                    hint="leave the world size out of the schedule: epoch + step / len(loader)",
                    update=update,
                    group=group,
                    rate=rate,
                    gpus=target.gpus,
                    other=other,
                )
                return


@check("SMK006", tier="run", requires=["SMK005"])
def ranks_train_like_one_process(target: Target) -> Findings:
    """The first update of several ranks has the gradients of one process with the same samples.

    ## Why it matters
    Ranks average their gradients, so N ranks with a batch each are one process with N batches. Where they are
    not, gradients are not averaged, some rank's are lost, or ranks draw the same samples.

    ## How to fix
    Look at what differs: the samples, by the sampler, or the gradients, by DistributedDataParallel.
    """
    found = next(_updates(target), None)
    if found is None:
        raise Skip("no update was made by all ranks and by one process")
    _, ranks, single = found
    ours = sorted(name for step in ranks for name in step.samples)
    theirs = sorted(name for step in single for name in step.samples)
    if not ours:
        raise Blocked(
            "the samples of a batch are not known: its views have no label, instance or idx",
            hint="give each view the label and the instance of its sample",
        )
    if ours != theirs:
        yield warning(
            "{gpus} ranks draw other samples than one process with as many batches, so gradients cannot be "
            "compared ({ours} and {theirs} samples, {twice} of them more than once)",
            hint="shard one order of samples over the ranks, if the runs must be comparable",
            gpus=target.gpus,
            ours=len(ours),
            theirs=len(theirs),
            twice=len(ours) - len(set(ours)),
        )
        return
    yield from _compare(ranks[0], single[-1], target)


def _compare(one: Step, other: Step, target: Target) -> Findings:
    """The norm of each parameter's gradient in the same update."""
    if one.gradients is None or other.gradients is None:
        raise Blocked("the first step ended in no update that the optimizer tells of")
    largest = max(other.gradients.values(), default=0.0)
    yield examined(len(other.gradients), "gradient")
    for name, norm in other.gradients.items():
        found = one.gradients.get(name, math.nan)
        if not math.isclose(found, norm, rel_tol=ROUNDING, abs_tol=SMALL * largest):
            yield error(
                "the gradient of {name} in the first update has norm {norm:.6g} on {gpus} ranks, "
                "{single:.6g} in one process with the same samples",
                hint="compute the loss with the model that DistributedDataParallel wraps",
                name=name,
                norm=found,
                gpus=target.gpus,
                single=norm,
            )
            return
    yield note("all agree within {bound:g} of their norm", bound=ROUNDING)


def _updates(target: Target) -> Iterator[tuple[int, list[Step], list[Step]]]:
    """(number, the steps of all ranks, the steps of the one process) of each update of the first epoch."""
    several, one = uninterrupted_trace(target), alone(target).of_rank(0)
    for update in range(STEPS):
        ranks = [several.at(rank, 0, update) for rank in range(target.gpus)]
        single = one[update * target.gpus : (update + 1) * target.gpus]
        if single and None not in ranks:
            yield update, [step for step in ranks if step is not None], single
