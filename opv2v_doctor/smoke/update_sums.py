"""Updates: of which gradients each was made, measured by the projections of them all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from opv2v_doctor.smoke.traces import Backward, Perturbed, Sketches, TrainingTrace, Update
from opv2v_doctor.threshold import Threshold

Rows = NDArray[np.float64]  # (parameters, projections)
NOT_EXPLAINED = Threshold(
    0.02,
    "of each gradient's norm, in the mean of their squares",
    "sums in bfloat16 are less apart; the gradients of one rank, or of one of several batches, more",
    healthy=0.005,
    faulty=0.25,
)
TINY = 1e-12
WIDTH = 5  # numbers that the watch tells of a gradient: its projections, and its norm
SMALL = 1e-5  # of the largest gradient: below it, rounding is much


@dataclass(frozen=True, kw_only=True)
class Made:
    """An update of one rank: what the optimizer got, and what each rank had computed for it.

    `parts` holds a list for each rank: the backward passes since the update before. `left` are those of an
    epoch before, that no update of their epoch has taken.
    """

    update: Update
    names: tuple[str, ...]
    got: Rows
    parts: tuple[tuple[Backward, ...], ...]
    left: tuple[tuple[Backward, ...], ...]
    before: Rows | None  # what the optimizer got the last time

    def of(self, gradients: Sketches) -> Rows:
        """Projections as clipping leaves them, in the order of the names; 0 where there is none."""
        return rows(gradients, self.names) * self.clipping[:, None]

    def sum_of(self, passes: Sequence[Backward]) -> Rows:
        """Of several backward passes together."""
        return sum((self.of(one.gradients or {}) for one in passes), np.zeros_like(self.got))

    def mean(self, parts: Sequence[Sequence[Backward]]) -> Rows:
        """The mean over the ranks."""
        return sum((self.sum_of(part) for part in parts), np.zeros_like(self.got)) / max(len(parts), 1)

    @property
    def clipping(self) -> NDArray[np.float64]:
        """What clipping by the norm multiplies each gradient by."""
        factors = np.ones(len(self.names))
        for clip in self.update.clips:
            if clip["kind"] == "norm" and clip["norm"] is not None:
                factor = min(1.0, float(clip["bound"]) / (float(clip["norm"]) + 1e-6))
                missed = set(clip["missed"])
                factors *= [1.0 if name in missed else factor for name in self.names]
        return factors

    def explanations(self) -> Iterator[tuple[str, Rows]]:
        """What may have been made of the gradients; the right one comes first."""
        rank, parts = self.update.rank, self.parts
        yield "mean", self.mean(parts)
        if any(self.left):
            yield "left", self.mean([(*old, *new) for old, new in zip(self.left, parts, strict=True)])
        yield "own", self.sum_of(parts[rank])
        yield "first rank", self.sum_of(parts[0])
        if len(parts[rank]) > 1:
            yield "last", self.mean([part[-1:] for part in parts])
            yield "first", self.mean([part[:1] for part in parts])
            yield "own last", self.sum_of(parts[rank][-1:])
        if self.before is not None:
            yield "not cleared", self.mean(parts) + self.before * self.clipping[:, None]
            yield "before", self.before

    def explained(self) -> tuple[str, float]:
        """The first explanation that holds, and the factor on it; empty where none does."""
        if float(np.abs(self.got).max(initial=0.0)) < TINY:
            return "zero", 0.0
        for name, others in self.explanations():
            sizes = np.maximum(np.linalg.norm(others, axis=1), SMALL * np.linalg.norm(others, axis=1).max())
            got, other = (part / np.maximum(sizes, TINY)[:, None] for part in (self.got, others))
            factor = fit(got, other)
            if unexplained(got, factor * other) <= NOT_EXPLAINED:
                return name, factor
        return ("each" if not self.elsewhere() else ""), float("nan")

    def elsewhere(self) -> list[str]:
        """The gradients that do not point where their mean does, however long each is."""
        sizes = np.linalg.norm(self.got, axis=1)
        return [
            name
            for name, got, mean, size in zip(self.names, self.got, self.mean(self.parts), sizes, strict=True)
            if max(size, float(np.linalg.norm(mean))) > SMALL * sizes.max()
            and (fit(got, mean) <= 0 or unexplained(got, fit(got, mean) * mean) > 5 * NOT_EXPLAINED)
        ]


def fit(got: Rows, other: Rows) -> float:
    """The factor that brings one nearest to the other."""
    return float((got * other).sum() / max(float((other * other).sum()), TINY))


def unexplained(got: Rows, other: Rows) -> float:
    """What is left of a gradient, in its own length."""
    return float(np.linalg.norm(got - other) / max(float(np.linalg.norm(got)), TINY))


def rows(gradients: Sketches, names: Sequence[str]) -> Rows:
    """The projections of some gradients, without their norms; 0 where there is none."""
    none = [0.0] * WIDTH
    return np.array([gradients.get(name) or none for name in names], dtype=float).reshape(-1, WIDTH)[:, :-1]


def norms(gradients: Sketches) -> Mapping[str, float]:
    """The norms of gradients."""
    return {name: float(row[-1]) for name, row in gradients.items()}


def made_updates(trace: TrainingTrace, ranks: int) -> list[Made]:
    """All updates of all ranks, in order; those of which some rank told nothing are left out."""
    of_ranks = [list(_grouped(trace, rank)) for rank in range(ranks)]
    found: list[Made] = []
    for number in range(min(map(len, of_ranks), default=0)):
        parts = [of_ranks[rank][number] for rank in range(ranks)]
        for rank in range(ranks):
            update = parts[rank][0]
            names = tuple(
                sorted({name for _, passes in parts for one in passes for name in one.gradients or {}})
            )
            before = of_ranks[rank][number - 1][0] if number else None
            split = [_split(passes, done.epoch) for done, passes in parts]
            found.append(
                Made(
                    update=update,
                    names=names,
                    got=rows(update.gradients, names),
                    parts=tuple(new for _, new in split),
                    left=tuple(old for old, _ in split),
                    before=rows(before.gradients, names) if before else None,
                )
            )
    return found


def _grouped(trace: TrainingTrace, rank: int) -> Iterator[tuple[Update, list[Backward]]]:
    """Each update of a rank, and the backward passes since the one before."""
    passes: list[Backward] = []
    for _, event in trace.others:
        if isinstance(event, Backward) and event.rank == rank:
            passes.append(event)
        elif isinstance(event, Update) and event.rank == rank:
            yield event, passes
            passes = []


def _split(passes: Sequence[Backward], epoch: int) -> tuple[tuple[Backward, ...], tuple[Backward, ...]]:
    """Those of an earlier epoch, and those of this one."""
    old = tuple(one for one in passes if one.epoch != epoch)
    return old, tuple(one for one in passes if one.epoch == epoch)


def weight(made: Made, one: Backward) -> float | None:
    """How much of a batch's loss is in an update, before clipping; None where it cannot be told."""
    name, factor = made.explained()
    if one.weight is None or name not in ("mean", "left"):
        return None
    return one.weight * factor / len(made.parts)


def moved_by_rounding(trace: TrainingTrace, made: Made) -> Mapping[str, float]:
    """How far the first batch's gradients move, in their length, when its images are rounded otherwise."""
    seen = trace.every(Perturbed)
    first = made.parts[0][:1]
    if not seen or not first or not first[0].weight:
        return {}
    whole = first[0].gradients or {}
    ours, theirs = rows(whole, made.names), first[0].weight * rows(seen[0].gradients, made.names)
    away = np.linalg.norm(ours - theirs, axis=1) / np.maximum(np.linalg.norm(ours, axis=1), TINY)
    return dict(zip(made.names, away.tolist(), strict=True))
