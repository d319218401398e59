"""Crops: what the repository's own crop and resize functions do to an image, against its intrinsics."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from opv2v_doctor.check import Blocked
from opv2v_doctor.facts.interpreter import questions
from opv2v_doctor.facts.interpreter.views import handed_over
from opv2v_doctor.facts.launch.loaders import loader_module
from opv2v_doctor.facts.launch.splits import examined_splits, expression_of
from opv2v_doctor.facts.samples.draws import arrays_folder, samples
from opv2v_doctor.facts.source.syntax import modules, nodes
from opv2v_doctor.geometry.cameras import Array, Pinhole
from opv2v_doctor.geometry.cropping import Shot, crop_landing
from opv2v_doctor.geometry.likeness import grey
from opv2v_doctor.geometry.probing import Landing
from opv2v_doctor.state import fact
from opv2v_doctor.target import Target
from opv2v_doctor.text import Place

NAMED = re.compile("crop|resize|rescale", re.IGNORECASE)
SEED = 0


@dataclass(frozen=True, kw_only=True)
class Crop:
    """One call of a function that took an image and its intrinsics, and gave both changed."""

    function: str
    place: Place
    before: tuple[int, int]  # width and height
    after: tuple[int, int]
    landing: Landing | None  # None where the intrinsics are none
    pixels: float  # of the image after, by which content is off


@fact
def crops(target: Target) -> tuple[Crop, ...]:
    """Those that are seen while one sample is drawn; none where the repository has no such function."""
    split = examined_splits(target)[0]
    drawn = samples(target, split).successes
    if not drawn or not _has_crops(target):
        return ()
    folder = arrays_folder(target) / "crops"
    calls = questions.seen(
        target,
        expression=expression_of(target, split),
        module_name=loader_module(target),
        key=list(drawn[0].key),
        folder=str(folder),
        root=str(target.repo),
    )
    return tuple(_crop(call, folder / str(number)) for number, call in enumerate(calls))


def _has_crops(target: Target) -> bool:
    """Whether a function of the launch is named for crops: else nobody need be asked."""
    return any(
        isinstance(node, ast.FunctionDef) and NAMED.search(node.name)
        for path in modules(target)
        for node in nodes(path)
    )


def _crop(call: questions.CropCall, place: Path) -> Crop:
    names = [Path(f"{place}_{when}.npy") for when in ("before", "after")]
    pictures = [grey(array) for name in names if (array := handed_over(name)) is not None]
    if len(pictures) < len(names):
        raise Blocked("the training interpreter wrote no {files}", files=[str(name) for name in names])
    sizes = [(picture.shape[1], picture.shape[0]) for picture in pictures]
    matrices = [np.array(matrix, dtype=np.float64) for matrix in (call.before, call.after)]
    landing, pixels = _landing(pictures, matrices)
    return Crop(
        function=call.function,
        place=Place(path=call.file, line=call.line),
        before=sizes[0],
        after=sizes[1],
        landing=landing,
        pixels=pixels,
    )


def _landing(pictures: list[Array], matrices: list[Array]) -> tuple[Landing | None, float]:
    try:
        before, after = (
            Shot(picture, Pinhole(matrix, picture.shape[1], picture.shape[0]))
            for picture, matrix in zip(pictures, matrices, strict=True)
        )
    except ValueError:
        return None, 0.0
    return crop_landing(before, after, np.random.default_rng(SEED))
