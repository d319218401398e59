"""Scans: what a model's values are, tensor by tensor, and together for each sub-module."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from opv2v_doctor.facts.past.checkpoints.archives import ArchiveDamaged
from opv2v_doctor.facts.past.checkpoints.weights import Weight, Weights, blocks
from opv2v_doctor.facts.past.pickles.machine import ascii_excerpt

if TYPE_CHECKING:
    from opv2v_doctor.facts.past.checkpoints.weights import Values

MOST_MODULES = 12  # sub-modules of which a table says something


@dataclass(frozen=True, slots=True)
class Scan:
    """What was seen of one tensor, or of all tensors of a sub-module."""

    name: str
    tensors: int
    elements: int
    read: int  # elements that were looked at
    bad: int  # NaN or infinite
    nonzero: bool
    squares: float  # their sum, of the finite ones
    first_bad: str = ""
    problem: ArchiveDamaged | None = None  # why the first of those that were not read was not
    unread: int = 0

    @property
    def norm(self) -> float:
        return math.sqrt(self.squares)

    @property
    def is_zero(self) -> bool:
        """Whether there are values, and all of them are zero."""
        return self.read == self.elements > 0 and not self.nonzero


def scan(weights: Weights, most: int | None = None) -> tuple[Scan, ...]:
    """Every tensor, read block by block; at most so many bytes of all of them together."""
    weights.verify()
    wanted = sum(weight.bytes for weight in weights.tensors.values())
    share = 1.0 if most is None or wanted <= most else most / wanted
    return tuple(_scan(weight, share) for weight in weights.tensors.values())


def _scan(weight: Weight, share: float) -> Scan:
    read, bad, nonzero, squares = 0, 0, False, 0.0
    problem: ArchiveDamaged | None = None
    most = None if share == 1.0 else math.ceil(weight.elements * share)
    try:
        for values in blocks(weight, most):
            sum_of_squares, wrong = _finite(values)
            read, bad, squares = read + values.size, bad + wrong, squares + sum_of_squares
            nonzero = nonzero or sum_of_squares > 0 or bool(values.any())
    except ArchiveDamaged as reason:
        problem = reason
    name = ascii_excerpt(weight.name)
    first = name if bad else ""
    unread = int(problem is not None)
    return Scan(name, 1, weight.elements, read, bad, nonzero, squares, first, problem, unread)


def _finite(values: Values) -> tuple[float, int]:
    """The sum of the squares, and how many values are not finite; the sum alone mostly tells."""
    import numpy as np

    with np.errstate(all="ignore"):
        total = squares_of(values)
        if math.isfinite(total):
            return total, 0
        wide = values.astype(np.complex128 if values.dtype.kind == "c" else np.float64)
        fine = wide[np.isfinite(wide)]
        return squares_of(fine), wide.size - fine.size


def squares_of(values: Values) -> float:
    """The sum of the squares, in single precision where the values are."""
    import numpy as np

    found: Any = values
    if found.dtype == np.float16:
        found = found.astype(np.float32)
    elif found.dtype.kind not in "fc":
        found = found.astype(np.float64)
    return float(np.vdot(found, found).real)


def by_module(scans: Iterable[Scan]) -> tuple[Scan, ...]:
    """The scans of each sub-module together."""
    kept = {scan.name: scan for scan in scans}
    modules = modules_of(kept)
    groups: dict[str, list[Scan]] = {}
    for name, scan in kept.items():
        groups.setdefault(modules[name], []).append(scan)
    return tuple(_together(module, group) for module, group in groups.items())


def _together(module: str, group: list[Scan]) -> Scan:
    return Scan(
        module,
        len(group),
        sum(scan.elements for scan in group),
        sum(scan.read for scan in group),
        sum(scan.bad for scan in group),
        any(scan.nonzero for scan in group),
        sum(scan.squares for scan in group),
        next((scan.first_bad for scan in group if scan.bad), ""),
        next((scan.problem for scan in group if scan.problem), None),
        sum(scan.unread for scan in group),
    )


def modules_of(names: Iterable[str]) -> Mapping[str, str]:
    """The sub-module of each tensor: as deep as it takes for several, and as deep as a table can be long."""
    listed = list(names)
    chosen = {name: name.partition(".")[0] for name in listed}
    for depth in range(2, 8):
        deeper = {name: ".".join(name.split(".")[:-1][:depth]) or name for name in listed}
        if len({*chosen.values()}) > 1 and len({*deeper.values()}) > MOST_MODULES:
            break
        chosen = deeper
    return chosen
