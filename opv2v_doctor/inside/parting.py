"""Parting: where a term goes wrong, from evaluations held against each other operation by operation."""

from __future__ import annotations

from typing import Callable

from .bench import Bench, Traced, joins, leaf_of, sides
from .criterion_options import numbers_in, with_value
from .dataflow import REDUCED, Node, behind, called_from, in_order, own_place
from .disturbances import LABELS, changed, changes, invalid_changed, invalid_labels_changed
from .frames import CodePlace

FEW = 0.5  # of the valid pixels: where fewer have a gradient, the others lost it
BESIDES = ("conf", "metric_scaling_factor")  # taken by many terms for what they do not judge


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
        """The line where it goes wrong."""
        truth = self.bench.traced
        ways: dict[str, Callable[[], CodePlace | None]] = {
            "detached": self.detached,
            "reached": lambda: self.unreached(view or 0),
            "average": self.average,
            "first": lambda: self.at(next((n for n in self.past(self.wrong) if n.inputs), None)),
            "sum": self.added,
            "call": self.called,
            "confidence": lambda: self.met("conf"),
            "scale": lambda: self.met("metric_scaling_factor", last=True),
            "truth": lambda: self.not_least(truth(self.bench.truth)),
            "blind": lambda: self.blind(truth(self.bench.truth), view),
            "invalid pixels": self.counted_pixels,
            "invalid labels": self.counted_labels,
        }
        if how.startswith("read "):
            return self.read(how[len("read ") :])
        return ways.get(how, lambda: self.first(how, value))() if self.number is not None else None

    def average(self) -> CodePlace | None:
        """Where a logged number is computed."""
        end = self.wrong.flow.nodes[self.number or 0]
        return own_place((end.inputs or [end])[0], set())

    def read(self, key: str) -> CodePlace | None:
        """Where the functions that compute the term take an entry of the views."""
        past = self.past(self.wrong)
        own = {(path, name) for node in past for path, line, name in node.lines} - {
            (path, name) for path, _, name in self.others
        }
        for taken, lines in self.wrong.flow.taken:
            for path, line, name in reversed(lines):
                if taken == key and (path, name) in own:
                    return {"path": path, "line": line}
        return self.not_least(self.bench.traced(self.bench.truth))

    def called(self) -> CodePlace | None:
        """Where the training calls what gives the loss."""
        lines = self.wrong.total.lines if self.wrong.total else ()
        return {"path": lines[0][0], "line": lines[0][1]} if lines else None

    def added(self) -> CodePlace | None:
        """Where two other terms are added up on their way into the loss."""
        nodes = self.wrong.flow.nodes
        holds: dict[int, set[str]] = {}
        logged = {id(n): name for name, at in self.wrong.numbers.items() for n in nodes[at].inputs}
        for node in nodes:
            inner: set[str] = set().union(*(holds[id(one)] for one in node.inputs))
            holds[id(node)] = inner | ({logged[id(node)]} if id(node) in logged else set())
            if len(inner) > 1 and id(node) in self.wrong.in_loss:
                return own_place(node, set())
        return None

    def blind(self, truth: Traced, view: int | None) -> CodePlace | None:
        """Where the first disturbance of the entry is lost."""
        found = (change for _, entry, change, _ in changes(self.bench.real_last) if entry == self.entry)
        change = next(found, None)
        if change is None:
            return None
        return self.lost(truth, self.bench.traced(changed(self.bench.truth, self.entry, change, view)))

    def counted_pixels(self) -> CodePlace | None:
        """Where predictions of what is not valid come in."""
        bench = self.bench
        wrong = bench.traced(invalid_changed(bench.views, bench.truth))
        return self.counted(bench.traced(bench.truth), wrong)

    def counted_labels(self) -> CodePlace | None:
        """Where labels of what is not valid come in."""
        bench = self.bench
        wrong = bench.traced(bench.truth, views=invalid_labels_changed(bench.views))
        return self.counted(bench.traced(bench.truth), wrong)

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

    def unreached(self, view: int) -> CodePlace | None:
        """Where most pixels of a view's map lose their gradient: what takes the last map that lacks it."""
        import torch

        wanted = FEW * int(self.bench.views[view]["valid_mask"].sum())
        follows: set[int] = set()
        last: Node | None = None
        place: CodePlace | None = None
        for node in self.wrong.flow.nodes:
            if leaf_of(node) != ("prediction", view, self.entry):
                if not any(id(one) in follows for one in node.inputs) or id(node) not in self.wrong.in_loss:
                    continue
                if last in node.inputs and place is None:
                    place = own_place(node, set())
            follows.add(id(node))
            tensor = node.tensor
            if tensor is None or tensor.numel() <= REDUCED or not tensor.requires_grad:
                continue
            (slope,) = torch.autograd.grad(self.wrong.loss, [tensor], allow_unused=True, retain_graph=True)
            if slope is not None and slope.any() and int((slope != 0).sum()) < wanted:
                last, place = node, None
        return place

    def met(self, entry: str, last: bool = False) -> CodePlace | None:
        """Where an entry of the predictions meets what does not follow from it, first or last."""
        past = self.past(self.wrong)
        follows: dict[int, bool] = {}
        side = sides(past)
        found: list[Node] = []
        for node in past:
            leaf = leaf_of(node)
            given = [follows[id(one)] for one in node.inputs]
            follows[id(node)] = any(given) or bool(leaf and leaf[0] == "prediction" and leaf[2] == entry)
            others = [one for one, own in zip(node.inputs, given) if not own and side[id(one)][0]]
            if any(given) and not all(given) and (others or last):
                found.append(node)
        return self.at(found[-1 if last else 0] if found else past[-1] if past else None)

    def not_least(self, truth: Traced) -> CodePlace | None:
        """Where the truth as it was predicted, and as the labels say it, part.

        From where they meet both are followed back, step by step, as long as the same is done to them.
        """
        past = self.past(truth)
        side = sides(past)
        first: Node | None = None
        for node in joins(past):
            predicted = [one for one in node.inputs if side[id(one)] == (True, False)]
            labelled = [one for one in node.inputs if side[id(one)] == (False, True)]
            first = first or node
            if predicted and labelled and not predicted[0].is_like(labelled[0]):
                return self.followed(predicted[0], labelled[0], node)
        return self.at(first)

    def followed(self, one: Node, other: Node, met: Node) -> CodePlace | None:
        """Where two that should be the same, and are not where they meet, stop being so."""
        while one.inputs and one.name == other.name and len(one.inputs) == len(other.inputs):
            apart = [pair for pair in zip(one.inputs, other.inputs) if not pair[0].is_like(pair[1])]
            if not apart or not any(node.inputs for node in apart[0]):
                return self.at(one)
            one, other = apart[0]
        for longer, shorter in ((one, other), (other, one)):  # something is done to one of them only
            steps = [node for node in behind([longer]) if any(n.is_like(shorter) for n in node.inputs)]
            if steps and longer.inputs:
                return called_from(steps[-1], met)
        return self.at(other if other.inputs else one)

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
        for node in one:  # it takes something else
            leaves = [leaf for leaf in map(leaf_of, node.inputs) if leaf]
            if any(
                entry in LABELS[self.entry] if what == "view" else entry not in BESIDES
                for what, _, entry in leaves
            ):
                return self.at(node)
        return self.at(next((n for n in one if n.inputs), None))

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
                expression = with_value(self.bench.expression, number, value * 2 or 1.0)
                other = self.bench.traced(self.bench.wrong, criterion=self.bench.build(expression))
                for a, b in zip(self.wrong.flow.nodes, other.flow.nodes):
                    if a.inputs and not a.is_same(b):
                        return own_place(a, set())
        return None
