"""Inference: the model as the training left it: its weights, its config, its mode, and what it is given."""

from opv2v_doctor import Finding, Findings, Place, Skip, Target, check, error, note, warning
from opv2v_doctor.facts.inference.comparisons import Inference, Load, Scripted, Unlike
from opv2v_doctor.facts.inference.moving import moved
from opv2v_doctor.facts.inference.opening import (
    differences,
    opening,
    stamped_values,
    trained_values,
)
from opv2v_doctor.facts.inference.parity import begin, inferences, parity, scripted
from opv2v_doctor.facts.inference.wording import CLOSE, input_told
from opv2v_doctor.facts.leaves import Difference

SHOWN = 6  # the rest is in the evidence


@check("INF001", tier="run", requires=["CKP001", "DAT001"], ahead=begin)
def every_weight_is_loaded(target: Target) -> Findings:
    """Every parameter of the model comes from the checkpoint, in each of its sub-modules.

    ## Why it matters
    `load_state_dict(strict=False)` leaves what it does not find as it was initialised, without a word: a pose
    head of random numbers predicts poses all the same. Whoever loads "what fits" into a model of another
    width gets such a model.

    ## How to fix
    Build the model from the config of the run, and load with `strict=True`.
    """
    found, checkpoint = parity(target).load, opening(target).checkpoint
    source = opening(target).source.name
    yield _loaded(found, f"{checkpoint.name} into the model of {source}", Place(path=checkpoint, line=0))
    try:
        script = scripted(target)
    except Skip:
        return
    for load in script.loads[-1:]:  # one before it was of pretrained weights
        what = f"{script.path.name} with strict={load.strict}"
        if load.incomplete and (changed := _changed_model(target, script)):
            what = f"{what} and another model ({changed})"
        yield _loaded(load, what, load.place)


def _changed_model(target: Target, script: Scripted) -> str:
    """In what the script's model is not the one of the training."""
    used = [values for values, _ in script.configs[-1:]]
    changed = differences(trained_values(target), used[0]) if used else ()
    return "; ".join(map(str, changed[:SHOWN]))


def _loaded(load: Load, what: str, place: Place | None) -> Finding:
    """An error where parameters stay as they were; else the counts."""
    parts = {name: [part["loaded"], part["elements"]] for name, part in load.parts.items()}
    path, line = (place.path, place.line or None) if place else (None, None)
    if not load.incomplete:
        counts = ", ".join(f"{name} {loaded}" for name, (loaded, _) in list(parts.items())[:SHOWN])
        said = f"{what}: {load.loaded} of {load.elements} parameters were loaded: {counts}"
        return note(said, path=path, line=line, parts=parts, unexpected=list(load.unexpected))
    lacking = [
        f"{name} {part['elements'] - part['loaded']} of {part['elements']}"
        for name, part in load.incomplete.items()
    ]
    return error(
        f"{what}: {load.elements - load.loaded} of {load.elements} parameters stay as initialised: "
        + ", ".join(lacking[:SHOWN]),
        path=path,
        line=line,
        hint="build the model from the run's config and load with strict=True: what is named here is missing "
        "in the file, or has another shape there",
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
    if places := moved(target):
        said = ", ".join(f"{old} -> {new}" for old, new in places.items())
        yield note(f"the run's machine paths are gone, it is opened with today's: {said}", path=found.source)
    beside = stamped_values(target)
    if beside is not None and found.stamped:
        yield from _changed(found.stamped.name, trained, beside, Place(path=found.stamped, line=0))
    try:
        script = scripted(target)
    except Skip as skip:
        yield note(f"the model is built from {found.source.name}; {skip}", path=found.source)
        return
    for used, place in script.configs[-1:]:
        yield from _changed(script.path.name, trained, used, place)


def _changed(what: str, trained: object, used: object, place: Place | None) -> Findings:
    changed = differences(trained, used)  # type: ignore[arg-type]
    path, line = (place.path, place.line or None) if place else (None, None)
    if not changed:
        yield note(f"{what}: model and data are configured as in the training", path=path, line=line)
        return
    shown = "; ".join(map(str, changed[:SHOWN]))
    yield error(
        f"{what}: {len(changed)} values are not those of the training: {shown}",
        path=path,
        line=line,
        hint="give it the config of the run: '{config}' in [infer] arguments is that beside the checkpoint",
        differences=_evidence(changed),
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
        place = inference.called_at or inference.defined_at
        path, line = (place.path, place.line) if place else (None, None)
        modes = list(inference.in_training)
        if modes:
            yield error(
                f"{inference.name}: {len(modes)} modules are in train mode during the forward, "
                f"{modes[0]} among them",
                path=path,
                line=line,
                hint="call model.eval() before infer()",
                modules=modes[:SHOWN],
            )
        else:
            yield note(f"{inference.name}: every module is in eval mode", path=path, line=line)


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
        unlike = [each for each in inference.inputs if each.kind != "values" or each.relative > CLOSE]
        if parity(target).draws_inputs and any(_one_sided(each) for each in unlike):
            unlike = [each for each in unlike if not _one_sided(each)]
            yield note(f"{inference.name}: the model draws its inputs at random in evaluation, too")
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


def _unlike_input(inference: Inference, alike: list[Unlike]) -> Finding:
    each, keys = alike[0], [each.key for each in alike]
    said, hint = input_told(each, " and ".join(keys))
    place = each.place or inference.defined_at
    return error(
        f"{inference.name}: {said}",
        path=place.path if place else None,
        line=place.line if place else None,
        hint=hint,
        keys=keys,
        kind=each.kind,
        **dict(each.numbers),
    )


def _other_views(inference: Inference) -> Finding:
    training, given = inference.views
    place = inference.called_at or inference.defined_at
    return error(
        f"{inference.name}: the model gets {given} views of the sample, in training {training}",
        path=place.path if place else None,
        line=place.line if place else None,
        hint="give infer() all views of the sample at once, the first agent's first",
        views=[training, given],
    )


def _precision(inference: Inference) -> Findings:
    training, here = inference.precision
    place = inference.called_at or inference.defined_at
    path, line = (place.path, place.line) if place else (None, None)
    taken = ", ".join(inference.taken)
    if training != here:
        yield warning(
            f"{inference.name} computes in {here or 'full precision'}, training's evaluation in "
            f"{training or 'full precision'}",
            path=path,
            line=line,
            hint="pass use_amp=bool(config.train_params.amp) and its amp_dtype to infer()",
            precision=[training, here],
        )
    yield note(f"{inference.name}: the model takes {taken}, as in training", path=path, line=line)
