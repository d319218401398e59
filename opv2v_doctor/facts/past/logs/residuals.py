"""Residuals: what a robust loss says about the error that it was computed from.

Barron's general robust loss grows like a root: rho = 7.6 is an error of 0.77, not of 7.6.
"""

from __future__ import annotations

import ast
import math
from dataclasses import dataclass

from opv2v_doctor import Text
from opv2v_doctor.facts.source.syntax import parsed_expression

WEIGHTS = {  # the part of a metric's name, and the argument that weighs it
    "pose_trans": "pose_trans_loss_weight",
    "pose_quats": "pose_quats_loss_weight",
    "ray_directions": "ray_directions_loss_weight",
    "cam_pts3d": "cam_frame_points_loss_weight",
    "depth": "depth_loss_weight",
    "pts3d": "world_frame_points_loss_weight",
    "scale": "scale_loss_weight",
}
IN_LOG = ("cam_pts3d", "depth", "pts3d", "scale")  # compared after log(1 + x) where loss_in_log is set
ROBUST = {"alpha": 0.5, "scaling_c": 0.25}  # the class's own defaults


@dataclass(frozen=True, kw_only=True)
class RobustLoss:
    """The robust loss of a criterion, and what it is applied to."""

    alpha: float
    scale: float
    weights: tuple[tuple[str, float], ...]
    in_log: bool
    normalised: bool  # lengths are divided by the scene's size before they are compared

    def residual(self, metric: str, value: float) -> float | None:
        """The error behind a metric's value; None for metrics that are not such a loss."""
        part = self.part(metric)
        if part is None or not math.isfinite(value) or value < 0:
            return None
        weight = dict(self.weights).get(WEIGHTS[part], 1.0)
        return inverse(value / weight, self.alpha, self.scale) if weight > 0 else None

    def part(self, metric: str) -> str | None:
        """Which factor of the geometry a metric is the loss of; None where anything else is mixed in."""
        name = metric.rpartition("Loss_")[2].replace("bot95%_", "").replace("_loss", "").removesuffix("_avg")
        known = next((part for part in WEIGHTS if name == part or name.startswith(f"{part}_")), None)
        return known if "conf" not in name else None

    def weight(self, metric: str) -> float:
        part = self.part(metric)
        return dict(self.weights).get(WEIGHTS[part], 1.0) if part else 1.0

    def unit(self, metric: str) -> Text:
        """What the residual is measured in."""
        part = self.part(metric)
        if part in ("pose_quats", "ray_directions"):
            return Text("of a unit vector")
        if self.in_log and part in IN_LOG:
            return Text("in log(1 + length)")
        return Text("x the mean scene distance" if self.normalised else "in the unit of the data")


def inverse(value: float, alpha: float, scale: float) -> float | None:
    """The residual whose robust loss this is; None where no residual has it."""
    curvature = abs(alpha - 2)
    if alpha == 0 or curvature == 0:
        return None
    power = value * alpha / curvature + 1
    if power <= 0:
        return None
    try:
        return scale * math.sqrt(max(0.0, curvature * (power ** (2 / alpha) - 1)))
    except OverflowError:
        return None


def robust_loss(criterion: str) -> RobustLoss | None:
    """The robust loss that a criterion's expression names; None where it names none."""
    try:
        tree = parsed_expression(" ".join(criterion.split()))
    except SyntaxError:
        return None
    calls = [
        node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    ]
    outer = next((call for call in calls if any(_is_robust(argument) for argument in call.args)), None)
    if outer is None:
        return None
    inner = _numbers(next(argument for argument in outer.args if _is_robust(argument)))
    given, words = _numbers(outer), _words(outer)
    return RobustLoss(
        alpha=inner.get("alpha", ROBUST["alpha"]),
        scale=inner.get("scaling_c", ROBUST["scaling_c"]),
        weights=tuple((name, given[name]) for name in WEIGHTS.values() if name in given),
        in_log=words.get("loss_in_log") is True,
        normalised="avg_dis" in str(words.get("norm_mode", "")),
    )


def _is_robust(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func).endswith("RobustRegressionLoss")


def _words(call: ast.expr) -> dict[str, object]:
    """The keyword arguments that are literals."""
    keywords = call.keywords if isinstance(call, ast.Call) else []
    return {
        word.arg: word.value.value for word in keywords if word.arg and isinstance(word.value, ast.Constant)
    }


def _numbers(call: ast.expr) -> dict[str, float]:
    words = _words(call)
    return {name: float(value) for name, value in words.items() if isinstance(value, int | float)}
