"""The guards of the family environment."""

import os
import shutil
import venv
from pathlib import Path
from unittest.mock import patch

from opv2v_doctor.check import Examined
from opv2v_doctor.registry import installed_checks
from opv2v_doctor.result import Result, Status
from opv2v_doctor.target import make_target
from opv2v_doctor.text import quoted

from ..nvidia import driver_in, with_driver
from .guard import Case, Guard, Workshop, edited, fault, guarded, healthy, run_check

SCRIPT, MODEL = "scripts/train.py", "mapanything/models/mapanything.py"
NO_WEIGHTS = "model.model_config.pretrained_checkpoint_path=null"


def python_of(shop: Workshop, cuda: str = "") -> Path:
    """An interpreter with nothing installed but, if wanted, the name of a torch."""
    folder = shop.folder / "venv"
    venv.create(folder, symlinks=True, with_pip=False)
    (packages,) = folder.glob("lib/python*/site-packages")
    if cuda:
        (packages / "torch").mkdir()
        (packages / "torch/__init__.py").touch()
        (packages / "torch/version.py").write_text(f"cuda = {cuda!r}\n")
    return folder / "bin/python"


def bare_interpreter(shop: Workshop, code: str) -> Result:
    return run_check(code, make_target(repo=shop.healthy, python=str(python_of(shop))))


def overwritten_opencv(shop: Workshop, code: str) -> Result:
    """The doctor, its OpenCV and another one in the training's environment, as far as their records tell."""
    python = python_of(shop)
    (packages,) = python.parents[1].glob("lib/python*/site-packages")
    for name in ("opv2v_doctor-0.1", "opencv_python-4.10", "opencv_python_headless-4.12"):
        (packages / f"{name}.dist-info").mkdir()
    return run_check(code, make_target(repo=shop.healthy, python=str(python)))


def no_interpreter(shop: Workshop, code: str) -> Result:
    return run_check(code, make_target(repo=shop.healthy, python=shutil.which("false")))


def no_git(shop: Workshop, code: str) -> Result:
    target = make_target(repo=shop.broken())
    with patch.dict(os.environ, PATH=str(shop.folder)):
        return run_check(code, target)


def on_gpus(asked: int, present: int) -> Case:
    """A launch on a machine with an NVIDIA driver."""

    def case(shop: Workshop, code: str) -> Result:
        repo = shop.folder / "repository"
        (repo / "scripts").mkdir(parents=True)
        (repo / SCRIPT).touch()
        found = with_driver(
            driver_in(shop.folder), repo, python_of(shop, cuda="12.4"), asked, FAKE_GPUS=present
        )
        return Result(
            check=next(check for check in installed_checks() if check.code == code),
            status=Status(found["status"]),
            reason=quoted(found["reason"]),
            examined=(Examined(count=found["examined"], unit="GPU"),),
        )

    return case


def checkpoints_too_large(shop: Workshop, code: str) -> Result:
    """A checkpoint as large as the free space, that takes none."""
    repo = shop.broken()
    for path in (repo / "experiments/opv2v_cyl_coop").glob("checkpoint-*.pth"):
        with path.open("r+b") as file:
            file.truncate(shutil.disk_usage(repo).free)
    return run_check(code, make_target(repo=repo))


def without_checkpoint(shop: Workshop, code: str) -> Result:
    return run_check(code, make_target(repo=shop.healthy, run=shop.folder, overrides=(NO_WEIGHTS,)))


def paths_of_nothing(shop: Workshop, code: str) -> Result:
    """A config with datasets, but without a path in it."""
    repo = shop.folder / "repository"
    for folder in ("scripts", "configs"):
        (repo / folder).mkdir(parents=True)
    main = 'import hydra\n\n\n@hydra.main(version_base=None, config_path="../configs", config_name="train")\n'
    (repo / SCRIPT).write_text(f"{main}def train(config):\n    pass\n")
    (repo / "configs/train.yaml").write_text("dataset: {train_dataset: 8 @ D(), test_dataset: 2 @ D()}\n")
    return run_check(code, make_target(repo=repo))


NO_IMPORT = edited((SCRIPT, "mapanything", "another_package"))

GUARDS = {
    "ENV001": Guard(bad=bare_interpreter, good=healthy(), empty=no_interpreter),
    "ENV002": Guard(bad=fault("stale_package"), good=healthy(), empty=NO_IMPORT),
    "ENV003": Guard(bad=fault("other_copy"), good=healthy(), empty=NO_IMPORT),
    "ENV004": Guard(bad=fault("no_commit"), good=healthy(), empty=no_git),
    "ENV005": Guard(bad=on_gpus(4, 2), good=on_gpus(2, 2), empty=on_gpus(2, 0)),
    "ENV006": Guard(bad=checkpoints_too_large, good=healthy(), empty=without_checkpoint),
    "ENV007": Guard(bad=fault("missing_depth_root"), good=healthy(), empty=paths_of_nothing),
    "ENV008": Guard(bad=overwritten_opencv, good=healthy(), empty=no_interpreter),
}

test_environment = guarded(GUARDS)
