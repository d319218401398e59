"""The files of a preview: the page, and each view's panorama, depth and masks beside it."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opv2v_doctor import __version__
from opv2v_doctor.atomic import whole
from opv2v_doctor.facts.samples.panoramas import ShownSample
from opv2v_doctor.figures import pictures
from opv2v_doctor.figures.panorama_page import Around, page, reach
from opv2v_doctor.figures.panorama_words import ViewCaption
from opv2v_doctor.own_reports import digests_of, verify_folder
from opv2v_doctor.reporters import Say
from opv2v_doctor.text import Text

PAGE, SUMMARY = "preview.html", "summary.json"
NAMES = rf"{re.escape(PAGE)}|{re.escape(SUMMARY)}|view\d+_agent.*\.(npy|png)"
_unsafe = re.compile(r"[^A-Za-z0-9.-]+")


def write_preview(
    folder: Path,
    sample: ShownSample,
    shown: Sequence[ViewCaption],
    facts: Sequence[str | Text],
    threads: Executor,
    around: Around = (),
    say: Say = str,
    language: str = "en",
) -> Path:
    """Write everything of a sample into the folder; the path of the page.

    All files take their places at the end, the summary first: it lists them, so that the next preview knows
    what it may replace. Raises UsageError where the folder holds a file of somebody else by one of our names.
    """
    farthest = reach(shown)
    making = {
        f"{beginning(each)}_{name}": threads.submit(content)
        for each in shown
        for name, content in _files(each, farthest)
    }
    document = page(sample, shown, facts, threads, around, say, language).encode("utf-8", "backslashreplace")
    files = {name: made.result() for name, made in making.items()}
    return write_files(folder, document, files, summary(sample, shown))


def write_files(folder: Path, document: bytes, others: Mapping[str, bytes], told: Mapping[str, Any]) -> Path:
    """Write a page, the files beside it, and a summary of what it says; the path of the page."""
    files = {PAGE: document, **others}
    head = {"tool": {"name": "opv2v-doctor", "version": __version__}, **told}
    files[SUMMARY] = json.dumps({**head, "files": digests_of(files)}, indent=1).encode()
    folder.mkdir(parents=True, exist_ok=True)
    verify_preview(folder)
    with ExitStack() as stack:  # what was begun last is there first
        for name, content in files.items():
            stack.enter_context(whole(folder / name, judged=True)).write_bytes(content)
    return folder / PAGE


def verify_preview(folder: Path) -> None:
    """Raises UsageError where a preview in this folder would replace what is not ours."""
    verify_folder(folder, NAMES, SUMMARY)


def beginning(shown: ViewCaption) -> str:
    """How the names of a view's files begin: its place, and its agent as far as file names allow."""
    return f"view{shown.drawn.place}_agent{safe(shown.name)}"


def safe(name: str) -> str:
    """A name as far as file names allow."""
    return _unsafe.sub("_", name)[:40]


def _files(shown: ViewCaption, farthest: float) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """The ends of the names of a view's files, and what makes each file."""
    drawn = shown.drawn
    depth, panorama = drawn.depth, shown.exact
    if panorama is not None:
        yield "image.png" if shown.single else "panorama.png", lambda: panorama
    if depth is not None:
        yield "depth.npy", lambda: _npy(depth)
        yield "depth.png", lambda: pictures.png(pictures.depth_colours(depth, farthest))
    for name, mask in (("non_ambiguous_mask", drawn.mask), ("valid_mask", drawn.valid)):
        if mask is not None:
            yield f"{name}.npy", lambda mask=mask: _npy(mask)  # type: ignore[misc]
            yield f"{name}.png", lambda mask=mask: pictures.png(np.uint8(255) * mask.astype(bool))  # type: ignore[misc]


def _npy(array: NDArray[Any]) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def summary(sample: ShownSample, shown: Sequence[ViewCaption]) -> dict[str, Any]:
    """What the page says, for programs."""
    return {
        "split": sample.split,
        "index": sample.index,
        "length": sample.length,
        "key": list(sample.sample.key),
        "views": [_summary(each) for each in shown],
    }


def _summary(shown: ViewCaption) -> dict[str, Any]:
    view, found, rule = shown.drawn.view, shown.stitched, shown.drawn.rule
    return {
        "files": beginning(shown),
        "agent": view.identity.agent,
        "label": view.identity.label,
        "instance": view.identity.instance,
        "pose": view.pose,
        "mask_mean": view.mask_mean,
        "valid_mean": view.valid_mean,
        "rig_coverage": found.coverage if found else None,
        "reference": "near" if found and found.near else "far" if found else str(shown.reference),
        "normalisation": {"name": shown.drawn.norm_type, "rule": rule.source if rule else None},
        "depth": view.depth and {"median": view.depth.median, "maximum": view.depth.maximum},
    }
