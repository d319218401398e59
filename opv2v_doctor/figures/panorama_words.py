"""Words about a view: what is shown of it, what is wrong with it, and its numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opv2v_doctor.facts.geometry.references import Reference
from opv2v_doctor.facts.samples.panoramas import DrawnView
from opv2v_doctor.figures import pictures

Words = str | tuple[str, str]  # a text, or a text and its kind: bad or good


@dataclass(frozen=True, kw_only=True, eq=False)
class ViewCaption:
    """One view with what is shown beside it: the reference, or the reason why there is none."""

    drawn: DrawnView
    reference: Reference | str
    tolerance: float  # by which a mask's mean may differ from the rig's coverage

    @property
    def stitched(self) -> Reference | None:
        """The reference, where there is one of the view's size."""
        found = self.reference if isinstance(self.reference, Reference) else None
        return found if found is not None and found.mask.shape == self.shape else None

    @cached_property
    def exact(self) -> bytes | None:
        """Its panorama as a PNG file."""
        return None if self.drawn.rgb is None else pictures.png(self.drawn.rgb)

    @cached_property
    def exact_reference(self) -> bytes | None:
        """The reference's panorama as a PNG file."""
        return None if self.stitched is None else pictures.png(self.stitched.rgb)

    @property
    def shape(self) -> tuple[int, int] | None:
        """Rows and columns of what is shown; None where the view holds nothing that can be."""
        rgb = self.drawn.rgb
        known = [a.shape for a in (self.drawn.depth, self.drawn.mask, self.drawn.valid) if a is not None]
        rows, columns = rgb.shape[:2] if rgb is not None else known[0] if known else (0, 0)
        return (int(rows), int(columns)) if rows else None

    def fitting(self, array: NDArray[Any] | None) -> NDArray[Any] | None:
        """The array, where it is of the shape that is shown."""
        return array if array is not None and array.shape[:2] == self.shape else None

    @property
    def wrong(self) -> bool:
        """Whether the mask is not what the rig sees."""
        mean, found = self.drawn.view.mask_mean, self.stitched
        if found is None or found.cylinder is None or mean is None:
            return False
        return abs(mean - found.coverage) > self.tolerance

    @property
    def single(self) -> Reference | None:
        """The reference, where the view is the image of a single camera."""
        found = self.reference if isinstance(self.reference, Reference) else None
        return found if found is not None and found.cylinder is None else None

    @property
    def name(self) -> str:
        if self.single:
            return f"{self.single.frame.agent.name} {self.single.cameras[0]}"
        return self.drawn.view.identity.agent or f"view {self.drawn.place}"


HEAD: list[Words] = [
    *("agent", "label", "mask mean", "the rig sees", "valid mean"),
    *("depth known", "median depth", "from first agent", "turned by"),
]


def row(shown: ViewCaption) -> list[Words]:
    view, found = shown.drawn.view, shown.stitched
    kind = "bad" if shown.wrong else "good" if found else ""
    depth = shown.drawn.depth
    known = None if depth is None else float((np.isfinite(depth) & (depth > 0)).mean())
    pose = _pose(shown)
    return [
        shown.name,
        str(view.identity.label),
        (_number(view.mask_mean), kind),
        _number(found.coverage if found else None),
        _number(view.valid_mean),
        _number(known),
        "–" if view.depth is None else f"{view.depth.median:.2f} m",
        "–" if pose is None else f"{np.linalg.norm(pose[:3, 3]):.3f} m",
        "–" if pose is None else f"{_turn(pose):.2f}°",
    ]


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _pose(shown: ViewCaption) -> NDArray[np.float64] | None:
    pose = shown.drawn.view.pose
    array = None if pose is None else np.array(pose, np.float64)
    return array if array is not None and array.shape == (4, 4) else None


def _turn(pose: NDArray[np.float64]) -> float:
    """The angle of the rotation in degrees."""
    return math.degrees(math.acos(float(np.clip((np.trace(pose[:3, :3]) - 1) / 2, -1, 1))))


def notes(shown: ViewCaption) -> list[Words]:
    """What is to be known of a view, wrong things first."""
    drawn, found = shown.drawn, shown.stitched
    said: list[Words] = []
    if found and shown.wrong and drawn.view.mask_mean is not None:
        why = found.explanation(drawn.view.mask_mean)
        words = f"the mask covers {drawn.view.mask_mean:.3f}, the rig sees {found.coverage:.3f}"
        said.append((f"{words}; {why}" if why else words, "bad"))
    said += [(str(doubt), "bad") for doubt in drawn.doubts]
    if isinstance(shown.reference, str):
        said.append(f"No reference: {shown.reference}")
    elif found is None:
        rows, columns = shown.reference.mask.shape
        size = "x".join(str(side) for side in reversed(shown.shape)) if shown.shape else "nothing"
        said.append((f"the view is {size}, the panorama {columns}x{rows}: no reference beside it", "bad"))
    else:
        said.append(
            "The reference cuts the view out of its camera's file, by the view's own intrinsics"
            if shown.single
            else "The reference sets each camera where it is, by the depth maps"
            if found.near
            else "The reference sets all cameras where the LiDAR is, as the view does: right for what is far"
        )
    arrays = {"depthmap": drawn.depth, "non_ambiguous_mask": drawn.mask, "valid_mask": drawn.valid}
    for name, array in arrays.items():
        if array is None:
            said.append(f"The view has no {name} of rows and columns")
        elif shown.fitting(array) is None:
            said.append((f"{name} is {array.shape}, the image {shown.shape}: not shown", "bad"))
    return [*said, str(drawn.how)]


def details(shown: ViewCaption) -> str:
    """Pose, types and files, as text."""
    view, pose = shown.drawn.view, _pose(shown)
    lines = ["camera_pose:" if shown.single else "camera_pose, to the first agent's frame:"]
    lines += ["  none"] if pose is None else ["  " + "  ".join(f"{x:12.6f}" for x in row) for row in pose]
    if pose is not None:
        rotation = pose[:3, :3]
        off = float(np.abs(rotation @ rotation.T - np.eye(3)).max())
        lines.append(f"  determinant {np.linalg.det(rotation):.6f}, rows off from orthonormal by {off:.1e}")
    lines += ["", "types:", *(f"  {key}: {kind}" for key, kind in sorted(view.types.items()))]
    if isinstance(shown.reference, Reference):
        frame = shown.reference.frame
        lines += [
            "",
            "files:",
            f"  {frame.yaml}",
            *(f"  {frame.image(name)}" for name in shown.reference.cameras),
        ]
    return "\n".join(lines)
