"""Criteria: they combine as `A(...) + 0.3 * B(...)` and return the loss and its parts by name."""

from copy import copy

import torch
from torch import nn
from torch.nn import functional

from mapanything.train.details import by_view, detail_name, mean_of, total, wide


class RobustRegressionLoss(nn.Module):
    """Barron's robust loss of the length of a residual: quadratic near 0, flatter beyond `scaling_c`."""

    def __init__(self, alpha=0.5, scaling_c=0.05):
        super().__init__()
        self.alpha, self.scaling_c = alpha, scaling_c

    def forward(self, predicted, true):
        """Loss (...) of vectors (..., D)."""
        squared = ((predicted - true) / self.scaling_c).square().sum(-1)
        bend = abs(self.alpha - 2)
        return bend / self.alpha * ((squared / bend + 1) ** (self.alpha / 2) - 1)


class BCELoss(nn.Module):
    """Mean binary cross entropy of logits."""

    def forward(self, logits, target):
        """A scalar."""
        return functional.binary_cross_entropy_with_logits(logits, target.to(logits.dtype))


class MultiLoss(nn.Module):
    """A term of a sum of losses."""

    def __init__(self):
        super().__init__()
        self._weight = 1.0
        self._next = None

    def __mul__(self, weight):
        scaled = copy(self)
        scaled._weight = self._weight * weight
        return scaled

    __rmul__ = __mul__

    def __add__(self, other):
        joined = copy(self)
        joined._next = other if self._next is None else self._next + other
        return joined

    def compute_loss(self, views, predictions):
        """The loss, and its parts by name."""
        raise NotImplementedError

    def forward(self, views, predictions):
        """The weighted sum of all terms, and their parts by name."""
        loss, details = self.compute_loss(views, predictions)
        loss = self._weight * loss
        if self._next is not None:
            other, more = self._next(views, predictions)
            loss, details = loss + other, details | more
        return loss, details


class NonAmbiguousMaskLoss(MultiLoss):
    """How well the mask logits tell where a camera looks."""

    def __init__(self, criterion):
        super().__init__()
        self.criterion = criterion

    def compute_loss(self, views, predictions):
        logits = [prediction["non_ambiguous_mask_logits"] for prediction in predictions]
        masks = [view["non_ambiguous_mask"] for view in views]
        losses = [self.criterion(logit, mask) for logit, mask in zip(logits, masks, strict=True)]
        details = by_view("NonAmbiguousMaskLoss_mask", losses)
        details["NonAmbiguousMaskLoss_pred_mask_mean"] = mean_of(
            logit.sigmoid().mean() for logit in logits
        ).item()
        details["NonAmbiguousMaskLoss_gt_mask_mean"] = mean_of(mask.float().mean() for mask in masks).item()
        return sum(losses), details


class FactoredGeometryScaleRegr3DPlusNormalGMLoss(MultiLoss):
    """Points, rays, range, pose, scale and gradients of range, each after division by the scene's size."""

    def __init__(
        self,
        criterion,
        norm_mode="avg_dis",
        loss_in_log=True,
        ray_directions_loss_weight=1.0,
        depth_loss_weight=1.0,
        cam_frame_points_loss_weight=1.0,
        world_frame_points_loss_weight=1.0,
        pose_quats_loss_weight=1.0,
        pose_trans_loss_weight=1.0,
        scale_loss_weight=1.0,
        gm_loss_weight=1.0,
    ):
        super().__init__()
        if norm_mode != "avg_dis":
            raise ValueError(f"norm_mode {norm_mode} is not implemented")
        self.criterion, self.loss_in_log = criterion, loss_in_log
        self.weights = {
            "pts3d": world_frame_points_loss_weight,
            "cam_pts3d": cam_frame_points_loss_weight,
            "depth_along_ray": depth_loss_weight,
            "ray_directions": ray_directions_loss_weight,
            "pose_quats": pose_quats_loss_weight,
            "pose_trans": pose_trans_loss_weight,
            "scale": scale_loss_weight,
            "gradient_matching": gm_loss_weight,
        }

    def dense_losses(self, views, predictions):
        """Per-pixel losses of the three kinds of points, already weighted: lists of (P,), one a view."""
        true_size, size = self._sizes(views, predictions)
        pairs = {"pts3d": "pts3d", "cam_pts3d": "pts3d_cam", "depth_along_ray": "depth_along_ray"}
        return {
            name: [
                self.weights[name]
                * self.criterion(
                    self._log(prediction[key] / wide(size)), self._log(view[key] / wide(true_size))
                )[view["valid_mask"]]
                for view, prediction in zip(views, predictions, strict=True)
            ]
            for name, key in pairs.items()
        }

    def sparse_losses(self, views, predictions):
        """Losses of rays, poses, scale and gradients, already weighted: lists of scalars, one a view."""
        true_size, size = self._sizes(views, predictions)
        losses = {"ray_directions": [], "pose_quats": [], "pose_trans": [], "gradient_matching": []}
        for view, prediction in zip(views, predictions, strict=True):
            quaternion, true = prediction["cam_quats"], view["camera_pose_quats"]
            turned = true * torch.where((quaternion * true).sum(-1, keepdim=True) < 0, -1.0, 1.0)
            trans = prediction["cam_trans"] / size[:, None], view["camera_pose_trans"] / true_size[:, None]
            rays = self.criterion(prediction["ray_directions"], view["ray_directions_cam"])
            losses["ray_directions"].append(rays.mean())
            losses["pose_quats"].append(self.criterion(quaternion, turned).mean())
            losses["pose_trans"].append(self.criterion(*trans).mean())
            losses["gradient_matching"].append(self._gradients(view, prediction))
        scale = self.criterion(size.log()[:, None], true_size.log()[:, None]).mean()
        return {name: [self.weights[name] * loss for loss in values] for name, values in losses.items()} | {
            "scale": [self.weights["scale"] * scale]
        }

    def compute_loss(self, views, predictions):
        dense = {
            name: [loss.mean() if loss.numel() else loss.sum() for loss in losses]
            for name, losses in self.dense_losses(views, predictions).items()
        }
        return total(dense | self.sparse_losses(views, predictions))

    @staticmethod
    def _sizes(views, predictions):
        """Mean distance of the valid true points from the origin (B,), and the predicted scale (B,)."""
        distances = torch.stack([view["pts3d"].norm(dim=-1) for view in views])
        valid = torch.stack([view["valid_mask"] for view in views])
        total = (distances * valid).sum((0, 2, 3)) / valid.sum((0, 2, 3)).clamp(min=1)
        return total.clamp(min=1e-3), predictions[0]["metric_scaling_factor"][:, 0]

    def _log(self, points):
        if not self.loss_in_log:
            return points
        length = points.norm(dim=-1, keepdim=True).clamp(min=1e-8)
        return points / length * length.log1p()

    @staticmethod
    def _gradients(view, prediction):
        """Mean difference of the steps of log range between neighbours that are both valid."""
        valid = view["valid_mask"][:, :, 1:] & view["valid_mask"][:, :, :-1]
        true, predicted = (
            values["depth_along_ray"].squeeze(-1).clamp(min=1e-3).log() for values in (view, prediction)
        )
        steps = (predicted[:, :, 1:] - predicted[:, :, :-1]) - (true[:, :, 1:] - true[:, :, :-1])
        return (steps.abs() * valid).sum() / valid.sum().clamp(min=1)


class ExcludeTopNPercentPixelLoss(MultiLoss):
    """The pixel loss without its worst pixels, which in real data are often the data's fault."""

    def __init__(self, pixel_loss, top_n_percent=5, apply_to_real_data_only=True):
        super().__init__()
        self.pixel_loss = pixel_loss
        self.kept = 1 - top_n_percent / 100
        self.label = f"bot{100 - top_n_percent}%_loss"
        self.apply_to_real_data_only = apply_to_real_data_only

    def compute_loss(self, views, predictions):
        sets = self.pixel_loss.dense_losses(views, predictions)
        synthetic = bool(torch.as_tensor(views[0]["is_synthetic"]).all())
        keep_all = synthetic and self.apply_to_real_data_only
        reduced = {name: self._reduced(name, losses, predictions, keep_all) for name, losses in sets.items()}
        loss, details = total(reduced | self.pixel_loss.sparse_losses(views, predictions))
        for name, losses in sets.items():
            details |= by_view(detail_name(name), [values.mean() for values in losses if values.numel()])
            details[detail_name(f"{name}_{self.set_label(name)}_avg")] = mean_of(reduced[name]).item()
        return loss, details

    def set_label(self, name):
        """What was done to this set of losses."""
        return self.label

    def _reduced(self, name, losses, predictions, keep_all):
        return [self._without_worst(loss, keep_all) for loss in losses]

    def _without_worst(self, loss, keep_all):
        if keep_all or loss.numel() == 0:
            return loss.mean() if loss.numel() else loss.sum()
        return loss.sort().values[: max(1, int(self.kept * loss.numel()))].mean()


class ConfAndExcludeTopNPercentPixelLoss(ExcludeTopNPercentPixelLoss):
    """World points weighted by the predicted confidence, the others without the worst pixels."""

    def __init__(self, pixel_loss, conf_alpha=0.2, top_n_percent=5, apply_to_real_data_only=True):
        super().__init__(pixel_loss, top_n_percent, apply_to_real_data_only)
        self.conf_alpha = conf_alpha

    def compute_loss(self, views, predictions):
        self.masks = [view["valid_mask"] for view in views]
        return super().compute_loss(views, predictions)

    def set_label(self, name):
        return "conf_loss" if name == "pts3d" else self.label

    def _reduced(self, name, losses, predictions, keep_all):
        if name != "pts3d":
            return super()._reduced(name, losses, predictions, keep_all)
        confidences = [
            prediction["conf"][mask] for prediction, mask in zip(predictions, self.masks, strict=True)
        ]
        weighted = [
            loss * confidence - self.conf_alpha * confidence.log()
            for loss, confidence in zip(losses, confidences, strict=True)
        ]
        return [loss.mean() if loss.numel() else loss.sum() for loss in weighted]
