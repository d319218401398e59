"""Coverage: how much of the images has depth, and how much of a panorama the rigs see."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from statistics import median
from typing import NamedTuple

from opv2v_doctor.audit.inventory import Inventory
from opv2v_doctor.audit.verdicts.verdict import agent_folder, verdict
from opv2v_doctor.check import Findings, Skip, error, examined, note, warning
from opv2v_doctor.foreign_files import from_json
from opv2v_doctor.threshold import Threshold

SPARSE = Threshold(0.05, "of the pixels", "below, depth says too little to train on")
TOLERANCE = Threshold(0.02, "of the panorama", "rigs that differ by more are different rigs")


@verdict("AUD012")
def depth_covers_the_images(inventory: Inventory) -> Findings:
    """Depth is positive, finite, and known for enough of every image.

    ## Why it matters
    Pixels without depth train nothing. Negative depth is no depth: it comes from a pose that was applied the
    wrong way, or from a wrap-around.

    ## How to fix
    Render the depth again where it is too sparse; write 0 where nothing was measured.
    """
    images = inventory.number("SELECT count(*) FROM files WHERE kind = 'image'")
    maps = inventory.number("SELECT count(*) FROM files WHERE kind = 'depth'")
    if not maps:
        raise Skip("there is no depth beside the images", hint="give its folder: --depth FOLDER")
    shares = sorted(share for (share,) in inventory.rows("SELECT known FROM files WHERE known IS NOT NULL"))
    if shares:
        yield note(
            "{maps} depth maps for {images} images; {median:.1%} of the pixels have a depth in the median "
            "map, {least:.1%} in the sparsest",
            maps=maps,
            images=images,
            median=median(shares),
            least=shares[0],
        )
    yield examined(len(shares), "depth map")
    yield from _sparse(inventory)
    yield from _negative(inventory)


def _sparse(inventory: Inventory) -> Findings:
    rows = inventory.rows(
        "SELECT split, scenario, agent, camera, count(*), min(known), min(path) FROM files "
        "WHERE kind = 'depth' AND known > 0 AND known < ? GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4",
        SPARSE,
    )
    for *_, camera, maps, least, path in rows:
        yield warning(
            "{maps:depth map|depth maps} of {camera} with a depth in less than {bound:.0%} of the pixels, "
            "down to {least:.2%}",
            at=inventory.path(path, "depth"),
            hint="render this depth again, or leave these frames out",
            maps=maps,
            camera=camera,
            bound=SPARSE,
            least=least,
        )


def _negative(inventory: Inventory) -> Findings:
    rows = inventory.rows(
        "SELECT split, scenario, agent, camera, count(*), min(lowest), min(path) FROM files "
        "WHERE kind = 'depth' AND lowest < 0 GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4"
    )
    for *_, camera, maps, lowest, path in rows:
        yield error(
            "{maps:depth map|depth maps} of {camera} with negative depth, down to {lowest:.3g} m",
            at=inventory.path(path, "depth"),
            hint="write this depth again, with 0 where nothing was measured",
            maps=maps,
            camera=camera,
            lowest=lowest,
        )


class _Rig(NamedTuple):
    """Frames of an agent that were taken with the same cameras."""

    split: str
    scenario: str
    agent: str
    frames: int
    share: float


@verdict("AUD013")
def rigs_cover_the_panorama(inventory: Inventory) -> Findings:
    """Every agent's cameras see as much of a panorama as the other agents' do.

    ## Why it matters
    What the rig sees bounds what the mask can cover: OPV2V's sees 0.857 of a panorama of 90 degrees height. A
    camera that is missing, or whose pose or intrinsics are wrong, leaves a hole in every sample.

    ## How to fix
    Compare `cords` and `intrinsic` of the agent's cameras with another agent's.
    """
    rigs = list(_rigs(inventory))
    yield examined(len(rigs), "rig")
    if not rigs:
        return
    usual = median(rig.share for rig in rigs)
    least, most = min(rig.share for rig in rigs), max(rig.share for rig in rigs)
    yield note(
        "the cameras see {median:.3f} of a panorama ({least:.3f} to {most:.3f} over all agents)",
        median=usual,
        least=least,
        most=most,
    )
    for rig in rigs:
        if abs(rig.share - usual) > TOLERANCE:
            yield warning(
                "the cameras see {share:.3f} of a panorama in {frames:frame|frames}, others {usual:.3f}",
                at=agent_folder(inventory, *rig[:3]),
                hint="compare these cameras' cords, intrinsic and images with another agent's",
                frames=rig.frames,
                share=rig.share,
                usual=usual,
            )


def _rigs(inventory: Inventory) -> Iterator[_Rig]:
    """What each agent's cameras see, by the frame files and the images that are there."""
    rows = inventory.rows(
        """
        SELECT split, scenario, agent, rig, sizes, count(*) FROM (
            SELECT split, scenario, agent, rig, (
                SELECT group_concat(i.camera || ' ' || i.width || ' ' || i.height) FROM files i
                WHERE i.split = f.split AND i.scenario = f.scenario AND i.agent = f.agent
                    AND i.frame = f.frame AND i.kind = 'image' AND i.problem IS NULL) AS sizes
            FROM files f WHERE kind = 'frame' AND rig IS NOT NULL)
        WHERE sizes IS NOT NULL GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3
        """
    )
    found: dict[tuple[str, str, str, float], int] = {}
    for split, scenario, agent, rig, sizes, frames in rows:
        place = (split, scenario, agent, round(_share(rig, sizes), 3))
        found[place] = found.get(place, 0) + frames
    for (split, scenario, agent, share), frames in found.items():
        yield _Rig(split, scenario, agent, frames, share)


@cache
def _share(rig: str, sizes: str) -> float:
    """The part of the panorama that cameras in numbers see through images of these sizes."""
    from opv2v_doctor.geometry.cameras import Cylinder
    from opv2v_doctor.geometry.lookup_tables import CameraNumbers
    from opv2v_doctor.geometry.rigs import coverage_fraction

    numbers = {name: (intrinsics, pose) for name, intrinsics, pose in from_json(rig)}
    images = [word.split() for word in sizes.split(",")]
    cameras = [
        CameraNumbers(name, int(width), int(height), *numbers[name]).camera
        for name, width, height in images
        if name in numbers
    ]
    return coverage_fraction(Cylinder(1008, 252), cameras)
