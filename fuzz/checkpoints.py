"""Checkpoints under fuzz: archives, their pickles and their directories; tables, weights, difference."""

from __future__ import annotations

import contextlib
import io
import json
import warnings
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

import numpy  # noqa: F401  (imported late, it would set variables of the environment)
import yaml  # noqa: F401

from fuzz import ROOT, Subject
from fuzz.execution import nothing_runs
from fuzz.hostile import letters, named, planted
from fuzz.mutations import mutated
from fuzz.trials import ended
from opv2v_doctor.cli.checkpoint import diff, show
from opv2v_doctor.facts.past import pickles
from opv2v_doctor.facts.past.checkpoints.archives import open_archive
from opv2v_doctor.facts.past.checkpoints.unreadable import CheckpointUnreadable, reasons
from opv2v_doctor.facts.past.pickles.machine import PickleRefused

CORPUS = ROOT / "tests" / "corpus" / "checkpoints"
LARGEST = 2 << 20  # bytes of a member that is changed again
OTHERS = 0.15  # the share of what is no archive: safetensors, legacy pickles
WORDS = (
    *(
        b"PK\x01\x02",
        b"PK\x03\x04",
        b"PK\x05\x06",
        b"PK\x06\x06",
        b"PK\x06\x07",
        b"\x80\x02",
        b".",
        b"(",
        b"t",
        b"R",
    ),
    *(
        b"\x93",
        b"\x94",
        b"\x95",
        b"q\0",
        b"h\0",
        b"}",
        b"]",
        b")",
        b"\x85",
        b"\x86",
        b"\x87",
        b"u",
        b"Q",
        b"b",
        b"0",
    ),
    *(b'{"', b"null", b"[[[[", b"-1", b"1e999", b'"data_offsets":[0,0]', b'"shape":[4294967296,4294967296]'),
    b"ctorch._utils\n_rebuild_tensor_v2\n",
    b"X\x05\0\0\0model",
    b"X\x09\0\0\0optimizer",
)


def seeds() -> Sequence[bytes]:
    """The corpus: real checkpoints of a small model, packed and not, and safetensors."""
    return [path.read_bytes() for path in sorted(CORPUS.iterdir())]


def mutation(seeds: Sequence[bytes], random: Random) -> bytes:
    """One checkpoint, changed in one of its layers: the file, the pickle in it, or both."""
    archives = [seed for seed in seeds if seed.startswith(b"PK")]
    if random.random() < OTHERS:
        return _header(random.choice(seeds), seeds, random)
    return random.choice(LAYERS)(random.choice(archives), seeds, random)


def _file(content: bytes, seeds: Sequence[bytes], random: Random) -> bytes:
    return mutated(content, seeds, WORDS, random)


def _header(content: bytes, seeds: Sequence[bytes], random: Random) -> bytes:
    """The JSON of safetensors, its length kept right."""
    if content[8:9] != b"{":
        return _file(content, seeds, random)
    end = 8 + int.from_bytes(content[:8], "little")
    header = mutated(content[8:end], seeds, WORDS, random)
    if random.random() < 0.2:
        header = json.dumps(
            {f"t{n}": {"dtype": "F32", "shape": [1 << n], "data_offsets": [0, 4]} for n in range(40)}
        ).encode()
    return len(header).to_bytes(8, "little") + header + content[end:]


def _pickle(content: bytes, seeds: Sequence[bytes], random: Random) -> bytes:
    """The pickle changed, the archive around it whole."""
    return _rewritten(content, random, lambda each: mutated(each, [each], WORDS, random))


def _hostile(content: bytes, seeds: Sequence[bytes], random: Random) -> bytes:
    return _rewritten(content, random, lambda each: planted(each, random))


def _hostile_and_changed(content: bytes, seeds: Sequence[bytes], random: Random) -> bytes:
    return _rewritten(content, random, lambda each: mutated(planted(each, random), [each], WORDS, random))


def _bomb(content: bytes, seeds: Sequence[bytes], random: Random) -> bytes:
    """Members that unpack to a thousand times their size."""
    size = 70 << 20 if random.random() < 0.02 else 1 << 20
    return _rewritten(content, random, lambda each: each + bytes(size), zipfile.ZIP_DEFLATED)


def _directory(content: bytes, seeds: Sequence[bytes], random: Random) -> bytes:
    """The archive's directory changed, where the members' lengths and places are."""
    start = content.rfind(b"PK\x01\x02", 0, content.find(b"PK\x01\x02") + 200)
    return content[:start] + mutated(content[start:], seeds, WORDS, random)


LAYERS: tuple[Callable[[bytes, Sequence[bytes], Random], bytes], ...] = (
    *(_file, _directory, _pickle, _pickle, _hostile, _hostile_and_changed),
    *(_file, _directory, _pickle, _pickle, _hostile, _hostile_and_changed),
    _bomb,
)


def _rewritten(
    content: bytes, random: Random, change: Callable[[bytes], bytes], method: int | None = None
) -> bytes:
    """The archive with its pickle, and now and then another member, changed, and its checksums right."""
    out = io.BytesIO()
    with (
        warnings.catch_warnings(),
        zipfile.ZipFile(io.BytesIO(content)) as old,
        zipfile.ZipFile(out, "w") as new,
    ):
        warnings.simplefilter("ignore")  # a name that is there twice
        for member in old.infolist():
            if member.file_size > LARGEST:
                continue  # a bomb already, when changes are put upon changes
            each = old.read(member)
            if member.filename.endswith("data.pkl") or random.random() < 0.02:
                each = change(each)
            how = random.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)) if method is None else method
            for _ in range(1 if random.random() > 0.002 else 2):
                new.writestr(zipfile.ZipInfo(member.filename), each, how)  # of no time: made again alike
    return out.getvalue()


def examine(content: bytes, folder: Path) -> None:
    """The command as a user gives it, its difference to a whole checkpoint, and the names in its pickle."""
    path = folder / "checkpoint-1.pth"
    path.write_bytes(content)
    whole = CORPUS / "checkpoint.pth"
    with nothing_runs(), contextlib.redirect_stdout(io.StringIO()):
        ended(lambda: show([path], deep=True, model=whole, format="text", strict=False))
        ended(lambda: show([path], deep=False, model=None, format="json", strict=False))
        ended(lambda: diff(whole, path, format="text", strict=False))
        _agree(path)


def _agree(path: Path) -> None:
    """No name is missed that the standard library's reading of the operations finds."""
    try:
        with reasons(path), open_archive(path) as archive:
            content = archive.read("data.pkl")
    except CheckpointUnreadable:
        return
    try:
        found = pickles.walk(content)
    except PickleRefused:
        return
    missed = named(content) - set(map(letters, found.names))
    assert not missed, f"names that were not told: {missed}"


SUBJECT = Subject(name="checkpoints", suffix=".pth", seeds=seeds, mutated=mutation, examine=examine)
