"""Alarms: what somebody wants to be told of while a training runs, each thing once.

The command of `[watch] notify` gets an alarm as one line of JSON: `schema` (1), `event` (the rule, below),
`message`, `run`, `commit`, `host`, `time` (UTC), and where they are known `epoch`, `step`, `rank`, `split`
and `values`. Events: what the watch warns of, by its own name (`gradients not finite`, `epoch skipped`),
`masks out of bounds`, `validation rises`, `not finite`, `training stopped`, `exception`, `stall`, `end`.
"""

from __future__ import annotations

import datetime
import json
import math
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from opv2v_doctor.facts.past.mask_bounds import FEWEST_UPDATES, bounds
from opv2v_doctor.runs.background import Background, Errand
from opv2v_doctor.runs.record import Run
from opv2v_doctor.settings import MaskSettings
from opv2v_doctor.threshold import Threshold

SCHEMA = 1
SECONDS = 30.0  # that a command may take for an alarm
LAST = 10.0  # seconds that a training which has ended waits for the commands that are left
RISES = Threshold(3, "evaluations", "one after another, each worse than the one before: fewer are noise")
PLACE = ("epoch", "step", "rank", "split")


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """What somebody is told: the rule, a sentence, and where it was."""

    rule: str
    message: str
    place: Mapping[str, Any] = field(default_factory=dict)
    values: Mapping[str, float] = field(default_factory=dict)


class Rules:
    """Judges what the watch writes, event by event; tells each thing once, of each group and split."""

    def __init__(self, masks: MaskSettings) -> None:
        self._masks = masks
        self._told: set[tuple[str, str]] = set()
        self._losses: dict[str, list[float]] = {}
        self._updates = 0

    def of(self, event: Mapping[str, Any]) -> Iterator[Alarm]:
        """The alarms that an event raises."""
        self._updates = max(self._updates, int(event.get("updates") or 0))
        subject = str(event.get("group") or event.get("split") or "")
        for alarm in self._raised(event):
            if (alarm.rule, subject) not in self._told:
                self._told.add((alarm.rule, subject))
                yield alarm

    def _raised(self, event: Mapping[str, Any]) -> Iterator[Alarm]:
        place = {name: event[name] for name in PLACE if event.get(name) is not None}
        match event.get("event"):
            case "warning":
                yield Alarm(rule=str(event.get("what")), message=str(event.get("message")), place=place)
            case "stopped":
                yield Alarm(rule="training stopped", message=str(event.get("reason")), place=place)
            case "raised":
                yield Alarm(rule="exception", message=str(event.get("error")), place=place)
            case "masks":
                yield from self._of_masks(event, place)
            case "averages":
                yield from self._of_averages(event, place)

    def _of_masks(self, event: Mapping[str, Any], place: Mapping[str, Any]) -> Iterator[Alarm]:
        predicted, true = event.get("pred_mask_mean"), event.get("gt_mask_mean")
        expected = bounds(self._masks, true)
        if predicted is None or expected is None or self._updates < FEWEST_UPDATES:
            return
        low, high = expected
        if not low <= predicted <= high:
            yield Alarm(
                rule="masks out of bounds",
                message=f"{event['split']}: the mean of the predicted masks is {predicted:.3g}, expected "
                f"{low:.3g} to {high:.3g}",
                place=place,
                values={"pred_mask_mean": predicted, "low": low, "high": high},
            )

    def _of_averages(self, event: Mapping[str, Any], place: Mapping[str, Any]) -> Iterator[Alarm]:
        values = {name: float(value) for name, value in dict(event.get("values") or {}).items()}
        split = str(event.get("split"))
        bad = [name for name, value in values.items() if not math.isfinite(value)]
        if bad:
            yield Alarm(rule="not finite", message=f"{split}: {', '.join(bad[:5])}", place=place)
        loss = loss_of(values)
        if split == "train" or loss is None:
            return
        losses = self._losses.setdefault(split, [])
        losses.append(loss)
        last = losses[-int(RISES) - 1 :]
        if len(last) > RISES and all(one < other for one, other in pairwise(last)):
            yield Alarm(
                rule="validation rises",
                message=f"{split}: the loss rose {RISES:g} evaluations in a row, from {last[0]:.4g} to "
                f"{last[-1]:.4g}; the best was {min(losses):.4g}",
                place=place,
                values={"loss": loss, "best": min(losses)},
            )


def loss_of(values: Mapping[str, float]) -> float | None:
    """The loss among the averages of an epoch, as the public repositories call it."""
    return next((values[name] for name in ("loss", "loss_avg", "loss_med") if name in values), None)


class Notifier:
    """Hands alarms to the user's command; what becomes of that never touches the training."""

    def __init__(
        self, command: str, masks: MaskSettings, run: Run, say: Callable[[str], None], cwd: Path | None = None
    ) -> None:
        self._command, self._run, self._say, self._cwd = command, run, say, cwd
        self._rules, self._background = Rules(masks), Background()
        self._complained = False

    def event(self, event: Mapping[str, Any]) -> None:
        """What a rank's watch wrote."""
        for alarm in self._rules.of(event):
            self._tell(alarm)

    def stalled(self, words: str) -> None:
        """The training makes no step."""
        self._tell(Alarm(rule="stall", message=words))

    def ended(self, run: Run) -> None:
        """The last alarm; waits a moment for the commands that are left."""
        code = run.last.exit_code
        words = f"{run.last.status}{f', exit code {code}' if code else ''}"
        self._tell(Alarm(rule="end", message=words))
        self._background.close(LAST)

    def _tell(self, alarm: Alarm) -> None:
        document = {
            "schema": SCHEMA,
            "event": alarm.rule,
            "message": alarm.message,
            "run": str(self._run.path),
            "commit": self._run.last.stamp.commit,
            "host": socket.gethostname(),
            "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            **alarm.place,
            **({"values": alarm.values} if alarm.values else {}),
        }
        line = (json.dumps(document, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace")
        shell = ("/bin/sh", "-c", self._command)
        self._background.add(Errand(words=shell, seconds=SECONDS, given=line, cwd=self._cwd, then=self._hear))

    def _hear(self, failure: str) -> None:
        """Say once that the command does not work."""
        if failure and not self._complained:
            self._complained = True
            self._say(f"watch.notify: the command {failure}")
