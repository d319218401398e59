"""The scene: an OPV2V data set, ray cast with exact depth, in the format that OPV2V has on disk."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray

from opv2v_doctor.geometry.cameras import Pinhole
from opv2v_doctor.geometry.poses import pose_matrix, relative
from opv2v_doctor.sandbox.raycast import Boxes, cast, colours
from opv2v_doctor.sandbox.town import Town, Vehicle, build_town

Array = NDArray[np.float64]

SCENARIOS: Mapping[str, Sequence[int]] = {"train": (5, 4, 3), "validate": (4, 5), "test": (4,)}
FLAT = 2  # the scenario of each split whose agents neither roll nor pitch
IMAGE_SIZE = (200, 150)  # width, height; OPV2V's own is (800, 600)
FOCAL_LENGTH = 335.639852470912  # pixels, in an image 800 wide
LIDAR_IN_VEHICLE = (-0.5, 0.0, 1.9)
CAMERAS_IN_LIDAR: Mapping[str, Sequence[float]] = {  # [x, y, z, roll, yaw, pitch], UE axes
    "camera0": (3.0, 0.0, -0.9, 0.0, 0.0, 0.0),
    "camera1": (0.5, 0.3, -0.1, 0.0, 100.0, 0.0),
    "camera2": (0.5, -0.3, -0.1, 0.0, -100.0, 0.0),
    "camera3": (-1.5, 0.0, -0.4, 0.0, 180.0, 0.0),
}
LIDAR_ELEVATIONS = np.linspace(-25.0, 2.0, 64)  # degrees, one a channel
LIDAR_AZIMUTHS = 200
LIDAR_RANGE = 120.0
VEHICLE_RANGE = 70.0
PCD_HEADER = """# .PCD v0.7 - Point Cloud Data file format
VERSION 0.7
FIELDS x y z rgb
SIZE 4 4 4 4
TYPE F F F F
COUNT 1 1 1 1
WIDTH {count}
HEIGHT 1
VIEWPOINT 0 0 0 1 0 0 0
POINTS {count}
DATA ascii
"""


def write_scene(
    root: Path,
    depth_root: Path,
    *,
    seed: int = 0,
    image_size: tuple[int, int] = IMAGE_SIZE,
    scenarios: Mapping[str, Sequence[int]] = SCENARIOS,
    frames: int = 2,
    sky_depth: float = 0.0,
    tilt: float = 3.0,
) -> None:
    """Write images, frame files, point clouds and depth; `scenarios` says how many agents each one has.

    The agents roll and pitch by up to `tilt` degrees, but for those of a split's third scenario.

    Depth is distance to the image plane in metres, float32, exact at pixel centres. Where a pixel sees
    nothing within 150 m it is `sky_depth`: 0, "not measured"; give 1000 for the far plane of CARLA's camera.
    """
    for split_index, (split, agents) in enumerate(scenarios.items()):
        for index, count in enumerate(agents):
            town_tilt = 0.0 if index == FLAT else tilt
            town = build_town(np.random.default_rng([seed, split_index, index]), count, town_tilt)
            name = f"2021_{8 + split_index:02d}_{16 + index:02d}_12_{10 * index:02d}_00"
            _write_protocol(root / split / name / "data_protocol.yaml", town)
            for frame in range(frames):
                for agent in town.agents:
                    place = Path(split, name, str(agent.number), f"{69 + 2 * frame:06d}")
                    _write_agent(root / place, depth_root / place, town, agent, frame, image_size, sky_depth)


def angles(rotation: Array) -> tuple[float, float, float]:
    """Roll, yaw and pitch in degrees of a rotation (3, 3), UE axes: what `pose_matrix` makes it from."""
    pitch = np.arcsin(np.clip(rotation[2, 0], -1.0, 1.0))
    yaw = np.arctan2(rotation[1, 0], rotation[0, 0])
    roll = np.arctan2(-rotation[2, 1], rotation[2, 2])
    return float(np.rad2deg(roll)), float(np.rad2deg(yaw)), float(np.rad2deg(pitch))


def _write_agent(
    place: Path,
    depth_place: Path,
    town: Town,
    agent: Vehicle,
    frame: int,
    image_size: tuple[int, int],
    sky_depth: float,
) -> None:
    """All files of one agent in one frame; `place` is their common beginning."""
    place.parent.mkdir(parents=True, exist_ok=True)
    depth_place.parent.mkdir(parents=True, exist_ok=True)
    pinhole = _pinhole(image_size)
    boxes = town.seen_by(agent, frame)
    vehicle_to_world = pose_matrix(agent.at(frame))
    lidar_to_world = vehicle_to_world @ pose_matrix([*LIDAR_IN_VEHICLE, 0.0, 0.0, 0.0])
    lidar_cords = _cords(lidar_to_world)
    _write_yaml(place.with_suffix(".yaml"), _frame(town, agent, frame, lidar_cords, pinhole))
    _write_points(place.with_suffix(".pcd"), _scan(lidar_to_world, boxes))
    for name, offset in CAMERAS_IN_LIDAR.items():
        image, depth = _picture(lidar_to_world @ pose_matrix(offset), pinhole, boxes)
        cv2.imwrite(f"{place}_{name}.png", image[..., ::-1])
        np.save(f"{depth_place}_{name}_depth.npy", np.where(np.isinf(depth), np.float32(sky_depth), depth))


def _pinhole(image_size: tuple[int, int]) -> Pinhole:
    width, height = image_size
    focal = FOCAL_LENGTH * width / 800
    return Pinhole(np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]]), width, height)


def _picture(camera_to_world: Array, pinhole: Pinhole, boxes: Boxes) -> tuple[NDArray[np.uint8], Array]:
    """Image (H, W, 3), RGB, and z-depth (H, W), float32, inf where nothing is met."""
    plane = pinhole.back_project(pinhole.pixels(), np.ones((pinhole.height, pinhole.width)))  # OpenCV axes
    forward_right_up = np.stack([plane[..., 2], plane[..., 0], -plane[..., 1]], axis=-1).reshape(-1, 3)
    directions = forward_right_up @ camera_to_world[:3, :3].T
    origin = camera_to_world[:3, 3]
    hits = cast(origin, directions, boxes)  # the forward part of each direction is 1: lengths are z-depths
    shape = (pinhole.height, pinhole.width)
    image = colours(origin, directions, hits, boxes).reshape(*shape, 3)
    return image.astype(np.uint8), hits.lengths.reshape(shape).astype(np.float32)


def _scan(lidar_to_world: Array, boxes: Boxes) -> Array:
    """Points (N, 3) in the LiDAR's frame, UE axes: one a channel and azimuth, where something is in range."""
    azimuth = np.linspace(-np.pi, np.pi, LIDAR_AZIMUTHS, endpoint=False)
    azimuths, elevations = (grid.ravel() for grid in np.meshgrid(azimuth, np.deg2rad(LIDAR_ELEVATIONS)))
    level = np.cos(elevations)
    beams = np.stack([level * np.cos(azimuths), level * np.sin(azimuths), np.sin(elevations)], axis=1)
    lengths = cast(lidar_to_world[:3, 3], beams @ lidar_to_world[:3, :3].T, boxes).lengths
    return np.asarray((beams * np.where(np.isinf(lengths), 0, lengths)[:, None])[lengths < LIDAR_RANGE])


def _cords(pose: Array) -> list[float]:
    return [*pose[:3, 3].tolist(), *angles(pose[:3, :3])]


def _frame(
    town: Town, agent: Vehicle, frame: int, lidar_cords: list[float], pinhole: Pinhole
) -> dict[str, Any]:
    """What OPV2V writes down about one agent in one frame."""
    lidar_to_world = pose_matrix(lidar_cords)
    own = agent.at(frame)
    return {
        "RSU": False,
        **{
            name: _camera(lidar_to_world @ pose_matrix(offset), lidar_to_world, pinhole)
            for name, offset in CAMERAS_IN_LIDAR.items()
        },
        "ego_speed": agent.speed,
        "lidar_pose": lidar_cords,
        "plan_trajectory": [[agent.at(frame + step)[:2].tolist(), 21] for step in (2, 8, 14)],
        "predicted_ego_pos": [
            float(own[0]) + 0.02,
            float(own[1]) - 0.03,
            float(own[2]),
            0.0,
            float(own[4]),
            0.0,
        ],
        "true_ego_pos": own.tolist(),
        "vehicles": _vehicles(town, agent, frame),
    }


def _camera(camera_to_world: Array, lidar_to_world: Array, pinhole: Pinhole) -> dict[str, list[Any]]:
    cords = _cords(camera_to_world)
    extrinsic = relative(lidar_to_world, pose_matrix(cords))
    return {"cords": cords, "extrinsic": extrinsic.tolist(), "intrinsic": pinhole.intrinsics.tolist()}


def _vehicles(town: Town, agent: Vehicle, frame: int) -> dict[int, dict[str, Any]]:
    """The other cars within 70 m, by id."""
    here = agent.at(frame)[:3]
    others = [(vehicle, vehicle.at(frame)) for vehicle in town.vehicles if vehicle is not agent]
    return {
        vehicle.number: {
            "angle": cords[3:].tolist(),
            "center": [0.0, 0.0, float(vehicle.extent[2])],
            "extent": vehicle.extent.tolist(),
            "location": cords[:3].tolist(),
            "speed": vehicle.speed,
        }
        for vehicle, cords in others
        if np.linalg.norm(cords[:3] - here) < VEHICLE_RANGE
    }


def _write_points(path: Path, points: Array) -> None:
    lines = [f"{x:.4f} {y:.4f} {z:.4f} 1.7816e-38\n" for x, y, z in points.tolist()]
    path.write_text(PCD_HEADER.format(count=len(lines)) + "".join(lines), encoding="ascii")


def _write_protocol(path: Path, town: Town) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    agents = [{"behavior": {"max_speed": 24}, "name": f"cav{vehicle.number}"} for vehicle in town.agents]
    _write_yaml(
        path, {"description": "ray-cast street", "scenario": {"rsu_list": [], "single_cav_list": agents}}
    )


def _write_yaml(path: Path, content: dict[str, Any]) -> None:
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    path.write_text(yaml.dump(content, Dumper=dumper, default_flow_style=False), encoding="utf-8")
