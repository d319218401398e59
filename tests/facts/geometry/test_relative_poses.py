"""Poses of single cameras are compared with one another, whatever they lead to."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from opv2v_doctor.facts.disk.frames import Disk, disk, frame_file
from opv2v_doctor.facts.disk.scenarios import Frame, scenarios
from opv2v_doctor.facts.geometry.camera_axes import DECLARED, axes_of, from_opencv
from opv2v_doctor.facts.geometry.depth_maps import KNOWN_WRONG
from opv2v_doctor.facts.geometry.reading_names import AXES
from opv2v_doctor.facts.geometry.relative_poses import camera_legs, convention_of, origin_of
from opv2v_doctor.facts.interpreter.views import Identity, Sample, View
from opv2v_doctor.facts.launch.datasets import parts_of
from opv2v_doctor.facts.launch.splits import examined_splits
from opv2v_doctor.facts.samples.draws import Samples, samples
from opv2v_doctor.facts.samples.moments import PinholeView, pinhole_views
from opv2v_doctor.geometry.conventions import RIGHT, Convention, pose_errors
from opv2v_doctor.geometry.poses import Matrix, invert
from opv2v_doctor.result import Result, Status
from opv2v_doctor.sandbox import write_scene
from opv2v_doctor.settings import Settings
from opv2v_doctor.target import Target
from opv2v_doctor.testing import run_check
from opv2v_doctor.text import Text

SHARED = Path(os.environ.get("OPV2V_DOCTOR_SHARED", Path(__file__).parents[4] / "shared"))
CAMERAS = ("camera1", "camera0", "camera3")
Choice = Callable[[Matrix, Frame, Frame, Matrix], Matrix]  # of what a pose leads to


@pytest.fixture(scope="module", params=["scene", "real"])
def frames(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Frame, ...]:
    """One moment of three agents, which roll and pitch: of our scene, and of OPV2V."""
    root = tmp_path_factory.mktemp("scene")
    if request.param == "real":
        splits = [path.parents[2] for path in SHARED.glob("data/opv2v_frame/*/*/*/*.yaml")]
        if not splits:
            pytest.skip("no real OPV2V frames outside the clone: export OPV2V_DOCTOR_SHARED=FOLDER")
        folder = splits[0]
    else:
        write_scene(root, root, image_size=(40, 30), scenarios={"train": (3,)}, frames=1)
        folder = root / "train"
    (scenario,) = scenarios(Target(repo=root, python=root), folder, folder)
    return scenario.moments[0]


def world(frame: Frame, name: str | None, convention: Convention) -> Matrix:
    """Where a camera, or the LiDAR, is in the world."""
    content = frame_file(frame)
    return convention.in_axes(convention.pose(content[name]["cords"] if name else content["lidar_pose"]))


def views(
    frames: tuple[Frame, ...], choice: Choice, convention: Convention = RIGHT
) -> tuple[PinholeView, ...]:
    """Cameras of all agents, whose label names the second one."""
    first = world(frames[0], CAMERAS[0], convention)
    found = []
    for frame in frames:
        for name in CAMERAS:
            pose = choice(world(frame, name, convention), frame, frames[1], first)
            identity = Identity(
                label=f"{frame.agent.scenario}/{frames[1].agent.name}",
                instance=f"{frame.name}/{name}_{frame.agent.name}",
                agent_id=None,
            )
            view = View(
                identity=identity,
                camera_model="pinhole",
                intrinsics=((60.0, 0.0, 20.0), (0.0, 60.0, 15.0), (0.0, 0.0, 1.0)),
                shape=(3, 30, 40),
                pose=tuple(map(tuple, pose.tolist())),
                digest="",
            )
            found.append(PinholeView(view=view, frame=frame, origin=frames[1], name=name, prefix=""))
    return tuple(found)


def judged(code: str, *drawn: tuple[PinholeView, ...], axes: str | None = None) -> Result:
    """What a check says of samples of these views."""
    folder = drawn[0][0].frame.agent.folder.parents[1]
    settings = Settings.model_validate({"poses": {"axes": axes}})
    target = Target(repo=folder, python=folder, splits=("val",), settings=settings)
    (part,) = parts_of("OPV2VCoopDataset(split='validate')")
    found = tuple(
        Sample(key=(place,), requested=None, views=tuple(view.view for view in each), failure=None)
        for place, each in enumerate(drawn)
    )
    where = Disk(part=part, folder=folder, depth_folder=folder, scenarios=scenarios(target, folder, folder))
    given: dict[Callable[..., Any], Any] = {
        samples: Samples(split="val", parts=(part,), length=9, classes=(), view_counts=(9,), samples=found),
        examined_splits: ("val",),
        disk: where,
        pinhole_views: drawn,
    }
    return run_check(code, target, given=given)


def errors(found: tuple[PinholeView, ...]) -> tuple[float, Convention | None]:
    """The largest error of the poses to one another, metres at 50 m, and what explains it."""
    legs = camera_legs([found])
    own, first = (
        np.array([mount.numbers for mount in mounts], dtype=np.float64)
        for mounts in ([leg.own for leg in legs], [leg.first for leg in legs])
    )
    poses, inverses = np.stack([leg.pose for leg in legs]), np.stack([leg.inverse for leg in legs])
    worst = float(pose_errors(poses, RIGHT.relative_pose(own, first))[1].max())
    return worst, convention_of(poses, own, first, inverses)[0]


CHOICES: dict[str, Choice] = {
    "the world": lambda camera, own, label, first: camera,
    "the first camera": lambda camera, own, label, first: invert(first) @ camera,
    "the LiDAR of the agent that its label names": lambda camera, own, label, first: (
        invert(world(label, None, RIGHT)) @ camera
    ),
}


@pytest.mark.parametrize("name", CHOICES)
def test_right_poses_are_right_whatever_they_lead_to(frames: tuple[Frame, ...], name: str) -> None:
    found = views(frames, CHOICES[name])
    assert errors(found)[0] < 1e-6
    assert str(origin_of([found])) == name


def test_one_agents_cameras_may_lead_to_its_lidar(frames: tuple[Frame, ...]) -> None:
    def own(camera: Matrix, frame: Frame, label: Frame, first: Matrix) -> Matrix:
        return invert(world(frame, None, RIGHT)) @ camera

    alone = views(frames[1:2] * 2, own)[:3]
    assert errors(alone)[0] < 1e-6
    assert str(origin_of([alone])) == "the LiDAR of its agent"
    assert errors(views(frames, own))[0] > 1  # of several agents it is no one place


def test_poses_to_somewhere_else_are_right_and_their_origin_is_not_known(frames: tuple[Frame, ...]) -> None:
    somewhere = world(frames[2], "camera3", RIGHT) @ RIGHT.in_axes(RIGHT.pose([5, 6, 7, 8, 9, 10]))
    found = views(frames, lambda camera, own, label, first: invert(somewhere) @ camera)
    assert errors(found)[0] < 1e-6
    assert origin_of([found]) is None


@pytest.mark.parametrize("name", ["the world", "the first camera"])
@pytest.mark.parametrize("wrong", [*KNOWN_WRONG.values(), Convention(axes="unconverted")], ids=str)
def test_a_wrong_convention_is_named_in_any_frame(
    frames: tuple[Frame, ...], name: str, wrong: Convention
) -> None:
    metres, convention = errors(views(frames, CHOICES[name], wrong))
    assert metres > 0.05
    assert convention == wrong


@pytest.mark.parametrize("name", CHOICES)
def test_poses_that_lead_to_the_cameras_are_inverse(frames: tuple[Frame, ...], name: str) -> None:
    found = views(frames, lambda *given: invert(CHOICES[name](*given)))
    metres, convention = errors(found)
    assert metres > 1
    assert convention == Convention(relation="first to agent")


def test_a_view_has_its_own_camera(frames: tuple[Frame, ...]) -> None:
    camera = views(frames, CHOICES["the world"])[0].camera
    assert (camera.width, camera.height, camera.intrinsics[0, 0]) == (40, 30, 60.0)


def posed(view: PinholeView, pose: Matrix) -> PinholeView:
    """The view with another pose."""
    return replace(view, view=replace(view.view, pose=tuple(map(tuple, pose.tolist()))))


def values(result: Result) -> dict[str, str]:
    """What the first finding says, as words."""
    return {name: str(value) for name, value in result.findings[0].text.values.items()}


@pytest.mark.parametrize("axes", ["opengl", "carla"])
@pytest.mark.parametrize("name", CHOICES)
def test_the_axes_of_cameras_are_those_that_are_declared(
    frames: tuple[Frame, ...], name: str, axes: str
) -> None:
    turn = np.eye(4)
    turn[:3, :3] = from_opencv(DECLARED[axes])
    right = views(frames, CHOICES[name])
    given = tuple(posed(view, np.array(view.view.pose) @ turn.T) for view in right)
    assert judged("GEO003", given, axes=axes).status is Status.PASSED
    assert judged("GEO004", given, axes=axes).findings[-1].text.values["origin"] == Text(name)
    wrong = judged("GEO003", given)
    assert wrong.status is Status.FAILED
    assert values(wrong)["why"] == str(AXES[DECLARED[axes]])
    assert values(judged("GEO003", right, axes=axes))["why"].startswith(str(AXES["opencv"]))


def test_poses_of_the_lidar_are_named_in_any_frame(frames: tuple[Frame, ...]) -> None:
    def lidar(camera: Matrix, own: Frame, label: Frame, first: Matrix) -> Matrix:
        return world(own, None, RIGHT)

    found = views(frames, lidar)
    first = world(frames[0], CAMERAS[0], RIGHT)
    for each in (found, tuple(posed(view, invert(first) @ np.array(view.view.pose)) for view in found)):
        assert values(judged("GEO004", each))["why"].startswith("they are those of the LiDAR of the agent;")
        assert judged("GEO003", each).status is not Status.FAILED


def test_exchanged_poses_of_two_cameras_are_named(frames: tuple[Frame, ...]) -> None:
    right = views(frames, CHOICES["the world"])
    poses = {(view.frame.agent.name, view.name): np.array(view.view.pose) for view in right}
    other = {"camera0": "camera1", "camera1": "camera0"}
    wrong = tuple(posed(v, poses[v.frame.agent.name, other.get(v.name, v.name)]) for v in right)
    result = judged("GEO004", wrong)
    assert values(result)["why"].startswith("they are those of another camera;")
    assert judged("GEO003", wrong).status is not Status.FAILED
    only = tuple(view for view in wrong if view.name != "camera3")  # no right one is left to compare with
    assert values(judged("GEO004", only))["why"].startswith("they are those of another camera;")


def test_one_turned_camera_is_no_convention(frames: tuple[Frame, ...]) -> None:
    turn = RIGHT.in_axes(RIGHT.pose([0, 0, 0, 0, 2, 0]))
    right = views(frames, CHOICES["the world"])
    wrong = tuple(posed(v, np.array(v.view.pose) @ turn) if v.name == "camera1" else v for v in right)
    result = judged("GEO003", wrong)
    assert result.status is Status.FAILED
    assert "poses of camera1 are off by up to 2.00 degrees" in values(result)["off"]
    assert values(result)["why"].startswith("each is turned by 2.00 degrees in its own axes;")
    assert judged("GEO004", wrong).status is not Status.FAILED


def test_axes_are_told_by_rays() -> None:
    rays = np.array([[0.0, 0.6, 0.8], [0.6, 0.0, 0.8], [0.0, 0.0, 1.0]])
    for name in DECLARED.values():
        assert axes_of(rays @ from_opencv(name).T, rays) == name
    assert axes_of(rays * [-1, 1, 1], rays) is None
    assert axes_of(np.full_like(rays, np.nan), rays) is None
