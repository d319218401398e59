"""DAT011, DAT012 and GEO016 on real files: what each of them is told by, and what looks alike and is fine."""

import importlib
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import yaml

from opv2v_doctor import Severity, Text
from opv2v_doctor.facts.disk import statements
from opv2v_doctor.facts.disk.frames import Disk, disk, disks
from opv2v_doctor.facts.disk.scenarios import Agent, Frame, scenarios
from opv2v_doctor.facts.disk.statements import Motion, ways_expected
from opv2v_doctor.facts.geometry import sensors
from opv2v_doctor.facts.geometry.parts import PartError
from opv2v_doctor.facts.geometry.sensors import FEWEST, NOISIEST, REGAINED, Score, is_off
from opv2v_doctor.facts.launch.datasets import parts_of
from opv2v_doctor.facts.launch.splits import examined_splits
from opv2v_doctor.result import Result, Status
from opv2v_doctor.sandbox import write_scene
from opv2v_doctor.target import Target
from opv2v_doctor.testing import run_check

from ..edges import assert_edge

FRAMES: Any = importlib.import_module(
    "opv2v_doctor.checks.dataset_frames"
)  # an import hook serves it: no types
AGENTS: Any = importlib.import_module("opv2v_doctor.checks.geometry_agents")
FRAME = Frame(
    agent=Agent(
        scenario="s",
        name="650",
        folder=Path("s/650"),
        depth_folder=Path("d/s/650"),
        files=frozenset(),
        depth_files=frozenset(),
    ),
    name="000069",
)
TEMPLATE = Path(__file__).parents[2] / "opv2v_doctor/sandbox/repository"
(PART,) = parts_of("OPV2VCoopCylindricalDataset(split='train', min_agents=1)")
Edit = Callable[[Any], object]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A split of one scenario, three agents, two frames; depth lies with the images. Never to be modified."""
    root = tmp_path_factory.mktemp("whole")
    write_scene(root, root, image_size=(96, 72), scenarios={"train": (3,)})
    return root / "train"


@pytest.fixture
def scene(whole: Path, tmp_path: Path) -> Path:
    """A copy to change."""
    return Path(shutil.copytree(whole, tmp_path / "train"))


def agent_of(scene: Path, place: int = 1) -> Path:
    return sorted(path for path in scene.glob("*/*") if path.is_dir())[place]


def examine(code: str, scene: Path) -> Result:
    target = Target(repo=TEMPLATE, python=Path(sys.executable), splits=("train",))
    found = scenarios(target, scene, scene, frozenset())
    where = Disk(part=PART, folder=scene, depth_folder=scene, scenarios=found)
    return run_check(code, target, given={examined_splits: ("train",), disks: (where,), disk: where})


def loud(result: Result) -> list[str]:
    return [finding.message for finding in result.findings if finding.severity > Severity.NOTE]


def edit(files: list[Path], change: Edit) -> None:
    for path in files:
        content = yaml.load(path.read_text(), Loader=yaml.CSafeLoader)
        change(content)
        path.write_text(yaml.dump(content, Dumper=yaml.CSafeDumper, default_flow_style=False))


def line_of(path: Path, key: str) -> int:
    return next(n for n, line in enumerate(path.read_text().splitlines(), 1) if line == f"{key}:")


@pytest.mark.parametrize("code", ["DAT011", "DAT012", "GEO016"])
def test_a_sound_scene_is_silent(whole: Path, code: str) -> None:
    result = examine(code, whole)
    assert result.status is Status.PASSED, (result.reason, loud(result))


def turn(frame: Any) -> None:
    frame["lidar_pose"][4] += 5


def test_a_pose_that_its_cameras_contradict_is_named_with_its_line(scene: Path) -> None:
    file = min(agent_of(scene).glob("*.yaml"))
    edit([file], turn)
    result = examine("DAT011", scene)
    (finding,) = result.findings
    assert (result.status, finding.path, finding.line) == (Status.FAILED, file, line_of(file, "lidar_pose"))
    assert "lidar_pose of agent 4288" in finding.message


def test_one_camera_is_told_from_its_extrinsic_by_the_rig_of_the_others(scene: Path) -> None:
    files = sorted(agent_of(scene).glob("*.yaml"))
    edit(files, lambda frame: frame["camera3"]["cords"].__setitem__(4, 7.0))
    (finding,) = examine("DAT011", scene).findings
    assert "camera3.cords of agent 4288" in finding.message and "2 frames" in finding.message
    edit(files, lambda frame: frame["camera1"]["extrinsic"][0].__setitem__(3, 9.0))
    found = {one.severity for one in examine("DAT011", scene).findings}
    assert found == {Severity.ERROR, Severity.WARNING}


def test_intrinsics_that_one_file_has_otherwise_are_a_warning(scene: Path) -> None:
    (file, *_) = sorted(agent_of(scene).glob("*.yaml"))
    content = file.read_bytes()

    def found(share: float) -> Status:
        file.write_bytes(content)
        edit([file], lambda frame: scale(frame["camera2"]["intrinsic"], 1 + share))
        return examine("DAT011", scene).status

    assert_edge(0.005, found)
    assert found(0.1) is Status.WARNED


def scale(intrinsic: list[list[float]], factor: float) -> None:
    intrinsic[0][0] *= factor


def test_an_agent_that_is_wrong_throughout_is_found_by_what_the_others_say(scene: Path) -> None:
    frames = sorted(agent_of(scene).glob("*.yaml"))
    frames[1].write_bytes(frames[0].read_bytes())  # that of the moment before
    result = examine("DAT011", scene)
    (finding,) = result.findings
    assert finding.path == frames[1] and "4279, 4297 say of where it is" in finding.message
    (old,) = [one for one in examine("DAT012", scene).findings if one.severity is Severity.ERROR]
    assert old.path == frames[1] and "it has the lidar_pose of frame 000069" in old.message


def invert(frame: Any) -> None:
    for number in range(4):
        matrix = np.linalg.inv(np.array(frame[f"camera{number}"]["extrinsic"]))
        frame[f"camera{number}"]["extrinsic"] = matrix.tolist()


def forget(frame: Any) -> None:
    for number in range(4):
        del frame[f"camera{number}"]["extrinsic"]


def round_off(frame: Any) -> None:
    for number in range(4):
        entry = frame[f"camera{number}"]
        entry["cords"] = [round(each, 4) for each in entry["cords"]]


@pytest.mark.parametrize("change", [invert, forget, round_off], ids=["inverse", "none", "rounded"])
def test_frame_files_that_say_it_otherwise_are_silent(scene: Path, change: Edit) -> None:
    edit(sorted(scene.glob("*/*/*.yaml")), change)
    assert loud(examine("DAT011", scene)) == []


def test_files_of_another_camera_or_moment_are_copies(scene: Path) -> None:
    agent = agent_of(scene)
    first, second = sorted(agent.glob("*.pcd"))
    shutil.copyfile(first, second)
    shutil.copyfile(agent / "000069_camera0.png", agent / "000069_camera3.png")
    result = examine("DAT012", scene)
    named = {finding.path for finding in result.findings if finding.severity is Severity.ERROR}
    assert named == {second, agent / "000069_camera3.png"}


def stand(frame: Any) -> None:
    frame["ego_speed"] = 0.0


def test_an_agent_that_stands_sees_the_same_twice(scene: Path) -> None:
    agent = agent_of(scene)
    for path in [*agent.glob("000069*")]:
        shutil.copyfile(path, path.with_name(path.name.replace("000069", "000071")))
    edit(sorted(agent.glob("*.yaml")), stand)
    assert loud(examine("DAT012", scene)) == []


def motion(moved: float, speed: float = 10.0, *, same: bool = False) -> Motion:
    return Motion(before=FRAME, after=FRAME, moved=moved, seconds=0.1, speed=speed, same=same)


def test_how_long_a_frame_is_is_measured() -> None:
    assert ways_expected([motion(2.0), motion(2.1), motion(1.9)]) == pytest.approx([2.0] * 3)
    assert all(np.isnan(ways_expected([motion(0.3), motion(1.0), motion(3.0), motion(9.0)])))


def cloud(files: list[Path], change: Callable[[Any], Any]) -> None:
    for path in files:
        head, body = path.read_text().split("DATA ascii\n")
        points = change(np.array([line.split()[:3] for line in body.splitlines()], np.float64))
        lines = [f"{x:.4f} {y:.4f} {z:.4f} 1.78e-38\n" for x, y, z in points]
        path.write_text(
            re.sub(r"(WIDTH|POINTS) \d+", rf"\1 {len(lines)}", head) + "DATA ascii\n" + "".join(lines)
        )


CLOUDS = {
    "turned by 90 degrees": lambda points: points[:, [1, 0, 2]] * [-1, 1, 1],
    "mirrored and turned by 0 degrees": lambda points: points * [1, -1, 1],
    "1.9 m too high": lambda points: np.add(points, [0, 0, 1.9]),
}


@pytest.mark.parametrize("words", CLOUDS)
def test_a_cloud_of_one_agent_is_named_with_what_is_wrong(scene: Path, words: str) -> None:
    files = sorted(agent_of(scene).glob("*.pcd"))
    cloud(files, CLOUDS[words])
    result = examine("GEO016", scene)
    (finding,) = result.findings
    assert finding.path in files and result.status is Status.FAILED
    assert "agent 4288" in finding.message and f"it is {words}" in finding.message


@pytest.mark.parametrize("factor", [2.0, 100.0])
def test_the_ground_tells_a_scaled_cloud_from_scaled_depth(scene: Path, factor: float) -> None:
    agent = agent_of(scene)
    kept = {path: path.read_bytes() for path in agent.glob("*.pcd")}
    cloud([*kept], lambda points: points * factor)
    (finding,) = examine("GEO016", scene).findings
    assert finding.path in kept and "the point cloud is at fault" in finding.message
    for path, content in kept.items():
        path.write_bytes(content)
    maps = sorted(agent.glob("*_depth.npy"))
    for path in maps:
        np.save(path, np.load(path) * np.float32(factor))
    (finding,) = examine("GEO016", scene).findings
    assert finding.path in maps and f"its numbers are {factor:.3g} times too large" in finding.message


def test_depth_files_of_one_agent_are_named_with_what_is_wrong(scene: Path) -> None:
    agent = agent_of(scene)
    one, two = (agent / f"000069_camera{number}_depth.npy" for number in (1, 2))
    first, second = np.load(one), np.load(two)
    np.save(one, second)
    np.save(two, first)
    third = agent / "000071_camera3_depth.npy"
    np.save(third, np.load(third) * 100)
    found = [(finding.path, finding.message) for finding in examine("GEO016", scene).findings]
    assert {path for path, _ in found} <= {one, two, third} and len(found) >= 1
    assert any("depth" in message for _, message in found)


def test_depth_that_ends_before_the_lidar_does(scene: Path) -> None:
    for path in agent_of(scene).glob("*_depth.npy"):
        np.save(path, np.minimum(np.load(path), np.float32(60)))
    (finding,) = examine("GEO016", scene).findings
    assert "depth ends at 60.0 m, where the LiDAR sees farther" in finding.message


ONE_CAMERA: dict[str, Callable[[Any], Any]] = {
    "its numbers are 1.2 times too large": lambda depth: depth * np.float32(1.2),
    "depth ends at 20.0 m": lambda depth: np.minimum(depth, np.float32(20)),
    "depth begins anew beyond 12.8 m": lambda depth: depth % np.float32(12.8),
    "it is noise": lambda depth: depth * np.random.default_rng(0).normal(1, 0.1, depth.shape),
}


@pytest.mark.parametrize("words", ONE_CAMERA)
def test_one_camera_is_at_fault_where_the_cloud_agrees_with_the_others(scene: Path, words: str) -> None:
    files = sorted(agent_of(scene).glob("*_camera2_depth.npy"))
    for path in files:
        np.save(path, ONE_CAMERA[words](np.load(path)).astype(np.float32))
    (finding,) = examine("GEO016", scene).findings
    assert finding.path in files
    assert "agent 4288" in finding.message and words in finding.message


def test_depth_of_one_agent_in_whole_metres_is_named(scene: Path) -> None:
    files = sorted(agent_of(scene).glob("*_depth.npy"))
    for path in files:
        np.save(path, np.floor(np.load(path)))
    (finding,) = examine("GEO016", scene).findings
    assert finding.path in files and "whole numbers only, 1 m apart" in finding.message


def test_how_far_pixels_may_be_apart_before_it_is_noise() -> None:
    def found(step: float) -> Status:
        depth = np.where(np.arange(40) % 2, 10.0, 10.0 * np.exp(step)) * np.ones((9, 1))
        return Status.FAILED if sensors._noise(depth) else Status.PASSED

    assert_edge(sensors.NOISY, found)
    assert sensors._noise(np.zeros((4, 4))) is None


def test_noise_and_gaps_are_no_fault(scene: Path) -> None:
    random = np.random.default_rng(0)
    for path in scene.glob("*/*/*_depth.npy"):
        depth = np.load(path) * (1 + 0.02 * random.standard_normal(np.load(path).shape))
        np.save(path, np.where(random.random(depth.shape) < 0.5, 0, depth).astype(np.float32))
    assert loud(examine("GEO016", scene)) == []


def test_frames_are_judged_against_most() -> None:
    usual = Score(points=1000, through=0.01, agreeing=0.97, median=0.001)
    assert not is_off(replace(usual, through=0.069), usual, 0.06)
    assert is_off(replace(usual, through=0.071), usual, 0.06)
    assert not is_off(replace(usual, median=0.0309), usual, 0.06)
    assert is_off(replace(usual, median=0.0311), usual, 0.06)


def test_without_point_clouds_nothing_is_compared(scene: Path) -> None:
    for path in scene.glob("*/*/*.pcd"):
        path.unlink()
    assert examine("GEO016", scene).status is Status.SKIPPED


def status(fault: object) -> Status:
    return Status.FAILED if fault else Status.PASSED


def test_motions() -> None:
    assert_edge(0.1, lambda way: status(FRAMES.motion_fault(motion(0.0, same=True), way)))
    assert_edge(7.0, lambda moved: status(FRAMES.motion_fault(motion(moved), 7.0)), step=0.01)
    assert_edge(1.35, lambda moved: status(FRAMES.motion_fault(motion(moved), 1.0)))
    assert_edge(0.65, lambda moved: status(FRAMES.motion_fault(motion(moved), 1.0)), good="above")
    assert_edge(0.3, lambda moved: status(FRAMES.motion_fault(motion(moved), 0.1)))
    assert FRAMES.motion_fault(motion(3.0), float("nan")) is None


def part(**values: Any) -> PartError:
    usual = {"kind": "distance", "name": Text("3 to 6 m"), "pixels": 99, "lost": 0.0, "median": 0.0}
    rest = {"ratio": 1.0, "rest": 0.01, "view": None, "lost_elsewhere": 0.0, "far": 6.0}
    return PartError(**{**usual, **rest, **values})


def test_parts() -> None:
    assert_edge(0.04, lambda median: status(AGENTS.is_off(part(median=median))))
    assert_edge(0.9, lambda lost: status(AGENTS.is_lost(part(lost=lost))))
    assert_edge(0.5, lambda lost: status(AGENTS.is_lost(part(lost=1.0, lost_elsewhere=lost))), good="above")
    assert not AGENTS.is_lost(part(lost=1.0, far=60.0))
    band, whole = part(kind="row", median=0.5), part(kind="agent", median=0.45)
    assert AGENTS.worst_part([band, whole]) is whole
    assert AGENTS.worst_part([band, part(kind="agent", median=0.3)]) is band


def shift(metres: float, degrees: float = 0.0) -> Edit:
    """An agent that is elsewhere as a whole, as its own file has it."""

    def change(frame: Any) -> None:
        for pose in (
            frame["true_ego_pos"],
            frame["lidar_pose"],
            *(frame[f"camera{n}"]["cords"] for n in range(4)),
        ):
            pose[0] += metres
        frame["true_ego_pos"][4] += degrees

    return change


def test_how_far_an_agent_may_be_from_where_others_see_it(scene: Path) -> None:
    files = sorted(agent_of(scene).glob("*.yaml"))
    before = {path: path.read_bytes() for path in files}

    def found(metres: float) -> Status:
        for path in files:
            path.write_bytes(before[path])
        edit(files, shift(metres))
        return examine("DAT011", scene).status

    assert_edge(0.2, found)


def test_how_far_the_two_ways_to_say_a_cameras_place_may_be_apart(scene: Path) -> None:
    (file, *_) = sorted(agent_of(scene).glob("*.yaml"))
    content = file.read_bytes()

    def found(metres: float) -> Status:
        file.write_bytes(content)
        edit([file], lambda frame: add(frame["camera1"]["extrinsic"][0], 3, metres))
        return examine("DAT011", scene).status

    assert_edge(0.05, found)


def add(numbers: list[float], place: int, value: float) -> None:
    numbers[place] += value


def test_the_numbers_that_decide_of_sensors() -> None:
    """One camera of a frame, how much of the agreement an explanation gives back, and what noise may cost."""
    usual = Score(points=1000, through=0.0, agreeing=0.98, median=0.001)
    camera = replace(usual, points=FEWEST)
    assert_edge(0.15, lambda through: status(sensors._is_bad(replace(camera, through=through), usual)))
    noisy = replace(usual, through=0.5)
    chance = 2 * (0.18 * 0.82 / 1000) ** 0.5
    bound = 0.06 + NOISIEST * 0.06 + chance  # of a split whose usual frame is worse than all noise
    assert_edge(bound, lambda through: status(is_off(replace(usual, through=through), noisy, 0.06)))


@pytest.mark.parametrize(("given_back", "found"), [(REGAINED - 0.02, False), (REGAINED + 0.02, True)])
def test_an_explanation_gives_back_half_of_the_agreement(given_back: float, found: bool) -> None:
    before, usual = 0.2, 0.98
    agreeing = before + given_back * (usual - before)
    count = 1000
    files = SimpleNamespace(of=lambda *_: np.where(np.arange(count) < agreeing * count, 0.0, 1.0))
    scene = SimpleNamespace(
        score=lambda _: Score(points=count, through=0.8, agreeing=before, median=0.5), frame=None
    )
    guess: Any = (Text("turned"), Path("cloud.pcd"), (), lambda _: (None, None, None, files))
    most = Score(points=count, through=0.01, agreeing=usual, median=0.001)
    assert bool(sensors._best(scene, ("camera0",), iter([guess]), most)) is found  # type: ignore[arg-type]


def test_whoever_heads_elsewhere_than_the_others_say() -> None:
    def found(degrees: float) -> Status:
        agents = [replace(FRAME.agent, name=name) for name in "abc"]
        said = SimpleNamespace(frames=[replace(FRAME, agent=agent) for agent in agents])
        apart = {0: {1: (0.0, degrees), 2: (0.0, degrees)}, 1: {2: (0.0, 0.0)}, 2: {1: (0.0, 0.0)}}
        return status([*statements._accused(said, apart, set())])  # type: ignore[arg-type]

    assert_edge(1.0, found)
