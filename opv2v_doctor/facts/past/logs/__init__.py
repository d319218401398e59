"""Logs: which ones a target has, read into one table and one story each."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from opv2v_doctor import Findings, Skip
from opv2v_doctor.check import NoAnswer
from opv2v_doctor.facts.past.logs.blocks import STDIN, chunks
from opv2v_doctor.facts.past.logs.encodings import PACKED
from opv2v_doctor.facts.past.logs.event_files import is_event_file, scalar_records
from opv2v_doctor.facts.past.logs.log_files import Log, LogTable
from opv2v_doctor.facts.past.logs.log_readers import SOURCES, LogReader
from opv2v_doctor.facts.past.logs.records import Records, records
from opv2v_doctor.facts.past.logs.run_configs import RunConfig, run_config
from opv2v_doctor.facts.past.runs import last_run
from opv2v_doctor.state import fact
from opv2v_doctor.target import Target

NAMES = ("*.log", "log.txt", "*_log.txt")
PATTERNS = (*NAMES, "events.out.tfevents.*", *(f"{name}{end}" for name in NAMES for end in PACKED))
OUTPUTS = ("*.out", "*.err")  # of schedulers and nohup: read where a folder has no other log
TRACKED = ("output.log", "wandb-summary.json")  # of Weights & Biases: likewise
CAPTURED, RECORD = "output", "run.json"  # what the doctor itself kept of a launch, beside its record
TRACKERS = ("wandb", "mlruns")  # whose own logs, below a run, are not the training's
KEPT_LINES = 20_000  # of metrics, for checks and curves; every epoch is summed up exactly before


def read_log(path: Path, keep: int | None = None) -> Log:
    """One file: text with or without JSON lines, or TensorBoard events."""
    reader = LogReader(path, keep)
    for found in records_of(path):
        reader.feed(found)
    return reader.log()


def records_of(path: Path) -> Iterator[Records]:
    """What a file says, block by block."""
    return scalar_records(path) if is_event_file(path) else records(chunks(path))


def read_logs(paths: Iterable[Path], keep: int | None = None) -> LogTable:
    """Read files whole; `keep` bounds the lines of metrics that are kept of each."""
    return LogTable(logs=tuple(read_log(path, keep) for path in paths))


@fact
def log_table(target: Target) -> LogTable:
    """The logs that were named, else those of the last run; Skip where there is none."""
    paths = target.logs or _logs_of_the_last_run(target)
    if not paths:
        raise Skip("no log yet: nothing was trained, or the log is elsewhere")
    return read_logs(paths, keep=KEPT_LINES)


def _logs_of_the_last_run(target: Target) -> tuple[Path, ...]:
    run = last_run(target)
    return logs_in(run) if run is not None else ()


def logs_in(place: Path) -> tuple[Path, ...]:
    """The logs of a file, a run directory, or a folder of run directories."""
    if place.is_file() or place == STDIN:
        return (place,)
    ours = _below(place, PATTERNS)
    folders = {path.parent for path in ours}
    found = ours | {path for path in _below(place, OUTPUTS) if path.parent not in folders}
    visible = [path for path in found if not _is_hidden(path, place)]
    return tuple(sorted(visible or _below(place, TRACKED) or _below(place, ("*.log",))))


def _below(place: Path, patterns: Iterable[str]) -> set[Path]:
    return {path for pattern in patterns for path in place.rglob(pattern) if path.is_file()}


def _is_hidden(path: Path, place: Path) -> bool:
    parts = path.relative_to(place).parts
    if any(part.startswith(".") or part in TRACKERS for part in parts[:-1]) or parts[-1].startswith("."):
        return True
    folders = [place.joinpath(*parts[:depth]) for depth, part in enumerate(parts) if part == CAPTURED]
    return any((folder / RECORD).is_file() for folder in folders)


def judged_logs(target: Target) -> tuple[Log, ...]:
    """The logs to judge: of a folder its text, else its JSON lines, else its events: they say the same.

    Raises Skip where there is none yet, and where nothing in them is known: LOG003 tells of that.
    """
    by_folder: dict[Path, list[Log]] = {}
    for log in log_table(target).logs:
        by_folder.setdefault(log.path.parent, []).append(log)
    if not any(_tells(log) for logs in by_folder.values() for log in logs):
        raise Skip("nothing that a training says: see LOG003")
    return tuple(log for logs in by_folder.values() for log in _fullest(logs))


def unknown_logs(target: Target) -> tuple[Log, ...]:
    """The logs, where none of them says anything that is known here."""
    logs = log_table(target).logs
    return () if any(map(_tells, logs)) else logs


def _tells(log: Log) -> bool:
    """Whether a file says anything that a log says."""
    return bool(log.parts or log.tracebacks or log.incidents or log.unparsed_count or log.cut)


def _fullest(logs: list[Log]) -> list[Log]:
    telling = [log for log in logs if log.parts or log.tracebacks or log.of("launch")]
    for source in SOURCES:
        found = [log for log in telling if log.source == source]
        if found:
            return found
    return logs[:1]


def text_logs(target: Target) -> tuple[Log, ...]:
    """Those of the logs to judge that a training printed. Raises Skip where there are statistics only."""
    logs = judged_logs(target)
    found = tuple(log for log in logs if log.is_text)
    if not found:
        paths = [log.path for log in logs]
        raise Skip("only statistics in {paths}: what a training printed is in its train.log", paths=paths)
    return found


def each_log(logs: Iterable[Log], judge: Callable[[Log], Findings]) -> Findings:
    """What a check says of each log; where none gives it an answer, the reason of the first."""
    reasons: list[NoAnswer] = []
    answered = False
    for log in logs:
        try:
            yield from judge(log)
            answered = True
        except NoAnswer as reason:
            reasons.append(reason)
    if reasons and not answered:
        raise reasons[0]


def launches_with_steps(log: Log) -> int:
    """How many launches of a log made a step. Raises Skip where none did: it shows nothing of a training."""
    if not log.trained:
        raise Skip("no step of a training in {log}", log=log.path)
    shown = {bisect_right(log.launches, segment.first_line) for segment in log.trained}
    return len(shown) if log.launches else len(log.trained)


def alone(log: Log) -> None:
    """Raises Skip where two trainings are at work at once: their epochs say nothing about each other."""
    if log.overlap:
        raise Skip("two trainings write into {log}: see LOG007", log=log.path)


def config_of(log: Log) -> RunConfig:
    """The config of a log. Raises Skip where it is not known."""
    config = run_config(log)
    if config is None:
        raise Skip("no .hydra/config.yaml beside {log}, and no config in it", log=log.path)
    return config
