"""The audit against decoding alone, from one process to two, and on a tree of OPV2V's real size."""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from benchmarks import Ratio, seconds
from opv2v_doctor.audit.inventory import open_inventory
from opv2v_doctor.audit.listing import Dataset
from opv2v_doctor.audit.survey import survey
from opv2v_doctor.audit.workers import be_modest, readers
from opv2v_doctor.sandbox.scene import write_scene

FRAMES = 200  # of one agent, 800 x 600: several seconds' work
TURNS = 2
SCENARIOS, AGENTS, FRAMES_EACH = 73, 3, 150  # OPV2V: 11 000 frames of three agents, 130 000 images
OPV2V_IMAGES = 130_000
SMALLEST = {"FRAMES": 2, "TURNS": 1, "SCENARIOS": 5, "AGENTS": 1, "FRAMES_EACH": 2}
MEGABYTE = 1024.0  # in kilobytes, in which the kernel counts
LINES = "FIELDS x y z rgb\nVERSION 0.7\nSIZE 4 4 4 4\nCOUNT 1 1 1 1\nPOINTS 2\nDATA ascii\n1 2 3 0\n4 5 6 0\n"


class Time(NamedTuple):
    """Seconds on the clock, and of this process on a core: other programs slow the one, not the other."""

    wall: float
    processor: float


NOTHING_YET = {1: Time(math.inf, math.inf), 2: Time(math.inf, math.inf)}
AUDIT = """
import json, resource, sys, time
from pathlib import Path
import typer
from opv2v_doctor.cli.audit import audit
if __name__ == "__main__":
    start = time.perf_counter()
    try:
        audit(sys.argv[1], workers=int(sys.argv[3]), cache=Path(sys.argv[2]), output=[Path(sys.argv[4])])
    except typer.Exit as end:
        code = end.exit_code
    words = Path("/proc/self/status").read_text().split()
    own = int(words[words.index("VmHWM:") + 1])
    workers = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    Path(sys.argv[5]).write_text(json.dumps([code, time.perf_counter() - start, own, workers]))
"""


def ratios() -> Iterator[Ratio]:
    """On images of real size, then on many small ones."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        _write_large(data)
        yield from _against_decoding(data, Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        _write_many(data)
        yield from _at_full_scale(data, Path(folder))


def _against_decoding(data: Path, folder: Path) -> Iterator[Ratio]:
    """One process against OpenCV in one thread, and two processes against one, in turns."""
    images = sorted(str(path) for path in data.rglob("*.png"))
    decoded, audited = dict(NOTHING_YET), dict(NOTHING_YET)
    with _one_thread():
        for turn in range(TURNS):
            for workers in (1, 2):
                decoding = _decoding(images, workers)
                decoded[workers] = Time(*map(min, decoded[workers], decoding))
                auditing = _surveyed(data, folder / f"{turn}{workers}", workers)
                audited[workers] = Time(*map(min, audited[workers], auditing))
    ours, theirs = audited[1].processor, decoded[1].processor
    hours = ours / len(images) * OPV2V_IMAGES / 3600
    yield Ratio(
        name="auditing / decoding with OpenCV, processor time",
        measured=ours / theirs,
        bound=1.3,
        details=f"{ours:.1f} s / {theirs:.1f} s, {len(images)} images; OPV2V {hours:.2f} h a core",
    )
    faster, attainable = audited[1].wall / audited[2].wall, decoded[1].wall / decoded[2].wall
    yield Ratio(
        name="speed-up by a second process / decoding's",
        measured=faster / attainable,
        bound=0.9,
        at_least=True,
        details=f"{faster:.2f} / {attainable:.2f}, start of the processes included",
    )


def _timed(work: Callable[[], object]) -> Time:
    start = time.process_time()
    wall = seconds(work)
    return Time(wall, time.process_time() - start)


def _decoding(images: Sequence[str], workers: int) -> Time:
    """Decode the images with OpenCV and nothing else: what this machine can do just now."""
    if workers == 1:
        return _timed(lambda: decode(images))
    half = len(images) // 2
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn"), initializer=be_modest) as pool:
        return _timed(lambda: list(pool.map(decode, [images[:half], images[half:]])))


def decode(images: Sequence[str]) -> None:
    """Decode images, one after the other."""
    for path in images:
        cv2.imread(path)


def _surveyed(data: Path, cache: Path, workers: int) -> Time:
    with open_inventory(Dataset(str(data)), cache) as inventory:
        return _timed(lambda: survey(inventory, readers(workers), lambda *_: None))


@contextmanager
def _one_thread() -> Iterator[None]:
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    yield
    cv2.setNumThreads(before)


def _at_full_scale(data: Path, folder: Path) -> Iterator[Ratio]:
    """How much memory a tree of OPV2V's size takes, and how fast the second audit is."""
    files = SCENARIOS * AGENTS * FRAMES_EACH * 6
    code, first, ours, workers = _audit(data, folder, "first")
    assert code == 0, "the tree has no error"
    yield Ratio(
        name="peak memory of the audit, MB",
        measured=ours / MEGABYTE,
        bound=400,
        details=f"{files} files in {first:.0f} s, {files / first:.0f} a second; "
        f"a worker {workers / MEGABYTE:.0f} MB",
    )
    _, second, *_ = _audit(data, folder, "second")
    yield Ratio(
        name="second audit / first",
        measured=second / first,
        bound=0.5,
        details=f"{second:.0f} s, of listing and judging alone",
    )


def _audit(data: Path, folder: Path, name: str) -> Sequence[float]:
    """Exit code, seconds, and the peak memory of the audit and of its largest worker in kilobytes."""
    script, figures = folder / "audit.py", folder / f"{name}.json"
    script.write_text(AUDIT)
    words = [script, data, folder / "cache", os.cpu_count() or 1, folder / "report.json", figures]
    command = [sys.executable, *map(str, words)]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    subprocess.run(command, capture_output=True, check=True, env=env)
    measured: list[float] = json.loads(figures.read_text())
    return measured


def _write_large(data: Path) -> None:
    """One agent's drive: a ray-cast frame with the grain of a real picture, linked under many numbers."""
    source = data.parent / "source"
    write_scene(source, source, image_size=(800, 600), scenarios={"train": (1,)}, frames=1)
    place = next(source.glob("train/*/*/*.yaml"))
    random = np.random.default_rng(0)
    for path in place.parent.glob("*.png"):
        picture = np.asarray(cv2.imread(str(path)), np.float64) + random.normal(0, 5, (600, 800, 3))
        cv2.imwrite(str(path), np.clip(picture, 0, 255).astype(np.uint8))
    agent = data / "train" / "2021_08_16_22_26_54" / "641"
    agent.mkdir(parents=True)
    for number in range(FRAMES):
        for path in (place, place.with_suffix(".pcd"), *place.parent.glob("*.png")):
            (agent / path.name.replace(place.stem, f"{2 * number:06d}")).hardlink_to(path)


def _write_many(data: Path) -> None:
    """73 scenarios of three agents, 150 frames each: frame files of their own, and linked small pictures."""
    source = data.parent / "source"
    source.mkdir()
    (source / "cloud").write_text(LINES)
    random = np.random.default_rng(0)
    for agent in range(SCENARIOS * AGENTS * 4):  # a file has at most 65 000 links
        cv2.imwrite(str(source / f"{agent}.png"), random.integers(0, 255, (24, 32, 3), dtype=np.uint8))
    for index in range(SCENARIOS * AGENTS):
        scenario, agent = divmod(index, AGENTS)
        split = ("train", "train", "train", "validate", "test")[scenario % 5]
        folder = data / split / f"2021_08_{scenario:02d}_12_00_00" / str(600 + agent)
        folder.mkdir(parents=True)
        for number in range(FRAMES_EACH):
            stem = folder / f"{2 * number:06d}"
            stem.with_suffix(".yaml").write_text(_frame_file(index, number))
            stem.with_suffix(".pcd").hardlink_to(source / "cloud")
            for camera in range(4):
                Path(f"{stem}_camera{camera}.png").hardlink_to(source / f"{4 * index + camera}.png")


def _frame_file(index: int, number: int) -> str:
    """A small frame file: the agent drives a metre a frame."""
    pose = [float(number), 100.0 * index, 1.9, 0.0, 0.0, 0.0]
    cameras = [
        f"camera{camera}:\n  cords: {[*pose[:4], float(yaw), 0.0]}\n"
        "  intrinsic:\n  - [13.4, 0.0, 16.0]\n  - [0.0, 13.4, 12.0]\n  - [0.0, 0.0, 1.0]\n"
        for camera, yaw in enumerate((0, 100, -100, 180))
    ]
    return f"lidar_pose: {pose}\n{''.join(cameras)}"
