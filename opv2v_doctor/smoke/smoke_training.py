"""Smoke: what must hold in any short training of several ranks."""

from opv2v_doctor.check import Finding, Findings, check, error, note
from opv2v_doctor.smoke.launches import uninterrupted
from opv2v_doctor.smoke.traces import Trace, Warned
from opv2v_doctor.target import Target


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
    trace = uninterrupted(target)
    for step in trace.of_rank(0):
        for rank in range(1, target.gpus):
            other = trace.at(rank, step.epoch, step.step)
            if other is None or other.weights != step.weights:
                plain = f"the weights of rank {rank} are not those of rank 0"
                named = (warned.message for warned in trace.warnings if warned.what == "replicas differ")
                yield error(
                    f"{step}: {next(named, plain)}",
                    hint="compute the loss with the model that DistributedDataParallel wraps",
                    rank=rank,
                    epoch=step.epoch,
                    step=step.step,
                )
                return
    yield note(f"{target.gpus} ranks, {len(trace.of_rank(0))} updates, equal after each")


@check("SMK002", tier="run")
def gradients_are_cleared(target: Target) -> Findings:
    """The gradients of an update are gone before those of the next one arrive.

    ## Why it matters
    Gradients that are not cleared add up: each update is the sum of all before it, which looks like a strange
    momentum, and ends in a diverging or a stuck training.

    ## How to fix
    Call `optimizer.zero_grad()` after each update.
    """
    yield from _told(
        uninterrupted(target), {"gradients not cleared"}, "call optimizer.zero_grad() after each update"
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
    yield from _told(
        uninterrupted(target),
        {"gradients are zero", "parameters never change", "parameters left out", "gradients not finite"},
        "look for requires_grad, detach() and no_grad() on the way to the parameters that are named",
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
    trace = uninterrupted(target)
    orders = {
        epoch: [
            [step.samples for step in trace.of_rank(rank) if step.epoch == epoch]
            for rank in range(target.gpus)
        ]
        for epoch in sorted({step.epoch for step in trace.steps})
    }
    seen: dict[str, int] = {}
    for epoch, order in orders.items():
        if repr(order) in seen:
            yield error(
                f"the samples of epoch {epoch} are those of epoch {seen[repr(order)]}, in the same order",
                hint="call set_epoch(epoch) of dataset, sampler and batch sampler at each epoch's start",
                epoch=epoch,
            )
        seen.setdefault(repr(order), epoch)
    yield note(f"{len(orders)} epochs, {sum(len(s.samples) for s in trace.steps)} samples")


def _told(trace: Trace, wanted: set[str], hint: str) -> Findings:
    """What the watch told of: its warnings are errors here."""
    told: set[str] = set()
    for warned in trace.warnings:
        if warned.what in wanted and warned.message not in told:
            told.add(warned.message)
            yield _finding(warned, hint)


def _finding(warned: Warned, hint: str) -> Finding:
    place = f"epoch {warned.epoch}" + (f", step {warned.step}" if warned.step is not None else "")
    message = f"{place}: {warned.message}"
    tell = note if warned.is_note else error
    return tell(message, hint=hint, epoch=warned.epoch, step=warned.step)
