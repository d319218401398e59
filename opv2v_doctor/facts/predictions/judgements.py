"""Judgements: what a criterion says of ground truth, and of known disturbances of it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import cached_property

from opv2v_doctor.facts.predictions.comparisons import Fit
from opv2v_doctor.text import Place

KINDS = {  # what a term judges -> the words that say so, in the name of a term or of its weight
    "quaternions": "quat|rot",
    "translation": "trans",
    "scale": "scale",
    "rays": "(?<!along_)ray",
    "normals": "normal",
    "gradients": "gradient|gm",
    "depth": "depth|along_ray",
    "camera points": "cam.*(pts|point)|(pts|point).*cam|local",
    "points": "pts|point",
    "mask": "mask|ambiguous",
}
STATISTIC = re.compile("(mean|std|min|max|acc|iou|ratio|count|num|median|psnr|corr|inlier)($|_)")
ENTRIES = {  # what a term judges -> entries of a prediction; of several the first that it reads
    "quaternions": ("cam_quats",),
    "translation": ("cam_trans",),
    "scale": ("metric_scaling_factor",),
    "rays": ("ray_directions",),
    "normals": ("pts3d_cam", "depth_along_ray", "pts3d"),
    "gradients": ("depth_along_ray", "pts3d_cam", "pts3d"),
    "depth": ("depth_along_ray", "pts3d_cam"),
    "camera points": ("pts3d_cam",),
    "points": ("pts3d",),
    "mask": ("non_ambiguous_mask_logits",),
}
OWN = {  # the disturbance of an entry that whatever judges it must see
    "cam_quats": "turned",
    "cam_trans": "moved",
    "metric_scaling_factor": "larger",
    "ray_directions": "turned",
    "non_ambiguous_mask_logits": "flipped",
}
PLACED = ("points", "camera points", "translation")  # what must see a shift along each axis
NOISE = "noise"  # that of the others
LENGTHS = ("points", "camera points", "depth", "translation")  # what one scale makes metric
SURER = ("unsure", "less sure")  # what a mask is compared with that was made soft


def kind_of(name: str) -> str | None:
    """What a name says that it judges; None where it says nothing, or is a statistic."""
    words = re.sub(r"(_bot[\d.]+%|_conf)?_loss(_weight)?|_weight|_view_?\d+$|_avg$", "", name.lower())
    if STATISTIC.search(words):
        return None
    return next((kind for kind, pattern in KINDS.items() if re.search(pattern, words)), None)


@dataclass(frozen=True, kw_only=True)
class Term:
    """A number that a criterion logs: its name behind that of its class, and what it was computed from.

    `truth` and `wrong` are its values for ground truth and where everything is disturbed.
    """

    name: str
    owner: str
    view: int | None  # from 0
    truth: float
    wrong: float
    traced: bool
    reads: tuple[tuple[str, int], ...]  # entries of predictions, with their views
    labels: tuple[str, ...]
    slopes: tuple[tuple[str, int, float], ...]  # its largest gradient by them
    in_loss: bool

    @property
    def short(self) -> str:
        """Its name without that of its class."""
        return self.name.removeprefix(f"{self.owner}_")

    @cached_property
    def kind(self) -> str | None:
        """What it judges, None where its name does not say."""
        return kind_of(self.short)

    @cached_property
    def entry(self) -> str:
        """The entry of a prediction that it judges, empty where that is not known."""
        named = ENTRIES.get(self.kind or "", ())
        if self.kind == "depth" and "depth_z" in self.short:
            named = named[::-1]
        elif "along_ray" in self.short:
            named = named[:1]
        read = {entry for entry, _ in self.reads}
        taken = next((entry for entry in named if entry in read), None)
        return taken or (named[0] if named else "")

    @property
    def is_average(self) -> bool:
        return self.short.endswith("_avg")


@dataclass(frozen=True, kw_only=True)
class Head:
    """An entry of a prediction: the loss's largest gradient, and how many of the valid pixels have one."""

    entry: str
    view: int
    slope: float
    reached: float | None  # of a map


@dataclass(frozen=True, kw_only=True)
class Trial:
    """Predictions that are not the truth, in one view or in all; every term's value then, and the loss."""

    name: str
    entry: str
    view: int | None
    values: tuple[float, ...]
    loss: float


@dataclass(frozen=True, kw_only=True)
class Option:
    """A number of the expression: terms and losses with it, and with one and two units more."""

    name: str  # "*" for a factor
    owner: str  # the class that takes it
    value: float
    values: tuple[tuple[float | None, ...], ...]
    losses: tuple[float, ...]
    place: Place | None


@dataclass(frozen=True, kw_only=True)
class Weight:
    """A weight that a class of the expression takes, given or left at its default."""

    name: str
    owner: str
    value: float
    given: bool
    place: Place | None


@dataclass(frozen=True, kw_only=True)
class Converter:
    """A function of the repository between quaternions and rotations: how far off the labels' poses."""

    name: str
    degrees: float
    place: Place


@dataclass(frozen=True, kw_only=True)
class Judged:
    """What one criterion says."""

    lacking: tuple[str, ...]  # entries of a view, without which there is no truth
    expression: str
    samples: int
    views: int
    composed: tuple[Fit | None, ...]
    real_first: bool  # the labels' quaternions are (w, x, y, z)
    of_labels: bool  # the criterion means the frame that the labels are in, which is not that of view 1
    converters: tuple[Converter, ...]
    makers: tuple[Converter, ...]  # of quaternions from rotations
    repeated: bool
    alone: tuple[tuple[float, ...], ...]  # the terms of each sample's truth by itself, of several samples
    terms: tuple[Term, ...]
    loss: float
    wrong_loss: float
    trials: tuple[Trial, ...]
    heads: tuple[Head, ...]
    explained: tuple[Trial, ...]
    confidence: tuple[float, float] | None  # the loss's slope at the truth, and far from it
    options: tuple[Option, ...]
    weights: tuple[Weight, ...]
    place: Place | None

    @cached_property
    def judging(self) -> tuple[Term, ...]:
        """The terms of which it is known what they judge, but no averages."""
        return tuple(term for term in self.terms if term.entry and not term.is_average)

    @property
    def kinds(self) -> tuple[str, ...]:
        """What they judge."""
        return tuple(dict.fromkeys(term.kind or "" for term in self.judging))

    def of(self, kind: str) -> tuple[Term, ...]:
        """The terms that judge this."""
        return tuple(term for term in self.judging if term.kind == kind)

    def most_alone(self, term: Term) -> float:
        """The most that the truth of one sample costs a term, times the samples; infinite where not known."""
        each = [values[self._places[term.name]] for values in self.alone]
        return max(each) * len(each) if each else math.inf

    def value(self, trial: Trial, term: Term) -> float:
        """A term's value in a trial."""
        return trial.values[self._places[term.name]]

    @cached_property
    def _places(self) -> dict[str, int]:
        return {term.name: place for place, term in enumerate(self.terms)}

    def own(self, term: Term) -> tuple[Trial, ...]:
        """The disturbances that a term must see: of its entry, in all views, and in each."""
        own, wanted = [t for t in self.trials if t.entry == term.entry], OWN.get(term.entry, NOISE)
        placed = term.kind in PLACED
        return tuple(t for t in own if t.name == wanted or (placed and t.name.startswith("moved along")))

    def trial(self, name: str) -> Trial | None:
        """The first trial of a name."""
        return next((trial for trial in self.trials if trial.name == name), None)

    def zero(self, kind: str) -> Weight | None:
        """The weight that takes this kind out of the loss, None where none does."""
        factors = {option.owner for option in self.options if option.name == "*" and option.value == 0}
        owners = {term.owner for term in self.of(kind)}
        if factors & owners:
            owner = sorted(factors & owners)[0]
            return Weight(name="*", owner=owner, value=0, given=True, place=None)
        return next((w for w in self.weights if w.value == 0 and kind_of(w.name) == kind), None)
