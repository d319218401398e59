"""Files: each can be read, says something, and is of the size that it should be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from shlex import quote
from typing import Any

from opv2v_doctor.audit.fingerprint import inventory_fingerprint
from opv2v_doctor.audit.frame_files import no_key
from opv2v_doctor.audit.inventory import Inventory
from opv2v_doctor.audit.verdicts.verdict import of_each_shelf, verdict
from opv2v_doctor.check import Blocked, Findings, Skip, error, examined, note, warning
from opv2v_doctor.layout import DIGITS, dataset_root
from opv2v_doctor.text import Command, Text

MOST_NAMES = 12  # that a sentence holds
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
        folder = inventory.dataset.storage.folder
        near = dataset_root(folder) if folder else None
        raise Blocked(
            "no SPLIT/SCENARIO/AGENT/FRAME.yaml in {root}; found there: {names}"
            if inventory.unknown
            else "no SPLIT/SCENARIO/AGENT/FRAME.yaml in {root}",
            hint="{command}" if near else "give the folder that holds train, validate, test",
            root=root,
            names=_unknown(inventory),
            command=Command(f"opv2v-doctor audit {quote(str(near))}") if near else "",
        )
    if not read:
        raise Blocked("none of the {files} files in {root} can be read", files=files, root=root)
    yield examined(read, "file")
    if not frames:
        yield error(
            "no frame file (FRAME.yaml) among {files} files",
            at=inventory.path("", "frame"),
            hint="copy the frame files beside their images",
            files=files,
        )
    yield note(
        "{frames} frames in {files} files; fingerprint {fingerprint}",
        at=inventory.path("", "frame"),
        files=files,
        read=read,
        frames=frames,
        fingerprint=inventory_fingerprint(inventory),
    )
    if inventory.unknown:
        yield note(
            "left alone, being nothing of a frame that is read: {names}",
            hint="where one of them is: name its files in [files] of opv2v-doctor.toml",
            at=inventory.path("", "frame"),
            names=_unknown(inventory),
        )
    if extra := sorted(name for name in inventory.unknown if name.endswith(".yaml")):
        yield note(
            "{names} is no frame: a loader that lists *.yaml has to skip it",
            at=inventory.path("", "frame"),
            names=extra,
        )


def _unknown(inventory: Inventory) -> list[Text]:
    """What was seen and is not read, the most frequent first."""
    return [
        Text("{count} {name}", count=count, name=name)
        for name, count in inventory.unknown.most_common(MOST_NAMES)
    ]


@verdict("AUD002")
def files_are_whole(inventory: Inventory) -> Findings:
    """Every file can be read to its end.

    ## Why it matters
    A file that fails to load makes OPV2V's loaders draw another sample instead, without a word: the epoch has
    its length, and the frame is never seen.

    ## How to fix
    Copy or unpack the files again. A finding names the first file of an agent's; `--format json` lists all.
    """
    read = "problem IS NOT NULL OR kind != 'depth' OR width IS NOT NULL"
    yield examined(inventory.number(f"SELECT count(*) FROM files WHERE {read}"), "file")
    for like, hint in (
        ("NOT LIKE", "copy these files from the original again"),
        ("LIKE", "name it in [keys] of opv2v-doctor.toml if it is there under another name"),
    ):
        rows = inventory.rows(
            f"SELECT {PLACE}, problem, frame, path FROM files WHERE problem {like} ? "
            "ORDER BY split, scenario, agent, camera, kind, problem, frame",
            f"{no_key(inventory.dataset.layout.lidar_pose)}%",
        )
        yield from of_each_shelf(inventory, rows, error, hint)
    if unread := inventory.number(
        "SELECT count(*) FROM files WHERE kind = 'depth' AND problem IS NULL AND width IS NULL"
    ):
        yield note(
            "{unread:depth map|depth maps} in EXR not looked into: OpenEXR is not installed here",
            hint="install it beside the doctor: pip install 'opv2v-doctor[exr]'",
            at=inventory.path("", "depth"),
            unread=unread,
        )


@verdict("AUD003")
def pictures_are_not_empty(inventory: Inventory) -> Findings:
    """Every image and depth map shows something, and every point cloud has points.

    ## Why it matters
    A black image or depth that is zero everywhere is a rendering that failed; it trains nothing, or harm.

    ## How to fix
    Render or download the frames again, or leave them out.
    """
    for kind, unit, wanted, problem in (
        ("image", "image", "lowest = highest", lambda value: Text("every pixel is {value:.0f}", value=value)),
        ("depth", "depth map", "known = 0", lambda _: Text("no pixel has a depth")),
        ("cloud", "point cloud", "points = 0", lambda _: Text("it has no points")),
    ):
        whole = "kind = ? AND problem IS NULL"
        yield examined(inventory.number(f"SELECT count(*) FROM files WHERE {whole}", kind), unit)
        rows = inventory.rows(
            f"SELECT {PLACE}, lowest, frame, path FROM files WHERE {whole} AND {wanted} "
            "ORDER BY split, scenario, agent, camera, kind, lowest, frame",
            kind,
        )
        hint = "render these frames again, or leave them out"
        yield from of_each_shelf(inventory, rows, error, hint, problem)
    if not inventory.number("SELECT count(*) FROM files WHERE kind = 'image' AND problem IS NULL"):
        raise Skip("there are no images to look at")


@verdict("AUD004")
def images_have_one_size(inventory: Inventory) -> Findings:
    """All images have the same size.

    ## Why it matters
    The intrinsics in the frame files are for one size. An image of another is seen through wrong ones.

    ## How to fix
    Restore the original images; where they were scaled on purpose, scale the intrinsics of their frames too.
    """
    images = inventory.number("SELECT count(*) FROM files WHERE kind = 'image' AND problem IS NULL")
    yield examined(images, "image")
    size, share = _usual_size(inventory)
    if size is None:
        return
    usual = f"{size[0]} x {size[1]}"
    yield note(
        "{share:.1%} of the images are {usual}", share=share, usual=usual, width=size[0], height=size[1]
    )
    rows = inventory.rows(
        f"SELECT {PLACE}, width || ' x ' || height AS wrong, frame, "
        "path FROM files WHERE kind = 'image' AND problem IS NULL AND (width, height) != (?, ?) "
        "ORDER BY split, scenario, agent, camera, kind, wrong, frame",
        *size,
    )
    hint = "restore the original images, or scale their intrinsics"
    yield from of_each_shelf(
        inventory,
        rows,
        warning,
        hint,
        lambda size: Text("{size}, others are {usual}", size=size, usual=usual),
    )


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
    pairs = """
        FROM files d JOIN files i USING (split, scenario, agent, frame, camera)
        WHERE d.kind = 'depth' AND i.kind = 'image' AND d.problem IS NULL AND i.problem IS NULL
    """
    yield examined(inventory.number(f"SELECT count(*) {pairs}"), "depth map")
    rows = inventory.rows(
        f"""
        SELECT d.split, d.scenario, d.agent, d.camera, d.kind,
            d.width || ' x ' || d.height || '/' || i.width || ' x ' || i.height AS wrong, d.frame, d.path
        {pairs} AND (d.width, d.height) != (i.width, i.height)
        ORDER BY {", ".join("d." + name for name in PLACE.split(", "))}, wrong, d.frame
        """
    )
    yield from of_each_shelf(
        inventory, rows, error, "write this depth again, at the size of its images", _two_sizes
    )


def _two_sizes(sizes: str) -> Text:
    own, image = sizes.split("/")
    return Text("{own}, its image is {image}", own=own, image=image)


@verdict("AUD006")
def frames_are_complete(inventory: Inventory) -> Findings:
    """Every frame has its file, its images, its depth and its point cloud.

    ## Why it matters
    A loader that misses a file draws another sample instead. Images without a frame file are never seen.

    ## How to fix
    Copy the missing files; a camera that a whole scenario lacks is AUD007's matter.
    """
    yield examined(inventory.number("SELECT count(*) FROM files WHERE kind = 'frame'"), "frame")
    yield from _no_images(inventory)
    for rows, tell, hint in (
        (_missing(inventory, "image"), error, "copy the missing images"),
        (_missing(inventory, "depth"), error, "write the missing depth"),
        (_without(inventory, "cloud"), warning, "copy the missing point clouds"),
        (_orphans(inventory), warning, "copy the missing frame files"),
    ):
        yield from of_each_shelf(inventory, rows, tell, hint, lambda _: Text("missing"))
    for split, scenario in inventory.rows(
        "SELECT split, scenario FROM folders WHERE agent = '' ORDER BY 1, 2"
    ):
        yield warning(
            "the scenario has no folder of an agent",
            at=inventory.path(f"{split}/{scenario}", "frame"),
            hint="unpack this scenario again, or remove the folder if it is none",
        )


def _no_images(inventory: Inventory) -> Findings:
    """Splits whose frame files describe cameras, and that have no image of any."""
    rows = inventory.rows(
        """
        SELECT split, count(*), sum(json_array_length(rig)) AS images FROM files f
        WHERE kind = 'frame' AND rig IS NOT NULL AND NOT EXISTS (
            SELECT 1 FROM files i WHERE i.split = f.split AND i.kind = 'image')
        GROUP BY split HAVING images > 0 ORDER BY split
        """
    )
    for split, frames, images in rows:
        yield error(
            "{frames:frame|frames} with 0 of {images} images",
            at=inventory.path(split, "image"),
            hint="copy the images (FRAME_cameraN.png or .jpg) beside their frame files",
            frames=frames,
            images=images,
        )


def _missing(inventory: Inventory, kind: str) -> Iterator[tuple[Any, ...]]:
    """Frames without a file of a camera that others of the scenario have; of depth, others of the split."""
    scope = "split, scenario" if kind == "image" else "split"
    rows = inventory.rows(
        f"""
        SELECT f.split, f.scenario, f.agent, c.camera, '{kind}', '', f.frame,
            f.split || '/' || f.scenario || '/' || f.agent || '/' || f.frame, c.path
        FROM files f JOIN (
            SELECT {scope}, camera, min(path) AS path FROM files WHERE kind = '{kind}'
            GROUP BY {scope}, camera
        ) c USING ({scope})
        LEFT JOIN files h ON h.split = f.split AND h.scenario = f.scenario AND h.agent = f.agent
            AND h.frame = f.frame AND h.kind = '{kind}' AND h.camera = c.camera
        WHERE f.kind = 'frame' AND h.path IS NULL AND ('{kind}' = 'image' OR EXISTS (
            SELECT 1 FROM files i WHERE i.split = f.split AND i.scenario = f.scenario AND i.agent = f.agent
                AND i.frame = f.frame AND i.kind = 'image' AND i.camera = c.camera))
        ORDER BY f.split, f.scenario, f.agent, c.camera, f.frame
        """
    )
    for *row, place, sibling in rows:
        yield (*row, place + PurePosixPath(sibling).name.lstrip(DIGITS))


def _without(inventory: Inventory, kind: str) -> Iterator[tuple[Any, ...]]:
    """Frames without their one file of a kind, where the dataset has any."""
    siblings = inventory.rows("SELECT path FROM files WHERE kind = ? LIMIT 1", kind)
    for (sibling,) in list(siblings):
        yield from inventory.rows(
            f"""
            SELECT f.split, f.scenario, f.agent, '', '{kind}', '', f.frame,
                f.split || '/' || f.scenario || '/' || f.agent || '/' || f.frame || ?
            FROM files f LEFT JOIN files h ON h.split = f.split AND h.scenario = f.scenario
                AND h.agent = f.agent AND h.frame = f.frame AND h.kind = '{kind}'
            WHERE f.kind = 'frame' AND h.path IS NULL
            ORDER BY f.split, f.scenario, f.agent, f.frame
            """,
            PurePosixPath(sibling).suffix,
        )


def _orphans(inventory: Inventory) -> Iterator[tuple[Any, ...]]:
    """Frames that have images or a point cloud, but no frame file."""
    return inventory.rows(
        """
        SELECT o.split, o.scenario, o.agent, '', 'frame', '', o.frame,
            o.split || '/' || o.scenario || '/' || o.agent || '/' || o.frame || '.yaml'
        FROM (SELECT DISTINCT split, scenario, agent, frame FROM files WHERE kind IN ('image', 'cloud')) o
        LEFT JOIN files h ON h.split = o.split AND h.scenario = o.scenario
            AND h.agent = o.agent AND h.frame = o.frame AND h.kind = 'frame'
        WHERE h.path IS NULL
        ORDER BY o.split, o.scenario, o.agent, o.frame
        """
    )
