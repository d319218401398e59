"""Meanings: what the numbers in depth files are: z or range along the ray, in which unit."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from opv2v_doctor.geometry.cameras import Array
from opv2v_doctor.text import Text
from opv2v_doctor.threshold import Threshold

LEAST_POINTS = 30  # of the LiDAR, to say anything
CLEARLY = Threshold(
    0.5, "of the other error", "z and range differ by a seventh over the images of OPV2V", healthy=0.11
)
UNITS = {1.0: "m", 1000.0: "mm", 100.0: "cm", 0.001: "km"}


@dataclass(frozen=True, kw_only=True)
class Meaning:
    """What the numbers in the depth files are, as the LiDAR shows; assumed where it does not."""

    depth: str = "z"  # or range
    scale: float = 1.0  # numbers per metre
    known: bool = False
    as_z: float = 0.0  # their median relative difference from z-depth in that unit
    as_range: float = 0.0  # and from the range along the ray
    points: int = 0  # of the LiDAR that a camera sees

    @property
    def error(self) -> float:
        """The difference from what they are, 0 where that is assumed."""
        return min(self.as_z, self.as_range) if self.known else 0.0

    @property
    def unit(self) -> str:
        return UNITS.get(self.scale, f"1/{self.scale:g} m")

    @property
    def untold(self) -> Text:
        """Why it is only assumed."""
        if self.points < LEAST_POINTS:
            return Text("the depth files have {n:LiDAR point|LiDAR points} at their pixels", n=self.points)
        return Text(
            "the LiDAR's points differ by {z:.1%} from the depth files as distance to the image plane, by "
            "{range:.1%} as range along the ray: no clear answer",
            z=self.as_z,
            range=self.as_range,
        )


def meaning_of(z: Array, ranges: Array) -> Meaning:
    """What log(file / z) and log(file / range) (N,) at LiDAR points say."""
    if z.size < LEAST_POINTS:
        return Meaning(points=z.size)
    scale = 10.0 ** float(np.round(np.median(z) / np.log(10)))
    errors = {
        "z": float(np.median(np.abs(z - np.log(scale)))),
        "range": float(np.median(np.abs(ranges - np.log(scale)))),
    }
    best = min(errors, key=lambda kind: errors[kind])
    other = errors["range" if best == "z" else "z"]
    found = Meaning(as_z=errors["z"], as_range=errors["range"], points=z.size)
    if errors[best] > CLEARLY * other:
        return replace(found, scale=scale if errors["z"] < 0.1 else 1.0)
    return replace(found, depth=best, scale=scale, known=True)
