"""Layouts: what lines of metrics have in common, so that all their numbers are converted at once.

The results are those of `float()`: the digits make an integer below 2**53, divided once by a power of ten.

A layout is learned from one line that was read with a regular expression. It holds every byte between the
numbers; a line that differs in one of them does not match, and is read with the regular expression itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from opv2v_doctor.facts.past.logs.blocks import Block, Positions
from opv2v_doctor.facts.past.logs.metric_rows import (
    ESTIMATE,
    LONGEST_HEAD,
    NO_EPOCH,
    Flags,
    MetricLine,
    MetricRows,
    Rows,
    head_of,
    run_of,
)

LONGEST = 8  # digits before the dot

Numbers = NDArray[np.float64]
Octets = NDArray[np.uint64]

_ZEROS = np.uint64(0x3030303030303030)
_OVER_NINE = np.uint64(0x7676767676767676)  # what carries a digit above 9 into the highest bit of its byte
_MINUS = np.uint64(ord("-") ^ ord("0"))
_HIGH = np.uint64(0x8080808080808080)


def fixed_points(
    block: Block, starts: Positions, dots: Positions, decimals: NDArray[np.int64]
) -> tuple[Numbers, Flags]:
    """The numbers from each start over its dot to so many decimals (a count a column); which rows hold."""
    words = words_at(block, dots - LONGEST, 16)
    behind = words[..., 1]
    dotted = np.bitwise_or.reduce(behind ^ np.uint64(ord(".")), axis=1) & np.uint64(0xFF) == np.uint64(0)
    fraction = behind ^ (_ZEROS << np.uint64(8))
    fraction >>= np.uint64(8)
    fraction <<= (8 * (LONGEST - decimals)).astype(np.uint64)
    numbers, valid = _decimal(words[..., 0] ^ _ZEROS, dots - starts, fraction, decimals)
    return numbers, valid & dotted


def whole_numbers(block: Block, starts: Positions, ends: Positions) -> tuple[Numbers, Flags]:
    """The whole numbers from each start to its end, and which rows hold nothing else."""
    words = words_at(block, ends - LONGEST, 8)[..., 0] ^ _ZEROS
    return _decimal(words, ends - starts, np.zeros_like(words), np.zeros(words.shape[1], np.int64))


def _decimal(
    whole: Octets, lengths: Positions, fraction: Octets, decimals: NDArray[np.int64]
) -> tuple[Numbers, Flags]:
    """The numbers made of the last digits of `whole` and those of their fractions; which rows hold."""
    fitting: Flags = np.ones(len(whole), np.bool_)
    if lengths.size and (lengths.min() < 1 or lengths.max() > LONGEST):
        fits = (lengths >= 1) & (lengths <= LONGEST)
        fitting &= fits.all(axis=1)
        lengths = np.where(fits, lengths, 1)
    shifts = (8 * (LONGEST - lengths)).view(np.uint64)
    digits = whole >> shifts
    numbers, valid = _magnitudes(digits << shifts, lengths, fraction, decimals)
    if not valid.all():  # perhaps for a sign
        negative = (digits & np.uint64(0xFF) == _MINUS) & (lengths > 1)
        digits[negative] ^= _MINUS
        numbers, valid = _magnitudes(digits << shifts, lengths, fraction, decimals)
        np.negative(numbers, out=numbers, where=negative)
    return numbers, valid & fitting


def _magnitudes(
    digits: Octets, lengths: Positions, fraction: Octets, decimals: NDArray[np.int64]
) -> tuple[Numbers, Flags]:
    if not lengths.size or (lengths + decimals).max() <= LONGEST:  # whole and fraction fit into one word
        digits >>= (8 * decimals).astype(np.uint64)
        digits |= fraction
        valid = _are_digits(digits)
        numbers = _join(digits).astype(np.float64)
    else:
        valid = _are_digits(digits) & _are_digits(fraction)
        whole = _join(digits) * (10**decimals).astype(np.uint64)
        numbers = (whole + _join(fraction.copy())).astype(np.float64)
    numbers /= 10**decimals
    return numbers, valid


def differ_in_digits(block: Block, places: Positions, example: bytes) -> Flags:
    """Where the bytes of the example stand, but for its digits, in whose place other digits may stand."""
    digits = bytes(0xFF if ord("0") <= byte <= ord("9") else 0 for byte in example)
    size = (len(example) + 7) // 8 * 8
    is_digit = np.frombuffer(digits.ljust(size, b"\0"), "<u8")
    is_text = np.frombuffer(bytes(255 - byte for byte in digits).ljust(size, b"\0"), "<u8")
    words = words_at(block, places, size)
    valid: Flags = ((words ^ np.frombuffer(example.ljust(size, b"\0"), "<u8")) & is_text == 0).all(axis=1)
    return valid & _are_digits((words ^ _ZEROS) & is_digit)


def padded_numbers(block: Block, starts: Positions, width: int) -> tuple[Positions, Flags]:
    """The whole numbers of this width, spaces before the first digit included, and which of them hold."""
    text = block.array[starts[:, None] + np.arange(width)].astype(np.int64)
    spaces = np.logical_and.accumulate(text == ord(" "), axis=1)
    digits = np.where(spaces, 0, text - ord("0"))
    valid = ((digits >= 0) & (digits <= 9)).all(axis=1) & ~spaces[:, -1]
    return (digits * 10 ** np.arange(width)[::-1]).sum(axis=1), valid


def _are_digits(digits: Octets) -> Flags:
    """Which rows have bytes of at most 9 only."""
    over = digits + _OVER_NINE
    over |= digits
    right: Flags = np.bitwise_or.reduce(over, axis=1) & _HIGH == np.uint64(0)
    return right


def _join(digits: Octets) -> Octets:
    """Eight digits, the first in the lowest byte, as one number. Works in the array that it is given."""
    for factor, shift, mask in _JOINS:
        digits *= factor
        digits >>= shift
        digits &= mask
    return digits


_JOINS = tuple(
    (np.uint64(10 ** (bits // 8) * (1 << bits) + 1), np.uint64(bits), mask)
    for bits, mask in (
        (8, np.uint64(0x00FF00FF00FF00FF)),
        (16, np.uint64(0x0000FFFF0000FFFF)),
        (32, np.uint64(0x00000000FFFFFFFF)),
    )
)


def words_at(block: Block, places: Positions, size: int) -> Octets:
    """The words that start at each place, as `size // 8` numbers each."""
    overlapping: NDArray[np.void] = np.ndarray(
        (len(block.data) - size + 1,), f"V{size}", buffer=block.data, strides=(1,)
    )
    return overlapping[places.ravel()].view("<u8").reshape(*places.shape, size // 8)


LONG, SHORT = 32, 8  # bytes of the words in which texts are compared
MARKS_OF_A_HEAD = 4  # one behind the phase, one behind `eta`, and at least two in the estimate

_estimate = re.compile(ESTIMATE)
_marks = re.compile(rb"[:.]")
_value = re.compile(
    rb"-?\d{1,8}\.(\d{1,7})(?: \(-?\d{1,8}\.(\d{1,7})\))?|-?\d{1,8}|(?:nan|-?inf)(?: \((?:nan|-?inf)\))?"
)


@dataclass(frozen=True, kw_only=True)
class Anchored:
    """A text that every line has, and how far behind one of the line's marks it ends."""

    mark: int
    behind: int
    text: bytes


class SharedTexts:
    """Texts that all lines share, compared in long words for all lines at once.

    The last word of a long text overlaps the one before it.
    """

    def __init__(self, texts: Sequence[Anchored]) -> None:
        pieces = [piece for text in texts for piece in _pieces(text)]
        self._words = [_Words(pieces, size) for size in (LONG, SHORT)]

    def hold(self, block: Block, marks: Positions) -> Flags:
        """Which of the lines with these marks have all the texts."""
        long, short = (words.hold(block, marks) for words in self._words)
        return long & short


def _pieces(text: Anchored) -> list[Anchored]:
    """The text in pieces of at most LONG bytes; those of a long one are all LONG."""
    length = len(text.text)
    if length < LONG:
        size = SHORT
        starts = list(range(0, max(1, length - size + 1), size))
        if starts[-1] + size < length:
            starts.append(length - size)
    else:
        size = LONG
        starts = [*range(0, length - size, size), length - size]
    return [
        Anchored(mark=text.mark, behind=text.behind - length + start, text=text.text[start : start + size])
        for start in starts
    ]


class _Words:
    """All pieces that are read as words of one size; `behind` is where each starts."""

    def __init__(self, pieces: Sequence[Anchored], size: int) -> None:
        chosen = [piece for piece in pieces if (len(piece.text) == LONG) == (size == LONG)]
        self._size = size
        self._marks = [piece.mark for piece in chosen]
        self._offsets = np.array([piece.behind for piece in chosen], np.int64)
        self._wanted = np.frombuffer(b"".join(piece.text.ljust(size, b"\0") for piece in chosen), "<u8")
        masks = b"".join((b"\xff" * len(piece.text)).ljust(size, b"\0") for piece in chosen)
        self._masks = np.frombuffer(masks, "<u8") if size == SHORT else None

    def hold(self, block: Block, marks: Positions) -> Flags:
        places = np.take(marks, self._marks, axis=1) + self._offsets
        found = words_at(block, places, self._size).reshape(len(marks), len(self._wanted))
        if self._masks is not None:
            found &= self._masks
        valid: Flags = (found == self._wanted).all(axis=1)
        return valid


@dataclass(frozen=True, kw_only=True)
class Field:
    """One metric of a layout: the bytes before its number, and the marks that its number hangs on."""

    text: bytes
    colon: int  # the number of the mark
    behind: int  # bytes from the colon to the end of the text
    dot: int | None = None
    decimals: int = 0
    average_dot: int | None = None
    average_decimals: int = 0
    whole: bool = False  # a number without a dot, such as that of `max mem`


@dataclass(frozen=True, kw_only=True, eq=False)
class Layout:
    """The layout of the lines of one phase, as long as its metrics and its number of steps are the same."""

    example: MetricRows
    marks: int  # colons and dots of a line
    before: int  # of them, those before the head's first
    head: tuple[Anchored, ...]
    epoch: tuple[int, int, int, int] | None  # it starts so far behind one mark, and ends before another
    step: tuple[int, int, int]  # it ends so far before the mark of this number, and has a width
    fields: tuple[Field, ...]
    closing: bytes  # behind the last number

    @cached_property
    def texts(self) -> SharedTexts:
        fields = [Anchored(mark=f.colon, behind=f.behind, text=f.text) for f in self.fields]
        return SharedTexts([*self.head, *fields])

    @cached_property
    def columns(self) -> _Columns:
        return _Columns(self.fields)

    def run(self, block: Block, lines: Positions) -> tuple[Positions, MetricRows]:
        """Those of the lines that match, and what they say."""
        marks = block.marks[block.first_marks[lines][:, None] + np.arange(self.marks)]
        kept = self.texts.hold(block, marks)
        if self.before >= MARKS_OF_A_HEAD:
            kept &= self._have_no_head_before(block, marks)
        if not kept.all():
            lines, marks = lines[kept], marks[kept]
        epoch, kept = self._epochs(block, marks)
        kept &= self._estimates(block, marks, block.starts[lines])
        step, valid = self._steps(block, marks)
        medians, averages, matching = self._values(block, marks, block.ends[lines])
        kept &= valid & matching
        run = replace(
            self.example, epoch=epoch, step=step, line=lines + block.line, medians=medians, averages=averages
        )
        return lines[kept], run if kept.all() else run.part(kept)

    def _have_no_head_before(self, block: Block, marks: Positions) -> Flags:
        """Which lines have no other head in their prefix: the expression would have taken that one."""
        places = marks[:, : self.before]
        is_estimate = block.array[places - 1] == ord("a")
        for distance, letter in ((2, "t"), (3, "e")):
            is_estimate &= block.array[places - distance] == ord(letter)
        fine: Flags = ~is_estimate.any(axis=1)
        return fine

    def _epochs(self, block: Block, marks: Positions) -> tuple[Positions, Flags]:
        if self.epoch is None:
            return np.full(len(marks), NO_EPOCH, np.int64), np.ones(len(marks), np.bool_)
        first, behind, last, before = self.epoch
        numbers, valid = whole_numbers(block, marks[:, [first]] + behind, marks[:, [last]] - before)
        return numbers[:, 0].astype(np.int64), valid & ~np.signbit(numbers[:, 0])  # -0 is none, too

    def _estimates(self, block: Block, marks: Positions, line_starts: Positions) -> Flags:
        """Which lines estimate the time left as hours, minutes and seconds, or with days before them."""
        first, mark = self.fields[0], self.step[0]
        starts = marks[:, mark] + 2
        ends = marks[:, first.colon] + first.behind - len(first.text)
        _, hours = whole_numbers(block, starts[:, None], ends[:, None] - 6)
        valid: Flags = hours & (block.array[starts] != ord("-"))
        valid &= differ_in_digits(block, ends - 6, b":00:00")
        for index in np.flatnonzero(~valid).tolist():
            valid[index] = _estimate.fullmatch(block.data, starts[index], ends[index]) is not None
        valid &= ends - line_starts <= LONGEST_HEAD - 2  # beyond it, the expression does not look
        return valid

    def _steps(self, block: Block, marks: Positions) -> tuple[Positions, Flags]:
        mark, before, width = self.step
        return padded_numbers(block, marks[:, mark] - (before + width), width)

    def _values(self, block: Block, marks: Positions, line_ends: Positions) -> tuple[Rows, Rows, Flags]:
        """Medians and averages of lines with the layout's texts, and which of the lines hold nothing else."""
        columns, count = self.columns, len(marks)
        first = np.take(marks, columns.colons, axis=1) + columns.behind
        ends = first.copy()
        next_text = np.empty_like(first)  # where the text behind each number begins
        next_text[:, :-1] = first[:, 1:] - columns.lengths[1:]
        next_text[:, -1] = line_ends - len(self.closing)

        dots = np.take(marks, columns.dots, axis=1)
        number_ends = dots + (1 + columns.decimals)
        ends[:, columns.dotted] = number_ends[:, : len(columns.dotted)]
        opening = np.take(ends, columns.averaged, axis=1)
        starts = np.concatenate((np.take(first, columns.dotted, axis=1), opening + 2), axis=1)
        numbers, valid = fixed_points(block, starts, dots, columns.decimals)
        ends[:, columns.averaged] = number_ends[:, len(columns.dotted) :]
        valid &= (block.array[opening] == ord(" ")).all(axis=1)
        valid &= (block.array[opening + 1] == ord("(")).all(axis=1)
        if self.closing:
            valid &= block.array[next_text[:, -1]] == ord(self.closing)

        whole, next_whole = np.take(first, columns.whole, axis=1), np.take(next_text, columns.whole, axis=1)
        wholes, right = whole_numbers(block, whole, next_whole)
        ends[:, columns.whole] = next_whole
        valid &= right & (ends == next_text).all(axis=1)

        medians = np.repeat(self.example.medians, count, axis=0)
        averages = np.repeat(self.example.averages, count, axis=0)
        medians[:, columns.dotted] = numbers[:, : len(columns.dotted)]
        medians[:, columns.whole] = wholes
        averages[:, columns.averaged] = numbers[:, len(columns.dotted) :]
        return medians, averages, valid


class _Columns:
    """The fields of a layout as arrays: which are numbers of which kind, and the marks that they hang on."""

    def __init__(self, fields: tuple[Field, ...]) -> None:
        self.colons = _indices(field.colon for field in fields)
        self.behind = _indices(field.behind for field in fields)
        self.lengths = _indices(len(field.text) for field in fields)
        self.dotted = _indices(n for n, field in enumerate(fields) if field.dot is not None)
        self.averaged = _indices(n for n, field in enumerate(fields) if field.average_dot is not None)
        self.whole = _indices(n for n, field in enumerate(fields) if field.whole)
        medians = [(field.dot, field.decimals) for field in fields if field.dot is not None]
        averages = [(f.average_dot, f.average_decimals) for f in fields if f.average_dot is not None]
        self.dots = _indices(dot for dot, _ in medians + averages)
        self.decimals = _indices(decimals for _, decimals in medians + averages)


def _indices(numbers: Iterable[int]) -> Positions:
    return np.array(list(numbers), np.int64)


def layout_of(text: bytes, line: MetricLine) -> Layout | None:
    """The layout that a line is an example of; None where its numbers are not plain decimals."""
    head = head_of(text)
    places = [found.start() for found in _marks.finditer(text)]
    marks = {at: number for number, at in enumerate(places)}
    fields = _fields(text, head, marks) if head is not None else None
    if head is None or fields is None:
        return None
    colon, eta = text.index(b":", head.start()), text.index(b"eta:", head.end("steps")) + 3
    step = text.index(b"[", head.start("gap")) + 1
    before = text[head.start() - 2 : head.start()] if head.start() >= 2 else b"\n" + text[: head.start()]
    if before[-1:] == b" " and before[:1].isalpha():
        return None  # behind a word: whether it names an evaluation, only the expression can tell
    epoch_end = head.end("epoch") if line.epoch is not None else step
    opening_end = head.start("epoch") if line.epoch is not None else step
    opening = before + text[head.start() : opening_end]
    return Layout(
        example=run_of(line, 0),
        marks=len(places),
        before=marks[colon],
        head=(
            Anchored(mark=marks[colon], behind=opening_end - colon, text=opening),
            Anchored(mark=marks[eta], behind=step - eta, text=text[epoch_end:step] or opening),
            Anchored(mark=marks[eta], behind=2, text=text[head.end("step") : eta + 2]),
        ),
        epoch=(marks[colon], opening_end - colon, marks[eta], eta - epoch_end)
        if line.epoch is not None
        else None,
        step=(marks[eta], eta - head.end("step"), head.end("step") - step),
        fields=tuple(fields),
        closing=b")" if fields[-1].average_dot is not None else b"",
    )


def _fields(text: bytes, head: re.Match[bytes], marks: dict[int, int]) -> list[Field] | None:
    """The fields of a line; the `)` of an average belongs to the text that follows."""
    delimiter, closing, at = head["delimiter"], b"", head.end()
    fields: list[Field] = []
    for part in text[head.end() + len(delimiter) :].split(delimiter):
        at += len(delimiter)
        name = part.find(b": ")
        value = _value.fullmatch(part, name + 2)
        if name < 1 or value is None or _marks.search(part, 0, name):
            return None
        fields.append(_field(closing + delimiter, part, value, at, marks))
        closing = b")" if fields[-1].average_dot is not None else b""
        at += len(part)
    return fields


def _field(before: bytes, part: bytes, value: re.Match[bytes], at: int, marks: dict[int, int]) -> Field:
    dots = [marks[at + value.start(group) - 1] for group in (1, 2) if value[group] is not None]
    word = not dots and not value[0].lstrip(b"-").isdigit()
    text = part if word else part[: value.start()]
    return Field(
        text=before + text,
        colon=marks[at + value.start() - 2],
        behind=2 + len(text) - value.start(),
        dot=dots[0] if dots else None,
        decimals=len(value[1] or b""),
        average_dot=dots[1] if len(dots) > 1 else None,
        average_decimals=len(value[2] or b""),
        whole=not dots and not word,
    )
