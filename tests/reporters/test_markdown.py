"""The Markdown report: what comes from logs and files stays text."""

from __future__ import annotations

import re
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from opv2v_doctor.reporters.markdown import escape


def test_the_verdict_is_on_top(written: Callable[[str], str]) -> None:
    assert written("markdown").startswith("## ❌ opv2v-doctor: ")


def test_each_check_is_one_row_of_three_cells(written: Callable[[str], str]) -> None:
    rows = [line for line in written("markdown").splitlines() if re.match(r"\| [A-Z]{3}\d{3}", line)]
    assert [len(re.split(r"(?<!\\)\|", row)) for row in rows] == [5] * 6


def test_nobody_is_notified() -> None:
    assert not re.search(r"[@#]\w", escape("@ada fixed #1 in org/repo#2"))


def test_a_message_starts_no_list() -> None:
    assert escape("+ 40_000 @ Dataset") == r"\+ 40\_000 @ Dataset"
    assert escape("3. epoch") == r"3\. epoch"
    assert escape("0.33 covered") == "0.33 covered"


@given(st.text())
def test_no_sign_of_markup_is_left_bare(text: str) -> None:
    kept = escape(text)
    assert not re.search(r"[<>\n\r]", kept)
    assert not re.search(r"[`|*_\[\]~]", re.sub(r"\\[\\`|*_\[\]~#!$]", "", kept))
