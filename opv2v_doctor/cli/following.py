"""What a terminal shows while a training runs: its output, and below it a live line of where it is."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Mapping
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from opv2v_doctor.facts.past.logs.metric_rows import metric_line
from opv2v_doctor.neutral import canvas
from opv2v_doctor.runs.output import OutputLine


class Following:
    """Output goes to stdout, our own words to stderr; on a terminal, a live line stays below both."""

    def __init__(self) -> None:
        self._epochs: int | None = None
        self._place: tuple[float, float] | None = None  # first (epoch, time) of this launch
        self._open = True
        self._shared = sys.stdout.isatty()
        self._paper = canvas(sys.stdout)
        self._console = Console(file=self._paper if self._shared else canvas(sys.stderr), highlight=False)
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            disable=not self._console.is_terminal,
        )
        self._task = self._progress.add_task("starting", total=None)

    def __enter__(self) -> Following:
        return self

    def begin(self, epochs: int | None) -> None:
        """The gate is passed, the launch begins."""
        self._epochs = epochs
        self._progress.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def line(self, line: OutputLine) -> None:
        """A line of a rank; the first rank's is shown as it is."""
        self._write(f"[rank {line.rank}] {line.text}" if line.rank else line.text)
        found = metric_line(line.text.encode()) if not line.rank else None
        if found is not None and found.phase == "train" and found.epoch is not None:
            values = dict(zip(found.names, found.medians, strict=True))
            self._show(found.epoch, found.step, found.steps, values.get("loss"), values.get("lr"))

    def event(self, event: Mapping[str, object]) -> None:
        """What the watch says: a beat moves the live line, a warning is shown."""
        epoch, step, steps = event.get("epoch"), event.get("step"), event.get("steps")
        if event.get("event") == "warning":
            self.say(f"watch, rank {event.get('rank')}: {event.get('message', event)}")
        if event.get("event") == "not watched" and event.get("rank") == 0:
            self.say(f"not watched: {event.get('point')}: {event.get('reason')}")
        if (
            event.get("rank") == 0
            and isinstance(epoch, int)
            and isinstance(step, int)
            and isinstance(steps, int)
        ):
            self._show(epoch, step, steps, _number(event.get("loss")), _number(event.get("lr")))

    def say(self, words: str) -> None:
        """A word of the launcher."""
        text = "".join(f"opv2v-doctor: {line}\n" for line in words.splitlines())
        with contextlib.suppress(OSError):
            if self._shared:
                self._console.print(Text(text, end=""), soft_wrap=True)
            else:
                sys.stderr.write(text)
                sys.stderr.flush()

    def _write(self, text: str) -> None:
        """A reader that went away (`| head`) must not end the training."""
        if not self._open:
            return
        try:
            if self._shared:
                self._console.print(Text.from_ansi(text), soft_wrap=True)
            else:
                self._paper.write(f"{text}\n")
                self._paper.flush()
        except OSError:
            self._open = False
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nor the interpreter's last flush

    def _show(self, epoch: int, step: int, steps: int, loss: float | None, lr: float | None) -> None:
        place = epoch + step / max(1, steps)
        words = [f"epoch {epoch}", f"step {step}/{steps}"]
        words += [f"loss {loss:.4g}"] if loss is not None else []
        words += [f"lr {lr:.3g}"] if lr is not None else []
        words += [f"ETA {self._remaining(place)}"] if self._epochs else []
        self._progress.update(self._task, description="  ".join(words), completed=place, total=self._epochs)

    def _remaining(self, place: float) -> str:
        """The time to the end of the training, as fast as it was since it was started here."""
        now = time.monotonic()
        if self._place is None:
            self._place = place, now
        done, seconds = place - self._place[0], now - self._place[1]
        if done <= 0 or self._epochs is None:
            return "-"
        left = int((self._epochs - place) * seconds / done)
        return f"{left // 3600}:{left // 60 % 60:02}:{left % 60:02}"


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
