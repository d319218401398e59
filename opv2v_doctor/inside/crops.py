"""Questions about crops: what the repository's own functions do to an image and to its intrinsics."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import sys
import types
from typing import Any, Callable, Iterator, TypedDict

from .datasets import dataset_of

NAMED = re.compile("crop|resize|rescale", re.IGNORECASE)
MOST = 2  # calls of a function


class Taken(TypedDict):
    """A call, with copies of the image and the matrix before and after."""

    function: types.FunctionType
    before: tuple[Any, Any]
    after: tuple[Any, Any]


class Crop(TypedDict):
    """A call: the function and its line, and the matrix before and after."""

    function: str
    file: str
    line: int
    before: list[list[float]]
    after: list[list[float]]


def seen(expression: str, module_name: str, key: list[int], folder: str, root: str) -> list[Crop]:
    """Every call of a function named for crops that took an image and its intrinsics and gave both.

    One sample is drawn. The images are written as FOLDER/NUMBER_before.npy and FOLDER/NUMBER_after.npy.
    """
    calls: list[Taken] = []
    dataset = dataset_of(expression, module_name)
    if hasattr(dataset, "set_epoch"):
        dataset.set_epoch(0)
    with _listening(os.path.realpath(root), calls):
        dataset[tuple(key) if len(key) > 1 else key[0]]
    os.makedirs(folder, exist_ok=True)
    return [_write(call, os.path.join(folder, str(number))) for number, call in enumerate(calls)]


@contextlib.contextmanager
def _listening(root: str, calls: list[Taken]) -> Iterator[None]:
    """Let each of the functions tell of its calls, wherever a module or a class has it."""
    heard: dict[types.FunctionType, Callable[..., Any]] = {}
    changed: list[tuple[Any, str, types.FunctionType]] = []
    try:
        for owner in _owners(root):
            for name, thing in list(vars(owner).items()):
                if isinstance(thing, types.FunctionType) and _is_crop(thing, root):
                    listener = heard.setdefault(thing, _listener(thing, calls))
                    changed.append((owner, name, thing))
                    setattr(owner, name, listener)
        yield
    finally:
        for owner, name, thing in changed:
            setattr(owner, name, thing)


def _owners(root: str) -> Iterator[Any]:
    """The repository's modules, and the classes that they define."""
    for module in list(sys.modules.values()):
        if _within(getattr(module, "__file__", None), root):
            yield module
            for thing in list(vars(module).values()):
                if isinstance(thing, type) and thing.__module__ == module.__name__:
                    yield thing


def _is_crop(function: types.FunctionType, root: str) -> bool:
    return bool(NAMED.search(function.__name__)) and _within(function.__code__.co_filename, root)


def _within(path: str | None, root: str) -> bool:
    return path is not None and bool(path) and os.path.realpath(path).startswith(root + os.sep)


def _listener(function: types.FunctionType, calls: list[Taken]) -> Callable[..., Any]:
    @functools.wraps(function)
    def listened(*arguments: Any, **named: Any) -> Any:
        told = sum(call["function"] is function for call in calls)
        before = _image_and_matrix([*arguments, *named.values()]) if told < MOST else None
        result = function(*arguments, **named)
        after = _image_and_matrix(_flat(result)) if before else None
        if before and after:
            calls.append({"function": function, "before": before, "after": after})
        return result

    return listened


def _flat(result: Any) -> list[Any]:
    if isinstance(result, dict):
        return list(result.values())
    return list(result) if isinstance(result, (tuple, list)) else [result]


def _image_and_matrix(values: list[Any]) -> tuple[Any, Any] | None:
    """Copies of the one image (h, w, 3) and the one matrix (3, 3) among values; None where it is not so."""
    images = [image for image in map(_image, values) if image is not None]
    matrices = [matrix for matrix in map(_matrix, values) if matrix is not None]
    return (images[0], matrices[0]) if len(images) == len(matrices) == 1 else None


def _image(value: Any) -> Any:
    import numpy

    if hasattr(value, "convert") and hasattr(value, "size"):
        return numpy.array(value.convert("RGB"))
    image = isinstance(value, numpy.ndarray) and value.ndim == 3 and value.shape[2] == 3
    return value.copy() if image and min(value.shape[:2]) > 8 else None


def _matrix(value: Any) -> Any:
    import numpy

    if getattr(value, "shape", None) != (3, 3):
        return None
    matrix = numpy.array(value, dtype="float64")
    return matrix if matrix[2].tolist() == [0, 0, 1] else None


def _write(call: Taken, place: str) -> Crop:
    import numpy

    numpy.save(place + "_before.npy", call["before"][0])
    numpy.save(place + "_after.npy", call["after"][0])
    code = call["function"].__code__
    return {
        "function": call["function"].__name__,
        "file": code.co_filename,
        "line": code.co_firstlineno,
        "before": call["before"][1].tolist(),
        "after": call["after"][1].tolist(),
    }
