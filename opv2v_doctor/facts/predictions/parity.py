"""Parity: one batch through training's forward and through inference's, in the training interpreter."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from opv2v_doctor.check import Blocked, Skip
from opv2v_doctor.facts.interpreter.probe import has_second
from opv2v_doctor.facts.launch.config import config
from opv2v_doctor.facts.launch.loaders import loader_module
from opv2v_doctor.facts.launch.splits import expression_of, inferred_split
from opv2v_doctor.facts.predictions import questions
from opv2v_doctor.facts.predictions.comparisons import InferenceDifference, Parity, RoundTrip, Scripted
from opv2v_doctor.facts.predictions.opening import begin_resolving, config_today, opening, stamped_today
from opv2v_doctor.facts.samples.draws import arrays_folder
from opv2v_doctor.facts.source.names import the
from opv2v_doctor.state import fact
from opv2v_doctor.target import Target
from opv2v_doctor.text import Place

INDEX = 0  # of the sample
LONGEST = 60.0  # seconds that a script may go on after its first inference


def begin(target: Target) -> None:
    """Get the family's questions under way, those of the model in the second interpreter if there is one."""
    begin_resolving(target)
    _comparing(target)
    if (path := _script(target)) and path.is_file():
        _running(target, path)


@fact
def _comparing(target: Target) -> Callable[[], Parity]:
    return questions.infer.ahead_in(target, has_second(target), case=_case(target))


@fact
def _running(target: Target, path: Path) -> Callable[[], Scripted]:
    return questions.script.ahead_in(
        target,
        has_second(target),
        path=str(path),
        arguments=_arguments(target),
        case=_case(target),
        setting=_setting(target),
    )


def partings(target: Target, wrong: list[list[str]]) -> tuple[Place | None, ...]:
    """The lines of the script that first have wrong values, each told as files of arrays in its forms.

    The script runs again for that.
    """
    return questions.parting.ahead_in(
        target,
        has_second(target),
        path=str(_script(target)),
        arguments=_arguments(target),
        case=_case(target),
        setting=_setting(target),
        wrong=wrong,
    )()


def _setting(target: Target) -> questions.Setting:
    """Where the script runs, and how long: what it writes shall neither stay nor replace anything."""
    run = opening(target).checkpoint.parent
    return {
        "folder": str(script_folder(target)),
        "kept": [str(target.repo), str(target.cwd), str(run)],
        "seconds": min(LONGEST, target.timeout / 3),
    }


@fact
def script_folder(target: Target) -> Path:
    """Where the script may write."""
    folder = arrays_folder(target) / "inference"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _script(target: Target) -> Path | None:
    """The inference script that the settings name."""
    script = target.settings.infer.script
    return target.repo / script if script is not None else None


def parity(target: Target) -> Parity:
    """The validation batch through both paths. Raises Blocked where that cannot be measured."""
    outcome = _parity(target)
    if isinstance(outcome, Blocked):
        raise outcome
    return outcome


@fact
def _parity(target: Target) -> Parity | Blocked:
    """A failure is cached too: what hangs shall hang once."""
    try:
        return _comparing(target)()
    except Blocked as blocked:
        return blocked


@fact
def round_trip(target: Target) -> RoundTrip:
    """What becomes of ground truth, by a model with the weights of the checkpoint, else with its first ones.

    Raises Blocked where that cannot be measured.
    """
    try:
        opening(target)
    except (Skip, Blocked):  # none yet, or none that can be read: no weights are needed
        values = {key: value for key, value in config(target).values.items() if key != "hydra"}
        return questions.round_trip(target, case=_case(target, values))
    return parity(target)


def inferences(target: Target) -> Iterator[InferenceDifference]:
    """The model's own `infer`, then the settings' script, as far as there are such things.

    Raises Skip where there is neither, Blocked where one of them cannot be measured.
    """
    own = parity(target).inference
    if own is not None:
        yield _heard(own)
    try:
        script = script_inference(target)
    except Skip as skip:
        if own is None:
            raise Skip("the model has no infer(), and {reason}", reason=skip.reason) from None
        return
    yield _heard(inference_by(script))


def inference_by(script: Scripted) -> InferenceDifference:
    """The script's first inference. Raises Blocked where it made none."""
    if script.inference is None and script.ending.how == "refused":
        raise Blocked(
            "the script was ended before its first inference, as it was about to write to {file}",
            at=script.ending.place or script.path,
            hint="let [infer] arguments send what it writes to {{output}}",
            file=script.ending.why,
        )
    if script.inference is None and script.ending.how in ("failed", "hindered"):
        raise Blocked(
            "the script fails before its first inference: {why}",
            at=script.ending.place or script.path,
            why=script.ending.why,
        )
    if script.inference is None:
        raise Blocked(
            "the script ended without calling infer() of the model",
            at=script.path,
            hint="let [infer] arguments make it infer one sample",
        )
    return script.inference


def _heard(found: InferenceDifference) -> InferenceDifference:
    """An inference that was listened to. Raises Blocked where it went past the model's forward()."""
    if not found.forwards:
        raise Blocked(
            "{inference} does not call forward() of the model: what the model is given cannot be recorded",
            at=found.called_at or found.defined_at,
            inference=found.name,
        )
    return found


def script_inference(target: Target) -> Scripted:
    """What the inference script of the settings does. Raises Skip where there is none."""
    path = _script(target)
    if path is None:
        raise Skip(
            "the settings name no inference script",
            hint="name the repository's in opv2v-doctor.toml: [infer] script and arguments",
        )
    if not path.is_file():
        raise Blocked(
            "the inference script {script} does not exist", hint="correct [infer] script", script=path
        )
    outcome = _script_inference(target, path)
    if isinstance(outcome, Blocked):
        raise outcome
    return outcome


@fact
def _script_inference(target: Target, path: Path) -> Scripted | Blocked:
    try:
        return _running(target, path)()
    except Blocked as blocked:
        return blocked


def _arguments(target: Target) -> list[str]:
    """The script's arguments, as `opv2v-doctor infer` would fill them in, but with a folder of ours."""
    found, folder = opening(target), script_folder(target) / "output"
    shutil.rmtree(folder, ignore_errors=True)  # of an earlier run, under the same state
    folder.mkdir()
    places = {
        "checkpoint": str(found.checkpoint),
        "run": str(found.checkpoint.parent),
        "config": str(stamped_today(target) or ""),
        "output": str(folder),
        "split": inferred_split(target),
        "index": str(INDEX),
        "repo": str(target.repo),
    }
    overrides = [*target.overrides, f"hydra.run.dir={folder}"]
    try:
        return target.settings.infer.filled(places, overrides)
    except ValueError as problem:
        raise Blocked(
            "[infer] arguments cannot be filled in: {problem}",
            hint="the placeholders are {known}",
            problem=str(problem),
            known=[f"{{{name}}}" for name in (*places, "overrides")],
        ) from None


def _case(target: Target, untrained: Mapping[str, Any] | None = None) -> questions.Case:
    """What the questions are about. Raises Skip where there is no checkpoint, or no such split.

    A model that is `untrained` is opened with that config instead, and needs no checkpoint.
    """
    return {
        "config": config_today(target) if untrained is None else untrained,
        "checkpoint": str(opening(target).checkpoint) if untrained is None else "",
        "models": the(target, "model").reference,
        "losses": the(target, "loss").reference,
        "datasets": loader_module(target),
        "test_loader": the(target, "test_loader").reference,
        "expression": expression_of(target, inferred_split(target)),
        "index": INDEX,
    }
