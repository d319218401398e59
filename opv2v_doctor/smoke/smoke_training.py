"""Smoke: what must hold in any short training of several ranks."""

import contextlib
from collections.abc import Collection
from itertools import combinations

from opv2v_doctor.check import Blocked, Findings, Skip, check, error, examined, note, warning
from opv2v_doctor.facts.source.names import named
from opv2v_doctor.smoke.launches import resumed_trace, uninterrupted_trace, uninterrupted_training
from opv2v_doctor.smoke.traces import Largest, Loaded, Step, TrainingTrace, placed
from opv2v_doctor.target import Target
from opv2v_doctor.text import Text
from opv2v_doctor.threshold import Threshold

IN_PROPORTION = Threshold(1e-3, "of a ratio of rates", "one formula in double precision", healthy=0.0)
FULL = Threshold(0.95, "of the GPU's memory", "fragments and a longer evaluation need some", healthy=0.9)


@check("SMK001", tier="run")
def ranks_hold_the_same_weights(target: Target) -> Findings:
    """All ranks hold the same weights after every update.

    ## Why it matters
    Data-parallel ranks start equal and average their gradients, so they stay equal. Where the forward pass
    goes around DistributedDataParallel, each rank trains a model of its own, and only the first one is saved:
    the others' batches are wasted, and no log says so.

    ## How to fix
    Call the wrapped model, not `model_without_ddp` or `model.module`, wherever a loss is computed.
    """
    outcome = uninterrupted_training(target)
    if outcome.useless:
        yield examined(1, "training")
        yield error(
            "the uninterrupted training {failure}",
            hint="mend what it says: the launch would end like this",
            at=outcome.at,
            failure=outcome.failure or "",
        )
        return
    trace = uninterrupted_trace(target)
    for rank in range(1, target.gpus):
        steps = [step for step in trace.of_rank(0) if step.weights]
        yield examined(len(steps), "step", rank=rank)
        for step in steps:
            other = trace.at(rank, step.epoch, step.step)
            if other is None or other.weights != step.weights:
                yield error(
                    "{place}: {difference}",
                    hint="compute the loss with the model that DistributedDataParallel wraps",
                    place=step.place,
                    difference=_difference(trace, rank, other),
                    rank=rank,
                )
                return
    yield note("{ranks} ranks, equal after each of {n:step|steps}", ranks=target.gpus, n=len(steps))


def _difference(trace: TrainingTrace, rank: int, other: Step | None) -> Text | str:
    """How a rank differs from rank 0, in the words of the watch where it has any."""
    if other is None:
        return Text("rank {rank} did not make this step", rank=rank)
    named = (warned.message for warned in trace.warnings if warned.what == "replicas differ")
    return next(named, Text("the weights of rank {rank} are not those of rank 0", rank=rank))


@check("SMK002", tier="run")
def gradients_are_cleared(target: Target) -> Findings:
    """The gradients of an update are gone before those of the next one arrive.

    ## Why it matters
    Gradients that are not cleared add up: each update is the sum of all before it, which looks like a strange
    momentum, and ends in a diverging or a stuck training.

    ## How to fix
    Call `optimizer.zero_grad()` after each update.
    """
    trace = uninterrupted_trace(target)
    following = [step for step in trace.updates if trace.at(step.rank, step.epoch, step.step + 1)]
    yield examined(len(following), "update")  # that another step of the epoch follows
    yield from _warnings(
        trace, {"gradients not cleared"}, Text("call optimizer.zero_grad() after each update")
    )


@check("SMK003", tier="run")
def every_group_is_trained(target: Target) -> Findings:
    """Every parameter group gets gradients and changes.

    ## Why it matters
    A group that is frozen by mistake, left out of the optimizer or cut off from the loss stays what it was,
    while the loss still falls with what the others learn.

    ## How to fix
    Freeze by a learning rate of 0 in `train_params.submodule_configs`, where it is seen, and nowhere else.
    """
    trace = uninterrupted_trace(target)
    yield examined(len({group for step in trace.updates for group in step.lr}), "parameter group")
    yield from _apart(trace, target)
    yield from _warnings(
        trace,
        {"gradients are zero", "parameters never change", "parameters left out", "gradients not finite"},
        Text("look for requires_grad, detach() and no_grad() on the way to the parameters that are named"),
    )


def _apart(trace: TrainingTrace, target: Target) -> Findings:
    """Groups of one sub-module whose learning rates do not stay in proportion: a schedule leaves one out."""
    steps = [step for step in trace.of_rank(0) if step.lr]
    for one, other in combinations(steps[0].lr if steps else (), 2):
        name = one.partition("[")[0]
        pairs = [(step.lr[one], step.lr[other]) for step in steps if other in step.lr and step.lr[one]]
        if name == "group" or name != other.partition("[")[0] or len(pairs) < 2:
            continue
        ratios = [theirs / ours for ours, theirs in pairs]
        if max(ratios) - min(ratios) > IN_PROPORTION * max(ratios):
            schedule = named(target, "schedule")
            yield error(
                "the learning rates of {one} and {other} do not follow one schedule: {pairs}",
                hint="set the rate of every group of the optimizer",
                at=schedule.place if schedule else None,
                one=one,
                other=other,
                pairs=[f"{ours:g} / {theirs:g}" for ours, theirs in pairs[:3]],
            )
            return


@check("SMK026", tier="run")
def what_is_loaded_fits_the_model(target: Target) -> Findings:
    """What a training loads into a module, at its start or a resume, are weights of that module.

    ## Why it matters
    `load_state_dict(strict=False)` is silent where no name fits, as when a wrapper has put `module.` before
    each: the training begins with other weights, and nothing but its loss shows it.

    ## How to fix
    Load with `strict=True`, or take off what stands before the names.
    """
    loads = uninterrupted_trace(target).every(Loaded, 0)
    with contextlib.suppress(Blocked):  # SMK007 tells of a resume that cannot be seen
        loads += resumed_trace(target).every(Loaded, 0)
    if not any(each.given for each in loads):
        raise Skip("no module was given weights")
    yield examined(sum(bool(each.given) for each in loads), "load of weights")
    for at, each in {each.at: each for each in loads if each.given and not each.fitting}.items():
        yield error(
            "none of the {given:name|names} that {model} is given to load is one of its own: {name}, where "
            "it has {own}",
            at=placed(at),
            hint="load with strict=True, or take off what stands before the names",
            given=each.given,
            model=each.model,
            name=each.names[0],
            own=each.names[-1],
        )


@check("SMK004", tier="run")
def each_epoch_draws_its_own_samples(target: Target) -> Findings:
    """Each epoch draws its samples in an order of its own.

    ## Why it matters
    A sampler whose `set_epoch` is never called shuffles every epoch alike: the training sees the same batches
    in the same order again and again, and the random numbers of the augmentation with them.

    ## How to fix
    Call `set_epoch(epoch)` of dataset, sampler and batch sampler at the start of every epoch.
    """
    trace = uninterrupted_trace(target)
    orders = {
        epoch: [
            [step.samples for step in trace.of_rank(rank) if step.epoch == epoch]
            for rank in range(target.gpus)
        ]
        for epoch in sorted({step.epoch for step in trace.steps})
    }
    counts = {
        epoch: sum(len(samples) for rank in order for samples in rank) for epoch, order in orders.items()
    }
    if len(orders) < 2:
        raise Skip("only one epoch was trained: there is no other order")
    if not all(counts.values()):
        raise Blocked(
            "the samples of a batch are not known: its views have no label, instance or idx",
            hint="give each view the label and the instance of its sample",
        )
    seen: dict[str, int] = {}
    for epoch, order in orders.items():
        yield examined(counts[epoch], "sample", epoch=epoch)
        if repr(order) in seen:
            yield error(
                "the samples of epoch {epoch} are those of epoch {earlier}, in the same order",
                hint="call set_epoch(epoch) of dataset, sampler and batch sampler at each epoch's start",
                epoch=epoch,
                earlier=seen[repr(order)],
            )
        seen.setdefault(repr(order), epoch)


def _warnings(trace: TrainingTrace, wanted: Collection[str], hint: Text) -> Findings:
    """What the watch told of, in its words: its warnings are errors here."""
    told: set[str] = set()
    for warned in trace.warnings:
        if warned.what in wanted and warned.message not in told:
            told.add(warned.message)
            said = Text("{place}: {message}", place=warned.place, message=warned.message, what=warned.what)
            yield note(said) if warned.is_note else error(said, hint=hint)


@check("SMK021", tier="run")
def the_largest_batch_fits(target: Target) -> Findings:
    """The largest batch that the sampler draws is trained, and leaves room on the GPU.

    ## Why it matters
    Batches differ in their number of views. The one that needs the most memory may come first in the third
    epoch, and ends a training that ran for days.

    ## How to fix
    Lower `max_num_of_imgs_per_gpu`, or what else decides the size of a batch.
    """
    outcome = uninterrupted_training(target)
    trace = uninterrupted_trace(target)
    found = trace.every(Largest)
    if not found:
        raise Skip("the sampler's batches could not be listed, so the largest one is not known")
    yield examined(found[0].kinds, "kind of batch")
    done = trace.every(Step, event="largest step")
    lost = next((one for one in found if one.rank not in {step.rank for step in done}), None)
    if lost is not None:
        yield error(
            "the largest batch that the sampler draws ({views:view|views}) {failure}",
            hint="lower max_num_of_imgs_per_gpu",
            at=outcome.at,
            views=lost.views,
            failure=outcome.failure or "",
        )
        return
    for step in done:
        if step.memory is not None:
            peak, total = step.memory["allocated"], step.memory["total"]
            others = total - step.memory["free"] - step.memory["reserved"]
            told = warning if step.memory["reserved"] + max(others, 0) > FULL * total else note
            yield told(
                "{views:view|views} of {size:sample|samples} need {peak:.1f} GiB at most of {total:.1f} GiB",
                hint="lower max_num_of_imgs_per_gpu, or others may take what is left",
                views=step.views or 0,
                size=step.size or 0,
                peak=peak / 2**30,
                total=total / 2**30,
                rank=step.rank,
            )
    if not any(step.memory for step in done):
        yield note(
            "{views:view|views} of {size:sample|samples}; no GPU was used, so its memory is not known",
            views=done[0].views or 0,
            size=done[0].size or 0,
        )
