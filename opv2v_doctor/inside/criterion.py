"""Questions about the criteria: built by the training's lines, and given ground truth, and worse."""

from __future__ import annotations

import ast
import contextlib
import functools
import importlib
import inspect
import json
import os
import re
import sys
from typing import Any, Iterator, TypedDict

from . import progress
from .config import Lines, function_of, hydra_config
from .dataflow import REDUCED, Flow, Node, behind, in_order, own_place, recorded
from .datasets import dataset_of
from .disturbances import (
    LABELS,
    NEEDED,
    Views,
    all_disturbed,
    changed,
    changes,
    explanations,
    has_real_first,
    invalid_changed,
    invalid_labels_changed,
    larger,
    thinned,
    truth_of,
    with_invalid,
)
from .frames import CodePlace
from .loaders import as_rank, train_loader
from .recording import defined_at
from .samples import SEED, begin, key_of, turn_retries_off, view_counts, views_at
from .truth import Fit, composition_fits

PIXELS = 2048  # of a view that a criterion is given: some dozens of evaluations in a second
SAMPLES = 2
TRIES = 8  # samples that may fail, or hold no valid pixel
TOTAL = "the loss"
BUILTIN = (int, float)
ODD = 0.02  # of what everything wrong costs: a truth that costs more wants an explanation
CONVERTS = re.compile(r"^(quat\w*|qvec)_?(to_?|2)\w*(mat|rot)", re.IGNORECASE)


class Case(TypedDict):
    """The launch's config, the lines that build its loader and one criterion, and what else they need."""

    config_dir: str
    config_name: str
    overrides: list[str]
    loader: Lines
    expression: str
    datasets: str
    losses: str  # MODULE:NAME of what computes the loss of a batch
    criterion: Lines
    variable: str
    key: str  # of the config, that holds its expression
    tried: list[str]  # options that need not be tried, as CLASS.NAME
    repo: str


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


class Trial(TypedDict):
    """A disturbance of the truth, and each term and the loss under it."""

    name: str
    entry: str
    view: int | None
    values: list[float]
    loss: float


class Option(TypedDict):
    """A number of the expression: terms and losses with it, and with one and two units more."""

    name: str
    owner: str
    value: float
    values: list[list[float | None]]  # of the terms
    losses: list[float]
    place: CodePlace | None


class Weight(TypedDict):
    """An option of a class of the expression that the expression leaves as it is by default."""

    name: str
    owner: str
    value: float
    given: bool
    place: CodePlace | None


class Converter(TypedDict):
    """A function of the repository that makes rotations of quaternions: how far off the labels' poses."""

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
    converters: list[Converter]
    repeated: bool
    terms: list[Term]
    loss: float
    wrong_loss: float
    trials: list[Trial]
    heads: list[tuple[str, int, float]]  # entry, view, the loss's largest gradient
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
        return _measured(bench)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """One thread for small maps: several wait for each other longer than they work."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _nothing(bench: Bench) -> Judged:
    return {
        "lacking": bench.lacking,
        "expression": bench.expression,
        "samples": 0,
        "views": 0,
        "composed": [],
        "real_first": False,
        "converters": [],
        "repeated": True,
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


def bench_of(case: Case) -> Bench:
    """The bench of a case, set up once: the next question is about the same."""
    return _bench(json.dumps(case, sort_keys=True))


@functools.lru_cache(maxsize=2)  # train and test
def _bench(text: str) -> Bench:
    return Bench(json.loads(text))


@functools.lru_cache(maxsize=1)
def batch_of(loader: str, cfg_key: str, expression: str, datasets: str) -> Views:
    """A few samples with the most views, as the training's loader collates them, with fewer pixels."""
    lines, (config_dir, config_name, overrides) = json.loads(loader), json.loads(cfg_key)
    cfg = hydra_config(config_dir, config_name, tuple(overrides))[0]
    dataset = dataset_of(expression, datasets)
    turn_retries_off(dataset)
    begin(dataset, SEED)
    counts = view_counts(dataset)
    turn = counts.index(max(counts, key=lambda count: count or 0))
    length = len(dataset)
    found: list[Any] = []
    problem: Exception | None = None
    for number in range(min(TRIES, length)):
        key = key_of(dataset, number * length // min(TRIES, length), turn)
        key = (key[0], 0, *key[2:]) if len(key) > 1 and getattr(dataset, "_resolutions", None) else key
        try:
            views = views_at(dataset, key)
        except Exception as error:
            problem = error
            continue
        if len(found) == 0 or len(views) == len(found[0]):
            found.append(views)
        if len(found) == SAMPLES:
            break
    if not found:
        raise problem or ValueError("no sample")
    with as_rank(0, 1):
        loader_made = train_loader(lines, cfg, expression, datasets)
    batch: Views = loader_made.collate_fn(found)
    return batch


class Bench:
    """A criterion, a batch of views, and the truth of it."""

    def __init__(self, case: Case) -> None:
        import torch

        self.case = case
        self.cfg = hydra_config(case["config_dir"], case["config_name"], tuple(case["overrides"]))[0]
        self.expression = str(self._value(case["key"]) or "")
        self.loss_of_one_batch = function_of(case["losses"])
        whole = batch_of(
            json.dumps(case["loader"], sort_keys=True),
            json.dumps([case["config_dir"], case["config_name"], case["overrides"]]),
            case["expression"],
            case["datasets"],
        )
        self.whole = whole
        self.lacking = [key for key in NEEDED if any(not hasattr(view.get(key), "shape") for view in whole)]
        self.criterion = self.built(None)
        self.device = torch.device("cpu")
        if not self.lacking:
            self.views = with_invalid(thinned(whole, PIXELS))
            self.real_last = not has_real_first(self.views)
            self.truth = truth_of(self.views, 0, self.real_last)
            self.wrong = all_disturbed(self.truth, self.real_last)

    def _value(self, key: str) -> Any:
        from omegaconf import OmegaConf

        return OmegaConf.select(self.cfg, key)

    def built(self, expression: str | None) -> Any:
        """The criterion by the training's lines, of another expression where one is given."""
        from omegaconf import OmegaConf

        lines = self.case["criterion"]
        names = dict(vars(importlib.import_module(lines["module"])))
        names[lines["parameter"]] = self.cfg
        if expression is not None:
            OmegaConf.update(self.cfg, self.case["key"], expression, force_add=True)
        try:
            exec(compile(lines["source"], "<string>", "exec", dont_inherit=True), names)
        finally:
            if expression is not None:
                OmegaConf.update(self.cfg, self.case["key"], self.expression, force_add=True)
        found = names[self.case["variable"]]
        return found.to("cpu") if hasattr(found, "to") else found

    def judge(
        self, predictions: Views, views: Views | None = None, criterion: Any = None
    ) -> tuple[Any, dict[str, float]]:
        """The loss, and what is logged of it, as the training computes them of predictions."""
        import torch

        answer = [dict(one) for one in predictions]
        batch = [dict(view) for view in (self.views if views is None else views)]
        heard: list[Any] = []
        judge = self.criterion if criterion is None else criterion

        class Model(torch.nn.Module):
            def forward(self, *_: Any, **__: Any) -> Views:
                return answer

        class Criterion(torch.nn.Module):
            def forward(self, *given: Any, **words: Any) -> Any:
                heard.append(judge(*given, **words))
                return heard[-1]

        result = self.loss_of_one_batch(batch, Model(), Criterion(), self.device)
        said = result.get("loss") if isinstance(result, dict) else None
        loss = heard[-1] if said is None else said
        loss, details = loss if isinstance(loss, tuple) else (loss, {})
        return loss, {name: float(value) for name, value in details.items() if _is_number(value)}

    def leaves(self, predictions: Views, views: Views) -> dict[str, Any]:
        """All tensors that a criterion is given, by a name that tells where they are."""
        found = {}
        for what, dictionaries in (("prediction", predictions), ("view", views)):
            for number, one in enumerate(dictionaries):
                found.update(
                    {
                        "%s %d %s" % (what, number, key): value
                        for key, value in one.items()
                        if hasattr(value, "detach")
                    }
                )
        return found

    def traced(self, predictions: Views, criterion: Any = None) -> Traced:
        """The same with everything that happens on the way."""
        views = [dict(view) for view in self.views]
        given = [{key: _leaf(value) for key, value in one.items()} for one in predictions]
        with recorded(self.leaves(given, views), self.case["repo"]) as flow:
            loss, details = self.judge(given, views, criterion)
        return Traced(flow, given, loss, details)

    @functools.cached_property
    def traced_wrong(self) -> Traced:
        """The evaluation of predictions in which everything is wrong."""
        return self.traced(self.wrong)


def _is_number(value: Any) -> bool:
    return isinstance(value, BUILTIN) or (hasattr(value, "numel") and value.numel() == 1)


def _leaf(value: Any) -> Any:
    value = value.detach().clone()
    return value.requires_grad_(True) if value.is_floating_point() else value


class Traced:
    """One evaluation with its flow; each term's end is the operation that gave its number."""

    def __init__(self, flow: Flow, given: Views, loss: Any, details: dict[str, float]) -> None:
        self.flow, self.given, self.loss, self.details = flow, given, loss, details
        self.total = flow.made(loss)

    @functools.cached_property
    def in_loss(self) -> set[int]:
        return {id(node) for node in behind([self.total])} if self.total else set()

    @functools.cached_property
    def numbers(self) -> dict[str, int]:
        """The place of each term's end in the flow."""
        found = {}
        for name, value in self.details.items():
            node = self.flow.said(value)
            if node is not None:
                found[name] = self.flow.nodes.index(node)
        return found


def leaf_of(node: Node) -> tuple[str, int, str] | None:
    """("prediction" or "view", its number, the entry) of a leaf."""
    parts = node.name.split(" ")
    return (parts[0], int(parts[1]), parts[2]) if not node.inputs and len(parts) == 3 else None


def _measured(bench: Bench) -> Judged:
    import torch

    traced = bench.traced_wrong
    wrong_loss = traced.loss.detach()
    with torch.no_grad():
        loss, truth = bench.judge(bench.truth)
        again = bench.judge(bench.truth)
    names = sorted(set(truth) | set(traced.details))
    progress.advance("criterion", 1, 4)
    owners = _owners(bench.criterion)
    heads = _heads(traced)
    terms = [_term(name, traced, truth, owners) for name in names]
    progress.advance("criterion", 2, 4)
    with torch.no_grad():
        trials = list(_trials(bench, names))
        odd = any(value > ODD * abs(traced.details.get(name, 0.0)) for name, value in truth.items())
        explained = list(_explained(bench, names)) if odd else []
        progress.advance("criterion", 3, 4)
        options = list(_options(bench, names))
    return {
        "lacking": [],
        "expression": bench.expression,
        "samples": len(bench.views[0]["valid_mask"]),
        "views": len(bench.views),
        "composed": composition_fits(bench.whole),
        "real_first": not bench.real_last,
        "converters": _converters(bench),
        "repeated": again == (loss, truth)
        or all(_same(a, b) for a, b in zip(again[1].values(), truth.values())),
        "terms": terms,
        "loss": float(loss),
        "wrong_loss": float(wrong_loss),
        "trials": trials,
        "heads": heads,
        "explained": explained,
        "confidence": _confidence(bench),
        "options": options,
        "weights": _weights(bench),
        "place": own_place(traced.total, set()) if traced.total else None,
    }


def _converters(bench: Bench) -> list[Converter]:
    """What the repository's own functions make of the labels' quaternions, against the labels' poses."""
    import torch

    found: list[Converter] = []
    seen: list[Any] = []
    for module in list(sys.modules.values()):
        if not str(getattr(module, "__file__", "") or "").startswith(bench.case["repo"] + os.sep):
            continue
        for name, function in list(vars(module).items()):
            if not CONVERTS.search(name) or not inspect.isfunction(function) or function in seen:
                continue
            seen.append(function)
            most = 0.0
            try:
                for view in bench.views:
                    made = torch.as_tensor(function(view["camera_pose_quats"]))
                    turn = made.transpose(-1, -2).double() @ view["camera_pose"].double()[:, :3, :3]
                    cosine = ((turn.diagonal(dim1=-2, dim2=-1).sum(-1) - 1) / 2).clamp(-1, 1)
                    most = max(most, float(torch.rad2deg(torch.arccos(cosine)).max()))
                found.append({"name": name, "degrees": most, "place": defined_at(function)})
            except Exception:  # it takes something else
                most = 0.0
    return found


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


def _term(name: str, traced: Traced, truth: dict[str, float], owners: list[str]) -> Term:
    """A logged number, and its part of the flow where everything is disturbed."""
    owner = next((o for o in owners if name.startswith(o + "_")), "")
    short = name[len(owner) + 1 :] if owner else name
    view = re.search(r"_view_?(\d+)$", short)
    found: Term = {
        "name": name,
        "owner": owner,
        "view": int(view.group(1)) - 1 if view else None,
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
    ends = _learned(end)
    met = joins(past) or ends
    found["in_loss"] = any(id(node) in traced.in_loss for node in met)
    found["slopes"] = _slopes(ends, traced, found["reads"])
    return found


def sides(past: list[Node], entries: set[str] | None = None) -> dict[int, tuple[bool, bool]]:
    """Of each operation before a number, whether it follows from predictions, and whether from labels.

    Labels are what predictions are compared with; masks only choose. `entries` are those of the predictions
    that count, all where it is None.
    """
    wanted = set(LABELS) if entries is None else entries
    labels = {label for entry in wanted for label in LABELS.get(entry, ())}
    found: dict[int, tuple[bool, bool]] = {}
    for node in past:
        leaf = leaf_of(node)
        if leaf:
            found[id(node)] = (
                leaf[0] == "prediction" and leaf[2] in wanted,
                leaf[0] == "view" and leaf[2] in labels,
            )
        else:
            given = [found.get(id(one), (False, False)) for one in node.inputs]
            found[id(node)] = (any(one for one, _ in given), any(other for _, other in given))
    return found


def joins(past: list[Node]) -> list[Node]:
    """The operations in which predictions meet labels first."""
    side = sides(past)
    return [
        node
        for node in past
        if side[id(node)] == (True, True) and not any(side[id(one)] == (True, True) for one in node.inputs)
    ]


def _learned(end: Node) -> list[Node]:
    """The last operations before a number through which gradients flow: logging needs none."""
    found: dict[int, Node] = {}
    waiting, seen = [end], set()
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if node.tensor is not None and node.needs_gradient:
            if node.inputs:
                found[id(node)] = node
        else:
            waiting += node.inputs
    return list(found.values())


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


def _heads(traced: Traced) -> list[tuple[str, int, float]]:
    """The loss's largest gradient by each entry of a prediction."""
    import torch

    found = []
    for number, one in enumerate(traced.given):
        for entry, leaf in sorted(one.items()):
            if not leaf.requires_grad:
                continue
            slope = None
            if traced.loss.requires_grad:
                (slope,) = torch.autograd.grad(traced.loss, [leaf], allow_unused=True, retain_graph=True)
            found.append((entry, number, 0.0 if slope is None else float(slope.abs().max())))
    return found


def _trial(bench: Bench, names: list[str], said: tuple[str, str, int | None], *given: Any) -> Trial:
    loss, details = bench.judge(*given)
    values = [details.get(name, 0.0) for name in names]
    return {"name": said[0], "entry": said[1], "view": said[2], "values": values, "loss": float(loss)}


def _trials(bench: Bench, names: list[str]) -> Iterator[Trial]:
    for name, entry, change, by_view in changes(bench.real_last):
        if entry not in bench.truth[0]:
            continue
        views: list[int | None] = [None]
        views += list(range(len(bench.views))) if by_view else []
        for view in views:
            yield _trial(bench, names, (name, entry, view), changed(bench.truth, entry, change, view))
    for name, factor in (("larger", 1.1), ("smaller", 0.9)):
        predictions = larger(bench.truth, factor)
        yield _trial(bench, names, (name, "metric_scaling_factor", None), predictions)
    wrong = invalid_changed(bench.views, bench.truth)
    yield _trial(bench, names, ("invalid pixels", "", None), wrong)
    yield _trial(bench, names, ("invalid labels", "", None), bench.truth, invalid_labels_changed(bench.views))


def _explained(bench: Bench, names: list[str]) -> Iterator[Trial]:
    for name, (entries, predictions) in explanations(bench.views, bench.real_last).items():
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


# --- places


def parted(
    case: Case, term: str, alike: list[str], entry: str, how: str, view: int | None, value: float
) -> CodePlace | None:
    """The line where a term goes wrong, None where nothing tells.

    `alike` are the terms of its kind, which may share its lines, `entry` is what it judges of a prediction.
    `how`: "truth", where the truth and the label part; "blind", where a disturbance of the entry is lost (in
    one view, or all); "detached", where its gradient is; "counted", where invalid pixels come in; else the
    name of an option, at `value`: the line that it changes first.
    """
    bench = bench_of(case)
    with one_thread():
        return Parting(bench, term, set(alike), entry).place(how, view, value)


class Parting:
    """One term, in evaluations that are held against each other operation by operation."""

    def __init__(self, bench: Bench, term: str, alike: set[str], entry: str) -> None:
        self.bench, self.entry = bench, entry
        self.wrong = bench.traced_wrong
        numbers = self.wrong.numbers
        total = self.wrong.flow.nodes.index(self.wrong.total) if self.wrong.total else None
        self.number = numbers.get(term, total)
        others = [
            self.wrong.flow.nodes[n] for name, n in numbers.items() if name not in alike and name != term
        ]
        self.others = {line for node in behind(others) for line in node.lines}

    def place(self, how: str, view: int | None, value: float) -> CodePlace | None:
        if self.number is None:
            return None
        if how == "detached":
            return self.detached()
        truth = self.bench.traced(self.bench.truth)
        if how == "truth":
            return self.not_least(truth)
        if how == "counted":
            other = self.bench.traced(invalid_changed(self.bench.views, self.bench.truth))
            return self.counted(truth, other)
        if how == "blind":
            change = next(
                (c for _, entry, c, _ in changes(self.bench.real_last) if entry == self.entry), None
            )
            if change is None:
                return None
            return self.lost(truth, self.bench.traced(changed(self.bench.truth, self.entry, change, view)))
        return self.first(how, value)

    def past(self, traced: Traced) -> list[Node]:
        """The term's operations in another evaluation of the same course, in their order."""
        if len(traced.flow.nodes) != len(self.wrong.flow.nodes):
            return []
        return in_order(traced.flow, behind([traced.flow.nodes[self.number or 0]]))

    def at(self, node: Node | None) -> CodePlace | None:
        return own_place(node, self.others) if node else None

    def detached(self) -> CodePlace | None:
        """Where what needs a gradient becomes what has none."""
        past = self.past(self.wrong)
        side = sides(past, {self.entry})
        for node in past:
            stops = not node.needs_gradient and any(n.needs_gradient for n in node.inputs)
            if side[id(node)][0] and stops and node.tensor is not None and node.value.is_floating_point():
                return self.at(node)
        return None

    def not_least(self, truth: Traced) -> CodePlace | None:
        """Where the truth as it was predicted, and as the labels say it, part: behind the last agreement."""
        past = self.past(truth)
        side = sides(past, {self.entry})
        predicted = [node for node in past if side[id(node)] == (True, False)]
        labelled = [node for node in past if side[id(node)] == (False, True)]
        agreed: set[int] = set()
        for one in predicted:
            agreed.update(id(one) for other in labelled if one.is_like(other))
        for other in labelled:
            agreed.update(id(other) for one in predicted if one.is_like(other))
        order = {id(node): place for place, node in enumerate(past)}
        for group in (labelled, predicted):
            last = max((order[id(node)] for node in group if id(node) in agreed), default=-1)
            for node in group:
                if node.inputs and order[id(node)] > last and id(node) not in agreed:
                    return self.at(node)
        met = [node for node in joins(past) if node.inputs]
        return self.at(met[0]) if met else None

    def lost(self, truth: Traced, other: Traced) -> CodePlace | None:
        """Where what a disturbance changed becomes what it did not change."""
        one, two = self.past(truth), self.past(other)
        differs = {id(a): not a.is_same(b) for a, b in zip(one, two)}
        ends = [
            node
            for node in one
            if node.inputs and not differs.get(id(node)) and any(differs.get(id(n)) for n in node.inputs)
        ]
        if ends:
            return self.at(ends[-1])
        met = [node for node in joins(one) if node.inputs]  # it takes something else
        return self.at(met[0] if met else next((n for n in one if n.inputs), None))

    def counted(self, truth: Traced, other: Traced) -> CodePlace | None:
        """Where maps in which only invalid pixels differ become a number that differs."""
        one, two = self.past(truth), self.past(other)
        for a, b in zip(one, two):
            size = a.value.numel() if hasattr(a.value, "numel") else 1
            if a.inputs and size <= REDUCED and not a.is_like(b):
                return self.at(a)
        return None

    def first(self, option: str, value: float) -> CodePlace | None:
        """The first operation that an option changes."""
        for number in numbers_in(self.bench.expression):
            if number["name"] == option and number["value"] == value:
                expression = _with(self.bench.expression, number, value * 2 or 1.0)
                other = self.bench.traced(self.bench.wrong, criterion=self.bench.built(expression))
                for a, b in zip(self.wrong.flow.nodes, other.flow.nodes):
                    if a.inputs and not a.is_same(b):
                        return own_place(a, set())
        return None


# --- options


class Number(TypedDict):
    """A number in an expression: of which option of which class, and where it stands."""

    name: str
    owner: str
    value: float
    start: int
    end: int


def numbers_in(expression: str) -> list[Number]:
    """The numbers that an expression gives to options of its calls, or multiplies calls with."""
    found: list[Number] = []
    try:
        tree = ast.parse(expression.strip(), mode="eval")
    except SyntaxError:
        return found
    starts = [0]
    for line in expression.strip().split("\n"):
        starts.append(starts[-1] + len(line.encode()) + 1)
    for name, owner, node in _given(tree):
        if isinstance(node, ast.Constant) and type(node.value) in BUILTIN:
            start = starts[node.lineno - 1] + node.col_offset
            end = starts[(node.end_lineno or node.lineno) - 1] + (node.end_col_offset or 0)
            value = float(str(node.value))
            found.append({"name": name, "owner": owner, "value": value, "start": start, "end": end})
    return found


def _given(tree: ast.AST) -> Iterator[tuple[str, str, ast.expr]]:
    """What calls of an expression are given: the option's name, the class, the value; a factor is `*`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            for word in node.keywords:
                yield word.arg or "", _name(node.func), word.value
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
            for one, other in ((node.left, node.right), (node.right, node.left)):
                if isinstance(other, ast.Call):
                    yield "*", _name(other.func), one


def _name(node: Any) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _with(expression: str, number: Number, value: float) -> str:
    text = expression.strip().encode()
    whole = repr(int(value)) if value == int(value) and abs(value) < 1e9 else repr(value)
    return (text[: number["start"]] + whole.encode() + text[number["end"] :]).decode()


def _options(bench: Bench, names: list[str]) -> Iterator[Option]:
    """Each number of the expression, made one and two units larger: what is said of the same wrong."""
    real = [
        {k: (v & False if k == "is_synthetic" and hasattr(v, "dtype") else v) for k, v in view.items()}
        for view in bench.views
    ]
    for number in numbers_in(bench.expression):
        if "%s.%s" % (number["owner"], number["name"]) in bench.case["tried"]:
            continue
        unit = number["value"] or 1.0
        for views in (bench.views, real):
            rows: list[list[float | None]] = []
            losses: list[float] = []
            try:
                for times in range(3):
                    criterion = bench.built(_with(bench.expression, number, number["value"] + times * unit))
                    loss, details = bench.judge(bench.wrong, views, criterion)
                    rows.append([details.get(name) for name in names])
                    losses.append(float(loss))
            except Exception:  # it takes no such value
                rows, losses = [], []
                break
            if losses[1] != losses[0]:
                break
        yield {
            "name": number["name"],
            "owner": number["owner"],
            "value": number["value"],
            "values": rows,
            "losses": losses,
            "place": _option_place(bench, number["owner"], number["name"]),
        }


def _class(bench: Bench, name: str) -> Any:
    """A class that the expression names, from where it is evaluated, or from where the criterion is."""
    homes = [importlib.import_module(bench.case["criterion"]["module"])]
    homes += [importlib.import_module(type(bench.criterion).__module__)]
    return next((vars(home)[name] for home in homes if name in vars(home)), None)


def _option_place(bench: Bench, owner: str, option: str) -> CodePlace | None:
    """The last line of a class's constructor that reads an option; of a factor, the multiplication's."""
    made = _class(bench, owner)
    home = next((c for c in getattr(made, "__mro__", ()) if "__init__" in vars(c)), made)
    function = getattr(home, "__mul__" if option == "*" else "__init__", None)
    try:
        lines, first = inspect.getsourcelines(function)  # type: ignore[arg-type]
        path = inspect.getsourcefile(function)  # type: ignore[arg-type]
    except (OSError, TypeError):
        return None
    word = re.compile(r"\b%s\b" % re.escape(option)) if option != "*" else re.compile("")
    numbers = [first + n for n, line in enumerate(lines) if word.search(line)]
    return {"path": path, "line": numbers[0 if option == "*" else -1]} if path and numbers else None


def _weights(bench: Bench) -> list[Weight]:
    """The weights that the classes of the expression take, given or left at their default."""
    found: list[Weight] = []
    try:
        tree = ast.parse(bench.expression.strip(), mode="eval")
    except SyntaxError:
        return found
    for node in ast.walk(tree):
        made = _class(bench, _name(node.func)) if isinstance(node, ast.Call) else None
        if made is None or not isinstance(node, ast.Call):
            continue
        given = {word.arg: word.value for word in node.keywords}
        with contextlib.suppress(ValueError, TypeError):
            for name, option in inspect.signature(made).parameters.items():
                value = option.default
                if name in given:
                    with contextlib.suppress(ValueError):
                        value = ast.literal_eval(given[name])
                if "weight" in name and type(value) in BUILTIN:
                    found.append(
                        {
                            "name": name,
                            "owner": made.__name__,
                            "value": float(value),
                            "given": name in given,
                            "place": _default_place(made, name),
                        }
                    )
    return found


def _default_place(made: Any, option: str) -> CodePlace | None:
    """The first line of a constructor that names an option: that of its default."""
    home = next((c for c in made.__mro__ if "__init__" in vars(c)), None)
    try:
        lines, first = inspect.getsourcelines(vars(home)["__init__"])
        path = inspect.getsourcefile(home)  # type: ignore[arg-type]
    except (OSError, TypeError, AttributeError):
        return None
    numbers = [first + n for n, line in enumerate(lines) if re.search(r"\b%s\b" % re.escape(option), line)]
    return {"path": path, "line": numbers[0]} if path and numbers else None
