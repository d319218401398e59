"""The GitHub report: every line but the last is one workflow command, and reads back as it was meant."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from opv2v_doctor import Place, error
from opv2v_doctor.reporters import REPORTERS, Examination
from opv2v_doctor.result import Result, Status


class Command(NamedTuple):
    name: str
    properties: dict[str, str]
    message: str


def decoded(text: str) -> str:
    for code, sign in (("%2C", ","), ("%3A", ":"), ("%0A", "\n"), ("%0D", "\r"), ("%25", "%")):
        text = text.replace(code, sign)
    return text


def command(line: str) -> Command:
    """Read a workflow command as the runner does."""
    found = re.fullmatch(r"::(\w+) ([^\n]*?)::([^\n]*)", line)
    assert found, line
    properties = dict(each.split("=", 1) for each in found[2].split(","))
    return Command(found[1], {key: decoded(value) for key, value in properties.items()}, decoded(found[3]))


@pytest.fixture
def commands(written: Callable[[str], str]) -> list[Command]:
    return [command(line) for line in written("github").splitlines()[:-1]]


def test_each_hazard_and_each_missing_answer_is_a_command(commands: list[Command]) -> None:
    told = [(each.name, each.properties["title"].split()[0]) for each in commands]
    assert told == [
        ("error", "CFG902"),
        ("error", "CFG902"),
        ("error", "DAT901"),
        ("error", "DAT902"),
        ("warning", "DAT903"),
    ]


def test_the_place_is_relative_to_the_repository(commands: list[Command]) -> None:
    assert commands[0].properties["file"] == "configs/dataset/opv2v.yaml"
    assert commands[0].properties["line"] == "12"


def test_a_place_elsewhere_is_told_in_the_message(commands: list[Command]) -> None:
    assert "file" not in commands[1].properties
    assert commands[1].message.startswith("/data/opv2v/a, b.yaml:\n[red]bad")


def test_signs_of_the_command_syntax_are_escaped(
    results: tuple[Result, ...], examination: Examination
) -> None:
    finding = error("50%: a::b, c%0A", at=Place(Path("a:b,100%.yaml"), 1), hint="")
    failed = Result(check=results[0].check, status=Status.FAILED, findings=(finding,))
    line = next(iter(REPORTERS["github"]([failed], examination)))
    assert "file=a%3Ab%2C100%25.yaml," in line
    assert command(line).message == finding.message


def test_the_last_line_is_the_summary(written: Callable[[str], str]) -> None:
    assert written("github").splitlines()[-1].startswith("opv2v-doctor: 1 passed")
