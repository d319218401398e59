"""A healthy dataset, copies of it to break, and an audit that says what became of each verdict."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest

from opv2v_doctor.audit.inventory import Inventory, open_inventory
from opv2v_doctor.audit.listing import Dataset
from opv2v_doctor.audit.survey import survey
from opv2v_doctor.audit.verdicts import VERDICTS
from opv2v_doctor.audit.workers import Readers, readers
from opv2v_doctor.result import Result
from opv2v_doctor.runner import run
from opv2v_doctor.sandbox.scene import write_scene
from opv2v_doctor.target import Target

ROOT = Path(__file__).parents[2]
SHARED = Path(os.environ.get("OPV2V_DOCTOR_SHARED", ROOT.parent / "shared"))
SCENARIOS = {"train": (2, 1), "validate": (2,), "test": (1,)}

Audit = Callable[..., dict[str, Result]]


@pytest.fixture(scope="session")
def healthy_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `data` and `depth`: four scenarios, three frames each. Never to be modified."""
    place = tmp_path_factory.mktemp("dataset")
    write_scene(place / "data", place / "depth", image_size=(96, 72), scenarios=SCENARIOS, frames=3)
    return place


@pytest.fixture
def dataset(healthy_dataset: Path, tmp_path: Path) -> Path:
    """A copy to break."""
    return Path(shutil.copytree(healthy_dataset, tmp_path / "dataset"))


@pytest.fixture
def inventory(dataset: Path, tmp_path: Path) -> Iterator[Inventory]:
    """The inventory of that copy, not yet surveyed."""
    with open_inventory(Dataset(str(dataset / "data"), str(dataset / "depth")), tmp_path / "cache") as found:
        yield found


@pytest.fixture
def audit(inventory: Inventory) -> Audit:
    """Survey and judge: code -> result."""

    def audited(who: Readers | None = None) -> dict[str, Result]:
        survey(inventory, who or readers(1), lambda *_: None)
        return {result.check.code: result for result in run(VERDICTS, cast("Target", inventory))}

    return audited


@pytest.fixture
def first_frame(dataset: Path) -> Path:
    """The first frame file of the first agent of the training split."""
    return min(dataset.glob("data/train/*/*/*.yaml"))


@pytest.fixture
def first_depth(dataset: Path) -> Path:
    """The first depth map of the first agent of the training split."""
    return min(dataset.glob("depth/train/*/*/*.npy"))


@pytest.fixture
def real_frame() -> Path:
    """The root of one real frame of OPV2V."""
    root = SHARED / "data" / "opv2v_frame"
    if not root.is_dir():
        pytest.skip("no real OPV2V frames outside the clone: export OPV2V_DOCTOR_SHARED=FOLDER")
    return root
