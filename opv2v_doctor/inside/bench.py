"""A bench: a criterion as the launch builds it, a batch as its loader makes it, and the truth of that."""

from __future__ import annotations

import contextlib
import functools
import importlib
import json
from copy import copy
from typing import Any, Callable, Iterator, TypedDict

from .config import Lines, function_of, hydra_config
from .dataflow import Flow, Node, Reading, behind, recorded
from .datasets import dataset_of
from .disturbances import (
    LABELS,
    NEEDED,
    Views,
    all_disturbed,
    has_real_first,
    thinned,
    truth_of,
    with_invalid,
)
from .loaders import as_rank, train_loader
from .samples import SEED, begin, key_of, turn_retries_off, view_counts, views_at

PIXELS = 2048  # of a view that a criterion is given: some dozens of evaluations in a second
SAMPLES = 2
TRIES = 8  # samples that may fail


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


def bench_of(case: Case) -> Bench:
    """The bench of a case, set up once: the next question is about the same."""
    return _bench(json.dumps(case, sort_keys=True))


@functools.lru_cache(maxsize=2)  # train and test
def _bench(text: str) -> Bench:
    case: Case = json.loads(text)
    batch = batch_of(
        json.dumps(case["loader"], sort_keys=True),
        json.dumps([case["config_dir"], case["config_name"], case["overrides"]]),
        case["expression"],
        case["datasets"],
    )
    build = Builder(case)
    return Bench(batch, build, build.expression, function_of(case["losses"]), case["repo"])


class Builder:
    """Builds the criterion by the training's lines, of the config's expression or of another one."""

    def __init__(self, case: Case) -> None:
        from omegaconf import OmegaConf

        self.case = case
        self.cfg = hydra_config(case["config_dir"], case["config_name"], tuple(case["overrides"]))[0]
        self.expression = str(OmegaConf.select(self.cfg, case["key"]) or "")

    def __call__(self, expression: str | None = None) -> Any:
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
    try:
        with as_rank(0, 1):
            collate = train_loader(lines, cfg, expression, datasets).collate_fn
    except Exception:  # whoever looks at the loader will tell
        from torch.utils.data import default_collate as collate
    batch: Views = collate(found)
    return batch


class Bench:
    """A criterion, a batch of views, and the truth of it."""

    def __init__(
        self,
        batch: Views,
        build: Callable[..., Any],
        expression: str,
        loss_of_one_batch: Callable[..., Any],
        repo: str,
    ) -> None:
        self.whole, self.build, self.expression, self.repo = batch, build, expression, repo
        self.loss_of_one_batch = loss_of_one_batch
        self.lacking = [key for key in NEEDED if any(not hasattr(view.get(key), "shape") for view in batch)]
        self.criterion = build()
        if not self.lacking:
            self.views = with_invalid(thinned(batch, PIXELS))
            self.real_last = not has_real_first(self.views)
            self.truth, self.frame = self._truth()
            self.wrong = all_disturbed(self.truth, self.real_last)

    def _truth(self) -> tuple[Views, int | None]:
        """The truth in the frame that the criterion means: that of view 1, or that of the labels."""
        import torch

        found: list[tuple[float, Views, int | None]] = []
        with torch.no_grad():
            for frame in (0, None):
                truth = truth_of(self.views, frame, self.real_last)
                found.append((float(self.judge(truth)[0]), truth, frame))
        least = found[0 if not found[1][0] < found[0][0] / 2 else 1]
        return least[1], least[2]

    def judge(
        self, predictions: Views, views: Views | None = None, criterion: Any = None
    ) -> tuple[Any, dict[str, float]]:
        """The loss, and what is logged of it, as the training computes them of predictions."""
        import torch

        answer = [copy(one) for one in predictions]
        batch = [copy(view) for view in (self.views if views is None else views)]
        heard: list[Any] = []
        judge = self.criterion if criterion is None else criterion

        class Model(torch.nn.Module):
            def forward(self, *_: Any, **__: Any) -> Views:
                return answer

        class Criterion(torch.nn.Module):
            def forward(self, *given: Any, **words: Any) -> Any:
                try:
                    heard.append(judge(*given, **words))
                except KeyError as problem:
                    if _are_predictions(given[0]) and problem.args[0] in batch[0]:
                        text = "the criterion looks for %r in predictions, which it is given first"
                        raise RuntimeError(text % problem.args[0]) from None
                    raise
                return heard[-1]

        result = self.loss_of_one_batch(batch, Model(), Criterion(), torch.device("cpu"))
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

    def traced(self, predictions: Views, criterion: Any = None, views: Views | None = None) -> Traced:
        """The same with everything that happens on the way."""
        views = [dict(view) for view in (self.views if views is None else views)]
        given = [{key: _leaf(value) for key, value in one.items()} for one in predictions]
        with recorded(self.leaves(given, views), self.repo) as flow:
            reading: Views = [Reading(view, flow.take) for view in views]
            answers: Views = [Reading(one, flow.take) for one in given]
            loss, details = self.judge(answers, reading, criterion)
        return Traced(flow, given, loss, details)

    @functools.cached_property
    def traced_wrong(self) -> Traced:
        """The evaluation of predictions in which everything is wrong."""
        return self.traced(self.wrong)


def _are_predictions(given: Any) -> bool:
    return isinstance(given, list) and bool(given) and isinstance(given[0], dict) and "cam_trans" in given[0]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) or (hasattr(value, "numel") and value.numel() == 1)


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
