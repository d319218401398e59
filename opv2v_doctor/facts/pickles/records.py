"""Tensors in a pickle, passed over as a whole: a checkpoint's pickle is nothing but their records, by bytes.

`torch.save` describes each tensor by the same thirty operations. A regular expression knows them all at once,
and what they would have built is made when somebody asks. Two things keep this exact. Operations that are
passed over name no global. And what they remember is not remembered: a pickle that recalls any of it, or
builds a name from texts, is walked again without passing anything over.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from opv2v_doctor.facts.pickles.literals import Operation
from opv2v_doctor.facts.pickles.machine import Call, Machine, Name, PickleRefused
from opv2v_doctor.facts.pickles.operations import OPERATIONS

REBUILD = "torch._utils._rebuild_tensor_v2"
LONGEST_STORAGE_KEY = 7  # digits
MOST_PASSED = 200_000  # tensors and tables; 2000 in a checkpoint of 0.85 GB
TEXT, BUILD, MARK = ord("X"), ord("b"), ord("(")
MADE, STATE = b"\x81r", b"}r"  # each followed by four bytes

_remember = rb"(?:r....|q.)"
_recall = rb"(?:j....|h.)"
_integer = rb"(?:M..|K.|J...[\0-\x7f])"  # none is negative
_storage_key = b"X(?:%s)" % b"|".join(
    rb"\x%02x\0\0\0[0-9]{%d}" % (length, length) for length in range(1, LONGEST_STORAGE_KEY + 1)
)
_integers = rb"(?:%(n)s\x85%(q)s|%(n)s%(n)s\x86%(q)s|%(n)s%(n)s%(n)s\x87%(q)s|\)|\(%(n)s{4,64}+t%(q)s)" % {
    b"n": _integer,
    b"q": _remember,
}
_tensor_operations = (
    rb"%(h)s\(\(%(h)s(?P<kind>%(h)s)(?P<key>%(key)s)%(q)s%(h)s%(n)st%(q)sQ"
    rb"(?P<offset>%(n)s)(?P<shape>%(s)s)(?P<strides>%(s)s)[\x88\x89]%(h)s\)R%(q)st%(q)sR%(q)s"
    % {b"h": _recall, b"q": _remember, b"n": _integer, b"s": _integers, b"key": _storage_key}
)
_unnamed = re.sub(rb"\?P<\w+>", b"?:", _tensor_operations)
_tensor = re.compile(rb"(?s:(?P<memo>%s)?%s)" % (_remember, _tensor_operations))
_table = re.compile(
    rb"(?s:(?P<parameter>%s)}%s\((?P<entries>(?:%s%s)++)u)" % (_integer, _remember, _recall, _unnamed)
)
_two_memos = struct.Struct("<2xI2xI").unpack_from
_length = struct.Struct("<I").unpack_from
_set_marked = OPERATIONS["u"]
_number = re.compile(rb"(?s:%s)" % _integer)
_reference = re.compile(rb"(?s:%s)" % _recall)


class PassedTensor:
    """A tensor that was passed over: where it lies, and its shape."""

    __slots__ = ("_found", "_machine")

    def __init__(self, machine: Machine, found: re.Match[bytes]) -> None:
        self._machine = machine
        self._found = found

    @property
    def key(self) -> str:
        """The name of its storage."""
        return self._found["key"][5:].decode("ascii")

    @property
    def kind(self) -> str:
        """The type of its storage."""
        kind = _recalled(self._machine, self._found["kind"])
        return kind.dotted if isinstance(kind, Name) else ""

    @property
    def offset(self) -> int:
        """Elements of the storage before the first."""
        return _integer_of(self._found["offset"])

    @property
    def shape(self) -> tuple[int, ...]:
        return _numbers(self._found["shape"])

    @property
    def strides(self) -> tuple[int, ...]:
        return _numbers(self._found["strides"])


class PassedTable:
    """A dictionary of tensors that was passed over: what the optimizer keeps for one parameter."""

    __slots__ = ("_found", "_machine")

    def __init__(self, machine: Machine, found: re.Match[bytes]) -> None:
        self._machine = machine
        self._found = found

    def items(self) -> Iterator[tuple[Any, PassedTensor]]:
        """Its entries, one after the other."""
        machine, (at, end) = self._machine, self._found.span("entries")
        while at < end:
            key = _reference.match(machine.content, at)
            found = _tensor.match(machine.content, key.end()) if key else None
            if not key or not found:
                return
            yield _recalled(machine, key[0]), PassedTensor(machine, found)
            at = found.end()


def _recalled(machine: Machine, reference: bytes) -> Any:
    return machine.memo.get(int.from_bytes(reference[1:], "little"))


def _integer_of(operation: bytes) -> int:
    return int.from_bytes(operation[1:], "little")


@lru_cache(maxsize=1024)
def _numbers(operations: bytes) -> tuple[int, ...]:
    """The numbers that a tuple's operations hold; there are few shapes in a model."""
    start = 1 if operations[:1] == b"(" else 0
    found: list[int] = []
    while number := _number.match(operations, start):
        found.append(_integer_of(number[0]))
        start = number.end()
    return tuple(found)


def _recall_tensors(layout: str) -> Operation:
    """Recall; and where that begins a tensor, pass over it and those that follow it in its dictionary."""
    unpack, width = struct.Struct(layout).unpack_from, struct.calcsize(layout)

    def operation(machine: Machine, at: int) -> int:
        top = machine.memo[unpack(machine.content, at)[0]]
        if top.__class__ is Name and top.dotted == REBUILD:
            found = _tensor.match(machine.content, at - 1)
            if found:
                machine.stack.append(PassedTensor(machine, found))
                return _following(machine, found.end())
        machine.stack.append(top)
        return at + width

    return operation


def _following(machine: Machine, at: int) -> int:
    """Pass over entries whose key is a text: a model's parameters."""
    content, stack, match = machine.content, machine.stack, _tensor.match
    before = len(stack)
    while content[at] == TEXT:
        end = at + 5 + _length(content, at + 1)[0]
        found = match(content, end)
        if not found:
            break
        name = content[at + 5 : end].decode("utf-8", "surrogatepass")
        memo = found[1]
        if memo:  # `exp_avg` of the first parameter is recalled by all others
            machine.memo[int.from_bytes(memo[1:], "little")] = name
        stack += (name, PassedTensor(machine, found))
        at = found.end()
    _count(machine, (len(stack) - before) // 2)
    return at


def _set_and_pass(machine: Machine, at: int) -> int:
    """Put entries into a dictionary; then pass over the dictionaries of tensors that follow."""
    at = _set_marked(machine, at)
    found = _table.match(machine.content, at) if machine.content[at] != BUILD else None
    if not found:
        return at
    stack, match = machine.stack, _table.match
    before = len(stack)
    while found:
        stack += (_integer_of(found[1]), PassedTable(machine, found))
        at = found.end()
        found = match(machine.content, at)
    _count(machine, (len(stack) - before) // 2)
    return at


def _count(machine: Machine, passed: int) -> None:
    machine.passed += passed
    if machine.passed > MOST_PASSED:
        raise PickleRefused("more than {most} tensors", most=MOST_PASSED)


def _begin_object(machine: Machine, at: int) -> int:
    """An empty tuple; where it makes an object, that, and the state that follows."""
    content = machine.content
    if not (content.startswith(MADE, at) and content.startswith(STATE, at + 6) and content[at + 12] == MARK):
        machine.stack.append(())
        return at
    one, other = _two_memos(content, at)
    state: dict[Any, Any] = {}
    call = machine.memo[one] = Call(machine.stack.pop(), ())
    machine.memo[other] = state
    machine.stack += (call, state)
    machine.marks.append(len(machine.stack))
    return at + 13


def _walk_again(_: Machine, __: int) -> int:
    raise PickleRefused("a name that is built from texts: nothing may be passed over")


PASSING = OPERATIONS | {
    "h": _recall_tensors("<B"),
    "j": _recall_tensors("<I"),
    "u": _set_and_pass,
    ")": _begin_object,
    "\x93": _walk_again,
}
