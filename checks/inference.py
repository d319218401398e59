"""Inference: the model as the training left it: its weights, its config, its mode, and what it is given."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from opv2v_doctor import (
    Blocked,
    Finding,
    Findings,
    Place,
    Skip,
    Target,
    Text,
    check,
    error,
    examined,
    note,
    warning,
)
from opv2v_doctor.facts.launch.leaves import Difference
from opv2v_doctor.facts.predictions.comparisons import (
    InferenceDifference,
    Load,
    ReadFile,
    Scripted,
    Unlike,
)
from opv2v_doctor.facts.predictions.opening import (
    config_differences,
    differences,
    moved_paths,
    opening,
    stamped_values,
    trained_values,
)
from opv2v_doctor.facts.predictions.parity import begin, inference_by, inferences, parity, script_inference
from opv2v_doctor.facts.predictions.wording import CLOSE, input_told

SHOWN = 6  # the rest is in the evidence


@check("INF001", tier="run", requires=["CKP001", "DAT001"], ahead=begin)
def every_weight_is_loaded(target: Target) -> Findings:
    """Every parameter of the model comes from the checkpoint, in each of its sub-modules.

    ## Why it matters
    `load_state_dict(strict=False)` leaves what it does not find as it was initialised, and says nothing: a
    pose head of random numbers predicts poses all the same. So does a model that only got the pretrained
    weights, because the checkpoint was never loaded.

    ## How to fix
    Build the model from the config of the run, and load with `strict=True`.
    """
    checkpoint, source, load = opening(target).checkpoint, opening(target).source, parity(target).load
    what = Text(
        "{checkpoint} in the model of its own config"
        if source == checkpoint
        else "{checkpoint} in the model of {config}",
        checkpoint=checkpoint.name,
        config=source.name,
    )
    yield examined(load.elements, "parameter", model=source.name)
    yield _load(load, what, Place(checkpoint))
    try:
        script = script_inference(target)
    except Skip:
        return
    yield from _held_weights(target, script, inference_by(script), checkpoint.name)


def _held_weights(
    target: Target, script: Scripted, inference: InferenceDifference, checkpoint: str
) -> Findings:
    """What of the checkpoint the script's model holds as it infers, whatever it loaded before."""
    held, load = script.held, script.loads[-1] if script.loads else None
    yield examined(held.elements if held else 0, "parameter", model=script.path.name)
    if held is None or not held.elements:
        return
    sources = WeightSources(script, opening(target).checkpoint, inference.called_at)
    if not held.incomplete and sources.goes_by_another:
        yield _same_of_another(sources, script.path.name, checkpoint)
    elif not held.incomplete:
        what = Text("{checkpoint} in the model of {script}", checkpoint=checkpoint, script=script.path.name)
        yield _load(held, what, load.place if load else inference.called_at)
    elif not any("{checkpoint}" in word for word in target.settings.infer.arguments):
        raise Blocked(
            "[infer] arguments do not name the checkpoint: which one {script} loads is unknown",
            at=inference.called_at,
            hint="add '{{checkpoint}}' to [infer] arguments",
            script=script.path.name,
        )
    elif load and load.incomplete and (held.loaded or _is_in(load.place, script.path)):
        yield _load(load, _call(target, script, load), load.place)
    elif sources.fullest and sources.fullest.held > held.loaded:
        yield _other_source(sources, sources.fullest, held, script.path.name, checkpoint)
    else:
        yield _others(held, load, sources, script.path.name, checkpoint)


class WeightSources:
    """Which files the script's weights come from, beside the checkpoint that it was given."""

    def __init__(self, script: Scripted, checkpoint: Path, called_at: Place | None) -> None:
        self.given = checkpoint.resolve()
        self.there = [one for one in script.read if one.there]
        self.script, self._called_at = script, called_at

    @property
    def is_read(self) -> bool:
        """Whether the script reads the checkpoint that it was given."""
        return self._reading is not None

    @property
    def _reading(self) -> ReadFile | None:
        return next((one for one in self.there if one.path == self.given), None)

    @property
    def goes_by_another(self) -> bool:
        """Whether it reads weights, but not that checkpoint, in a line of its own."""
        return not self.is_read and any(_is_in(one.place, self.script.path) for one in self.there)

    @property
    def fullest(self) -> ReadFile | None:
        """The file that most of the weights are from; None where none of them is in a file."""
        best = max(self.there, key=lambda one: one.held, default=None)
        return best if best and best.held else None

    @property
    def missed(self) -> ReadFile | None:
        """A file of weights that the script's own lines look for instead, and that is not there."""
        missed = [one for one in self.script.read if not one.there and _is_in(one.place, self.script.path)]
        return missed[-1] if missed and not self.is_read else None

    @property
    def place(self) -> Place | None:
        """The line of the script that decides: that reads or looks for a file, else builds the model."""
        files = (self._reading, self.fullest, self.missed)
        read = [one.place for one in files if one and _is_in(one.place, self.script.path)]
        built = [place for _, place in self.script.configs if _is_in(place, self.script.path)]
        return next(iter([*read, *built[-1:]]), self._called_at)


def _is_in(place: Place | None, path: Path) -> bool:
    return place is not None and place.path == path


def _same_of_another(sources: WeightSources, script: str, checkpoint: str) -> Finding:
    """A warning: the weights are right by chance."""
    other = next(one for one in sources.there if _is_in(one.place, sources.script.path))
    return warning(
        "{script} does not read {checkpoint}, which it is given, but {other}, which holds the same weights "
        "today",
        at=other.place,
        hint="load the checkpoint that the arguments name",
        script=script,
        checkpoint=checkpoint,
        other=str(other.path),
    )


def _other_source(
    sources: WeightSources, source: ReadFile, held: Load, script: str, checkpoint: str
) -> Finding:
    """An error: the weights are those of another file, or of another state in the same one."""
    missed = sources.missed
    return error(
        "{script} infers with {state!r} of {checkpoint}: {found} of {elements} parameters are that; training "
        "evaluates other weights"
        if source.path == sources.given
        else "{script} does not read {checkpoint}, which it is given: it looks for {missed}, which is not "
        "there, and infers with the weights of {source}"
        if missed
        else "{script} does not read {checkpoint}, which it is given: its weights are those of {source}"
        if not sources.is_read
        else "{script} reads {checkpoint}, but infers with the weights of {source}",
        at=sources.place,
        hint="load the model's own weights of {checkpoint} before infer(), with strict=True",
        script=script,
        checkpoint=checkpoint,
        source=str(source.path),
        state=source.state,
        missed=str(missed.path) if missed else None,
        found=source.held,
        elements=held.elements,
    )


def _call(target: Target, script: Scripted, load: Load) -> Text:
    """How the script loads, and into which model if that is not the training's."""
    changed = _changed_model(target, script)
    return Text(
        "{script} with strict={strict} and another model ({changed})"
        if changed
        else "{script} with strict={strict}",
        script=script.path.name,
        strict=load.strict,
        changed=[each.told for each in changed[:SHOWN]],
    )


def _changed_model(target: Target, script: Scripted) -> tuple[Difference, ...]:
    """In what the script's model is not the one of the training."""
    used = [values for values, _ in script.configs[-1:]]
    return differences(config_differences(trained_values(target), used[0])) if used else ()


def _others(held: Load, load: Load | None, sources: WeightSources, script: str, checkpoint: str) -> Finding:
    """An error: the model infers with weights that are of no file that was read."""
    missed = sources.missed
    return error(
        "{script} infers with other weights than those of {checkpoint}: {differing} of {elements} parameters "
        "differ ({parts}); it looks for {missed}, which is not there"
        if missed
        else "{script} infers with other weights than those of {checkpoint}: {differing} of {elements} "
        "parameters differ ({parts}); its last load_state_dict() is at {place}"
        if load and load.place
        else "{script} infers with other weights than those of {checkpoint}: {differing} of {elements} "
        "parameters differ ({parts}); it called no load_state_dict()",
        at=missed.place if missed else (load.place if load and sources.is_read else None) or sources.place,
        hint="load {checkpoint} into the model before infer(), with strict=True",
        script=script,
        differing=held.elements - held.loaded,
        elements=held.elements,
        checkpoint=checkpoint,
        parts=_lacking(held)[:SHOWN],
        place=load.place if load else None,
        missed=str(missed.path) if missed else None,
    )


def _lacking(load: Load) -> list[Text]:
    """The sub-modules that lack parameters, and how many."""
    return [
        Text(
            "{module} {lacking} of {elements}",
            module=name,
            lacking=part.elements - part.loaded,
            elements=part.elements,
        )
        for name, part in load.incomplete.items()
    ]


def _load(load: Load, what: Text, place: Place | None) -> Finding:
    """An error where parameters stay as they were; else the counts."""
    parts = {name: [part.loaded, part.elements] for name, part in load.parts.items()}
    if not load.incomplete:
        return note(
            "{what}: all {elements} parameters: {counts}",
            at=place,
            what=what,
            elements=load.elements,
            counts=[f"{name} {loaded}" for name, (loaded, _) in list(parts.items())[:SHOWN]],
            parts=parts,
            unexpected=list(load.unexpected),
        )
    return error(
        "{what}: {lacking} of {elements} parameters stay as initialised: {lacking_parts}",
        at=place,
        hint="build the model from the run's config and load with strict=True: its error names what the file "
        "lacks",
        what=what,
        lacking=load.elements - load.loaded,
        elements=load.elements,
        lacking_parts=_lacking(load)[:SHOWN],
        parts=parts,
        unexpected=list(load.unexpected[:SHOWN]),
        reshaped=[list(map(str, entry)) for entry in load.reshaped[:SHOWN]],
    )


@check("INF002", tier="run", requires=["INF001"])
def inference_uses_the_trainings_config(target: Target) -> Findings:
    """Inference builds its model and data from the config that the checkpoint was trained with.

    ## Why it matters
    Another resolution, normalisation or head changes every prediction, and the weights load all the same.
    The run directory's config is written anew by each launch into it; the checkpoint holds its own.

    ## How to fix
    Give the inference the config beside the checkpoint (`{config}` in `[infer] arguments`), or the one that
    is stored in it (`args`).
    """
    found, trained = opening(target), trained_values(target)
    if places := moved_paths(target):
        yield note(
            "the paths of the run's machine config no longer exist; it is opened with today's: {moved}",
            at=found.source,
            moved=[f"{old} -> {new}" for old, new in places.items()],
        )
    beside = stamped_values(target)
    if beside is not None and found.stamped:
        yield from _changes(found.stamped.name, trained, beside, Place(found.stamped))
    try:
        script = script_inference(target)
    except Skip as skip:
        if beside is None:
            raise Skip(
                "no config beside the one of {source}: {reason}", source=found.source.name, reason=skip.reason
            ) from None
        yield note("the model is built from {source}; {reason}", source=found.source.name, reason=skip.reason)
        return
    if not script.configs:
        raise Blocked(
            "the script builds its model without init_model(): of which config is unknown",
            at=inference_by(script).called_at,
        )
    for used, place in script.configs[-1:]:
        yield from _changes(script.path.name, trained, used, place)


def _changes(what: str, trained: Mapping[str, Any], used: Mapping[str, Any], place: Place | None) -> Findings:
    pairs = config_differences(trained, used)
    changed = differences(pairs)
    yield examined(len(pairs), "value", config=what)
    if changed:
        yield error(
            "{config}: {n:value is not that|values are not those} of the training: {shown}",
            at=place,
            hint="use the config of the run: '{{config}}' in [infer] arguments is that beside the checkpoint",
            config=what,
            n=len(changed),
            shown=[each.told for each in changed[:SHOWN]],
            differences=_evidence(changed),
        )
    elif pairs:
        yield note(
            "{config}: model and data are configured as in training"
            if "dataset" in used
            else "{config}: the model is configured as in training",
            at=place,
            config=what,
        )


def _evidence(changed: tuple[Difference, ...]) -> dict[str, dict[str, str]]:
    return {each.key: {"trained": str(each.before), "used": str(each.after)} for each in changed}


@check("INF003", tier="run", requires=["CKP001", "DAT001"])
def inference_is_in_eval_mode(target: Target) -> Findings:
    """The model is in eval mode while it infers.

    ## Why it matters
    In train mode dropout drops and batch statistics move: predictions change from call to call, and are worse
    than those that the evaluation reported.

    ## How to fix
    Call `model.eval()` after the weights are loaded.
    """
    for inference in inferences(target):
        modes = list(inference.in_training)
        yield examined(inference.modules, "module", inference=inference.name)
        if modes:
            yield error(
                "{n:module is|modules are} in train mode during the forward, {first} among them",
                at=inference.called_at or inference.defined_at,
                hint="call model.eval() before infer()",
                of=inference.name,
                n=len(modes),
                first=modes[0],
                modules=modes[:SHOWN],
            )
        else:
            yield note(
                "all {modules} modules are in eval mode",
                at=inference.called_at or inference.defined_at,
                of=inference.name,
                modules=inference.modules,
            )


@check("INF004", tier="run", requires=["INF002", "DAT007"])
def inference_gets_what_training_gave(target: Target) -> Findings:
    """The model takes the same inputs at inference as in training's evaluation of the same sample.

    Same entries of the views, same values, normalisation, image size and data type: what the model's forward
    really takes is recorded on both ways.

    ## Why it matters
    A model sees numbers. Images that are normalised otherwise, or poses that it never had in training, give
    predictions that nobody has validated, for the worse or, with ground truth, for the better.

    ## How to fix
    Prepare images with the dataset's own transform and `data_norm_type`, and give the views no geometry that
    the training's `geometric_input_config` does not let in.
    """
    for inference in inferences(target):
        yield examined(inference.compared.inputs, "input", inference=inference.name)
        unlike = [each for each in inference.inputs if each.kind != "values" or each.relative > CLOSE]
        if parity(target).draws_inputs and any(_one_sided(each) for each in unlike):
            unlike = [each for each in unlike if not _one_sided(each)]
            yield note("the model draws its inputs at random in evaluation, too", of=inference.name)
        for kind in dict.fromkeys(_kind(each) for each in unlike):
            yield _unlike_input(inference, [each for each in unlike if _kind(each) == kind])
        if inference.views[0] != inference.views[1]:
            yield _other_views(inference)
        elif not unlike:
            yield from _precision(inference)


def _one_sided(each: Unlike) -> bool:
    return each.kind in ("only training", "only inference")


def _kind(each: Unlike) -> str:
    """What is told in one finding: all entries that only one side has, else each entry for itself."""
    return each.kind if _one_sided(each) else each.key


def _unlike_input(inference: InferenceDifference, alike: list[Unlike]) -> Finding:
    each, keys = alike[0], [each.key for each in alike]
    said, hint = input_told(each, keys)
    return error(
        said,
        at=each.place or inference.defined_at,
        hint=hint,
        of=inference.name,
        **{**each.numbers.evidence, "keys": keys, "kind": each.kind},
    )


def _other_views(inference: InferenceDifference) -> Finding:
    training, given = inference.views
    return error(
        "the model gets {given:view|views} of the sample, in training {trained}",
        at=inference.called_at or inference.defined_at,
        hint="give infer() all views of the sample at once, the first agent's first",
        of=inference.name,
        given=given,
        trained=training,
        views=[training, given],
    )


def _precision(inference: InferenceDifference) -> Findings:
    training, here = inference.precision
    place = inference.called_at or inference.defined_at
    full = Text("full precision")
    if training != here:
        yield warning(
            "it computes in {here}, training's evaluation in {training}",
            at=place,
            hint="pass use_amp=bool(config.train_params.amp) and its amp_dtype to infer()",
            of=inference.name,
            here=here or full,
            training=training or full,
            precision=[training, here],
        )
    yield note(
        "the model takes {inputs}, as in training", at=place, of=inference.name, inputs=list(inference.taken)
    )
