"""The JSON report: it fits its schema, and any evidence becomes strict JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opv2v_doctor.reporters import REPORTERS, Examination
from opv2v_doctor.reporters.json import plain, strict
from opv2v_doctor.result import Result
from opv2v_doctor.text import Each, Text, counted


def refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")


@pytest.fixture
def validate() -> Callable[[str], Any]:
    """Read a report as strictly as the schema and JSON itself ask for."""
    schema = json.loads((files("opv2v_doctor") / "report.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)

    def read(report: str) -> Any:
        document = json.loads(report, parse_constant=refuse)
        jsonschema.validate(document, schema)
        return document

    return read


def test_the_report_fits_its_schema(written: Callable[[str], str], validate: Callable[[str], Any]) -> None:
    document = validate(written("json"))
    assert document["exit_code"] == 1
    assert document["counts"] == {
        "passed": 1,
        "warned": 1,
        "failed": 1,
        "known": 0,
        "skipped": 1,
        "blocked": 1,
        "crashed": 1,
    }
    failed = document["results"][1]["findings"][1]
    assert (failed["path"], failed["line"]) == ("/home/ada/map-anything/configs/dataset/opv2v.yaml", 12)
    assert failed["message"] == "validate is replaced by test: 1 loader kept, expected 2"
    assert failed["template"].startswith("{lost} is replaced by {winner}: ")
    assert failed["values"] == {
        "lost": "validate",
        "winner": "test",
        "kept": 1,
        "expected": 2,
        "share": "NaN",
    }
    assert (failed["near"], failed["subjects"]) == (True, [])
    assert document["results"][0]["examined"] == [{"count": 25, "unit": "config file"}]
    blocked = document["results"][3]
    assert (blocked["reason"]["text"], blocked["line"]) == ("the seed is assumed", 7)


def test_a_report_outside_git_fits_its_schema(
    results: tuple[Result, ...], validate: Callable[[str], Any]
) -> None:
    report = "".join(REPORTERS["json"](results[:1], Examination(repo=Path("/home/ada"))))
    assert validate(report)["target"]["commit"] is None


def test_nested_texts_and_the_values_of_several_subjects_keep_their_parts() -> None:
    text = Text("{share} of {split}", share=Each((("train", 0.5), ("val", 1.0))), split=counted(2, "split"))
    assert plain(text) == {
        "text": "0.5 (train), 1.0 (val) of 2 splits",
        "template": "{share} of {split}",
        "values": {
            "share": {"train": 0.5, "val": 1.0},
            "split": {"text": "2 splits", "template": "{n:split|splits}", "values": {"n": 2}},
        },
    }


def test_numbers_of_other_libraries_become_json() -> None:
    evidence = {"mean": np.float32(0.5), "bins": np.array([1, 2]), "far": np.inf, "at": Path("a"), 3: {1}}
    assert strict(evidence) == {"mean": 0.5, "bins": [1, 2], "far": "Infinity", "at": "a", "3": [1]}


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.characters(categories=["L", "C"])
    | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=8,
)


@given(ANYTHING)
def test_any_evidence_becomes_strict_json(evidence: object) -> None:
    encoded = json.dumps(strict(evidence), ensure_ascii=False, allow_nan=False).encode("utf-8")
    json.loads(encoded, parse_constant=refuse)
