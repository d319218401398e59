"""Digits: many decimal numbers converted at once, eight digits in one machine word.

The results are those of `float()`: the digits make an integer below 2**53, divided once by a power of ten.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from opv2v_doctor.facts.blocks import Block, Positions

LONGEST = 8  # digits before the dot
LONGEST_FRACTION = 7

Flags = NDArray[np.bool_]
Numbers = NDArray[np.float64]
_Words = NDArray[np.uint64]

_ZEROS = np.uint64(0x3030303030303030)
_NINES = np.uint64(0x7676767676767676)  # what carries a digit above 9 into the highest bit of its byte
_HIGH = np.uint64(0x8080808080808080)


def fixed_points(
    block: Block, starts: Positions, dots: Positions, decimals: NDArray[np.int64]
) -> tuple[Numbers, Flags]:
    """The numbers from each start over its dot to so many decimals (one count a column), and which rows hold."""
    words = gathered(block, dots - 8, 16)
    before, dot = words[..., 0], words[..., 1] & np.uint64(0xFF) == np.uint64(ord("."))
    whole, negative, valid = _integers(before, dots - starts)
    shifts = (64 - 8 * decimals).astype(np.uint64)
    fraction = (words[..., 1] >> np.uint64(8) << shifts) - (_ZEROS >> shifts << shifts)
    valid &= dot & _are_digits(fraction)
    scale = 10**decimals
    numbers = (whole * scale.astype(np.uint64) + _joined(fraction)).astype(np.float64)
    numbers /= scale
    np.negative(numbers, out=numbers, where=negative)
    return numbers, valid.all(axis=1)


def whole_numbers(block: Block, starts: Positions, ends: Positions) -> tuple[Numbers, Flags]:
    """The whole numbers from each start to its end, and which rows hold nothing else."""
    words = gathered(block, ends - 8, 8)[..., 0]
    whole, negative, valid = _integers(words, ends - starts)
    numbers = whole.astype(np.float64)
    np.negative(numbers, out=numbers, where=negative)
    return numbers, valid.all(axis=1)


def padded_numbers(block: Block, starts: Positions, width: int) -> tuple[Positions, Flags]:
    """The whole numbers of this width, spaces before the first digit included, and which of them hold."""
    text = block.bytes[starts[:, None] + np.arange(width)].astype(np.int64)
    spaces = np.logical_and.accumulate(text == ord(" "), axis=1)
    digits = np.where(spaces, 0, text - ord("0"))
    valid = ((digits >= 0) & (digits <= 9)).all(axis=1) & ~spaces[:, -1]
    return (digits * 10 ** np.arange(width)[::-1]).sum(axis=1), valid


def _integers(words: _Words, lengths: Positions) -> tuple[_Words, Flags, Flags]:
    """The integers in the last bytes of words: their magnitudes, which are negative, and which are integers."""
    valid = (lengths >= 1) & (lengths <= LONGEST)
    shifts = (8 * (LONGEST - np.clip(lengths, 1, LONGEST))).astype(np.uint64)
    negative = words >> shifts & np.uint64(0xFF) == np.uint64(ord("-"))
    if negative.any():
        valid &= ~negative | (lengths >= 2)
        shifts = np.where(negative & valid, shifts + np.uint64(8), shifts)
    digits = (words >> shifts << shifts) - (_ZEROS >> shifts << shifts)
    valid &= _are_digits(digits)
    return _joined(digits), negative, valid


def _are_digits(digits: _Words) -> Flags:
    """Whether each byte is at most 9."""
    return ((digits + _NINES) | digits) & _HIGH == np.uint64(0)


def _joined(digits: _Words) -> _Words:
    """Eight digits, the first in the lowest byte, as one number."""
    joined = digits * np.uint64(10) + (digits >> np.uint64(8)) & np.uint64(0x00FF00FF00FF00FF)
    joined = joined * np.uint64(100) + (joined >> np.uint64(16)) & np.uint64(0x0000FFFF0000FFFF)
    return joined * np.uint64(10000) + (joined >> np.uint64(32)) & np.uint64(0xFFFFFFFF)


def gathered(block: Block, places: Positions, size: int) -> _Words:
    """The words that start at each place, as `size // 8` numbers each."""
    overlapping: NDArray[np.void] = np.ndarray(
        (len(block.data) - size + 1,), f"V{size}", buffer=block.data, strides=(1,)
    )
    return overlapping[places.ravel()].view("<u8").reshape(*places.shape, size // 8)
