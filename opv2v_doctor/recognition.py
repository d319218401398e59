"""Recognition: what a folder is that is no MapAnything training, and what works there all the same."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from shlex import quote
from typing import NamedTuple

from opv2v_doctor.foreign_files import text_of
from opv2v_doctor.layout import dataset_root

OURS = ("hydra", "mapanything")  # what a training script that can be examined speaks of
LARGEST = 1 << 20  # bytes of a script


class Kind(NamedTuple):
    """A kind of repository: the first file that tells it, its name, and how its training is configured."""

    evidence: str
    name: str
    configured: str


KINDS = (  # those that others were made of come last
    Kind("opencood/tools/heal_tools.py", "HEAL", "hypes_yaml files"),
    Kind("opencood/tools/pose_graph_pre_calc.py", "CoAlign", "hypes_yaml files"),
    Kind("opencood/tools/train.py", "OpenCOOD", "hypes_yaml files"),
    Kind("opencood/hypes_yaml", "a repository made of OpenCOOD", "hypes_yaml files"),
    Kind("v2xvit/tools/train.py", "V2X-ViT", "hypes_yaml files"),
    Kind("mast3r/model.py", "MASt3R", "arguments of its train.py"),
    Kind("dust3r/training.py", "DUSt3R", "arguments of its train.py"),
    Kind("dust3r/model.py", "DUSt3R", "arguments of its train.py"),
)


def recognised(place: Path) -> Kind | None:
    """What a folder holds; None for a MapAnything training and whatever is not known."""
    if (place / "mapanything").is_dir():
        return None
    return next((kind for kind in KINDS if (place / kind.evidence).exists()), None)


def is_foreign(place: Path, script: Path) -> bool:
    """Whether a training script is of a repository of a known other kind, and speaks of nothing of ours."""
    if recognised(place) is None:
        return False
    with contextlib.suppress(OSError):
        text = text_of(script, "replace", LARGEST).lower()
        return not any(word in text for word in OURS)
    return False


def refusal(place: Path, lacking: str, advice: str) -> str:
    """Why a folder cannot be examined as a training, what it is, and what works there all the same."""
    kind = recognised(place)
    if kind:
        said = (
            f"{place} is {kind.name} ({kind.evidence}), configured by {kind.configured}, not by Hydra, and "
            "without MapAnything's datasets: no training that can be examined"
        )
    else:
        said = f"{place} is not a training repository: {lacking} ({advice})"
    commands = list(_commands(place))
    width = max(len(command) for command, _ in commands)
    lines = (f"  {command:{width}}  {what}" for command, what in commands)
    return "\n".join([said, "What works without a MapAnything training:", *lines])


def _commands(place: Path) -> Iterator[tuple[str, str]]:
    root = dataset_root(place)
    data = quote(_shown(root)) if root else "DIR"
    checkpoint, log = _first(place, "*.pth", "*.ckpt"), _first(place, "log.txt", "*.log")
    yield f"opv2v-doctor audit {data}", "every file of the dataset, and what is wrong with it"
    yield f"opv2v-doctor preview --data {data}", "one frame: panoramas, cameras and LiDAR, from the files"
    yield (
        f"opv2v-doctor log {quote(_shown(log)) if log else 'FILE'}",
        "what stopped a training, and the epochs that a MetricLogger printed",
    )
    yield (
        f"opv2v-doctor checkpoint {quote(_shown(checkpoint)) if checkpoint else 'FILE'}",
        "what a checkpoint holds, without loading it",
    )


def _first(place: Path, *patterns: str) -> Path | None:
    """The newest such file in the usual folders of runs."""
    folders = ("logs", "opencood/logs", "checkpoints", "output", "outputs", "runs", "experiments")
    found = [
        path
        for folder in folders
        for pattern in patterns
        for level in ("", "*/", "*/*/")
        for path in (place / folder).glob(level + pattern)
        if path.is_file()
    ]
    return max(found, key=lambda path: path.stat().st_mtime, default=None)


def _shown(path: Path) -> str:
    """A path from the working directory where it lies below."""
    with contextlib.suppress(ValueError):
        return str(path.relative_to(Path.cwd())) or "."
    return str(path)
