"""The same batch on the paths of training and of validation, once, and learned by heart."""

from __future__ import annotations

import time
from typing import Any, Callable, Iterator, TypedDict

from . import progress
from .diagnosis import Moved, fits, moved
from .frames import CodePlace
from .launched import Epoch, Launched, LaunchWords, launched
from .launched_sets import chosen_set, collated, keys_of, samples_of
from .loaders import batches_of
from .model import loaded_into
from .parity import threads_for
from .passages import (
    Numbers,
    Passage,
    ReadyBatches,
    hearing_criterion,
    lacks_memory,
    quietly,
    step_of,
    through,
    value_of,
    weights_as_they_were,
)
from .weights import weights_of

MOST_APART = 1e9  # JSON has no infinity
COMPARED = 2  # samples that a set is asked for


class Crossing(TypedDict):
    """What a batch met on a path: the mode, the precision, and what the criterion said."""

    loss: float | None
    again: float | None  # of the same batch with other random numbers
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
    by_test_of_train: float | None  # the test criterion on the outputs of training's path


class Paths(TypedDict):
    """All batches that were compared."""

    batches: list[Disagreement]
    problem: str


class Overfitted(TypedDict):
    """One batch, trained on for some steps by the launch's own."""

    samples: int
    whole: int  # samples of the batch that the loader gave
    steps: int
    losses: list[float]
    first_terms: Numbers
    last_terms: Numbers
    rates: list[float]
    moved: dict[str, Moved]
    without_gradient: list[str]
    unused: list[str]  # sub-modules without a gradient whose weights change no prediction
    validated: float | None  # the batch's loss through the validation path, at its end
    train_after: float | None
    problem: str


def compared(launch: LaunchWords, checkpoint: str, splits: list[str], seconds: float) -> Paths:
    """A batch of each set through training's step and through validation, with the checkpoint's weights.

    One of training alone, where that took so many seconds.
    """
    begun = time.monotonic()
    asked, found = launched(launch), Paths(batches=[], problem="")
    test = chosen_set(asked, splits)
    if test is None:
        raise RuntimeError("the launch never evaluates")
    with threads_for(asked.model):
        for number, part in enumerate(("train", "test")):
            progress.advance("one batch on both paths", number, 2)
            if number and time.monotonic() - begun > seconds:
                break
            batch = samples_of(launch, part, splits, COMPARED)[0]
            try:
                found["batches"].append(_disagreement(asked, test, checkpoint, part, batch))
            except Exception as problem:
                if not lacks_memory(problem):
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
    validated = through(test, batch, times=2 if part == "train" else 1)  # a sum is no mean, and chance shows
    wrong = _weights_differ(validated.called, asked.model)
    with weights_as_they_were(asked):
        trained = step_of(asked, batch)
    again = value_of(test["criterion"], trained.views, trained.predictions, trained.factor)[0]
    inputs, changed_by = _inputs(batch, trained, validated)
    return {
        "part": part,
        "train": _crossing(trained, 0),
        "test": _crossing(validated, wrong),
        "inputs": inputs,
        "changed_by": changed_by,
        "by_test_of_train": again,
    }


def _crossing(path: Passage, weights_differ: int) -> Crossing:
    call = path.call
    return {
        "loss": path.loss * path.factor,
        "again": path.losses[1] * path.factor if len(path.losses) > 1 else None,
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
        if not fits(own.get(name), value) or not bool((own[name].to(value.device) == value).all())
    )


def _inputs(batch: Any, trained: Passage, validated: Passage) -> tuple[dict[str, float], dict[str, str]]:
    """What the model was given differently, and by which path otherwise than the loader gave it."""
    if trained.call is None or validated.call is None:
        return {}, {}
    one, other = trained.call.views, validated.call.views
    orders = [_order(batch, views) for views in (one, other)]
    if orders[0] != orders[1] and None not in orders:
        return {"order": 1.0}, {"order": "train" if orders[0] != sorted(orders[0] or ()) else "test"}
    apart = {key: value for key, value in _apart(one, other).items() if key in batch[0]}
    ours = _apart(batch, one)
    return apart, {key: "train" if ours.get(key) else "test" for key in apart}


def _order(batch: Any, views: Any) -> list[int] | None:
    """Which view of the batch each of these shows; None where that is no matter of order alone."""
    found = []
    for view in views:
        alike = [n for n, one in enumerate(batch) if not _apart_by(one.get("img"), dict.get(view, "img"))]
        found += alike[:1]
    return found if sorted(found) == list(range(len(batch))) else None


def _apart(ones: Any, others: Any) -> dict[str, float]:
    """The largest difference of each entry, relative to its size, over all views; none where it is equal."""
    found: dict[str, float] = {}
    for one, other in zip(ones, others):
        for key in set(one) & set(other):
            apart = _apart_by(dict.get(one, key), dict.get(other, key))
            if apart:
                found[key] = max(found.get(key, 0.0), apart)
    return found


def _apart_by(one: Any, other: Any) -> float:
    """The mean difference of two tensors, of the mean of the first; of anything else none."""
    if not (hasattr(one, "detach") and hasattr(other, "detach")) or not one.numel():
        return 0.0
    if one.shape != other.shape:
        return MOST_APART
    a, b = one.detach().double().cpu(), other.detach().double().cpu()
    return min(float((a - b).abs().mean() / a.abs().mean().clamp(min=1e-12)), MOST_APART)


def overfitted(launch: LaunchWords, splits: list[str], steps: int, epoch: int, seconds: float) -> Overfitted:
    """Train on one batch by the launch's own steps, from the launch's own first weights, then validate it."""
    import torch

    asked = launched(launch)
    test = chosen_set(asked, splits)
    loader = asked.train["loader"]
    keys_of(loader)
    given = next(iter(batches_of(loader)))
    keys = given if isinstance(given, list) else [given]
    whole, problem = len(keys), ""
    with threads_for(asked.model):
        while True:
            loaded_into(asked.model, asked.initial)
            try:
                with weights_as_they_were(asked), torch.enable_grad():
                    found = _overfit(asked, test, collated(loader, keys), steps, epoch, seconds)
                break
            except Exception as raised:
                if not lacks_memory(raised) or len(keys) == 1:
                    raise
                problem = "%s: %s" % (type(raised).__name__, str(raised).split("\n")[0])
                keys = keys[: len(keys) // 2]
    found["samples"], found["whole"] = len(keys), whole
    found["problem"] = problem
    return found


def _overfit(
    asked: Launched, test: Epoch | None, batch: list[dict[str, Any]], steps: int, epoch: int, seconds: float
) -> Overfitted:
    batches = ReadyBatches([batch] * steps)
    batches.deadline = time.monotonic() + seconds
    rates: list[float] = []
    gradients: set[str] = set()
    handles = [
        parameter.register_hook(_seen(gradients, name))
        for name, parameter in asked.model.named_parameters()
        if parameter.requires_grad
    ]
    what, optimizer = "overfitting one batch", asked.train["optimizer"]

    class Counting(ReadyBatches):
        deadline = batches.deadline

        def __iter__(self) -> Iterator[Any]:
            for number, one in enumerate(super().__iter__()):
                progress.advance(what, number, steps)
                yield one
                if optimizer is not None:
                    rates.append(max(group["lr"] for group in optimizer.param_groups))

    with quietly(), hearing_criterion(asked.train, asked.model, whole=False) as heard:
        try:
            asked.train.run(loader=Counting(batches), epoch=epoch, **heard.parts)
        except SystemExit:
            if not heard:
                raise
    for handle in handles:
        handle.remove()
    after = {name: value.detach().cpu().clone() for name, value in asked.model.state_dict().items()}
    trained = [name for name, parameter in asked.model.named_parameters() if parameter.requires_grad]
    validated = None
    moving = {name.partition(".")[0] for name in gradients}
    without = sorted({name.partition(".")[0] for name in trained} - moving)
    if test is None:
        without = []
    else:
        own = getattr(test["model"], "module", test["model"])
        kept = {name: value.detach().clone() for name, value in own.state_dict().items()}
        if own is not asked.model:
            loaded_into(own, after)
        validated = through(test, batch)
        without = unused(test, own, batch, without, validated)
        last = step_of(asked, batch)
        own.load_state_dict(kept)
    return {
        "samples": len(batch),
        "whole": len(batch),
        "problem": "",
        "steps": len(heard),
        "losses": [path.loss for path in heard],
        "first_terms": heard[0].terms if heard else {},
        "last_terms": heard[-1].terms if heard else {},
        "rates": rates,
        "moved": moved(asked.model, asked.initial, after),
        "without_gradient": [name for name in trained if name not in gradients],
        "unused": without,
        "validated": validated.loss if validated else None,
        "train_after": last.loss if validated else None,
    }


def unused(test: Epoch, model: Any, batch: Any, parts: list[str], usual: Passage) -> list[str]:
    """Those of some sub-modules of a model whose weights, whatever they are, change no prediction."""
    import torch

    def is_used(names: list[str]) -> bool:
        own = [one for name, one in model.named_parameters() if name.partition(".")[0] in names]
        kept = [one.detach().clone() for one in own]
        with torch.no_grad():
            for one in own:
                one.add_(torch.rand_like(one))
            changed = _apart(usual.predictions, through(test, batch).predictions)
            for one, value in zip(own, kept):
                one.copy_(value)
        return bool(changed)

    if not parts or not is_used(parts):
        return parts
    return [part for part in parts if not is_used([part])] if len(parts) > 1 else []


def _seen(names: set[str], name: str) -> Callable[[Any], None]:
    """A hook that notes a parameter whose gradient is not zero."""

    def arrives(gradient: Any) -> None:
        if name not in names and bool(gradient.any()):
            names.add(name)

    return arrives
