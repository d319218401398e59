"""Inference: the repository's own entry, its arguments, and the identity of the checkpoint."""

from __future__ import annotations

import datetime
import string
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from opv2v_doctor.facts.checkpoints import read_checkpoint
from opv2v_doctor.facts.checkpoints.unreadable import CheckpointUnreadable
from opv2v_doctor.facts.runs import BEST, LAST, number_of
from opv2v_doctor.runs import digests
from opv2v_doctor.settings import FILE_NAME
from opv2v_doctor.target import Target
from opv2v_doctor.usage import UsageError, unknown

FOLDER = "eval_runs"
EXAMPLE = """\
[infer]
script = "scripts/infer.py"
arguments = ["--checkpoint", "{checkpoint}", "--split", "{split}", "--index", "{index}", "-o", "{output}"]"""


def chosen_checkpoint(run: Path | None, file: Path | None) -> Path:
    """The checkpoint to run: the one named, else the run's best, last or latest one."""
    if file is not None:
        if not file.is_file():
            raise UsageError(f"--checkpoint {file}: no such file")
        return file.resolve()
    if run is None:
        raise UsageError("infer with what? Give --run RUN or --checkpoint FILE")
    numbered = sorted(run.glob("checkpoint-*.pth"), key=lambda path: number_of(path) or -1, reverse=True)
    places = [run / BEST, run / LAST, *numbered]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise UsageError(f"{run} holds no checkpoint")
    return found


def identity(checkpoint: Path) -> dict[str, Any]:
    """What tells this checkpoint from any other: content, size, and its own counters.

    Raises UsageError for a file that cannot be read as a checkpoint.
    """
    try:
        found = read_checkpoint(checkpoint)
    except CheckpointUnreadable as problem:
        raise UsageError(f"--checkpoint {checkpoint}: {problem}") from None
    return {
        "file": str(checkpoint),
        "size": found.size,
        "sha256": digests.of_file(checkpoint),
        "written": datetime.datetime.fromtimestamp(found.written, datetime.UTC).isoformat(),
        "epoch": found.epoch,
        "optimizer_steps": found.steps,
        "global_step": found.global_step,
        "world_size": found.world_size,
    }


def output_directories(run: Path, split: str, index: int) -> list[Path]:
    """Names for a new directory of this run's inferences."""
    name = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d_%H-%M-%S}_{split}_idx{index}"
    return [run / FOLDER / (f"{name}_{number}" if number > 1 else name) for number in range(1, 100)]


def command(target: Target, places: Mapping[str, str], asked: Sequence[str] = ()) -> list[str]:
    """The words of the inference, as the settings have them; the overrides go where {overrides} stands.

    `asked` are those among them that were given for this inference, and must not be dropped.

    Raises UsageError without settings, and for a placeholder that is not known.
    """
    settings = target.settings.infer
    if settings.script is None:
        raise UsageError(f"which script infers? Say it in {FILE_NAME}, as in\n{EXAMPLE}")
    script = target.repo / settings.script
    if not script.is_file():
        raise UsageError(f"{FILE_NAME}: infer.script: {script} is not there")
    given = list(target.overrides)
    if asked and "{overrides}" not in settings.arguments:
        raise UsageError(
            f"{FILE_NAME}: infer.arguments has no place for overrides: put '{{overrides}}' there"
        )
    words = [given if word == "{overrides}" else [_filled(word, places)] for word in settings.arguments]
    return [str(target.python), str(script), *(part for parts in words for part in parts)]


def _filled(word: str, places: Mapping[str, str]) -> str:
    """An argument with its placeholders replaced."""
    try:
        names = [name for _, name, _, _ in string.Formatter().parse(word) if name is not None]
        for name in names:
            if name not in places:
                raise unknown(f"placeholder in infer.arguments of {FILE_NAME}:", name, [*places, "overrides"])
        return word.format(**places)
    except ValueError as problem:
        raise UsageError(f"{FILE_NAME}: infer.arguments: {word!r}: {problem}") from None
