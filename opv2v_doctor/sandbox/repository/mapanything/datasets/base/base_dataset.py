"""The base dataset: draws views with seeded randomness, retries, and completes each view's geometry."""

import numpy as np

from mapanything.datasets.base.easy_dataset import EasyDataset
from mapanything.datasets.base.randomness import epoch_generator
from mapanything.utils.geometry import matrix_to_quaternion
from mapanything.utils.image import image_transform


class BaseDataset(EasyDataset):
    """Sub-classes find scenes and implement `_get_views(index, number of views, resolution)`."""

    num_views_min = 2

    def __init__(
        self,
        num_views,
        variable_num_views=False,
        split=None,
        resolution=None,
        principal_point_centered=False,
        transform="imgnorm",
        data_norm_type="identity",
        aug_crop=0,
        seed=None,
        max_num_retries=5,
    ):
        self.num_views = num_views
        self.variable_num_views = variable_num_views
        if variable_num_views and num_views > self.num_views_min:
            self.num_views = list(range(self.num_views_min, num_views + 1))
        self.split = split
        self._resolutions = [tuple(resolution)]
        self.principal_point_centered = principal_point_centered
        self.transform = image_transform(transform, data_norm_type)
        self.data_norm_type = data_norm_type
        self.aug_crop = aug_crop
        self.seed = seed
        self.max_num_retries = max_num_retries
        self.epoch = 0
        self._seed_offset = 0
        self.scenes = []

    def __len__(self):
        return len(self.scenes)

    def __repr__(self):
        return f"{type(self).__name__}({len(self)} scenes, {self.num_views=}, {self.split=}, {self.seed=})"

    def set_epoch(self, epoch):
        self.epoch = epoch

    def _set_seed_offset(self, offset):
        """Tells repetitions of one sample in one epoch from each other."""
        self._seed_offset = offset

    def _get_views(self, index, num_views_to_sample, resolution):
        raise NotImplementedError

    def __getitem__(self, index):
        """The views of one sample; another random sample where it cannot be read."""
        for attempt in range(self.max_num_retries + 1):
            try:
                return self._sample(index)
            except Exception as error:
                if attempt == self.max_num_retries:
                    raise
                sample, *features = index if isinstance(index, tuple) else (index,)
                step = 1 + epoch_generator(self.epoch, attempt, sample).integers(max(len(self) - 1, 1))
                other = int((sample + step) % len(self))
                print(
                    f"Error in {type(self).__name__} for scene_idx={sample}: {error}; retrying with {other}"
                )
                index = (other, *features)

    def _sample(self, index):
        sample, resolution, views = (*(index if isinstance(index, tuple) else (index,)), 0, 0)[:3]
        if self.seed is not None:
            self._rng = epoch_generator(self.epoch, self.seed, self._seed_offset, sample)
        else:
            self._rng = np.random.default_rng()
        count = self.num_views[views] if isinstance(self.num_views, list) else self.num_views
        drawn = self._get_views(sample, count, self._resolutions[resolution])
        return [self._complete(view, (sample, resolution, number)) for number, view in enumerate(drawn)]

    def _complete(self, view, index):
        """The view with all that follows from its depth, rays and pose."""
        pose = view["camera_pose"].astype(np.float32)
        rays = view["ray_directions_cam"].astype(np.float32)
        depth = view["depthmap"].astype(np.float32)
        if not (np.isfinite(depth).all() and np.isfinite(pose).all()):
            raise ValueError(f"depth or pose of {view['label']}/{view['instance']} is not finite")
        along_ray = depth if view["camera_model"] == "cyl" else depth / np.abs(rays[..., 2])  # of z-depth
        points = along_ray[..., None] * rays
        height, width = depth.shape
        return {
            **view,
            "idx": index,
            "img": self.transform(view["img"], self._rng),
            "data_norm_type": self.data_norm_type,
            "true_shape": np.array([height, width], dtype=np.int32),
            "depthmap": depth[..., None],
            "depth_along_ray": along_ray[..., None],
            "valid_mask": depth > 0,
            "ray_directions_cam": rays,
            "pts3d_cam": points,
            "pts3d": points @ pose[:3, :3].T + pose[:3, 3],
            "camera_pose": pose,
            "camera_pose_quats": matrix_to_quaternion(pose[:3, :3]),
            "camera_pose_trans": pose[:3, 3].copy(),
            "is_metric_scale": True,
            "is_synthetic": True,
            "rng": int(self._rng.integers(2**31)),
        }
