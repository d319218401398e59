"""What goes along with a training beside its watch: its notebook, who is told of alarms, and renderings.

Each sees the events of the watch, and the end. None of them can touch the training.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from opv2v_doctor.atomic import NotWritten
from opv2v_doctor.isolation import PROGRAM, isolated_command
from opv2v_doctor.runs.alarms import Notifier
from opv2v_doctor.runs.background import Background, Errand
from opv2v_doctor.runs.inference import FOLDER
from opv2v_doctor.runs.milestones import SAVED, json_lines
from opv2v_doctor.runs.notebook import keep
from opv2v_doctor.runs.record import Run, RunStatus
from opv2v_doctor.settings import Settings
from opv2v_doctor.target import Target

Say = Callable[[str], None]
PAUSE = 5.0  # seconds between two writings of the notebook
RENDERING = 1800.0  # seconds that one may take, on the processor: the training has the GPUs
NICE = ("nice", "-n", "10")


class Companion(Protocol):
    """What goes along with a training."""

    def event(self, event: Mapping[str, Any]) -> None:
        """What a rank's watch wrote."""

    def stalled(self, words: str) -> None:
        """The training makes no step."""

    def ended(self, run: Run) -> None:
        """The training has ended, and its record is written."""


class NotebookKeeper:
    """Writes the run's notebook: at its start, after each epoch and evaluation, and at its end."""

    def __init__(self, run: Run, settings: Settings, say: Say) -> None:
        self._run, self._settings, self._say = run, settings, say
        self._written = self._due = 0.0
        self._complained = False
        self.write()

    def event(self, event: Mapping[str, Any]) -> None:
        if event.get("event") in ("epoch", "epoch end", "averages", "masks", "loader"):
            self._due = time.monotonic()
        if self._due > self._written and time.monotonic() > self._written + PAUSE:
            self.write()

    def stalled(self, words: str) -> None:
        """Nothing new to write."""

    def ended(self, run: Run) -> None:
        self._run = run
        self.write()

    def write(self) -> None:
        """As the run stands now; a notebook that cannot be written is said once."""
        self._written = time.monotonic()
        try:
            keep(self._run, self._settings)
        except NotWritten as problem:
            if not self._complained:
                self._complained = True
                self._say(str(problem))


class Renderer:
    """Shows each new best checkpoint as a point cloud, in a process of its own; of several the last one."""

    def __init__(self, run: Run, target: Target, say: Say, then: Callable[[], object]) -> None:
        self._run, self._target, self._say, self._then = run, target, say, then
        self._background = Background()
        self._seen = len(_best(run.path))
        self._is_busy = self._is_due = False

    def event(self, event: Mapping[str, Any]) -> None:
        if event.get("event") in ("epoch", "end") and event.get("rank") == 0:
            self._look()

    def stalled(self, words: str) -> None:
        """Nothing to show."""

    def ended(self, run: Run) -> None:
        """A training that came to its end is shown to its end."""
        self._look()
        if self._is_busy and run.last.status is RunStatus.FINISHED:
            self._say("the best checkpoint is still being rendered (Ctrl-C ends that)")
        patience = RENDERING if run.last.status is RunStatus.FINISHED else 0
        try:
            self._background.close(patience)
            if self._is_due and patience:  # a better one came while another was shown
                self._background = Background()
                self._start(_best(self._run.path)[-1])
                self._background.close(patience)
        except BaseException:
            self._background.close(0)
            raise

    def _look(self) -> None:
        found = _best(self._run.path)
        if len(found) > self._seen:
            self._seen = len(found)
            self._is_due = True
        if self._is_due and not self._is_busy:
            self._start(found[-1])

    def _start(self, save: Mapping[str, Any]) -> None:
        self._is_due, self._is_busy = False, True
        run = self._run.path
        name = f"{Path(str(save['file'])).stem}_epoch{save.get('epoch')}_val_0"
        place = next(p for p in _places(run / FOLDER, name) if not p.exists())
        options = ["--repo", str(self._target.repo), "--run", str(run), "--split", "val"]
        if self._target.settings_file is not None:
            options += ["--settings", str(self._target.settings_file)]
        checkpoint = str(run / str(save["file"]))
        self._background.add(
            Errand(
                words=[
                    *(*NICE, *isolated_command(PROGRAM), "pointcloud", *options),
                    *("--checkpoint", checkpoint, "--output", str(place)),
                ],
                seconds=RENDERING,
                env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
                cwd=self._target.repo,
                then=self._hear,
            )
        )

    def _hear(self, failure: str) -> None:
        self._is_busy = False
        if failure:
            self._say(f"watch.render: the point cloud {failure}")
        else:
            self._then()


def _best(run: Path) -> list[dict[str, Any]]:
    """The saves of a best checkpoint, in their order."""
    return [save for save in json_lines(run / SAVED) if "best" in str(save.get("file"))]


def _places(folder: Path, name: str) -> Iterator[Path]:
    return (folder / (f"{name}_{number}" if number > 1 else name) for number in range(1, 1000))


def companions_of(target: Target, run: Run, say: Say) -> list[Companion]:
    """Those that the settings ask for; every run has a notebook."""
    watch = target.settings.watch
    keeper = NotebookKeeper(run, target.settings, say)
    found: list[Companion] = [keeper]
    if watch.notify:
        found.append(Notifier(watch.notify, target.settings.masks, run, say, target.repo))
    if watch.render:
        found.append(Renderer(run, target, say, keeper.write))
    return found
