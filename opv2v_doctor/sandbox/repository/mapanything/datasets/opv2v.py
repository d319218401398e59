"""OPV2V as images of single cameras: each camera of an agent is a view with its own intrinsics and pose."""

from pathlib import Path

import cv2
import numpy as np

from data_processing.opv2v_poses import cords_to_pose, load_frame_metadata, pose_to_opencv, relative_pose
from mapanything.datasets.base.base_dataset import BaseDataset
from mapanything.utils.cropping import crop_resize
from mapanything.utils.geometry import pinhole_rays

CAMERA_AXES = {  # what a camera's axes are, against x right, y down, z forward
    "opencv": np.diag([1.0, 1.0, 1.0, 1.0]),
    "opengl": np.diag([1.0, -1.0, -1.0, 1.0]),
}


class OPV2VDataset(BaseDataset):
    """One sample is one frame of one agent; one view is one of its cameras.

    Poses lead from the camera, in its axes, to the `pose_reference`: the "world", the first "camera" of the
    sample, or the "lidar" of its first agent.
    """

    def __init__(
        self,
        *args,
        ROOT,
        depth_root,
        split,
        camera_ids=(0, 1, 2, 3),
        max_scenes=None,
        pose_reference="lidar",
        pose_axes="opencv",
        **kwargs,
    ):
        super().__init__(*args, split=split, **kwargs)
        self.root, self.depth_root = Path(ROOT), Path(depth_root)
        self.camera_ids = [f"camera{number}" for number in camera_ids]
        self.pose_reference, self.camera_axes = pose_reference, CAMERA_AXES[pose_axes]
        self.scenes = self._find_scenes()[:max_scenes]
        if not self.scenes:
            raise FileNotFoundError(f"no frame in {self.root / split}")

    def _find_scenes(self):
        """Every frame of every agent, in a fixed order."""
        return [
            {"sequence": path.parts[-3], "frame": path.stem, "agents": [path.parts[-2]]}
            for path in sorted((self.root / self.split).glob("*/*/*.yaml"))
        ]

    def _get_views(self, index, num_views_to_sample, resolution):
        scene = self.scenes[index]
        frames = {agent: self._frame(scene, agent) for agent in scene["agents"]}
        cameras = [(agent, name) for agent in scene["agents"] for name in self.camera_ids]
        if num_views_to_sample > len(cameras):
            raise ValueError(f"asked for {num_views_to_sample} views of {len(cameras)} cameras")
        chosen = [cameras[place] for place in self._rng.permutation(len(cameras))[:num_views_to_sample]]
        reference = self._reference(frames, *chosen[0])
        return [
            self._view(scene, agent, name, frames[agent], reference, resolution) for agent, name in chosen
        ]

    def _reference(self, frames, first_agent, first_camera):
        """The pose in the world of what all poses lead to."""
        if self.pose_reference == "world":
            return np.eye(4)
        if self.pose_reference == "camera":
            return cords_to_pose(frames[first_agent][first_camera]["cords"])
        return cords_to_pose(next(iter(frames.values()))["lidar_pose"])

    def _frame(self, scene, agent):
        return load_frame_metadata(
            self.root / self.split / scene["sequence"] / agent / f"{scene['frame']}.yaml"
        )

    def _view(self, scene, agent, name, frame, reference, resolution):
        place = Path(self.split, scene["sequence"], agent, f"{scene['frame']}_{name}")
        image = cv2.imread(f"{self.root / place}.png")
        if image is None:
            raise FileNotFoundError(f"no readable image {self.root / place}.png")
        depth = np.load(f"{self.depth_root / place}_depth.npy")
        intrinsics = np.array(frame[name]["intrinsic"])
        image, depth, intrinsics = crop_resize(image, depth, intrinsics, resolution)
        camera_pose = cords_to_pose(frame[name]["cords"])
        return {
            "img": np.ascontiguousarray(image[..., ::-1]),
            "depthmap": depth,
            "non_ambiguous_mask": depth >= 0,
            "ray_directions_cam": pinhole_rays(intrinsics, depth.shape) @ self.camera_axes[:3, :3],
            "camera_pose": pose_to_opencv(relative_pose(camera_pose, reference)) @ self.camera_axes,
            "camera_intrinsics": intrinsics.astype(np.float32),
            "camera_model": "pinhole",
            "dataset": "OPV2V",
            "label": f"{scene['sequence']}/{scene['agents'][0]}",
            "instance": f"{scene['frame']}/{name}_{agent}",
        }


class OPV2VCoopDataset(OPV2VDataset):
    """One sample is one frame of one scenario; its views are cameras of all its agents."""

    def __init__(self, *args, min_agents=2, **kwargs):
        self.min_agents = int(min_agents)
        super().__init__(*args, **kwargs)

    def _find_scenes(self):
        """Every frame that enough agents have, in a fixed order."""
        frames = {}
        for scene in super()._find_scenes():
            frames.setdefault((scene["sequence"], scene["frame"]), []).extend(scene["agents"])
        return [
            {"sequence": sequence, "frame": frame, "agents": agents}
            for (sequence, frame), agents in sorted(frames.items())
            if len(agents) >= self.min_agents
        ]
