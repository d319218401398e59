"""Inference: what comes out: twice the same, the same as in training, and ground truth as itself."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from opv2v_doctor import Finding, Findings, Place, Skip, Target, check, error, note, warning
from opv2v_doctor.facts.inference.comparisons import Inference, Parity, Unlike
from opv2v_doctor.facts.inference.parity import inferences, parity
from opv2v_doctor.facts.inference.wording import CLOSE, apart_told, output_told, part_of, tolerance

Fit = Mapping[str, Any]
METRES, DEGREES, SCALE = 0.01, 0.1, 1e-3  # within which ground truth comes back: float32 at 100 m is 1e-5


@check("INF005", tier="run", requires=["CKP001", "DAT001"])
def evaluation_repeats_itself(target: Target) -> Findings:
    """The same batch evaluated twice gives the same.

    ## Why it matters
    Where it does not, no two numbers of this model can be compared, be they of two checkpoints or of training
    and inference.

    ## How to fix
    Look for random numbers and for state that forward leaves behind: dropout that ignores `eval()`, geometric
    inputs that are drawn in evaluation, too, buffers that forward writes.
    """
    found = parity(target)
    apart = [each for each in found.unrepeated if each.kind != "values" or each.relative > CLOSE]
    if not apart:
        yield note(f"{len(found.views)} views, evaluated twice on {found.device}: the outputs are the same")
        return
    worst = max(apart, key=lambda each: each.relative)
    said = f"evaluated twice, {worst.key} is apart by {worst.relative:.1%} (RMS, relative)"
    keys = [each.key for each in apart]
    if found.unseeded:
        hint = "turn random inputs off in evaluation (the model's task config), or fix the seed before it"
        yield warning(f"{said}: the model draws random numbers in evaluation", hint=hint, outputs=keys)
    else:
        hint = (
            "look for what forward writes: buffers, caches, statistics; and for dropout that eval() leaves on"
        )
        yield error(f"{said}, with the same random numbers, too", hint=hint, outputs=keys)


@check("INF006", tier="run", requires=["INF001", "INF003", "INF004"])
def inference_predicts_what_training_does(target: Target) -> Findings:
    """Points, poses, depth, scale and masks of inference are those of training's forward, of the same sample.

    ## Why it matters
    The loss was computed on the one, pictures and metrics are made of the other. A scale that is applied
    twice or a mask the wrong way round makes a good model look broken, and the training is changed for it.

    ## How to fix
    Change the step that is named here; what training's forward answers is what was validated.
    """
    told: set[tuple[str, Place | None]] = set()
    comparable = not parity(target).unrepeated  # else two forwards differ, whoever makes them
    for inference in inferences(target):
        raw = _apart(inference, inference.raw) if comparable else []
        final = _apart(inference, inference.final)
        if raw:
            yield _model_apart(inference, raw)
        for each in final:
            if (each.key, each.place) not in told:  # infer() alone and in the script is one cause
                told.add((each.key, each.place))
                yield _unlike(inference, each)
        if not raw and not final:
            place = inference.defined_at
            said = f"{inference.name}: {inference.views[1]} views are predicted as in training"
            yield note(said, path=place.path if place else None, line=place.line if place else None)


def _model_apart(inference: Inference, raw: list[Unlike]) -> Finding:
    """The model itself answers otherwise, though it gets the same: the worst of each part, ranked."""
    worst: dict[str, Unlike] = {}
    for each in raw:
        worst.setdefault(part_of(each.key), each)
    ranked = ", ".join(f"{part} ({each.key}) {apart_told(each)}" for part, each in worst.items())
    place = inference.called_at or inference.defined_at
    return error(
        f"{inference.name}: the model's own outputs are apart from training's: {ranked}",
        path=place.path if place else None,
        line=place.line if place else None,
        hint="the inputs are the same: compare how the model is called, and what it keeps between calls",
        parts={part: each.relative for part, each in worst.items()},
    )


def _apart(inference: Inference, found: tuple[Unlike, ...]) -> list[Unlike]:
    """Those that count, the farthest apart first; a few pixels at a mask's threshold do not."""
    bound = tolerance(inference)
    return sorted((each for each in found if each.relative > bound), key=lambda each: -each.relative)


def _unlike(inference: Inference, each: Unlike) -> Finding:
    said, hint = output_told(inference, each)
    place = each.place or inference.defined_at
    return error(
        f"{inference.name}: {said}",
        path=place.path if place else None,
        line=place.line if place else None,
        hint=hint,
        part=part_of(each.key),
        key=each.key,
        view=each.view,
        **dict(each.numbers),
    )


@check("INF007", tier="run", requires=["CKP001", "DAT001"])
def ground_truth_comes_back(target: Target) -> Findings:
    """Ground truth, sent through the computation of points and through `infer`, comes back as itself.

    Depth times rays, moved by the pose, are the sample's own points; and where they stand for the model's
    answer, `infer` returns them with scale 1 and the same poses.

    ## Why it matters
    What bends ground truth bends every prediction. No checkpoint is needed to see it, and none can make up
    for it.

    ## How to fix
    Look at the step that is named: order of quaternions, camera to world or back, scale, range or z-depth.
    """
    found = parity(target)
    if not any((*found.composed, *found.returned)):
        raise Skip("the views hold no depth, rays, pose and points to compare")
    bent = _first_bent(found.composed) or _first_bent(found.returned)
    if bent is None:
        yield _itself(found)
        return
    number, said, numbers = bent
    infers = not _first_bent(found.composed)
    what = "after infer()" if infers else "depth x rays, moved by the pose"
    yield _not_itself(found, f"view {number}, {what}: {said}", numbers, infers)


def _first_bent(fits: Iterable[Fit | None]) -> tuple[int, str, Fit] | None:
    """The first view whose ground truth is not itself any more: in what, and the fit that tells."""
    for number, fit in enumerate(fits):
        for said, numbers in _bent(fit) if fit else ():
            return number, said, numbers
    return None


def _bent(fit: Fit) -> Iterator[tuple[str, Fit]]:
    """What of pose and scale is not as it was; of the points, and of those made anew from depth and pose."""
    pose = fit.get("pose")
    if pose and (pose["degrees"] > DEGREES or pose["metres"] > METRES):
        yield f"the pose is off by {pose['degrees']:.2f} degrees and {pose['metres']:.3f} m", fit
    for each in (fit, fit.get("again") or {}):
        if each.get("apart", 0.0) > SCALE * max(1.0, each.get("size", 0.0)):
            yield _misfit(each), each


def _misfit(fit: Fit) -> str:
    """What would bring the points back."""
    if abs(fit["scale"] - 1) > SCALE:
        return f"the scale is {1 / fit['scale']:.4g}, expected 1"
    if fit["degrees"] > DEGREES or fit["metres"] > METRES:
        return f"the points are turned by {fit['degrees']:.2f} degrees and moved by {fit['metres']:.3f} m"
    return f"the points are {fit['apart']:.3f} m apart (RMS)"


def _not_itself(found: Parity, said: str, numbers: Fit, infers: bool) -> Finding:
    place = found.returned_at if infers else None
    where = "in infer()" if infers else "in the dataset: pts3d, camera_pose, its quaternion and translation"
    return error(
        said,
        path=place.path if place else None,
        line=place.line if place else None,
        hint=f"look at the step that makes points of depth, rays and pose {where}",
        **{key: value for key, value in numbers.items() if isinstance(value, float)},
    )


def _itself(found: Parity) -> Finding:
    farthest = max((fit["apart"] for fit in found.composed if fit and "apart" in fit), default=0.0)
    back = sum(1 for fit in found.returned if fit)
    through = f", and {back} of them come back from infer()" if back else ""
    return note(
        f"{len(found.views)} views: depth x rays, moved by the pose, are their points within {farthest:.1e} m"
        f"{through}",
        apart=farthest,
    )
