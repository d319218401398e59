"""The operations of a pickle: what each does to the stack, except that a call is only written down."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from opv2v_doctor.facts.past.pickles.machine import (
    LONGEST_KEY,
    Machine,
    Name,
    PickleRefused,
    RecordedCall,
    Stored,
    key_of,
)

LONGEST_INTEGER = 64  # bytes or digits

Operation = Callable[[Machine, int], int]  # takes the position behind its code, returns that of the next


def _skip(length: int) -> Operation:
    return lambda _, at: at + length


def _maker(make: Callable[[], Any]) -> Operation:
    def operation(machine: Machine, at: int) -> int:
        machine.stack.append(make())
        return at

    return operation


def _fixed_size(layout: str) -> Operation:
    unpack, length = struct.Struct(layout).unpack_from, struct.calcsize(layout)

    def operation(machine: Machine, at: int) -> int:
        machine.stack.append(unpack(machine.content, at)[0])
        return at + length

    return operation


def _prefixed_size(layout: str, read: Callable[[bytes], Any]) -> Operation:
    unpack, width = struct.Struct(layout).unpack_from, struct.calcsize(layout)

    def operation(machine: Machine, at: int) -> int:
        length = unpack(machine.content, at)[0]
        machine.stack.append(read(machine.taken(at + width, length)))
        return int(at + width + length)

    return operation


def _text(content: bytes) -> str:
    return content.decode("utf-8", "surrogatepass")


def _integer(content: bytes) -> int:
    if len(content) > LONGEST_INTEGER:
        raise PickleRefused("an integer of {n} bytes", n=len(content))
    return int.from_bytes(content, "little", signed=True)


def _line(read: Callable[[str], Any]) -> Operation:
    def operation(machine: Machine, at: int) -> int:
        words, after = machine.line(at)
        machine.stack.append(read(words))
        return after

    return operation


def _digits(words: str) -> int:
    if len(words) > LONGEST_INTEGER:
        raise PickleRefused("an integer of {n} digits", n=len(words))
    return {"00": False, "01": True}[words] if words in ("00", "01") else int(words.removesuffix("L"))


def _constant(value: Any) -> Operation:
    return _maker(lambda: value)


def _remember(layout: str) -> Operation:
    unpack, length = struct.Struct(layout).unpack_from, struct.calcsize(layout)

    def operation(machine: Machine, at: int) -> int:
        machine.memo[unpack(machine.content, at)[0]] = machine.stack[-1]
        return at + length

    return operation


def _recall(layout: str) -> Operation:
    unpack, length = struct.Struct(layout).unpack_from, struct.calcsize(layout)

    def operation(machine: Machine, at: int) -> int:
        machine.stack.append(machine.memo[unpack(machine.content, at)[0]])
        return at + length

    return operation


def _remember_next(machine: Machine, at: int) -> int:
    machine.memo[len(machine.memo)] = machine.stack[-1]
    return at


def _remember_line(machine: Machine, at: int) -> int:
    words, after = machine.line(at)
    machine.memo[_digits(words)] = machine.stack[-1]
    return after


def _recall_line(machine: Machine, at: int) -> int:
    words, after = machine.line(at)
    machine.stack.append(machine.memo[_digits(words)])
    return after


def _mark(machine: Machine, at: int) -> int:
    machine.marks.append(len(machine.stack))
    return at


def _maker_since_mark(make: Callable[[list[Any]], Any]) -> Operation:
    def operation(machine: Machine, at: int) -> int:
        machine.stack.append(make(machine.marked()))
        return at

    return operation


def _pop(machine: Machine, at: int) -> int:
    if machine.marks and machine.marks[-1] == len(machine.stack):
        machine.marks.pop()
    else:
        machine.stack.pop()
    return at


def _top(count: int) -> Operation:
    """A tuple of the topmost values."""

    def operation(machine: Machine, at: int) -> int:
        if len(machine.stack) < count:
            raise IndexError
        machine.stack[-count:] = [tuple(machine.stack[-count:])]
        return at

    return operation


def _pop_to_mark(machine: Machine, at: int) -> int:
    machine.marked()
    return at


def _dictionary(machine: Machine, at: int) -> int:
    pairs = machine.marked()
    machine.stack.append({})
    _update(machine, pairs)
    return at


def _append(machine: Machine, at: int) -> int:
    _extend(machine, [machine.stack.pop()])
    return at


def _append_since_mark(machine: Machine, at: int) -> int:
    _extend(machine, machine.marked())
    return at


def _extend(machine: Machine, values: list[Any]) -> None:
    top = machine.stack[-1]
    (top.items if isinstance(top, RecordedCall) else top).extend(values)


def _set_item(machine: Machine, at: int) -> int:
    value, key = machine.stack.pop(), machine.stack.pop()
    _update(machine, [key, value])
    return at


def _set_since_mark(machine: Machine, at: int) -> int:
    _update(machine, machine.marked())
    return at


def _update(machine: Machine, pairs: list[Any]) -> None:
    top = machine.stack[-1]
    entries = top.entries if isinstance(top, RecordedCall) else top
    for key, value in zip(pairs[::2], pairs[1::2], strict=True):
        entries[key if key.__class__ is str and len(key) <= LONGEST_KEY else key_of(key)] = value


def _global_lines(machine: Machine, at: int) -> int:
    module, at = machine.line(at)
    name, at = machine.line(at)
    machine.stack.append(machine.name(module, name))
    return at


def _global(machine: Machine, at: int) -> int:
    name, module = machine.stack.pop(), machine.stack.pop()
    if not isinstance(module, str) or not isinstance(name, str):
        raise TypeError
    machine.stack.append(machine.name(module, name))
    return at


def _instance_lines(machine: Machine, at: int) -> int:
    at = _global_lines(machine, at)
    machine.called(machine.stack.pop(), tuple(machine.marked()))
    return at


def _instance(machine: Machine, at: int) -> int:
    by, *arguments = machine.marked()
    machine.called(by, tuple(arguments))
    return at


def _call(machine: Machine, at: int) -> int:
    arguments, by = machine.stack.pop(), machine.stack.pop()
    machine.called(by, arguments)
    return at


def _call_with_words(machine: Machine, at: int) -> int:
    return _call(machine, _pop(machine, at))


def _set_state(machine: Machine, at: int) -> int:
    state, top = machine.stack.pop(), machine.stack[-1]
    if isinstance(top, RecordedCall):
        top.state = state
    return at


def _store(machine: Machine, at: int) -> int:
    machine.stack.append(Stored(machine.stack.pop()))
    return at


OPERATIONS: dict[str, Operation] = {
    "\x80": _skip(1),  # the protocol
    "\x95": _skip(8),  # a frame
    "N": _constant(None),
    "\x88": _constant(True),
    "\x89": _constant(False),
    "K": _fixed_size("<B"),
    "M": _fixed_size("<H"),
    "J": _fixed_size("<i"),
    "G": _fixed_size(">d"),
    "I": _line(_digits),
    "L": _line(_digits),
    "F": _line(float),
    "S": _line(str),
    "V": _line(str),
    "P": _line(Stored),
    "\x8a": _prefixed_size("<B", _integer),
    "\x8b": _prefixed_size("<I", _integer),
    "U": _prefixed_size("<B", bytes),
    "T": _prefixed_size("<I", bytes),
    "C": _prefixed_size("<B", bytes),
    "B": _prefixed_size("<I", bytes),
    "\x8e": _prefixed_size("<Q", bytes),
    "\x96": _prefixed_size("<Q", bytes),
    "\x8c": _prefixed_size("<B", _text),
    "X": _prefixed_size("<I", _text),
    "\x8d": _prefixed_size("<Q", _text),
    ")": _constant(()),
    "]": _maker(list),
    "}": _maker(dict),
    "\x8f": _maker(lambda: RecordedCall(Name("builtins.set"), ())),
    "(": _mark,
    "t": _maker_since_mark(tuple),
    "l": _maker_since_mark(list),
    "d": _dictionary,
    "\x91": _maker_since_mark(lambda values: RecordedCall(Name("builtins.frozenset"), (values,))),
    "\x85": _top(1),
    "\x86": _top(2),
    "\x87": _top(3),
    "a": _append,
    "e": _append_since_mark,
    "\x90": _append_since_mark,
    "s": _set_item,
    "u": _set_since_mark,
    "0": _pop,
    "1": _pop_to_mark,
    "q": _remember("<B"),
    "r": _remember("<I"),
    "\x94": _remember_next,
    "p": _remember_line,
    "h": _recall("<B"),
    "j": _recall("<I"),
    "g": _recall_line,
    "c": _global_lines,
    "\x93": _global,
    "R": _call,
    "\x81": _call,
    "\x92": _call_with_words,
    "i": _instance_lines,
    "o": _instance,
    "b": _set_state,
    "Q": _store,
}
