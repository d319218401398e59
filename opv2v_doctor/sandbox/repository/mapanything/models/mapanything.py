"""A tiny map-anything: convolutions see each panorama, the views exchange a mean, heads predict geometry."""

import math

import torch
from torch import nn
from torch.nn import functional

from mapanything.utils.geometry import matrix_to_quaternion, quaternion_to_matrix
from mapanything.utils.image import denormalize
from mapanything.utils.inference import AMP_TYPES, validate_input_views_for_inference

PRIOR_GAIN = 20.0  # lets the picture of where cameras look be learned in a few dozen steps
RANGE, DIRECTIONS, CONFIDENCE, MASK = slice(0, 1), slice(1, 4), slice(4, 5), slice(5, 6)


class MapAnything(nn.Module):
    """Range, rays, pose, scale, confidence and mask of every view; the first one is the reference."""

    def __init__(
        self,
        name="mapanything",
        width=16,
        pretrained_checkpoint_path=None,
        load_specific_pretrained_submodules=False,
        specific_pretrained_submodules=(),
    ):
        super().__init__()
        self.name = name
        self.encoder = nn.Sequential(
            nn.Conv2d(6, width, 5, stride=4, padding=2),
            nn.GELU(),
            nn.Conv2d(width, 2 * width, 3, stride=2, padding=1),
            nn.GELU(),
            nn.Conv2d(2 * width, 2 * width, 3, padding=1),
            nn.GELU(),
        )
        self.reference = nn.Parameter(torch.zeros(2 * width))
        self.exchange = nn.Linear(4 * width, 2 * width)
        self.dense_head = nn.Conv2d(2 * width, 6, 1)
        self.mask_prior = nn.Parameter(torch.zeros(1, 1, 32, 64))
        self.pose_head = nn.Linear(2 * width, 7)
        self.scale_head = nn.Linear(2 * width, 1)
        self._start_neutral()
        if pretrained_checkpoint_path is not None:
            self._load(
                pretrained_checkpoint_path,
                load_specific_pretrained_submodules,
                specific_pretrained_submodules,
            )

    def _start_neutral(self):
        """First guesses: ten metres, no rotation, nothing certain."""
        for head in (self.dense_head, self.pose_head, self.scale_head):
            nn.init.normal_(head.weight, std=0.02)
            nn.init.zeros_(head.bias)
        with torch.no_grad():
            self.pose_head.bias[6] = 1.0
            self.scale_head.bias.fill_(math.log(10.0))

    def _load(self, path, only_some, names):
        """Weights from a file; all of them must fit."""
        print(f"Loading pretrained weights from {path} ...")
        weights = torch.load(path, map_location="cpu", weights_only=True)["model"]
        if only_some:
            weights = {name: value for name, value in weights.items() if name.split(".")[0] in names}
        print(self.load_state_dict(weights, strict=not only_some))

    def forward(self, views, take_poses=False):
        """One dictionary of predictions a view; `take_poses` takes the poses of the views as they are."""
        shape = views[0]["img"].shape[-2:]
        features = [self.encoder(self._with_position(view["img"])) for view in views]
        features[0] = features[0] + self.reference[:, None, None]
        pooled = torch.stack([feature.mean((-2, -1)) for feature in features])  # (V, B, C)
        shared = pooled.mean(0)
        scale = self.scale_head(shared).exp()
        together = self.exchange(torch.cat([pooled, shared.expand_as(pooled)], dim=-1))
        return [
            self._predict(feature + view[..., None, None], view, scale, shape, given if take_poses else None)
            for feature, view, given in zip(features, together, views, strict=True)
        ]

    @staticmethod
    def _with_position(images):
        """The images (B, 6, H, W) with where each pixel looks: sine and cosine of azimuth, elevation."""
        batch, _, height, width = images.shape
        azimuth = torch.linspace(-math.pi, math.pi, width, device=images.device).expand(height, width)
        elevation = torch.linspace(1, -1, height, device=images.device)[:, None].expand(height, width)
        position = torch.stack([azimuth.sin(), azimuth.cos(), elevation])
        return torch.cat([images, position.expand(batch, -1, -1, -1)], dim=1)

    def _predict(self, feature, pooled, scale, shape, given):
        dense = functional.interpolate(self.dense_head(feature), shape, mode="bilinear").permute(0, 2, 3, 1)
        pose = self.pose_head(pooled)
        if given is not None:
            pose = torch.cat([given["camera_pose_trans"] / scale, given["camera_pose_quats"]], dim=-1)
        quaternion = functional.normalize(pose[:, 3:], dim=-1)
        directions = functional.normalize(dense[..., DIRECTIONS] + 1e-6, dim=-1)
        depth = dense[..., RANGE].clamp(-8, 8).exp()
        points = directions * depth
        world = (
            torch.einsum("bij,bhwj->bhwi", quaternion_to_matrix(quaternion), points) + pose[:, None, None, :3]
        )
        metric = scale[:, None, None]
        prior = functional.interpolate(self.mask_prior, shape, mode="bilinear")[:, 0]
        logits = dense[..., MASK].squeeze(-1) + PRIOR_GAIN * prior
        return {
            "pts3d": world * metric,
            "pts3d_cam": points * metric,
            "ray_directions": directions,
            "depth_along_ray": depth * metric,
            "cam_trans": pose[:, :3] * scale,
            "cam_quats": quaternion,
            "metric_scaling_factor": scale,
            "conf": 1 + dense[..., CONFIDENCE].squeeze(-1).clamp(max=8).exp(),
            "non_ambiguous_mask": logits > 0,
            "non_ambiguous_mask_logits": logits,
        }

    @torch.inference_mode()
    def infer(
        self,
        views,
        memory_efficient_inference=True,
        use_amp=True,
        amp_dtype="bf16",
        apply_mask=True,
        mask_edges=True,
        apply_confidence_mask=False,
        confidence_percentile=10,
    ):
        """Predictions for views as a user has them: `img` (B, 3, H, W), normalised, and `data_norm_type`.

        Poses that are known may be given as `camera_poses` (B, 4, 4): agent to the first agent's frame.
        """
        views = validate_input_views_for_inference(views)
        device = next(self.parameters()).device
        with torch.autocast(device.type, enabled=use_amp, dtype=AMP_TYPES[amp_dtype]):
            predictions = self(
                [self._inputs(view, device) for view in views],
                take_poses=all("camera_poses" in view for view in views),
            )
        for view, prediction in zip(views, predictions, strict=True):
            self._finish(
                view, prediction, apply_mask, mask_edges, apply_confidence_mask, confidence_percentile
            )
        return predictions

    @staticmethod
    def _inputs(view, device):
        """A view under the names that training gives its entries, on the model's device."""
        inputs = {"img": view["img"]}
        if "camera_poses" in view:
            poses = view["camera_poses"].cpu().numpy()
            inputs["camera_pose_quats"] = torch.stack(
                [torch.from_numpy(matrix_to_quaternion(pose[:3, :3])) for pose in poses]
            )
            inputs["camera_pose_trans"] = torch.tensor(poses[:, :3, 3])
        return {name: value.float().to(device) for name, value in inputs.items()}

    @staticmethod
    def _finish(view, prediction, apply_mask, mask_edges, apply_confidence_mask, confidence_percentile):
        """Add what follows from the predictions, and clear what they say is not to be trusted."""
        norm_type = (
            view["data_norm_type"] if isinstance(view["data_norm_type"], str) else view["data_norm_type"][0]
        )
        prediction["img_no_norm"] = denormalize(view["img"], norm_type).permute(0, 2, 3, 1)
        prediction["depth_z"] = prediction["pts3d_cam"][..., 2:]
        poses = torch.eye(4, device=prediction["cam_trans"].device).repeat(len(prediction["cam_trans"]), 1, 1)
        poses[:, :3, :3] = quaternion_to_matrix(prediction["cam_quats"].float())
        poses[:, :3, 3] = prediction["cam_trans"]
        prediction["camera_poses"] = poses
        mask = prediction["non_ambiguous_mask"].clone()
        if apply_confidence_mask:
            confidence = prediction["conf"].float().flatten(1)
            mask &= (
                prediction["conf"] >= confidence.quantile(confidence_percentile / 100, dim=1)[:, None, None]
            )
        if mask_edges:
            depth = prediction["depth_along_ray"].squeeze(-1)
            mask[:, :, 1:] &= (depth[:, :, 1:] / depth[:, :, :-1]).log().abs() < 1.0
        prediction["mask"] = mask[..., None]
        if apply_mask:
            for name in ("pts3d", "pts3d_cam", "depth_along_ray", "depth_z"):
                prediction[name] = prediction[name] * mask[..., None]
