"""Start-up: the doctor against what it cannot avoid, on the embedded training repository."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks import Ratio, command, compared
from opv2v_doctor.sandbox import train_briefly, write_repository

TIMES, TRAINED = 5, True
SELECTED: tuple[str, ...] = ()  # all checks
SMALLEST = {"TIMES": 1, "TRAINED": False, "SELECTED": ("--select", "CFG001")}
DOCTOR = (sys.executable, "-m", "opv2v_doctor")
IMPORT_AND_COMPOSE = """
import sys
from hydra import compose, initialize_config_dir
import mapanything.datasets
with initialize_config_dir(config_dir=sys.argv[1] + "/configs", version_base=None):
    cfg = compose("train", overrides=["machine=demo", "model=mapanything", "loss=opv2v_pose_loss",
        "train_params=opv2v_cyl_coop", "dataset=opv2v_cyl_coop_ft_2gpu"], return_hydra_config=True)
"""
DRAW = """
from hydra.core.hydra_config import HydraConfig
HydraConfig.instance().set_config(cfg)
tests = [part for part in cfg.dataset.test_dataset.split("+") if "(" in part]
parts = [cfg.dataset.train_dataset, *("+ " + part for part in tests)]
for part in parts:
    dataset = eval(part, vars(mapanything.datasets))
    dataset.set_epoch(0)
    counts = dataset.num_views if isinstance(dataset.num_views, list) else [dataset.num_views]
    for i in range(4):
        views = i % len(counts)
        dataset[(i * len(dataset) // 4, 0, views) if len(counts) > 1 else (i * len(dataset) // 4, 0)]
"""


def ratios() -> Iterator[Ratio]:
    """Help, static tier, and the whole checklist."""
    bare = [sys.executable, "-c", "import typer, rich"]
    yield _ratio("--help / import typer, rich", [*DOCTOR, "--help"], bare, 3 * TIMES)
    with tempfile.TemporaryDirectory() as folder:
        repo = Path(folder) / "repository"
        write_repository(repo)
        if TRAINED:
            train_briefly(repo)
        examine = [*DOCTOR, "run-all", "--repo", repo, *SELECTED]
        compose = [sys.executable, "-B", "-c", IMPORT_AND_COMPOSE, repo]
        yield _ratio("static tier / import and compose", [*examine, "--tier", "static"], compose, TIMES, repo)
        draw = [sys.executable, "-B", "-c", IMPORT_AND_COMPOSE + DRAW, repo]
        yield _ratio("run-all / import, compose and draw the same samples", examine, draw, TIMES, repo)


def _ratio(
    name: str, ours: Sequence[object], theirs: Sequence[object], times: int, repo: Path | None = None
) -> Ratio:
    env = {**os.environ, "PYTHONPATH": str(repo)} if repo else None
    mine, bare = compared(command(ours), command(theirs, cwd=repo, env=env), times)
    return Ratio(name=name, measured=mine / bare, bound=1.5, details=f"{mine:.2f} s / {bare:.2f} s")
