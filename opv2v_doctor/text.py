"""Text: a sentence as a template and its values: it can be merged, translated and read by programs."""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Union

JSON = None | bool | int | float | str | Sequence["JSON"] | Mapping[str, "JSON"]
Value = Union[JSON, Path, "Text", "Place", "Each", Sequence["Value"], Mapping[Any, "Value"]]
Translate = Callable[[str], str]  # a template -> the same in another language
SHOWN = 12  # subjects that a sentence names one by one: agents of a scene, ranks of a node


class Command(str):
    """A command that the reader can run as it stands. A test runs those of hints."""


class Override(str):
    """A Hydra override that the reader can add to the launch. A test composes those of hints."""


@dataclass(frozen=True)
class Place:
    """A file, or a line of it; `near` where the line was found by a rule of thumb."""

    path: Path
    line: int | None = None
    near: bool = False
    text: str = ""  # what stands there

    def __str__(self) -> str:
        return ("near " if self.near else "") + (f"{self.path}:{self.line}" if self.line else str(self.path))


@dataclass(frozen=True)
class Each:
    """What one gap holds where the same was found of several subjects (splits, agents, ranks)."""

    values: tuple[tuple[str, Value], ...]  # (subject, its value)


class Text:
    """A template with `{named}` gaps, and what fills them.

    Gaps are filled as by `str.format`, with three additions: a list is joined by commas; another Text is told
    in the reader's language; and `{n:view|views}` counts: "1 view", "3 views". Everything else that fills a
    gap is quoted as it is and never translated. A name in the template must have its value.
    """

    __slots__ = ("template", "values")

    def __init__(self, template: str, /, **values: Value) -> None:
        missing = _names(template) - values.keys()
        if missing:
            raise TypeError(f"{template!r} lacks a value for {', '.join(sorted(missing))}")
        self.template, self.values = template, values
        str(self)  # a value that does not fit its gap is an error here, not in the report

    def __str__(self) -> str:
        return self.told(str)

    def told(self, translate: Translate) -> str:
        """The sentence in the language that the templates are translated into."""
        return _Filler(translate).vformat(translate(self.template), (), self.values)

    @property
    def shown(self) -> Mapping[str, Value]:
        """The values that the template names: the others are for programs only."""
        return {name: value for name, value in self.values.items() if name in _names(self.template)}

    @property
    def tells_apart(self) -> bool:
        """Whether it shows a value that differs between subjects, with the subject of each."""
        filler = _Filler(str)
        for _, name, spec, _ in filler.parse(self.template):
            value = self.values[name] if name is not None else None
            if isinstance(value, Text) and value.tells_apart:
                return True
            if (
                isinstance(value, Each)
                and len({filler.format_field(v, spec or "") for _, v in value.values}) > 1
            ):
                return True
        return False

    def pieces(self) -> Iterator[tuple[str, str | None]]:
        """The text before each gap and what fills it, in English; None behind the last one."""
        filler = _Filler(str)
        for text, name, spec, conversion in filler.parse(self.template):
            if name is None:
                yield text, None
            else:
                value = filler.convert_field(self.values[name], conversion)
                yield text, filler.format_field(value, spec or "")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Text):
            return NotImplemented
        return (self.template, self.values) == (other.template, other.values)

    def __hash__(self) -> int:
        return hash(self.template)

    def __bool__(self) -> bool:
        return bool(self.template)

    def __repr__(self) -> str:
        given = "".join(f", {name}={value!r}" for name, value in self.values.items())
        return f"Text({self.template!r}{given})"


def text_of(said: str | Text, values: Mapping[str, Value] | None = None) -> Text:
    """A template with its values as a Text; a Text with more values, for programs, with all of them."""
    if not isinstance(said, Text):
        return Text(said, **(values or {}))
    return Text(said.template, **{**(values or {}), **said.values}) if values else said


def quoted(text: object) -> Text:
    """What somebody else said (an exception, a line of a log): shown as it is, in every language."""
    return Text("{text}", text=str(text))


def sentence(parts: Iterable[Text], joint: str = "; ") -> Text:
    """Several texts as one."""
    listed = list(parts)
    names = [f"part{number}" for number in range(len(listed))]
    return Text(joint.join(f"{{{name}}}" for name in names), **dict(zip(names, listed, strict=True)))


def counted(number: int, noun: str) -> Text:
    """So many of what a singular noun names: "1 view", "3 views"."""
    return Text(counting(noun), n=number)


def counting(noun: str) -> str:
    """The template that counts a noun ("pair of frames"), with its regular English plural."""
    head, of, rest = noun.partition(" of ")
    hisses = re.search(r"(s|x|(?<!epo)ch|sh)$", head)
    several = f"{head}es" if hisses else re.sub(r"(?<![aeiou])y$", "ie", head) + "s"
    return f"{{n:{noun}|{several}{of}{rest}}}"


@cache
def _names(template: str) -> frozenset[str]:
    """The names of a template's gaps."""
    return frozenset(name for _, name, _, _ in string.Formatter().parse(template) if name is not None)


class _Filler(string.Formatter):
    """Fills the gaps of one template."""

    def __init__(self, translate: Translate) -> None:
        self._translate = translate

    def format_field(self, value: Any, spec: str) -> str:
        if isinstance(value, Each):
            return self._of_each(value, spec)
        if isinstance(value, Text):
            return value.told(self._translate)
        if isinstance(value, list | tuple):
            return ", ".join(self.format_field(one, spec) for one in value)
        if "|" in spec:
            one, several = spec.split("|")
            return f"{value} {one if value == 1 else several}"
        return format(value, spec) if spec else str(value)

    def _of_each(self, value: Each, spec: str) -> str:
        """ "0.049 (train), 0.000 (val, test)", or where the values are lists "train: 2, 3; val: 4"."""
        subjects: dict[str, list[str]] = {}
        for subject, one in value.values:
            subjects.setdefault(self.format_field(one, spec), []).append(subject)
        if len(subjects) == 1:  # by so few digits they are one
            return next(iter(subjects))
        shown, more = list(subjects.items())[:SHOWN], len(subjects) - SHOWN
        rest = [f"… (+{more})"] if more > 0 else []
        if any(", " in told for told in subjects):
            return "; ".join([*(f"{', '.join(names)}: {told}" for told, names in shown), *rest])
        return ", ".join([*(f"{told} ({', '.join(names)})" for told, names in shown), *rest])

    def get_value(self, key: int | str, _: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        return kwargs[str(key)]
