"""Damage is told from a file's beginning and end."""

from pathlib import Path

import numpy as np
import pytest

from opv2v_doctor import Blocked, Target
from opv2v_doctor.facts.disk.damage import image_damage, image_size, npy_damage, raw_depth, yaml_damage
from opv2v_doctor.facts.disk.frames import Disk
from opv2v_doctor.facts.disk.scenarios import scenarios
from opv2v_doctor.facts.launch.datasets import parts_of
from opv2v_doctor.layout import Layout
from opv2v_doctor.sandbox import write_scene


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of one agent in one frame, images and depth in one folder."""
    root = tmp_path_factory.mktemp("scene")
    write_scene(root, root, image_size=(40, 30), scenarios={"train": (1,)}, frames=1)
    return next(root.glob("train/*/[0-9]*"))


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Empty frame files: scenario A of agents 1 and 2, B of 1, C of 2 and 3, two frames each."""
    split = tmp_path_factory.mktemp("split")
    for scenario, agents in {"A": "12", "B": "1", "C": "23"}.items():
        for agent in agents:
            (split / scenario / agent).mkdir(parents=True)
            for frame in ("000069", "000071"):
                (split / scenario / agent / f"{frame}.yaml").touch()
    for copy in (split / ".ipynb_checkpoints", split / "A/.ipynb_checkpoints"):
        copy.mkdir()
        (copy / "000069-checkpoint.yaml").touch()
    (split / "A/pictures").mkdir()
    return split


@pytest.mark.parametrize(
    ("told", "frames"),
    [
        ("min_agents=1", "A1 A2 A1 A2 B1 B1 C2 C3 C2 C3"),
        ("min_agents=2", "A1 A2 A1 A2 C2 C3 C2 C3"),
        ("min_agents=2, max_scenes=3", "A1 A2 A1 A2 C2 C3"),
        ("min_agents=1, include_agents=['1']", "A1 A1 B1 B1"),
        ("min_agents=2, include_agents=['1']", ""),
        ("max_scenes=3", "A1 A1 A2"),
        ("max_scenes=None, include_agents=None", "A1 A1 A2 A2 B1 B1 C2 C2 C3 C3"),
    ],
)
def test_only_what_the_dataset_reads_is_looked_into(split: Path, told: str, frames: str) -> None:
    (part,) = parts_of(f"D({told})")
    found = scenarios(Target(repo=split, python=split), split, split)
    where = Disk(part=part, folder=split, depth_folder=split, scenarios=found)
    assert [f"{frame.agent.scenario}{frame.agent.name}" for frame in where.frames] == frames.split()
    names = [scenario.name for scenario in where.scenarios_in_use]
    assert names == sorted(set(frames) & set("ABC"))
    assert set(where.by_name) == set("ABC")


def copied(source: Path, pattern: str, folder: Path, size: int | None = None) -> Path:
    """A copy of the file that matches, cut to `size` bytes."""
    found = next(source.glob(pattern))
    (folder / found.name).write_bytes(found.read_bytes()[:size])
    return folder / found.name


def test_whole_files_are_whole(agent: Path) -> None:
    assert image_damage(next(agent.glob("*_camera0.png"))) is None
    assert npy_damage(next(agent.glob("*_depth.npy"))) is None
    assert yaml_damage(next(agent.glob("*.yaml")), Layout()) is None
    assert image_size(next(agent.glob("*_camera0.png"))) == (40, 30)


@pytest.mark.parametrize("size", [0, 5, 20, 200])
def test_a_truncated_image_is_damaged(agent: Path, tmp_path: Path, size: int) -> None:
    assert image_damage(copied(agent, "*_camera0.png", tmp_path, size))


@pytest.mark.parametrize("size", [0, 5, 20, 200])
def test_a_truncated_array_is_damaged_and_holds_nothing(agent: Path, tmp_path: Path, size: int) -> None:
    path = copied(agent, "*_depth.npy", tmp_path, size)
    assert npy_damage(path)
    assert raw_depth(path) is None


def test_an_array_of_objects_is_damaged_and_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "depth.npy"
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    assert "pickled" in str(npy_damage(path))
    assert raw_depth(path) is None


def test_a_missing_file_is_damaged(tmp_path: Path) -> None:
    assert image_damage(tmp_path / "none.png")
    assert npy_damage(tmp_path / "none.npy")
    with pytest.raises(Blocked):
        image_size(tmp_path / "none.png")


def test_a_yaml_that_would_run_code_is_damaged_and_runs_nothing(tmp_path: Path) -> None:
    path, witness = tmp_path / "000069.yaml", tmp_path / "witness"
    path.write_text(f"lidar_pose:\n- 1\nspeed: !!python/object/apply:pathlib.Path.touch [{witness}]\n")
    found = yaml_damage(path, Layout())
    assert found is not None
    assert found.line == 3
    assert not witness.exists()


@pytest.mark.parametrize("text", ["", "- 1\n", "camera0: 1\n", "a: [1,\n", "\x00", "[" * 5000])
def test_a_yaml_without_a_pose_is_damaged(tmp_path: Path, text: str) -> None:
    path = tmp_path / "000069.yaml"
    path.write_text(text)
    assert yaml_damage(path, Layout())


def test_raw_depth_counts_what_a_loader_would_mend(tmp_path: Path) -> None:
    path = tmp_path / "depth.npy"
    np.save(path, np.array([[np.nan, np.inf], [0, 5]], dtype=np.float32))
    found = raw_depth(path)
    assert found is not None
    assert (found.nan, found.infinite, found.zero, found.constant) == (0.25, 0.25, 0.25, False)
