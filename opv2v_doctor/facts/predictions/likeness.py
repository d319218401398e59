"""Likeness: what makes a written array of what the model answered: a factor, other axes, another view, ..."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opv2v_doctor.facts.predictions.artefacts import OutputKind, TrueView
from opv2v_doctor.geometry.poses import invert

Array = NDArray[Any]
Make = Callable[[Array], Array]  # what turns the right points into the written ones
OTHERS = {  # a quantity -> those that are written in its place
    "points": ("camera points",), "camera points": ("points",), "depth": ("z depth",), "z depth": ("depth",),
    "pose": ("world to camera",), "world to camera": ("pose",),
}  # fmt: skip
FACTORS = (1000.0, 0.001, 100.0, 0.01, 10.0, 0.1, 2.0, 0.5, 256.0, 1 / 256)
STEPS = range(2, 17)  # of a thinned array
SIGNED_AXES = [
    (order, signs)
    for order in itertools.permutations(range(3))
    for signs in itertools.product((1, -1), repeat=3)
]
GRID = 1e-3  # metres within which two points of a list are one
MOST_POINTS = 20_000  # of a list, that are looked up


@dataclass(frozen=True, kw_only=True)
class Deviation:
    """What makes a written array of the right one, in a word, and the numbers of that."""

    what: str
    numbers: Mapping[str, Any] = field(default_factory=dict)
    make: Make | None = field(default=None, compare=False)  # of points: the same, of all of them


def apart(one: Array, other: Array, within: Array | None = None) -> float:
    """How far `other` is from `one`, root mean squares, relative; infinite where it is no number."""
    if within is not None and within.shape == one.shape[: within.ndim]:
        one, other = one[within], other[within]
    if not one.size:
        return 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        distance = float(np.sqrt(np.mean((other - one) ** 2)))
        size = float(np.sqrt(np.mean(one**2)))
    return distance / max(size, 1e-9) if np.isfinite(distance) else float("inf")


class Likeness:
    """One array against the views that it may be of."""

    def __init__(self, views: Sequence[TrueView], bound: float) -> None:
        self.views, self.bound = views, bound

    def is_same(self, array: Array, quantity: str, number: int) -> bool:
        """Whether an array of that kind is that of a view."""
        truth = self.views[number].truth(quantity)
        return truth is not None and self._same(truth, array, self._within(truth, number))

    def _same(self, truth: Array, array: Array, within: Array | None = None) -> bool:
        return truth.shape == array.shape and apart(truth, array, within) <= self.bound

    def _within(self, truth: Array, number: int) -> Array | None:
        """The pixels that count, of a map of them."""
        kept = self.views[number].kept
        return kept if kept is not None and kept.shape == truth.shape[:2] else None

    # --- arrays of one view

    def of_view(self, raw: Array, kind: OutputKind, number: int) -> Deviation | None:
        """How an array differs from that of a view; None where it does not, or there is no such thing."""
        view, truth = self.views[number], self.views[number].truth(kind.quantity)
        if truth is None:
            return None
        array = kind.undone(np.squeeze(raw))
        if kind.quantity == "mask":
            return self._mask(array, truth, number)
        if array.shape != truth.shape and array.ndim == 3 and array.shape[0] == 3 != array.shape[-1]:
            array = np.moveaxis(array, 0, -1)
        if array.shape != truth.shape:
            return self._shape(array, truth, view)
        within = self._within(truth, number)
        if self._same(truth, array, within):
            return None
        found = self._values(array, truth, raw, within, kind, number)
        return next(found, None)

    def _values(
        self, array: Array, truth: Array, raw: Array, within: Array | None, kind: OutputKind, number: int
    ) -> Iterator[Deviation]:
        kept = (truth[within], array[within]) if within is not None else (truth, array)
        lost = int((~np.isfinite(kept[1])).sum())
        if lost and np.isfinite(kept[0]).all():
            yield Deviation(what="overflow", numbers={"lost": lost, "type": str(raw.dtype)})
        yield from self._elsewhere(array, kind.quantity, number)
        if within is not None:
            yield from self._mirrored(array, truth, within)
        if raw.dtype.kind in "iu" and self._wraps(np.squeeze(raw).astype(np.float64), truth, within, raw):
            yield Deviation(what="overflow", numbers={"lost": 0, "type": str(raw.dtype)})
        yield from self._factor(*kept, number)
        if kind.quantity in ("pose", "world to camera"):
            yield from self._pose(array, truth)
        if "points" in kind.quantity:
            yield from self._axes(*kept)
            yield from self._moved(*kept)
        most = float(np.max(kept[1], initial=0.0))
        if kept[0].size > 1 and self._same(np.minimum(kept[0], most), kept[1]):
            yield Deviation(what="clipped", numbers={"most": most})
        yield Deviation(what="values", numbers={"relative": min(apart(*kept), 1e9)})

    def _elsewhere(self, array: Array, quantity: str, number: int) -> Iterator[Deviation]:
        """Right, but another quantity, or another view's."""
        for other in OTHERS.get(quantity, ()):
            if self.is_same(array, other, number):
                yield Deviation(what="other", numbers={"other": other})
        for other_number in range(len(self.views)):
            if other_number != number and self.is_same(array, quantity, other_number):
                yield Deviation(what="view", numbers={"other": other_number})

    def _mirrored(self, array: Array, truth: Array, within: Array) -> Iterator[Deviation]:
        for what, axes in (("left to right", (1,)), ("upside down", (0,)), ("both ways", (0, 1))):
            if self._same(truth, np.flip(array, axes), within & np.flip(within, axes)):
                yield Deviation(what="mirrored", numbers={"how": what})

    def _wraps(self, written: Array, truth: Array, within: Array | None, raw: Array) -> bool:
        """Whether whole numbers are the truth times something, but for those that were too large."""
        limit = float(np.iinfo(raw.dtype).max)
        for factor in (1.0, *FACTORS):
            whole = truth * factor
            fits = (whole < limit) & (whole > limit / 100)
            fits = fits & within if within is not None and within.shape == fits.shape else fits
            is_larger = fits.sum() > 10 and (whole > limit + 1).any()
            if is_larger and float(np.abs(written[fits] - whole[fits]).max()) <= 1.0:
                return True
        return False

    def _factor(self, truth: Array, array: Array, number: int) -> Iterator[Deviation]:
        square = float((truth**2).sum())
        factor = float((truth * array).sum()) / square if square else 0.0
        if abs(factor) > 1e-6 and self._same(truth * factor, array):
            scale = self.views[number].truth("scale")
            metric = float(scale.mean()) if scale is not None else None
            yield Deviation(
                what="factor",
                numbers={"factor": factor, "scale": metric},
                make=lambda points: points * factor,
            )

    def _axes(self, truth: Array, array: Array) -> Iterator[Deviation]:
        for order, signs in SIGNED_AXES:
            if self._same(truth[..., order] * np.array(signs), array):
                names = [
                    f"{'-' if sign < 0 else ''}{'xyz'[column]}"
                    for column, sign in zip(order, signs, strict=True)
                ]
                yield Deviation(
                    what="axes",
                    numbers={"axes": ",".join(names)},
                    make=lambda points, order=order, signs=signs: points[..., order] * np.array(signs),  # type: ignore
                )

    def _moved(self, truth: Array, array: Array) -> Iterator[Deviation]:
        """Turned, moved and enlarged as a whole (Umeyama 1991)."""
        one, other = truth.reshape(-1, 3), array.reshape(-1, 3)
        if len(one) < 4 or not np.isfinite(other).all():
            return
        a, b = one - one.mean(0), other - other.mean(0)
        left, sizes, right = np.linalg.svd(b.T @ a)
        turn = left @ np.diag([1, 1, np.sign(np.linalg.det(left @ right))]) @ right
        scale = float((sizes * [1, 1, np.sign(np.linalg.det(left @ right))]).sum() / max((a**2).sum(), 1e-12))
        shift = other.mean(0) - scale * turn @ one.mean(0)
        if apart(other, scale * one @ turn.T + shift) <= self.bound:
            angle = float(np.degrees(np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1))))
            yield Deviation(
                what="moved",
                numbers={"degrees": angle, "metres": float(np.linalg.norm(shift)), "factor": scale},
                make=lambda points: scale * points @ turn.T + shift,
            )

    def _pose(self, array: Array, truth: Array) -> Iterator[Deviation]:
        rest = apart(truth[:3, 3], array[:3, 3])
        if self._same(truth[:3, :3].T, array[:3, :3]):
            yield Deviation(what="transposed", numbers={"moved": rest > self.bound})
        if self._same(truth[:3, :3], array[:3, :3]):
            size = float(np.linalg.norm(truth[:3, 3]))
            factor = float(truth[:3, 3] @ array[:3, 3]) / max(size**2, 1e-12)
            if size > 1e-6 and self._same(truth[:3, 3] * factor, array[:3, 3]):
                yield Deviation(what="position", numbers={"factor": factor})
        for number, view in enumerate(self.views):
            pose = view.truth("pose")
            is_whole = pose is not None and pose.shape == truth.shape == (4, 4)
            if pose is not None and is_whole and self._same(invert(pose) @ truth, array):
                yield Deviation(what="relative", numbers={"other": number})

    def _mask(self, array: Array, truth: Array, number: int) -> Deviation | None:
        if array.shape != truth.shape:
            return self._shape(array, truth, self.views[number])
        here, wanted = array > 0, truth > 0
        differs = float((here != wanted).mean())
        if not differs:
            return None
        for other in range(len(self.views)):
            mask = self.views[other].truth("mask")
            if (
                other != number
                and mask is not None
                and mask.shape == here.shape
                and not ((mask > 0) != here).any()
            ):
                return Deviation(what="view", numbers={"other": other})
        if differs == 1.0:
            return Deviation(
                what="inverted", numbers={"given": float(here.mean()), "trained": float(wanted.mean())}
            )
        for what, axes in (("left to right", (1,)), ("upside down", (0,))):
            if (np.flip(here, axes) == wanted).all():
                return Deviation(what="mirrored", numbers={"how": what})
        plain = self.views[number].array("non_ambiguous_mask")
        if plain is not None and plain.shape == here.shape and ((plain > 0) == here).all():
            return None  # the model's own, without what infer() takes off at edges
        return Deviation(
            what="pixels",
            numbers={"differs": differs, "given": float(here.mean()), "trained": float(wanted.mean())},
        )

    def _shape(self, array: Array, truth: Array, view: TrueView) -> Deviation:
        for step in STEPS:
            thin = truth[::step, ::step] if truth.ndim > 1 else truth
            kept = view.kept
            within = kept[::step, ::step] if kept is not None and kept.shape == truth.shape[:2] else None
            if thin.shape == array.shape and self._same(thin, array, within):
                return Deviation(what="thinned", numbers={"step": step})
        if truth.ndim > 1 and array.shape == np.swapaxes(truth, 0, 1).shape:
            return Deviation(
                what="turned", numbers={"given": list(array.shape), "trained": list(truth.shape)}
            )
        return Deviation(what="shape", numbers={"given": list(array.shape), "trained": list(truth.shape)})

    # --- lists of points

    def of_list(self, raw: Array, kind: OutputKind, numbers: Sequence[int]) -> Deviation | None:
        """How a list of points (N, 3 or more) differs from those of views; None where it does not."""
        quantity = "camera points" if kind.quantity == "camera points" else "points"
        truths = [self.views[number].truth(quantity) for number in numbers]
        kept = [self.views[number].kept for number in numbers]
        if any(truth is None for truth in truths):
            return None
        maps = [truth for truth in truths if truth is not None]
        masks = [np.ones(t.shape[:2], bool) if k is None else k for t, k in zip(maps, kept, strict=True)]
        points = kind.undone(raw)[..., :3].reshape(-1, 3)
        right = np.concatenate([truth[mask] for truth, mask in zip(maps, masks, strict=True)])
        everything = np.concatenate([truth.reshape(-1, 3) for truth in maps])
        for rows in (right, everything):
            if rows.shape == points.shape and apart(rows, points) <= self.bound:
                return None if len(rows) == len(right) else _outside(len(rows), len(right))
        share = _share(points, everything)
        if share > 1 - 0.01:
            return self._number(points, right, kind, maps, masks, numbers)
        if not np.isfinite(points).all():
            return Deviation(
                what="overflow", numbers={"lost": int((~np.isfinite(points)).sum()), "type": str(raw.dtype)}
            )
        if (points == 0).all(1).mean() > 0.2:
            return Deviation(
                what="zeros", numbers={"zeros": int((points == 0).all(1).sum()), "points": len(points)}
            )
        return self._transformed(points, right, everything, quantity, numbers)

    def _number(
        self, points: Array, right: Array, kind: OutputKind, maps: Sequence[Array], masks: Sequence[Array],
        numbers: Sequence[int],
    ) -> Deviation | None:  # fmt: skip
        """Right points: how many of them there are."""
        inside = _share(points, right)
        if inside < 1 - 0.01:
            outside = np.concatenate([truth[~mask] for truth, mask in zip(maps, masks, strict=True)])
            if len(points) == len(outside) and _share(points, outside) > 1 - 0.01:
                return Deviation(what="inverted", numbers={"given": len(points), "trained": len(right)})
            return _outside(len(points), len(right))
        if kind.quantity == "sampled points" or len(points) >= len(right):
            return (
                None
                if len(points) <= len(right)
                else Deviation(what="twice", numbers={"points": len(points), "wanted": len(right)})
            )
        views = [
            number for number, truth, mask in zip(numbers, maps, masks, strict=True)
            if _share(truth[mask], points) > 1 - 0.01
        ]  # fmt: skip
        if len(views) < len(numbers) and sum(int(masks[list(numbers).index(v)].sum()) for v in views) == len(
            points
        ):
            return Deviation(what="fewer views", numbers={"there": len(views), "wanted": len(numbers)})
        return Deviation(what="fewer", numbers={"points": len(points), "wanted": len(right)})

    def _transformed(
        self, points: Array, right: Array, everything: Array, quantity: str, numbers: Sequence[int]
    ) -> Deviation:
        if right.shape == points.shape:
            for found in (
                self._factor(right, points, numbers[0]),
                self._axes(right, points),
                self._moved(right, points),
            ):
                if (first := next(found, None)) is not None:
                    return first
        other = OTHERS[quantity][0]
        elsewhere = [one for number in numbers if (one := self.views[number].truth(other)) is not None]
        if elsewhere and _share(points, np.concatenate([one.reshape(-1, 3) for one in elsewhere])) > 1 - 0.01:
            return Deviation(what="other", numbers={"other": other})
        scale = self.views[numbers[0]].truth("scale")
        metric = [float(scale.mean()), 1 / float(scale.mean())] if scale is not None and scale.any() else []
        for factor in (*metric, *FACTORS):
            if _share(points / factor, everything) > 1 - 0.01:
                numbers_of = {"factor": factor, "scale": metric[0] if metric else None}
                return Deviation(what="factor", numbers=numbers_of, make=lambda found, f=factor: found * f)  # type: ignore
        for order, signs in SIGNED_AXES:
            if _share(points, everything[:, order] * np.array(signs)) > 1 - 0.01:
                names = [
                    f"{'-' if sign < 0 else ''}{'xyz'[column]}"
                    for column, sign in zip(order, signs, strict=True)
                ]
                return Deviation(
                    what="axes",
                    numbers={"axes": ",".join(names)},
                    make=lambda found, o=order, s=signs: found[..., o] * np.array(s),  # type: ignore
                )
        return Deviation(what="list", numbers={"share": _share(points, everything), "points": len(points)})


def _outside(points: int, wanted: int) -> Deviation:
    return Deviation(what="outside", numbers={"points": points, "wanted": wanted})


def _share(points: Array, of: Array) -> float:
    """The share of points that are among others, within a grid (either of two, half a cell apart)."""
    step = max(1, len(points) // MOST_POINTS)
    some = points[::step]
    if not len(some) or not len(of):
        return 0.0
    size = max(GRID, 1e-4 * float(np.abs(of[np.isfinite(of)]).max(initial=0.0)))
    found = np.zeros(len(some), bool)
    for shift in itertools.product((0.0, 0.5), repeat=3):
        cells, others = _cells(some, size, shift), _cells(of, size, shift)
        found |= np.isin(cells, others)
        if found.all() or found.mean() < 0.5:  # rounding moves few points into another cell
            break
    return float(found.mean())


def _cells(points: Array, size: float, shift: tuple[float, ...]) -> Array:
    """One number for the cell of each point."""
    whole = np.floor(np.nan_to_num(points, nan=1e6, posinf=1e6, neginf=-1e6) / size + np.array(shift)).astype(
        np.int64
    )
    return np.asarray((whole[:, 0] * 73_856_093) ^ (whole[:, 1] * 19_349_669) ^ (whole[:, 2] * 83_492_791))
