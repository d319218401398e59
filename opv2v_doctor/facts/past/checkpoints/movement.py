"""Movement: how far each tensor of a model went from one checkpoint to another."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from opv2v_doctor.facts.past.checkpoints.archives import ArchiveDamaged
from opv2v_doctor.facts.past.checkpoints.scans import modules_of, squares_of
from opv2v_doctor.facts.past.checkpoints.weights import Weight, Weights, array, blocks
from opv2v_doctor.facts.past.pickles.machine import ascii_excerpt
from opv2v_doctor.text import Text

if TYPE_CHECKING:
    from opv2v_doctor.facts.past.checkpoints.weights import Values


# What DistributedDataParallel, torch.compile, FSDP and activation checkpointing put into names.
WRAPPERS = ("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")


@dataclass(frozen=True, slots=True)
class Movement:
    """How far a tensor moved, or all those of a sub-module."""

    name: str
    tensors: int
    moved: int  # tensors of which any value is another
    elements: int
    furthest: float  # of one value
    squares: float  # of the differences, summed
    before: float  # squares of the values before, summed
    floating: bool = True
    still: tuple[str, ...] = ()  # the tensors that did not move
    problem: ArchiveDamaged | None = None  # why the first of those that were not read was not
    unread: int = 0

    @property
    def relative(self) -> float:
        """The norm of the differences, as a share of the norm before."""
        if not self.squares:
            return 0.0
        return math.sqrt(self.squares / self.before) if self.before else math.inf


@dataclass(frozen=True, kw_only=True)
class ModelMovement:
    """Two models, tensor by tensor."""

    movements: tuple[Movement, ...]
    only_before: tuple[str, ...]
    only_after: tuple[str, ...]
    reshaped: tuple[Text, ...]  # of the same name, and another shape
    renamed: int  # tensors whose names differ by what wrappers add

    @property
    def still(self) -> tuple[Movement, ...]:
        """The tensors of floating point numbers that did not move at all."""
        return tuple(each for each in self.movements if each.floating and each.still and not each.problem)


def movement(before: Weights, after: Weights, most: int | None = None) -> ModelMovement:
    """Compare two models; of each tensor at most so many of the first values."""
    before.verify()
    after.verify()
    old, new = before.tensors, after.tensors
    shared = _pairing(old, new)
    alike = [(name, other) for name, other in shared.items() if old[name].shape == new[other].shape]
    taken = {*shared.values()}
    return ModelMovement(
        movements=tuple(_movement(old[name], new[other], most) for name, other in alike),
        only_before=tuple(ascii_excerpt(name) for name in old if name not in shared),
        only_after=tuple(ascii_excerpt(name) for name in new if name not in taken),
        reshaped=tuple(
            Text(
                "{name}: {before}, then {after}",
                name=ascii_excerpt(name),
                before=str(list(old[name].shape)),
                after=str(list(new[other].shape)),
            )
            for name, other in shared.items()
            if old[name].shape != new[other].shape
        ),
        renamed=sum(name != other for name, other in shared.items()),
    )


def _pairing(old: Mapping[str, Weight], new: Mapping[str, Weight]) -> dict[str, str]:
    """The names that are in both, the later one's of each; others paired without what wrappers add."""
    left = {_bare(name): name for name in new if name not in old}
    pairs = {name: name if name in new else left.pop(_bare(name), "") for name in old}
    return {name: other for name, other in pairs.items() if other or name == other}


def _bare(name: str) -> str:
    return ".".join(part for part in name.split(".") if part not in WRAPPERS)


def _movement(old: Weight, new: Weight, most: int | None) -> Movement:
    furthest, squares, before, moves = 0.0, 0.0, 0.0, False
    problem: ArchiveDamaged | None = None
    try:
        for was, now in _pairs(old, new, most):
            far, sum_of_squares, sum_before, other = _apart(was, now)
            furthest = far if far > furthest or math.isnan(far) else furthest
            squares, before, moves = squares + sum_of_squares, before + sum_before, moves or other
    except ArchiveDamaged as reason:
        problem = reason
    name = ascii_excerpt(old.name)
    return Movement(
        name,
        1,
        int(moves),
        old.elements,
        furthest,
        squares,
        before,
        old.kind.is_floating,
        () if moves or problem else (name,),
        problem,
        int(problem is not None),
    )


def _pairs(old: Weight, new: Weight, most: int | None) -> Iterator[tuple[Values, Values]]:
    """The same values of both, block by block."""
    if old.strides == new.strides or (_is_plain(old) and _is_plain(new)):
        yield from zip(blocks(old, most), blocks(new, most), strict=True)
    elif old.elements:
        yield array(old).reshape(-1), array(new).reshape(-1)


def _is_plain(weight: Weight) -> bool:
    """Whether its values lie in the order of its indices."""
    expected = 1
    for size, stride in zip(reversed(weight.shape), reversed(weight.strides), strict=True):
        if size != 1 and stride != expected:
            return False
        expected *= size
    return True


def _apart(was: Values, now: Values) -> tuple[float, float, float, bool]:
    """Furthest difference, squares of the differences and of the values before, and whether any differs."""
    import numpy as np

    wide = np.complex128 if "c" in (was.dtype.kind, now.dtype.kind) else np.float64
    with np.errstate(all="ignore"):
        before = squares_of(was)
        if was.dtype == now.dtype and was.tobytes() == now.tobytes():
            return 0.0, 0.0, before, False
        difference = now.astype(wide) - was.astype(wide)
        far = float(np.abs(difference).max())
        return far, squares_of(difference), before, far != 0.0


def by_module(movements: tuple[Movement, ...]) -> tuple[Movement, ...]:
    """The movements of each sub-module together."""
    modules = modules_of(each.name for each in movements)
    groups: dict[str, list[Movement]] = {}
    for each in movements:
        groups.setdefault(modules[each.name], []).append(each)
    return tuple(_together(module, group) for module, group in groups.items())


def _together(module: str, group: list[Movement]) -> Movement:
    return Movement(
        module,
        len(group),
        sum(each.moved for each in group),
        sum(each.elements for each in group),
        max((each.furthest for each in group), key=lambda far: math.inf if math.isnan(far) else far),
        sum(each.squares for each in group),
        sum(each.before for each in group),
        any(each.floating for each in group),
        tuple(name for each in group if each.floating for name in each.still),
        next((each.problem for each in group if each.problem), None),
        sum(each.unread for each in group),
    )
