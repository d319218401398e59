"""Diagnosis: the answer, in one paragraph."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from opv2v_doctor.check import Blocked, Finding, Findings, NoAnswer, Severity, Skip, check, examined, note
from opv2v_doctor.diagnosis import causes as of
from opv2v_doctor.diagnosis.causes import Cause, Certainty, gap, ranked
from opv2v_doctor.diagnosis.diagnosis_paths import constant_shares, left
from opv2v_doctor.diagnosis.diagnosis_samples import faults_of
from opv2v_doctor.diagnosis.measurements import (
    BothSets,
    asked,
    both_sets,
    config_places,
    data_results,
    drawn,
    epoch_losses,
    evaluated_split,
    mean_errors,
    opened,
    or_none,
    overfitted,
    paths,
    updates_made,
)
from opv2v_doctor.state import fact
from opv2v_doctor.target import Target
from opv2v_doctor.text import Place, Text, sentence

NAMED = 3  # causes that the paragraph names
HARMLESS = (
    "DAT003",
    "DAT007",
    "DAT009",
)  # these make a validation another or an easier one, not a higher one
JOINT = ("DAT010", "MSK003")  # of depth and mask together: told after what says which of them is wrong


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Every cause that the facts show, the largest first, and what that rests on."""

    causes: tuple[Cause, ...]
    both: BothSets | None
    answered: int  # questions
    unanswered: int


@fact
def answer(target: Target) -> Answer:
    """All that was measured, judged; of another model's checkpoint the launch and its data alone."""
    launch = or_none(opened, target)
    misfit = [*of.fit_causes(launch, Place(asked(target).checkpoint))] if launch else []
    both = None if misfit else or_none(both_sets, target)
    asking: list[Callable[[], Iterator[Cause]]] = [
        lambda: of.start_causes(opened(target)),
        lambda: of.criterion_causes(opened(target), both, config_places(target)),
        lambda: of.data_causes(
            opened(target), drawn(target), both, evaluated_split(target), config_places(target)
        ),
        lambda: of.few_causes(updates_made(target), epoch_losses(target)),
        lambda: of.scene_causes(drawn(target), both),
        lambda: _data_faults(target),
    ]
    if not misfit:
        asking += [
            lambda: of.path_causes(paths(target), opened(target)),
            lambda: of.learning_causes(opened(target), or_none(overfitted, target), updates_made(target)),
            lambda: left(target, both or both_sets(target)),
        ]
    asking.append(lambda: of.overfit_causes(overfitted(target)))
    found, answered, skipped = misfit, 0, 0
    for ask in asking:
        try:
            found += [cause for cause in ask() if cause.severity > Severity.NOTE]
            answered += 1
        except Skip:
            skipped += 1
        except NoAnswer:
            pass
    return Answer(
        causes=tuple(ranked(found, gap(both) if both else None)),
        both=both,
        answered=answered,
        unanswered=len(asking) - answered - skipped,
    )


def _data_faults(target: Target) -> Iterator[Cause]:
    faults = faults_of(data_results(target), evaluated_split(target))
    for result, finding in sorted(faults, key=lambda fault: fault[0].check.code in JOINT):
        if finding.severity is Severity.ERROR and result.check.code not in HARMLESS:
            yield Cause(
                code=result.check.code,
                certainty=Certainty.SEEN,
                said=finding.whole,
                hint=finding.hint or Text("opv2v-doctor explain {code}", code=result.check.code),
                at=finding.at,
            )


@check("DGN012", tier="run")
def validation_is_explained(target: Target) -> Findings:
    """Nothing was found that makes validation high.

    ## Why it matters
    All that was measured, in one paragraph: the largest contributions in their order, and what to do first. A
    fault that was seen (another criterion, path, normalisation or frame) comes before weights that did not
    learn, these before scenes that are unlike training's, and last comes what is left: too short a training,
    or one that was learned by heart. Within these, the larger share of the loss comes first.

    ## How to fix
    Do what is named first, and diagnose again: contributions hide one another.
    """
    found = answer(target)
    if not found.causes and (found.both is None or not found.both.test):
        raise Blocked(
            "nothing was found in what could be measured, and the checkpoint could not be run: see the first "
            "that is blocked above",
            hint="opv2v-doctor log {run} tells what the run's own log says",
            run=asked(target).checkpoint.parent,
        )
    yield examined(found.answered, "question")
    if found.causes:
        yield _paragraph(found.causes, found.both)
    elif found.both is not None:
        yield note(_nothing(found.both))
    if found.unanswered:
        yield note(
            "{n:question has|questions have} no answer: a cause may be missing, see what is blocked above",
            n=found.unanswered,
        )


def _paragraph(causes: Sequence[Cause], both: BothSets | None) -> Finding:
    """The figures, and the largest causes; the first one says how bad it is, where, and what to do."""
    first = causes[0]
    listed = [
        Text(
            "{n}. {code}{share}: {said}",
            n=number,
            code=cause.code,
            share=_share(cause, both),
            said=cause.said,
        )
        for number, cause in enumerate(causes[:NAMED], 1)
    ]
    more = [Text("{n} more above", n=len(causes) - NAMED)] if len(causes) > NAMED else []
    return Finding(
        severity=first.severity,
        text=Text(
            "{figures}Largest contributions: {listed}",
            figures=_figures(both),
            listed=sentence([*listed, *more]),
        ),
        hint=first.hint,
        at=first.at,
    )


def _share(cause: Cause, both: BothSets | None) -> Text | str:
    loss = both.mean("test", "loss") if both else None
    if cause.effect is None or not loss:
        return ""
    return Text(" ({effect:.3g} of {loss:.4g})", effect=cause.effect, loss=loss)


def _figures(both: BothSets | None) -> Text | str:
    test, train = (both.mean(part, "loss") if both else None for part in ("test", "train"))
    if test is None or train is None:
        return ""
    return Text(
        "validation is {test:.4g}, training {train:.4g} by the same criterion on the same path. ",
        test=test,
        train=train,
    )


def _nothing(both: BothSets) -> Text:
    """That nothing was found, with what is left: figures, and the term that is least learned."""
    errors = mean_errors(both.test)
    constant = both.mean("test", "constant")
    said = [
        Text(
            "{figures}Nothing was found that makes validation high: criterion, path and kind of data "
            "are those of "
            "training",
            figures=_figures(both),
        )
    ]
    if constant:
        said.append(
            Text(
                "it is {share:.0%} of a constant predictor",
                share=(both.mean("test", "loss") or 0.0) / constant,
            )
        )
    if shares := constant_shares(both):
        name, share = next(iter(shares.items()))
        said.append(
            Text("least was learned in {name} ({share:.0%})", name=name.rpartition("Loss_")[2], share=share)
        )
    if errors["pose_rmse"] is not None and errors["depth_rmse"] is not None:
        said.append(
            Text(
                "poses are off by {metres:.3g} m, depth by {depth:.3g} m",
                metres=errors["pose_rmse"],
                depth=errors["depth_rmse"],
            )
        )
    return sentence(said)
