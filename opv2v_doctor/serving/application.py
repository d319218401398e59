"""The application: an index of what a directory holds, its files, and small versions of its pictures."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import cache, lru_cache, partial
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from opv2v_doctor import pages, rasters
from opv2v_doctor.facts.past.logs import KEPT_LINES, read_log
from opv2v_doctor.facts.past.runs import LOG
from opv2v_doctor.foreign_files import bytes_of
from opv2v_doctor.languages import ENGLISH, Language, say
from opv2v_doctor.neutral import printable
from opv2v_doctor.serving.access import AccessControl, Exact
from opv2v_doctor.serving.index import PICTURES, STATISTICS, IndexRow, is_shown, listing
from opv2v_doctor.text import counted

if TYPE_CHECKING:
    from starlette.requests import Request

THUMBNAIL = 320  # pixels wide
STYLES, SCRIPTS = ("serving/index.css",), ("serving/index.js",)
LARGEST_TEXT = 4 << 20  # bytes of a Markdown file that is rendered
MOST_COMPARED = 8  # runs
LOCAL = ("localhost", "127.0.0.1", "[::1]", "::1")
# A page of results may run its own scripts, and can neither read its neighbours nor the index
ALONE = "sandbox allow-scripts allow-downloads"


class Results(StaticFiles):
    """The files of a directory: starlette keeps them inside it, symlinks resolved; we leave out more."""

    def __init__(self, root: Path) -> None:
        super().__init__(directory=root)
        self.root = root.resolve()

    def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
        full, found = super().lookup_path(path)
        if found is None or not is_shown(Path(path)) or not is_shown(Path(full).relative_to(self.root)):
            return "", None
        return full, found

    def file_response(self, full_path: str | os.PathLike[str], *rest: object, **more: object) -> Response:
        response = super().file_response(full_path, *rest, **more)  # type: ignore[arg-type]
        response.headers["Content-Security-Policy"] = ALONE
        return response

    def path_of(self, path: str) -> Path | None:
        """The file of a path as a request gives it, None where it is not to be served."""
        try:
            full, found = self.lookup_path(os.path.normpath(path))
        except (OSError, ValueError):  # too long, or no path at all
            return None
        return Path(full) if found is not None and Path(full).is_file() else None


def application(
    root: Path,
    *,
    token: str | None = None,
    hosts: tuple[str, ...] = LOCAL,
    cookie: str = "opv2v_doctor",
    language: Language = ENGLISH,
) -> Starlette:
    """The application for one directory, whose pages are told in a language.

    `hosts` are the names that it answers to: a foreign name that was bound to 127.0.0.1 is none of them.
    """
    results, current = Results(root), _Index(root, language)

    def index(_: Request) -> Response:
        return HTMLResponse(current.page(), headers={"Content-Security-Policy": _policy()})

    async def thumbnail(request: Request) -> Response:
        path = results.path_of(request.path_params["path"])
        small = await run_in_threadpool(_thumbnail_of, path) if path else None
        if small is None:
            raise HTTPException(404)
        return Response(small, media_type="image/jpeg", headers={"Content-Security-Policy": ALONE})

    async def text(request: Request) -> Response:
        path = results.path_of(request.path_params["path"])
        if path is None or path.suffix.lower() != ".md":
            raise HTTPException(404)
        told = await run_in_threadpool(rendered, path, language)
        return HTMLResponse(told, headers={"Content-Security-Policy": ALONE})

    async def compare(request: Request) -> Response:
        folders = list(dict.fromkeys(request.query_params.getlist("run")))[:MOST_COMPARED]
        found = [log_below(results, folder) for folder in folders]
        logs = [path for path in found if path is not None]
        if len(logs) < 2:
            raise HTTPException(404, "two runs with a log are compared")
        told = await run_in_threadpool(comparison, logs, language)
        return HTMLResponse(told, headers={"Content-Security-Policy": ALONE})

    return Starlette(
        routes=[
            Route("/", index),
            Route("/compare", compare),
            Route("/read/{path:path}", text),
            Route("/thumbnails/{path:path}", thumbnail),
            Mount("/files", results),
        ],
        middleware=[
            Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False),
            Middleware(AccessControl, token=token, cookie=cookie),
            Middleware(Exact),
        ],
    )


def page(root: Path, language: Language = ENGLISH) -> str:
    """The index, as it is now."""
    from markupsafe import Markup

    kinds: dict[str, list[IndexRow]] = {"run": [], "sample": [], "results": []}
    for one in listing(root):
        drawn = replace(one.course, sparkline=Markup(one.course.sparkline))
        kinds[one.kind].append(replace(one, course=drawn))
    return pages.render(
        "serving/index.html",
        styles=STYLES,
        scripts=SCRIPTS,
        policy="",
        title=say("Results", language),
        say=partial(say, language=language),
        language=language,
        root=str(root.resolve()),
        runs=kinds["run"],
        samples=kinds["sample"],
        others=kinds["results"],
        quote=lambda path: quote(os.fsencode(path)),
        counted=counted,
    )


def rendered(path: Path, language: Language = ENGLISH) -> str:
    """A page of a Markdown file; what is HTML in it is text, and pictures are left out."""
    from markdown_it import MarkdownIt
    from markupsafe import Markup

    reader = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
    text = Markup(reader.render(bytes_of(path)[:LARGEST_TEXT].decode("utf-8", "replace")))
    return pages.render(
        "serving/text.html",
        styles=STYLES,
        policy="",
        title=printable(path.name),
        text=text,
        say=partial(say, language=language),
        language=language,
    )


def log_below(results: Results, folder: str) -> Path | None:
    """The log of a run's folder as a request names it; None where there is none to be served."""
    for name in (LOG, STATISTICS):
        path = results.path_of(f"{folder}/{name}")
        config = path.parent / ".hydra" / "config.yaml" if path else None
        if config and config.resolve().is_relative_to(results.root):  # of which the page tells what differs
            return path
    return None


def comparison(logs: Sequence[Path], language: Language = ENGLISH) -> str:
    """Several runs over each other, and what differs in their configs."""
    from opv2v_doctor.figures.curves import comparison

    return comparison(
        [read_log(path, KEPT_LINES) for path in logs], partial(say, language=language), language
    )


class _Index:
    """The index: who asks while one is being made waits for the next, which is for all who wait."""

    def __init__(self, root: Path, language: Language) -> None:
        self._language = language
        self._root, self._lock, self._begun, self._page = root, Lock(), -1.0, ""

    def page(self) -> str:
        asked = time.monotonic()
        with self._lock:
            if self._begun < asked:
                self._begun = time.monotonic()
                self._page = page(self._root, self._language)
            return self._page


def _thumbnail_of(path: Path) -> bytes | None:
    stat = path.stat()
    if path.suffix.lower() not in PICTURES:
        return None
    return _thumbnail(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=500)
def _thumbnail(path: Path, _written: int, _size: int) -> bytes | None:
    """A small JPEG of a picture, None where it cannot be read; the time and size make a changed one new."""
    import cv2

    try:
        picture = rasters.image_of(path)
    except (OSError, ValueError):
        return None
    height, width = picture.shape[:2]
    scale = min(1.0, THUMBNAIL / width)
    small = cv2.resize(
        picture, (max(1, round(width * scale)), max(1, round(height * scale))), interpolation=cv2.INTER_AREA
    )
    done, encoded = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 85])
    return encoded.tobytes() if done else None


@cache
def _policy() -> str:
    allowed = pages.policy_of(STYLES, SCRIPTS, images="'self' data:")
    return f"{allowed}; form-action 'self'; frame-ancestors 'none'"
