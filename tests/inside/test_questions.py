"""Each declared question is answered by a function of `inside/` of the same form, and none is idle."""

import dataclasses
import importlib
import inspect
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints, is_typeddict

import pytest

from opv2v_doctor.diagnosis import questions as of_diagnosis
from opv2v_doctor.facts.interpreter import questions
from opv2v_doctor.facts.interpreter.probe import Question
from opv2v_doctor.facts.predictions import questions as of_inference

ROOT = Path(__file__).parents[2]
ASKED = [
    one
    for module in (questions, of_inference, of_diagnosis)
    for one in vars(module).values()
    if isinstance(one, Question)
]


def function_of(asked: Question[..., Any]) -> Any:
    return getattr(importlib.import_module(f"opv2v_doctor.inside.{asked.module}"), asked.name)


def misfit(given: Any, wanted: Any, where: str = "") -> str:
    """Where values of a type, as JSON carries them, are none of another type; empty where all are."""
    if wanted is Any or given is wanted or (given is int and wanted is float):
        return ""
    if _either(given):
        return next(filter(None, (misfit(one, wanted, where) for one in get_args(given))), "")
    if _either(wanted):
        fits = any(not misfit(given, one) for one in get_args(wanted))
        closest = [one for one in get_args(wanted) if _fields(one)]
        return "" if fits else misfit(given, closest[0], where) if closest else f"{where}: {given}, {wanted}"
    if _fields(given) is not None and _fields(wanted) is not None:
        return _unlike_fields(given, wanted, where)
    if given is str and wanted is Path:
        return ""
    if get_origin(given) in (list, tuple, Sequence) and get_origin(wanted) in (list, tuple, Sequence):
        return _unlike_items(get_args(given), get_args(wanted), where)
    if get_origin(given) in (dict, Mapping) and get_origin(wanted) in (dict, Mapping):
        pairs = zip(get_args(given), get_args(wanted), strict=True)
        return next(filter(None, (misfit(*pair, where=f"{where}.*") for pair in pairs)), "")
    return f"{where}: {given}, {wanted}"


def _either(kind: Any) -> bool:
    return get_origin(kind) in (Union, types.UnionType)


def _fields(kind: Any) -> dict[str, bool] | None:
    """The fields of a typed dictionary or a dataclass, and whether they must be there."""
    if is_typeddict(kind):
        return {name: name in kind.__required_keys__ for name in get_type_hints(kind)}
    if dataclasses.is_dataclass(kind):
        missing = dataclasses.MISSING
        return {f.name: f.default is f.default_factory is missing for f in dataclasses.fields(kind)}
    return None


def _unlike_fields(given: Any, wanted: Any, where: str) -> str:
    theirs, ours = _fields(given) or {}, _fields(wanted) or {}
    unknown = theirs.keys() - ours.keys()
    lacking = [name for name in ours if ours[name] and not theirs.get(name)]
    if unknown or lacking:
        return f"{where}: unknown {sorted(unknown)}, lacking {lacking}"
    hints, wishes = get_type_hints(given), get_type_hints(wanted)
    alike = (given, wanted) in _open
    _open.append((given, wanted))  # types may hold themselves
    try:
        found = ("" if alike else misfit(hints[name], wishes[name], f"{where}.{name}") for name in theirs)
        return next(filter(None, found), "")
    finally:
        _open.pop()


_open: list[tuple[Any, Any]] = []


def _unlike_items(given: Sequence[Any], wanted: Sequence[Any], where: str) -> str:
    if len(wanted) == 1 or Ellipsis in wanted:
        return next(
            filter(None, (misfit(one, wanted[0], f"{where}[]") for one in given if one is not ...)), ""
        )
    if len(given) != len(wanted) or Ellipsis in given:
        return f"{where}: {given}, {wanted}"
    pairs = zip(given, wanted, strict=True)
    return next(filter(None, (misfit(*pair, where=f"{where}[]") for pair in pairs)), "")


@pytest.mark.parametrize("asked", ASKED, ids=lambda asked: f"{asked.module}.{asked.name}")
def test_a_question_has_the_parameters_and_the_answer_of_its_function(asked: Question[..., Any]) -> None:
    function = function_of(asked)
    declared, there = get_type_hints(asked.declared), get_type_hints(function)
    assert list(inspect.signature(asked.declared).parameters) == list(inspect.signature(function).parameters)
    assert misfit(there.pop("return"), declared.pop("return")) == ""
    assert {name: misfit(declared[name], there[name]) for name in there} == dict.fromkeys(there, "")


@pytest.mark.parametrize("asked", ASKED, ids=lambda asked: f"{asked.module}.{asked.name}")
def test_no_question_is_idle(asked: Question[..., Any]) -> None:
    homes = {"predictions/": of_inference, "diagnosis/": of_diagnosis}
    module = next((home for home, module in homes.items() if asked in vars(module).values()), "")
    calls = (f"questions.{asked.name}(", f"questions.{asked.name}.ahead")
    sources = (
        p for p in (ROOT / "opv2v_doctor").rglob("*.py") if not p.is_relative_to(ROOT / "opv2v_doctor/inside")
    )
    texts = [path.read_text() for path in sources if module in str(path)]
    assert any(call in text for text in texts for call in calls)


@dataclasses.dataclass
class Answer:
    """An answer, as one side might declare it."""

    count: int
    name: str | None
    files: tuple[Path, ...]
    note: str = ""


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"count": int, "name": str, "files": list[str]}, ""),
        ({"count": int, "name": str | None, "files": list[str], "note": str}, ""),
        ({"count": float, "name": str, "files": list[str]}, ".count"),
        ({"count": int, "name": str, "files": list[int]}, ".files[]"),
        ({"count": int, "name": str, "files": list[str], "more": str}, "unknown ['more']"),
        ({"count": int, "files": list[str]}, "lacking ['name']"),
    ],
)
def test_a_drift_is_noticed_where_it_is(fields: dict[str, Any], where: str) -> None:
    found = misfit(dataclasses.make_dataclass("given", fields.items()), Answer)
    assert where in found
    assert bool(found) is bool(where)
