"""The wording of the reports: it lives in golden/, and OPV2V_DOCTOR_REGENERATE=1 rewrites it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from opv2v_doctor import __version__
from opv2v_doctor.reporters import REPORTERS, Detail, Examination, Medium
from opv2v_doctor.result import Result

GOLDEN = Path(__file__).parent / "golden"
SUFFIXES = {
    "text": "txt",
    "json": "json",
    "junit": "xml",
    "sarif": "sarif",
    "github": "txt",
    "markdown": "md",
    "html": "html",
}


TERMINALS = {  # as columns and options make them
    "text-80": Medium(width=80, detail=Detail.FAMILIES),
    "text-120": Medium(width=120, detail=Detail.FAMILIES),
    "text-80-verbose": Medium(width=80, detail=Detail.EVERYTHING),
    "text-80-quiet": Medium(width=80, detail=Detail.FAILURES),
}


@pytest.mark.parametrize("name", REPORTERS)
def test_the_report_reads_as_agreed(name: str, written: Callable[[str], str]) -> None:
    verify_golden(f"{name}.{SUFFIXES[name]}", written(name))


@pytest.mark.parametrize("name", TERMINALS)
def test_a_terminal_reads_as_agreed(name: str, results: tuple[Result, ...], examination: Examination) -> None:
    medium = replace(TERMINALS[name], folder=examination.repo)
    lines = [*REPORTERS["text"](results, replace(examination, medium=medium))]
    assert max(map(len, lines)) <= (medium.width or 0)
    verify_golden(f"{name}.txt", "\n".join(lines) + "\n")


def verify_golden(name: str, written: str) -> None:
    golden = GOLDEN / name
    report = written.replace(__version__, "VERSION")
    if os.environ.get("OPV2V_DOCTOR_REGENERATE"):
        golden.write_text(report, encoding="utf-8")
    assert report == golden.read_text(encoding="utf-8")
