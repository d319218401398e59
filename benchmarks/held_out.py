"""Geometry on scenes that no threshold was set on: nothing claimed where all is well, each fault still named.

`python -m benchmarks held_out` takes some ten minutes: it is no part of the tests. The scenes have other
seeds, sizes of images and panoramas, tilts of the agents, noise and gaps in depth than the embedded one.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks import Ratio
from opv2v_doctor.sandbox import FAULTS, put
from opv2v_doctor.sandbox import history as git
from opv2v_doctor.sandbox.scene import write_scene
from opv2v_doctor.sandbox.template import CACHES, MACHINE, PLACEHOLDER, TEMPLATE

FAMILY = "GEO"
LIMIT = 600  # seconds of one examination
SILENT = ("passed", "skipped")  # of nine tenths of the depth too little is left to compare agents
PANORAMA = Path("configs/dataset/opv2v/test/cyl_coop.yaml")


@dataclass(frozen=True)
class Scene:
    """One held-out scene; `noise` and `dropped` are shares, of depth and of its pixels."""

    seed: int
    images: tuple[int, int] = (200, 150)
    panorama: tuple[int, int] = (256, 64)
    tilt: float = 3.0
    noise: float = 0.0
    dropped: float = 0.0
    grain: float = 0.0  # noise of the images, of 255

    @property
    def name(self) -> str:
        sizes = " ".join("x".join(map(str, size)) for size in (self.images, self.panorama))
        return (
            f"seed {self.seed}, {sizes}, tilt {self.tilt:g}, noise {self.noise:g}, dropped {self.dropped:g}"
        )


SCENES = (
    Scene(101),
    Scene(102, tilt=8.0),
    Scene(103, images=(96, 72)),
    Scene(104, images=(96, 72), panorama=(160, 40)),
    Scene(105, images=(160, 120), panorama=(320, 80), noise=0.02),
    Scene(106, images=(320, 240), panorama=(512, 128)),
    Scene(107, images=(320, 240), panorama=(256, 64), dropped=0.9),
    Scene(108, images=(400, 300), panorama=(504, 126), tilt=6.0, grain=4.0),
    Scene(109, images=(800, 600), panorama=(1008, 252)),
    Scene(110, images=(800, 600), panorama=(512, 128), tilt=8.0, noise=0.01, grain=6.0),
    Scene(111, images=(200, 150), panorama=(512, 128), dropped=0.5),
    Scene(112, noise=0.03, grain=8.0),
    Scene(113, tilt=0.2),
    Scene(114, images=(256, 192), panorama=(384, 96), tilt=5.0, noise=0.02, dropped=0.9),
)
BROKEN = (
    Scene(201, tilt=5.0),
    Scene(202, images=(320, 240), panorama=(384, 96)),
    Scene(203, images=(160, 120), noise=0.005, grain=3.0),
)
SMALLEST = {"SCENES": (Scene(103, images=(96, 72), panorama=(160, 40)),), "BROKEN": ()}


def ratios() -> Iterator[Ratio]:
    """False alarms, then faults that are not named."""
    alarms = []
    for scene in SCENES:
        with tempfile.TemporaryDirectory() as folder:
            found = _examined(_written(Path(folder) / "repository", scene), [])
            alarms += [f"{code} {status} ({scene.name})" for code, status in found if status not in SILENT]
    yield Ratio(
        name=f"false alarms of geometry on {len(SCENES)} held-out scenes",
        measured=len(alarms),
        bound=0,
        details="; ".join(alarms),
    )
    missed, tried = [], 0
    for scene in BROKEN:
        with tempfile.TemporaryDirectory() as folder:
            healthy = _written(Path(folder) / "healthy", scene)
            for name in (name for name, fault in FAULTS.items() if fault.code.startswith(FAMILY)):
                tried += 1
                missed += _missed(healthy, Path(folder) / name, name, scene)
    yield Ratio(
        name=f"geometry's faults that are not named, of {tried}",
        measured=len(missed),
        bound=0,
        details="; ".join(missed),
    )


def _written(directory: Path, scene: Scene) -> Path:
    """A repository like the embedded one, with the held-out scene for its test split; nothing is trained."""
    shutil.copytree(TEMPLATE, directory, ignore=CACHES)
    machine = directory / MACHINE
    machine.write_text(machine.read_text().replace(PLACEHOLDER, str(directory)))
    config = directory / PANORAMA
    lines = [line for line in config.read_text().splitlines() if line.startswith("panorama_resolution:")]
    if len(lines) != 1:
        raise ValueError(f"{config} does not say panorama_resolution once")
    wanted = lines[0].split(":")[0] + f": [{scene.panorama[0]}, {scene.panorama[1]}]"
    config.write_text(config.read_text().replace(lines[0], wanted))
    images, depths = directory / "data/OPV2V", directory / "data/opv2v_depth"
    write_scene(
        images, depths, seed=scene.seed, image_size=scene.images, scenarios={"test": (4,)}, tilt=scene.tilt
    )
    _spoil(images, depths, scene)
    git.create(directory)
    return directory


def _spoil(images: Path, depths: Path, scene: Scene) -> None:
    """Noise and gaps, as sensors have them."""
    import cv2

    random = np.random.default_rng(scene.seed)
    for path in sorted(depths.rglob("*.npy")) if scene.noise or scene.dropped else ():
        depth = np.load(path) * (1 + scene.noise * random.standard_normal(np.load(path).shape))
        np.save(path, np.where(random.random(depth.shape) < scene.dropped, 0, depth).astype(np.float32))
    for path in sorted(images.rglob("*.png")) if scene.grain else ():
        picture = np.asarray(cv2.imread(str(path)), np.float64)
        grained = picture + random.normal(0, scene.grain, picture.shape)
        cv2.imwrite(str(path), np.clip(grained, 0, 255).astype(np.uint8))


def _missed(healthy: Path, copy: Path, name: str, scene: Scene) -> list[str]:
    """The fault, where its check does not name it."""
    shutil.copytree(healthy, copy)
    machine = copy / MACHINE
    machine.write_text(machine.read_text().replace(str(healthy), str(copy)))
    put(name, copy)
    ((code, status),) = _examined(copy, [FAULTS[name].code])
    shutil.rmtree(copy)
    return [] if status in ("failed", "warned") else [f"{name}: {code} {status} ({scene.name})"]


def _examined(repository: Path, codes: Sequence[str]) -> list[tuple[str, str]]:
    """Codes and their statuses, from a process of its own: it ends the interpreters that it starts."""
    command = [sys.executable, "-m", "benchmarks.held_out", str(repository), *codes]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, [Path(__file__).parents[1], *sys.path]))}
    ran = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=LIMIT, env=env)
    found: list[tuple[str, str]] = [tuple(pair) for pair in json.loads(ran.stdout)]
    return found


def _main(repository: Path, codes: Sequence[str]) -> None:
    """Print the statuses of the family's checks."""
    from opv2v_doctor.registry import installed_checks
    from opv2v_doctor.target import make_target
    from opv2v_doctor.testing import run_check

    wanted = codes or [check.code for check in installed_checks() if check.code.startswith(FAMILY)]
    target = make_target(repo=repository, splits=("test",))
    results = [(code, run_check(code, target)) for code in wanted]
    if not codes:
        for code, result in results:
            if result.status not in SILENT:
                sys.stderr.write(f"{code}: {result.reason}{[f.message for f in result.findings]}\n")
    sys.stdout.write(json.dumps([(code, str(result.status)) for code, result in results]))


if __name__ == "__main__":
    _main(Path(sys.argv[1]), sys.argv[2:])
