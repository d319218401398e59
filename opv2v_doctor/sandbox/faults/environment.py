"""Faults of the environment: which code is imported, which state it is in, which paths it is given."""

import shutil
from pathlib import Path

from opv2v_doctor.sandbox import history as git
from opv2v_doctor.sandbox.faults.fault import copy_package, fault, replace_text, set_value

SETTINGS = "opv2v-doctor.toml"
MACHINE = "configs/machine/demo.yaml"


@fault("ENV002")
def stale_package(directory: Path) -> None:
    """An older copy of mapanything, without the OPV2V dataset, comes first on PYTHONPATH."""
    old = directory / "old_checkout/mapanything"
    copy_package(directory / "mapanything", old)
    for path in (old / "datasets").glob("opv2v_*.py"):
        path.unlink()
    _forget_dataset(old)
    replace_text(directory / SETTINGS, 'PYTHONPATH = "."', 'PYTHONPATH = "old_checkout:."')


@fault("ENV003")
def other_copy(directory: Path) -> None:
    """A second mapanything lies beside the script: a folder without __init__.py, which any package beats."""
    copy_package(directory / "mapanything", directory / "scripts/mapanything")
    (directory / "scripts/mapanything/__init__.py").unlink()


@fault("ENV004")
def no_commit(directory: Path) -> None:
    """The git repository has no commit."""
    git.forget(directory)


@fault("ENV007")
def path_in_another_checkout(directory: Path) -> None:
    """The machine config takes pretrained weights from an older checkout beside this one."""
    old = directory.with_name(f"{directory.name}_old")
    for part in ("mapanything", "scripts", "checkpoints"):
        copy_package(directory / part, old / part)
    git.create(old)
    set_value(directory / MACHINE, "root_pretrained_checkpoints_dir", str(old / "checkpoints"))


@fault("ENV007")
def missing_depth_root(directory: Path) -> None:
    """The machine config names a folder of depth maps that does not exist."""
    set_value(directory / MACHINE, "opv2v_depth_root", str(directory / "data/depth_of_opv2v"))


@fault("DAT001")
def class_not_exported(directory: Path) -> None:
    """The dataset class is not imported where the loaders look for it."""
    _forget_dataset(directory / "mapanything")


def _forget_dataset(package: Path) -> None:
    """Take the dataset class out of the names of `mapanything.datasets`."""
    line = "from mapanything.datasets.opv2v_cyl import OPV2VCoopCylindricalDataset  # noqa: F401\n"
    replace_text(package / "datasets/__init__.py", line, "")
    shutil.rmtree(package / "datasets/__pycache__", ignore_errors=True)
