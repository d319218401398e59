"""The text report: colour, width, encodings and markup."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

from opv2v_doctor.reporters import REPORTERS, Examination, Medium
from opv2v_doctor.result import Result, Status
from opv2v_doctor.text import Place

Results = tuple[Result, ...]


def lines(results: Results, examination: Examination) -> list[str]:
    return list(REPORTERS["text"](results, examination))


def test_colour_changes_nothing_but_colour(results: Results, examination: Examination) -> None:
    coloured = lines(results, replace(examination, medium=replace(examination.medium, colour=True)))
    plain = lines(results, examination)
    assert any("\x1b[" in line for line in coloured)
    assert [re.sub(r"\x1b\[[\d;]*m", "", line) for line in coloured] == plain


def test_a_terminal_takes_colour_unless_no_color_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    leader, follower = os.openpty()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    with os.fdopen(follower, "w") as terminal, os.fdopen(leader):
        assert Medium.of(terminal).colour
        monkeypatch.setenv("NO_COLOR", "1")
        assert not Medium.of(terminal).colour


def test_markup_in_a_message_stays_text(results: Results, examination: Examination) -> None:
    assert any("[red]bad[/red] [/x]" in line for line in lines(results, examination))


def test_a_long_path_stays_on_one_line(results: Results, examination: Examination) -> None:
    failed = results[1]
    far = replace(failed.findings[1], at=Place(Path("/data") / ("deep/" * 80) / "a.yaml", 7))
    report = lines((replace(failed, findings=(far,)),), examination)
    assert any(re.search(r"^\s+/data/(deep/){80}a\.yaml:7: error: ", line) for line in report)


def test_a_path_below_the_current_directory_is_relative_to_it(
    results: Results, examination: Examination
) -> None:
    here = replace(examination, medium=Medium(folder=examination.repo.parent))
    assert any(
        "      near map-anything/configs/dataset/opv2v.yaml:12: error" in line
        for line in lines(results, here)
    )


def test_a_path_elsewhere_is_absolute(results: Results, examination: Examination) -> None:
    there = replace(examination, medium=Medium(folder=examination.repo / "scripts"))
    path = "/home/ada/map-anything/configs/dataset/opv2v.yaml:12"
    assert any(line.strip().startswith(f"near {path}: error") for line in lines(results, there))


def test_every_line_fits_a_poor_encoding(results: Results, examination: Examination) -> None:
    poor = replace(examination, medium=replace(examination.medium, encoding="ascii"))
    report = lines(results, poor)
    assert "\n".join(report).isascii()
    assert any(line.split()[:2] == ["FAIL", "CFG902"] for line in report)


def test_a_family_is_named_once(results: Results, examination: Examination) -> None:
    assert lines(results, examination).count("dataset") == 1


def test_it_ends_with_what_to_fix_first(results: Results, examination: Examination) -> None:
    assert lines(results, examination)[-1].split() == ["opv2v-doctor", "explain", "CFG902"]


def test_a_block_can_be_the_first_to_fix(results: Results, examination: Examination) -> None:
    blocked = tuple(result for result in results if result.status is Status.BLOCKED)
    said = lines(blocked, examination)
    assert "Inconclusive: 1 check could not run; fix DAT902 first." in said[-6]
    assert said[-4:-1] == [
        "First to fix: DAT902 blocked: the seed is assumed",
        "  mapanything/datasets.py:7",
        "  fix: set names.seed in opv2v-doctor.toml",
    ]


def test_a_healthy_run_has_nothing_to_fix(results: Results, examination: Examination) -> None:
    assert not any("First to fix" in line for line in lines(results[:1], examination))
