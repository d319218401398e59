"""Smoke: a training that was killed and resumed against one that was not."""

import ast
from collections.abc import Callable, Iterator

from opv2v_doctor.check import Blocked, Findings, check, error, examined, note, warning
from opv2v_doctor.facts.source.names import named
from opv2v_doctor.facts.source.syntax import nodes
from opv2v_doctor.facts.source.training_loop import epoch_progress
from opv2v_doctor.smoke.launches import (
    KILLED_AT,
    loop_place,
    resumed_trace,
    resumed_training,
    uninterrupted_trace,
)
from opv2v_doctor.smoke.traces import Step
from opv2v_doctor.target import Target
from opv2v_doctor.text import Place, Text

EPOCH = KILLED_AT[0]
NEXT_EPOCH = Text("start with checkpoint['epoch'] + 1, where the epoch that was saved is complete")


@check("SMK007", tier="run")
def resume_goes_on_at_the_next_epoch(target: Target) -> Findings:
    """A resume goes on with the epoch after the last that was saved.

    ## Why it matters
    An epoch too early is trained twice, one too late never; either way the learning rate jumps, and the
    number of updates is no longer what the epoch says.

    ## How to fix
    Save the epoch that is complete, and start with the one after it.
    """
    outcome = resumed_training(target)
    yield examined(1, "resume")
    if outcome.useless and outcome.is_resume:
        yield error(
            "the resumed training {failure}",
            at=outcome.at,
            hint="mend what it says: every resume of this launch would end like this",
            failure=outcome.failure or "",
        )
        return
    expected, first = _expected_step(target), next(iter(resumed_trace(target).of_rank(0)), None)
    if first is None:
        yield error(
            "epoch {saved} was saved, and epoch {epoch} is never trained: it is skipped",
            at=_epoch_place(target),
            hint=NEXT_EPOCH,
            saved=EPOCH - 1,
            epoch=EPOCH,
        )
    elif (first.epoch, first.step) != (EPOCH, 0):
        yield error(
            "epoch {saved} was saved, training goes on with epoch {epoch}: epochs are repeated"
            if first.epoch < EPOCH
            else "epoch {saved} was saved, training goes on with epoch {epoch}: steps are skipped",
            at=_epoch_place(target),
            hint=NEXT_EPOCH,
            saved=EPOCH - 1,
            epoch=first.epoch,
            step=first.step,
        )
    elif first.global_step != expected.global_step:
        yield error(
            "goes on at step {step} of the training, expected {expected} as without a break",
            at=_epoch_place(target),
            hint="save a checkpoint with all its counters at the same point",
            step=first.global_step,
            expected=expected.global_step,
        )
    else:
        yield note(
            "killed at epoch {epoch}, step {step}; goes on at {place}",
            epoch=KILLED_AT[0],
            step=KILLED_AT[1],
            place=first.place,
        )


@check("SMK008", tier="run", requires=["SMK007"])
def resume_restores_the_weights(target: Target) -> Findings:
    """A resume starts from the weights that the uninterrupted training had there.

    ## Why it matters
    `load_state_dict(strict=False)` hides what does not fit: a resume then starts from other weights.

    ## How to fix
    Load with `strict=True`, after the model is complete.
    """
    hint = Text("load the model with strict=True")
    yield from _first(target, Text("weights"), lambda step: step.before, hint, _loading(target, "model"))


@check("SMK009", tier="run")
def resume_restores_the_optimizer(target: Target) -> Findings:
    """A resume starts with the state of the optimizer that the uninterrupted training had there.

    ## Why it matters
    Without its moments, Adam begins anew: the first updates after the resume are far too large, and the loss
    jumps for as long as it takes to build them up again.

    ## How to fix
    `optimizer.load_state_dict(checkpoint["optimizer"])`, after the parameter groups are complete.
    """
    hint = Text("call optimizer.load_state_dict(checkpoint['optimizer']) when resuming")
    first, whole = _starts(target)
    at = _loading(target, "optim")
    if first.optimizer_steps != whole.optimizer_steps:
        yield error(
            "the optimizer has made {n:update|updates} after the resume, expected {whole} as without a break",
            at=at,
            hint=hint,
            n=first.optimizer_steps,
            whole=whole.optimizer_steps,
        )
        return
    yield from _first(target, Text("state of the optimizer"), lambda step: step.optimizer, hint, at)


@check("SMK010", tier="run", requires=["SMK007"])
def resume_keeps_the_learning_rate(target: Target) -> Findings:
    """A resumed training has the learning rates of the uninterrupted one, at every step.

    ## Why it matters
    A schedule that begins anew, or that counts the steps of the process, makes the learning rate jump.

    ## How to fix
    Compute the rate from epoch and step, or save and load the scheduler with the optimizer.
    """
    pairs = [(step, other) for step, other in _pairs(target) if other.lr]
    yield examined(len(pairs), "step")
    for step, other in pairs:
        for group, rate in other.lr.items():
            if step.lr.get(group) != rate:
                yield error(
                    "{place}: the learning rate of {group} is {found}, expected {rate} as without a break",
                    at=rate_place(target, step, other),
                    hint="compute the rate from epoch and step, or restore the scheduler",
                    place=step.place,
                    group=group,
                    found=step.lr.get(group),
                    rate=rate,
                )
                return


@check("SMK011", tier="run", requires=["SMK007"])
def resume_draws_the_same_samples(target: Target) -> Findings:
    """A resumed training draws the samples of the uninterrupted one, in the same order.

    ## Why it matters
    Where the order depends on the process instead of the epoch, a resume shows some samples twice.

    ## How to fix
    Seed samplers and datasets from seed, epoch and sample only.
    """
    pairs = [(step, other) for step, other in _pairs(target) if other.samples]
    yield examined(len(pairs), "step")
    for step, other in pairs:
        if (step.samples, step.draws) != (other.samples, other.draws):
            yield error(
                "{place}: the samples of rank {rank} are not those of the uninterrupted training",
                hint="seed samplers from seed and epoch only",
                place=step.place,
                rank=step.rank,
            )
            return


@check("SMK012", tier="run", requires=["SMK001", "SMK007"])
def resume_keeps_the_random_numbers(target: Target) -> Findings:
    """Random numbers after a resume either go on, or do not matter.

    ## Why it matters
    A checkpoint without the state of the random number generators begins their sequence anew: a resumed run
    cannot be repeated exactly, and sees the dropout and augmentation of its first epoch again.

    ## How to fix
    Seed them at each epoch's start, from seed, epoch and rank; or save their states with the checkpoint.
    """
    pairs = [(step, other) for step, other in _pairs(target) if other.random and other.weights]
    yield examined(len(pairs), "step")
    if not pairs:
        return
    if all(step.random == other.random for step, other in pairs):
        yield note("the same random numbers at every step")
    elif all(step.weights == other.weights for step, other in pairs):
        yield note("random numbers begin anew after a resume, and the weights are the same all the same")
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
    pairs = [(step, other) for step, other in _pairs(target) if other.weights]
    yield examined(len(pairs), "step")
    for step, other in pairs:
        if step.weights != other.weights:
            yield warning(
                "{place}: the weights are not those of the uninterrupted training (loss {loss}, without a "
                "break {other})",
                hint="use deterministic kernels to see whether it is rounding"
                if step.random == other.random
                else "restore the random numbers first: SMK012",
                place=step.place,
                loss=step.loss,
                other=other.loss,
            )
            return


def _epoch_place(target: Target) -> Place | None:
    """The line that saves an epoch that is not the last complete one, else that takes it on a resume."""
    saved = [one for one in uninterrupted_trace(target).saved if one.says is not None]
    wrong = [one for one in saved if one.completed is not None and one.says != one.completed]
    if wrong and len(wrong) == len(saved):
        return loop_place(target, wrong[0].frames)
    resumed, load = resumed_trace(target).resumed, named(target, "load_model")
    taken = [f.place for f in resumed.frames if f.place.path.is_relative_to(target.repo)] if resumed else []
    return next(iter(taken), load.place if load else None)


def rate_place(target: Target, step: Step, other: Step) -> Place | None:
    """The line that says for which epoch a rate is asked, where that differs, else that sets the rate."""
    ours = [frame.place for frame in step.rate_set if frame.place.path.is_relative_to(target.repo)]
    if step.asked != other.asked:
        progress = epoch_progress(target)
        if progress is not None:
            return progress.decided
        return next(iter(ours[1:2] or ours), None)
    return next(iter(ours), None)


def _expected_step(target: Target) -> Step:
    """What the uninterrupted training did where the resumed one should begin."""
    expected = uninterrupted_trace(target).at(0, EPOCH, 0)
    if expected is None:
        raise Blocked("the uninterrupted training made no step of epoch {epoch}", epoch=EPOCH)
    return expected


def _starts(target: Target) -> tuple[Step, Step]:
    """The first step after the resume, and what the uninterrupted training did where it should be."""
    expected, first = _expected_step(target), next(iter(resumed_trace(target).of_rank(0)), None)
    if first is None:
        raise Blocked("the resumed training made no step", hint="see SMK007")
    return first, expected


def _pairs(target: Target) -> Iterator[tuple[Step, Step]]:
    """Each step after the resume, and the same step of the uninterrupted training."""
    whole = uninterrupted_trace(target)
    for step in resumed_trace(target).steps:
        other = whole.at(step.rank, step.epoch, step.step)
        if other is not None:
            yield step, other


def _loading(target: Target, word: str) -> Place | None:
    """The line of the loading function that restores what has this word in its name, else the function."""
    load = named(target, "load_model")
    if load is None:
        return None
    calls = [
        node.lineno
        for function in nodes(load.place.path)
        if isinstance(function, ast.FunctionDef) and function.lineno == load.place.line
        for node in ast.walk(function)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "load_state_dict"
        and word in ast.unparse(node.func.value)
    ]
    return Place(load.place.path, calls[0]) if calls else load.place


def _first(target: Target, what: Text, part: Callable[[Step], str], hint: Text, at: Place | None) -> Findings:
    """Compare what the first step after the resume starts from."""
    first, whole = _starts(target)
    yield examined(int(bool(part(whole))), "resume")
    if part(first) != part(whole):
        yield error(
            "{place}: other {what} after the resume than in the uninterrupted training",
            at=at,
            hint=hint,
            place=first.place,
            what=what,
        )
