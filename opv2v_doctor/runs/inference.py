"""An inference as a job of the pipeline: the repository's own entry, its arguments, and its checkpoint."""

from __future__ import annotations

import datetime
import string
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from opv2v_doctor.facts.past.checkpoints import read_checkpoint
from opv2v_doctor.facts.past.checkpoints.unreadable import CheckpointUnreadable
from opv2v_doctor.facts.past.runs import BEST, LAST, number_of
from opv2v_doctor.runs import configuration, digests
from opv2v_doctor.runs.command_line import directory_override, without_directory
from opv2v_doctor.runs.directory import RECORD
from opv2v_doctor.runs.launcher import Display, Plan
from opv2v_doctor.runs.record import Run, read_run
from opv2v_doctor.runs.reopening import with_given
from opv2v_doctor.runs.resume import stamped_config
from opv2v_doctor.runs.snapshot import Snapshot
from opv2v_doctor.settings import FILE_NAME
from opv2v_doctor.target import Target
from opv2v_doctor.user_error import UsageError, unknown

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


@dataclass(frozen=True, kw_only=True)
class Inquiry:
    """What the user asks for; the target's run is the one whose checkpoint is run."""

    target: Target
    checkpoint: Path | None = None
    split: str = "val"
    index: int = 0
    force: str = ""
    require_clean: bool = False
    plugins: bool | None = None  # run by the gate, or left out; None: as they are trusted
    ignores: tuple[str, ...] = ()  # checks that the gate shall not run, with the reasons
    dry_run: bool = False

    @property
    def files(self) -> tuple[Path, ...]:
        """Which files decide what runs, beside the repository's."""
        script = self.target.settings.infer.script
        own = [self.target.repo / script] if script else []
        return (*own, chosen_checkpoint(self.target.run, self.checkpoint))


@dataclass(frozen=True, kw_only=True)
class Inference:
    """What was asked for, with all that follows from it before its directory is claimed."""

    inquiry: Inquiry
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
    def given(self) -> Sequence[str]:
        return without_directory(self.target.overrides)

    @property
    def checkpoint(self) -> dict[str, Any]:
        trained_with = self.run.last.stamp.config_hash if self.run else None
        return {**identity(self.file), "trained_with": trained_with}

    @property
    def command(self) -> list[str]:
        return command(self.target, self._arguments(), self.inquiry.target.overrides)

    def _arguments(self) -> dict[str, str]:
        """What the arguments of the script may name."""
        return {
            "checkpoint": str(self.file),
            "run": str(self.home),
            "config": str(self._config or ""),
            "output": str(self.places[0]),
            "split": self.inquiry.split,
            "index": str(self.inquiry.index),
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
            cwd=self.target.repo,
            env=self.target.launch_env,
            watch={},
            ranks=range(1),
            patience=launching.patience,
            silence=launching.silence,
        )


def inference(inquiry: Inquiry, display: Display) -> Inference:
    """The inference that was asked for. Raises UsageError for a checkpoint or settings that cannot be."""
    file = chosen_checkpoint(inquiry.target.run, inquiry.checkpoint)
    display.say(f"checkpoint {file}")
    home = inquiry.target.run or file.parent
    run = read_run(home) if (home / RECORD).is_file() else None
    target = inquiry.target
    if run is not None:
        given = with_given(target, run)
        place = directory_override(run.path)
        size = run.stamp.world_size or target.gpus
        target = replace(given, overrides=(*given.overrides, place), gpus=size)
    places = output_directories(home, inquiry.split, inquiry.index)
    found = Inference(inquiry=inquiry, target=target, file=file, home=home, run=run, places=places)
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
    given = list(target.overrides)
    if asked and "{overrides}" not in settings.arguments:
        raise UsageError(
            f"{FILE_NAME}: infer.arguments has no place for overrides: put '{{overrides}}' there"
        )
    words = [given if word == "{overrides}" else [_fill(word, places)] for word in settings.arguments]
    return [str(target.python), str(script), *(part for parts in words for part in parts)]


def _fill(word: str, places: Mapping[str, str]) -> str:
    """An argument with its placeholders replaced."""
    try:
        names = [name for _, name, _, _ in string.Formatter().parse(word) if name is not None]
        for name in names:
            if name not in places:
                raise unknown(f"placeholder in infer.arguments of {FILE_NAME}:", name, [*places, "overrides"])
        return word.format(**places)
    except ValueError as problem:
        raise UsageError(f"{FILE_NAME}: infer.arguments: {word!r}: {problem}") from None
