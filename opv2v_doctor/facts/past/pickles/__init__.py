"""Pickles, walked without unpickling: names stay names, calls are written down and never made."""

from __future__ import annotations

import gc
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

from opv2v_doctor.facts.past.pickles.machine import Machine, PickleRefused, Refused
from opv2v_doctor.facts.past.pickles.operations import OPERATIONS

MOST_OPERATIONS = 2_000_000  # 127 000 in a checkpoint of 0.85 GB; bounds time and memory of a hostile one
STOP = ord(".")
LONGEST_LIST = 100  # characters of a message
MALFORMED = (PickleRefused, LookupError, ValueError, TypeError, AttributeError, ArithmeticError, struct.error)


@dataclass(frozen=True)
class Pickle:
    """A walked pickle: plain values and the recorded kinds above, and every global that it names."""

    root: Any
    names: tuple[str, ...]


def walk(content: bytes) -> Pickle:
    """Walk a pickle. Raises PickleRefused for one that is malformed, or asks for more than its bytes."""
    with _garbage_collector_paused():
        return _walk(content)


@contextmanager
def _garbage_collector_paused() -> Iterator[None]:
    """Pause the garbage collector: it would look for garbage again and again among what is all in use."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _walk(content: bytes) -> Pickle:
    machine = Machine(content)
    try:
        return _walk_machine(machine)
    except MALFORMED as problem:
        named = ", ".join(machine.names)[:LONGEST_LIST]
        raise PickleRefused(
            "malformed at byte {byte}: {problem}; until there it names {named}"
            if named
            else "malformed at byte {byte}: {problem}",
            byte=machine.at,
            problem=problem.reason
            if isinstance(problem, Refused)
            else str(problem) or type(problem).__name__,
            named=named,
        ) from None


def _walk_machine(machine: Machine) -> Pickle:
    content, at = machine.content, 0
    operations = [OPERATIONS.get(chr(code), _refuse) for code in range(256)]
    try:
        for _ in range(MOST_OPERATIONS):
            code = content[at]
            if code == STOP:
                return Pickle(root=machine.stack.pop(), names=tuple(machine.names))
            at = operations[code](machine, at + 1)
    finally:
        machine.at = at
    raise PickleRefused("more than {most} operations", most=MOST_OPERATIONS)


def _refuse(machine: Machine, at: int) -> NoReturn:
    code = machine.content[at - 1]
    raise PickleRefused("operation {code:#04x} has no place in a checkpoint", code=code)
