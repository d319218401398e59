"""Files: each can be read, says something, and is of the size that it should be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from opv2v_doctor.audit.fingerprint import inventory_fingerprint
from opv2v_doctor.audit.inventory import Inventory
from opv2v_doctor.audit.verdicts.verdict import gathered, verdict
from opv2v_doctor.check import Blocked, Findings, error, note, warning

PLACE = "split, scenario, agent, camera, kind"


@verdict("AUD001", requires=())
def dataset_can_be_read(inventory: Inventory) -> Findings:
    """The dataset holds frames that can be read.

    ## Why it matters
    Where nothing could be read, silence of the other verdicts would mean nothing.

    ## How to fix
    Give the folder that holds `train`, `validate` and `test`, each with `SCENARIO/AGENT/FRAME.yaml`.
    """
    files = inventory.number("SELECT count(*) FROM files")
    read = inventory.number("SELECT count(*) FROM files WHERE problem IS NULL")
    frames = inventory.number("SELECT count(*) FROM files WHERE kind = 'frame'")
    root = inventory.dataset.root
    if not files:
        raise Blocked(f"{root} holds no SPLIT/SCENARIO/AGENT/FRAME.yaml: is it the root of OPV2V?")
    if not read:
        raise Blocked(f"none of the {files} files under {root} could be read")
    yield note(
        f"{frames} frames in {files} files; fingerprint {inventory_fingerprint(inventory)}",
        path=inventory.path("", "frame"),
        files=files,
        read=read,
        frames=frames,
        fingerprint=inventory_fingerprint(inventory),
    )


@verdict("AUD002")
def files_are_whole(inventory: Inventory) -> Findings:
    """Every file can be read to its end.

    ## Why it matters
    A file that fails to load makes OPV2V's loaders draw another sample instead, without a word: the epoch has
    its length, and the frame is never seen.

    ## How to fix
    Copy or unpack the files again. A finding names the first file of an agent's; `--format json` lists all.
    """
    rows = inventory.rows(
        f"SELECT {PLACE}, problem, frame, path FROM files WHERE problem IS NOT NULL "
        "ORDER BY split, scenario, agent, camera, kind, problem, frame"
    )
    yield from gathered(inventory, rows, error, "copy these files from the original again")


@verdict("AUD003")
def pictures_are_not_empty(inventory: Inventory) -> Findings:
    """Every image and depth map shows something, and every point cloud has points.

    ## Why it matters
    A black image or depth that is zero everywhere is a rendering that failed; it trains nothing, or harm.

    ## How to fix
    Render or download the frames again, or leave them out.
    """
    rows = inventory.rows(
        f"""
        SELECT {PLACE}, CASE kind
            WHEN 'image' THEN 'every pixel is ' || CAST(lowest AS INTEGER)
            WHEN 'depth' THEN 'no pixel is known'
            ELSE 'no points' END AS empty, frame, path
        FROM files
        WHERE problem IS NULL
            AND (kind = 'image' AND lowest = highest OR kind = 'depth' AND known = 0 OR points = 0)
        ORDER BY split, scenario, agent, camera, kind, empty, frame
        """
    )
    yield from gathered(inventory, rows, error, "render these frames again, or leave them out")


@verdict("AUD004")
def images_have_one_size(inventory: Inventory) -> Findings:
    """All images have the same size.

    ## Why it matters
    The intrinsics in the frame files are for one size. An image of another is seen through wrong ones.

    ## How to fix
    Restore the original images; where they were scaled on purpose, scale the intrinsics of their frames too.
    """
    size, share = _usual_size(inventory)
    if size is None:
        return
    width, height = size
    yield note(f"{share:.1%} of the images are {width} x {height}", width=width, height=height)
    rows = inventory.rows(
        f"SELECT {PLACE}, width || ' x ' || height || ', others are {width} x {height}' AS wrong, frame, "
        "path FROM files WHERE kind = 'image' AND problem IS NULL AND (width, height) != (?, ?) "
        "ORDER BY split, scenario, agent, camera, kind, wrong, frame",
        width,
        height,
    )
    yield from gathered(inventory, rows, warning, "restore the original images, or scale their intrinsics")


def _usual_size(inventory: Inventory) -> tuple[tuple[int, int] | None, float]:
    """The size of most images, and their share."""
    sizes = list(
        inventory.rows(
            "SELECT width, height, count(*) AS many FROM files WHERE kind = 'image' AND problem IS NULL "
            "GROUP BY width, height ORDER BY many DESC"
        )
    )
    if not sizes:
        return None, 0.0
    width, height, many = sizes[0]
    return (width, height), many / sum(row[2] for row in sizes)


@verdict("AUD005")
def depth_has_its_images_size(inventory: Inventory) -> Findings:
    """Every depth map has the size of its image.

    ## Why it matters
    Depth of another size belongs to another camera: scaled to fit, it mixes surfaces, or shows another part.

    ## How to fix
    Write the depth again from images of the same size.
    """
    rows = inventory.rows(
        f"""
        SELECT d.split, d.scenario, d.agent, d.camera, d.kind,
            d.width || ' x ' || d.height || ', its image is ' || i.width || ' x ' || i.height AS wrong,
            d.frame, d.path
        FROM files d JOIN files i USING (split, scenario, agent, frame, camera)
        WHERE d.kind = 'depth' AND i.kind = 'image' AND d.problem IS NULL AND i.problem IS NULL
            AND (d.width, d.height) != (i.width, i.height)
        ORDER BY {", ".join("d." + name for name in PLACE.split(", "))}, wrong, d.frame
        """
    )
    yield from gathered(inventory, rows, error, "write this depth again, at the size of its images")


@verdict("AUD006")
def frames_are_complete(inventory: Inventory) -> Findings:
    """Every frame has its file, its images, its depth and its point cloud.

    ## Why it matters
    A loader that misses a file draws another sample instead. Images without a frame file are never seen.

    ## How to fix
    Copy the missing files; a camera that a whole scenario lacks is AUD007's matter.
    """
    yield from gathered(inventory, _missing(inventory, "image"), error, "copy the missing images")
    yield from gathered(inventory, _missing(inventory, "depth"), error, "write the missing depth")
    if inventory.number("SELECT count(*) FROM files WHERE kind = 'cloud'"):
        yield from gathered(inventory, _without(inventory, "cloud"), warning, "copy the missing point clouds")
    yield from gathered(inventory, _orphans(inventory), warning, "copy the missing frame files")
    for split, scenario in inventory.rows(
        "SELECT split, scenario FROM folders WHERE agent = '' ORDER BY 1, 2"
    ):
        yield warning(
            "no folder of an agent",
            path=inventory.path(f"{split}/{scenario}", "frame"),
            hint="unpack this scenario again, or remove the folder if it is none",
        )


def _missing(inventory: Inventory, kind: str) -> Iterator[tuple[Any, ...]]:
    """Frames without a file of a camera that others of the scenario have; of depth, others of the split."""
    scope = "split, scenario" if kind == "image" else "split"
    suffix = ".png" if kind == "image" else "_depth.npy"
    return inventory.rows(
        f"""
        SELECT f.split, f.scenario, f.agent, c.camera, '{kind}', 'missing', f.frame,
            f.split || '/' || f.scenario || '/' || f.agent || '/' || f.frame || '_' || c.camera || '{suffix}'
        FROM files f JOIN (SELECT DISTINCT {scope}, camera FROM files WHERE kind = '{kind}') c USING ({scope})
        LEFT JOIN files h ON h.split = f.split AND h.scenario = f.scenario AND h.agent = f.agent
            AND h.frame = f.frame AND h.kind = '{kind}' AND h.camera = c.camera
        WHERE f.kind = 'frame' AND h.path IS NULL AND ('{kind}' = 'image' OR EXISTS (
            SELECT 1 FROM files i WHERE i.split = f.split AND i.scenario = f.scenario AND i.agent = f.agent
                AND i.frame = f.frame AND i.kind = 'image' AND i.camera = c.camera))
        ORDER BY f.split, f.scenario, f.agent, c.camera, f.frame
        """
    )


def _without(inventory: Inventory, kind: str) -> Iterator[tuple[Any, ...]]:
    """Frames without their one file of a kind."""
    return inventory.rows(
        f"""
        SELECT f.split, f.scenario, f.agent, '', '{kind}', 'missing', f.frame,
            f.split || '/' || f.scenario || '/' || f.agent || '/' || f.frame || '.pcd'
        FROM files f LEFT JOIN files h ON h.split = f.split AND h.scenario = f.scenario
            AND h.agent = f.agent AND h.frame = f.frame AND h.kind = '{kind}'
        WHERE f.kind = 'frame' AND h.path IS NULL
        ORDER BY f.split, f.scenario, f.agent, f.frame
        """
    )


def _orphans(inventory: Inventory) -> Iterator[tuple[Any, ...]]:
    """Frames that have images or a point cloud, but no frame file."""
    return inventory.rows(
        """
        SELECT o.split, o.scenario, o.agent, '', 'frame', 'missing', o.frame,
            o.split || '/' || o.scenario || '/' || o.agent || '/' || o.frame || '.yaml'
        FROM (SELECT DISTINCT split, scenario, agent, frame FROM files WHERE kind IN ('image', 'cloud')) o
        LEFT JOIN files h ON h.split = o.split AND h.scenario = o.scenario
            AND h.agent = o.agent AND h.frame = o.frame AND h.kind = 'frame'
        WHERE h.path IS NULL
        ORDER BY o.split, o.scenario, o.agent, o.frame
        """
    )
