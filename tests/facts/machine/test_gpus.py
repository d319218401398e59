"""Tests of which GPUs CUDA_VISIBLE_DEVICES leaves."""

from __future__ import annotations

import pytest

from opv2v_doctor.facts.machine.gpus import GIB, Gpu, visible

PRESENT = [
    Gpu(index=n, uuid=f"GPU-{letter}1", name="A", total=GIB, free=GIB, holders=())
    for n, letter in enumerate("abb")
]


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        (None, [0, 1, 2]),
        ("", []),
        ("-1", []),
        ("2,0", [2, 0]),
        ("0, 1", [0, 1]),
        ("0,9,1", [0]),
        ("0,0,1", [0]),
        ("GPU-a,1", [0, 1]),
        ("GPU-b", []),
        ("none", []),
    ],
)
def test_the_mask_is_read_as_cuda_reads_it(mask: str | None, expected: list[int]) -> None:
    assert [gpu.index for gpu in visible(PRESENT, mask)] == expected
