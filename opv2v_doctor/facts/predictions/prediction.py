"""Predictions: what a checkpoint's model says of one sample, beside what is true and what it was given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opv2v_doctor.check import Blocked
from opv2v_doctor.facts.disk.frames import Frame, frame_of
from opv2v_doctor.facts.disk.lidar_files import cloud
from opv2v_doctor.facts.interpreter import questions
from opv2v_doctor.facts.interpreter.views import PINHOLE, Arrays
from opv2v_doctor.facts.launch.config import config
from opv2v_doctor.facts.launch.loaders import loader_module
from opv2v_doctor.facts.launch.splits import expression_of
from opv2v_doctor.facts.past.checkpoints import CheckpointUnreadable, read_checkpoint
from opv2v_doctor.facts.samples.draws import arrays_folder
from opv2v_doctor.facts.source.names import the
from opv2v_doctor.geometry.poses import invert
from opv2v_doctor.state import fact
from opv2v_doctor.target import Target

PREDICTION, TRUTH, INPUT = "prediction", "truth", "input"
SKY = 900.0  # metres: CARLA's cameras give the sky 1000
Array = NDArray[np.float32]
Pose = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class PredictionRequest:
    """One sample and what the model is given of it besides the images."""

    checkpoint: Path
    split: str = "val"
    index: int = 0
    poses: str = "none"  # or "truth", or "noisy"
    depth: str = "none"  # or "sparse", or "dense"
    metres: float = 0.5  # standard deviation of noisy poses, along the ground
    degrees: float = 1.0  # and of their heading


@dataclass(frozen=True, kw_only=True, eq=False)
class PredictedView(Arrays):
    """One agent's view: arrays by source (H, W, ...), in metres, its own frame in OpenCV axes."""

    place: int
    agent: str
    label: str
    instance: str
    frame: Frame | None  # on disk
    camera_model: str | None = None  # as the dataset says

    @cached_property
    def image(self) -> NDArray[np.uint8]:
        """What the model saw, without its normalisation (H, W, 3)."""
        image = self.array("prediction_image")
        if image is None:
            return np.full((*self.depths(TRUTH).shape, 3), 128, np.uint8)
        return np.asarray(np.nan_to_num(np.clip(image, 0, 1)) * 255, np.uint8)

    def depths(self, source: str) -> Array:
        """Range along each ray (H, W). Raises Blocked where the source has none.

        A model predicts ranges; the depth of a pinhole's dataset is z, the range times the ray's own z.
        """
        depth = self.array(f"{source}_depth")
        if depth is None:
            raise Blocked("view {agent}: no depth along the rays ({source})", agent=self.agent, source=source)
        depth = depth.reshape(depth.shape[:2])
        is_z = source == TRUTH and self.camera_model in PINHOLE
        return np.asarray(depth / self._rays(source)[..., 2] if is_z else depth, np.float32)

    def points(self, source: str) -> Array:
        """Points (H, W, 3) around the view's camera: range times ray."""
        return np.asarray(self.depths(source)[..., None] * self._rays(source), np.float32)

    def _rays(self, source: str) -> NDArray[Any]:
        rays = self.array(f"{source}_rays")
        if rays is None:
            raise Blocked("view {agent}: no rays ({source})", agent=self.agent, source=source)
        return rays

    @cached_property
    def valid(self) -> NDArray[np.bool_]:
        """Where the true depth is known and not the sky (H, W)."""
        depth, valid = self.depths(TRUTH), self.array("truth_valid")
        known = np.isfinite(depth) & (depth > 0) & (depth < SKY)
        return known if valid is None else known & valid.reshape(depth.shape).astype(bool)

    def mask(self, source: str) -> NDArray[np.bool_] | None:
        """The non-ambiguous mask (H, W); None where the source has none."""
        mask = self.array(f"{source}_mask")
        return None if mask is None else mask.reshape(mask.shape[:2]).astype(bool)

    @cached_property
    def lidar(self) -> Pose | None:
        """The LiDAR points of the frame (N, 3) around the agent; None where there is no cloud on disk.

        None for a pinhole, too, which does not sit where the LiDAR is.
        """
        return cloud(self.frame) if self.frame and self.camera_model not in PINHOLE else None


@dataclass(frozen=True, kw_only=True, eq=False)
class Predictions:
    """The model's views of one sample, and how it came to them."""

    inquiry: PredictionRequest
    views: tuple[PredictedView, ...]
    inputs: tuple[str, ...]  # the keys that a view had when it was given to the model
    effect: float | None  # metres by which given poses and depth move the points; None where none were given
    precision: str
    weights: questions.Account  # what was loaded

    def poses(self, source: str) -> tuple[Pose | None, ...]:
        """Poses (4, 4) to the first agent's frame, of that same source; None where one is not finite."""
        found = [view.array(f"{source}_pose") for view in self.views]
        known = [None if pose is None else np.asarray(pose, np.float64) for pose in found]
        first = known[0] if known else None
        if first is None or not np.isfinite(first).all():
            return tuple(None for _ in known)
        here = invert(first)
        return tuple(here @ pose if pose is not None and np.isfinite(pose).all() else None for pose in known)

    @property
    def scale(self) -> float | None:
        """The factor that the model says makes its scene metric."""
        found = self.views[0].array("prediction_scale") if self.views else None
        return float(found.ravel()[0]) if found is not None and np.isfinite(found).all() else None


@fact
def predictions(target: Target, inquiry: PredictionRequest) -> Predictions:
    """Run the model on a sample, in the training interpreter.

    Raises Blocked where the model cannot be opened or run, Skip where the config has no such split.
    """
    expression = expression_of(target, inquiry.split)
    folder = arrays_folder(target) / f"predicted-{abs(hash(inquiry))}"
    answer = questions.predict(
        target,
        config=dict(training_config(target, inquiry.checkpoint)),
        checkpoint=str(inquiry.checkpoint),
        models=the(target, "model").reference,
        expression=expression,
        datasets=loader_module(target),
        test_loader=the(target, "test_loader").reference,
        index=inquiry.index,
        given={
            "poses": inquiry.poses,
            "depth": inquiry.depth,
            "metres": inquiry.metres,
            "degrees": inquiry.degrees,
        },
        folder=str(folder),
    )
    views = (
        _view(target, inquiry.split, view, place, f"{folder / str(place)}")
        for place, view in enumerate(answer.views)
    )
    return Predictions(
        inquiry=inquiry,
        views=tuple(views),
        inputs=answer.inputs,
        effect=answer.effect,
        precision=answer.precision,
        weights=answer.weights,
    )


def training_config(target: Target, checkpoint: Path) -> Mapping[str, Any]:
    """The config that made the checkpoint, which is in it; where it is not, that of the target."""
    try:
        own = read_checkpoint(checkpoint).args
    except CheckpointUnreadable as problem:
        if checkpoint.suffix != ".safetensors":
            raise Blocked(
                "the checkpoint is unreadable: {problem}", at=checkpoint, problem=problem.reason
            ) from None
        own = None
    found = own if own and "model" in own else config(target).values
    return {key: value for key, value in found.items() if key != "hydra"}


def _view(target: Target, split: str, shown: questions.ShownView, place: int, prefix: str) -> PredictedView:
    identity = shown.identity
    return PredictedView(
        place=place,
        agent=identity.agent or str(place),
        label=identity.label or "",
        instance=identity.instance or "",
        frame=frame_of(target, split, identity),
        camera_model=shown.camera_model,
        prefix=prefix,
    )
