"""The operations of a pickle that only hold a value: numbers, texts and empty containers."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from opv2v_doctor.facts.pickles.machine import Machine, PickleRefused

LONGEST_INTEGER = 64  # bytes or digits

Operation = Callable[[Machine, int], int]  # takes the position behind its code, returns that of the next


def skip(length: int) -> Operation:
    return lambda _, at: at + length


def made(make: Callable[[], Any]) -> Operation:
    def operation(machine: Machine, at: int) -> int:
        machine.stack.append(make())
        return at

    return operation


def fixed(layout: str) -> Operation:
    unpack, length = struct.Struct(layout).unpack_from, struct.calcsize(layout)

    def operation(machine: Machine, at: int) -> int:
        machine.stack.append(unpack(machine.content, at)[0])
        return at + length

    return operation


def counted(layout: str, read: Callable[[bytes], Any]) -> Operation:
    unpack, width = struct.Struct(layout).unpack_from, struct.calcsize(layout)

    def operation(machine: Machine, at: int) -> int:
        length = unpack(machine.content, at)[0]
        machine.stack.append(read(machine.taken(at + width, length)))
        return int(at + width + length)

    return operation


def text(content: bytes) -> str:
    return content.decode("utf-8", "surrogatepass")


def integer(content: bytes) -> int:
    if len(content) > LONGEST_INTEGER:
        raise PickleRefused("an integer of {n} bytes", n=len(content))
    return int.from_bytes(content, "little", signed=True)


def line(read: Callable[[str], Any]) -> Operation:
    def operation(machine: Machine, at: int) -> int:
        words, after = machine.line(at)
        machine.stack.append(read(words))
        return after

    return operation


def digits(words: str) -> int:
    if len(words) > LONGEST_INTEGER:
        raise PickleRefused("an integer of {n} digits", n=len(words))
    return {"00": False, "01": True}[words] if words in ("00", "01") else int(words.removesuffix("L"))


def constant(value: Any) -> Operation:
    return made(lambda: value)
