"""Encodings: a log as UTF-8 without colours, whatever wrote or packed it, up to where it is damaged."""

from __future__ import annotations

import codecs
import contextlib
import importlib
import io
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any, cast

from opv2v_doctor import Blocked

PACKED = (".gz", ".xz", ".zst")
SMALL = 1 << 13  # bytes that are unpacked at once, and lost where a packed file breaks off
HEAD = 200  # bytes that tell UTF-16 without a byte order mark
_colour = re.compile(rb"\x1b\[[0-9;:?]*[ -/]*[@-~]|\x1b\][^\x07\x1b\n]*(?:\x07|\x1b\\)")


def unpacked(file: IO[bytes], path: Path) -> IO[bytes]:
    """A file's content, by its name. Raises Blocked where this Python cannot unpack it."""
    if path.suffix not in PACKED:
        return file
    import gzip  # packed logs are few
    import lzma

    if path.suffix == ".gz":
        return cast(IO[bytes], gzip.GzipFile(fileobj=file))
    if path.suffix == ".xz":
        return lzma.LZMAFile(file)
    return _zstandard(file, path)


def _zstandard(file: IO[bytes], path: Path) -> IO[bytes]:
    for name, opener in (("compression.zstd", "ZstdFile"), ("zstandard", "open")):
        try:
            module: Any = importlib.import_module(name)
        except ImportError:
            continue
        opened: IO[bytes] = getattr(module, opener)(file)
        return opened
    raise Blocked(
        "{path} is packed by zstd", hint="unpack it with zstd -d, or pip install zstandard", path=path
    )


def pieces(file: IO[bytes], size: int) -> Iterator[bytes]:
    """What can be read of a file; a packed one that was cut off or damaged ends there."""
    if isinstance(file, io.BufferedReader):
        yield from iter(lambda: file.read(size), b"")
        return
    import lzma
    import zlib

    gathered = bytearray()
    with contextlib.suppress(EOFError, OSError, lzma.LZMAError, zlib.error):
        while chunk := file.read(SMALL):
            gathered += chunk
            if len(gathered) >= size:
                yield bytes(gathered)
                gathered.clear()
    yield bytes(gathered)


def as_utf8(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The chunks without a byte order mark, and from UTF-16 to UTF-8."""
    decoder: codecs.IncrementalDecoder | None = None
    for number, chunk in enumerate(chunks):
        if number == 0:
            decoder = _decoder(chunk[:HEAD])
            chunk = chunk.removeprefix(codecs.BOM_UTF8)
        yield decoder.decode(chunk).encode("utf-8", "replace") if decoder else chunk


def _decoder(head: bytes) -> codecs.IncrementalDecoder | None:
    """What decodes UTF-16; None for anything else."""
    name = "utf-16" if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else ""
    if not name and len(head) >= 8:  # ASCII in UTF-16: a NUL in every second byte, and only there
        even, odd = head[0::2], head[1::2]
        name = (
            "utf-16-le" if not any(odd) and all(even) else "utf-16-be" if not any(even) and all(odd) else ""
        )
    return codecs.getincrementaldecoder(name)("replace") if name else None


def without_colours(text: bytes) -> bytes:
    """Text without the escape sequences of a terminal."""
    return _colour.sub(b"", text) if b"\x1b" in text else text
