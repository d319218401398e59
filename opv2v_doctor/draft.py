"""The draft of `opv2v-doctor.toml` that `init` writes: what a repository's layout tells, commented."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from opv2v_doctor.usage import UsageError

HEAD = """\
# Settings of opv2v-doctor for this training repository. `opv2v-doctor run-all` reads them.
# A line with `#` in front shows a default or an example.

{gpus}
# splits = ["train", "val", "test"]
# steps_per_epoch = 5000        # what every launch shall have, whatever the number of GPUs
# dataset_class = "OPV2VCoopCylindricalDataset"
# fine_tuning = true            # default: whether a chosen config is named for it
# num_samples = 4               # samples to draw of each split
# timeout = 300                 # seconds that one question to the training interpreter may take
# python = "/path/to/env/bin/python"
# run = "experiments/RUN"       # the run to examine; default: the last one
# plugins = ["tools/my_checks.py"]

[launch]
script = "{script}"
env = {{ PYTHONPATH = "." }}      # relative to this repository; it makes this checkout win the import
overrides = [{overrides}]
"""
VARIANT = """
[launch.{gpus}]                 # with {gpus} GPUs
overrides = ["dataset={dataset}"]
"""
TAIL = """
# [masks]
# floor = 0.05                  # least mean of a mask
# tolerance = 0.05              # measured against predicted coverage

# [[ignore]]                    # a check that shall not run
# code = "ENV005"
# reason = "the GPUs are shared on purpose"
# until = 2030-01-31
"""


def draft(repo: Path) -> str:
    """The settings for a repository, as far as its files tell. Raises UsageError without a Hydra script."""
    script = _script(repo)
    variants = sorted(_variants(repo, script))
    machine = _machine(repo, script)
    text = HEAD.format(
        script=script.relative_to(repo),
        overrides=f'"machine={machine}"' if machine else "",
        gpus=f"gpus = {variants[-1][0]}" if variants else "# gpus = 4",
    )
    return text + "".join(VARIANT.format(gpus=gpus, dataset=name) for gpus, name in variants) + TAIL


def _script(repo: Path) -> Path:
    """The training script: the Hydra entry point whose name speaks of training."""
    found = [
        path
        for pattern in ("scripts/train*.py", "train*.py", "tools/train*.py", "*/train*.py")
        for path in sorted(repo.glob(pattern))
        if "hydra.main" in path.read_text(encoding="utf-8", errors="replace")
    ]
    if not found:
        raise UsageError(f"{repo} is not a training repository: no train*.py with @hydra.main found")
    return found[0]


def _configs(repo: Path, script: Path, group: str) -> list[Path]:
    """The options of a config group."""
    text = script.read_text(encoding="utf-8", errors="replace")
    named = re.search(r"config_path\s*=\s*[\"']([^\"']+)", text)
    folder = (script.parent / (named[1] if named else "../configs")).resolve()
    return sorted((folder / group).glob("*.yaml")) if folder.is_relative_to(repo) else []


def _variants(repo: Path, script: Path) -> Iterator[tuple[int, str]]:
    """Dataset configs that are named for a number of GPUs."""
    for path in _configs(repo, script, "dataset"):
        named = re.fullmatch(r".+_(\d+)gpus?", path.stem)
        if named:
            yield int(named[1]), path.stem


def _machine(repo: Path, script: Path) -> str | None:
    """The machine config most of whose paths exist here."""
    best = (0, "")
    for path in _configs(repo, script, "machine"):
        paths = re.findall(r":\s*[\"']?(/[^\s\"']+)", path.read_text(encoding="utf-8", errors="replace"))
        best = max(best, (sum(Path(p).exists() for p in paths), path.stem))
    return best[1] if best[0] else None
