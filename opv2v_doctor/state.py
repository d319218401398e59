"""What is remembered: facts, for one state of what is examined; what a file says, until it changes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

if TYPE_CHECKING:
    from opv2v_doctor.target import Target

Function = TypeVar("Function", bound=Callable[..., Any])
Value = TypeVar("Value")


class State:
    """One state of config files, sources and settings, and the facts that were measured of it.

    Targets that differ in an override share it. Where something may have changed, what it remembers is
    forgotten, or another one begins. A fact that is `given` is not measured: it has this value, whatever
    its other arguments.
    """

    _found: ClassVar[State | None] = None

    def __init__(self, given: Mapping[Callable[..., Any], Any] | None = None) -> None:
        self._values: dict[Hashable, Any] = {}
        self._closing: list[Callable[[], None]] = []
        self._given = dict(given or {})
        for function in self._given:
            if not hasattr(function, "__wrapped__"):
                raise TypeError(f"{function!r} is no fact: none could be given in its place")

    @classmethod
    def found(cls) -> State:
        """The state that this process found: that of every target that names no other."""
        State._found = State._found or State()
        return State._found

    def remember(self, key: Hashable, measure: Callable[[], Value]) -> Value:
        """What was measured under this key, now or before; an exception is not remembered."""
        try:
            value: Value = self._values[key]
        except KeyError:
            value = self._values[key] = measure()
        return value

    def fact(self, function: Callable[..., Any], key: Hashable, measure: Callable[[], Value]) -> Value:
        """The value of a fact: the one that was given, else what is remembered or measured."""
        given: Value = self._given[function] if function in self._given else self.remember(key, measure)
        return given

    def at_end(self, close: Callable[[], None]) -> None:
        """Call this once what is remembered is forgotten: what is asked anew is asked of somebody else."""
        self._closing.append(close)

    def forget(self) -> None:
        """Measure everything anew from now on, but for the facts that were given."""
        for close in self._closing:
            close()
        self._closing.clear()
        self._values.clear()

    def __reduce__(self) -> tuple[Callable[[], State], tuple[()]]:
        """It does not travel: in another process it is the state that is found there."""
        return State.found, ()

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: object) -> Any:
        """Nor in a document."""
        from pydantic_core import core_schema

        return core_schema.no_info_plain_validator_function(
            lambda _: State.found(),
            serialization=core_schema.plain_serializer_function_ser_schema(lambda _: None),
        )


def fact(function: Function) -> Function:
    """A fact: a function of a target (and further arguments) that is measured once in a state."""

    @functools.wraps(function)
    def measured(target: Target, *arguments: Any, **named: Any) -> Any:
        key = (function, target, arguments, tuple(sorted(named.items())))
        return target.state.fact(measured, key, lambda: function(target, *arguments, **named))

    return measured  # type: ignore[return-value]


def of_file(most: int | None = None) -> Callable[[Function], Function]:
    """A function of a file, its first argument, remembered until the file changes; `most` values are kept."""

    def decorate(function: Function) -> Function:
        @functools.lru_cache(most)
        def read(_version: object, path: Path, *arguments: Any) -> Any:
            return function(path, *arguments)

        @functools.wraps(function)
        def remembered(path: Path, *arguments: Any) -> Any:
            return read(version_of(path), path, *arguments)

        return remembered  # type: ignore[return-value]

    return decorate


def version_of(path: Path) -> tuple[int, ...] | None:
    """What is another one after each change of a file; None where there is none."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
