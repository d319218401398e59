"""Questions of a diagnosis: what the launch is made of, and what its loaders give."""

from __future__ import annotations

import math
import os
from typing import Any, TypedDict

from . import progress
from .frames import CodePlace
from .launched import Epoch, Launched, LaunchWords, launched
from .launched_sets import chosen_set, keys_of, samples_of, splits_of, spread
from .loaders import place_of
from .model import Account, loaded_into
from .passages import step_of, weights_as_they_were
from .pointcloud import array
from .samples import SEED, array_of, begin, leaves, views_at
from .weights import MODEL_KEYS, weights_of

PLAIN = (bool, int, float, str)
LONGEST = 300  # characters of an attribute
REDRAWN = 2  # validation samples that are drawn in two epochs


class Part(TypedDict):
    """A criterion's part: where it hangs, its class, and the numbers and words that it was made with."""

    path: str
    kind: str
    values: dict[str, Any]
    place: CodePlace | None


class ReadFile(TypedDict):
    """A file of weights that the launch read: elements that the model has by name, and that it holds."""

    file: str
    elements: int
    named: int
    held: int


class Moved(TypedDict):
    """A sub-module between the launch's first weights and the checkpoint's."""

    elements: int
    relative: float
    still: list[str]  # tensors that did not move at all
    frozen: int  # elements that the launch does not train


class Opened(TypedDict):
    """The launch's parts, and how a checkpoint fits them."""

    device: str
    train_criterion: list[Part]
    test_criterion: list[Part]
    sets: list[list[str]]  # that it evaluates on: the folders of their datasets' splits
    chosen: int | None  # the set that is looked at; None where the launch never evaluates
    train_place: CodePlace
    test_place: CodePlace | None
    account: Account
    read: list[ReadFile]
    load_place: CodePlace | None
    moved: dict[str, Moved]
    attributes: dict[str, list[str]]  # of the datasets: name -> training's value, validation's
    fresh: bool  # whether validation is given another model, which a step of training does not change


class ViewNumbers(TypedDict):
    """A view in numbers: its image by channel, its place, depth and masks."""

    norm_type: str | None
    mean: list[float]
    deviation: list[float]
    least: list[float]
    position: list[float] | None  # metres, in the frame that the dataset chose
    turned: float | None  # degrees from that frame
    depth: float | None  # median of the known, metres
    known: float | None
    mask: float | None


class Drawn(TypedDict):
    """Samples of the training and of the evaluation set as their loaders give them."""

    train: list[list[ViewNumbers]]
    test: list[list[ViewNumbers]]
    distinct: int  # training samples that differ, of an epoch
    jitter: float | None  # by how much the image of a validation view changes with the epoch


def opened(launch: LaunchWords, checkpoint: str, splits: list[str]) -> Opened:
    """What the launch is made of, and what of it the checkpoint fills."""
    progress.advance("the launch's own model and loaders", 0, 2)
    asked = launched(launch)
    weights = weights_of(checkpoint)
    progress.advance("the launch's own model and loaders", 1, 2)
    account = loaded_into(asked.model, weights)
    test = chosen_set(asked, splits)
    now = {name: value.detach().cpu() for name, value in asked.model.state_dict().items()}
    return {
        "device": str(asked.device),
        "train_criterion": described(asked.train["criterion"]),
        "test_criterion": described(test["criterion"]) if test else [],
        "sets": [splits_of(epoch["loader"]) for epoch in asked.tests],
        "chosen": asked.tests.index(test) if test else None,
        "train_place": asked.train.place,
        "test_place": test.place if test else None,
        "account": account,
        "read": [_held(file, content, asked.initial) for file, content in asked.read],
        "load_place": asked.loaded_at,
        "moved": moved(asked.model, asked.initial, now),
        "attributes": _attributes(asked.train["loader"], test["loader"]) if test else {},
        "fresh": test is not None and _is_left_behind(asked, test),
    }


def described(criterion: Any, path: str = "", depth: int = 6) -> list[Part]:
    """A criterion as the tree of its parts; of one that cannot be taken apart its name."""
    own = getattr(criterion, "__dict__", {})
    values = {
        name: _plain(value)
        for name, value in own.items()
        if _plain(value) is not None and not name.startswith(("_is_", "_version", "training", "dump_"))
    }
    found: list[Part] = [
        {
            "path": path,
            "kind": getattr(criterion, "__qualname__", type(criterion).__name__),
            "values": values,
            "place": place_of(criterion),
        }
    ]
    inner = {**own, **(getattr(criterion, "_modules", None) or {})}
    for name, value in inner.items() if depth else ():
        if hasattr(value, "forward") or (
            callable(value) and hasattr(value, "__dict__") and "Loss" in type(value).__name__
        ):
            found += described(value, "%s.%s" % (path, name) if path else name, depth - 1)
    return found


def _plain(value: Any) -> Any:
    """A number, a word, or a few of them by name; None for anything else."""
    if isinstance(value, PLAIN):
        return str(value)[:LONGEST] if isinstance(value, str) else value
    if isinstance(value, dict) and value and all(isinstance(one, PLAIN) for one in value.values()):
        return {str(name): one for name, one in value.items()}
    return None


def _attributes(train: Any, test: Any) -> dict[str, list[str]]:
    """The plain attributes of both first datasets that differ."""
    ones, others = vars(leaves(train.dataset)[0]), vars(leaves(test.dataset)[0])
    told = {name: [_told(ones[name]), _told(others[name])] for name in sorted(set(ones) & set(others))}
    return {name: pair for name, pair in told.items() if None not in pair and pair[0] != pair[1]}


def _told(value: Any) -> Any:
    if isinstance(value, (*PLAIN, os.PathLike)) or value is None:
        return str(value)[:LONGEST]
    if isinstance(value, (list, tuple)) and len(value) <= 8 and all(isinstance(one, PLAIN) for one in value):
        return ", ".join(map(str, value))
    return None


def _held(file: str, content: Any, initial: dict[str, Any]) -> ReadFile:
    """How much of a file the model holds as the launch begins."""
    for key in MODEL_KEYS:
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    tensors = {n: v for n, v in content.items() if hasattr(v, "numel")} if isinstance(content, dict) else {}
    bare = {name.rpartition("module.")[2]: value.detach().cpu() for name, value in tensors.items()}
    alike = {name: value for name, value in bare.items() if fits(initial.get(name), value)}
    return {
        "file": file,
        "elements": sum(value.numel() for value in tensors.values()),
        "named": sum(value.numel() for value in alike.values()),
        "held": sum(
            v.numel() for n, v in alike.items() if bool((v.to(initial[n].dtype) == initial[n]).all())
        ),
    }


def fits(one: Any, other: Any) -> bool:
    return one is not None and one.shape == other.shape


def moved(model: Any, before: dict[str, Any], after: dict[str, Any]) -> dict[str, Moved]:
    """How far each sub-module went."""
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    parameters = {name for name, _ in model.named_parameters()}
    found: dict[str, Moved] = {}
    squares: dict[str, list[float]] = {}
    for name, value in before.items():
        if name not in parameters or not value.is_floating_point():
            continue
        part = name.partition(".")[0]
        found.setdefault(part, {"elements": 0, "relative": 0.0, "still": [], "frozen": 0})
        sums = squares.setdefault(part, [0.0, 0.0])
        found[part]["elements"] += value.numel()
        if name not in trained:
            found[part]["frozen"] += value.numel()
            continue
        apart = float((after[name].double() - value.double()).square().sum())
        sums[0] += apart
        sums[1] += float(value.double().square().sum())
        if not apart:
            found[part]["still"].append(name)
    usual = sum(size for _, size in squares.values()) / max(
        1, sum(part["elements"] for part in found.values())
    )
    for part, (apart, size) in squares.items():  # what begins with zeros is measured by the others' weights
        norm = size or usual * found[part]["elements"]
        found[part]["relative"] = math.sqrt(apart / norm) if norm else 0.0
    return found


def _is_left_behind(asked: Launched, test: Epoch) -> bool:
    """Whether the model that is evaluated is another one, and stays as it was in a step of training."""
    if test["model"] is asked.model:
        return False
    before = {n: v.detach().clone() for n, v in test["model"].state_dict().items()}
    with weights_as_they_were(asked):
        step_of(asked, spread(asked.train["loader"], 1)[0])
        after = test["model"].state_dict()
        return all(bool((before[name] == after[name]).all()) for name in before)


def drawn(launch: LaunchWords, splits: list[str], count: int) -> Drawn:
    """What the loaders give, in numbers."""
    asked, test = launched(launch), chosen_set(launched(launch), splits)
    progress.advance("drawing samples", 0, 2)
    train = samples_of(launch, "train", splits, count)
    progress.advance("drawing samples", 1, 2)
    tests = samples_of(launch, "test", splits, count)
    keys = keys_of(asked.train["loader"])
    return {
        "train": [list(map(_numbers, batch)) for batch in train],
        "test": [list(map(_numbers, batch)) for batch in tests],
        "distinct": _distinct(asked.train["loader"], keys),
        "jitter": _jitter(test["loader"]) if test else None,
    }


def _distinct(loader: Any, keys: list[Any]) -> int:
    """The samples of an epoch that are not the same frame: no more than the data has."""
    frames = sum(len(leaf) for leaf in leaves(loader.dataset))
    return min(frames, len({key[0] if isinstance(key, (tuple, list)) else key for key in keys}))


def _jitter(loader: Any) -> float | None:
    """By how much the same view's image differs between two epochs, in deviations of the image."""
    leaf = leaves(loader.dataset)[0]
    choices = getattr(leaf, "num_views", None)
    most = list(choices).index(max(choices)) if isinstance(choices, (list, tuple)) else None
    furthest: float | None = None
    for index in range(min(REDRAWN, len(leaf))):
        images: list[dict[str, Any]] = []
        for epoch in (0, 1):
            begin(leaf, SEED + epoch, epoch)
            views = views_at(leaf, (index,) if most is None else (index, 0, most))
            images.append({str(v.get("label")) + str(v.get("instance")): array_of(v["img"]) for v in views})
        for name in set(images[0]) & set(images[1]):
            one, other = (image[name].astype("float64") for image in images)
            if one.shape == other.shape:
                apart = float(abs(one - other).mean() / max(float(one.std()), 1e-9))
                furthest = max(furthest or 0.0, apart)
    return furthest


def _numbers(view: dict[str, Any]) -> ViewNumbers:
    """A view of a batch of one in numbers."""
    import numpy

    image = array(view["img"])[0].astype("float64")
    pose = array(view["camera_pose"])[0].astype("float64") if "camera_pose" in view else None
    depth = array(view["depthmap"])[0].astype("float64") if "depthmap" in view else None
    known = depth[numpy.isfinite(depth) & (depth > 0)] if depth is not None else None
    mask = array(view["non_ambiguous_mask"])[0] if "non_ambiguous_mask" in view else None
    turned = None
    if pose is not None:
        turned = math.degrees(math.acos(max(-1.0, min(1.0, (float(numpy.trace(pose[:3, :3])) - 1) / 2))))
    norm = view.get("data_norm_type")
    return {
        "norm_type": str(norm[0] if isinstance(norm, (list, tuple)) else norm) if norm is not None else None,
        "mean": image.mean((1, 2)).tolist(),
        "deviation": image.std((1, 2)).tolist(),
        "least": image.min((1, 2)).tolist(),
        "position": None if pose is None else pose[:3, 3].tolist(),
        "turned": turned,
        "depth": float(numpy.median(known)) if known is not None and known.size else None,
        "known": None if depth is None or known is None else known.size / max(depth.size, 1),
        "mask": None if mask is None else float(mask.mean()),
    }
