"""Places are looked for in the dataset's class, then its file, then what that imports: one order for all."""

from pathlib import Path

import pytest

from opv2v_doctor import Target
from opv2v_doctor.facts.geometry.places import convention_place
from opv2v_doctor.facts.launch.datasets import Part, parts_of
from opv2v_doctor.facts.launch.origins import crop_place, given_place, seed_place

FILES = {
    "scripts/train.py": "import pack.viewer\nfrom pack.sets.cameras import Cameras\n",
    "pack/__init__.py": "",
    "pack/sets/__init__.py": "",
    "pack/viewer.py": "cone = Rotation.from_euler('xyz', angles)\n",  # imported by the launch alone
    "pack/poses.py": "def pose(cords):\n    return Rotation.from_euler('zyx', cords[3:])\n",
    "pack/sets/base.py": "class Base:\n    def __init__(self):\n        if self.seed:\n            pass\n",
    "pack/sets/cameras.py": "\n".join(
        [
            "from pack.poses import pose",
            "from pack.sets.base import Base",
            "def helper(view): view['img'] = crop(view['img'])",
            "class Cameras(Base):",
            "    def view(self, image):",
            "        return {'img': center_crop(image), 'seen_from': pose(image.cords)}",
        ]
    ),
}


def target_in(repo: Path, files: dict[str, str]) -> Target:
    for name, text in files.items():
        (repo / name).parent.mkdir(parents=True, exist_ok=True)
        (repo / name).write_text(text)
    return Target(repo=repo, python=Path("python"))


@pytest.fixture
def target(tmp_path: Path) -> Target:
    return target_in(tmp_path, FILES)


@pytest.fixture
def part() -> Part:
    return parts_of("Cameras(split='train')")[0]


def test_the_class_comes_before_the_rest_of_its_file(target: Target, part: Part) -> None:
    for found, near in ((given_place(target, part, "img"), False), (crop_place(target, part), True)):
        assert found is not None
        assert (found.path.name, found.line, found.near) == ("cameras.py", 6, near)


def test_what_the_file_imports_comes_next(target: Target, part: Part) -> None:
    found = seed_place(target, part)
    assert found is not None
    assert (found.path.name, found.line, found.near) == ("base.py", 3, True)


def test_a_rotation_that_the_dataset_never_calls_is_not_blamed(tmp_path: Path, part: Part) -> None:
    found = convention_place(target_in(tmp_path / "one", FILES), part)
    assert found is not None
    assert (found.path.name, found.line) == ("poses.py", 2)
    without = {**FILES, "pack/poses.py": "def pose(cords):\n    return cords\n"}
    assert convention_place(target_in(tmp_path / "other", without), part) is None


def test_only_what_the_dataset_calls_is_searched_of_what_its_files_import(tmp_path: Path, part: Part) -> None:
    base = "from pack.viewer import cone as drawn, shown\n\nclass Base:\n    def pose(self): shown()\n"
    viewer = "def shown(): pass\n\ndef cone(angles):\n    return Rotation.from_euler('xyz', angles)\n"
    sibling = "class Other:\n    def view(self):\n        return Rotation.from_euler('zyx', 1)\n"
    files = {
        **FILES,
        "pack/poses.py": "def pose(cords):\n    return cords\n",
        "pack/viewer.py": viewer,
        "pack/sets/__init__.py": "from pack.sets.other import Other\n",
        "pack/sets/other.py": sibling,
        "pack/sets/base.py": base,
    }
    assert convention_place(target_in(tmp_path / "idle", files), part) is None
    files["pack/sets/base.py"] = base + "    def __getitem__(self, index): drawn(index)\n"
    found = convention_place(target_in(tmp_path / "called", files), part)
    assert found is not None
    assert (found.path.name, found.line, found.near) == ("viewer.py", 4, True)
