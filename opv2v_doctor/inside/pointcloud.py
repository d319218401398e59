"""The model on one sample: what it predicts, what is true, and what it was given, written as arrays."""

from __future__ import annotations

import inspect
import os
from typing import Any, TypedDict

from . import progress
from .model import Account, batch_of, config_of, open_model
from .samples import SEED, Identity

KEPT_SHARE = 0.1  # of the true depth, where the config does not say how sparse it is
PINHOLE = ("pinhole", "perspective")  # whose depthmap is z already
FOUND = {  # what the predictions are called -> what we call them
    "pts3d": "points",
    "pts3d_cam": "own_points",
    "ray_directions": "rays",
    "depth_along_ray": "depth",
    "camera_poses": "pose",
    "non_ambiguous_mask": "mask",
    "conf": "confidence",
    "metric_scaling_factor": "scale",
    "img_no_norm": "image",
}
TRUE = {  # of a dataset's view
    "depthmap": "depth",
    "ray_directions_cam": "rays",
    "camera_pose": "pose",
    "valid_mask": "valid",
    "non_ambiguous_mask": "mask",
}


class Given(TypedDict):
    """What geometry the model gets besides the images, and how far noise moves and turns a pose."""

    poses: str  # none, truth, noisy
    depth: str  # none, sparse, dense
    metres: float
    degrees: float


class Precision(TypedDict):
    """As `infer` takes it."""

    use_amp: bool
    amp_dtype: str


class ShownView(TypedDict):
    """What a view shows, by which kind of camera."""

    identity: Identity
    camera_model: str | None


class Prediction(TypedDict):
    """What was predicted of, and how; the arrays themselves are files."""

    weights: Account
    views: list[ShownView]
    inputs: list[str]
    effect: float | None
    precision: str


def predict(
    config: dict[str, Any],
    checkpoint: str,
    models: str,
    expression: str,
    datasets: str,
    test_loader: str,
    index: int,
    given: Given,
    folder: str,
) -> Prediction:
    """Run the model's inference on one sample and write all arrays as FOLDER/VIEW_PREFIX_NAME.npy.

    Where the model is given geometry, it is run without, too: `effect` is how far that moves its points, in
    metres on average.
    """
    progress.advance("opening the model", 0, 3)
    model, account = open_model(config, checkpoint, models)
    progress.advance("drawing the sample", 1, 3)
    batch = batch_of(expression, datasets, test_loader, index)
    poses = given_poses(batch, given)
    views = [inputs_of(view, number, poses, given["depth"], model) for number, view in enumerate(batch)]
    names = sorted(set().union(*views))  # before the model adds or takes some away
    progress.advance("running the model", 2, 3)
    precision = precision_of(config)
    found = infer(model, views, precision)
    effect = None
    if poses is not None or given["depth"] != "none":
        bare = [inputs_of(view, n, None, "none", model) for n, view in enumerate(batch)]
        effect = movement(found, infer(model, bare, precision))
    os.makedirs(folder, exist_ok=True)
    write(folder, batch, found, poses)
    progress.advance("running the model", 3, 3)
    return {
        "weights": account,
        "views": [shown_view(view) for view in batch],
        "inputs": names,
        "effect": effect,
        "precision": precision["amp_dtype"] if precision["use_amp"] else "fp32",
    }


def precision_of(config: dict[str, Any]) -> Precision:
    """How exactly the training computes: its evaluation and this inference shall not differ in that."""
    params = config_of(config).get("train_params") or {}
    return {"use_amp": bool(params.get("amp", False)), "amp_dtype": str(params.get("amp_dtype") or "bf16")}


def infer(model: Any, views: list[dict[str, Any]], precision: Precision) -> list[dict[str, Any]]:
    """The predictions by the model's own `infer`, with nothing cleared by its masks."""
    import torch

    if not hasattr(model, "infer"):
        raise TypeError("the model %s has no infer()" % type(model).__name__)
    wanted = {"apply_mask": False, "mask_edges": False, "memory_efficient_inference": False, **precision}
    known = inspect.signature(model.infer).parameters
    torch.manual_seed(SEED)
    words = {name: value for name, value in wanted.items() if name in known}
    return list(model.infer([dict(view) for view in views], **words))


def inputs_of(
    view: dict[str, Any], number: int, poses: list[Any] | None, depth_given: str, model: Any
) -> dict[str, Any]:
    """What the model is given for a view: its image, and the geometry that was asked for."""
    import torch

    batch = view["img"].shape[0]
    inputs = {"img": view["img"], "data_norm_type": view["data_norm_type"]}
    if "camera_model" in view:
        inputs["camera_model"] = word(view["camera_model"])
    if poses is not None or depth_given != "none":
        inputs["is_metric_scale"] = torch.ones(batch, dtype=torch.bool)
    if poses is not None:
        inputs["camera_poses"] = torch.from_numpy(poses[number]).float()[None].repeat(batch, 1, 1)
    if depth_given != "none":
        rays = view["ray_directions_cam"].float()
        depth = view["depthmap"].float().reshape(rays.shape[:-1])
        if depth_given == "sparse":
            depth = depth * sparse(depth, model)
        is_z = word(view.get("camera_model")) in PINHOLE
        inputs["ray_directions"], inputs["depth_z"] = rays, depth if is_z else depth * rays[..., 2]
    return inputs


def sparse(depth: Any, model: Any) -> Any:
    """Which pixels of the depth are kept: as few as the config says that training kept, else a tenth."""
    import torch

    config = getattr(model, "geometric_input_config", None) or {}
    removed = float(config.get("sparsification_removal_percent") or 0) or 1 - KEPT_SHARE
    return torch.rand(depth.shape, generator=torch.Generator().manual_seed(SEED)) >= removed


def given_poses(batch: list[dict[str, Any]], given: Given) -> list[Any] | None:
    """Poses (4, 4) to the first agent's frame that the model is given; None where it gets none.

    Noise moves and turns every agent but the first, whose frame the others' poses are in.
    """
    import numpy

    if given["poses"] == "none":
        return None
    poses = [array(view["camera_pose"])[0].astype("float64") for view in batch]
    poses = [numpy.linalg.inv(poses[0]) @ pose for pose in poses]
    if given["poses"] == "noisy":
        random = numpy.random.default_rng(SEED)
        poses[1:] = [pose @ noise(random, given["metres"], given["degrees"]) for pose in poses[1:]]
    return poses


def noise(random: Any, metres: float, degrees: float) -> Any:
    """A pose error: normal along the ground, and a turn about the vertical, as localisers make."""
    import numpy

    turn, error = numpy.deg2rad(random.normal(0, degrees)), numpy.eye(4)
    error[[0, 2], 3] = random.normal(0, metres, 2)
    error[[0, 0, 2, 2], [0, 2, 0, 2]] = numpy.cos(turn), numpy.sin(turn), -numpy.sin(turn), numpy.cos(turn)
    return error


def movement(found: list[dict[str, Any]], bare: list[dict[str, Any]]) -> float | None:
    """How far the points are from those of the other run, on average, metres."""
    import numpy

    pairs = [(array(one["pts3d"]), array(other["pts3d"])) for one, other in zip(found, bare)]
    distances = numpy.concatenate([numpy.linalg.norm(a - b, axis=-1).ravel() for a, b in pairs])
    finite = distances[numpy.isfinite(distances)]
    return float(finite.mean()) if finite.size else None


def write(
    folder: str, batch: list[dict[str, Any]], found: list[dict[str, Any]], poses: list[Any] | None
) -> None:
    """Arrays of each view, without the batch's axis."""
    import numpy

    for number, (view, prediction) in enumerate(zip(batch, found)):
        parts = {"truth_" + name: view.get(key) for key, name in TRUE.items()}
        parts.update({"prediction_" + name: prediction.get(key) for key, name in FOUND.items()})
        parts["input_pose"] = None if poses is None else [poses[number]]
        for name, value in parts.items():
            if value is not None:
                numpy.save(os.path.join(folder, "%d_%s.npy" % (number, name)), array(value)[0])


def shown_view(view: dict[str, Any]) -> ShownView:
    """What a view shows, by which kind of camera."""
    return {
        "identity": {
            "label": word(view.get("label")),
            "instance": word(view.get("instance")),
            "agent_id": word(view.get("agent_id")),
        },
        "camera_model": word(view.get("camera_model")),
    }


def word(value: Any) -> str | None:
    """The word of a collated value, which is a list of one."""
    value = value[0] if isinstance(value, (list, tuple)) else value
    return None if value is None else str(value)


def array(value: Any) -> Any:
    """As NumPy has it; what it has no type for as float32."""
    import numpy

    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = value.float() if value.is_floating_point() else value
    return numpy.asarray(value)
