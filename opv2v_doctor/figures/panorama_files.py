"""The files of a preview: the page, and each view's panorama, depth and masks beside it."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opv2v_doctor.facts.panoramas import DrawnSample
from opv2v_doctor.figures import pictures
from opv2v_doctor.figures.panorama_words import Shown
from opv2v_doctor.figures.panoramas import page, reach
from opv2v_doctor.whole import whole

PAGE, SUMMARY = "preview.html", "summary.json"
_unsafe = re.compile(r"[^A-Za-z0-9.-]+")


def write_preview(
    folder: Path, sample: DrawnSample, shown: Sequence[Shown], facts: Sequence[str], threads: Executor
) -> Path:
    """Write everything of a sample into the folder; the path of the page. Each file is whole or not there."""
    folder.mkdir(parents=True, exist_ok=True)
    farthest = reach(shown)
    writing = [
        threads.submit(_write, folder / f"{beginning(each)}_{name}", content)
        for each in shown
        for name, content in _files(each, farthest)
    ]
    _write(folder / SUMMARY, lambda: json.dumps(summary(sample, shown), indent=1).encode())
    path = folder / PAGE
    _write(path, lambda: page(sample, shown, facts, threads).encode())
    for each_file in writing:
        each_file.result()
    return path


def beginning(shown: Shown) -> str:
    """How the names of a view's files begin: its place, and its agent as far as file names allow."""
    return f"view{shown.drawn.place}_agent{_unsafe.sub('_', shown.name)[:40]}"


def _files(shown: Shown, farthest: float) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """The ends of the names of a view's files, and what makes each file."""
    drawn = shown.drawn
    depth, panorama = drawn.depth, shown.exact
    if panorama is not None:
        yield "panorama.png", lambda: panorama
    if depth is not None:
        yield "depth.npy", lambda: _npy(depth)
        yield "depth.png", lambda: pictures.png(pictures.coloured(depth, farthest))
    for name, mask in (("non_ambiguous_mask", drawn.mask), ("valid_mask", drawn.valid)):
        if mask is not None:
            yield f"{name}.npy", lambda mask=mask: _npy(mask)  # type: ignore[misc]
            yield f"{name}.png", lambda mask=mask: pictures.png(np.uint8(255) * mask.astype(bool))  # type: ignore[misc]


def _npy(array: NDArray[Any]) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def summary(sample: DrawnSample, shown: Sequence[Shown]) -> dict[str, Any]:
    """What the page says, for programs."""
    return {
        "split": sample.split,
        "index": sample.index,
        "length": sample.length,
        "key": list(sample.sample.key),
        "views": [_summary(each) for each in shown],
    }


def _summary(shown: Shown) -> dict[str, Any]:
    view, found, rule = shown.drawn.view, shown.stitched, shown.drawn.rule
    return {
        "files": beginning(shown),
        "agent": view.agent,
        "label": view.label,
        "instance": view.instance,
        "pose": view.pose,
        "mask_mean": view.mask_mean,
        "valid_mean": view.valid_mean,
        "rig_coverage": found.coverage if found else None,
        "reference": "near" if found and found.near else "far" if found else str(shown.reference),
        "normalisation": {"name": shown.drawn.norm_type, "rule": rule.source if rule else None},
        "depth": view.depth and {"median": view.depth.median, "maximum": view.depth.maximum},
    }


def _write(path: Path, content: Callable[[], bytes]) -> None:
    """Write a file as a whole or not at all."""
    with whole(path) as partial:
        partial.write_bytes(content())
