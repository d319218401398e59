"""Wording: what a wrong reading or convention is called."""

from __future__ import annotations

from opv2v_doctor.geometry.conventions import RIGHT, Convention
from opv2v_doctor.geometry.explanations import Explained

FILES = {"z": "distance to the image plane", "range": "range along the ray"}
OFFSETS = {
    "ignored": "the cameras are taken to sit where the LiDAR is",
    "added": "depth is looked up as if the cameras sat where the LiDAR is, then lengthened by their offset",
}
STEPS = {  # what the repair of a step is called
    "depth": "depth read as what the files hold",
    "scale": "its unit",
    "offsets": "camera offsets",
    "mirrored": "left and right",
    "flipped": "up and down",
    "turn": "azimuth",
    "crop": "intrinsics",
    "source": "files of its own frame",
    "rig": "camera poses",
    "poses": "pose convention",
}
AXES = {
    "unconverted": "its axes are still CARLA's",
    "half converted": "only one of its two frames is in OpenCV axes",
    "mirrored": "CARLA's left-handed axes are taken for right-handed ones: left and right are exchanged",
}


def told(known: Explained, step: str) -> str:
    """What is done wrong in one step of a reading."""
    wrong, right = getattr(known.reading, step), getattr(known.right, step)
    match step:
        case "depth":
            return f"depth is read as {FILES[wrong]} where the files hold {FILES[right]}"
        case "scale":
            return f"depth is {wrong / right:g} times its value in metres"
        case "offsets":
            return OFFSETS[wrong]
        case "turn":
            return f"depth is turned by {abs(wrong):.1f} degrees to the {'right' if wrong > 0 else 'left'}"
        case "crop":
            return f"images are cropped to {wrong.split()[0]}, their intrinsics are not"
        case "source":
            return f"depth is that of {wrong}"
        case "rig":
            return f"the cameras' poses follow {wrong}"
    return {"mirrored": "depth is mirrored: left is right", "flipped": "depth is upside down"}[step]


def all_told(known: Explained) -> str:
    """All steps of a reading in one phrase."""
    return ", and ".join(told(known, step) for step in known.steps)


def convention_told(convention: Convention) -> str:
    """In what a convention differs from OPV2V's."""
    parts = []
    if convention.rotation != RIGHT.rotation:
        parts.append(f"the rotation is {convention.rotation}, OPV2V's is {RIGHT.rotation}")
    if convention.names != RIGHT.names:
        parts.append(
            f"the angles are read as {', '.join(convention.names)}, the files say {', '.join(RIGHT.names)}"
        )
    if not convention.degrees:
        parts.append("degrees are taken for radians")
    if convention.axes != RIGHT.axes:
        parts.append(AXES[convention.axes])
    if convention.relation != RIGHT.relation:
        parts.append(f"the pose is {convention.relation}, expected {RIGHT.relation}")
    return ", and ".join(parts)
