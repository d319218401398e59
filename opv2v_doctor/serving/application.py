"""The application: an index of what a directory holds, its files, and small versions of its pictures."""

from __future__ import annotations

import base64
import hashlib
import os
import time
from functools import cache, lru_cache
from importlib.resources import files
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

from opv2v_doctor import __version__, rasters
from opv2v_doctor.neutral import printable
from opv2v_doctor.serving.access import AccessControl, Exact
from opv2v_doctor.serving.index import PICTURES, is_shown, listing

if TYPE_CHECKING:
    from jinja2 import Template
    from starlette.requests import Request

THUMBNAIL = 320  # pixels wide
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
    root: Path, *, token: str | None = None, hosts: tuple[str, ...] = LOCAL, cookie: str = "opv2v_doctor"
) -> Starlette:
    """The application for one directory.

    `hosts` are the names that it answers to: a foreign name that was bound to 127.0.0.1 is none of them.
    """
    results, current = Results(root), _Index(root)

    def index(_: Request) -> Response:
        return HTMLResponse(current.page(), headers={"Content-Security-Policy": _policy()})

    async def thumbnail(request: Request) -> Response:
        path = results.path_of(request.path_params["path"])
        small = await run_in_threadpool(_thumbnail_of, path) if path else None
        if small is None:
            raise HTTPException(404)
        return Response(small, media_type="image/jpeg", headers={"Content-Security-Policy": ALONE})

    return Starlette(
        routes=[
            Route("/", index),
            Route("/thumbnails/{path:path}", thumbnail),
            Mount("/files", results),
        ],
        middleware=[
            Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False),
            Middleware(AccessControl, token=token, cookie=cookie),
            Middleware(Exact),
        ],
    )


def page(root: Path) -> str:
    """The index, as it is now."""
    return _template().render(
        root=str(root.resolve()),
        version=__version__,
        shown=listing(root),
        style=_part("index.css"),
        quote=lambda path: quote(os.fsencode(path)),
    )


class _Index:
    """The index: who asks while one is being made waits for the next, which is for all who wait."""

    def __init__(self, root: Path) -> None:
        self._root, self._lock, self._begun, self._page = root, Lock(), -1.0, ""

    def page(self) -> str:
        asked = time.monotonic()
        with self._lock:
            if self._begun < asked:
                self._begun = time.monotonic()
                self._page = page(self._root)
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
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined

    surroundings = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: printable(value) if type(value) is str else value,  # names, and what files say
    )
    return surroundings.from_string(_part("index.html"))


@cache
def _part(name: str) -> str:
    return files("opv2v_doctor.serving").joinpath(name).read_text(encoding="utf-8")


@cache
def _policy() -> str:
    digest = base64.b64encode(hashlib.sha256(_part("index.css").encode()).digest()).decode()
    return f"default-src 'none'; img-src 'self' data:; style-src 'sha256-{digest}'; frame-ancestors 'none'"
