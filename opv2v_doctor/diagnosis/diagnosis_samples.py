"""Diagnosis: whether validation is the same kind of data as training."""

from __future__ import annotations

from collections.abc import Mapping

from opv2v_doctor.check import Finding, Findings, Severity, Skip, check, examined, note
from opv2v_doctor.diagnosis.causes import data_causes, likenesses, scene_causes
from opv2v_doctor.diagnosis.diagnosis_launch import told
from opv2v_doctor.diagnosis.measurements import (
    both_sets,
    config_places,
    data_results,
    drawn,
    evaluated_split,
    opened,
    or_none,
)
from opv2v_doctor.result import Result, Status
from opv2v_doctor.target import Target
from opv2v_doctor.text import Text, sentence


@check("DGN004", tier="run")
def training_and_validation_are_alike(target: Target) -> Findings:
    """Samples of both sets are of one kind: views, image range, frame of the poses, places, depth and masks.

    ## Why it matters
    A validation that is normalised otherwise, augmented, read from another tree or posed in another frame
    measures that, and not the model. What differs beyond chance is told by how far; a number counts where
    almost every sample of validation lies on one side of almost every sample of training.

    ## How to fix
    Make validation's dataset as training's, without the augmentation.
    """
    found, data = opened(target), drawn(target)
    if found.chosen is None:
        raise Skip("the launch never evaluates: there is no second set", at=found.train_place)
    yield examined(len(data.train), "sample", split="train")
    yield examined(len(data.test), "sample", split=evaluated_split(target))
    both = or_none(both_sets, target)
    yield from told(data_causes(found, data, both, evaluated_split(target), config_places(target)))
    yield from told(scene_causes(data, both))
    yield note(
        "{numbers} (validation, training)",
        numbers=sentence(
            [
                Text("{what} {test:.3g}, {train:.3g}", what=one.said, test=one.test, train=one.train)
                for one in likenesses(data)
            ]
        ),
    )
    if found.attributes:
        yield note(
            "the datasets differ in {names}",
            names=[
                f"{name}: {theirs} (training {ours})" for name, (ours, theirs) in found.attributes.items()
            ][:12],
        )


@check("DGN005", tier="run")
def data_checks_find_no_fault_of_validation(target: Target) -> Findings:
    """What the doctor's checks of data, geometry and masks find of validation, they find of training, too.

    ## Why it matters
    A pose, a depth or a mask that is wrong in validation alone leaves training as it is, and makes each
    evaluation high. The files of both splits are compared with what the loader makes of them, as `run-all`
    does.

    ## How to fix
    As the page of the check says that found it: `opv2v-doctor explain CODE`.
    """
    results = data_results(target)
    split = evaluated_split(target)
    judged = [result for result in results if result.status in (Status.PASSED, Status.WARNED, Status.FAILED)]
    yield examined(len(judged), "check", split=split)
    for result, finding in faults_of(results, split):
        yield Finding(
            severity=finding.severity,
            text=Text(
                "{code}, {split} alone: {said}", code=result.check.code, split=split, said=finding.text
            ),
            hint=finding.hint,
            at=finding.at,
        )
    unanswered = [
        result.check.code for result in results if result.status in (Status.BLOCKED, Status.CRASHED)
    ]
    if unanswered:
        yield note("no answer of {codes}: see opv2v-doctor run-all", codes=unanswered)


def faults_of(results: tuple[Result, ...], split: str) -> list[tuple[Result, Finding]]:
    """The errors and warnings that were found of this split and not of training."""
    return [
        (result, finding)
        for result in results
        for finding in result.findings
        if finding.severity > Severity.NOTE
        and split in _subjects(finding)
        and "train" not in _subjects(finding)
    ]


def _subjects(finding: Finding) -> set[str]:
    """The splits that a finding is about: as it says, or by the folder that it lies in."""
    words = {word for subject in finding.subjects for word in subject.replace(",", " ").split()}
    values: Mapping[str, object] = finding.text.values
    return words | {str(values[key]) for key in ("split",) if key in values}
