"""Diagnosis: what moved, whether one batch can be learned, and how the checkpoints went."""

from __future__ import annotations

from opv2v_doctor.check import Findings, Skip, check, error, examined, note
from opv2v_doctor.diagnosis.causes import batch_fall, learning_causes, overfit_causes
from opv2v_doctor.diagnosis.diagnosis_launch import told
from opv2v_doctor.diagnosis.measurements import (
    every_checkpoint,
    opened,
    or_none,
    overfitted,
    updates_made,
)
from opv2v_doctor.target import Target
from opv2v_doctor.text import Text


@check("DGN009", tier="run", requires=["DGN001"])
def every_part_was_trained(target: Target) -> Findings:
    """Every sub-module moved from the weights that the launch begins with.

    ## Why it matters
    A learning rate that is too small, or that never leaves its warm-up, moves nothing. A head that no
    gradient reaches stays as it was, while the others learn around it. Weights that change no
    prediction, as those of encoders of inputs that this task never gives, are told and are no fault.

    ## How to fix
    Raise the learning rate; or look for `detach()`, `no_grad()` and `requires_grad` on the way to the part.
    """
    found = opened(target)
    yield examined(len(found.moved), "sub-module")
    yield from told(learning_causes(found, or_none(overfitted, target), updates_made(target)))
    yield note(
        "moved, of the norm of their weights: {parts}",
        parts=[f"{name} {part.relative:.2g}" for name, part in found.moved.items()],
    )


@check("DGN010", tier="run")
def one_batch_can_be_learned(target: Target) -> Findings:
    """The launch's own steps learn one batch by heart.

    ## Why it matters
    A training that cannot even learn one batch does not train, whatever the data are. The batch then goes
    through validation with the weights that learned it: what it costs there more than in training is the
    path's.

    ## How to fix
    The term that does not fall names the output; what it is computed of gets no gradient, or a clamped one.
    """
    steps = overfitted(target)
    yield examined(steps.steps, "step")
    yield from told(overfit_causes(steps))
    fallen = batch_fall(steps)
    if fallen is not None:
        yield note(
            "{n:step|steps} on one batch of {samples:sample|samples}: {first:.4g}, then {last:.4g} "
            "({fallen:.0%} less)",
            n=steps.steps,
            samples=steps.samples,
            first=steps.losses[0],
            last=steps.losses[-1],
            fallen=fallen,
        )
    stuck = [
        f"{name.rpartition('Loss_')[2]} {steps.first_terms[name]:.3g}"
        for name, last in steps.last_terms.items()
        if "_view" not in name and "mean" not in name and steps.first_terms.get(name, 0.0) > 1e-2
        if last > 0.98 * steps.first_terms[name]
    ]
    if stuck:
        yield note("terms that did not fall: {terms}", terms=stuck)
    if steps.validated is not None and steps.train_after is not None:
        yield note(
            "with the weights that learned it, the batch is {train:.4g} in training's step, "
            "{test:.4g} in validation",
            train=steps.train_after,
            test=steps.validated,
        )
    if steps.samples < steps.whole:
        yield note(
            "the batch of {whole} does not fit into memory ({problem}): {samples:sample|samples} of "
            "it were used",
            whole=steps.whole,
            samples=steps.samples,
            problem=steps.problem,
        )


@check("DGN011", tier="run")
def checkpoints_get_better(target: Target) -> Findings:
    """Over the checkpoints, the errors on the same samples of validation fall.

    ## Why it matters
    `checkpoint-best` is the best of what was logged. On the same samples each checkpoint shows in metres and
    degrees what got better, and what turned.

    ## How to fix
    Use the checkpoint that is best on these samples, and stop there next time.
    """
    found = every_checkpoint(target)
    known = [one for one in found if one.loss is not None]
    yield examined(len(known), "checkpoint")
    for one in found:
        yield note(
            "{name}: {problem}"
            if one.problem
            else "{name}: loss {loss}, poses {pose} m and {degrees} degrees, depth "
            "{depth} m, mask mean {mask} (true {true})",
            name=one.path.name,
            problem=one.problem,
            loss=_figure(one.loss),
            pose=_figure(one.pose_metres),
            degrees=_figure(one.pose_degrees),
            depth=_figure(one.depth_metres),
            mask=_figure(one.pred_mask_mean),
            true=_figure(one.true_mask_mean),
        )
    numbered = [one for one in known if one.path.stem.rpartition("-")[2].isdigit()]
    if len(numbered) < 2:
        raise Skip("{n} numbered checkpoints can be compared, at least 2 are needed", n=len(numbered))
    best = min(numbered, key=lambda one: one.loss or 0.0)
    last = numbered[-1]
    if last is not best and (last.loss or 0.0) > 1.1 * (best.loss or 0.0):
        yield error(
            "validation turned: {last} is {now:.4g} on these samples, {best} was {then:.4g}",
            hint=Text("use {best}, and stop there next time", best=best.path.name),
            at=best.path,
            last=last.path.name,
            now=last.loss,
            best=best.path.name,
            then=best.loss,
        )


def _figure(value: float | None) -> str:
    return "?" if value is None else f"{value:.3g}"
