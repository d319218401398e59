"""Digits: many decimal numbers converted at once, eight digits in one machine word.

The results are those of `float()`: the digits make an integer below 2**53, divided once by a power of ten.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from opv2v_doctor.facts.past.logs.blocks import Block, Positions

LONGEST = 8  # digits before the dot

Flags = NDArray[np.bool_]
Numbers = NDArray[np.float64]
_Words = NDArray[np.uint64]

_ZEROS = np.uint64(0x3030303030303030)
_OVER_NINE = np.uint64(0x7676767676767676)  # what carries a digit above 9 into the highest bit of its byte
_MINUS = np.uint64(ord("-") ^ ord("0"))
_HIGH = np.uint64(0x8080808080808080)


def fixed_points(
    block: Block, starts: Positions, dots: Positions, decimals: NDArray[np.int64]
) -> tuple[Numbers, Flags]:
    """The numbers from each start over its dot to so many decimals (a count a column); which rows hold."""
    words = gathered(block, dots - LONGEST, 16)
    behind = words[..., 1]
    dotted = np.bitwise_or.reduce(behind ^ np.uint64(ord(".")), axis=1) & np.uint64(0xFF) == np.uint64(0)
    fraction = behind ^ (_ZEROS << np.uint64(8))
    fraction >>= np.uint64(8)
    fraction <<= (8 * (LONGEST - decimals)).astype(np.uint64)
    numbers, valid = _decimal(words[..., 0] ^ _ZEROS, dots - starts, fraction, decimals)
    return numbers, valid & dotted


def whole_numbers(block: Block, starts: Positions, ends: Positions) -> tuple[Numbers, Flags]:
    """The whole numbers from each start to its end, and which rows hold nothing else."""
    words = gathered(block, ends - LONGEST, 8)[..., 0] ^ _ZEROS
    return _decimal(words, ends - starts, np.zeros_like(words), np.zeros(words.shape[1], np.int64))


def _decimal(
    whole: _Words, lengths: Positions, fraction: _Words, decimals: NDArray[np.int64]
) -> tuple[Numbers, Flags]:
    """The numbers made of the last digits of `whole` and those of their fractions; which rows hold."""
    fitting: Flags = np.ones(len(whole), np.bool_)
    if lengths.size and (lengths.min() < 1 or lengths.max() > LONGEST):
        fits = (lengths >= 1) & (lengths <= LONGEST)
        fitting &= fits.all(axis=1)
        lengths = np.where(fits, lengths, 1)
    shifts = (8 * (LONGEST - lengths)).view(np.uint64)
    digits = whole >> shifts
    numbers, valid = _unsigned(digits << shifts, lengths, fraction, decimals)
    if not valid.all():  # perhaps for a sign
        negative = (digits & np.uint64(0xFF) == _MINUS) & (lengths > 1)
        digits[negative] ^= _MINUS
        numbers, valid = _unsigned(digits << shifts, lengths, fraction, decimals)
        np.negative(numbers, out=numbers, where=negative)
    return numbers, valid & fitting


def _unsigned(
    digits: _Words, lengths: Positions, fraction: _Words, decimals: NDArray[np.int64]
) -> tuple[Numbers, Flags]:
    if not lengths.size or (lengths + decimals).max() <= LONGEST:  # whole and fraction fit into one word
        digits >>= (8 * decimals).astype(np.uint64)
        digits |= fraction
        valid = _are_digits(digits)
        numbers = _joined(digits).astype(np.float64)
    else:
        valid = _are_digits(digits) & _are_digits(fraction)
        whole = _joined(digits) * (10**decimals).astype(np.uint64)
        numbers = (whole + _joined(fraction.copy())).astype(np.float64)
    numbers /= 10**decimals
    return numbers, valid


def differ_in_digits(block: Block, places: Positions, example: bytes) -> Flags:
    """Where the bytes of the example stand, but for its digits, in whose place other digits may stand."""
    digits = bytes(0xFF if ord("0") <= byte <= ord("9") else 0 for byte in example)
    size = (len(example) + 7) // 8 * 8
    is_digit = np.frombuffer(digits.ljust(size, b"\0"), "<u8")
    is_text = np.frombuffer(bytes(255 - byte for byte in digits).ljust(size, b"\0"), "<u8")
    words = gathered(block, places, size)
    valid: Flags = ((words ^ np.frombuffer(example.ljust(size, b"\0"), "<u8")) & is_text == 0).all(axis=1)
    return valid & _are_digits((words ^ _ZEROS) & is_digit)


def padded_numbers(block: Block, starts: Positions, width: int) -> tuple[Positions, Flags]:
    """The whole numbers of this width, spaces before the first digit included, and which of them hold."""
    text = block.array[starts[:, None] + np.arange(width)].astype(np.int64)
    spaces = np.logical_and.accumulate(text == ord(" "), axis=1)
    digits = np.where(spaces, 0, text - ord("0"))
    valid = ((digits >= 0) & (digits <= 9)).all(axis=1) & ~spaces[:, -1]
    return (digits * 10 ** np.arange(width)[::-1]).sum(axis=1), valid


def _are_digits(digits: _Words) -> Flags:
    """Which rows have bytes of at most 9 only."""
    over = digits + _OVER_NINE
    over |= digits
    right: Flags = np.bitwise_or.reduce(over, axis=1) & _HIGH == np.uint64(0)
    return right


def _joined(digits: _Words) -> _Words:
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


def gathered(block: Block, places: Positions, size: int) -> _Words:
    """The words that start at each place, as `size // 8` numbers each."""
    overlapping: NDArray[np.void] = np.ndarray(
        (len(block.data) - size + 1,), f"V{size}", buffer=block.data, strides=(1,)
    )
    return overlapping[places.ravel()].view("<u8").reshape(*places.shape, size // 8)
