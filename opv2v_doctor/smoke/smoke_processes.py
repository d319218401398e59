"""Smoke: several ranks against one process that gets the same batches."""

import ast
import math
import re
from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from opv2v_doctor.check import Blocked, Findings, Skip, check, error, examined, note, warning
from opv2v_doctor.facts.source.syntax import modules, nodes
from opv2v_doctor.smoke.launches import alone, uninterrupted_trace
from opv2v_doctor.smoke.smoke_resume import rate_place
from opv2v_doctor.smoke.traces import Step, TrainingTrace, placed
from opv2v_doctor.smoke.update_sums import made_updates, moved_by_rounding, rows
from opv2v_doctor.target import Target
from opv2v_doctor.text import Place
from opv2v_doctor.threshold import Threshold

RATE = re.compile(r"\blr\b|_lr\b|\blr_|learning_rate", re.IGNORECASE)
PROCESSES = re.compile(r"world_?size|num_(gpus|processes|tasks|replicas)", re.IGNORECASE)
SAME_RATE = Threshold(1e-6, "of the learning rate", "the same formula, in double precision", healthy=0.0)
ROUNDING = Threshold(1e-3, "of a gradient's length", "the order of a sum differs", healthy=1e-6)
OF_ROUNDING = Threshold(
    10, "times what rounding the images moves", "as TTrace has it, arXiv 2506.09280", healthy=1
)
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
                    at=_multiplied(target) or rate_place(target, ranks[0], single[0]),
                    hint="leave the world size out of the schedule: epoch + step / len(loader)",
                    update=update,
                    group=group,
                    rate=rate,
                    gpus=target.gpus,
                    other=other,
                )
                return


def _multiplied(target: Target) -> Place | None:
    """The first line that sets a rate, and reads how many processes there are."""
    for path in modules(target):
        for node in nodes(path):
            if isinstance(node, ast.Assign | ast.AugAssign):
                into, _, value = ast.unparse(node).partition("=")
                if RATE.search(into) and PROCESSES.search(value):
                    return Place(path, node.lineno)
    return None


@check("SMK006", tier="run", requires=["SMK005", "SMK016"])
def ranks_train_like_one_process(target: Target) -> Findings:
    """The first update of several ranks has the gradients of one process with the same samples.

    ## Why it matters
    Ranks average their gradients, so N ranks with a batch each are one process with N batches. Where they are
    not, gradients are not averaged, some rank's are lost, or ranks draw the same samples.

    Random numbers of a step follow from its batch in both trainings, so that dropout is the same. What
    rounding alone moves is measured: the first batch is derived again, its images rounded otherwise.

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
    if sorted(step.content or "" for step in ranks) != sorted(step.content or "" for step in single):
        raise Skip(
            "augmentation draws other numbers in one process than in several, so the same samples hold other "
            "values; SMK015 compares the gradients of the ranks with what each computed"
        )
    yield from _compare(target)


def _compare(target: Target) -> Findings:
    """The gradients of the first update, in length and direction."""
    ours, theirs = (
        made_updates(trace, ranks)[:1]
        for trace, ranks in ((uninterrupted_trace(target), target.gpus), (alone(target), 1))
    )
    if not ours or not theirs:
        raise Blocked("the first step ended in no update that the optimizer tells of")
    (one,), (other,) = ours, theirs
    names = sorted(other.update.gradients)
    yield examined(len(names), "gradient")
    found, wanted = rows(one.update.gradients, names), rows(other.update.gradients, names)
    sizes = np.sqrt((wanted**2).mean(axis=1))
    moved, largest = moved_by_rounding(alone(target), other), sizes.max(initial=0.0)
    worst = 0.0
    for name, got, single, size in zip(names, found, wanted, sizes, strict=True):
        apart = float(np.sqrt(((got - single) ** 2).mean()))
        bound = max(float(ROUNDING), OF_ROUNDING * moved.get(name, 0.0))
        worst = max(worst, apart / max(size, SMALL * largest, 1e-30))
        if apart > bound * size + SMALL * largest:
            yield error(
                "the gradient of {name} in the first update of {gpus} ranks is {apart:.2g} of its length "
                "away from that of one process with the same samples; rounding moves it by {moved:.1g}",
                hint="see what a rank does by itself: statistics of its batch, a loss normalised over it",
                at=placed(one.parts[0][0].at) if one.parts[0] else placed(one.update.at),
                name=name,
                apart=apart / max(size, 1e-30),
                gpus=target.gpus,
                moved=moved.get(name, 0.0),
            )
            return
    yield note("all agree within {worst:.1g} of their length", worst=worst)


def _updates(target: Target) -> Iterator[tuple[int, list[Step], list[Step]]]:
    """(number, the steps of all ranks, the steps of the one process) of each update of the first epoch."""
    several, single = uninterrupted_trace(target), _groups(alone(target), 0, target.gpus)
    of_ranks = [_groups(several, rank, 1) for rank in range(target.gpus)]
    for number, steps in enumerate(zip(*of_ranks, strict=False)):
        if number < len(single):
            yield number, [step for own in steps for step in own], single[number]


def _groups(trace: TrainingTrace, rank: int, usual: int) -> list[list[Step]]:
    """The steps of the first epoch, those of each update together; so many where no update was seen."""
    steps = [step for step in trace.of_rank(rank) if step.epoch == 0]
    ends = [number for number, step in enumerate(steps, 1) if step.gradients is not None]
    if not ends:
        ends = list(range(usual, len(steps) + 1, usual))
    return [steps[first:last] for first, last in pairwise([0, *ends])]
