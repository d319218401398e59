"""Execution: a hook of the interpreter that tells when reading a file would have run what is in it."""

from __future__ import annotations

import sys
import typing
from collections.abc import Iterator
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Any

HARMLESS = ("socket.gethostname",)
FORBIDDEN = (
    *("pickle.", "os.system", "os.exec", "os.spawn", "os.posix_spawn", "os.fork", "os.kill", "os.putenv"),
    *("os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.link", "os.symlink", "os.chmod", "os.chown"),
    *(
        "os.truncate",
        "subprocess.",
        "socket.",
        "shutil.",
        "ctypes.",
        "urllib.",
        "webbrowser.",
        "builtins.input",
    ),
)


class Executed(BaseException):
    """Something ran that must not. No handler for `Exception` may hide it."""


_watching = False
_is_installed = False


@contextmanager
def nothing_runs() -> Iterator[None]:
    """Raise Executed where anything in this block runs code of a file, or writes to the disk."""
    global _watching, _is_installed
    if not _is_installed:  # a hook cannot be taken out again
        sys.addaudithook(_hook)
        _is_installed = True
    _watching = True
    try:
        yield
    finally:
        _watching = False


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watching:
        return
    if event in HARMLESS:
        return
    if event.startswith(FORBIDDEN) or _evaluates(event, arguments) or _writes(event, arguments):
        raise Executed(f"{event} {arguments!r}"[:300])


def _evaluates(event: str, arguments: tuple[Any, ...]) -> bool:
    """Whether text becomes code: neither a module that is imported late, nor what such a module makes."""
    if event == "exec":
        code = arguments[0]
        return isinstance(code, CodeType) and code.co_filename == "<string>" and not _is_of_source()
    return event == "compile" and arguments[1] in ("<string>", b"<string>") and not _is_of_source()


def _writes(event: str, arguments: tuple[Any, ...]) -> bool:
    if event != "open":
        return False
    _, mode, flags = arguments
    if isinstance(mode, str):
        return any(letter in mode for letter in "wax+")
    return isinstance(flags, int) and bool(flags & 3)  # written, or both


def _is_of_source() -> bool:
    """Whether a module is being imported, or typing looks at an annotation that stands in quotes."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_filename in ("<frozen importlib._bootstrap>", typing.__file__):
            return True
        frame = frame.f_back
    return False
