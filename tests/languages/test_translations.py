"""What ships in other languages: nothing stale, every gap kept, and the words of the program itself."""

from __future__ import annotations

from pathlib import Path
from string import Formatter

import pytest
import typer
from babel.messages.pofile import read_po
from typer.testing import CliRunner

from opv2v_doctor import Text, counted, quoted
from opv2v_doctor.cli.catalogue import explain
from opv2v_doctor.languages import LANGUAGES, blocks, catalogue, page_of, say
from opv2v_doctor.languages.templates import every_source, source_texts
from opv2v_doctor.registry import installed_checks
from opv2v_doctor.result import Status

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "opv2v_doctor" / "languages"
OTHERS = [language for language in LANGUAGES if language != "en"]
SAID = {text.template for text in source_texts(every_source(ROOT))}


def names(template: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(template) if name is not None}


def entries(language: str) -> list[tuple[str, str]]:
    with (FOLDER / f"{language}.po").open("rb") as stream:
        return [(str(m.id), str(m.string)) for m in read_po(stream, locale=language) if m.id]


@pytest.mark.parametrize("language", OTHERS)
def test_no_translation_is_of_what_nobody_says_any_more(language: str) -> None:
    assert [english for english, _ in entries(language) if english not in SAID] == []


@pytest.mark.parametrize("language", OTHERS)
def test_a_translation_fills_only_the_gaps_that_there_are(language: str) -> None:
    """A page block is no template: its braces are text, and nobody fills them."""
    pages = {block for check in installed_checks() for block in blocks(check.page)}
    wrong = [
        english
        for english, text in entries(language)
        if english not in pages and text and not names(text) <= names(english)
    ]
    assert wrong == []


@pytest.mark.nightly  # a translation is welcome, and not required of whoever says something new
@pytest.mark.parametrize("language", OTHERS)
def test_all_that_is_said_is_translated(language: str) -> None:
    told_as_they_are = {"{value}"}
    words = SAID | {status.value for status in Status}
    assert sorted(words - set(catalogue(language)) - told_as_they_are) == []


def test_what_is_ours_is_translated_and_what_others_said_is_quoted() -> None:
    text = Text("{code} was {status}: {reason}", code="X", status=Text("blocked"), reason=quoted("passed"))
    assert say(text, "zh") == "X 阻塞：passed"
    assert say(text, "en") == "X was blocked: passed"


def test_what_nobody_translated_stays_english() -> None:
    assert say("no such text", "zh") == "no such text"
    assert say(Text("no such text of {n}", n=1), "zh") == "no such text of 1"


def test_a_count_is_told_as_each_language_counts() -> None:
    assert [str(counted(n, "check")) for n in (0, 1, 2)] == ["0 checks", "1 check", "2 checks"]
    nouns = ("entry", "batch", "epoch", "day", "pair of frames")
    told = [str(counted(2, noun)) for noun in nouns]
    assert told == ["2 entries", "2 batches", "2 epochs", "2 days", "2 pairs of frames"]
    assert say(Text("{n:check|checks} failed.", n=1), "zh") == "1 项检查未通过。"


def test_a_page_is_translated_block_by_block() -> None:
    (check,) = [check for check in installed_checks() if check.code == "MSK001"]
    assert page_of(check, "zh").startswith("每个数据划分")
    assert "## 为什么重要" in page_of(check, "zh")
    assert page_of(check, "en") == check.page


def test_wrapping_a_page_anew_changes_no_block() -> None:
    assert list(blocks("One\ntwo.\n\n## Head\nthree\nfour")) == ["One two.", "## Head", "three four"]
    assert list(blocks("- a\n- b")) == ["- a\n- b"]


def test_explain_speaks_the_language() -> None:
    app = typer.Typer()
    app.command()(explain)
    told = CliRunner().invoke(app, ["MSK002", "--lang", "zh"])
    assert told.exit_code == 0
    assert "相机" in told.stdout
    assert "How to fix" not in told.stdout
