"""Comparison: training's forward against an inference, first what went in, then what came out."""

from __future__ import annotations

from typing import Any, Iterator, TypedDict

from .frames import CodePlace
from .recording import Entries, ForwardCall, InferCall
from .tensor_likeness import Figures, TensorDifference, channels, differing, words_of

DENSE = ("pts3d", "pts3d_cam", "depth_along_ray", "ray_directions", "conf")
WORDS = ("data_norm_type",)


class Unlike(TypedDict):
    """One thing that goes into the model, or comes out, and is not as in training."""

    key: str
    kind: str
    view: int
    place: CodePlace | None
    numbers: Figures


class Counts(TypedDict):
    """On how many things a comparison rests."""

    inputs: int
    raw: int
    final: int


class ForwardComparison(TypedDict):
    """An inference against training's forwards of the same batch."""

    name: str
    forwards: int
    modules: int
    views: tuple[int, int]
    called_at: CodePlace | None
    defined_at: CodePlace | None
    in_training: list[str]
    precision: tuple[str | None, str | None]
    taken: list[str]
    inputs: list[Unlike]
    raw: list[Unlike]
    final: list[Unlike]
    compared: Counts


def comparison(name: str, trained: list[ForwardCall], inference: InferCall) -> ForwardComparison:
    """All in which an inference differs from training's forwards of the same batch."""
    calls = inference.calls
    views = [view for call in calls for view in call.views]
    outputs = [output for call in calls for output in call.outputs]
    first = trained[0]
    return {
        "name": name,
        "forwards": len(calls),
        "modules": max((call.modules for call in calls), default=0),
        "views": (len(first.views), len(views)),
        "called_at": inference.called_at,
        "defined_at": inference.defined_at,
        "in_training": sorted({name for call in calls for name in call.in_training}),
        "precision": (first.precision, calls[0].precision if calls else None),
        "taken": sorted({key for view in views for key in view.taken if _counts(key, view)}),
        "inputs": list(inputs(trained, views, inference)),
        "raw": raw(first.outputs, outputs),
        "final": final(inference, outputs),
        "compared": {
            "inputs": sum(1 for _ in _taken_on_both(trained, views)),
            "raw": sum(1 for _ in _answered_by_both(first.outputs, outputs)),
            "final": sum(1 for pair in zip(outputs, inference.predictions) for _ in _final_outputs(*pair)),
        },
    }


def _taken_on_both(trained: list[ForwardCall], views: list[Entries]) -> Iterator[tuple[int, str]]:
    """Entries of the views that the model takes on both ways."""
    for number, view in enumerate(views[: len(trained[0].views)]):
        was = {key for call in trained for key in call.views[number].taken}
        for key in view.taken:
            if key in was and _counts(key, view):
                yield number, key


def _answered_by_both(
    before: list[dict[str, Any]], after: list[dict[str, Any]]
) -> Iterator[tuple[int, str, Any, Any]]:
    """Outputs that the model answers on both ways: view, key, training's and the inference's."""
    for number, (one, other) in enumerate(zip(before, after)):
        for key, value in one.items():
            if hasattr(value, "dtype") and key in other:
                yield number, key, value, other[key]


def _counts(key: str, view: Entries) -> bool:
    return key in WORDS or hasattr(dict.get(view, key), "dtype")


def inputs(trained: list[ForwardCall], views: list[Entries], inference: InferCall) -> Iterator[Unlike]:
    """Entries that only one side took, or that differ, of the first view in which they do."""
    told: set[str] = set()
    for number, view in enumerate(views[: len(trained[0].views)]):
        before = trained[0].views[number]
        was = {key: at for call in trained for key, at in call.views[number].taken.items()}
        for key in dict.fromkeys([*was, *view.taken]):
            if key not in told and (_counts(key, before) or _counts(key, view)):
                for found, place in _input(key, before, was, view, inference, number):
                    told.add(key)
                    yield _unlike(found, key, number, place)


def _unlike(found: TensorDifference, key: str, view: int, place: CodePlace | None = None) -> Unlike:
    return {"key": key, "kind": found["kind"], "view": view, "place": place, "numbers": found["numbers"]}


def _input(
    key: str,
    before: Entries,
    was: dict[str, CodePlace | None],
    view: Entries,
    inference: InferCall,
    number: int,
) -> Iterator[tuple[TensorDifference, CodePlace | None]]:
    """In what an entry differs, if it does, and the line that gives it."""
    if key not in was:
        yield {"kind": "only inference", "numbers": {}}, inference.called_at
        return
    if key not in view.taken:
        yield {"kind": "only training", "numbers": {}}, inference.called_at
        return
    one, other = dict.get(before, key), dict.get(view, key)
    found = differing(one, other)
    if not found:
        return
    if key == "img" and found["kind"] == "values":
        found["numbers"]["channels"] = channels(one, other)
    if key in WORDS:
        found["numbers"]["trained"] = words_of(one)
    given = inference.views[number].get(key) if number < len(inference.views) else None
    is_given = given is not None and differing(one, given) is not None
    yield found, inference.called_at if is_given else inference.calls[0].called_at


def raw(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> list[Unlike]:
    """The model's own outputs that differ, each of the view in which it does most."""
    worst: dict[str, Unlike] = {}
    for number, key, value, other in _answered_by_both(before, after):
        found = differing(value, other)
        if found:
            keep_worst(worst, _unlike(found, key, number))
    return sorted(worst.values(), key=_weight, reverse=True)


def keep_worst(worst: dict[str, Unlike], found: Unlike) -> None:
    """Keep what weighs most of each key, the last of those that weigh the same."""
    before = worst.get(found["key"])
    if before is None or _weight(found) >= _weight(before):
        worst[found["key"]] = found


def _weight(found: Unlike) -> float:
    numbers = found["numbers"]
    if "values" in numbers:
        return numbers["values"]["relative"]
    return numbers["mask"]["differs"] if "mask" in numbers else 1e9


def final(inference: InferCall, outputs: list[dict[str, Any]]) -> list[Unlike]:
    """Predictions that are not what the model answered, where they are not masked away."""
    given = [entries for call in inference.calls for entries in call.given]
    worst: dict[str, Unlike] = {}
    for number, (answer, prediction) in enumerate(zip(outputs, inference.predictions)):
        for key, found in _final_outputs(answer, prediction):
            if found:
                found["numbers"]["scale"] = _scale(answer)
                at = _changed_at(given[number], key) or inference.defined_at
                keep_worst(worst, _unlike(found, key, number, at))
    return sorted(worst.values(), key=_weight, reverse=True)


def _scale(answer: dict[str, Any]) -> float | None:
    """The metric scale that the model answered, None where it answers none."""
    scale = answer.get("metric_scaling_factor")
    return None if scale is None else float(scale.double().mean())


def _changed_at(entries: Entries, key: str) -> CodePlace | None:
    if key == "mask":
        read = (entries.taken.get(name) for name in ("non_ambiguous_mask", "non_ambiguous_mask_logits"))
        return next(filter(None, read), None) or entries.changed.get(key)
    return entries.changed.get(key)


def _final_outputs(
    answer: dict[str, Any], prediction: dict[str, Any]
) -> Iterator[tuple[str, TensorDifference | None]]:
    """Each prediction of one view against what the model answered."""
    mask = _mask(prediction)
    for key, value in answer.items():
        if hasattr(value, "dtype") and key in prediction:
            yield key, differing(value, prediction[key], mask if key in DENSE else None)
    if mask is not None and "non_ambiguous_mask" in answer:
        yield "mask", _mask_difference(answer["non_ambiguous_mask"].bool().cpu(), mask)
    if "camera_poses" in prediction and "cam_trans" in answer:
        yield "camera_poses", differing(answer["cam_trans"], prediction["camera_poses"][:, :3, 3])


def _mask(prediction: dict[str, Any]) -> Any:
    if "mask" not in prediction or not hasattr(prediction["mask"], "dtype"):
        return None
    mask = prediction["mask"].detach().cpu().bool()
    return mask[..., 0] if mask.dim() == 4 else mask


def _mask_difference(answered: Any, mask: Any) -> TensorDifference | None:
    """Pixels kept that the model says are ambiguous; a mask that is only smaller is one of edges."""
    outside = float((mask & ~answered).double().mean())
    if not outside:
        return None
    return {
        "kind": "mask",
        "numbers": {
            "trained": float(answered.double().mean()),
            "given": float(mask.double().mean()),
            "mask": {"differs": outside, "inverted": float((mask == ~answered).double().mean())},
        },
    }
