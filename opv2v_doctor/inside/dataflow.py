"""Dataflow: every operation on tensors while code runs, with the lines that asked for it."""

from __future__ import annotations

import contextlib
import os
import sys
from types import FrameType
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, Tuple

from .frames import CodePlace

Line = Tuple[str, int, str]  # file, line, and the function that it is in
REDUCED = 16  # numbers at most in what a reduction leaves of maps: one a sample


class Node:
    """An operation: what it was given, what came out of it, and the lines that led to it, outermost first."""

    def __init__(self, name: str, inputs: list[Node], value: Any, lines: tuple[Line, ...]) -> None:
        self.name, self.inputs, self.lines = name, inputs, lines
        self.value = value.detach().clone() if hasattr(value, "detach") else value
        self.tensor = value if hasattr(value, "detach") else None
        self.needs_gradient = bool(getattr(value, "requires_grad", False))

    def is_like(self, other: Node) -> bool:
        """Whether both came out the same, up to the noise of arithmetic."""
        import torch

        one, two = self.value, other.value
        if not hasattr(one, "shape") or not hasattr(two, "shape"):
            return bool(one == two)
        if one.shape != two.shape:
            return False
        return torch.allclose(one.double(), two.double(), rtol=1e-4, atol=1e-5, equal_nan=True)

    def is_same(self, other: Node) -> bool:
        """Whether both came out exactly the same."""
        import torch

        one, two = self.value, other.value
        if not hasattr(one, "shape") or not hasattr(two, "shape"):
            return bool(one == two)
        return bool(one.shape == two.shape and torch.equal(one, two))


class Flow:
    """What was done, in its order; `leaves` are the tensors that were there before, by name."""

    def __init__(self, leaves: dict[str, Any], repo: str) -> None:
        self.nodes: list[Node] = []
        self.repo = repo
        self.taken: list[tuple[str, tuple[Line, ...]]] = []  # entries of views, and who took them
        self._made: dict[int, Node] = {}
        self._kept: list[Any] = []  # a tensor that is gone would lend its id to another
        for name, tensor in leaves.items():
            self.add(name, [], tensor, ())

    def add(self, name: str, inputs: list[Node], value: Any, lines: tuple[Line, ...]) -> None:
        node = Node(name, inputs, value, lines)
        self.nodes.append(node)
        self._made[id(value)] = node
        self._kept.append(value)

    def note(self, function: Any, given: Any, out: Any, changed: Any) -> None:
        """Remember one operation."""
        inputs = [self._made[id(tensor)] for tensor in tensors_in(given) if id(tensor) in self._made]
        results = list(tensors_in(out)) or ([out] if isinstance(out, (int, float)) else [])
        results += [changed] if changed is not None else []
        lines = lines_of(sys._getframe(2), self.repo) if inputs else ()
        for result in results:
            given = any(self._made.get(id(result)) is node for node in inputs)
            if inputs and (not given or _in_place(function)):
                self.add(getattr(function, "__name__", "?"), inputs, result, lines)

    def take(self, key: str) -> None:
        """Remember that an entry of a view was taken."""
        self.taken.append((key, lines_of(sys._getframe(2), self.repo)))

    def made(self, value: Any) -> Node | None:
        """The operation that a tensor came out of last."""
        return self._made.get(id(value))

    def said(self, value: float) -> Node | None:
        """The last operation that gave this very number."""
        return next((n for n in reversed(self.nodes) if n.tensor is None and n.value == value), None)


class Reading(Dict[str, Any]):
    """A dictionary that tells of every entry that is taken from it."""

    def __init__(self, entries: Mapping[str, Any], taken: Callable[[str], None]) -> None:
        super(Reading, self).__init__(entries)
        self.taken = taken

    def __getitem__(self, key: str) -> Any:
        self.taken(key)
        return super(Reading, self).__getitem__(key)

    def __copy__(self) -> Reading:
        return Reading(self, self.taken)


def tensors_in(value: Any) -> Iterator[Any]:
    """All tensors in nested collections."""
    import torch

    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from tensors_in(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from tensors_in(inner)


def _in_place(function: Any) -> bool:
    name = getattr(function, "__name__", "")
    return (name.endswith("_") and not name.endswith("__")) or name.startswith("__i") or name == "__setitem__"


def lines_of(frame: FrameType | None, repo: str) -> tuple[Line, ...]:
    """The lines of the repository that are running, outermost first."""
    found: list[Line] = []
    while frame is not None:
        path = frame.f_code.co_filename
        if path.startswith(repo + os.sep) and "site-packages" not in path:
            code = frame.f_code
            found.append((path, frame.f_lineno, "%s %d" % (code.co_name, code.co_firstlineno)))
        frame = frame.f_back
    return tuple(reversed(found))


@contextlib.contextmanager
def recorded(leaves: dict[str, Any], repo: str) -> Iterator[Flow]:
    """The flow of all tensors meanwhile; nothing of it under a torch that cannot tell."""
    flow = Flow(leaves, repo)
    try:
        from torch.overrides import TorchFunctionMode
    except ImportError:  # torch before 1.13
        yield flow
        return

    class Recorder(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            out = func(*args, **(kwargs or {}))
            changed = args[0] if getattr(func, "__name__", "") == "__setitem__" else None
            flow.note(func, (args, kwargs), out, changed)
            return out

    with Recorder():
        yield flow


def behind(ends: Iterable[Node]) -> list[Node]:
    """All that nodes follow from, themselves too."""
    found: dict[int, Node] = {}
    waiting = list(ends)
    while waiting:
        node = waiting.pop()
        if id(node) not in found:
            found[id(node)] = node
            waiting.extend(node.inputs)
    return list(found.values())


def in_order(flow: Flow, nodes: Iterable[Node]) -> List[Node]:
    """Nodes in the order in which they happened."""
    wanted = {id(node) for node in nodes}
    return [node for node in flow.nodes if id(node) in wanted]


def own_place(node: Node, others: set[Line]) -> CodePlace | None:
    """The innermost line of an operation that others do not share; where they share all, the innermost."""
    own = [line for line in node.lines if line not in others] or list(node.lines)
    return {"path": own[-1][0], "line": own[-1][1]} if own else None


def called_from(node: Node, other: Node) -> CodePlace | None:
    """The line of an operation in the innermost function that another one happened in, too."""
    found = None
    for one, two in zip(node.lines, other.lines):
        if (one[0], one[2]) != (two[0], two[2]):
            break
        found = one
    return {"path": found[0], "line": found[1]} if found else None
