"""Exact ray casting: what a ray meets first in a world of flat ground and oriented boxes."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from opv2v_doctor.geometry.poses import invert, transform

Array = NDArray[np.float64]

FAR = 150.0  # metres: beyond this range nothing is seen, as in a town with haze
GROUND = -1


@dataclass(frozen=True, eq=False)
class Boxes:
    """Oriented boxes in UE axes: poses to the world, half sizes in metres, colours (RGB)."""

    poses: Array  # (M, 4, 4)
    extents: Array  # (M, 3)
    colours: Array  # (M, 3)

    def __add__(self, other: "Boxes") -> "Boxes":
        return Boxes(
            np.concatenate([self.poses, other.poses]),
            np.concatenate([self.extents, other.extents]),
            np.concatenate([self.colours, other.colours]),
        )


class Hits(NamedTuple):
    """What N rays meet: the length in units of each direction (inf: nothing), and the box (-1: ground)."""

    lengths: Array  # (N,)
    surfaces: NDArray[np.int64]  # (N,)


def cast(origin: Array, directions: Array, boxes: Boxes) -> Hits:
    """The first surface along each of the directions (N, 3), which need not be unit, from one origin (3,)."""
    norms = np.linalg.norm(directions, axis=1)
    lengths = _ground(origin, directions)
    surfaces = np.full(len(directions), GROUND)
    for index, (pose, extent) in enumerate(zip(boxes.poses, boxes.extents, strict=True)):
        near = _towards(origin, directions, norms, pose[:3, 3], float(np.linalg.norm(extent)))
        found = _box(transform(invert(pose), origin[None])[0], directions[near] @ pose[:3, :3], extent)
        closer = found < lengths[near]
        lengths[near[closer]] = found[closer]
        surfaces[near[closer]] = index
    lengths[lengths * norms > FAR] = np.inf
    return Hits(lengths, surfaces)


def colours(origin: Array, directions: Array, hits: Hits, boxes: Boxes) -> Array:
    """The colour (N, 3), 0 to 255, of what the rays meet: painted ground, shaded and windowed boxes, sky."""
    picture = _sky(directions)
    met = np.isfinite(hits.lengths)
    points = origin + directions * np.where(met, hits.lengths, 0.0)[:, None]
    ground = met & (hits.surfaces == GROUND)
    picture[ground] = _asphalt(points[ground])
    for index in np.unique(hits.surfaces[met & ~ground]):
        seen = met & (hits.surfaces == index)
        local = transform(invert(boxes.poses[index]), points[seen])
        picture[seen] = boxes.colours[index] * _facade(local, boxes.extents[index])[:, None]
    return np.clip(picture, 0.0, 255.0)


def _towards(
    origin: Array, directions: Array, norms: Array, centre: Array, radius: float
) -> NDArray[np.int64]:
    """Indices of the rays that meet a ball around the box: only those need the exact test."""
    to_centre = centre - origin
    distance = float(np.linalg.norm(to_centre))
    if distance <= radius:
        return np.arange(len(directions))
    tangent = np.sqrt(distance**2 - radius**2)
    return np.flatnonzero(directions @ to_centre >= norms * tangent)


def _ground(origin: Array, directions: Array) -> Array:
    """Lengths (N,) to the plane z = 0, inf for rays that rise."""
    falling = directions[:, 2] < 0
    return np.where(falling, -origin[2] / np.where(falling, directions[:, 2], 1.0), np.inf)


def _box(origin: Array, directions: Array, extent: Array) -> Array:
    """Lengths (N,) to a box centred on the axes, inf where it is missed (or the origin lies inside)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        one, other = (-extent - origin) / directions, (extent - origin) / directions
    enter = np.minimum(one, other).max(1)
    leave = np.maximum(one, other).min(1)
    return np.asarray(np.where((enter > 0) & (enter <= leave), enter, np.inf))


def _sky(directions: Array) -> Array:
    """A blue that pales towards the horizon."""
    height = np.clip(directions[:, 2] / np.linalg.norm(directions, axis=1), 0.0, 1.0)
    return np.asarray(np.array([205.0, 220.0, 235.0]) - height[:, None] * [110.0, 70.0, 10.0])


def _asphalt(points: Array) -> Array:
    """Slabs of two metres in four greys, so that near ground has texture."""
    slab = np.floor(points[:, :2] / 2.0).astype(np.int64)
    shade = 70.0 + 18.0 * ((slab[:, 0] * 7 + slab[:, 1] * 13) % 4)
    return np.repeat(shade[:, None], 3, axis=1)


def _facade(local: Array, extent: Array) -> Array:
    """Brightness (N,) of points on a box: one per face, with a window every three metres on tall boxes."""
    face = np.argmin(np.abs(np.abs(local) - extent), axis=1)
    brightness = np.array([0.8, 0.6, 1.0])[face]
    if extent[2] > 2.0:
        along = np.where(face == 0, local[:, 1], local[:, 0])
        window = (np.mod(along, 3.0) < 1.4) & (np.mod(local[:, 2], 3.0) < 1.6) & (face != 2)
        brightness = np.where(window, brightness * 0.45, brightness)
    return np.asarray(brightness)
