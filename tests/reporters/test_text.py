"""The text report: colour, width, encodings and markup."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
from rich.cells import cell_len

from opv2v_doctor.reporters import REPORTERS, Detail, Examination, Medium
from opv2v_doctor.reporters.text import SLOW
from opv2v_doctor.result import Result, Status
from opv2v_doctor.text import Place, Text, quoted

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


def terminal(results: Results, examination: Examination, **medium: object) -> list[str]:
    """The report on a terminal of 80 columns, passes told by family."""
    fitted = replace(examination.medium, width=80, detail=Detail.FAMILIES)
    return lines(results, replace(examination, medium=replace(fitted, **medium)))  # type: ignore[arg-type]


def test_a_line_of_source_is_quoted_in_one_line(results: Results, examination: Examination) -> None:
    quoting = replace(
        examination,
        excerpts=lambda places: {
            at: [(at.line or 0, f"    lost = {at.line} " + "+ 1 " * 40)] for at in places
        },
    )
    (quote,) = [line for line in terminal(results[1:2], quoting) if " | lost = 12 + 1" in line]
    assert len(quote) <= 80 and quote.endswith(" ...")


def test_a_path_is_never_broken(results: Results, examination: Examination) -> None:
    far = Place(Path("/data") / ("deep/" * 20) / "a.yaml", 7)
    failed = replace(results[1], findings=(replace(results[1].findings[1], at=far),))
    assert any(f"      {far}:" == line for line in terminal((failed,), examination))


def test_chinese_is_wrapped_by_its_columns(results: Results, examination: Examination) -> None:
    said = quoted("验证集的损失没有下降，" * 12 + "见 configs/dataset/opv2v.yaml")
    failed = replace(results[1], findings=(replace(results[1].findings[1], text=said),))
    report = terminal((failed,), examination)
    assert max(map(cell_len, report)) <= 80
    assert "".join(line.strip() for line in report).count("损失没有下降，") == 12
    assert not any(line.strip().startswith("，") for line in report)


def test_what_waits_for_a_failure_is_a_number_not_a_list(results: Results, examination: Examination) -> None:
    waiting = replace(results[3], needs=("CFG902",), reason=Text("needs {codes}", codes=["CFG902"]))
    again = replace(results[4], status=Status.BLOCKED, findings=(), needs=("DAT902",))
    report = terminal((results[1], waiting, again), examination)
    assert "? dataset  2 blocked: needs CFG902" in report
    assert not any("DAT90" in line for line in report)


def test_required_passes_are_counted_apart(results: Results, examination: Examination) -> None:
    required = replace(results[0], asked=False)
    report = terminal((required, required, replace(results[0], check=results[4].check)), examination)
    assert report[-1].startswith("1 check passed (2 required ones too) in ")
    assert "✓ dataset  DAT903 Every pose is a rotation and a translation." in report[-3]


def test_quiet_says_nothing_of_a_healthy_run(results: Results, examination: Examination) -> None:
    warned = (results[0], results[4])
    assert terminal(warned, examination, detail=Detail.FAILURES) == []
    strict = terminal(warned, replace(examination, strict=True), detail=Detail.FAILURES)
    assert "DAT903" in strict[1] and "which --strict counts as a" in " ".join(strict)


@pytest.mark.parametrize(("seconds", "told"), [(SLOW - 0.1, False), (SLOW + 0.1, True)])
def test_only_a_slow_check_tells_its_time(
    seconds: float, told: bool, results: Results, examination: Examination
) -> None:
    report = lines((replace(results[0], seconds=seconds),), examination)
    assert any(f"({seconds:.1f} s)" in line for line in report) == told


def test_a_terminal_has_a_width_and_a_pipe_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "72")  # which readline exports to whatever a Python starts
    leader, follower = os.openpty()
    with os.fdopen(follower, "w") as terminal, os.fdopen(leader), Path(os.devnull).open("w") as pipe:
        assert (Medium.of(terminal).width, Medium.of(pipe).width) == (72, None)
