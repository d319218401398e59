"""Ours: which files may be replaced. A report of ours shows in its bytes; all else stays as it is."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path

from opv2v_doctor.foreign_files import bytes_of, from_json, open_file
from opv2v_doctor.user_error import UsageError

BOUND = 1 << 16  # bytes that are read of a file's head, and of its tail
GENERATOR = "opv2v-doctor"  # in a page's <meta name="generator">, and of a Parquet file's metadata
PARQUET_KEY = b"opv2v-doctor.table"
LONGEST_LIST = 1 << 22  # bytes of a folder's list of what we wrote into it

_name = rb'\{\s*"name":\s*"opv2v-doctor"'
_scalars = rb'(?:"[$\w]+":\s*(?:\d+|"[^"]*"),\s*)*'
REPORTS = {  # how a report of each format begins
    "text": rb"opv2v-doctor (\d[\w.+!-]* \S|audits )",
    "json": rb"\{\s*" + _scalars + rb'"tool":\s*' + _name,
    "sarif": rb"\{\s*" + _scalars + rb'"runs":\s*\[\s*\{\s*"tool":\s*\{\s*"driver":\s*' + _name,
    "junit": rb'(?:<\?xml[^>]*>\s*)?<testsuites [^>]*\bname="opv2v-doctor"',
    "markdown": rb"## \S+ opv2v-doctor\b",
    "html": rb'<!doctype html>(?:(?!</head).)*<meta name="generator" content="opv2v-doctor\b',
    "csv of an audit": rb"path,split,scenario,agent,frame,kind,camera,size,stamp,problem,final,digest\b",
    "csv of logs": rb"segment,phase,epoch,step,steps_per_epoch,metric,median,average,file,line\r?\n",
}
ANNOTATION = rb"(::(error|warning|notice) ([^\n]*,)?title=[A-Z]{3}\d{3} |opv2v-doctor: )"
LAST_LINE = rb"opv2v-doctor: [^\n]*\n?\Z"  # what a report for GitHub ends with
STRANGERS = {  # what other files look like by their first bytes
    rb"PK\x03\x04[\s\S]*?/(data\.pkl|version|byteorder)": "a checkpoint of torch.save",
    rb"PK\x03\x04": "a zip archive",
    rb"\x80[\x02-\x05]": "a pickle, as old checkpoints are",
    rb"[\s\S]{8}\{\s*\"": "a checkpoint in safetensors",
    rb"\x93NUMPY": "an array of NumPy",
    rb"PAR1": "a Parquet table of another program",
    rb"SQLite format 3": "an SQLite database",
    rb"\x89PNG|\xff\xd8\xff|GIF8": "a picture",
    rb"\x89HDF": "an HDF5 file",
    rb"\x1f\x8b|BZh|\xfd7zXZ|\x28\xb5\x2f\xfd": "a compressed file",
    rb"\x7fELF": "a program",
    rb"%PDF": "a PDF",
    rb"ply\r?\n": "a point cloud",
    rb"(?i)\s*<(!doctype )?html": "a web page of another program",
}
_escapes = re.compile(rb"\x1b\[[\d;]*m")


def verify_replaceable(path: Path, word: str = "--output") -> None:
    """Raises UsageError where a file of somebody else is in the way, and says what it looks like."""
    looks = stranger(path)
    if looks:
        raise UsageError(
            f"{word} {path}: not replaced: it is no report of opv2v-doctor but {looks}: "
            "name another file, or remove this one first"
        )


def stranger(path: Path) -> str:
    """What a file looks like that is not ours to replace; nothing where there is none, or an empty one.

    A link is judged by what is behind it. A stream, as a pipe, holds nothing that could be lost.
    """
    if is_stream(path):
        return ""
    try:
        kind = path.stat().st_mode
        if not stat.S_ISREG(kind):
            return "a directory" if stat.S_ISDIR(kind) else "a device or a socket"
        with open_file(path) as file:
            head = file.read(BOUND)
            file.seek(max(0, os.fstat(file.fileno()).st_size - BOUND))
            tail = file.read(BOUND)
    except FileNotFoundError:
        return ""
    except OSError as problem:
        return f"a file that cannot be read ({problem.strerror})"
    return "" if not head or _is_report(head, tail) else _looks(head)


def _is_report(head: bytes, tail: bytes) -> bool:
    if head.startswith(b"PAR1"):
        return tail.endswith(b"PAR1") and PARQUET_KEY in tail
    plain = _escapes.sub(b"", head)
    if any(re.match(begin, plain, re.DOTALL) for begin in REPORTS.values()):
        return True
    last = tail[tail.rstrip(b"\n").rfind(b"\n") + 1 :]
    return bool(re.match(ANNOTATION, plain) and re.match(LAST_LINE, last))


def _looks(head: bytes) -> str:
    for begin, looks in STRANGERS.items():
        if re.match(begin, head):
            return looks
    try:
        text = head[:1000].decode("utf-8", "strict" if len(head) < 1000 else "ignore")
    except UnicodeDecodeError:
        return "binary data"
    first = text.strip().split("\n")[0].strip()
    if not text.replace("\n", "").replace("\r", "").replace("\t", "").isprintable():
        return "binary data"
    return f"text that begins {first[:40]!r}"


def is_stream(path: Path) -> bool:
    """Whether writing there passes something on, and replaces nothing: a pipe, a terminal, our own output."""
    if descriptor_of(path) is not None:
        return True
    try:
        kind = path.stat().st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(kind) or stat.S_ISCHR(kind)


def descriptor_of(path: Path) -> int | None:
    """Our own open descriptor that a path names, as /dev/stdout does, where it is open for writing."""
    for _ in range(40):  # links
        place = os.path.abspath(path)  # noqa: PTH100 (links stay)
        if named := re.fullmatch(rf"(?:/dev|/proc/(?:self|{os.getpid()}))/fd/(\d+)", place):
            return int(named[1]) if _is_writable(int(named[1])) else None
        if not path.is_symlink():
            return None
        path = path.parent / path.readlink()
    return None


def _is_writable(descriptor: int) -> bool:
    try:
        return fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY
    except (OSError, OverflowError):
        return False


def verify_folder(folder: Path, names: str, record: str, word: str = "--output") -> None:
    """Raises UsageError where a folder holds a file of somebody else that has one of our names.

    `names` is the expression of the names that we write, `record` the file that lists what we wrote.
    """
    try:
        if not folder.is_dir():
            verify_replaceable(folder, word)
            if folder.exists():
                raise UsageError(f"{word} {folder}: it is a file, where a folder is needed")
            return
        found = sorted(path for path in folder.iterdir() if re.fullmatch(names, path.name))
    except OSError as problem:
        raise UsageError(f"{word} {folder}: cannot be written: {problem.strerror}") from None
    written = _digests_in(folder / record)
    for path in found:
        if not _is_as_written(path, written, record):
            raise UsageError(
                f"{word} {folder}: {path.name} would be replaced, and is not as we wrote it, but "
                f"{stranger(path) or 'another report'}: name another folder, or remove it first"
            )


def _is_as_written(path: Path, written: Mapping[str, str], record: str) -> bool:
    if not path.is_file():
        return False
    if path.name == record:
        return bool(written) or not path.stat().st_size
    return digest_of(path) == written.get(path.name) or not path.stat().st_size


def digests_of(files: Mapping[str, bytes]) -> dict[str, str]:
    """What the record of a folder says of the files that we write into it: the digest of each."""
    return {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}


def digest_of(path: Path) -> str:
    """The digest of a file's bytes."""
    with open_file(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digests_in(record: Path) -> Mapping[str, str]:
    """The files that a record of ours lists, with their digests; none where it is not ours."""
    try:
        if record.stat().st_size > LONGEST_LIST:
            return {}
        found = from_json(bytes_of(record))
        files = found["files"] if found["tool"]["name"] == GENERATOR else {}
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return {}
    return files if isinstance(files, dict) else {}
