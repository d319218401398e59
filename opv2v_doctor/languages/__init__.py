"""Languages: what the program says in English, said again in another one. English is the source text."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

from opv2v_doctor.check import Check

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from opv2v_doctor.languages.catalogue import Catalogue
    from opv2v_doctor.result import Result

ENGLISH = "en"
LANGUAGES = {ENGLISH: "English", "zh": "中文"}


@dataclass(frozen=True, kw_only=True)
class TranslatedCheck(Check):
    """A check whose claim and page are told in another language; all else is the check's own."""

    language: str

    @property
    def page(self) -> str:
        return translations(self.language).page(super().page)


@cache
def translations(language: str) -> Catalogue:
    """The catalogue of a language, read once; that of English is empty."""
    from opv2v_doctor.languages.catalogue import read_catalogue

    return read_catalogue(language)


def say(text: str, language: str) -> str:
    """A text of the program in a language; as it is where nobody has translated it yet."""
    return text if language == ENGLISH or not text else translations(language).said(text)


def translated_check(check: Check, language: str) -> Check:
    """The check with its page in a language."""
    if language == ENGLISH:
        return check
    return TranslatedCheck(
        code=check.code, function=check.function, tier=check.tier, requires=check.requires, language=language
    )


def translated(results: Iterable[Result], language: str) -> Iterator[Result]:
    """The results in a language, one at a time: claims, pages, messages, hints and reasons."""
    if language == ENGLISH:
        yield from results
        return
    for result in results:
        findings = tuple(
            replace(finding, message=say(finding.message, language), hint=say(finding.hint, language))
            for finding in result.findings
        )
        check, reason = translated_check(result.check, language), say(result.reason, language)
        yield replace(result, check=check, findings=findings, reason=reason)
