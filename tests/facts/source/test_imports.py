"""Tests of which modules are the repository's own, and of what a script does to its path."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from opv2v_doctor import Target
from opv2v_doctor.facts.source.first_party import first_party, first_party_modules, path_edits


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    for name in ("mapanything", "data_processing", "benchmarking", "scripts", "torch_data"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
    (tmp_path / "mapanything/poses.py").write_text("def f():\n    from data_processing import poses\n")
    (tmp_path / "logging.py").touch()
    (tmp_path / "experiments").mkdir()
    return tmp_path


def target_of(repo: Path, script: str) -> Target:
    (repo / "scripts/train.py").write_text(script)
    return Target(repo=repo, python=Path(sys.executable))


def test_what_is_imported_and_lies_in_the_repository_is_first_party(repo: Path) -> None:
    script = "import logging\nimport torch, experiments\nimport sibling\nfrom mapanything.poses import f\n"
    (repo / "scripts/sibling.py").touch()
    target = target_of(repo, script)
    assert first_party(target) == ("sibling", "mapanything", "data_processing")
    found = {module.name: module for module in first_party_modules(target)}
    assert found["sibling"].homes == (repo / "scripts/sibling.py",)
    assert found["data_processing"].homes == (repo / "data_processing",)
    assert found["data_processing"].imported.path == repo / "mapanything/poses.py"
    assert found["data_processing"].imported.line == 2


def test_a_script_that_does_not_parse_imports_nothing(repo: Path) -> None:
    assert first_party(target_of(repo, "import mapanything\n(")) == ()


def test_only_what_a_change_of_the_path_needs_is_kept(repo: Path) -> None:
    script = (
        "import sys\nimport torch\nfrom pathlib import Path\nstart()\nROOT = Path(__file__).parent\n"
        "LR = torch.ones(3)\nsys.path.append(str(ROOT))\nimport mapanything\nsys.path.append('late')\n"
    )
    assert path_edits(target_of(repo, script)).splitlines() == [
        "import sys",
        "from pathlib import Path",
        "ROOT = Path(__file__).parent",
        "sys.path.append(str(ROOT))",
    ]


def test_a_script_that_leaves_the_path_alone_has_no_changes(repo: Path) -> None:
    assert path_edits(target_of(repo, "import sys\nimport mapanything\n")) == ""
