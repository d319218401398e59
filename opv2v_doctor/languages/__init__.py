"""Languages: what the program says in English, said again in another one. English is the source text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache, partial
from importlib.resources import files
from typing import TYPE_CHECKING, Literal

from opv2v_doctor.text import Text

if TYPE_CHECKING:
    from opv2v_doctor.check import Check

Language = Literal["en", "zh"]
ENGLISH: Language = "en"
LANGUAGES: dict[Language, str] = {ENGLISH: "English", "zh": "中文"}

_heading = re.compile(r"^(#.*)\n", re.MULTILINE)
_laid_out = re.compile(r"^(\s*[-*+] |\s*\d+\. |    |```|\|)", re.MULTILINE)  # a list, a table or code


def say(said: str | Text, language: str) -> str:
    """A text of the program in a language; a template that nobody has translated yet stays English."""
    if language == ENGLISH:
        return str(said)
    translated = partial(_translation, language=language)
    return said.told(translated) if isinstance(said, Text) else translated(said)


def page_of(check: Check, language: str) -> str:
    """The check's page in a language, block by block."""
    if language == ENGLISH:
        return check.page
    return "\n\n".join(say(block, language) for block in blocks(check.page))


def blocks(page: str) -> Iterator[str]:
    """Headings and paragraphs of a page, each on one line, so that wrapping it anew changes none."""
    for block in re.split(r"\n\s*\n", _heading.sub(r"\1\n\n", page)):
        if block.strip():
            yield block if _laid_out.search(block) else " ".join(block.split())


def _translation(template: str, language: str) -> str:
    return catalogue(language).get(template, template)


@cache
def catalogue(language: str) -> Mapping[str, str]:
    """English template -> translation, of all entries that are translated and not marked as fuzzy."""
    from babel.messages.pofile import read_po

    with (files("opv2v_doctor.languages") / f"{language}.po").open("rb") as stream:
        messages = read_po(stream, locale=language)
    return {str(m.id): str(m.string) for m in messages if m.id and m.string and not m.fuzzy}
