"""Questions of a diagnosis: one checkpoint on samples of training and validation, by the launch's own parts."""

from __future__ import annotations

import contextlib
import copy
import functools
import json
import math
import os
import random
import sys
import time
from typing import Any, Callable, Dict, Iterator, TypedDict

from . import progress
from .frames import CodePlace
from .launched import Epoch, Launched, LaunchWords, launched
from .loaders import batches_of, place_of
from .model import Account, loaded_into
from .parity import threads_for
from .pointcloud import TRUE, ShownView, array, shown_view, write
from .recording import ForwardCall, calls_of, replacing
from .samples import SEED, Identity, array_of, begin, leaves, views_at
from .truth import in_form_of, pose_of, truth_of
from .weights import MODEL_KEYS, weights_of

Numbers = Dict[str, float]
PLAIN = (bool, int, float, str)
WRITTEN = ("pts3d", "ray_directions", "depth_along_ray", "camera_poses", "non_ambiguous_mask")
LONGEST = 300  # characters of an attribute
COMPARED = 2  # samples that go through both paths, and that are drawn in two epochs


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


class EvaluationSet(TypedDict):
    """A set that the launch evaluates on: the folders of its datasets' splits, and its length."""

    splits: list[str]
    length: int


class Opened(TypedDict):
    """The launch's parts, and how a checkpoint fits them."""

    device: str
    train_criterion: list[Part]
    test_criterion: list[Part]
    sets: list[EvaluationSet]
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

    identity: Identity
    shape: list[int]
    norm_type: str | None
    mean: list[float]
    deviation: list[float]
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
    train_length: int
    jitter: float | None  # by how much the image of a validation view changes with the epoch


class Evaluated(TypedDict):
    """One sample through the validation path."""

    part: str  # train or test
    views: list[ShownView]
    prefix: str
    loss: float  # as the epoch's function tells it
    by_train: float | None  # by the training criterion
    terms: Numbers
    repaired: Numbers  # the loss with one thing of the prediction put right
    constant: float | None
    constant_terms: Numbers
    initial: float | None
    initial_terms: Numbers
    matched: float | None  # with the image's channels as training's are


class Evaluation(TypedDict):
    """All samples that there was time for, and the first that could not be evaluated."""

    samples: list[Evaluated]
    asked: int
    problem: str


class Crossing(TypedDict):
    """What a batch met on a path: the mode, the precision, and what the criterion said."""

    loss: float | None
    factor: float
    in_training: list[str]
    modules: int
    precision: str | None
    line: CodePlace | None  # in the epoch's function
    weights_differ: int  # of the model that was called from the trained one: elements


class Disagreement(TypedDict):
    """The same batch through both paths."""

    part: str
    train: Crossing
    test: Crossing
    inputs: dict[str, float]  # key of a view -> how far what the model was given differs, relative
    changed_by: dict[str, str]  # the path that gave it another value than the loader
    outputs: dict[str, float]
    by_test_of_train: float | None  # the test criterion on the outputs of training's path


class Paths(TypedDict):
    """All batches that were compared."""

    batches: list[Disagreement]
    problem: str


class Overfitted(TypedDict):
    """One batch, trained on for some steps by the launch's own."""

    samples: int
    whole: int  # samples of the batch that the loader gave
    halved: bool  # for want of memory
    steps: int
    losses: list[float]
    first_terms: Numbers
    last_terms: Numbers
    rates: list[float]
    moved: dict[str, Moved]
    without_gradient: list[str]
    validated: float | None  # the batch's loss through the validation path, at its end
    validated_terms: Numbers
    train_after: float | None
    problem: str


def opened(launch: LaunchWords, checkpoint: str, splits: list[str]) -> Opened:
    """What the launch is made of, and what of it the checkpoint fills."""
    progress.advance("the launch's own model and loaders", 0, 2)
    asked = launched(launch)
    weights = weights_of(checkpoint)
    progress.advance("the launch's own model and loaders", 1, 2)
    account = loaded_into(asked.model, weights)
    test = _chosen(asked, splits)
    now = {name: value.detach().cpu() for name, value in asked.model.state_dict().items()}
    return {
        "device": str(asked.device),
        "train_criterion": described(asked.train["criterion"]),
        "test_criterion": described(test["criterion"]) if test else [],
        "sets": [
            {"splits": splits_of(epoch["loader"]), "length": len(epoch["loader"])} for epoch in asked.tests
        ],
        "chosen": asked.tests.index(test) if test else None,
        "train_place": asked.train.place,
        "test_place": test.place if test else None,
        "account": account,
        "read": [_held(file, content, asked.initial) for file, content in asked.read],
        "load_place": asked.loads[-1]["place"] if asked.loads else None,
        "moved": moved(asked.model, asked.initial, now),
        "attributes": _attributes(asked.train["loader"], test["loader"]) if test else {},
        "fresh": bool(test) and test["model"] is not asked.model and _is_left_behind(asked, test),
    }


def _chosen(asked: Launched, splits: list[str]) -> Epoch | None:
    """The evaluation of a set that reads one of these folders, else the first one."""
    own = [epoch for epoch in asked.tests if set(splits) & set(splits_of(epoch["loader"]))]
    return next(iter([*own, *asked.tests]), None)


def splits_of(loader: Any) -> list[str]:
    return sorted({str(leaf.split) for leaf in leaves(loader.dataset) if getattr(leaf, "split", None)})


def described(criterion: Any, path: str = "", depth: int = 6) -> list[Part]:
    """A criterion as the tree of its parts."""
    values = {
        name: _plain(value)
        for name, value in vars(criterion).items()
        if _plain(value) is not None and not name.startswith(("_is_", "_version", "training", "dump_"))
    }
    found: list[Part] = [
        {"path": path, "kind": type(criterion).__name__, "values": values, "place": place_of(criterion)}
    ]
    inner = {**vars(criterion), **(getattr(criterion, "_modules", None) or {})}
    for name, value in inner.items() if depth else ():
        if hasattr(value, "forward") or (callable(value) and hasattr(value, "__dict__") and "Loss" in type(value).__name__):
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
    told = {
        name: [_told(ones[name]), _told(others[name])] for name in sorted(set(ones) & set(others))
    }
    return {name: pair for name, pair in told.items() if None not in pair and pair[0] != pair[1]}  # type: ignore[misc]


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
    alike = {name: value for name, value in bare.items() if _fits(initial.get(name), value)}
    return {
        "file": file,
        "elements": sum(value.numel() for value in tensors.values()),
        "named": sum(value.numel() for value in alike.values()),
        "held": sum(v.numel() for n, v in alike.items() if bool((v.to(initial[n].dtype) == initial[n]).all())),
    }


def _fits(one: Any, other: Any) -> bool:
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
    for part, (apart, size) in squares.items():
        found[part]["relative"] = math.sqrt(apart / size) if size else (1.0 if apart else 0.0)
    return found


def _is_left_behind(asked: Launched, test: Epoch) -> bool:
    """Whether the model that is evaluated stays as it was in a step of training."""
    before = {n: v.detach().clone() for n, v in test["model"].state_dict().items()}
    with _as_they_were(asked):
        _step(asked, _batches(asked, asked.train["loader"], 1)[0])
        after = test["model"].state_dict()
        return all(bool((before[name] == after[name]).all()) for name in before)


# --- samples


@functools.lru_cache(maxsize=4)
def _drawn(text: str, part: str, splits: tuple[str, ...], count: int) -> list[list[dict[str, Any]]]:
    asked = launched(json.loads(text))
    epoch = asked.train if part == "train" else _chosen(asked, list(splits))
    return _batches(asked, epoch["loader"], count) if epoch else []


def _samples(launch: LaunchWords, part: str, splits: list[str], count: int) -> list[list[dict[str, Any]]]:
    """Samples, each a batch of one, spread over an epoch of a loader."""
    return _drawn(json.dumps(launch, sort_keys=True), part, tuple(splits), count)


def _batches(asked: Launched, loader: Any, count: int) -> list[list[dict[str, Any]]]:
    keys = _keys(loader)
    count = min(count, len(keys))
    wanted = [keys[number * len(keys) // count] for number in range(count)]
    return [_collated(loader, [key]) for key in wanted]


def _keys(loader: Any, epoch: int = 0) -> list[Any]:
    """What the loader asks its dataset for in an epoch, in its order."""
    begin(loader.dataset, SEED, epoch)
    for part in (getattr(loader, "sampler", None), getattr(loader, "batch_sampler", None)):
        if hasattr(part, "set_epoch"):
            part.set_epoch(epoch)
    flat: list[Any] = []
    for batch in batches_of(loader):
        flat += batch if isinstance(batch, list) else [batch]
    if not flat:
        raise RuntimeError("the loader has no sample")
    return flat


def _collated(loader: Any, keys: list[Any]) -> list[dict[str, Any]]:
    dataset = loader.dataset
    drawn = dataset.__getitems__(keys) if hasattr(dataset, "__getitems__") else [dataset[key] for key in keys]
    batch: list[dict[str, Any]] = loader.collate_fn(drawn)
    return batch


def drawn(launch: LaunchWords, splits: list[str], count: int) -> Drawn:
    """What the loaders give, in numbers."""
    asked, test = launched(launch), _chosen(launched(launch), splits)
    progress.advance("drawing samples", 0, 2)
    train = _samples(launch, "train", splits, count)
    progress.advance("drawing samples", 1, 2)
    tests = _samples(launch, "test", splits, count)
    keys = _keys(asked.train["loader"])
    return {
        "train": [list(map(_numbers, batch)) for batch in train],
        "test": [list(map(_numbers, batch)) for batch in tests],
        "distinct": _distinct(asked.train["loader"], keys),
        "train_length": len(keys),
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
    for index in range(min(COMPARED, len(leaf))):
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
        "identity": shown_view(view)["identity"],
        "shape": list(image.shape),
        "norm_type": str(norm[0] if isinstance(norm, (list, tuple)) else norm) if norm is not None else None,
        "mean": image.mean((1, 2)).tolist(),
        "deviation": image.std((1, 2)).tolist(),
        "position": None if pose is None else pose[:3, 3].tolist(),
        "turned": turned,
        "depth": float(numpy.median(known)) if known is not None and known.size else None,
        "known": None if depth is None or known is None else known.size / max(depth.size, 1),
        "mask": None if mask is None else float(mask.mean()),
    }


# --- one checkpoint on both


class _Path:
    """What happened to one batch between the loader and its loss."""

    def __init__(self, line: CodePlace | None, views: Any, predictions: Any, answer: Any) -> None:
        self.line = line
        self.views = [_detached(view) for view in views]
        self.predictions = [_detached(prediction) for prediction in predictions]
        self.loss, self.terms = _told_loss(answer)
        self.call: ForwardCall | None = None
        self.logged: float | None = None
        self.called: Any = None

    @property
    def factor(self) -> float:
        """What the epoch's function makes of the criterion's loss."""
        if not self.loss or self.logged is None or not math.isfinite(self.logged / self.loss):
            return 1.0
        return self.logged / self.loss


def _detached(entries: Any) -> dict[str, Any]:
    return {
        key: value.detach() if hasattr(value, "detach") else value for key, value in dict.items(entries)
    }


def _told_loss(answer: Any) -> tuple[float, Numbers]:
    loss, details = answer if isinstance(answer, (tuple, list)) else (answer, {})
    numbers = {}
    for name, value in (details or {}).items():
        with contextlib.suppress(TypeError, ValueError):
            numbers[str(name)] = float(value)
    return float(loss), numbers


class _Batches(list):  # type: ignore[type-arg]
    """A loader of batches that are there already, each anew: who gets one may change it."""

    dataset = sampler = batch_sampler = None
    deadline = math.inf

    def __iter__(self) -> Iterator[Any]:
        for batch in list.__iter__(self):
            if time.monotonic() > self.deadline:
                return
            yield [dict(view) for view in batch]


@contextlib.contextmanager
def _hearing(criterion: Any, epoch: Epoch, model: Any, whole: bool = True) -> Iterator[list[_Path]]:
    """Every call of a criterion meanwhile, with the forward before it; else only what it says."""
    heard: list[_Path] = []
    real = criterion.forward if hasattr(criterion, "forward") else criterion

    @functools.wraps(real)
    def forward(views: Any, predictions: Any, *rest: Any, **words: Any) -> Any:
        answer = real(views, predictions, *rest, **words)
        if not whole:
            calls.clear()
            holders.clear()
            heard.append(_Path(None, (), (), answer))
            return answer
        path = _Path(_line_in(epoch.function), views, predictions, answer)
        path.call, path.called = calls[-1] if calls else None, holders[-1] if holders else None
        heard.append(path)
        return answer

    kind = type(getattr(model, "module", model))
    holders: list[Any] = []
    entry = kind.__call__

    def called(self: Any, *rest: Any, **words: Any) -> Any:
        if type(self) is kind:
            holders.append(self)
            _seed()  # what a forward draws is the same on both paths
        return entry(self, *rest, **words)

    with calls_of(kind) as calls, replacing(kind, "__call__", called):
        with replacing(criterion, "forward", forward):
            yield heard


def _seed() -> None:
    import numpy
    import torch

    random.seed(SEED)
    numpy.random.seed(SEED)
    torch.manual_seed(SEED)


def _line_in(function: Callable[..., Any]) -> CodePlace | None:
    """The line of a function that is running, by which it came to here."""
    import inspect

    code = getattr(inspect.unwrap(function), "__code__", None)
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code is code:
            return {"path": os.path.abspath(frame.f_code.co_filename), "line": frame.f_lineno}
        frame = frame.f_back  # type: ignore[assignment]
    return None


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Let an epoch print into nothing, with `force=True` or without."""
    import builtins

    with replacing(builtins, "print", lambda *_, **__: None):
        yield


def _through(epoch: Epoch, batch: list[dict[str, Any]], **parts: Any) -> _Path:
    """A batch through the function of an epoch."""
    model = parts.get("model", epoch["model"])
    stats: Any = None
    with _quietly(), _hearing(epoch["criterion"], epoch, model) as heard:
        try:
            stats = epoch.run(loader=_Batches([batch]), **parts)
        except SystemExit:  # a loss that is too large ends it
            if not heard:
                raise
    if not heard:
        raise RuntimeError("the epoch of one batch ended without a loss")
    path = heard[0]
    if isinstance(stats, dict):
        names = [name for name in ("loss", "loss_avg", "loss_med") if name in stats]
        path.logged = float(stats[names[0]]) if names else None
    return path


def _value(criterion: Any, views: Any, predictions: Any, factor: float) -> tuple[float, Numbers]:
    """What a criterion says of predictions."""
    import torch

    with torch.no_grad():
        answer = criterion([dict(view) for view in views], [dict(one) for one in predictions])
    loss, terms = _told_loss(answer)
    return loss * factor, terms


def evaluated(
    launch: LaunchWords, checkpoint: str, splits: list[str], count: int, seconds: float, folder: str, whole: bool
) -> Evaluation:
    """Samples of both sets through the validation path; arrays go to FOLDER/NUMBER/VIEW_PREFIX_NAME.npy.

    Without `whole` those of the evaluation set alone, and nothing but their loss and arrays.
    """
    asked = launched(launch)
    test = _chosen(asked, splits)
    if test is None:
        raise RuntimeError("the launch never evaluates")
    model = getattr(test["model"], "module", test["model"])
    weights = weights_of(checkpoint)
    loaded_into(model, weights)
    plan = [("test", batch) for batch in _samples(launch, "test", splits, count)]
    if whole:
        trained = [("train", batch) for batch in _samples(launch, "train", splits, count)]
        plan = [one for pair in zip(trained, plan) for one in pair] + trained[len(plan) :] + plan[len(trained) :]
    found: Evaluation = {"samples": [], "asked": len(plan), "problem": ""}
    begun = time.monotonic()
    with threads_for(model):
        lines = _matching(launch, splits, count) if whole else None
        constants = [_constants(asked, plan, scale) for scale in (True, False)] if whole else []
        for number, (part, batch) in enumerate(plan):
            progress.advance("evaluating samples", number, len(plan))
            if time.monotonic() - begun > seconds and number >= 2:
                break
            try:
                found["samples"].append(
                    _evaluate(asked, test, part, batch, folder, number, constants, lines)
                )
            except Exception as problem:
                if not _lacks_memory(problem):
                    raise
                found["problem"] = "%s: %s" % (type(problem).__name__, str(problem).split("\n")[0])
        if whole:
            _initial(asked, test, model, weights, plan, found["samples"])
    return found


def _initial(
    asked: Launched, test: Epoch, model: Any, weights: Any, plan: Any, samples: list[Evaluated]
) -> None:
    """The same samples with the weights that the launch begins with."""
    loaded_into(model, asked.initial)
    for sample, (_, batch) in zip(samples, plan):
        path = _through(test, batch)
        sample["initial"], sample["initial_terms"] = path.loss * path.factor, path.terms
    loaded_into(model, weights)


def _evaluate(
    asked: Launched,
    test: Epoch,
    part: str,
    batch: list[dict[str, Any]],
    folder: str,
    number: int,
    constants: list[dict[str, Any]],
    lines: Any,
) -> Evaluated:
    path = _through(test, batch)
    place = os.path.join(folder, str(number))
    _write(place, batch, path.predictions)
    found: Evaluated = {
        "part": part,
        "views": [shown_view(view) for view in batch],
        "prefix": place,
        "loss": path.loss * path.factor,
        "by_train": None,
        "terms": path.terms,
        "repaired": {},
        "constant": None,
        "constant_terms": {},
        "initial": None,
        "initial_terms": {},
        "matched": None,
    }
    if not constants:
        return found
    criterion = test["criterion"]
    found["by_train"] = _value(asked.train["criterion"], path.views, path.predictions, path.factor)[0]
    for name, repaired in _repairs(path).items():
        found["repaired"][name] = _value(criterion, path.views, repaired, path.factor)[0]
    for values in constants:
        loss, terms = _value(criterion, path.views, _constant(path, values), path.factor)
        if found["constant"] is None or loss < found["constant"]:
            found["constant"], found["constant_terms"] = loss, terms
    if lines is not None and part == "test":
        again = [dict(view, img=view["img"] * lines[0] + lines[1]) for view in batch]
        other = _through(test, again)
        found["matched"] = other.loss * other.factor
    return found


def _write(place: str, batch: list[dict[str, Any]], predictions: list[dict[str, Any]]) -> None:
    """What errors are measured of."""
    import torch

    found = []
    for prediction in predictions:
        if "cam_quats" in prediction and "cam_trans" in prediction:
            pose = pose_of(prediction["cam_quats"][0].double(), prediction["cam_trans"][0].double())
            prediction = dict(prediction, camera_poses=pose[None])
        if "non_ambiguous_mask" not in prediction and "non_ambiguous_mask_logits" in prediction:
            prediction = dict(prediction, non_ambiguous_mask=prediction["non_ambiguous_mask_logits"] > 0)
        kept = {name: prediction[name] for name in WRITTEN if name in prediction}
        found.append({n: v.detach() if isinstance(v, torch.Tensor) else v for n, v in kept.items()})
    os.makedirs(place, exist_ok=True)
    write(place, [{key: view[key] for key in TRUE if key in view} for view in batch], found, None)


def _repairs(path: _Path) -> dict[str, list[dict[str, Any]]]:
    """The predictions with one thing of them put right: the pose, the depth with its rays, scale, mask."""
    import torch

    needed = ("pts3d", "pts3d_cam", "cam_quats", "cam_trans", "depth_along_ray")
    if any(name not in one for one in path.predictions for name in needed):
        return {}
    ratios = [
        (view["depth_along_ray"].to(one["depth_along_ray"].device) / one["depth_along_ray"])[valid]
        for view, one in zip(path.views, path.predictions)
        for valid in [view["valid_mask"].to(one["depth_along_ray"].device).bool()]
    ]
    joined = torch.cat([ratio.reshape(-1) for ratio in ratios])
    scale = float(joined.float().median()) if joined.numel() else 1.0
    found: dict[str, list[dict[str, Any]]] = {"pose": [], "depth": [], "scale": [], "mask": []}
    lengths = ("pts3d", "pts3d_cam", "depth_along_ray", "cam_trans", "metric_scaling_factor")
    for view, one in zip(path.views, path.predictions):
        true = in_form_of(one, truth_of(view))
        own = _placed(one["pts3d_cam"], true)
        found["pose"].append(
            dict(one, cam_quats=true["cam_quats"], cam_trans=true["cam_trans"], pts3d=own)
        )
        names = ("depth_along_ray", "ray_directions", "pts3d_cam")
        depth = {name: true[name] for name in names if name in one}
        found["depth"].append(dict(one, **depth, pts3d=_placed(true["pts3d_cam"], one)))
        found["scale"].append(dict(one, **{name: one[name] * scale for name in lengths if name in one}))
        found["mask"].append(in_form_of(one, _mask_of(view)))
    return found


def _mask_of(view: dict[str, Any]) -> dict[str, Any]:
    """The true mask as the model would answer it, be it certain of it."""
    mask = view["non_ambiguous_mask"].bool()
    return {"non_ambiguous_mask": mask, "non_ambiguous_mask_logits": mask.float() * 20 - 10}


def _placed(points: Any, posed: dict[str, Any]) -> Any:
    """Points (B, H, W, 3) of cameras, moved by their poses."""
    import torch

    poses = [pose_of(q.double(), t.double()) for q, t in zip(posed["cam_quats"], posed["cam_trans"])]
    pose = torch.stack(poses).to(points)
    return torch.einsum("bij,bhwj->bhwi", pose[:, :3, :3], points) + pose[:, None, None, :3, 3]


def _matching(launch: LaunchWords, splits: list[str], count: int) -> Any:
    """Slope and offset of each channel that give validation's images the means and deviations of training's."""
    import torch

    pooled = []
    for part in ("train", "test"):
        views = [view for batch in _samples(launch, part, splits, count) for view in batch]
        means = torch.stack([view["img"].double().mean((0, 2, 3)) for view in views])
        squares = torch.stack([view["img"].double().square().mean((0, 2, 3)) for view in views])
        mean = means.mean(0)
        pooled.append((mean, (squares.mean(0) - mean.square()).clamp(min=1e-12).sqrt()))
    (mean, deviation), (other, spread) = pooled
    slope = deviation / spread
    return tuple(value.float().reshape(1, -1, 1, 1) for value in (slope, mean - slope * other))


def _constants(asked: Launched, plan: Any, sized: bool) -> dict[str, Any]:
    """What the best constant predictor answers: mean depth, identity pose, mean scale, mean mask.

    `sized`: the scale is the mean distance of the true points, as a model that predicts lengths of its own
    answers it; else 1.
    """
    import torch

    views = [view for part, batch in plan if part == "train" for view in batch]
    logs = [view["depth_along_ray"][view["valid_mask"].bool()].double().log().mean() for view in views]
    known = [value for value in logs if bool(value.isfinite())]
    sizes = [view["pts3d"][view["valid_mask"].bool()].double().norm(dim=-1).mean() for view in views]
    finite = [value for value in sizes if bool(value.isfinite())]
    masks = torch.stack([view["non_ambiguous_mask"].double().mean() for view in views])
    return {
        "depth": float(torch.stack(known).mean().exp()) if known else 1.0,
        "scale": float(torch.stack(finite).mean()) if sized and finite else 1.0,
        "mask": float(masks.mean().clamp(1e-4, 1 - 1e-4)),
    }


def _constant(path: _Path, values: dict[str, Any]) -> list[dict[str, Any]]:
    """The same answer whatever the images are; the rays are the camera's."""
    import torch

    found = []
    for view, output in zip(path.views, path.predictions):
        true = truth_of(view)
        depth = torch.full_like(true["depth_along_ray"].float(), values["depth"])
        points = depth * true["ray_directions"].to(depth)
        odds = math.log(values["mask"] / (1 - values["mask"]))
        batch = len(points)
        answer = {
            "pts3d": points,
            "pts3d_cam": points,
            "ray_directions": true["ray_directions"],
            "depth_along_ray": depth,
            "cam_trans": torch.zeros(batch, 3),
            "cam_quats": torch.tensor([0.0, 0.0, 0.0, 1.0]).expand(batch, 4),
            "metric_scaling_factor": torch.full((batch, 1), values["scale"]),
            "non_ambiguous_mask": torch.full(true["non_ambiguous_mask"].shape, odds > 0),
            "non_ambiguous_mask_logits": torch.full(true["non_ambiguous_mask"].shape, odds),
            "conf": true["conf"],
        }
        found.append(in_form_of(output, answer))
    return found


def _lacks_memory(problem: BaseException) -> bool:
    return type(problem).__name__ == "OutOfMemoryError" or "out of memory" in str(problem)


# --- the same batch on both paths


def compared(launch: LaunchWords, checkpoint: str, splits: list[str]) -> Paths:
    """A batch of each set through training's step and through validation, with the checkpoint's weights."""
    asked, found = launched(launch), Paths(batches=[], problem="")
    test = _chosen(asked, splits)
    if test is None:
        raise RuntimeError("the launch never evaluates")
    with threads_for(asked.model):
        for number, part in enumerate(("train", "test")):
            progress.advance("one batch on both paths", number, 2)
            batch = _samples(launch, part, splits, COMPARED)[0]
            try:
                found["batches"].append(_disagreement(asked, test, checkpoint, part, batch))
            except Exception as problem:
                if not _lacks_memory(problem):
                    raise
                found["problem"] = "%s: %s" % (type(problem).__name__, str(problem).split("\n")[0])
    return found


def _disagreement(
    asked: Launched, test: Epoch, checkpoint: str, part: str, batch: list[dict[str, Any]]
) -> Disagreement:
    weights = weights_of(checkpoint)
    loaded_into(asked.model, weights)
    if test["model"] is not asked.model:
        loaded_into(getattr(test["model"], "module", test["model"]), weights)
    validated = _through(test, batch)
    wrong = _weights_differ(validated.called, asked.model)
    with _as_they_were(asked):
        trained = _step(asked, batch)
    again = _value(test["criterion"], trained.views, trained.predictions, trained.factor)[0]
    inputs, changed_by = _inputs(batch, trained, validated)
    return {
        "part": part,
        "train": _crossing(trained, 0),
        "test": _crossing(validated, wrong),
        "inputs": inputs,
        "changed_by": changed_by,
        "outputs": _apart(trained.predictions, validated.predictions),
        "by_test_of_train": again,
    }


def _step(asked: Launched, batch: list[dict[str, Any]]) -> _Path:
    import torch

    with torch.enable_grad():
        return _through(asked.train, batch)


def _crossing(path: _Path, weights_differ: int) -> Crossing:
    call = path.call
    return {
        "loss": path.loss * path.factor,
        "factor": path.factor,
        "in_training": call.in_training[:6] if call else [],
        "modules": len(call.in_training) if call else 0,
        "precision": call.precision if call else None,
        "line": path.line,
        "weights_differ": weights_differ,
    }


def _weights_differ(called: Any, model: Any) -> int:
    """Elements of the model that was called that are not the trained one's."""
    if called is None or called is model:
        return 0
    own = model.state_dict()
    return sum(
        value.numel()
        for name, value in called.state_dict().items()
        if not _fits(own.get(name), value) or not bool((own[name].to(value.device) == value).all())
    )


def _inputs(batch: Any, trained: _Path, validated: _Path) -> tuple[dict[str, float], dict[str, str]]:
    """What the model was given differently, and by which path otherwise than the loader gave it."""
    if trained.call is None or validated.call is None:
        return {}, {}
    one, other = trained.call.views, validated.call.views
    apart = {key: value for key, value in _apart(one, other).items() if key in batch[0]}
    ours = _apart(batch, one)
    return apart, {key: "train" if ours.get(key) else "test" for key in apart}


def _apart(ones: Any, others: Any) -> dict[str, float]:
    """The largest difference of each entry, relative to its size, over all views; none where it is equal."""
    found: dict[str, float] = {}
    for one, other in zip(ones, others):
        for key in set(one) & set(other):
            a, b = dict.get(one, key), dict.get(other, key)
            if not (hasattr(a, "detach") and hasattr(b, "detach")):
                continue
            if a.shape != b.shape:
                found[key] = math.inf
                continue
            a, b = a.detach().double().cpu(), b.detach().double().cpu()
            apart = float((a - b).abs().mean() / a.abs().mean().clamp(min=1e-12)) if a.numel() else 0.0
            if apart:
                found[key] = max(found.get(key, 0.0), min(apart, 1e9))
    return {key: min(value, 1e9) for key, value in found.items()}


@contextlib.contextmanager
def _as_they_were(asked: Launched) -> Iterator[None]:
    """Undo what a step of training does to weights and optimizer."""
    weights = {name: value.detach().clone() for name, value in asked.model.state_dict().items()}
    optimizer = asked.train["optimizer"]
    state = copy.deepcopy(optimizer.state_dict()) if optimizer is not None else None
    try:
        yield
    finally:
        asked.model.load_state_dict(weights)
        if state is not None:
            optimizer.load_state_dict(state)
            optimizer.zero_grad()


# --- one batch, again and again


def overfitted(
    launch: LaunchWords, splits: list[str], steps: int, epoch: int, seconds: float
) -> Overfitted:
    """Train on one batch by the launch's own steps, from the launch's own first weights, then validate it."""
    import torch

    asked = launched(launch)
    test = _chosen(asked, splits)
    loader = asked.train["loader"]
    _keys(loader)
    given = next(iter(batches_of(loader)))
    keys = given if isinstance(given, list) else [given]
    whole, problem = len(keys), ""
    with threads_for(asked.model):
        while True:
            loaded_into(asked.model, asked.initial)
            try:
                with _as_they_were(asked), torch.enable_grad():
                    found = _overfit(asked, test, _collated(loader, keys), steps, epoch, seconds)
                break
            except Exception as raised:
                if not _lacks_memory(raised) or len(keys) == 1:
                    raise
                problem = "%s: %s" % (type(raised).__name__, str(raised).split("\n")[0])
                keys = keys[: len(keys) // 2]
    return Overfitted(**{**found, "samples": len(keys), "whole": whole, "halved": len(keys) < whole, "problem": problem})  # type: ignore[typeddict-item]


def _overfit(
    asked: Launched, test: Epoch | None, batch: list[dict[str, Any]], steps: int, epoch: int, seconds: float
) -> Any:
    batches = _Batches([batch] * steps)
    batches.deadline = time.monotonic() + seconds
    rates: list[float] = []
    gradients: set[str] = set()
    handles = [
        parameter.register_hook(_seen(gradients, name))
        for name, parameter in asked.model.named_parameters()
        if parameter.requires_grad
    ]
    what, optimizer = "overfitting one batch", asked.train["optimizer"]

    class Counting(_Batches):
        deadline = batches.deadline

        def __iter__(self) -> Iterator[Any]:
            for number, one in enumerate(super().__iter__()):
                progress.advance(what, number, steps)
                yield one
                if optimizer is not None:
                    rates.append(max(group["lr"] for group in optimizer.param_groups))

    with _quietly(), _hearing(asked.train["criterion"], asked.train, asked.model, whole=False) as heard:
        try:
            asked.train.run(loader=Counting(batches), epoch=epoch)
        except SystemExit:
            if not heard:
                raise
    for handle in handles:
        handle.remove()
    after = {name: value.detach().cpu() for name, value in asked.model.state_dict().items()}
    trained = [name for name, parameter in asked.model.named_parameters() if parameter.requires_grad]
    validated = None
    if test is not None:
        own = getattr(test["model"], "module", test["model"])
        kept = {name: value.detach().clone() for name, value in own.state_dict().items()}
        if own is not asked.model:
            loaded_into(own, after)
        validated = _through(test, batch)
        last = _step(asked, batch)
        own.load_state_dict(kept)
    return {
        "steps": len(heard),
        "losses": [path.loss for path in heard],
        "first_terms": heard[0].terms if heard else {},
        "last_terms": heard[-1].terms if heard else {},
        "rates": rates,
        "moved": moved(asked.model, asked.initial, after),
        "without_gradient": [name for name in trained if name not in gradients],
        "validated": validated.loss if validated else None,
        "validated_terms": validated.terms if validated else {},
        "train_after": last.loss if validated else None,
    }


def _seen(names: set[str], name: str) -> Callable[[Any], None]:
    """A hook that notes a parameter whose gradient is not zero."""

    def arrives(gradient: Any) -> None:
        if name not in names and bool(gradient.any()):
            names.add(name)

    return arrives
