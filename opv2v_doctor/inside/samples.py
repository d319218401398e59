"""Questions about samples: drawn as the training would draw them, and told in numbers only."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import random
from functools import partial
from typing import Any, Callable, Sequence, Tuple, TypedDict

from . import progress
from .chance import process_state, unseeded_generators
from .datasets import dataset_of
from .frames import TracebackLine, frames_of
from .handover import chosen, hand_over, hand_over_depth
from .opened import forget, last_opened

SEED = 1
VIEWS = "OPV2V_DOCTOR_VIEWS"  # {key of a view: the name that the repository gives it}
HANDED_OVER = 2  # samples of a split, with all their arrays
DRAWN_AGAIN = 2  # of each evaluation split, but all of them where their being the same may be chance
ANOTHER_SEED = 2  # a process of its own: what depends on its random state comes out differently


Key = Tuple[int, ...]  # (sample, resolution, number of views), as far as there is a choice


class Exported(TypedDict):
    """The file of a module, and the files that its names come from."""

    file: str | None
    names: dict[str, str]


class Depth(TypedDict):
    """The depth of a view: over its known pixels in metres, and the fractions that are not."""

    minimum: float
    maximum: float
    median: float
    finite: float
    zero_in_mask: float


class Identity(TypedDict):
    """What a view says that it shows."""

    label: str | None
    instance: str | None
    agent_id: str | None


class View(TypedDict):
    """What a view holds, in a few numbers and words."""

    identity: Identity
    camera_model: str | None
    shape: list[int]
    norm_type: str | None
    pose: list[list[float]] | None
    intrinsics: list[list[float]] | None
    depth: Depth | None
    mask_mean: float | None
    valid_mean: float | None
    valid_outside: float | None
    valid_unknown: float | None
    valid_known: float | None
    mask_digest: str | None
    digest: str
    types: dict[str, str]


class Failure(TypedDict):
    """What drawing a sample raised, and the file that was opened last."""

    kind: str
    message: str
    opened: str | None
    frames: list[TracebackLine]


class Sample(TypedDict):
    """One drawn sample, or its failure."""

    key: Key
    requested: int | None
    views: list[View]
    failure: Failure | None


class Drawing(TypedDict):
    """Samples of a dataset of some length; `views` are the numbers of views that it draws."""

    length: int
    classes: list[str]
    views: list[int]
    samples: list[Sample]


def exported(module_name: str, names: list[str]) -> Exported:
    """The file of a module, and for each name the file that it comes from, where it has such a name."""
    module = importlib.import_module(module_name)
    return {
        "file": getattr(module, "__file__", None),
        "names": {name: _file_of(getattr(module, name)) for name in names if hasattr(module, name)},
    }


def _file_of(thing: Any) -> str:
    import inspect

    try:
        return inspect.getfile(thing)
    except TypeError:
        return ""


def draw(expression: str, module_name: str, count: int, split: str, folder: str) -> Drawing:
    """Samples spread over the dataset, with every number of views, each described or with its failure.

    The arrays of a few of them are written into the folder.
    """
    dataset = dataset_of(expression, module_name)
    if is_empty(dataset):
        return {"length": 0, "classes": [], "views": [], "samples": []}
    turn_retries_off(dataset)
    begin(dataset, SEED)
    samples: list[Sample] = []
    what, plan = f"drawing {split} samples", plan_draws(dataset, count)
    wanted = chosen(plan, HANDED_OVER)
    for done, (key, requested) in enumerate(plan):
        progress.advance(what, done, len(plan))
        write = hand_over if done in wanted else hand_over_depth
        samples.append(draw_one(dataset, key, requested, partial(write, folder=folder, number=done)))
    progress.advance(what, len(plan), len(plan))
    return {
        "length": len(dataset),
        "classes": sorted({type(leaf).__name__ for leaf in leaves(dataset)}),
        "views": [view for view in view_counts(dataset) if view is not None],
        "samples": samples,
    }


def again(expressions: list[str], module_name: str, count: int) -> list[list[Sample]]:
    """The planned samples of each dataset from the last, a few or all, drawn under another random state."""
    return [_backwards(expression, module_name, count) for expression in expressions]


def _backwards(expression: str, module_name: str, count: int) -> list[Sample]:
    with unseeded_generators() as unseeded:
        dataset = dataset_of(expression, module_name)
        if is_empty(dataset):
            return []
        turn_retries_off(dataset)
        begin(dataset, ANOTHER_SEED)
        state, plan = process_state(), plan_draws(dataset, count)[::-1]
        samples = [draw_one(dataset, *wanted) for wanted in plan[:DRAWN_AGAIN]]
        if unseeded or process_state() != state:
            samples += [draw_one(dataset, *wanted) for wanted in plan[DRAWN_AGAIN:]]
    return samples


def is_empty(dataset: Any) -> bool:
    """Whether some of its data has no sample: resizing that fails in arithmetic of its own."""
    return not all(len(leaf) for leaf in leaves(dataset))


def in_next_epoch(expression: str, module_name: str, count: int, place: int) -> Sample:
    """The sample at one place of the plan, in epoch 1."""
    dataset = dataset_of(expression, module_name)
    turn_retries_off(dataset)
    begin(dataset, SEED, epoch=1)
    sample = draw_one(dataset, *plan_draws(dataset, count)[place])
    begin(dataset, SEED)
    return sample


def begin(dataset: Any, seed: int, epoch: int = 0) -> None:
    import numpy
    import torch

    random.seed(seed)
    numpy.random.seed(seed)
    torch.manual_seed(seed)
    if hasattr(dataset, "set_epoch"):
        dataset.set_epoch(epoch)


def wrapped(dataset: Any) -> list[Any]:
    """The dataset and all that it wraps."""
    found = [dataset]
    for node in found:  # grows while it is read
        inner = [getattr(node, "dataset", None), *(getattr(node, "datasets", None) or [])]
        found += [one for one in inner if one is not None and not any(one is seen for seen in found)]
    return found


def leaves(dataset: Any) -> list[Any]:
    return [n for n in wrapped(dataset) if not hasattr(n, "dataset") and not hasattr(n, "datasets")]


def turn_retries_off(dataset: Any) -> None:
    """Let a failure be seen where the training would take another sample."""
    for node in wrapped(dataset):
        if "max_num_retries" in vars(node):
            node.max_num_retries = 0


def view_counts(dataset: Any) -> list[int | None]:
    """The numbers of views that the dataset draws; None where it does not say."""
    views = getattr(dataset, "num_views", None)
    return [int(view) for view in views] if isinstance(views, (list, tuple)) else [views]


def plan_draws(dataset: Any, count: int) -> list[tuple[Key, int | None]]:
    """(key, number of views) of each sample to draw: indices spread evenly, the numbers of views in turn."""
    views = view_counts(dataset)
    wanted = max(min(count, len(dataset)), len(views))
    step = _step(len(dataset) // wanted, min(len(leaf) for leaf in leaves(dataset)))
    return [
        (key_of(dataset, turn * step % len(dataset), turn), views[turn % len(views)])
        for turn in range(wanted)
    ]


def _step(even: int, frames: int) -> int:
    """One more than a multiple of the frames, where those repeat: an even step could always hit the same."""
    return even // frames * frames + 1 if even >= frames else max(1, even)


def key_of(dataset: Any, index: int, turn: int) -> Key:
    """What the sampler would ask for: (sample, resolution, number of views), as far as there is a choice."""
    views, resolutions = getattr(dataset, "num_views", None), getattr(dataset, "_resolutions", None)
    key: Key = (index,) if resolutions is None else (index, turn % len(resolutions))
    return (*key, turn % len(views)) if isinstance(views, (list, tuple)) else key


def draw_one(
    dataset: Any, key: Key, requested: int | None, write: Callable[[Sequence[Any]], None] | None = None
) -> Sample:
    """One sample, view by view, or what it raised; its views are given to what writes them."""
    forget()
    try:
        views = views_at(dataset, key)
        if write:
            write(views)
        return {
            "key": key,
            "requested": requested,
            "views": [describe(view) for view in views],
            "failure": None,
        }
    except Exception as problem:
        return {"key": key, "requested": requested, "views": [], "failure": failure_of(problem)}


def views_at(dataset: Any, key: Sequence[int]) -> list[Any]:
    """The views of a sample, with what the repository calls otherwise under the usual keys, too."""
    return [named(view) for view in dataset[tuple(key) if len(key) > 1 else key[0]]]


def named(view: Any) -> Any:
    names = json.loads(os.environ.get(VIEWS, "{}"))
    return dict(view, **{key: view[name] for key, name in names.items() if name in view}) if names else view


def failure_of(problem: BaseException) -> Failure:
    return {
        "kind": type(problem).__name__,
        "message": str(problem),
        "opened": last_opened(),
        "frames": frames_of(problem),
    }


def describe(view: Any) -> View:
    """What a view holds, in a few numbers and words."""
    arrays = {key: array_of(value) for key, value in view.items() if hasattr(value, "shape")}
    mask, valid = _boolean(arrays.get("non_ambiguous_mask")), _boolean(arrays.get("valid_mask"))
    comparable = mask is not None and valid is not None and mask.shape == valid.shape
    known = _known(arrays.get("depthmap"), valid)
    return {
        "identity": {
            "label": _word(view.get("label")),
            "instance": _word(view.get("instance")),
            "agent_id": _word(view.get("agent_id")),
        },
        "camera_model": _word(view.get("camera_model")),
        "shape": list(arrays["img"].shape) if "img" in arrays else [],
        "norm_type": _first_word(view.get("data_norm_type")),
        "pose": _rows(arrays.get("camera_pose"), 4),
        "intrinsics": _rows(arrays.get("camera_intrinsics"), 3),
        "depth": _depth(arrays.get("depthmap"), mask),
        "mask_mean": None if mask is None else float(mask.mean()),
        "valid_mean": None if valid is None else float(valid.mean()),
        "valid_outside": float((valid & ~mask).mean()) if comparable else None,
        "valid_unknown": None if known is None else float((valid & ~known).mean()),
        "valid_known": None if known is None else float((valid & known).mean()),
        "mask_digest": None if mask is None else _digest([mask]),
        "digest": _digest([arrays[key] for key in ("img", "depthmap", "camera_pose") if key in arrays]),
        "types": {key: str(getattr(value, "dtype", type(value).__name__)) for key, value in view.items()},
    }


def _rows(matrix: Any, size: int) -> list[list[float]] | None:
    """The rows of a matrix of this size, None where it is none."""
    return None if matrix is None or matrix.shape != (size, size) else matrix.astype("float64").tolist()


def array_of(value: Any) -> Any:
    import numpy

    return numpy.asarray(value.detach().cpu() if hasattr(value, "detach") else value)


def _boolean(array: Any) -> Any:
    return None if array is None else array.astype(bool).reshape([s for s in array.shape if s != 1])


def _known(depth: Any, valid: Any) -> Any:
    """Where depth is finite and above 0, if both are of one shape."""
    import numpy

    if depth is None or valid is None:
        return None
    flat = depth.reshape([side for side in depth.shape if side != 1])
    return numpy.isfinite(flat) & (flat > 0) if flat.shape == valid.shape else None


def _word(value: Any) -> str | None:
    return None if value is None else str(value)


def _first_word(value: Any) -> str | None:
    return _word(value[0] if isinstance(value, (list, tuple)) and value else value)


def _digest(arrays: list[Any]) -> str:
    digest = hashlib.blake2b(digest_size=12)
    for array in arrays:
        digest.update(repr((array.shape, str(array.dtype))).encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _depth(array: Any, mask: Any) -> Depth | None:
    import numpy

    if array is None or not array.size:
        return None
    depth = array.reshape([s for s in array.shape if s != 1])
    finite = numpy.isfinite(depth)
    known = depth[finite & (depth > 0)]
    inside = depth[mask] if mask is not None and mask.shape == depth.shape and mask.any() else depth
    return {
        "minimum": float(known.min()) if known.size else 0.0,
        "maximum": float(known.max()) if known.size else 0.0,
        "median": float(numpy.median(known)) if known.size else 0.0,
        "finite": float(finite.mean()),
        "zero_in_mask": float((inside == 0).mean()),
    }
