"""What ships in other languages: whole families, nothing stale, and the words of the program itself."""

from __future__ import annotations

import re
from collections import Counter
from importlib.resources import files
from pathlib import Path

import pytest
import typer
from opv2v_doctor.languages.catalogue import entries, parts_of
from typer.testing import CliRunner

from opv2v_doctor import Check
from opv2v_doctor.audit.verdicts import VERDICTS as AUDIT_VERDICTS
from opv2v_doctor.cli.catalogue import explain
from opv2v_doctor.figures import report_figures
from opv2v_doctor.languages import LANGUAGES, say, translated_check, translations
from opv2v_doctor.languages.sources import constants, page_texts, source_texts
from opv2v_doctor.registry import installed_checks
from opv2v_doctor.reporters.wording import VERDICTS
from opv2v_doctor.result import Status
from opv2v_doctor.smoke import CHECKS as SMOKE_CHECKS

ROOT = Path(__file__).parents[2]
ENGINE, CHECKS = ROOT / "opv2v_doctor", ROOT / "checks"
EVERY_CHECK = (*installed_checks(), *SMOKE_CHECKS, *AUDIT_VERDICTS)
FILES = {file.stem: file for file in (Path(c.function.__code__.co_filename) for c in EVERY_CHECK)}
OTHERS = [language for language in LANGUAGES if language != "en"]
SPOKEN = [
    *CHECKS.glob("*.py"),
    *(
        p
        for name in ("facts", "geometry", "figures", "reporters", "cli", "audit", "smoke")
        for p in (ENGINE / name).rglob("*.py")
    ),
    *(ENGINE / name for name in ("merging.py", "runner.py", "check.py", "result.py")),
]
TEMPLATE = files("opv2v_doctor.reporters").joinpath("report.html").read_text(encoding="utf-8")
WORDS = re.findall(r"""say\((?:"([^"]+)"|'([^']+)')\)""", TEMPLATE)
SAID_BY_THE_PAGE = {double or single for double, single in WORDS}


def finished() -> list[tuple[str, str]]:
    """(language, module) of each module of checks that a file of translations is named after."""
    return sorted(
        {
            (language, name.removesuffix(".toml"))
            for language in OTHERS
            for name, _, _ in entries(language)
            if name.removesuffix(".toml") in FILES
        }
    )


def checks_of(module: str) -> list[Check]:
    return [c for c in EVERY_CHECK if c.function.__module__.rpartition(".")[2] == module]


@pytest.mark.parametrize(("language", "module"), finished())
def test_everything_that_a_translated_module_says_is_translated(language: str, module: str) -> None:
    known = {english for _, english, _ in entries(language)}
    said = {text for text, _, _ in source_texts([FILES[module]])}
    pages = {text for check in checks_of(module) for text in page_texts(check.page)}
    assert not sorted((said | pages) - known)


@pytest.mark.parametrize("language", OTHERS)
def test_no_translation_is_of_what_nobody_says_any_more(language: str) -> None:
    pages = {text for check in EVERY_CHECK for text in page_texts(check.page)}
    severities = {"note", "warning", "error"}
    said = constants(SPOKEN) | pages | SAID_BY_THE_PAGE | severities | {status.value for status in Status}
    assert not [english for _, english, _ in entries(language) if english not in said]


@pytest.mark.parametrize("language", OTHERS)
def test_each_text_is_translated_once_and_keeps_its_gaps(language: str) -> None:
    found = list(entries(language))
    assert [english for english, times in Counter(en for _, en, _ in found).items() if times > 1] == []
    gaps = {
        english: (set(re.findall(r"\{\d+\}", english)), set(re.findall(r"\{\d+\}", text)))
        for _, english, text in found
    }
    assert [english for english, (ours, theirs) in gaps.items() if not theirs <= ours] == []
    assert [english for _, english, _ in found if not "".join(parts_of(english)).strip()] == []


@pytest.mark.parametrize("language", OTHERS)
def test_the_programs_own_words_are_translated(language: str) -> None:
    known = {english for _, english, _ in entries(language)}
    words = SAID_BY_THE_PAGE | {status.value for status in Status} | set(VERDICTS.values())
    charts = {text for text, _, _ in source_texts([Path(report_figures.__file__)])}
    assert sorted((words | charts) - known) == []


def test_english_is_the_source() -> None:
    assert say("no such text", "en") == say("no such text", "zh") == "no such text"
    assert not list(entries("en"))


def test_a_claim_and_a_page_are_translated_and_the_rest_is_the_checks() -> None:
    check = checks_of("masks")[0]
    told = translated_check(check, "zh")
    assert (told.code, told.name, told.family) == (check.code, check.name, check.family)
    assert told.claim.startswith("每个数据划分")
    assert "## 为什么重要" in told.page


def test_explain_speaks_the_language() -> None:
    app = typer.Typer()
    app.command()(explain)
    told = CliRunner().invoke(app, ["MSK002", "--lang", "zh"])
    assert told.exit_code == 0
    assert "相机" in told.stdout
    assert "How to fix" not in told.stdout


def test_a_long_message_of_an_untranslated_check_takes_no_time() -> None:
    text = "; ".join(f"line {n}: found (in {n} of {n}), which is not known" for n in range(60))
    assert translations("zh").said(text[:1900])
