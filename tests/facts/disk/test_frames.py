"""What a view shows is found by the names that are on disk, in whatever form it says them."""

from pathlib import Path

import pytest

from opv2v_doctor.facts.disk.frames import Disk
from opv2v_doctor.facts.disk.scenarios import scenarios
from opv2v_doctor.facts.interpreter.views import Identity
from opv2v_doctor.facts.launch.datasets import parts_of
from opv2v_doctor.target import Target

SCENARIO = "2021_08_16_12_00_00"


@pytest.fixture
def where(tmp_path: Path) -> Disk:
    """A scenario of two vehicles and a roadside unit, two frames each."""
    for agent in ("641", "650", "-1"):
        (tmp_path / SCENARIO / agent).mkdir(parents=True)
        for frame in ("000069", "000071"):
            (tmp_path / SCENARIO / agent / f"{frame}.yaml").touch()
    (part,) = parts_of("D(split='train')")
    found = scenarios(Target(repo=tmp_path, python=tmp_path), tmp_path, tmp_path)
    return Disk(part=part, folder=tmp_path, depth_folder=tmp_path, scenarios=found)


@pytest.mark.parametrize(
    ("label", "instance", "agent_id", "shown"),
    [
        (f"{SCENARIO}/641", "000069/650", "650", "650 000069 None"),  # a panorama, in the first agent's frame
        (f"{SCENARIO}/641", "000069/650", None, "650 000069 None"),
        (f"{SCENARIO}/650", "000071", None, "650 000071 None"),
        (f"{SCENARIO}/650", "000069/camera0", None, "650 000069 camera0"),
        (f"{SCENARIO}/641", "000071/camera2_650", None, "650 000071 camera2"),
        (f"{SCENARIO}/-1", "000069/camera3", None, "-1 000069 camera3"),
        (f"/data/train/{SCENARIO}/650", "000069_camera1.png", None, "650 000069 camera1"),
        (None, f"/data/train/{SCENARIO}/650/000069_camera1.png", None, "650 000069 camera1"),
        (f"/data/train/{SCENARIO}/-1/000071_camera0.png", "7", None, "-1 000071 camera0"),
        (f"{SCENARIO}/650/camera2", "000069", None, "650 000069 camera2"),
        (f"opv2v {SCENARIO} 641", "Cam_3 000071", None, "641 000071 camera3"),
        (f"{SCENARIO}/641", "000069/641", "700", None),  # what it says of its agent counts
        (f"{SCENARIO}/641", "000070", None, None),
        ("elsewhere/641", "000069", None, None),
        (f"{SCENARIO}7/641", "000069", None, None),
        (None, None, None, None),
    ],
)
def test_a_view_is_traced_by_what_it_says(
    where: Disk, label: str | None, instance: str | None, agent_id: str | None, shown: str | None
) -> None:
    identity = Identity(label=label, instance=instance, agent_id=agent_id)
    frame = where.frame_of(identity)
    found = f"{frame.agent.name} {frame.name} {where.camera_of(identity)}" if frame else None
    assert found == shown
