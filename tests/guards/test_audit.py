"""The guards of the family audit: its checks judge the inventory of a dataset."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import cast

import numpy as np

from opv2v_doctor.audit.inventory import open_inventory
from opv2v_doctor.audit.listing import Dataset
from opv2v_doctor.audit.survey import survey
from opv2v_doctor.audit.verdicts import VERDICTS
from opv2v_doctor.audit.workers import readers
from opv2v_doctor.result import Result
from opv2v_doctor.runner import run
from opv2v_doctor.sandbox.scene import write_scene
from opv2v_doctor.target import Target

from .guard import Case, Guard, Workshop, guarded

Break = Callable[[Path], object]  # of a folder with `data` and `depth`


def dataset(*breaks: Break) -> Case:
    """A small dataset that was broken: two agents in train and in validate, three frames each."""

    def case(shop: Workshop, code: str) -> Result:
        root = shop.folder / "dataset"
        write_scene(
            root / "data",
            root / "depth",
            image_size=(96, 72),
            scenarios={"train": (2,), "validate": (2,)},
            frames=3,
        )
        for spoil in breaks:
            spoil(root)
        with open_inventory(
            Dataset(str(root / "data"), str(root / "depth")), shop.folder / "cache"
        ) as inventory:
            survey(inventory, readers(1), lambda *_: None)
            results = run(VERDICTS, cast("Target", inventory))
            return next(result for result in results if result.check.code == code)

    return case


def without(*patterns: str) -> Break:
    """Remove the files that match."""

    def spoil(root: Path) -> None:
        found = [path for pattern in patterns for path in root.rglob(pattern)]
        assert found
        for path in found:
            path.unlink()

    return spoil


def first(pattern: str, change: Callable[[Path], object]) -> Break:
    """Change the first file that matches."""
    return lambda root: change(min(root.rglob(pattern)))


def smaller(path: Path) -> None:
    """Write an image or a depth map anew at half its height."""
    import cv2

    if path.suffix == ".npy":
        np.save(path, np.load(path)[::2])
    else:
        image = cv2.imread(str(path))
        assert image is not None
        cv2.imwrite(str(path), image[::2])


def rewritten(old: str, new: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(path.read_text().replace(old, new))


def copied(root: Path) -> None:
    """The training scenario once more in validate, under another name."""
    scenario = min((root / "data" / "train").iterdir())
    shutil.copytree(scenario, root / "data" / "validate" / "2099_01_01_00_00_00")


def far_away(path: Path) -> None:
    lines = path.read_text().splitlines()
    at = lines.index("lidar_pose:") + 1
    path.write_text("\n".join([*lines[:at], "- 9000.0", *lines[at + 1 :]]))


def narrow(path: Path) -> None:
    """Give the first camera a focal length of ten times its own."""
    text = path.read_text()
    focal = text.split("intrinsic:\n  - - ")[1].split("\n")[0]
    path.write_text(text.replace(focal, str(float(focal) * 10), 1))


def one_agent(root: Path) -> None:
    """Leave each scenario its first agent."""
    for scenario in root.glob("*/*/*"):
        for agent in sorted(path for path in scenario.iterdir() if path.is_dir())[1:]:
            shutil.rmtree(agent)


def one_split(root: Path) -> None:
    """Leave the training split alone."""
    for folder in root.glob("*/validate"):
        shutil.rmtree(folder)


NO_FRAMES = without("*.yaml", "*.png", "*.pcd", "*.npy")
ONE_FRAME = without("000071*", "000073*")

GUARDS = {
    "AUD001": Guard(bad=dataset(without("*.yaml")), good=dataset(), empty=dataset(NO_FRAMES)),
    "AUD002": Guard(
        bad=dataset(first("*.png", lambda path: path.write_bytes(path.read_bytes()[:40]))),
        good=dataset(),
        empty=dataset(NO_FRAMES),
    ),
    "AUD003": Guard(
        bad=dataset(first("*.npy", lambda path: np.save(path, np.zeros((72, 96), np.float32)))),
        good=dataset(),
        empty=dataset(without("*.png", "*.npy", "*.pcd")),
    ),
    "AUD004": Guard(bad=dataset(first("*.png", smaller)), good=dataset(), empty=dataset(without("*.png"))),
    "AUD005": Guard(bad=dataset(first("*.npy", smaller)), good=dataset(), empty=dataset(without("*.npy"))),
    "AUD006": Guard(bad=dataset(without("*.png")), good=dataset(), empty=dataset(NO_FRAMES)),
    "AUD007": Guard(
        bad=dataset(lambda root: without("*camera3.png")(root / "data" / "train")),
        good=dataset(),
        empty=dataset(without("*.png")),
    ),
    "AUD008": Guard(bad=dataset(first("000071.yaml", Path.unlink)), good=dataset(), empty=dataset(ONE_FRAME)),
    "AUD009": Guard(bad=dataset(first("000071.yaml", Path.unlink)), good=dataset(), empty=dataset(one_agent)),
    "AUD010": Guard(bad=dataset(first("000071.yaml", far_away)), good=dataset(), empty=dataset(ONE_FRAME)),
    "AUD011": Guard(bad=dataset(copied), good=dataset(), empty=dataset(one_split)),
    "AUD012": Guard(
        bad=dataset(first("*.npy", lambda path: np.save(path, np.full((72, 96), -1, np.float32)))),
        good=dataset(),
        empty=dataset(without("*.npy")),
    ),
    "AUD013": Guard(bad=dataset(first("*.yaml", narrow)), good=dataset(), empty=dataset(without("*.png"))),
}

test_audit = guarded(GUARDS)
