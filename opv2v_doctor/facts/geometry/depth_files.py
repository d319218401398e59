"""Depth files: what the maps of the sampled frames hold besides depth: gaps, ceilings, and what PNGs say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opv2v_doctor import rasters
from opv2v_doctor.check import Blocked
from opv2v_doctor.facts.geometry.depth_maps import depth_map, without_depth
from opv2v_doctor.facts.samples.moments import moments
from opv2v_doctor.geometry.ranges import known_depth
from opv2v_doctor.state import fact
from opv2v_doctor.target import Target
from opv2v_doctor.text import Text
from opv2v_doctor.threshold import Threshold

FAR_PLANE = rasters.FAR_PLANE
ENCODINGS = (Text("millimetres"), Text("centimetres"), Text("1/256 m"), Text("24 bits of 1000 m"))
SAME = Threshold(0.02, "of the depth", "a PNG of 16 bits in centimetres rounds 0.5 m by so much")
PICTURE = Threshold(0.5, "of the depth's logarithm", "a PNG that differs so much is no encoding of the depth")


@dataclass(frozen=True, kw_only=True)
class DepthFile:
    """Shares of the pixels of one depth map."""

    path: Path
    zero: float
    negative: float
    unknown: float  # NaN or infinite
    ceiling: float  # exactly at the largest value
    largest: float
    image: Path | None = None  # the same depth as a PNG
    encoding: Text | None = None  # that fits best
    disagreement: float | None = None  # share of pixels that differ by more than SAME


@fact
def depth_files(target: Target, split: str) -> tuple[DepthFile, ...]:
    """All depth maps of the views' cameras. Raises Skip where there are none."""
    found = moments(target, split)
    seen: dict[Path, DepthFile] = {}
    for view in found.views:
        agent = view.frame.agent
        for path in map(view.frame.depth, view.rig(found.where)):
            if agent.has(path) and path not in seen:
                seen[path] = depth_file_at(path, agent.layout.depth_scale)
    if not seen:
        raise without_depth(found.where, split, found.views[0].frame)
    return tuple(seen.values())


def depth_file_at(path: Path, scale: float | None = None) -> DepthFile:
    """One depth map, and the PNG beside it."""
    depth = depth_map(path, scale)
    finite = np.isfinite(depth)
    known = depth[finite & (depth > 0)]
    largest = float(known.max()) if known.size else 0.0
    image, encoding, disagreement = _png_beside(path, depth)
    return DepthFile(
        path=path,
        zero=float((depth == 0).mean()),
        negative=float((depth[finite] < 0).sum() / depth.size),
        unknown=float(1 - finite.mean()),
        ceiling=float((depth == largest).mean()) if known.size else 0.0,
        largest=largest,
        image=image,
        encoding=encoding,
        disagreement=disagreement,
    )


def _png_beside(path: Path, depth: NDArray[Any]) -> tuple[Path | None, Text | None, float | None]:
    """The PNG beside it, how that is encoded, and how far the two disagree."""
    image = path.with_suffix(".png")
    if image == path or not image.is_file():
        return None, None, None
    known = known_depth(depth)
    found = {}
    for encoding, values in _decodings(image):
        if values.shape == depth.shape:
            both = known & (values > 0)
            apart = np.abs(values[both] / depth[both] - 1) > SAME
            found[encoding] = (
                (float(np.median(np.abs(np.log(values[both] / depth[both])))), float(apart.mean()))
                if both.any()
                else (np.inf, 1.0)
            )
    best = min(found, key=lambda encoding: found[encoding], default=None)
    if best is None or found[best][0] > PICTURE:
        return image, None, None  # a picture to look at
    return image, best, found[best][1]


def _decodings(path: Path) -> Iterator[tuple[Text, NDArray[Any]]]:
    """What a PNG may say in metres, by encoding."""
    try:
        picture = rasters.image_of(path, colour=False)
    except (OSError, ValueError) as problem:
        raise Blocked(
            "{file}: cannot be read as an image: {problem}", file=path, problem=str(problem)
        ) from None
    if picture.ndim == 2 and picture.dtype == np.uint16:
        for encoding, scale in zip(ENCODINGS, (1e-3, 1e-2, 1 / 256), strict=False):
            yield encoding, picture * scale
    elif picture.ndim == 3 and picture.shape[2] >= 3 and picture.dtype == np.uint8:
        yield ENCODINGS[3], rasters.carla_depth(picture)
