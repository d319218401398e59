"""Datasets: whether two of their expressions read something in common."""

import pytest

from opv2v_doctor.facts.launch.datasets import parts_of, read_the_same

TRAINED = "40 @ D(split='train', ROOT='/a', depth_root='/d', num_views=4)"


@pytest.mark.parametrize(
    ("evaluated", "same"),
    [
        ("D(split='train', ROOT='/a/', depth_root='/d', num_views=2)", True),
        ("D(split='validate', ROOT='/a', depth_root='/d')", False),
        ("D(split='train', ROOT='/b', depth_root='/d')", False),
        ("E(split='train', ROOT='/b', metadata_dir='/d')", False),
        ("E(split='train', ROOT='/a')", True),
        ("D(split='train')", True),
        ("E(split='train')", False),
    ],
)
def test_what_is_read_is_a_split_below_a_root(evaluated: str, same: bool) -> None:
    assert read_the_same(parts_of(evaluated)[0], parts_of(TRAINED)[0]) is same


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("D(split='all', scenes=['a', 'b'])", "D(split='all', scenes=['c'])", False),
        ("D(split='all', scenes=['a', 'b'])", "D(split='all', scenes=['b', 'c'])", True),
        ("D(split='all', scenes=['a', 'b'])", "D(split='all')", True),
        ("4 @ D('/a', 1)", "8 @ D('/b', 1)", False),
        ("4 @ D(file='/a')", "8 @ D(file='/a')", True),
        ("4 @ D(file='/a')", "8 @ D(file='/b')", False),
    ],
)
def test_scenarios_tell_parts_of_a_split_apart(one: str, other: str, same: bool) -> None:
    assert read_the_same(parts_of(one)[0], parts_of(other)[0]) is same
