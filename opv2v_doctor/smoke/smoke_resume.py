"""Smoke: a training that was killed and resumed against one that was not."""

from collections.abc import Callable, Iterator

from opv2v_doctor.check import Findings, Skip, check, error, note, warning
from opv2v_doctor.smoke.launches import KILLED_AT, resumed, uninterrupted
from opv2v_doctor.smoke.traces import Step
from opv2v_doctor.target import Target

EPOCH = KILLED_AT[0]


@check("SMK007", tier="run")
def resume_goes_on_at_the_next_epoch(target: Target) -> Findings:
    """A resume goes on with the epoch after the last that was saved.

    ## Why it matters
    An epoch too early is trained twice, one too late never; either way the learning rate jumps, and the
    number of updates is no longer what the epoch says.

    ## How to fix
    Save the epoch that is complete, and start with the one after it.
    """
    first, expected = _starts(target)
    steps = expected.global_step if expected else None
    if first is None:
        yield error(
            f"epoch {EPOCH - 1} was saved, and epoch {EPOCH} is never trained: it is skipped",
            hint="start_epoch = checkpoint['epoch'] + 1, where the epoch that was saved is complete",
        )
    elif (first.epoch, first.step) != (EPOCH, 0):
        verb = "repeated" if first.epoch < EPOCH else "skipped"
        yield error(
            f"epoch {EPOCH - 1} was saved, training goes on with epoch {first.epoch}: epochs are {verb}",
            hint="start_epoch = checkpoint['epoch'] + 1, where the epoch that was saved is complete",
            epoch=first.epoch,
        )
    elif first.global_step != steps:
        yield error(
            f"goes on at step {first.global_step} of the training, uninterrupted {steps}",
            hint="save a checkpoint with all its counters at the same point",
        )
    else:
        yield note(f"killed at epoch {KILLED_AT[0]}, step {KILLED_AT[1]}; goes on at {first}")


@check("SMK008", tier="run", requires=["SMK007"])
def resume_restores_the_weights(target: Target) -> Findings:
    """A resume starts from the weights that the uninterrupted training had there.

    ## Why it matters
    `load_state_dict(strict=False)` hides what does not fit: a resume then starts from other weights.

    ## How to fix
    Load with `strict=True`, after the model is complete.
    """
    yield from _first(target, "weights", lambda step: step.before, "load the model with strict=True")


@check("SMK009", tier="run")
def resume_restores_the_optimizer(target: Target) -> Findings:
    """A resume starts with the state of the optimizer that the uninterrupted training had there.

    ## Why it matters
    Without its moments, Adam begins anew: the first updates after the resume are far too large, and the loss
    jumps for as long as it takes to build them up again.

    ## How to fix
    `optimizer.load_state_dict(checkpoint["optimizer"])`, after the parameter groups are complete.
    """
    hint = "call optimizer.load_state_dict(checkpoint['optimizer']) when resuming"
    first, whole = _starts(target)
    if first is None or whole is None:
        raise Skip("the resumed training made no step")
    if first.optimizer_steps != whole.optimizer_steps:
        yield error(
            f"the optimizer has made {first.optimizer_steps} updates after the resume, "
            f"{whole.optimizer_steps} in the uninterrupted training",
            hint=hint,
        )
        return
    yield from _first(target, "state of the optimizer", lambda step: step.optimizer, hint)


@check("SMK010", tier="run", requires=["SMK007"])
def resume_keeps_the_learning_rate(target: Target) -> Findings:
    """A resumed training has the learning rates of the uninterrupted one, at every step.

    ## Why it matters
    A schedule that begins anew, or that counts the steps of the process, makes the learning rate jump.

    ## How to fix
    Compute the rate from epoch and step, or save and load the scheduler with the optimizer.
    """
    for step, other in _pairs(target):
        for group, rate in other.lr.items():
            if step.lr.get(group) != rate:
                yield error(
                    f"{step}: the learning rate of {group} is {step.lr.get(group)}, uninterrupted {rate}",
                    hint="compute the rate from epoch and step, or restore the scheduler",
                    group=group,
                )
                return
    yield note(f"{len(list(_pairs(target)))} steps")


@check("SMK011", tier="run", requires=["SMK007"])
def resume_draws_the_same_samples(target: Target) -> Findings:
    """A resumed training draws the samples of the uninterrupted one, in the same order.

    ## Why it matters
    Where the order depends on the process instead of the epoch, a resume shows some samples twice.

    ## How to fix
    Seed samplers and datasets from seed, epoch and sample only.
    """
    yield from _every(
        target, "samples", lambda step: (step.samples, step.draws), "seed samplers from seed and epoch only"
    )


@check("SMK012", tier="run", requires=["SMK001", "SMK007"])
def resume_keeps_the_random_numbers(target: Target) -> Findings:
    """Random numbers after a resume either go on, or do not matter.

    ## Why it matters
    A checkpoint without the state of the random number generators begins their sequence anew: a resumed run
    cannot be repeated exactly, and sees the dropout and augmentation of its first epoch again.

    ## How to fix
    Seed them at each epoch's start, from seed, epoch and rank; or save their states with the checkpoint.
    """
    pairs = list(_pairs(target))
    if all(step.random == other.random for step, other in pairs):
        yield note("the same random numbers at every step")
    elif all(step.weights == other.weights for step, other in pairs):
        yield note("random numbers begin anew after a resume, but nothing that trains depends on them")
    else:
        yield warning(
            "random numbers begin anew after a resume, and the training is another one",
            hint="seed torch and numpy at each epoch's start from seed, epoch and rank",
        )


@check("SMK013", tier="run", requires=["SMK001", "SMK008", "SMK009", "SMK010", "SMK011"])
def resumed_run_ends_like_an_uninterrupted_one(target: Target) -> Findings:
    """A resumed training has the weights of the uninterrupted one after every update.

    ## Why it matters
    It is the sum of all that a resume must restore; what is still missing then has no name above.

    ## How to fix
    See what else the training keeps between epochs: averages of weights, the loss scaler, random numbers.
    """
    pairs = list(_pairs(target))
    for step, other in pairs:
        if step.weights != other.weights:
            same = step.random == other.random
            yield warning(
                f"{step}: the weights are not those of the uninterrupted training (loss {step.loss}, "
                f"uninterrupted {other.loss})",
                hint="see SMK012" if not same else "use deterministic kernels to see whether it is rounding",
            )
            return
    yield note(f"{len(pairs)} updates end in the same bits")


def _starts(target: Target) -> tuple[Step | None, Step | None]:
    """The first step after the resume, and what the uninterrupted training did where it should be."""
    return next(iter(resumed(target).of_rank(0)), None), uninterrupted(target).at(0, EPOCH, 0)


def _pairs(target: Target) -> Iterator[tuple[Step, Step]]:
    """Each step after the resume, and the same step of the uninterrupted training."""
    whole = uninterrupted(target)
    for step in resumed(target).steps:
        other = whole.at(step.rank, step.epoch, step.step)
        if other is not None:
            yield step, other


def _first(target: Target, what: str, part: Callable[[Step], object], hint: str) -> Findings:
    """Compare what the first step after the resume starts from."""
    first, whole = _starts(target)
    if first is None or whole is None or part(first) != part(whole):
        yield error(
            f"{first}: the {what} after the resume differ from the uninterrupted training's", hint=hint
        )
    else:
        yield note(f"{first}: the same {what}")


def _every(target: Target, what: str, part: Callable[[Step], object], hint: str) -> Findings:
    """Compare every step after the resume."""
    pairs = list(_pairs(target))
    for step, other in pairs:
        if part(step) != part(other):
            yield error(
                f"{step}: the {what} of rank {step.rank} differ from the uninterrupted training's", hint=hint
            )
            return
    yield note(f"{len(pairs)} steps: the same {what}")
