"""The wording of the reports: it lives in golden/, and OPV2V_DOCTOR_REGENERATE=1 rewrites it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from opv2v_doctor import __version__
from opv2v_doctor.reporters import REPORTERS

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


@pytest.mark.parametrize("name", REPORTERS)
def test_the_report_reads_as_agreed(name: str, written: Callable[[str], str]) -> None:
    golden = GOLDEN / f"{name}.{SUFFIXES[name]}"
    report = written(name).replace(__version__, "VERSION")
    if os.environ.get("OPV2V_DOCTOR_REGENERATE"):
        golden.write_text(report, encoding="utf-8")
    assert report == golden.read_text(encoding="utf-8")
