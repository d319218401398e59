"""One checkpoint on samples of training and of validation, beside what needs no training."""

from __future__ import annotations

import math
import os
import time
from typing import Any, TypedDict

from . import progress
from .launched import Epoch, Launched, LaunchWords, launched
from .launched_sets import chosen_set, samples_of
from .model import loaded_into
from .parity import threads_for
from .passages import Numbers, Passage, lacks_memory, through, value_of
from .pointcloud import TRUE, ShownView, shown_view, write
from .truth import in_form_of, pose_of, truth_of
from .weights import weights_of

COMPARED = (  # what predictions are compared with
    "pts3d",
    "pts3d_cam",
    "ray_directions_cam",
    "depth_along_ray",
    "camera_pose_trans",
    "camera_pose_quats",
    "non_ambiguous_mask",
    "valid_mask",
)
WRITTEN = ("pts3d", "ray_directions", "depth_along_ray", "camera_poses", "non_ambiguous_mask")


class Evaluated(TypedDict):
    """One sample through the validation path."""

    part: str  # train or test
    views: list[ShownView]
    prefix: str
    loss: float  # as the epoch's function tells it
    by_train: float | None  # by the training criterion
    terms: Numbers
    repaired: Numbers  # the loss with one thing of the prediction put right
    constant: float | None
    constant_terms: Numbers
    initial: float | None
    matched: float | None  # with the image's channels as training's are


class Evaluation(TypedDict):
    """All samples that there was time for, and the first that could not be evaluated."""

    samples: list[Evaluated]
    asked: int
    problem: str


def evaluated(
    launch: LaunchWords,
    checkpoint: str,
    splits: list[str],
    count: int,
    seconds: float,
    folder: str,
    whole: bool,
) -> Evaluation:
    """Samples of both sets through the validation path; arrays go to FOLDER/NUMBER/VIEW_PREFIX_NAME.npy.

    Without `whole` those of the evaluation set alone, and nothing but their loss and arrays.
    """
    asked = launched(launch)
    test = chosen_set(asked, splits)
    if test is None:
        raise RuntimeError("the launch never evaluates")
    model = getattr(test["model"], "module", test["model"])
    weights = weights_of(checkpoint)
    loaded_into(model, weights)
    plan = [("test", batch) for batch in samples_of(launch, "test", splits, count)]
    if whole:
        trained = [("train", batch) for batch in samples_of(launch, "train", splits, count)]
        plan = (
            [one for pair in zip(trained, plan) for one in pair] + trained[len(plan) :] + plan[len(trained) :]
        )
    found: Evaluation = {"samples": [], "asked": len(plan), "problem": ""}
    begun = time.monotonic()
    with threads_for(model):
        lines = _matching(launch, splits, count) if whole else None
        constants = (
            [_constants(plan, sized) for sized in (True, False)] if whole and _is_complete(plan) else []
        )
        done: list[tuple[Evaluated, list[dict[str, Any]]]] = []
        for number, (part, batch) in enumerate(plan):
            progress.advance("evaluating samples", number, len(plan))
            if time.monotonic() - begun > seconds and number >= 2:
                break
            try:
                done.append((_evaluate(asked, test, part, batch, folder, number, constants, lines), batch))
            except Exception as problem:
                if not lacks_memory(problem):
                    raise
                found["problem"] = "%s: %s" % (type(problem).__name__, str(problem).split("\n")[0])
        if whole:
            loaded_into(model, asked.initial)
            _begin_with(test, done, begun + 2 * seconds)
            loaded_into(model, weights)
    found["samples"] = [sample for sample, _ in done]
    return found


def _is_complete(plan: Any) -> bool:
    """Whether all views hold what a prediction can be compared with."""
    return all(key in view for _, batch in plan for view in batch for key in COMPARED)


def _begin_with(test: Epoch, done: list[tuple[Evaluated, list[dict[str, Any]]]], deadline: float) -> None:
    """The same samples, as many as there is time for, with the weights that the launch begins with."""
    for sample, batch in done:
        if time.monotonic() > deadline:
            return
        path = through(test, batch)
        sample["initial"] = path.loss * path.factor


def _evaluate(
    asked: Launched,
    test: Epoch,
    part: str,
    batch: list[dict[str, Any]],
    folder: str,
    number: int,
    constants: list[dict[str, Any]],
    lines: Any,
) -> Evaluated:
    path = through(test, batch)
    place = os.path.join(folder, str(number))
    _write(place, batch, path.predictions)
    found: Evaluated = {
        "part": part,
        "views": [shown_view(view) for view in batch],
        "prefix": place,
        "loss": path.loss * path.factor,
        "by_train": None,
        "terms": path.terms,
        "repaired": {},
        "constant": None,
        "constant_terms": {},
        "initial": None,
        "matched": None,
    }
    if lines is None:
        return found
    criterion = test["criterion"]
    found["by_train"] = value_of(asked.train["criterion"], path.views, path.predictions, path.factor)[0]
    for name, repaired in _repairs(path).items() if constants else ():
        found["repaired"][name] = value_of(criterion, path.views, repaired, path.factor)[0]
    for values in constants:
        loss, terms = value_of(criterion, path.views, _constant(path, values), path.factor)
        if found["constant"] is None or loss < found["constant"]:
            found["constant"], found["constant_terms"] = loss, terms
    if part == "test":
        again = [dict(view, img=view["img"] * lines[0] + lines[1]) for view in batch]
        other = through(test, again)
        found["matched"] = other.loss * other.factor
    return found


def _write(place: str, batch: list[dict[str, Any]], predictions: list[dict[str, Any]]) -> None:
    """What errors are measured of."""
    import torch

    found = []
    for prediction in predictions:
        if "cam_quats" in prediction and "cam_trans" in prediction:
            pose = pose_of(prediction["cam_quats"][0].double(), prediction["cam_trans"][0].double())
            prediction = dict(prediction, camera_poses=pose[None])
        if "non_ambiguous_mask" not in prediction and "non_ambiguous_mask_logits" in prediction:
            prediction = dict(prediction, non_ambiguous_mask=prediction["non_ambiguous_mask_logits"] > 0)
        kept = {name: prediction[name] for name in WRITTEN if name in prediction}
        found.append({n: v.detach() if isinstance(v, torch.Tensor) else v for n, v in kept.items()})
    os.makedirs(place, exist_ok=True)
    write(place, [{key: view[key] for key in TRUE if key in view} for view in batch], found, None)


def _repairs(path: Passage) -> dict[str, list[dict[str, Any]]]:
    """The predictions with one thing of them put right: the pose, the depth with its rays, scale, mask."""
    import torch

    needed = ("pts3d", "pts3d_cam", "cam_quats", "cam_trans", "depth_along_ray")
    if any(name not in one for one in path.predictions for name in needed):
        return {}
    ratios = [
        (view["depth_along_ray"].to(one["depth_along_ray"].device) / one["depth_along_ray"])[valid]
        for view, one in zip(path.views, path.predictions)
        for valid in [view["valid_mask"].to(one["depth_along_ray"].device).bool()]
    ]
    joined = torch.cat([ratio.reshape(-1) for ratio in ratios])
    scale = float(joined.float().median()) if joined.numel() else 1.0
    found: dict[str, list[dict[str, Any]]] = {"pose": [], "depth": [], "scale": [], "mask": []}
    lengths = ("pts3d", "pts3d_cam", "depth_along_ray", "cam_trans", "metric_scaling_factor")
    for view, one in zip(path.views, path.predictions):
        true = in_form_of(one, truth_of(view))
        own = _placed(one["pts3d_cam"], true)
        found["pose"].append(dict(one, cam_quats=true["cam_quats"], cam_trans=true["cam_trans"], pts3d=own))
        names = ("depth_along_ray", "ray_directions", "pts3d_cam")
        depth = {name: true[name] for name in names if name in one}
        found["depth"].append(dict(one, **depth, pts3d=_placed(true["pts3d_cam"], one)))
        found["scale"].append(dict(one, **{name: one[name] * scale for name in lengths if name in one}))
        found["mask"].append(in_form_of(one, _mask_of(view)))
    return found


def _mask_of(view: dict[str, Any]) -> dict[str, Any]:
    """The true mask as the model would answer it, be it certain of it."""
    mask = view["non_ambiguous_mask"].bool()
    return {"non_ambiguous_mask": mask, "non_ambiguous_mask_logits": mask.float() * 20 - 10}


def _placed(points: Any, posed: dict[str, Any]) -> Any:
    """Points (B, H, W, 3) of cameras, moved by their poses."""
    import torch

    poses = [pose_of(q.double(), t.double()) for q, t in zip(posed["cam_quats"], posed["cam_trans"])]
    pose = torch.stack(poses).to(points)
    return torch.einsum("bij,bhwj->bhwi", pose[:, :3, :3], points) + pose[:, None, None, :3, 3]


def _matching(launch: LaunchWords, splits: list[str], count: int) -> Any:
    """Slope and offset of each channel that make validation's images as bright as training's."""
    import torch

    pooled = []
    for part in ("train", "test"):
        views = [view for batch in samples_of(launch, part, splits, count) for view in batch]
        means = torch.stack([view["img"].double().mean((0, 2, 3)) for view in views])
        squares = torch.stack([view["img"].double().square().mean((0, 2, 3)) for view in views])
        mean = means.mean(0)
        pooled.append((mean, (squares.mean(0) - mean.square()).clamp(min=1e-12).sqrt()))
    (mean, deviation), (other, spread) = pooled
    slope = deviation / spread
    return tuple(value.float().reshape(1, -1, 1, 1) for value in (slope, mean - slope * other))


def _constants(plan: Any, sized: bool) -> dict[str, Any]:
    """What the best constant predictor answers: mean depth, identity pose, mean scale, mean mask.

    `sized`: the scale is the mean distance of the true points, as a model that predicts lengths of its own
    answers it; else 1.
    """
    import torch

    views = [view for part, batch in plan if part == "train" for view in batch]
    logs = [view["depth_along_ray"][view["valid_mask"].bool()].double().log().mean() for view in views]
    known = [value for value in logs if bool(value.isfinite())]
    sizes = [view["pts3d"][view["valid_mask"].bool()].double().norm(dim=-1).mean() for view in views]
    finite = [value for value in sizes if bool(value.isfinite())]
    masks = torch.stack([view["non_ambiguous_mask"].double().mean() for view in views])
    return {
        "depth": float(torch.stack(known).mean().exp()) if known else 1.0,
        "scale": float(torch.stack(finite).mean()) if sized and finite else 1.0,
        "mask": float(masks.mean().clamp(1e-4, 1 - 1e-4)),
    }


def _constant(path: Passage, values: dict[str, Any]) -> list[dict[str, Any]]:
    """The same answer whatever the images are; the rays are the camera's."""
    import torch

    found = []
    for view, output in zip(path.views, path.predictions):
        true = truth_of(view)
        depth = torch.full_like(true["depth_along_ray"].float(), values["depth"])
        points = depth * true["ray_directions"].to(depth)
        odds = math.log(values["mask"] / (1 - values["mask"]))
        batch = len(points)
        answer = {
            "pts3d": points,
            "pts3d_cam": points,
            "ray_directions": true["ray_directions"],
            "depth_along_ray": depth,
            "cam_trans": torch.zeros(batch, 3),
            "cam_quats": torch.tensor([0.0, 0.0, 0.0, 1.0]).expand(batch, 4),
            "metric_scaling_factor": torch.full((batch, 1), values["scale"]),
            "non_ambiguous_mask": torch.full(true["non_ambiguous_mask"].shape, odds > 0),
            "non_ambiguous_mask_logits": torch.full(true["non_ambiguous_mask"].shape, odds),
            "conf": true["conf"],
        }
        found.append(in_form_of(output, answer))
    return found
