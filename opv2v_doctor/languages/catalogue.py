"""The catalogue of a language: English templates with numbered gaps, and their translations."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from importlib.resources import files
from itertools import chain, islice
from typing import NamedTuple

_heading = re.compile(r"^(#.*)\n", re.MULTILINE)
_gap = re.compile(r"\{(\d+)\}")
_word = re.compile(r"[A-Za-z]+")
_whole_word = re.compile(r"(?<![A-Za-z\0])[A-Za-z]+(?![A-Za-z\0])")
_words = re.compile(r"[A-Za-z]{2}")
_mark = re.compile(r"(?=[,;:(]\s|\s\()")  # one text ends here, whatever template fits the whole
_joint = re.compile(r"(?<=[\s:;,(])(?=\S)|(?=[,;:(]\s|\s\()")  # where one text may end and another begin
DEEPEST = 5  # texts within texts
MOST_JOINTS = 12  # places where a text is tried as two
STRONG = 12  # characters of text in a template that fits: it was not by chance
LONGEST = 2000  # characters of a message that are looked up: more is a quotation


class Template(NamedTuple):
    """An English text in parts, between which gaps stand for what is measured or quoted."""

    parts: tuple[str, ...]
    translation: str

    @property
    def weight(self) -> int:
        """How much of it is text: of two templates that fit, the one that says more is meant."""
        return sum(map(len, self.parts))

    @property
    def word(self) -> str:
        """The longest word that a text must have to fit; none that a gap may add letters to, else empty."""
        return max(_whole_word.findall("\0".join(self.parts)), key=len, default="")

    def filled(self, gaps: Sequence[str]) -> str:
        """The translation, with the gaps filled."""
        return _gap.sub(lambda gap: gaps[int(gap[1])], self.translation)

    def gaps(self, text: str) -> list[str] | None:
        """What stands in the gaps, if the text was made of this template.

        The leftmost place of each part: if any places fit, these do, so the work stays linear.
        """
        first, *inner, last = self.parts
        end = len(text) - len(last)
        if len(first) > end or not text.startswith(first) or not text.endswith(last):
            return None
        found, start = [], len(first)
        for part in inner:
            place = text.find(part, start, end)
            if place < 0:
                return None
            found.append(text[start:place])
            start = place + len(part)
        return [*found, text[start:end]]

    def readings(self, text: str) -> list[list[str]]:
        """The gaps with the leftmost places of the parts and, where these differ, with the rightmost."""
        found = [gaps for gaps in (self.gaps(text), self._rightmost(text)) if gaps is not None]
        return found[:1] if found[:1] == found[1:] else found

    def _rightmost(self, text: str) -> list[str] | None:
        mirrored = Template(tuple(part[::-1] for part in reversed(self.parts)), "").gaps(text[::-1])
        return mirrored and [gap[::-1] for gap in reversed(mirrored)]


class Told(NamedTuple):
    """A text in the language, and how many of its English characters the catalogue knew."""

    known: int
    text: str


class Catalogue:
    """All translations into one language."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._whole = {english: text for english, text in texts.items() if not _gap.search(english)}
        templates = [Template(parts_of(english), text) for english, text in texts.items()]
        self._by_word: dict[str, list[Template]] = {}
        for template in templates:
            if len(template.parts) > 1:
                self._by_word.setdefault(template.word, []).append(template)
        self._told = lru_cache(maxsize=20_000)(self._best)
        self._matched = lru_cache(maxsize=20_000)(self._matching)

    def said(self, text: str) -> str:
        """A text of the program in this language; what is not in the catalogue stays English.

        Texts are made of texts: what stands in a gap is looked up, too, and one template may fit what a text
        begins or ends with. Of several ways to read a text, the one that explains most of it is meant.
        """
        return self._told(text, DEEPEST).text if len(text) <= LONGEST else text

    def page(self, text: str) -> str:
        """A Markdown page, block by block."""
        return "\n\n".join(self.said(block) for block in blocks(text))

    def _best(self, text: str, depth: int) -> Told:
        if text in self._whole and (depth == DEEPEST or " " in text):  # a word within a text may be quoted
            return Told(len(text), self._whole[text])
        if not depth or " " not in text or not _words.search(text):
            return Told(0, text)
        ways = list(self._as_one(text, depth))
        ways += self._in_two(text, depth)
        return max(ways, key=lambda told: told.known, default=Told(0, text))

    def _as_one(self, text: str, depth: int) -> Iterator[Told]:
        """The text as each template that fits the whole of it."""
        for template, gaps in self._matched(text):
            filled = [self._told(gap, depth - 1) for gap in gaps]
            known = template.weight + sum(told.known for told in filled)
            yield Told(known, template.filled([told.text for told in filled]))

    def _in_two(self, text: str, depth: int) -> Iterator[Told]:
        """The text as two: where a known one begins or ends, and what is left."""
        strong = any(template.weight >= STRONG for template, _ in self._matched(text))
        kinds = (_mark,) if strong else (_mark, _joint)
        places = [found.start() for kind in kinds for found in islice(kind.finditer(text), MOST_JOINTS)]
        for place in dict.fromkeys(places):
            left, right = text[:place], text[place:]
            if left and right and (self._is_known(left) or self._is_known(right)):
                one, other = self._told(left, depth - 1), self._told(right, depth - 1)
                yield Told(one.known + other.known, one.text + other.text)

    def _is_known(self, text: str) -> bool:
        return (text in self._whole and " " in text.strip()) or bool(self._matched(text))

    def _matching(self, text: str) -> tuple[tuple[Template, list[str]], ...]:
        """The templates that fit the whole text and do not say far less than the best, with their gaps."""
        likely = (self._by_word.get(word, ()) for word in {"", *_word.findall(text)})
        templates = chain.from_iterable(likely)
        found = [(template, gaps) for template in templates for gaps in template.readings(text)]
        most = max((template.weight for template, _ in found), default=0)
        return tuple((template, gaps) for template, gaps in found if 2 * template.weight >= most)


def parts_of(english: str) -> tuple[str, ...]:
    """The text between the gaps."""
    return tuple(_gap.split(english)[::2])


def blocks(page: str) -> Iterator[str]:
    """Headings and paragraphs of a page, each on one line, so that wrapping it anew changes none."""
    for block in re.split(r"\n\s*\n", _heading.sub(r"\1\n\n", page)):
        if block.strip():
            yield block if _is_laid_out(block) else " ".join(block.split())


def _is_laid_out(block: str) -> bool:
    """Whether the lines mean something: a list, a table or code."""
    return bool(re.search(r"^(\s*[-*+] |\s*\d+\. |    |```|\|)", block, re.MULTILINE))


def read_catalogue(language: str) -> Catalogue:
    """The catalogue that ships with the package."""
    return Catalogue({english: text for _, english, text in entries(language)})


def entries(language: str) -> Iterator[tuple[str, str, str]]:
    """(file, English, translation) of everything that is translated; nothing for English itself."""
    folder = files("opv2v_doctor.languages") / language
    if not folder.is_dir():
        return
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        if file.name.endswith(".toml"):
            for entry in tomllib.loads(file.read_text(encoding="utf-8"))["text"]:
                yield file.name, entry["en"], entry[language]
