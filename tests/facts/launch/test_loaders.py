"""The arithmetic of the loaders: from a dataset expression to steps per epoch, and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opv2v_doctor import Blocked
from opv2v_doctor.facts.launch.loaders import differ_in_length_only, length_of, wanted_size

TWO_TO_FOUR = "D(split='train', num_views=4, variable_num_views=True, min_num_views=2, max_num_views=4)"


@pytest.mark.parametrize(("gpus", "steps"), [(4, 5000), (5, 4000), (10, 2000), (1, 20_000)])
def test_steps_follow_the_number_of_gpus(gpus: int, steps: int) -> None:
    length = length_of(f"+ 40_000 @ {TWO_TO_FOUR}", 4, gpus)
    assert length is not None
    assert (length.samples, length.batch, length.steps) == (40_000, 2, steps)


@pytest.mark.parametrize(
    ("expression", "samples"),
    [
        ("30 @ D(num_views=2) + 12 @ E(num_views=2)", 42),
        ("3 * (10 @ D(num_views=2))", 30),
        ("10 @ (3 * D(num_views=2))", 10),
        ("D(num_views=2)", None),
        ("10 @ D(num_views=2) + E(num_views=2)", None),
        ("3 * D(num_views=2)", None),
    ],
)
def test_an_expression_has_a_length_unless_a_part_has_that_of_its_data(
    expression: str, samples: int | None
) -> None:
    length = length_of(expression, 4, 1)
    assert (length.samples if length else None) == samples


@pytest.mark.parametrize(
    ("then", "now", "resized"),
    [
        ("+ 40 @ D(a=1)", "+ 1_000 @ D(a=1)", True),
        ("+ 40 @ D(a=1)", "+ 40 @ D(a=2)", False),
        ("40 @ D() + 20 @ E()", "80 @ D() + 40 @ E()", True),
        ("40 @ D() + 20 @ E()", "20 @ D() + 40 @ E()", False),
        ("N @ D()", "40 @ D()", False),
    ],
)
def test_a_dataset_is_only_resized_where_its_mixture_stays(then: str, now: str, resized: bool) -> None:
    assert differ_in_length_only(then, now) is resized


def test_more_views_than_images_still_make_a_batch_of_one() -> None:
    length = length_of("10 @ D(num_views=8)", 4, 1)
    assert length is not None and length.batch == 1


def test_a_sum_that_is_not_one_of_datasets_is_blocked() -> None:
    with pytest.raises(Blocked):
        length_of("10 @", 4, 1)


@given(st.integers(1, 10_000), st.integers(1, 64), st.integers(1, 48))
def test_the_wanted_size_gives_the_wanted_steps(steps: int, gpus: int, images: int) -> None:
    size = wanted_size(steps, gpus, max(1, images // 2))
    length = length_of(f"+ {size} @ {TWO_TO_FOUR}", images, gpus)
    assert length is not None and length.steps == steps
