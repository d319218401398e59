"""The page of a sample: every view's panorama, depth and masks beside the reference, in one offline file."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from opv2v_doctor import pages
from opv2v_doctor.facts.geometry.references import Reference
from opv2v_doctor.facts.samples.panoramas import ShownSample
from opv2v_doctor.figures import pictures
from opv2v_doctor.figures.packing import pack
from opv2v_doctor.figures.panorama_words import HEAD, ViewCaption, Words, details, notes, row, verdict
from opv2v_doctor.figures.plotly_page import plotly_tags
from opv2v_doctor.reporters import Say
from opv2v_doctor.text import Text

SCRIPTS = ("figures/panoramas.js",)
IN_MASK, IS_VALID, IN_RIG = 1, 2, 4  # bits of a view's flags
POINTS = 4000  # of the LiDAR, in a view
SPARE = 490_000  # bytes of a page for each view, besides the library: four views are less than 4 MB
QUALITIES = (92, 85, 75, 60)  # of panoramas, where they have to be JPEG
SOURCE_QUALITIES = (80, 60, 45, 30, 20)
SHARE_OF_PANORAMAS = 0.7  # of what the page has left for pictures
SHARE_SHOWN = 0.98  # of the known depths lie in the range of the colours


Around = Sequence[tuple[str | Text, str]]  # the samples before and after, and all of them: words and address


def page(
    sample: ShownSample,
    shown: Sequence[ViewCaption],
    facts: Sequence[str | Text],
    threads: Executor,
    around: Around = (),
    say: Say = str,
    language: str = "en",
) -> str:
    """The page as HTML; the facts are sentences above the views."""
    from markupsafe import Markup

    farthest = reach(shown)
    views = list(threads.map(_view, shown))
    left = SPARE * max(1, len(shown)) - sum(len(json.dumps(_told(view, say))) for view in views)
    for view, each, images in zip(views, shown, _images(shown, left, threads), strict=True):
        view.update(images)
        view["notes"] += _losses(each, images)
    content = {
        "views": views,
        "far": farthest,
        "facts": list(facts),
        "colours": base64.b64encode(pictures.colours().tobytes()).decode("ascii"),
        "table": [HEAD, *(row(each) for each in shown)],
        "words": pages.words(SCRIPTS, say),
    }
    title = Text("{split} sample {index}: what training sees", split=sample.split, index=sample.index)
    return pages.render(
        "figures/panoramas.html",
        styles=("figures/panoramas.css",),
        scripts=SCRIPTS,
        policy=pages.DRAWING,
        say=say,
        language=language,
        title=say(title),
        answer=[(say(text), kind) for text, kind in answer(shown)],
        around=[(say(words), address) for words, address in around],
        sample=_told(content, say),
        plotly=Markup(plotly_tags()),
    )


def answer(shown: Sequence[ViewCaption]) -> list[tuple[Text, str]]:
    """What is wrong with the agents of a sample, a line each; one line where nothing is."""
    lines = [(each.name, *verdict(each)[0]) for each in shown]
    bad = [
        (Text("agent {name}: {text}", name=name, text=text), kind)
        for name, text, kind in lines
        if kind == "bad"
    ]
    alike = [name for name, _, kind in lines if kind == "good"]
    if alike:
        bad.append((Text("as the files show them: agents {names}", names=alike), "good"))
    return bad


def _told(content: Any, say: Say) -> Any:
    """The same with every text in the reader's language."""
    if isinstance(content, Text):
        return say(content)
    if isinstance(content, Mapping):
        return {key: _told(value, say) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_told(value, say) for value in content]
    return content


def reach(shown: Sequence[ViewCaption]) -> float:
    """Up to which depth colours differ: most known depths of all views, in tens of metres."""
    depths = [depth for each in shown if (depth := each.drawn.depth) is not None]
    known = [depth[np.isfinite(depth) & (depth > 0)].ravel() for depth in depths]
    values = np.concatenate(known) if known else np.zeros(0)
    return float(math.ceil(np.quantile(values, SHARE_SHOWN) / 10) * 10) if values.size else 10.0


def _view(shown: ViewCaption) -> dict[str, Any]:
    """What the page holds of a view, without its pictures."""
    drawn, found, shape = shown.drawn, shown.stitched, shown.shape
    identity = drawn.view.identity
    mask, valid = shown.fitting(drawn.mask), shown.fitting(drawn.valid)
    answer: dict[str, Any] = {
        "name": Text("agent {name}", name=shown.name),
        "words": [
            Text("label {name}", name=identity.label),
            Text("instance {name}", name=identity.instance),
            Text("view {number}", number=drawn.place),
        ],
        "notes": [*verdict(shown), *notes(shown)],
        "details": details(shown),
        "has_mask": mask is not None,
        "has_valid": valid is not None,
        "azimuth": _azimuth(found),
        "sources": [],
        "agent": shown.single.frame.agent.name if shown.single else None,
        "camera": shown.single.cameras[0] if shown.single else None,
    }
    if shape is None:
        return answer
    flags = np.zeros(shape, np.uint8)
    for array, bit in ((mask, IN_MASK), (valid, IS_VALID), (found.mask if found else None, IN_RIG)):
        flags |= np.uint8(bit) * (array.astype(bool) if array is not None else np.uint8(0))
    answer |= {"height": shape[0], "width": shape[1], "flags": pack([flags.tobytes()])}
    answer["depth"] = _depths(shown.fitting(drawn.depth), found.ranges if found else None)
    if found:
        answer["source"] = pack([found.source.astype(np.uint8).tobytes()])
        answer |= {"cameras": found.cameras, "places": _places(found), "crop": _crop(shown, found)}
        answer["lidar"] = _lidar(found)
    return answer


def _lidar(found: Reference) -> list[tuple[int, int, int]] | None:
    """LiDAR points in the view: column, row, depth in decimetres."""
    if found.lidar is None:
        return None
    some = found.lidar[:: max(1, -(-len(found.lidar) // POINTS))]
    return [(int(column), int(row), round(10 * depth)) for column, row, depth in some.tolist()]


def _depths(mine: NDArray[Any] | None, theirs: NDArray[Any] | None) -> dict[str, Any] | None:
    if mine is None and theirs is None:
        return None
    scale = pictures.scale_of(mine, theirs)
    answer: dict[str, Any] = {"low": scale.low, "step": scale.step, "digits": scale.digits}
    for name, depth in (("mine", mine), ("theirs", theirs)):
        if depth is not None:
            answer[name] = pictures.packed_depth(depth, scale)
    return answer


def _images(shown: Sequence[ViewCaption], left: int, threads: Executor) -> list[dict[str, Any]]:
    """The pictures of each view: panoramas as they are, or as JPEG where these need more than their share."""
    panoramas = list(threads.map(partial(_panoramas, quality=None), shown))
    for quality in QUALITIES:
        if _size(panoramas) <= left * SHARE_OF_PANORAMAS:
            break
        panoramas = list(threads.map(partial(_panoramas, quality=quality), shown))
    left -= _size(panoramas)
    for quality in SOURCE_QUALITIES:
        sources = list(threads.map(partial(_sources, quality=quality), shown))
        if _size(sources) <= left:
            break
    return [{**one, **other} for one, other in zip(panoramas, sources, strict=True)]


def _size(images: Sequence[Mapping[str, Any]]) -> int:
    return sum(len(json.dumps(_told(each, str))) for each in images)


def _panoramas(shown: ViewCaption, quality: int | None) -> dict[str, Any]:
    """The view's panorama and the reference's, as JPEG of this quality; None keeps them exact."""
    if quality is None:
        exact = {"rgb": shown.exact, "reference": shown.exact_reference}
        return {name: pictures.uri(file) for name, file in exact.items() if file}
    both = {"rgb": shown.drawn.rgb, "reference": shown.stitched.rgb if shown.stitched else None}
    return {
        name: pictures.uri(pictures.jpeg(picture, quality))
        for name, picture in both.items()
        if picture is not None
    }


def _sources(shown: ViewCaption, quality: int) -> dict[str, Any]:
    found = shown.reference if isinstance(shown.reference, Reference) else None
    return {"sources": [_source(found, name, quality) for name in found.images] if found else []}


def _source(found: Reference, name: str, quality: int) -> dict[str, Any]:
    """One camera's image."""
    image = found.images[name]
    return {
        "name": name,
        "path": str(found.frame.image(name)),
        "width": image.shape[1],
        "height": image.shape[0],
        "uri": pictures.uri(pictures.jpeg(image[..., ::-1], quality)),
    }


def _losses(shown: ViewCaption, images: Mapping[str, Any]) -> list[Words]:
    """What the page's own compression costs, in words."""
    rgb, address = shown.drawn.rgb, images.get("rgb", "")
    if rgb is None or not address.startswith("data:image/jpeg"):
        return []
    seen = pictures.decode(base64.b64decode(address.partition(",")[2]))
    off = float(np.abs(seen.astype(np.int16) - rgb).mean())
    return [
        Text(
            "RGB is a JPEG here, off by {off:.1f} of 255 in the mean; panorama.png beside this page is exact",
            off=off,
        )
    ]


def _azimuth(found: Reference | None) -> dict[str, float] | None:
    if found is None or found.cylinder is None:
        return None
    degrees = math.degrees
    cylinder = found.cylinder
    return {
        "horizontal": degrees(cylinder.horizontal_fov),
        "vertical": degrees(cylinder.vertical_fov),
        "middle": degrees(cylinder.elevation_center),
    }


def _places(found: Reference) -> list[tuple[str, float, float]]:
    """The middle of what each camera shows: name, column, row."""
    width, answer = found.source.shape[1], []
    for number, name in enumerate(found.cameras):
        rows, columns = np.nonzero(found.source == number)
        if rows.size:
            turn = np.exp(2j * np.pi * columns / width).mean()
            column = float(np.angle(turn) / (2 * np.pi) * width % width)
            answer.append((name, column, float(rows.mean())))
    return answer


def _crop(shown: ViewCaption, found: Reference) -> list[float] | None:
    """What the crop that explains the mask leaves of each source image: left, top, right, bottom."""
    mean = shown.drawn.view.mask_mean
    if mean is None or found.cylinder is None or not shown.wrong or found.explanation(mean) is None:
        return None
    height, width = next(iter(found.images.values())).shape[:2]
    scale = max(found.cylinder.width / width, found.cylinder.height / height)
    across = found.cylinder.width / scale / width / 2
    down = found.cylinder.height / scale / height / 2
    return [0.5 - across, 0.5 - down, 0.5 + across, 0.5 + down]
