"""Ground truth sent through the computation of points, and through `infer`: it must come back as itself."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from .parity import Subject

from .frames import CodePlace
from .recording import ForwardCall

POINTS = 20000  # that a fit looks at


class Turn(TypedDict):
    """Between two poses."""

    degrees: float
    metres: float


class Compared(TypedDict):
    """How many points were compared."""

    points: int


class Fit(Compared, total=False):
    """Points against the truth: how far apart, what would bring them onto it, and what is between poses."""

    apart: float
    size: float
    scale: float
    degrees: float
    metres: float
    pose: Turn
    again: Fit  # of the points that depth, rays and pose make
    kept: float


def composition_fits(batch: list[dict[str, Any]]) -> list[Fit | None]:
    """Of each view: depth times rays, moved by the pose, against its own points; the fit between them."""
    return [_compose(view) for view in batch]


def _compose(view: dict[str, Any]) -> Fit | None:
    needed = ("depth_along_ray", "ray_directions_cam", "camera_pose", "pts3d", "valid_mask")
    if any(key not in view for key in needed):
        return None
    known = view["valid_mask"][0].bool()
    points = (view["depth_along_ray"] * view["ray_directions_cam"])[0][known].double()
    pose = view["camera_pose"][0].double()
    found = fit(points @ pose[:3, :3].T + pose[:3, 3], view["pts3d"][0][known].double())
    if "camera_pose_quats" in view:
        parts = pose_of(view["camera_pose_quats"][0].double(), view["camera_pose_trans"][0].double())
        found["pose"] = _between(pose, parts)
    return found


def return_fits(
    asked: Subject, views: list[dict[str, Any]], call: ForwardCall
) -> tuple[list[Fit | None], CodePlace]:
    """Of each view: what `infer` makes of ground truth that stands for the model's answer; and its place."""
    truth = [answer(view, output) for view, output in zip(asked.batch, call.outputs)]
    inference = asked.inferred(views, lambda _: [dict(output) for output in truth])
    fits = [_return(*pair) for pair in zip(asked.batch, inference.predictions)]
    return fits, inference.defined_at


def answer(view: dict[str, Any], output: dict[str, Any]) -> dict[str, Any]:
    """Ground truth in the form of the model's outputs; what there is none of stays as it was."""
    return in_form_of(output, truth_of(view))


def truth_of(view: dict[str, Any]) -> dict[str, Any]:
    """What a view says is true, under the names of the model's outputs."""
    import torch

    mask = view["non_ambiguous_mask"].bool() & view["valid_mask"].bool()
    return {
        "pts3d": view["pts3d"],
        "pts3d_cam": view["pts3d_cam"],
        "ray_directions": view["ray_directions_cam"],
        "depth_along_ray": view["depth_along_ray"],
        "cam_trans": view["camera_pose_trans"],
        "cam_quats": view["camera_pose_quats"],
        "non_ambiguous_mask": mask,
        "non_ambiguous_mask_logits": mask.float() * 20 - 10,
        "metric_scaling_factor": torch.ones(len(mask), 1),
        "conf": torch.ones(mask.shape),
    }


def in_form_of(output: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """The outputs with these values in their place, where the model answers so."""
    known = {
        key: values[key].to(value.device).reshape(value.shape).to(value.dtype)
        for key, value in output.items()
        if key in values
    }
    return dict(output, **known)


def _return(view: dict[str, Any], prediction: dict[str, Any]) -> Fit | None:
    mask = prediction.get("mask")
    if mask is None or "pts3d" not in prediction or "camera_poses" not in prediction:
        return None
    mask = mask[0, ..., 0].cpu().bool()
    points, pose = prediction["pts3d"][0].cpu()[mask].double(), prediction["camera_poses"][0].cpu().double()
    truth = view["pts3d"][0][mask].double()
    again = (prediction["depth_along_ray"] * prediction["ray_directions"])[0].cpu()[mask].double()
    found = fit(points, truth)
    found["again"] = fit(again @ pose[:3, :3].T + pose[:3, 3], truth)
    found["pose"] = _between(view["camera_pose"][0].double(), pose)
    found["kept"] = float(mask.double().mean())
    return found


def fit(points: Any, truth: Any) -> Fit:
    """The scale, turn and shift that would bring points onto the truth; how far apart they are without."""
    import numpy

    finite = points.isfinite().all(-1) & truth.isfinite().all(-1)
    points, truth = points[finite], truth[finite]
    step = max(1, len(points) // POINTS)
    one, other = points[::step].numpy(), truth[::step].numpy()
    if len(one) < 3:
        return {"points": len(one)}
    apart = float(numpy.sqrt(((one - other) ** 2).sum(1).mean()))
    a, b = one - one.mean(0), other - other.mean(0)
    left, sizes, right = numpy.linalg.svd(b.T @ a)
    signs = numpy.diag([1.0, 1.0, numpy.sign(numpy.linalg.det(left @ right))])
    rotation = left @ signs @ right
    scale = float((sizes * numpy.diag(signs)).sum() / max((a**2).sum(), 1e-12))
    shift = other.mean(0) - scale * rotation @ one.mean(0)
    return {
        "points": len(one),
        "apart": apart,
        "size": float(numpy.sqrt((other**2).sum(1).mean())),
        "scale": scale,
        "degrees": _degrees(float(numpy.trace(rotation))),
        "metres": float(numpy.linalg.norm(shift)),
    }


def _degrees(trace: float) -> float:
    return math.degrees(math.acos(min(1.0, max(-1.0, (trace - 1) / 2))))


def _between(one: Any, other: Any) -> Turn:
    """Angle and distance between two poses."""
    turn = one[:3, :3].T @ other[:3, :3]
    return {
        "degrees": _degrees(float(turn.trace())),
        "metres": float((one[:3, 3] - other[:3, 3]).norm()),
    }


def pose_of(quaternion: Any, translation: Any) -> Any:
    """The pose (4, 4) of a unit quaternion (x, y, z, w) and a translation."""
    import torch

    x, y, z, w = (float(part) for part in quaternion / quaternion.norm())
    pose = torch.eye(4, dtype=torch.float64)
    pose[:3, :3] = torch.tensor(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
    pose[:3, 3] = translation
    return pose
