"""Summaries: one training in a row: how far it came, how it ended, and what was best."""

from __future__ import annotations

import math
from dataclasses import dataclass

from opv2v_doctor import Text, quoted
from opv2v_doctor.facts.past.logs.courses import main_loss
from opv2v_doctor.facts.past.logs.log_files import Log
from opv2v_doctor.facts.past.logs.loss_curves import curve
from opv2v_doctor.facts.past.logs.metric_names import is_score
from opv2v_doctor.facts.past.logs.run_configs import run_config
from opv2v_doctor.facts.past.logs.stops import KINDS, stops
from opv2v_doctor.facts.past.logs.writers import writing


@dataclass(frozen=True, kw_only=True)
class Summary:
    """One training: whole epochs and those that were planned, how it ended, and its best evaluation."""

    epochs: int
    planned: float | None
    end: Text
    best: Text

    @property
    def progress(self) -> Text:
        """The epochs, as "3" or "3 of 10"."""
        if self.planned is None:
            return quoted(self.epochs)
        return Text("{n} of {planned:g}", n=self.epochs, planned=self.planned)


def summary(log: Log) -> Summary:
    """A log in a row."""
    trained = log.phase("train")
    done = [part.epoch + 1 for part in trained if part.is_whole or not part.steps]
    return Summary(epochs=max(done, default=0), planned=planned_epochs(log), end=_end(log), best=_best(log))


def planned_epochs(log: Log) -> float | None:
    """How many epochs the last launch announced, else those of its config."""
    last = log.launch_of(log.lines)
    announced = [one for one in log.of("start") if log.launch_of(one.line) == last and one.value]
    if announced:
        return float(announced[-1].value)
    config = run_config(log)
    return config.number("train_params.epochs") if config else None


def _end(log: Log) -> Text:
    last = log.launch_of(log.lines)
    if any(log.launch_of(end.line) == last for end in log.of("end")):
        return Text("ended")
    stopped = stops(log).get(last, [])
    if stopped and stopped[0].exception:
        one = stopped[0].exception
        return Text("by hand") if one.is_by_hand else quoted(one.name)
    if stopped and stopped[0].incident:
        kind = stopped[0].incident.kind
        return KINDS[kind][0] if kind in KINDS else Text("not finite")
    if writing(log.path):
        return Text("still written")
    if not log.is_text:
        return Text("not told")
    return Text("stops") if log.trained else Text("no step")


def _best(log: Log) -> Text:
    """The best evaluation by the first score, else by the loss, else the lowest loss of the training."""
    names = dict.fromkeys(name for part in log.phase("test") for name in part.names)
    score = next(filter(is_score, names), None)
    candidates = [("test", score, max), ("test", "loss", min), ("train", main_loss(log), min)]
    for phase, name, best_of in candidates:
        points = [point for point in curve(log, phase, name) if math.isfinite(point.average)] if name else []
        if name and points:
            best = best_of(points, key=lambda point: point.average)
            return Text(
                "{name} {value:.4g} (epoch {epoch})",
                name=name,
                value=best.average,
                epoch=best.epoch,
                phase=phase,
                side=Text("lowest") if best_of is min else Text("highest"),
            )
    return Text("-")
