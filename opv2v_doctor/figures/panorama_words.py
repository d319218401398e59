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
from opv2v_doctor.text import Text, quoted, sentence

Words = str | Text | tuple[str | Text, str]  # a text, or a text and its kind: bad or good
CLOSE, NEAR = (
    32,
    0.05,
)  # levels of 255, and the share of a depth, by which a pixel may differ and be taken for the same
MOST = 0.5  # of the pixels that are compared have to be the same: else it is not that image or depth


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
    def pose(self) -> NDArray[np.float64] | None:
        """Its pose (4, 4) as the view has it; None where it has none of that shape."""
        pose = self.drawn.view.pose
        array = None if pose is None else np.array(pose, np.float64)
        return array if array is not None and array.shape == (4, 4) else None

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
    *(Text("agent"), Text("label"), Text("mask mean"), Text("the rig sees"), Text("valid mean")),
    *(
        Text("depth known"),
        Text("median depth"),
        Text("from first agent"),
        Text("turned by"),
        Text("verdict"),
    ),
]


def row(shown: ViewCaption) -> list[Words]:
    view, found = shown.drawn.view, shown.stitched
    kind = "bad" if shown.wrong else "good" if found else ""
    depth = shown.drawn.depth
    known = None if depth is None else float((np.isfinite(depth) & (depth > 0)).mean())
    pose = shown.pose
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
        verdict(shown)[0],
    ]


def verdict(shown: ViewCaption) -> list[tuple[Text, str]]:
    """In what a view differs from the reference, with the check that judges it, the worst first.

    What is the same is told in one sentence.
    """
    found, drawn = shown.stitched, shown.drawn
    bad: list[Text] = []
    same: list[Text] = []
    if found is not None and shown.wrong:
        mean = drawn.view.mask_mean
        why = found.explanation(mean or 0.0)
        seen = found.coverage
        said = Text("the mask covers {mean:.3f}, the rig sees {seen:.3f}", mean=mean, seen=seen)
        said = Text("{said}; {why}", said=said, why=why) if why else said
        bad.append(Text("{said} (MSK002)", said=said))
    elif found is not None and drawn.view.mask_mean is not None and found.cylinder is not None:
        same.append(Text("mask"))
    compared = (
        (_same_image(shown), Text("image"), "GEO009"),
        (_same_depth(shown), Text("depth"), "GEO017"),
    )
    for share, name, code in compared:
        if share is None:
            continue
        if share < MOST:
            said = Text("{share:.0%} of the {name} is what the files show", share=share, name=name)
            bad.append(Text("{said} ({code})", said=said, code=code))
        else:
            same.append(Text("{name} ({share:.0%})", name=name, share=share))
    outside = _outside(shown)
    if outside:
        bad.append(Text("valid_mask marks {share:.1%} outside of the mask (MSK003)", share=outside))
    bad += [Text("{doubt} (GEO015)", doubt=doubt) for doubt in drawn.doubts]
    told: list[tuple[Text, str]] = [(text, "bad") for text in bad]
    if same:
        return [*told, (Text("as the reference: {parts}", parts=same), "" if bad else "good")]
    return told or [(Text("nothing to compare it with"), "")]


def _same_image(shown: ViewCaption) -> float | None:
    """The share of what the rig sees whose colour is that of the reference."""
    rgb, found = shown.drawn.rgb, shown.stitched
    if rgb is None or found is None or not found.mask.any():
        return None
    apart = np.abs(rgb.astype(np.int16) - found.rgb).max(axis=-1)
    return float((apart <= CLOSE)[found.mask].mean())


def _same_depth(shown: ViewCaption) -> float | None:
    """The share of what both know whose depth is that of the reference."""
    mine, found = shown.fitting(shown.drawn.depth), shown.stitched
    if mine is None or found is None or found.ranges is None:
        return None
    with np.errstate(invalid="ignore"):
        both = np.isfinite(mine) & (mine > 0) & np.isfinite(found.ranges) & (found.ranges > 0)
    if not both.any():
        return None
    return float((np.abs(mine[both] - found.ranges[both]) <= NEAR * found.ranges[both]).mean())


def _outside(shown: ViewCaption) -> float:
    """The share of the view that is valid and not in the mask."""
    valid, mask = shown.fitting(shown.drawn.valid), shown.fitting(shown.drawn.mask)
    return 0.0 if valid is None or mask is None else float((valid.astype(bool) & ~mask.astype(bool)).mean())


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _turn(pose: NDArray[np.float64]) -> float:
    """The angle of the rotation in degrees."""
    return math.degrees(math.acos(float(np.clip((np.trace(pose[:3, :3]) - 1) / 2, -1, 1))))


def notes(shown: ViewCaption) -> list[Words]:
    """What is to be known of a view besides its verdict, wrong things first."""
    drawn, found = shown.drawn, shown.stitched
    said: list[Words] = []
    if isinstance(shown.reference, str):
        said.append(Text("No reference: {why}", why=shown.reference))
    elif found is None:
        rows, columns = shown.reference.mask.shape
        size = "x".join(str(side) for side in reversed(shown.shape)) if shown.shape else Text("nothing")
        told = Text(
            "the view is {size}, the panorama {columns}x{rows}: no reference beside it",
            size=size,
            columns=columns,
            rows=rows,
        )
        said.append((told, "bad"))
    else:
        said.append(
            Text("The reference cuts the view out of its camera's file, by the view's own intrinsics")
            if shown.single
            else Text("The reference sets each camera where it is, by the depth maps")
            if found.near
            else Text(
                "The reference sets all cameras where the LiDAR is, as the view does: right for what is far"
            )
        )
    arrays = {"depthmap": drawn.depth, "non_ambiguous_mask": drawn.mask, "valid_mask": drawn.valid}
    for name, array in arrays.items():
        if array is None:
            said.append(Text("The view has no {name} of rows and columns", name=name))
        elif shown.fitting(array) is None:
            shapes = {"shape": str(array.shape), "image": str(shown.shape)}
            said.append((Text("{name} is {shape}, the image {image}: not shown", name=name, **shapes), "bad"))
    return [*said, drawn.how]


def details(shown: ViewCaption) -> Text:
    """Pose, types and files, a line each."""
    view, pose = shown.drawn.view, shown.pose
    lines = [Text("camera_pose:" if shown.single else "camera_pose, to the first agent's frame:")]
    if pose is None:
        lines.append(Text("  none"))
    else:
        lines += [quoted("  " + "  ".join(f"{x:12.6f}" for x in row)) for row in pose]
    if pose is not None:
        rotation = pose[:3, :3]
        off = float(np.abs(rotation @ rotation.T - np.eye(3)).max())
        lines.append(
            Text(
                "  determinant {determinant:.6f}, rows off from orthonormal by {off:.1e}",
                determinant=float(np.linalg.det(rotation)),
                off=off,
            )
        )
    types = sorted(view.types.items())
    lines += [quoted(""), Text("types:"), *(quoted(f"  {key}: {kind}") for key, kind in types)]
    if isinstance(shown.reference, Reference):
        frame, cameras = shown.reference.frame, shown.reference.cameras
        files = [frame.yaml, *(frame.image(name) for name in cameras)]
        lines += [quoted(""), Text("files:"), *(quoted(f"  {file}") for file in files)]
    return sentence(lines, "\n")
