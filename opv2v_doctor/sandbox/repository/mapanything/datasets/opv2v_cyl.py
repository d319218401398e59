"""OPV2V as cooperative panoramas: the four cameras of each agent become one view."""

from pathlib import Path

import cv2
import numpy as np

from data_processing.opv2v_poses import cords_to_pose, load_frame_metadata, pose_to_opencv, relative_pose
from mapanything.datasets.base.base_dataset import BaseDataset
from mapanything.datasets.opv2v_panorama import CameraView, PanoramaStitcher


class OPV2VCoopCylindricalDataset(BaseDataset):
    """One sample is one frame of one scenario; one view is the panorama of one agent."""

    def __init__(
        self,
        *args,
        ROOT,
        depth_root,
        split,
        camera_ids=(0, 1, 2, 3),
        include_agents=None,
        min_agents=2,
        min_num_views=None,
        max_num_views=None,
        panorama_resolution=(1008, 252),
        panorama_vertical_fov_deg=90.0,
        panorama_elevation_center_deg=0.0,
        view_selection_margin=0.05,
        max_scenes=None,
        **kwargs,
    ):
        super().__init__(*args, split=split, **kwargs)
        self.root, self.depth_root = Path(ROOT), Path(depth_root)
        self.camera_ids = [f"camera{number}" for number in camera_ids]
        self.include_agents = set(include_agents) if include_agents else None
        self.min_agents = int(min_agents)
        self.stitcher = PanoramaStitcher(
            panorama_resolution,
            panorama_vertical_fov_deg,
            panorama_elevation_center_deg,
            view_selection_margin,
        )
        self.panorama_resolution = tuple(panorama_resolution)
        self.scenes = self._find_scenes()[:max_scenes]
        if not self.scenes:
            raise FileNotFoundError(f"no scenario with {min_agents} agents in {self.root / split}")
        if isinstance(self.num_views, list):
            most = max(len(scene["agents"]) for scene in self.scenes)
            self.num_views = list(range(min_num_views or 1, min(most, max_num_views or most) + 1))

    def _find_scenes(self):
        """Every frame that enough agents have, in a fixed order."""
        scenes = []
        for scenario in sorted(path for path in (self.root / self.split).iterdir() if path.is_dir()):
            frames = {}
            for path in sorted(scenario.glob("*/*.yaml")):
                if self.include_agents is None or path.parent.name in self.include_agents:
                    frames.setdefault(path.stem, []).append(path.parent.name)
            scenes += [
                {"sequence": scenario.name, "frame": frame, "agents": agents}
                for frame, agents in sorted(frames.items())
                if len(agents) >= self.min_agents
            ]
        return scenes

    def _get_views(self, index, num_views_to_sample, resolution):
        if tuple(resolution) != self.panorama_resolution:
            raise ValueError(f"asked for {resolution}, the panorama is {self.panorama_resolution}")
        scene = self.scenes[index]
        chosen = self._choose_agents(scene["agents"], num_views_to_sample)
        frames = {agent: self._frame(scene, agent) for agent in chosen}
        main_pose = cords_to_pose(frames[chosen[0]]["lidar_pose"])
        return [
            self._view(scene, chosen[0], agent, frames[agent], main_pose, self.camera_ids) for agent in chosen
        ]

    def _choose_agents(self, agents, count):
        """The first agent, and others at random: no agent twice."""
        if count > len(agents):
            raise ValueError(f"asked for {count} views of {len(agents)} agents")
        others = self._rng.permutation(agents[1:])[: count - 1]
        return [agents[0], *map(str, others)]

    def _frame(self, scene, agent):
        return load_frame_metadata(
            self.root / self.split / scene["sequence"] / agent / f"{scene['frame']}.yaml"
        )

    def _view(self, scene, main_agent, agent, frame, main_pose, camera_ids):
        agent_pose = cords_to_pose(frame["lidar_pose"])
        cameras = [self._camera(scene, agent, frame, name, agent_pose) for name in camera_ids]
        panorama = self.stitcher.stitch(cameras)
        pose = pose_to_opencv(relative_pose(agent_pose, main_pose))
        return {
            "img": panorama.image,
            "depthmap": panorama.depth,
            "non_ambiguous_mask": panorama.mask,
            "ray_directions_cam": self.stitcher.rays,
            "camera_pose": pose,
            "camera_intrinsics": self.stitcher.intrinsics,
            "camera_model": "cyl",
            "dataset": "OPV2VCoopCyl",
            "label": f"{scene['sequence']}/{main_agent}",
            "instance": f"{scene['frame']}/{agent}",
            "agent_id": agent,
        }

    def _camera(self, scene, agent, frame, name, agent_pose):
        place = Path(self.split, scene["sequence"], agent, f"{scene['frame']}_{name}")
        image = cv2.imread(f"{self.root / place}.png")
        if image is None:
            raise FileNotFoundError(f"no readable image {self.root / place}.png")
        depth = np.load(f"{self.depth_root / place}_depth.npy").astype(np.float64)
        camera_pose = pose_to_opencv(relative_pose(cords_to_pose(frame[name]["cords"]), agent_pose))
        return CameraView(
            image=image[..., ::-1].astype(np.float32),
            depth=depth,
            intrinsics=np.array(frame[name]["intrinsic"]),
            rotation=camera_pose[:3, :3],
            offset=camera_pose[:3, 3],
        )
