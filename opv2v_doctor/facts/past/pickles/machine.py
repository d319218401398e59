"""The pickle machine, without its power to import and call: its memory, and what it writes down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from opv2v_doctor.text import Text, Value, text_of

LONGEST_KEY = 1024  # characters: comparing longer equal keys again and again may take for ever
LARGEST_KEY = 1 << 60  # integers beyond it can be made to collide
LONGEST_LINE = 4096
LONGEST_SAID = 200


class Refused(Exception):
    """A file that is not read; `reason` says why, with nothing from the file that a terminal would obey."""

    def __init__(self, reason: str | Text, /, **values: Value) -> None:
        shown = {
            name: ascii_excerpt(said) if isinstance(said, str) else said for name, said in values.items()
        }
        self.reason = text_of(reason, shown)
        super().__init__(str(self.reason))


class PickleRefused(Refused):
    """Not a pickle that can be walked; the reason says where and why."""


@dataclass(frozen=True, slots=True)
class Name:
    """A global that loading would import."""

    dotted: str


@dataclass(frozen=True, slots=True)
class Stored:
    """A persistent id; in a checkpoint it says which storage holds a tensor."""

    where: Any


class RecordedCall:
    """What loading would build by a call: the callable, its arguments, and what is put into the result."""

    __slots__ = ("arguments", "entries", "items", "name", "state")

    def __init__(self, by: object, arguments: object) -> None:
        self.name = by.dotted if isinstance(by, Name) else ""  # empty: the callable is itself a result
        self.arguments: Any = arguments
        self.state: Any = None
        self.items: list[Any] = []
        self.entries: dict[Any, Any] = {}


class Opaque:
    """A key that is not hashed: for nested tuples and crafted integers that may take for ever."""

    __slots__ = ("key",)

    def __init__(self, key: object) -> None:
        self.key = key


class Machine:
    """The pickle machine, without its power to import and to call."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.at = 0
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.names: dict[str, Name] = {}

    def taken(self, at: int, length: int) -> bytes:
        taken = self.content[at : at + length]
        if len(taken) != length:
            raise PickleRefused(
                "{wanted} bytes wanted at byte {byte}, {left} are left",
                wanted=length,
                byte=at,
                left=len(taken),
            )
        return taken

    def line(self, at: int) -> tuple[str, int]:
        end = self.content.index(b"\n", at, at + LONGEST_LINE)
        return self.content[at:end].decode("utf-8"), end + 1

    def marked(self) -> list[Any]:
        """Everything above the last mark, taken from the stack."""
        mark = self.marks.pop()
        marked = self.stack[mark:]
        del self.stack[mark:]
        return marked

    def name(self, module: str, name: str) -> Name:
        dotted = f"{module}.{name}"
        return self.names.setdefault(dotted, Name(dotted))

    def called(self, by: object, arguments: object) -> None:
        """Write a call down where its result would be."""
        self.stack.append(RecordedCall(by, arguments))


def ascii_excerpt(text: str) -> str:
    """What a file says, with nothing in it that a terminal would obey."""
    return ascii(text)[1:-1][:LONGEST_SAID]


def key_of(key: object) -> Any:
    """The key itself where hashing and comparing it is quick."""
    if key.__class__ is int:
        return key if -LARGEST_KEY < key < LARGEST_KEY else Opaque(key)
    if key is None or isinstance(key, bool | float):
        return key
    return key if isinstance(key, str | bytes) and len(key) <= LONGEST_KEY else Opaque(key)
