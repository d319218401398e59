"""Frame page: one moment of a dataset as its files show it: panoramas, cameras and LiDAR of each agent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from opv2v_doctor import pages, rasters
from opv2v_doctor.check import Blocked
from opv2v_doctor.facts.disk.frames import Disk, Frame, frame_file
from opv2v_doctor.facts.disk.lidar_files import cloud
from opv2v_doctor.facts.samples.rigs import rig, rig_coverage
from opv2v_doctor.figures import pictures
from opv2v_doctor.figures.panorama_files import safe, write_files
from opv2v_doctor.figures.panorama_page import Around
from opv2v_doctor.geometry.cameras import Camera, Cylinder
from opv2v_doctor.geometry.poses import pose_matrix, to_opencv
from opv2v_doctor.geometry.rigs import MountedCamera
from opv2v_doctor.geometry.stitching import Stitcher
from opv2v_doctor.neutral import printable
from opv2v_doctor.reporters import Say
from opv2v_doctor.text import Text, sentence

CYLINDER = Cylinder(1008, 252)  # as the trainings on OPV2V's panoramas have it
KINDS = {"panorama": Text("panorama"), "lidar": Text("panorama with LiDAR"), "cameras": Text("cameras")}
WIDTH = 400  # pixels of a camera in the mosaic
NEAR, FAR = 2.0, 100.0  # metres: the colours of LiDAR points span these, evenly for each factor
QUALITY = 88  # of the page's JPEGs; the files beside it are exact
COLOURS = Text(
    "LiDAR points are coloured by range, from {near:g} m (yellow) to {far:g} m (violet); what is behind "
    "something nearer shows through.",
    near=NEAR,
    far=FAR,
)

Picture = NDArray[np.uint8]
Points = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class ShownAgent:
    """One agent of the moment: its pictures by name, red first, what is told, and what they show."""

    name: str
    pictures: Mapping[str, Picture]
    told: tuple[Text, ...]
    pose: Points | None = None  # (4, 4), LiDAR to world, OpenCV axes; None where its file has none
    points: Points | None = None  # (N, 3) of the LiDAR, OpenCV axes
    rig: Mapping[str, MountedCamera] = field(default_factory=dict)
    images: Mapping[str, Picture] = field(default_factory=dict)  # of its cameras, red first


def shown_agent(where: Disk, frame: Frame) -> ShownAgent:
    """The pictures of an agent, as far as its files give them; what they do not give is told."""
    told: list[Text] = []
    points, mounted, images = np.zeros((0, 3)), dict[str, MountedCamera](), dict[str, Picture]()
    try:
        found = cloud(frame)
        count = 0 if found is None else len(found)
        told.append(
            Text("no point cloud" if found is None else "{n:LiDAR point|LiDAR points} shown", n=count)
        )
        points = points if found is None else found
    except Blocked as problem:
        told.append(Text("no point cloud: {problem}", problem=problem.reason))
    try:
        mounted = rig(where, frame)
        images = {name: rasters.image_of(frame.image(name))[..., ::-1] for name in mounted}
    except Blocked as problem:
        told.append(Text("no camera: {problem}", problem=problem.reason))
    except (OSError, ValueError) as problem:
        told.append(Text("no camera: an image cannot be read: {problem}", problem=str(problem)))
        mounted = {}
    made: dict[str, Picture] = {}
    if mounted:
        made["panorama"] = Stitcher(mounted, CYLINDER).panorama(images).rgb
        share = rig_coverage(CYLINDER, mounted)
        told.append(
            Text("{n:camera sees|cameras see} {share:.3f} of the panorama", n=len(mounted), share=share)
        )
    if mounted or len(points):
        black = np.zeros((CYLINDER.height, CYLINDER.width, 3), np.uint8)
        made["lidar"] = with_points(made.get("panorama", black), CYLINDER, points)
    if mounted:
        made["cameras"] = mosaic(mounted, images, points)
    return ShownAgent(
        name=frame.agent.name,
        pictures=made,
        told=tuple(told),
        pose=_pose(frame),
        points=points,
        rig=mounted,
        images=images if mounted else {},
    )


def _pose(frame: Frame) -> Points | None:
    """Where its LiDAR is in the world, by its file."""
    try:
        pose = to_opencv(pose_matrix(frame_file(frame)["lidar_pose"]))
    except (Blocked, LookupError, TypeError, ValueError):
        return None
    return pose if pose.shape == (4, 4) and np.isfinite(pose).all() else None


def mosaic(mounted: Mapping[str, MountedCamera], images: Mapping[str, Picture], points: Points) -> Picture:
    """The cameras' images side by side, WIDTH each, with the points (N, 3) of the LiDAR that they see."""
    import cv2

    tiles = []
    for name, (pinhole, pose) in mounted.items():
        seen = (points - pose[:3, 3]) @ pose[:3, :3]  # row vectors: R^T (p - t)
        whole = with_points(images[name], pinhole, seen, size=max(1, pinhole.width // 200))
        height = max(1, round(WIDTH * pinhole.height / pinhole.width))
        tile = cv2.resize(whole, (WIDTH, height), interpolation=cv2.INTER_AREA)
        cv2.putText(tile, name, (6, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1, cv2.LINE_AA)
        tiles.append(np.asarray(tile, np.uint8))
    highest = max(len(tile) for tile in tiles)
    return np.hstack([np.pad(tile, ((0, highest - len(tile)), (0, 0), (0, 0))) for tile in tiles])


def with_points(picture: Picture, camera: Camera, points: Points, size: int = 1) -> Picture:
    """The picture with points (N, 3) of the camera's frame as squares of `size`, the nearest on top."""
    shown = picture.copy()
    pixels, depth = camera.project(points)
    with np.errstate(invalid="ignore"):
        seen = (depth > 0) & camera.inside(pixels)
    order = np.argsort(-depth[seen])
    columns, rows = np.floor(pixels[seen][order]).astype(int).T
    place = np.log(np.clip(depth[seen][order], NEAR, FAR) / NEAR) / np.log(FAR / NEAR)
    colours = pictures.colours()[np.rint(255 * (1 - place)).astype(int)]
    for down in range(size):
        for right in range(size):
            at = np.minimum(rows + down, len(shown) - 1), np.minimum(columns + right, shown.shape[1] - 1)
            shown[at] = colours
    return shown


def write_frame(
    folder: Path,
    title: str | Text,
    agents: Sequence[ShownAgent],
    around: Around = (),
    say: Say = str,
    language: str = "en",
) -> Path:
    """Write the page and the agents' pictures into the folder; the path of the page.

    Raises UsageError where the folder holds a file of somebody else by one of our names.
    """
    files = {
        f"view{place}_agent{safe(agent.name)}_{name}.png": pictures.png(picture)
        for place, agent in enumerate(agents)
        for name, picture in agent.pictures.items()
    }
    told = [{"agent": agent.name, "told": [str(text) for text in agent.told]} for agent in agents]
    document = {"frame": str(title), "views": told}
    page = pages.render(
        "figures/frame.html",
        styles=("figures/frame.css",),
        say=say,
        language=language,
        title=printable(say(title)),
        colours=say(COLOURS),
        around=[(say(words), address) for words, address in around],
        agents=[
            {
                "name": printable(agent.name),
                "told": printable(say(sentence(agent.told))),
                "pictures": [
                    (say(KINDS[kind]), pictures.uri(pictures.jpeg(picture, QUALITY)))
                    for kind, picture in agent.pictures.items()
                ],
            }
            for agent in agents
        ],
    )
    return write_files(folder, page.encode("utf-8", "backslashreplace"), files, document)
