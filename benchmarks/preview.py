"""Preview: the command against importing, composing and drawing the same sample; and its page's size."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from benchmarks import Ratio, command, compared
from opv2v_doctor.sandbox import write_repository
from opv2v_doctor.sandbox.scene import write_scene

DOCTOR = (sys.executable, "-m", "opv2v_doctor")
DRAW = """
import sys
from hydra import compose, initialize_config_dir
import mapanything.datasets
with initialize_config_dir(config_dir=sys.argv[1] + "/configs", version_base=None):
    cfg = compose("train", overrides=["machine=demo", "model=mapanything", "loss=opv2v_pose_loss",
        "train_params=opv2v_cyl_coop", "dataset=opv2v_cyl_coop_ft_2gpu", *sys.argv[2:]],
        return_hydra_config=True)
from hydra.core.hydra_config import HydraConfig
HydraConfig.instance().set_config(cfg)
dataset = eval(cfg.dataset.opv2v.val.dataset_str, vars(mapanything.datasets))
dataset.set_epoch(0)
assert len(dataset[(0, 0)]) == 4
"""
IMAGES, PANORAMA = (800, 600), (1008, 252)
GRAIN = 5.0  # noise that makes ray-cast pictures as hard to compress as real ones
TIMES = 3
LARGEST = 4.0  # megabytes
AS_IT_IS = True
SMALLEST = {"TIMES": 1, "AS_IT_IS": False, "IMAGES": (64, 48), "PANORAMA": (96, 24)}


def ratios() -> Iterator[Ratio]:
    """Four agents: the embedded scene as it is, and with images and panoramas of OPV2V's size."""
    with tempfile.TemporaryDirectory() as folder:
        repo = Path(folder) / "repository"
        write_repository(repo)
        if AS_IT_IS:
            yield _time("embedded scene", repo)
        _enlarge(repo)
        width, height = PANORAMA
        wanted = f"dataset.opv2v.val.panorama_resolution=[{width},{height}]"
        yield _time(f"{width} x {height}", repo, wanted)
        page = Path(folder) / "preview" / "preview.html"
        yield Ratio(
            name="page of four agents at full size, MB", measured=page.stat().st_size / 1e6, bound=LARGEST
        )


def _time(name: str, repo: Path, *overrides: str) -> Ratio:
    folder = repo.parent / "preview"
    ours = command([*DOCTOR, "preview", "--repo", repo, "--split", "val", "--output", folder, *overrides])
    env = {**os.environ, "PYTHONPATH": str(repo)}
    theirs = command([sys.executable, "-B", "-c", DRAW, repo, *overrides], cwd=repo, env=env)
    mine, bare = compared(ours, theirs, TIMES)
    assert (folder / "preview.html").is_file()
    return Ratio(
        name=f"preview / import, compose and draw, {name}",
        measured=mine / bare,
        bound=1.3,
        details=f"{mine:.2f} s / {bare:.2f} s",
    )


def _enlarge(repo: Path) -> None:
    """Replace the validation split by one with images of OPV2V's size, and as much grain."""
    images, depth = repo / "data/OPV2V", repo / "data/opv2v_depth"
    for root in (images, depth):
        shutil.rmtree(root / "validate")
    write_scene(images, depth, image_size=IMAGES, scenarios={"validate": (4,)}, frames=1)
    random = np.random.default_rng(0)
    for path in images.glob("validate/*/*/*.png"):
        grained = np.asarray(cv2.imread(str(path))) + random.normal(0, GRAIN, (*IMAGES[::-1], 3))
        cv2.imwrite(str(path), np.clip(grained, 0, 255).astype(np.uint8))
