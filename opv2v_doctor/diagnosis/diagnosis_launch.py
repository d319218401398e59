"""Diagnosis: the launch's own model and criteria, and how the checkpoint fits them."""

from __future__ import annotations

from collections.abc import Iterable

from opv2v_doctor.check import Blocked, Finding, Findings, Skip, check, examined, note
from opv2v_doctor.diagnosis.causes import Cause, criterion_causes, fit_causes, start_causes, unlike_parts
from opv2v_doctor.diagnosis.measurements import (
    asked,
    both_sets,
    config_places,
    evaluated_split,
    opened,
    or_none,
)
from opv2v_doctor.target import Target
from opv2v_doctor.text import Place, sentence


def told(causes: Iterable[Cause]) -> Findings:
    """Causes as findings."""
    for cause in causes:
        yield Finding(severity=cause.severity, text=cause.said, hint=cause.hint, at=cause.at)


@check("DGN001", tier="run")
def checkpoint_fits_the_launch(target: Target) -> Findings:
    """The checkpoint's weights fill the model that the launch builds.

    ## Why it matters
    All that follows is measured with the launch's own model. Weights of another model are left out by name or
    by shape, and what they should have filled stays as it was initialised.

    ## How to fix
    Give the Hydra overrides that the run was given; those of a stamped run are taken from its record.
    """
    found = opened(target)
    parts = found.account.parts.values()
    yield examined(sum(part.elements for part in parts), "weight")
    yield from told(fit_causes(found, Place(asked(target).checkpoint)))
    if found.chosen is not None and evaluated_split(target) != asked(target).split:
        yield note(
            "the launch is not evaluated on {split}: {other} stands for it in what follows",
            split=asked(target).split,
            other=evaluated_split(target),
        )
    yield note(
        "{checkpoint} on {device}; the launch is evaluated on {sets}",
        checkpoint=asked(target).checkpoint.name,
        device=found.device,
        sets=[", ".join(one) or str(number) for number, one in enumerate(found.sets)] or ["nothing"],
    )


@check("DGN002", tier="run")
def launch_begins_with_the_weights_that_it_reads(target: Target) -> Findings:
    """The model that the launch begins with holds the weights of the file that it reads.

    ## Why it matters
    `load_state_dict(..., strict=False)` leaves out whatever has another name (`module.` in front, say) or
    another shape, and says so in one line of the log. The training then begins with random weights.

    ## How to fix
    Strip what wrappers added to the names, and load with `strict=True`.
    """
    found = opened(target)
    if not found.read:
        raise Skip("the launch reads no file of weights by torch.load")
    last = found.read[-1]
    yield examined(last.elements, "weight")
    causes = list(start_causes(found))
    yield from told(causes)
    if not causes:
        yield note("{held} of {n} weights of {file}", held=last.held, n=last.elements, file=last.file)


@check("DGN003", tier="run")
def both_criteria_measure_alike(target: Target) -> Findings:
    """Validation's criterion says no more of the same predictions than training's.

    ## Why it matters
    Where terms, weights, exclusions or norms differ, the two sums in the log are two yardsticks: a validation
    of 39 beside a training of 18 may be the same quality. How much of the gap that is, both criteria say of
    the very same predictions.

    ## How to fix
    Compare the terms that both have, or give `loss.test_criterion` the weights of `loss.train_criterion`.
    """
    found = opened(target)
    if found.chosen is None:
        raise Skip("the launch never evaluates: there is one criterion", at=found.train_place)
    yield examined(len(found.train_criterion) + len(found.test_criterion), "part of a criterion")
    both = or_none(both_sets, target)
    causes = list(criterion_causes(found, both, config_places(target)))
    yield from told(causes)
    unlike = unlike_parts(found.train_criterion, found.test_criterion)
    if unlike and not causes:
        test, train = (both.mean("test", what) if both else None for what in ("loss", "by_train"))
        if test is None or train is None:
            raise Blocked(
                "the criteria differ, and how much that is was not measured: {unlike}",
                unlike=sentence(unlike[:4]),
            )
        yield note(
            "the criteria differ, and that is not what makes validation high: of the same predictions "
            "validation's says {test:.4g}, training's {train:.4g}; {unlike}",
            test=test,
            train=train,
            unlike=sentence(unlike[:4]),
        )
