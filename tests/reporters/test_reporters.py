"""What holds for all reporters: lazy imports, streaming, harmless characters, the empty run."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from opv2v_doctor.reporters import REPORTERS, Examination, Medium
from opv2v_doctor.result import Result, Status

LINE_BASED = ("text", "github", "markdown")


def test_importing_the_package_imports_no_reporter() -> None:
    heavy = "print({'rich', 'junitparser', 'opv2v_doctor.reporters.json'} & set(sys.modules))"
    command = [sys.executable, "-c", f"import sys, opv2v_doctor.reporters; {heavy}"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "set()\n"


def test_an_unknown_format_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        REPORTERS["yaml"]


@pytest.mark.parametrize("name", ["text", "github"])
def test_each_result_is_written_before_the_next_one_is_asked_for(
    name: str, results: tuple[Result, ...], examination: Examination
) -> None:
    failed = next(result for result in results if result.status is Status.FAILED)

    def one_then_nothing() -> Iterator[Result]:
        yield failed
        raise AssertionError("the second result was asked for too early")

    report = REPORTERS[name](one_then_nothing(), examination)
    assert any("validate is replaced" in line for line in report_until(report, "validate is replaced"))


def report_until(report: Iterator[str], words: str) -> Iterator[str]:
    """The lines up to the one that holds the words."""
    for line in report:
        yield line
        if words in line:
            return


@pytest.mark.parametrize("name", LINE_BASED)
def test_no_control_character_reaches_the_reader(name: str, written: Callable[[str], str]) -> None:
    report = written(name).replace("\n", "").replace("\N{ZERO WIDTH SPACE}", "").replace("\ufe0f", "")
    assert report.isprintable()


@pytest.mark.parametrize("name", LINE_BASED)
def test_a_message_cannot_forge_a_line(name: str, written: Callable[[str], str]) -> None:
    assert not any(line.startswith("::error::") for line in written(name).splitlines())


@pytest.mark.parametrize("name", REPORTERS)
def test_a_run_of_nothing_is_reported(name: str, examination: Examination) -> None:
    assert "".join(REPORTERS[name]([], examination))


@pytest.mark.parametrize("name", REPORTERS)
def test_every_report_can_be_encoded(name: str, written: Callable[[str], str]) -> None:
    assert written(name).encode("utf-8")


def test_a_path_is_relative_to_the_git_root(examination: Examination) -> None:
    nested = replace(examination, root=Path("/home/ada"))
    assert nested.relative(Path("a.yaml")) == Path("map-anything/a.yaml")
    assert nested.relative(Path("/data/a.yaml")) == Path("/data/a.yaml")
    assert nested.relative(Path("../../eve/a.yaml")) == Path("/home/eve/a.yaml")


def test_a_file_takes_no_colour(tmp_path: Path) -> None:
    with (tmp_path / "report.txt").open("w", encoding="latin-1") as stream:
        medium = Medium.of(stream)
    assert (medium.colour, medium.encoding) == (False, "latin-1")
