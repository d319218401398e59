"""The listing: every folder with results below a directory, runs and pages alike, with what it says."""

from __future__ import annotations

import contextlib
import datetime
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from opv2v_doctor.check import NoAnswer
from opv2v_doctor.facts.past.logs import KEPT_LINES, read_log
from opv2v_doctor.facts.past.logs.loss_curves import curve
from opv2v_doctor.facts.past.logs.summaries import summary
from opv2v_doctor.facts.past.runs import LOG, steps_per_epoch_of
from opv2v_doctor.foreign_files import bytes_of, from_json
from opv2v_doctor.result import Status
from opv2v_doctor.runs.directory import RECORD
from opv2v_doctor.runs.register import RegisteredRun, entries
from opv2v_doctor.state import of_file
from opv2v_doctor.text import Text, quoted, sentence

SHOWN = {  # what is served; checkpoints and whatever else lies around are not
    *(".html", ".png", ".jpg", ".jpeg", ".svg", ".json", ".jsonl", ".txt", ".log", ".md", ".xml"),
    *(".sarif", ".csv", ".parquet", ".yaml", ".patch", ".npy", ".ply"),
}
PICTURES = (".png", ".jpg", ".jpeg")
REPORT, SUMMARY, PREVIEW = "report.json", "summary.json", "preview.html"
STATISTICS = "log.txt"
LARGEST_LOG = 64 << 20  # bytes that are read for a row: a second
DEEPEST, MOST_FOLDERS, MOST_PICTURES = 6, 2000, 4
LARGEST_REPORT = 16 << 20  # bytes that are parsed for a verdict
TONES = {0: "good", 1: "bad", 3: "open"}  # by exit code
ENDS = {"failed": "bad", "interrupted": "open"}  # outweigh what the gate said before
TELLING = ("panorama", "pointcloud")  # pictures that are shown before others


@dataclass(frozen=True, kw_only=True)
class Course:
    """What a run's log says of the training: how far it came, the best that it reached, and its losses."""

    epochs: int = 0
    told: str | Text = ""
    best: str | Text = "–"
    best_value: float | None = None
    sparkline: str = ""  # an element of a page


@dataclass(frozen=True, kw_only=True)
class IndexRow:
    """One folder of the index; paths are relative to the directory that is served."""

    folder: str
    kind: str  # run, sample or results
    state: str = ""
    verdict: str | Text = ""
    tone: str = ""  # good, bad or open
    commit: str = ""
    changed: datetime.datetime
    numbers: tuple[tuple[str, str], ...] = ()
    pictures: tuple[str, ...] = ()
    pages: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    course: Course = Course()
    steps: int | None = None  # of an epoch
    gpus: int | None = None

    @property
    def name(self) -> str:
        return self.folder or "."


def listing(root: Path) -> list[IndexRow]:
    """All folders that have something to show, the newest first."""
    place = root.resolve()
    runs = {entry.path: entry for entry in entries(place) if not (entry.path / RECORD).is_symlink()}
    found = []
    for folder, names in _folders(place, runs):
        with contextlib.suppress(OSError):  # it is gone by now
            found.append(_index_row(place, folder, names, runs.get(folder)))
    return sorted(found, key=lambda shown: (shown.changed, shown.folder), reverse=True)


def is_shown(path: Path) -> bool:
    """Whether a path, relative to the directory, may be served: nothing hidden, and only results."""
    return path.suffix.lower() in SHOWN and not any(part.startswith(".") for part in path.parts)


def _folders(root: Path, runs: Mapping[Path, RegisteredRun]) -> Iterator[tuple[Path, list[str]]]:
    """Folders with a page, a picture, a report or a run, and their files; symlinks are not followed."""
    for number, (here, below, names) in enumerate(os.walk(root)):
        folder = Path(here)
        depth = len(folder.relative_to(root).parts)
        below[:] = sorted(name for name in below if not name.startswith(".")) if depth < DEEPEST else []
        files = sorted(name for name in names if is_shown(Path(name)) and not (folder / name).is_symlink())
        telling = [
            name for name in files if name.endswith((".html", ".md", *PICTURES)) or name in (REPORT, SUMMARY)
        ]
        if telling or folder in runs:
            yield folder, files
        if number >= MOST_FOLDERS:
            return


def _index_row(root: Path, folder: Path, names: list[str], entry: RegisteredRun | None) -> IndexRow:
    state, verdict, tone, commit = _state(folder, names, entry)
    within = folder.relative_to(root)
    paths = [str(within / name) for name in names]
    times = [(folder / name).stat().st_mtime for name in names] or [folder.stat().st_mtime]
    stamp = entry.run.stamp if entry and entry.run else None
    pages = tuple(path for path in paths if path.endswith((".html", ".md")))
    document = _document(folder / SUMMARY) if SUMMARY in names else {}
    is_sample = entry is None and any(path.endswith(PREVIEW) for path in pages)
    log = log_of(folder) if entry else None
    return IndexRow(
        folder="" if within == Path() else str(within),
        kind="run" if entry else "sample" if is_sample else "results",
        course=_course(log) if log else Course(),
        steps=_steps(folder, entry),
        gpus=stamp.world_size if stamp else None,
        state=state,
        verdict=verdict,
        tone=tone,
        commit=commit,
        changed=datetime.datetime.fromtimestamp(max(times), datetime.UTC),
        numbers=_numbers(document),
        pictures=_pictures(paths),
        pages=pages,
        files=tuple(path for path in paths if path not in pages),
    )


def _pictures(paths: list[str]) -> tuple[str, ...]:
    """Those that tell most, first."""
    found = [Path(path) for path in paths if path.lower().endswith(PICTURES)]
    ordered = sorted(found, key=lambda path: not any(word in path.name for word in TELLING))
    return tuple(map(str, ordered[:MOST_PICTURES]))


def _state(folder: Path, names: list[str], entry: RegisteredRun | None) -> tuple[str, str | Text, str, str]:
    """State, verdict and its tone, and commit: by the run's record, else by the report that lies there."""
    if entry is not None and entry.run is not None:
        gate = entry.run.last.stamp.gate
        told = Text("gate {verdict}", verdict=gate.told) if gate else ""
        judged = TONES.get(gate.exit_code, "") if gate else ""
        return entry.state, told, ENDS.get(entry.state, judged), entry.commit
    state = entry.state if entry else ""
    report = _document(folder / REPORT) if REPORT in names else {}
    counts, code = report.get("counts"), report.get("exit_code")
    if not isinstance(counts, dict):
        return state, "", "", ""
    words = [
        Text("{n} {status}", n=count, status=Text(status) if status in tuple(Status) else quoted(status))
        for status, count in counts.items()
        if count
    ]
    return state, sentence(words, ", "), TONES.get(code, "") if isinstance(code, int) else "", ""


def _steps(folder: Path, entry: RegisteredRun | None) -> int | None:
    """Steps per epoch: as they were stamped, else as the log says."""
    if entry is None:
        return None
    if entry.run is not None and entry.run.stamp.steps_per_epoch:
        return entry.run.stamp.steps_per_epoch
    with contextlib.suppress(OSError, ValueError):
        found = steps_per_epoch_of(folder)
        return found[0] if found else None
    return None


def log_of(folder: Path) -> Path | None:
    """The log of a run's course: the statistics of its epochs, which are small, else what it printed."""
    for name, largest in ((STATISTICS, LARGEST_REPORT), (LOG, LARGEST_LOG)):
        path = folder / name
        with contextlib.suppress(OSError):
            if path.is_file() and not path.is_symlink() and path.stat().st_size <= largest:
                return path
    return None


@of_file(most=MOST_FOLDERS)
def _course(path: Path) -> Course:
    try:
        log = read_log(path, KEPT_LINES)
    except (OSError, ValueError, NoAnswer):
        return Course()
    told = summary(log)
    value = told.best.values.get("value")
    return Course(
        epochs=told.epochs,
        told=told.progress,
        best=told.best,
        best_value=value if isinstance(value, float) else None,
        sparkline=_sparkline([[one.average for one in curve(log, phase)] for phase in ("train", "test")]),
    )


def _sparkline(curves: list[list[float]]) -> str:
    """Losses of both phases as an SVG, over the epochs; empty where there are none."""
    known = [value for values in curves for value in values if math.isfinite(value)]
    if not known:
        return ""
    low, span = min(known), (max(known) - min(known)) or 1.0
    lines = []
    for colour, values in enumerate(curves):
        across = 100 / max(1, len(values) - 1)
        points = [
            f"{place * across:.1f},{29 - 28 * (value - low) / span:.1f}"
            for place, value in enumerate(values)
            if math.isfinite(value)
        ]
        if points:
            lines.append(f'<polyline class="c{colour}" points="{" ".join(points)}"/>')
    return f'<svg viewBox="0 0 100 30" preserveAspectRatio="none" aria-hidden="true">{"".join(lines)}</svg>'


def _numbers(document: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """The totals of an inference's summary that are plain numbers."""
    total = document.get("total")
    if not isinstance(total, dict):
        return ()
    numbers = {name: value for name, value in total.items() if isinstance(value, int | float)}
    return tuple((str(name), f"{value:.4g}") for name, value in numbers.items())


def _document(path: Path) -> dict[str, Any]:
    """A JSON object of a file; empty where it holds none."""
    try:
        if path.stat().st_size > LARGEST_REPORT:
            return {}
        found = from_json(bytes_of(path))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
