"""Smoke: several ranks against one process that gets the same batches."""

import math
from collections.abc import Iterator

from opv2v_doctor.check import Findings, Skip, check, error, note, warning
from opv2v_doctor.smoke.launches import STEPS, alone, uninterrupted
from opv2v_doctor.smoke.traces import Step
from opv2v_doctor.target import Target

ROUNDING = 1e-3  # of a gradient's norm: the order of a sum differs
SMALL = 1e-6  # of the largest gradient: below it, rounding is all there is


@check("SMK005", tier="run")
def learning_rate_does_not_follow_the_processes(target: Target) -> Findings:
    """The learning rate of an update is the same on any number of processes.

    ## Why it matters
    A schedule that is stepped once per process, or that counts samples instead of updates, runs through its
    curve as many times as fast as there are GPUs: the training ends at its minimum long before it is done.

    ## How to fix
    Compute the rate from epoch and step of the loader that this process has, without the world size.
    """
    for update, ranks, single in _updates(target):
        for group, rate in ranks[0].lr.items():
            other = single[0].lr.get(group, math.nan)
            if not math.isclose(rate, other, rel_tol=1e-6, abs_tol=1e-12):
                yield error(
                    f"update {update}: the learning rate of {group} is {rate:.6g} on {target.gpus} "
                    f"processes, {other:.6g} on one",
                    hint="leave the world size out of the schedule: epoch + step / len(loader)",
                    group=group,
                    update=update,
                )
                return
    yield note(f"{STEPS} updates have the same learning rates on {target.gpus} processes and on one")


@check("SMK006", tier="run", requires=["SMK005"])
def ranks_train_like_one_process(target: Target) -> Findings:
    """The first update of several ranks has the gradients of one process with the same samples.

    ## Why it matters
    Ranks average their gradients, so N ranks with a batch each are one process with N batches. Where they are
    not, gradients are not averaged, some rank's are lost, or ranks draw the same samples.

    ## How to fix
    Look at what differs: the samples, by the sampler, or the gradients, by DistributedDataParallel.
    """
    _, ranks, single = next(_updates(target))
    ours = sorted(name for step in ranks for name in step.samples)
    theirs = sorted(name for step in single for name in step.samples)
    if ours != theirs:
        twice = len(ours) - len(set(ours))
        yield warning(
            f"{target.gpus} ranks draw other samples than one process with as many batches, so gradients "
            f"cannot be compared ({len(ours)} and {len(theirs)} samples, {twice} of them more than once)",
            hint="shard one order of samples over the ranks, if the runs shall be comparable",
        )
        return
    yield from _compared(ranks[0], single[-1], target)


def _compared(one: Step, other: Step, target: Target) -> Findings:
    """The norm of each parameter's gradient in the same update."""
    if one.gradients is None or other.gradients is None:
        raise Skip("the optimizer of this torch tells nothing of its updates")
    largest = max(other.gradients.values(), default=0.0)
    for name, norm in other.gradients.items():
        found = one.gradients.get(name, math.nan)
        if not math.isclose(found, norm, rel_tol=ROUNDING, abs_tol=SMALL * largest):
            yield error(
                f"the gradient of {name} in the first update has norm {found:.6g} on {target.gpus} ranks, "
                f"{norm:.6g} in one process with the same samples",
                hint="compute the loss with the model that DistributedDataParallel wraps",
                parameter=name,
            )
            return
    yield note(f"{len(other.gradients)} gradients agree within {ROUNDING:g}")


def _updates(target: Target) -> Iterator[tuple[int, list[Step], list[Step]]]:
    """(number, the steps of all ranks, the steps of the one process) of each update of the first epoch."""
    several, one = uninterrupted(target), alone(target).of_rank(0)
    for update in range(STEPS):
        ranks = [several.at(rank, 0, update) for rank in range(target.gpus)]
        single = one[update * target.gpus : (update + 1) * target.gpus]
        if single and None not in ranks:
            yield update, [step for step in ranks if step is not None], single
