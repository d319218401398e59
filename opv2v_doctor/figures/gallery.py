"""Gallery: the index page of a set of samples, a tile each, and the way from one to the next."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np

from opv2v_doctor import pages
from opv2v_doctor.atomic import whole
from opv2v_doctor.figures import pictures
from opv2v_doctor.figures.panorama_files import PAGE
from opv2v_doctor.figures.panorama_page import Around
from opv2v_doctor.reporters import Say
from opv2v_doctor.text import Text

INDEX = "index.html"
WIDTH, QUALITY, MOST = 320, 75, 4  # of a tile's pictures: pixels, of JPEG, and how many


@dataclass(frozen=True, kw_only=True, eq=False)
class Tile:
    """One sample in the index."""

    folder: Path
    name: str
    told: str | Text
    kind: str  # bad, good, or nothing
    pictures: Sequence[pictures.Picture]


def around(folders: Sequence[Path], place: int) -> Around:
    """The ways from a sample of a set to the one before, the next, and all; none where it is alone."""
    if len(folders) < 2:
        return ()
    ways: list[tuple[str | Text, str]] = []
    for words, other in ((Text("← before"), place - 1), (Text("next →"), place + 1)):
        if 0 <= other < len(folders):
            ways.append((words, _address(folders[place], folders[other] / PAGE)))
    return [
        *ways,
        (Text("all {n} samples", n=len(folders)), _address(folders[place], folders[0].parent / INDEX)),
    ]


def write_index(folder: Path, title: str | Text, tiles: Sequence[Tile], say: Say, language: str) -> Path:
    """Write the index page of the samples below a folder, in one file; its path."""
    path = folder / INDEX
    bad = sum(tile.kind == "bad" for tile in tiles)
    told = pages.render(
        "figures/gallery.html",
        styles=("figures/gallery.css",),
        say=say,
        language=language,
        title=say(title),
        answer=say(Text("{n:sample|samples}, {bad} of them not as the files show", n=len(tiles), bad=bad)),
        tiles=[
            {
                "address": _address(folder, tile.folder / PAGE),
                "name": tile.name,
                "told": say(tile.told),
                "kind": tile.kind,
                "pictures": [
                    pictures.uri(pictures.jpeg(small(one), QUALITY)) for one in tile.pictures[:MOST]
                ],
            }
            for tile in tiles
        ],
    )
    with whole(path) as partial:
        partial.write_text(told, encoding="utf-8", errors="backslashreplace")
    return path


def small(picture: pictures.Picture) -> pictures.Picture:
    """A picture (H, W, 3) as wide as a tile."""
    import cv2

    height = max(1, round(WIDTH * picture.shape[0] / picture.shape[1]))
    return np.asarray(cv2.resize(picture, (WIDTH, height), interpolation=cv2.INTER_AREA), np.uint8)


def _address(start: Path, path: Path) -> str:
    return quote(os.path.relpath(path, start).replace(os.sep, "/"))
