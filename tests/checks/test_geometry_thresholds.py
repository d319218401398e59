"""Every number that decides a verdict of geometry, just inside and just outside of it."""

import importlib
import math
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from opv2v_doctor.facts.disk.scenarios import Agent, Frame
from opv2v_doctor.facts.geometry.contents import Contents, is_exchanged
from opv2v_doctor.facts.geometry.depth_files import DepthFile, depth_file_at
from opv2v_doctor.facts.geometry.images import ImageMatch, explains, lies_right
from opv2v_doctor.facts.geometry.lidar import LidarErrors, summary
from opv2v_doctor.facts.geometry.meanings import meaning_of
from opv2v_doctor.facts.geometry.rays import Intrinsics, Rays
from opv2v_doctor.facts.geometry.relative_poses import PoseErrors, convention_of
from opv2v_doctor.facts.geometry.shown_colours import ShownColours, are_shown
from opv2v_doctor.facts.interpreter.views import Identity, View
from opv2v_doctor.facts.samples.moments import PanoramaView
from opv2v_doctor.geometry.agreement import PointErrors, Tally
from opv2v_doctor.geometry.cameras import Cylinder
from opv2v_doctor.geometry.colours import ChannelOrder, Colours, Normalisation
from opv2v_doctor.geometry.conventions import Convention
from opv2v_doctor.geometry.explanations import Explanation, explanation
from opv2v_doctor.geometry.likeness import Match
from opv2v_doctor.geometry.placings import Placing
from opv2v_doctor.geometry.probing import Landing
from opv2v_doctor.geometry.readings import Reading
from opv2v_doctor.result import Status

from ..edges import assert_edge

POSES: Any = importlib.import_module("opv2v_doctor.checks.geometry")  # an import hook serves it: no types
AGREEMENT: Any = importlib.import_module("opv2v_doctor.checks.geometry_depth")
COLOURS: Any = importlib.import_module("opv2v_doctor.checks.geometry_images")
CONTENTS: Any = importlib.import_module("opv2v_doctor.checks.geometry_images")
DEPTH: Any = importlib.import_module("opv2v_doctor.checks.geometry_depth")
IMAGES: Any = importlib.import_module("opv2v_doctor.checks.geometry_images")

FRAME = Frame(
    agent=Agent(
        scenario="s",
        name="650",
        folder=Path("s/650"),
        depth_folder=Path("d/s/650"),
        files=frozenset(),
        depth_files=frozenset(),
    ),
    name="000069",
)
VIEW = PanoramaView(
    view=View(
        identity=Identity(label="s/650", instance="000069/650", agent_id="650"),
        camera_model="cyl",
        shape=(3, 64, 256),
        digest="",
    ),
    frame=FRAME,
    origin=FRAME,
    cylinder=Cylinder(256, 64),
    prefix="",
)
NONE = Normalisation((0.0,) * 3, (1.0,) * 3)


def status(fault: object) -> Status:
    """What a judging function says, in one word."""
    return Status.FAILED if fault else Status.PASSED


def poses(**values: Any) -> PoseErrors:
    usual = {"metres": 0.0, "degrees": 0.0, "tilt": 3.0, "moved": (10.0,), "turned": (20.0,), "views": 2}
    rest = {"mean_metres": 0.0, "worst": FRAME, "convention": None, "ambiguous": False, "after": 0.0}
    return PoseErrors(**{**usual, **rest, **values})


def rays(**values: Any) -> Rays:
    usual = {"length": 0.0, "pixels": 0.0, "median": 0.0, "explanation": None, "after": 0.0, "points": None}
    return Rays(**{"views": 2, **usual, **values})


def test_poses() -> None:
    assert_edge(0.05, lambda metres: status(POSES.has_wrong_convention(poses(metres=metres, degrees=1.0))))
    assert_edge(0.05, lambda metres: status(POSES.has_wrong_relation(poses(metres=metres))))
    assert_edge(0.05, lambda angle: status(POSES.has_wrong_convention(poses(metres=1.0, degrees=angle))))
    assert_edge(0.05, lambda tilt: status(POSES.is_flat(poses(tilt=tilt))), good="above")
    assert_edge(0.05, lambda metres: status(not POSES.number_moved((0.0, metres))), good="above")


def test_wrong_rotations_and_wrong_directions_are_two_faults() -> None:
    away, inverse, turned = {"metres": 9.0, "degrees": 9.0}, "first to agent", (1, 1, 1)
    for convention, rotation, relation in (
        (None, True, False),
        (Convention(signs=turned), True, False),
        (Convention(relation=inverse), False, True),
        (Convention(relation=inverse, axes="mirrored"), True, True),
    ):
        found = poses(**away, convention=convention)
        assert (POSES.has_wrong_convention(found), POSES.has_wrong_relation(found)) == (rotation, relation)
    other = poses(**away, other="the frame before")
    assert (POSES.has_wrong_convention(other), POSES.has_wrong_relation(other)) == (False, True)


def test_a_convention_yields_the_poses_to_rounding() -> None:
    own, first = np.array([[10.0, 5, 0, 1, 30, 2]]), np.array([[0.0, 0, 0, 0, 100, 1]])
    inverse = Convention(relation="first to agent").relative_pose(own, first)

    def found(metres: float) -> Status:
        moved = inverse.copy()
        moved[:, 0, 3] += metres
        return status(convention_of(moved, own, first)[0] is None)

    assert_edge(0.02, found)


def test_rays() -> None:
    assert_edge(0.25, lambda pixels: status(list(POSES.ray_faults(rays(pixels=pixels)))))
    assert_edge(1e-3, lambda length: status(list(POSES.ray_faults(rays(length=length)))))
    assert_edge(0.01, lambda points: status(list(POSES.ray_faults(rays(points=points)))))
    assert [str(fault) for fault in POSES.ray_faults(rays(length=math.inf))] == ["some rays are not finite"]


def lidar(median: float = 0.0, ninetieth: float = 0.0) -> LidarErrors:
    return LidarErrors(points=99, median=median, ninetieth=ninetieth, sectors=(), distances=(), views=1)


def test_lidar() -> None:
    assert_edge(0.03, lambda median: status(AGREEMENT.is_beside_the_lidar(lidar(median), 0.0)))
    assert_edge(0.05, lambda median: status(AGREEMENT.is_beside_the_lidar(lidar(median), 0.02)))
    assert_edge(0.28, lambda tail: status(AGREEMENT.is_beside_the_lidar(lidar(ninetieth=tail), 0.0)))
    assert_edge(0.30, lambda tail: status(AGREEMENT.is_beside_the_lidar(lidar(ninetieth=tail), 0.02)))


def test_what_the_depth_files_hold() -> None:
    def told(error: float) -> Status:
        return status(not meaning_of(np.full(30, error), np.full(30, 0.2)).known)

    assert_edge(0.1, told)
    assert not meaning_of(np.zeros(29), np.full(29, 0.2)).known
    few = [PointErrors(np.zeros(count), np.zeros(count), np.full(count, 9.0)) for count in (29, 30)]
    assert [summary([scan]) is None for scan in few] == [True, False]


def tally(share: float, points: int = 10_000) -> Tally:
    return Tally(round(share * points), 0, points - round(share * points))


def test_agents() -> None:
    assert_edge(200, lambda points: status(AGREEMENT.are_few(tally(1.0, round(points)))), good="above")
    assert_edge(0.95, lambda share: status(AGREEMENT.contradict(tally(share), 1.0)), good="above")
    assert_edge(0.95, lambda share: status(AGREEMENT.contradict(tally(share), 1.1)), good="above")
    assert_edge(0.75, lambda share: status(AGREEMENT.contradict(tally(share), 0.8)), good="above")


def test_depth() -> None:
    right = Reading()
    assert_edge(0.075, lambda left: status(DEPTH.is_unexplained(Explanation(right, right, 0.1, left))))
    assert_edge(0.01, lambda off: status(DEPTH.are_off(Intrinsics(views=2, off=off))))


def test_an_explanation_leaves_half_of_the_error_and_takes_some_away() -> None:
    right, wrong = Reading(), Reading(mirrored=True)

    def found(before: float, after: float) -> Status:
        known = explanation(
            right,
            lambda: [wrong],
            lambda one: before if one == right else after,
            lambda one: before,
            list,
        )
        return status(known.steps)

    assert_edge(0.04, lambda after: found(0.08, after), good="above")
    assert_edge(0.004, lambda before: found(before, 0.0))


def depth_file(**values: Any) -> DepthFile:
    usual = {"zero": 0.1, "negative": 0.0, "unknown": 0.0, "ceiling": 0.0, "largest": 100.0}
    return DepthFile(path=Path("0_depth.npy"), **{**usual, **values})


def test_depth_files() -> None:
    assert_edge(0.01, lambda share: status(DEPTH.file_fault(depth_file(ceiling=share))))
    assert_edge(0.05, lambda share: status(DEPTH.file_fault(depth_file(disagreement=share, encoding="mm"))))
    assert_edge(1.0, lambda off: status(DEPTH.file_fault(depth_file(ceiling=1.0, largest=1000 + off))))
    assert_edge(1.0, lambda off: status(DEPTH.file_fault(depth_file(ceiling=1.0, largest=1000 - off))))
    assert status(DEPTH.file_fault(depth_file(negative=1e-6))) is Status.FAILED


def test_a_png_says_the_same_or_is_a_picture(tmp_path: Path) -> None:
    def compared(times: float) -> DepthFile:
        np.save(tmp_path / "0_depth.npy", np.full((8, 8), 20.0, np.float32))
        cv2.imwrite(str(tmp_path / "0_depth.png"), np.full((8, 8), round(20_000 * times), np.uint16))
        return depth_file_at(tmp_path / "0_depth.npy")

    assert_edge(0.02, lambda off: status(compared(1 + off).disagreement))
    assert_edge(0.5, lambda off: status(compared(math.exp(off)).encoding is None))


def image(**values: Any) -> ImageMatch:
    match = {"here": 0.8, "best": 0.8, "mirrored": False, "flipped": False, "columns": 0, "rows": 0}
    found = Match(**{**match, **{key: values.pop(key) for key in list(values) if key in match}})
    nothing = np.zeros((1, 1), np.bool_)
    return ImageMatch(view=VIEW, match=found, reference=nothing.astype(np.uint8), compared=nothing, **values)


def image_status(**values: Any) -> Status:
    return status(list(IMAGES.image_faults(image(**values))))


def test_images() -> None:
    assert_edge(0.1, lambda more: image_status(here=0.5, best=0.5 + more, columns=9))
    assert_edge(0.3, lambda here: image_status(here=here, best=here), good="above")
    assert_edge(0.1, lambda share: image_status(empty=share))
    assert_edge(6.0, lambda times: image_status(seam=times))


def test_what_explains_an_image_makes_it_more_alike() -> None:
    assert_edge(0.6, lambda here: status(not lies_right(image(here=here, best=here))), good="above")
    assert_edge(0.45, lambda likeness: status(explains(likeness, 0.3, 0.3)))
    assert_edge(0.52, lambda likeness: status(explains(likeness, 0.3, 0.5)), step=0.005)


def landing(here: float = 0.2, best: float = 0.9, points: int = 40, **placing: float) -> Landing:
    return Landing(points, here, best, Placing(**placing))


def shown(*landings: Landing, seams: bool = True, near: bool = True, resolution: float = 1.0) -> Contents:
    names = [f"camera{number}" for number in range(len(landings))]
    return Contents(
        view=VIEW,
        seen={},
        windows={},
        landings=dict(zip(names, landings, strict=True)),
        seams=(("camera0", "camera1", 45.0),) if seams else (),
        near=near,
        resolution=resolution,
    )


def test_where_content_is_found() -> None:
    assert_edge(12, lambda points: status(CONTENTS.is_sure(landing(points=int(points)))))
    assert_edge(0.7, lambda best: status(CONTENTS.is_sure(landing(here=0.0, best=best))))
    assert_edge(0.725, lambda best: status(CONTENTS.is_sure(landing(here=0.5, best=best))))
    assert_edge(0.5, lambda best: status(CONTENTS.placings(shown(landing(0.1, best, yaw=3.0)))))


def test_crops() -> None:
    assert_edge(1.5, lambda pixels: status(CONTENTS.crop_fault(landing(), pixels)))
    assert_edge(0.03, lambda share: status(CONTENTS.crop_fault(landing(zoom=math.exp(share)), 0.0)))
    lost = CONTENTS.crop_fault
    assert_edge(0.5, lambda best: status(lost(landing(best, best), 0.0)), good="above")


def test_what_is_too_large_or_too_high() -> None:
    right = landing(0.9, 0.9)

    def size(share: float, *others: Landing) -> Status:
        enlarged = landing(zoom=math.exp(share))
        return status(list(CONTENTS.wrong_sizes(shown(enlarged, *others))))

    assert_edge(0.03, lambda share: size(share))
    assert (size(0.1, right), size(0.1, right, right)) == (Status.FAILED, Status.PASSED)

    def pitch(resolution: float, degrees: float) -> Status:
        return status(list(CONTENTS.wrong_sizes(shown(landing(pitch=degrees), resolution=resolution))))

    assert_edge(0.5, partial(pitch, 1.0))
    assert_edge(2.0, partial(pitch, 5.0))
    assert_edge(0.5, lambda degrees: pitch(1.0, -degrees))


def test_seams() -> None:
    still = landing(0.9, 0.9)

    def step(resolution: float, degrees: float) -> Status:
        return status(list(CONTENTS.misplacements(shown(landing(yaw=degrees), still, resolution=resolution))))

    assert_edge(0.5, partial(step, 1.0))
    assert_edge(2.0, partial(step, 5.0))
    assert not list(CONTENTS.misplacements(shown(landing(yaw=3.0), still, near=False)))


def test_exchanged_cameras() -> None:
    assert_edge(0.5, lambda own: status(is_exchanged(own, 0.9)), good="above")
    assert_edge(0.6, lambda other: status(is_exchanged(0.3, other)))


def test_whole_images_that_lie_elsewhere() -> None:
    assert_edge(0.1, lambda more: status(CONTENTS.lies_elsewhere(image(here=0.5, best=0.5 + more).match)))


def test_colours() -> None:
    def fits(mean: float = 0.0, times: float = 1.0) -> Status:
        return status(not COLOURS.fits(Normalisation((mean, 0.0, 0.0), (1.0, times, 1.0)), NONE))

    assert_edge(0.15, lambda apart: fits(mean=apart))
    assert_edge(0.15, lambda apart: fits(mean=-apart))
    assert_edge(1.5, lambda times: fits(times=times))
    assert_edge(1.5, lambda times: fits(times=1 / times))
    assert_edge(
        0.5,
        lambda alike: status(not are_shown(Colours(ChannelOrder(alike, NONE), ChannelOrder(0.0, NONE)))),
        good="above",
    )


@pytest.mark.parametrize("straight", [0.5, 0.9])
def test_red_and_blue_are_exchanged_where_that_explains_twice_as_much(straight: float) -> None:
    left = 1 - straight

    def exchanged(times: float) -> Status:
        return status(
            Colours(ChannelOrder(straight, NONE), ChannelOrder(1 - left / times, NONE)).is_exchanged(None)
        )

    assert_edge(2.0, exchanged)


@pytest.mark.parametrize(("threshold", "what"), [(0.03, "mean"), (0.15, "deviation")])
def test_views_of_an_evaluation_are_normalised_alike(threshold: float, what: str) -> None:
    def shown(mean: float, deviation: float) -> ShownColours:
        seen = Normalisation((mean,) * 3, (deviation,) * 3)
        order = ChannelOrder(alike=0.9, seen=seen)
        return ShownColours(view=VIEW, found=Colours(straight=order, turned=order))

    def found(value: float) -> Status:
        other = shown(0.4 + value, 0.2) if what == "mean" else shown(0.4, 0.2 * math.exp(value))
        return status(COLOURS.varied([shown(0.4, 0.2), other]))

    assert_edge(threshold, found)
