"""GEO025: images that contradict the others on what both show; each threshold on both its sides."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from opv2v_doctor.facts.disk.scenarios import Agent, Frame
from opv2v_doctor.facts.geometry import shared_places
from opv2v_doctor.facts.geometry.shared_places import (
    BRIGHTER,
    EXCHANGED,
    GREY,
    INVERTED,
    UNLIKE,
    Likeness,
    odd_ones,
)
from opv2v_doctor.geometry.cameras import Pinhole
from opv2v_doctor.result import Status

from ..edges import assert_edge

NUMBERS = {"brightness": 1.0, "colour": 1.0, "coloured": 1.0, "gain": 0.0, "rough": 0.0}
ALL = np.stack(np.meshgrid(np.arange(60), np.arange(60), indexing="ij"), -1).reshape(-1, 2)


def shot(agent: str, camera: str = "camera0", frame: str = "000069", picture: Any = None) -> Any:
    """An image as the fact has it, of 60 x 60 pixels."""
    none: frozenset[str] = frozenset()
    whose = Frame(
        agent=Agent(
            scenario="s", name=agent, folder=Path(agent), depth_folder=Path("d"), files=none, depth_files=none
        ),
        name=frame,
    )
    random = np.random.default_rng(0).uniform(20, 230, (60, 60, 3))
    picture = np.asarray(random if picture is None else picture, np.float32)
    camera_ = Pinhole(np.array([[60.0, 0, 30], [0, 60, 30], [0, 0, 1]]), 60, 60)
    return shared_places.Shot(whose, camera, picture, np.full((60, 60), 9.0), camera_, np.eye(4))


def said(bad: int, **numbers: float) -> Status:
    """Whether one of four agents is odd, whose likeness to the others has these numbers."""
    shots = [shot(agent) for agent in "abcd"]
    pairs = [
        Likeness(one, other, ALL, ALL, **{**NUMBERS, **(numbers if bad in (one, other) else {})})
        for one in range(4)
        for other in range(4)
        if one != other
    ]
    odd = [*odd_ones(shots, pairs)]
    assert all(each.frames[0].agent.name == "abcd"[bad] for each in odd)
    return Status.FAILED if odd else Status.PASSED


@pytest.mark.parametrize(
    ("name", "threshold", "good"),
    [
        ("brightness", INVERTED, "above"),
        ("gain", BRIGHTER, "below"),
        ("rough", UNLIKE, "below"),
        ("colour", EXCHANGED, "above"),
        ("coloured", GREY, "above"),
    ],
)
def test_each_number_that_makes_images_unlike_the_others(name: str, threshold: float, good: str) -> None:
    def at(value: float) -> Status:
        return said(2, **{name: value})

    if threshold < 0:  # the edge of a value below 0: its amount
        assert_edge(-threshold, lambda value: at(-value))
    else:
        assert_edge(threshold, at, good=good)


CHANGES: dict[str, Callable[[Any], Any]] = {
    "inverted": lambda image: 255 - image,
    "exchanged": lambda image: image[..., ::-1],
    "grey": lambda image: image.mean(-1, keepdims=True).repeat(3, -1),
    "0.2": lambda image: image * 0.15,
    "mirrored": lambda image: image[:, ::-1],
    "another picture": lambda image: np.random.default_rng(1).uniform(20, 230, image.shape),
}


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("alike", [("camera0", "000069"), ("camera0",), ()])
def test_what_was_done_to_images_is_named_with_their_files(name: str, alike: tuple[str, ...]) -> None:
    """Of one image, of one camera in all frames, and of one agent."""
    shots = []
    for agent in "abc":
        for camera in ("camera0", "camera1"):
            for frame in ("000069", "000071"):
                each = shot(agent, camera, frame)
                changed = agent == "b" and all(word in (camera, frame) for word in alike)
                shots.append(each._replace(picture=CHANGES[name](each.picture)) if changed else each)
    pairs = [*shared_places._likenesses(shots)]
    (odd,) = odd_ones(shots, pairs)
    assert len(odd.paths) == {2: 1, 1: 2, 0: 4}[len(alike)]
    assert name in str(odd.why)


def test_what_depth_files_contradict_is_not_laid_at_the_images() -> None:
    assert said(1, **dict.fromkeys(NUMBERS, float("nan"))) is Status.PASSED
