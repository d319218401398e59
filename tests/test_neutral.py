"""Text of others: no command in it reaches a terminal or a spreadsheet, and nothing else of it is lost."""

import io
import json
import os

import pytest

from opv2v_doctor.neutral import Plain, aligned, canvas, cell, neutral


@pytest.mark.parametrize(
    "command", ["\x1b[2J", "\x9b2J", "\r", "\b", "\x07", "\u202e", "\u2066", "\u2028", "\x7f"]
)
def test_commands_are_spelled_out_and_stay_the_same_json(command: str) -> None:
    said = neutral(f"a{command}b")
    assert command not in said
    assert json.loads(f'"{said}"') == f"a{command}b"


@pytest.mark.parametrize("text", ["plain", "two\nlines\tand a tab", "größer, 大, e\u0301, \u200b", "C:\\n"])
def test_all_else_stays_as_it_is(text: str) -> None:
    assert neutral(text) == text


@pytest.mark.parametrize("text", ["=1+1", "+cmd", "-cmd", "@SUM(A1)", "\t=1", "\r=1", "-1+2", "--1"])
def test_a_cell_that_would_be_computed_becomes_text(text: str) -> None:
    assert cell(text) == f"'{neutral(text)}"


@pytest.mark.parametrize("value", [-1, 2.5, None, "-1", "+3", "-1e-05", "-inf", "name", "a=b"])
def test_numbers_stay_numbers_and_names_names(value: object) -> None:
    assert cell(value) == value


def test_only_what_is_drawn_on_the_canvas_moves_a_cursor() -> None:
    raw = io.BytesIO()
    stream = Plain(raw, "utf-8", write_through=True)
    stream.write("\x1b[31mred\x1b[0m")
    assert raw.getvalue() == rb"\u001b[31mred\u001b[0m"
    raw.truncate(0)
    raw.seek(0)
    canvas(stream).write("\x1b[31mred\x1b[0m\x1b[2K\x1bc\x1b]0;title\x07\x9b2J\u202e")
    assert raw.getvalue() == b"\x1b[31mred\x1b[0m\x1b[2K" + rb"\u001bc\u001b]0;title\u0007\u009b2J\u202e"


def test_a_stream_that_is_not_ours_is_its_own_canvas() -> None:
    with open(os.devnull, "w") as file:  # noqa: PTH123
        assert canvas(file) is file


def test_columns_are_as_wide_as_a_terminal_draws_them() -> None:
    assert list(aligned([("步数", "x"), ("abcde", "y")])) == ["步数   x", "abcde  y"]
