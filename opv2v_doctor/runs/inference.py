"""An inference as a job of the pipeline: the repository's own entry, its arguments, and its checkpoint."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from opv2v_doctor.facts.past.checkpoints import read_checkpoint
from opv2v_doctor.facts.past.checkpoints.unreadable import CheckpointUnreadable
from opv2v_doctor.runs import configuration, digests
from opv2v_doctor.runs.command_line import directory_override, without_directory
from opv2v_doctor.runs.directory import RECORD
from opv2v_doctor.runs.earlier import with_given
from opv2v_doctor.runs.launcher import Display, Plan
from opv2v_doctor.runs.record import Run, read_run
from opv2v_doctor.runs.request import InferenceRequest
from opv2v_doctor.runs.resume import stamped_config
from opv2v_doctor.runs.snapshot import Snapshot
from opv2v_doctor.settings import FILE_NAME
from opv2v_doctor.target import Target
from opv2v_doctor.user_error import UsageError

FOLDER = "eval_runs"
EXAMPLE = """\
[infer]
script = "scripts/infer.py"
arguments = ["--checkpoint", "{checkpoint}", "--split", "{split}", "--index", "{index}", "-o", "{output}"]"""


@dataclass(frozen=True, kw_only=True)
class Inference:
    """What was asked for, with all that follows from it before its directory is claimed."""

    request: InferenceRequest
    target: Target
    file: Path  # the checkpoint
    home: Path  # its directory
    run: Run | None  # that made it, where it was stamped
    places: Sequence[Path]

    kind = "infer"
    earlier: Run | None = None
    nodes = 1

    def at(self, output: Path) -> Inference:
        """The inference into this directory."""
        return replace(self, places=[output])

    @property
    def cwd(self) -> Path:
        return self.target.repo

    @property
    def given(self) -> Sequence[str]:
        return without_directory(self.target.overrides)

    @property
    def checkpoint(self) -> dict[str, Any]:
        trained_with = self.run.last.stamp.config_hash if self.run else None
        return {**identity(self.file), "trained_with": trained_with}

    @property
    def command(self) -> list[str]:
        return command(self.target, self._arguments(), self.request.target.overrides)

    def _arguments(self) -> dict[str, str]:
        """What the arguments of the script may name."""
        return {
            "checkpoint": str(self.file),
            "run": str(self.home),
            "config": str(self._config or ""),
            "output": str(self.places[0]),
            "split": self.request.split,
            "index": str(self.request.index),
            "repo": str(self.target.repo),
        }

    @property
    def _config(self) -> Path | None:
        return stamped_config(self.run) if self.run else self.home / ".hydra" / configuration.FILE

    def verify_resume(self, display: Display, before: Snapshot) -> None:
        """There is nothing to go on with; what differs from the training is said."""
        for words in self._remarks(before.commit):
            display.say(words)

    def _remarks(self, commit: str | None) -> Iterator[str]:
        """What differs from the training that made the checkpoint, key by key."""
        if self.run is None or self._config is None:
            yield f"{self.home} has no stamped config: whether this one is the checkpoint's cannot be told"
            return
        before = self.run.last.stamp
        if before.commit != commit:
            yield f"the commit differs from the training's: {str(before.commit)[:12]} -> {str(commit)[:12]}"
        values = configuration.values_of(self.target, self.home)
        for difference in configuration.differences(configuration.read_config(self._config), values):
            yield f"config differs from the checkpoint's: {difference}"

    def plan(self, _: Run) -> Plan:
        """What starts, once the run is stamped."""
        launching = self.target.settings.launch
        return Plan(
            command=self.command,
            cwd=self.cwd,
            env=self.target.launch_env,
            watch={},
            ranks=range(1),
            patience=launching.patience,
            silence=launching.silence,
        )


def inference(request: InferenceRequest, display: Display) -> Inference:
    """The inference that was asked for. Raises UsageError for a checkpoint or settings that cannot be."""
    file = request.file
    display.say(f"checkpoint {file}")
    home = request.target.run or file.parent
    run = read_run(home) if (home / RECORD).is_file() else None
    target = request.target
    if run is not None:
        given = with_given(target, run)
        place = directory_override(run.path)
        size = run.stamp.world_size or target.gpus
        target = replace(given, overrides=(*given.overrides, place), gpus=size)
    target = replace(target, run=home)  # whose checkpoint the gate judges
    places = output_directories(home, request.split, request.index)
    found = Inference(request=request, target=target, file=file, home=home, run=run, places=places)
    found.command  # noqa: B018 (wrong settings are told before the gate)
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
    if asked and "{overrides}" not in settings.arguments:
        raise UsageError(
            f"{FILE_NAME}: infer.arguments has no place for overrides: put '{{overrides}}' there"
        )
    try:
        return [str(target.python), str(script), *settings.filled(places, target.overrides)]
    except ValueError as problem:
        known = ", ".join(f"{{{name}}}" for name in (*places, "overrides"))
        raise UsageError(f"{FILE_NAME}: infer.arguments: {problem} (known: {known})") from None
