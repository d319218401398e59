"""Mutations: bytes changed, cut, doubled, moved, spliced, and words put in that a reader knows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

ROUNDS = (0, 1, 1, 3, 10, 60)  # changes in one input
LONGEST = 200_000  # bytes of an input

Mutation = Callable[[bytearray, Random], None]


def mutated(content: bytes, seeds: Sequence[bytes], words: Sequence[bytes], random: Random) -> bytes:
    """The content, changed a few times."""
    changed = bytearray(content)
    for _ in range(random.choice(ROUNDS)):
        random.choice(MUTATIONS)(changed, random)
        if random.random() < 0.3:
            changed[_place(changed, random) : 0] = random.choice(words)
        if random.random() < 0.05:
            changed[_place(changed, random) : 0] = piece(random.choice(seeds), 3000, random)
    return bytes(changed[:LONGEST])


def piece(content: bytes, longest: int, random: Random) -> bytes:
    """Some of the content, as it is."""
    start = random.randrange(max(1, len(content)))
    return content[start : start + random.randrange(1, longest)]


def _place(changed: bytearray, random: Random) -> int:
    return random.randrange(len(changed) + 1)


def _set_a_byte(changed: bytearray, random: Random) -> None:
    if changed:
        changed[random.randrange(len(changed))] = random.randrange(256)


def _flip_a_bit(changed: bytearray, random: Random) -> None:
    if changed:
        changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)


def _cut(changed: bytearray, random: Random) -> None:
    start = _place(changed, random)
    del changed[start : start + random.choice((1, 8, 60, 1000))]


def _cut_off(changed: bytearray, random: Random) -> None:
    if random.random() < 0.2:
        del changed[_place(changed, random) :]


def _double(changed: bytearray, random: Random) -> None:
    start = _place(changed, random)
    again = changed[start : start + random.randrange(1, 3000)]
    changed[_place(changed, random) : 0] = again


def _set_a_number(changed: bytearray, random: Random) -> None:
    """A length, an offset or a size, in the byte order of zip and pickle."""
    number = random.choice((0, 1, 0x7F, 0xFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 1 << 63, (1 << 64) - 1))
    width = random.choice((1, 2, 4, 8))
    start = _place(changed, random)
    changed[start : start + width] = (number & (1 << 8 * width) - 1).to_bytes(width, "little")


def _change_digits(changed: bytearray, random: Random) -> None:
    start = _place(changed, random)
    for at in range(start, min(len(changed), start + 40)):
        if ord("0") <= changed[at] <= ord("9"):
            changed[at] = ord("0") + random.randrange(10)


def _swap_lines(changed: bytearray, random: Random) -> None:
    lines = changed.split(b"\n")
    if 1 < len(lines) < 2000:
        one, other = random.randrange(len(lines)), random.randrange(len(lines))
        lines[one], lines[other] = lines[other], lines[one]
        changed[:] = b"\n".join(lines)


MUTATIONS: tuple[Mutation, ...] = (
    _set_a_byte,
    _flip_a_bit,
    _cut,
    _cut_off,
    _double,
    _set_a_number,
    _change_digits,
    _swap_lines,
)
