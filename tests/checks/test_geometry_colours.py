"""Checks of colours: what was done to the images of evaluation."""

from collections.abc import Callable
from pathlib import Path

import pytest

from opv2v_doctor import Severity
from opv2v_doctor.result import Status
from opv2v_doctor.sandbox.faults.fault import replace_text
from opv2v_doctor.target import make_target
from opv2v_doctor.testing import run_check

Broken = Callable[..., Path]
DATASET, IMAGE = "mapanything/datasets/opv2v_cyl.py", "mapanything/utils/image.py"
NORMALISED = "return ((images - mean) / deviation).contiguous()"


def line_of(path: Path, words: str) -> int:
    return next(n for n, line in enumerate(path.read_text().splitlines(), 1) if words in line)


@pytest.mark.parametrize(
    ("fault", "words", "file", "place"),
    [
        ("red_and_blue_exchanged", "as OpenCV reads", DATASET, "cv2.imread"),
        ("normalised_twice", "normalised twice, as if by", IMAGE, "return (((images"),
    ],
)
def test_other_colours_are_named_with_what_was_done(
    fault: str, words: str, file: str, place: str, broken: Broken
) -> None:
    repo = broken(fault)
    found = run_check("GEO015", make_target(repo=repo, splits=("test",), num_samples=2))
    (finding,) = found.findings
    assert found.status is Status.FAILED
    assert words in finding.message
    assert (finding.path, finding.line) == (repo / file, line_of(repo / file, place))


@pytest.mark.parametrize(
    ("instead", "words"),
    [
        ("return images.contiguous()", "normalised not at all, as if by"),
        ("return (images * 255).contiguous()", "normalised not at all, and still 0 to 255, as if by"),
    ],
)
def test_images_that_nobody_normalised_are_named(instead: str, words: str, broken: Broken) -> None:
    repo = broken()
    replace_text(repo / IMAGE, NORMALISED, instead)
    found = run_check("GEO015", make_target(repo=repo, splits=("val",), num_samples=2))
    assert found.status is Status.FAILED
    assert words in found.findings[0].message


@pytest.mark.parametrize("fault", [None, "red_and_blue_exchanged"])
def test_what_no_table_names_is_judged_by_the_picture_alone_and_never_passes(
    fault: str | None, broken: Broken
) -> None:
    repo = broken(*[fault] if fault else [])
    base = repo / "mapanything/datasets/base/base_dataset.py"
    replace_text(base, '"data_norm_type": self.data_norm_type,', '"data_norm_type": "mine",')
    found = run_check("GEO015", make_target(repo=repo, splits=("val",), num_samples=2))
    assert found.status is (Status.FAILED if fault else Status.BLOCKED)
    assert "no table of the repository says" in str(found.reason)
    assert found.at is not None and found.at.path == base
    assert [finding.severity for finding in found.findings] == ([Severity.ERROR] if fault else [])


def test_images_that_lie_elsewhere_say_nothing_of_their_colours(broken: Broken) -> None:
    repo = broken("image_shifted", "normalised_twice")
    found = run_check("GEO015", make_target(repo=repo, splits=("test",), num_samples=1))
    assert found.status is Status.BLOCKED
    assert "lies where it belongs" in str(found.reason)


def test_training_images_may_be_augmented(healthy: Path) -> None:
    found = run_check("GEO015", make_target(repo=healthy, splits=("train",)))
    assert (found.status, "may be augmented" in str(found.reason)) == (Status.SKIPPED, True)
