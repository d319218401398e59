"""Questions about the criteria: built by the training's lines, and given ground truth, and worse."""

from __future__ import annotations

import contextlib
import inspect
import os
import re
import sys
from typing import Any, Iterator, TypedDict

from . import progress
from .bench import Bench, Case, Traced, bench_of, joins, leaf_of, one_thread, sides
from .criterion_options import Option, Weight, options, weights
from .dataflow import Node, behind, in_order, own_place
from .disturbances import (
    MAPS,
    Views,
    changed,
    changes,
    explanations,
    invalid_changed,
    invalid_labels_changed,
    larger,
    rotation,
    views_of,
)
from .frames import CodePlace
from .parting import Parting
from .recording import defined_at
from .truth import Fit, composition_fits

ODD = 0.02  # of what everything wrong costs: a truth that costs more wants an explanation
VIEW = re.compile(r"_view_?(\d+)$")
CONVERTS = re.compile(r"^(quat\w*|qvec)_?(to_?|2)\w*(mat|rot)", re.IGNORECASE)
MAKES = re.compile(r"^(mat|rot)\w*?_?(to_?|2)\w*(quat|qvec)", re.IGNORECASE)


class Term(TypedDict):
    """A number that the criterion logs: its name without that of its class, and what it was computed from."""

    name: str
    owner: str
    view: int | None  # from 0
    truth: float
    wrong: float  # where everything is disturbed
    traced: bool
    reads: list[tuple[str, int]]  # entries of predictions, with their views
    labels: list[str]
    slopes: list[tuple[str, int, float]]  # the largest gradient by its entries
    in_loss: bool


class Head(TypedDict):
    """An entry of a prediction: the loss's largest gradient, and how many of the valid pixels have one."""

    entry: str
    view: int
    slope: float
    reached: float | None  # of a map


class Trial(TypedDict):
    """A disturbance of the truth, and each term and the loss under it."""

    name: str
    entry: str
    view: int | None
    values: list[float]
    loss: float


class Converter(TypedDict):
    """A function of the repository between quaternions and rotations: how far off the labels' poses."""

    name: str
    degrees: float
    place: CodePlace


class Judged(TypedDict):
    """What a criterion says of the truth, and of what is not."""

    lacking: list[str]  # entries of a view, without which there is no truth
    expression: str
    samples: int
    views: int
    composed: list[Fit | None]
    real_first: bool  # the labels' quaternions are (w, x, y, z)
    of_labels: bool  # the criterion means the frame that the labels are in, which is not that of view 1
    converters: list[Converter]
    makers: list[Converter]  # of quaternions from rotations
    repeated: bool
    alone: list[list[float]]  # the terms of each sample's truth by itself, of several samples
    terms: list[Term]
    loss: float
    wrong_loss: float
    trials: list[Trial]
    heads: list[Head]
    explained: list[Trial]
    confidence: tuple[float, float] | None  # the loss's slope at the truth, and far from it
    options: list[Option]
    weights: list[Weight]
    place: CodePlace | None


def judged(case: Case) -> Judged:
    """What the criterion says of ground truth and of known disturbances of it."""
    progress.advance("criterion", 0, 4)
    bench = bench_of(case)
    if bench.lacking:
        return _nothing(bench)
    with one_thread():
        return measured(bench, case["tried"])


def _nothing(bench: Bench) -> Judged:
    return {
        "lacking": bench.lacking,
        "expression": bench.expression,
        "samples": 0,
        "views": 0,
        "composed": [],
        "real_first": False,
        "of_labels": False,
        "converters": [],
        "makers": [],
        "repeated": True,
        "alone": [],
        "terms": [],
        "loss": 0.0,
        "wrong_loss": 0.0,
        "trials": [],
        "heads": [],
        "explained": [],
        "confidence": None,
        "options": [],
        "weights": [],
        "place": None,
    }


def measured(bench: Bench, tried: list[str]) -> Judged:
    """What a criterion says; options that were tried are left out."""
    import torch

    traced = bench.traced_wrong
    wrong_loss = traced.loss.detach()
    with torch.no_grad():
        loss, truth = bench.judge(bench.truth)
        again = bench.judge(bench.truth)
        alone = [details for _, details in _alone(bench)]
    names = sorted(set(truth) | set(traced.details))
    progress.advance("criterion", 1, 4)
    owners, numbered = _owners(bench.criterion), [VIEW.search(name) for name in names]
    first = min((int(one.group(1)) for one in numbered if one), default=1)  # some count from 0
    heads = _heads(traced, bench.views)
    terms = [_term(name, traced, truth, owners, first) for name in names]
    progress.advance("criterion", 2, 4)
    with torch.no_grad():
        trials = list(_trials(bench, names))
        odd = any(value > ODD * abs(traced.details.get(name, 0.0)) for name, value in truth.items())
        explained = list(_explained(bench, names)) if odd else []
        progress.advance("criterion", 3, 4)
        numbers = list(options(bench, names, tried))
    return {
        "lacking": [],
        "expression": bench.expression,
        "samples": len(bench.views[0]["valid_mask"]),
        "views": len(bench.views),
        "composed": composition_fits(bench.whole),
        "real_first": not bench.real_last,
        "of_labels": bench.frame is None,
        "converters": _converters(bench),
        "makers": _makers(bench),
        "repeated": again == (loss, truth)
        or all(_same(a, b) for a, b in zip(again[1].values(), truth.values())),
        "alone": [[details.get(name, 0.0) for name in names] for details in alone],
        "terms": terms,
        "loss": float(loss),
        "wrong_loss": float(wrong_loss),
        "trials": trials,
        "heads": heads,
        "explained": explained,
        "confidence": _confidence(bench),
        "options": numbers,
        "weights": weights(bench),
        "place": own_place(traced.total, set()) if traced.total else None,
    }


def _alone(bench: Bench) -> Iterator[tuple[Any, dict[str, float]]]:
    """What is said of each sample's truth when it is the only one."""
    count = len(bench.views[0]["valid_mask"])
    for number in range(count if count > 1 else 0):
        truth, views = (
            [{key: _part(value, number, count) for key, value in one.items()} for one in dictionaries]
            for dictionaries in (bench.truth, bench.views)
        )
        with contextlib.suppress(Exception):  # it takes no batch of one
            yield bench.judge(truth, views)


def _part(value: Any, number: int, count: int) -> Any:
    """One sample of what a batch holds."""
    has_samples = hasattr(value, "__getitem__") and not isinstance(value, (str, dict))
    if has_samples and getattr(value, "ndim", 1) > 0 and len(value) == count:
        return value[number : number + 1]
    return value


def _functions(bench: Bench, named: re.Pattern[str]) -> Iterator[tuple[str, Any]]:
    """The repository's functions of such names, each once."""
    seen: list[Any] = []
    for module in list(sys.modules.values()):
        if not str(getattr(module, "__file__", "") or "").startswith(bench.repo + os.sep):
            continue
        for name, function in list(vars(module).items()):
            if named.search(name) and inspect.isfunction(function) and function not in seen:
                seen.append(function)
                yield name, function


def _converters(bench: Bench) -> list[Converter]:
    """What the repository's own functions make of the labels' quaternions, against the labels' poses."""
    import torch

    found: list[Converter] = []
    for name, function in _functions(bench, CONVERTS):
        with contextlib.suppress(Exception):  # it takes something else
            most = 0.0
            for view in bench.views:
                made = torch.as_tensor(function(view["camera_pose_quats"])).double()
                most = max(most, _apart(made, view["camera_pose"].double()[:, :3, :3]))
            found.append({"name": name, "degrees": most, "place": defined_at(function)})
    return found


def _makers(bench: Bench) -> list[Converter]:
    """What the repository's own functions make of the labels' rotations, one by one or all at once."""
    import numpy
    import torch

    found: list[Converter] = []
    for name, function in _functions(bench, MAKES):
        for as_array in (True, False):
            with contextlib.suppress(Exception):  # it takes something else
                most = 0.0
                for view in bench.views:
                    rotations = view["camera_pose"].double()[:, :3, :3]
                    made = [
                        torch.as_tensor(numpy.asarray(function(one.numpy() if as_array else one)))
                        for one in rotations
                    ]
                    quaternions = torch.stack(made).double().reshape(-1, 4)
                    orders = (quaternions, quaternions[:, [1, 2, 3, 0]])
                    most = max(most, min(_apart(rotation(one), rotations) for one in orders))
                found.append({"name": name, "degrees": most, "place": defined_at(function)})
                break
    return found


def _apart(rotations: Any, others: Any) -> float:
    """The largest angle between rotations (B, 3, 3) and others, in degrees."""
    import torch

    turn = rotations.transpose(-1, -2) @ others
    cosine = ((turn.diagonal(dim1=-2, dim2=-1).sum(-1) - 1) / 2).clamp(-1, 1)
    return float(torch.rad2deg(torch.arccos(cosine)).max())


def _same(one: float, two: float) -> bool:
    return one == two or (one != one and two != two)


def _owners(criterion: Any) -> list[str]:
    """The names of the criterion's classes, longest first: details begin with them."""
    found: set[str] = set()
    waiting: list[Any] = [criterion]
    seen: list[Any] = []
    while waiting:
        one = waiting.pop()
        if any(one is other for other in seen):
            continue
        seen.append(one)
        found.add(type(one).__name__)
        inner = list(getattr(one, "__dict__", {}).values()) + list(getattr(one, "_modules", {}).values())
        waiting += [part for part in inner if hasattr(part, "forward")]
    return sorted(found, key=len, reverse=True)


def _term(name: str, traced: Traced, truth: dict[str, float], owners: list[str], first: int) -> Term:
    """A logged number, and its part of the flow where everything is disturbed."""
    owner = next((o for o in owners if name.startswith(o + "_")), "")
    short = name[len(owner) + 1 :] if owner else name
    view = VIEW.search(short)
    found: Term = {
        "name": name,
        "owner": owner,
        "view": int(view.group(1)) - first if view else None,
        "truth": truth.get(name, 0.0),
        "wrong": traced.details.get(name, 0.0),
        "traced": name in traced.numbers,
        "reads": [],
        "labels": [],
        "slopes": [],
        "in_loss": False,
    }
    if not found["traced"]:
        return found
    end = traced.flow.nodes[traced.numbers[name]]
    past = in_order(traced.flow, behind([end]))
    read = [leaf for leaf in map(leaf_of, past) if leaf]
    found["reads"] = sorted((entry, number) for what, number, entry in read if what == "prediction")
    found["labels"] = sorted({entry for what, _, entry in read if what == "view"})
    ends = _learned(end, past)
    met = joins(past) or ends
    found["in_loss"] = any(id(node) in traced.in_loss for node in met)
    found["slopes"] = _slopes(ends, traced, found["reads"])
    return found


def _learned(end: Node, past: list[Node]) -> list[Node]:
    """The last operations before a number through which its gradients flow: logging needs none.

    They come after predictions have met labels, where they do.
    """
    side = sides(past)
    meet = (True, True) in side.values()
    found: list[Node] = []
    waiting, seen = [end], set()
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        learns = node.tensor is not None and node.needs_gradient and bool(node.inputs)
        if learns and (not meet or side[id(node)] == (True, True)):
            found.append(node)
        else:
            waiting += node.inputs
    return found


def _slopes(ends: list[Node], traced: Traced, reads: list[tuple[str, int]]) -> list[tuple[str, int, float]]:
    import torch

    found = []
    for entry, number in reads:
        leaf = traced.given[number].get(entry)
        if leaf is None or not leaf.requires_grad:
            continue
        most = 0.0
        for node in ends:
            tensor: Any = node.tensor
            (slope,) = torch.autograd.grad(tensor.sum(), [leaf], allow_unused=True, retain_graph=True)
            most = max(most, 0.0 if slope is None else float(slope.abs().max()))
        found.append((entry, number, most))
    return found


def _heads(traced: Traced, views: Views) -> list[Head]:
    """The loss's gradient by each entry of a prediction."""
    import torch

    found: list[Head] = []
    for number, one in enumerate(traced.given):
        valid = views[number]["valid_mask"].bool()
        for entry, leaf in sorted(one.items()):
            if not leaf.requires_grad:
                continue
            slope = None
            if traced.loss.requires_grad:
                (slope,) = torch.autograd.grad(traced.loss, [leaf], allow_unused=True, retain_graph=True)
            head: Head = {"entry": entry, "view": number, "slope": 0.0, "reached": None}
            if slope is not None:
                head["slope"] = float(slope.abs().max())
                if entry in MAPS and slope.shape[:3] == valid.shape and valid.any():
                    head["reached"] = float(
                        (slope != 0).reshape(*valid.shape, -1).any(-1)[valid].float().mean()
                    )
            found.append(head)
    return found


def _trial(bench: Bench, names: list[str], said: tuple[str, str, int | None], *given: Any) -> Trial:
    loss, details = bench.judge(*given)
    values = [details.get(name, 0.0) for name in names]
    return {"name": said[0], "entry": said[1], "view": said[2], "values": values, "loss": float(loss)}


def _trials(bench: Bench, names: list[str]) -> Iterator[Trial]:
    for name, entry, change, where in changes(bench.real_last):
        for view in views_of(where, len(bench.views)) if entry in bench.truth[0] else ():
            yield _trial(bench, names, (name, entry, view), changed(bench.truth, entry, change, view))
    for name, factor in (("larger", 1.1), ("smaller", 0.9)):
        predictions = larger(bench.truth, factor)
        yield _trial(bench, names, (name, "metric_scaling_factor", None), predictions)
    wrong = invalid_changed(bench.views, bench.truth)
    yield _trial(bench, names, ("invalid pixels", "", None), wrong)
    yield _trial(bench, names, ("invalid labels", "", None), bench.truth, invalid_labels_changed(bench.views))


def _explained(bench: Bench, names: list[str]) -> Iterator[Trial]:
    for name, (entries, predictions) in explanations(bench.views, bench.real_last, bench.frame).items():
        yield _trial(bench, names, (name, " ".join(sorted(entries)), None), predictions)


def _confidence(bench: Bench) -> tuple[float, float] | None:
    """The loss's slope by confidence: at the truth, and where it is confident and everything is wrong."""
    import torch

    slopes = []
    for start, level in ((bench.truth, 1.0), (bench.wrong, 30.0)):
        given = [dict(one, conf=torch.full_like(one["conf"], level).requires_grad_(True)) for one in start]
        loss, _ = bench.judge(given)
        if not loss.requires_grad:
            return None
        found = torch.autograd.grad(loss, [one["conf"] for one in given], allow_unused=True)
        if all(slope is None for slope in found):
            return None
        slopes.append(sum(float(slope.sum()) for slope in found if slope is not None))
    return (slopes[0], slopes[1])


def parted(
    case: Case, term: str, alike: list[str], entry: str, how: str, view: int | None, value: float
) -> CodePlace | None:
    """The line where a term goes wrong, None where nothing tells.

    `alike` are the terms of its kind, which may share its lines, `entry` is what it judges of a prediction.
    `how`: "truth", where the truth and the label part; "blind", where a disturbance of the entry is lost (in
    one view, or all); "detached", where its gradient is, and "reached", where that of most pixels is;
    "invalid pixels" and "invalid labels", where those come in; "confidence" and "scale", where those meet the
    term; "first" and "average", where it is computed first and last; "read KEY", where it takes an entry;
    "sum", where terms are added up; "call", where the loss is asked for; else the name of an option, at
    `value`: the line that it changes first.
    """
    bench = bench_of(case)
    with one_thread():
        return Parting(bench, term, set(alike), entry).place(how, view, value)
