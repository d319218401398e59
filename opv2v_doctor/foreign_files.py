"""Files of somebody else: read without waiting at a pipe or device, and parsed whatever is in them."""

from __future__ import annotations

import errno
import json
import os
import re
import stat
from io import BufferedReader
from pathlib import Path
from typing import Any

LARGEST = 64 << 20  # bytes of a file that is read as a whole
PIECE = 1 << 20  # bytes that are read at once
DEEPEST = 100  # levels of a document in JSON: what is deeper, somebody's recursion would end at
MOST_DIGITS = 300  # of a whole number
MOST_DOTS = 500  # in a line of TOML: a key of many parts costs their number squared
WANTS = {
    errno.EMFILE: "open files (ulimit -n)",
    errno.ENFILE: "open files",
    errno.ENOMEM: "memory",
    errno.EAGAIN: "processes or threads (ulimit -u)",
    errno.ENOSPC: "disk space",
    errno.EDQUOT: "disk space (quota)",
}
_LONG_NUMBER = re.compile(rf"\d{{{MOST_DIGITS}}}", re.ASCII)
_LONG_NUMBER_IN_BYTES = re.compile(_LONG_NUMBER.pattern.encode())
_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
    stat.S_IFDIR: "a directory",
}


def want_of(problem: BaseException) -> str:
    """What this machine lacks, where an exception says that; else nothing: then somebody is to blame."""
    if isinstance(problem, MemoryError):
        return "memory"
    return WANTS.get(problem.errno or 0, "") if isinstance(problem, OSError) else ""


def open_file(path: Path) -> BufferedReader:
    """A file to read from. Raises OSError, also for what is no file: reading it might never end."""
    _verify(path.stat().st_mode, path)  # before it is opened: that alone may do something to a device
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        _verify(os.fstat(descriptor).st_mode, path)
    except OSError:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "rb")


def bytes_of(path: Path, largest: int = LARGEST) -> bytes:
    """All bytes of a file. Raises OSError, also where it is no file, or a larger one."""
    with open_file(path) as file:
        found = bytearray()
        if os.fstat(file.fileno()).st_size <= largest:
            while len(found) <= largest and (chunk := file.read(PIECE)):
                found += chunk
            if len(found) <= largest:
                return bytes(found)
    raise OSError(errno.EFBIG, f"larger than {largest >> 10} KiB", str(path))


def text_of(path: Path, errors: str = "strict", largest: int = LARGEST) -> str:
    """A file as text, its lines ended as ours. Raises OSError, and UnicodeDecodeError where it is strict."""
    said = bytes_of(path, largest).decode("utf-8-sig", errors)
    return said.replace("\r\n", "\n").replace("\r", "\n")


def from_json(document: bytes | str) -> Any:
    """What a document in JSON says. Raises ValueError for any other one."""
    if isinstance(document, str):
        is_long = _LONG_NUMBER.search(document) is not None
        brackets = document.count("[") + document.count("{")
    else:
        is_long = _LONG_NUMBER_IN_BYTES.search(document) is not None
        brackets = document.count(b"[") + document.count(b"{")
    try:
        found = json.loads(document, parse_int=_number if is_long else None)
    except RecursionError:
        raise ValueError("nested too deep") from None
    if brackets > DEEPEST:
        _verify_depth(found)
    return found


def _verify_depth(document: Any) -> None:
    """Raises ValueError for more levels than DEEPEST."""
    level = [document]
    for _ in range(DEEPEST):
        level = [
            part
            for value in level
            if isinstance(value, dict | list)
            for part in (value.values() if isinstance(value, dict) else value)
        ]
    if level:
        raise ValueError("nested too deep")


def _number(digits: str) -> int | float:
    """A whole number that no float can hold is infinite, as 1e400 is: arithmetic with it would fail later."""
    return int(digits) if len(digits) <= MOST_DIGITS else float(digits)


def from_toml(document: str) -> dict[str, Any]:
    """What a document in TOML says. Raises ValueError for any other one."""
    import tomllib

    for number, line in enumerate(document.splitlines(), 1):
        if line.count(".") > MOST_DOTS:
            raise ValueError(f"more than {MOST_DOTS} dots in a line (at line {number})")
    try:
        return tomllib.loads(document)
    except RecursionError:
        raise ValueError("nested too deep") from None


def from_yaml(document: bytes | str) -> Any:
    """What a document in YAML says. Raises ValueError for any other one."""
    import yaml

    try:
        return yaml.load(document, yaml.CSafeLoader)
    except yaml.YAMLError as problem:
        raise ValueError(str(problem)) from None
    except RecursionError:
        raise ValueError("nested too deep") from None


def kind_of(mode: int) -> str:
    """What is no regular file, in words; nothing for one."""
    return "" if stat.S_ISREG(mode) else _KINDS.get(stat.S_IFMT(mode), "something else")


def _verify(mode: int, path: Path) -> None:
    """Raises OSError for what is no regular file."""
    if kind := kind_of(mode):
        number = errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL
        raise OSError(number, f"{kind}, not a file", str(path))
