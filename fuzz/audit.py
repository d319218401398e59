"""The audit under fuzz: any bytes as frame file, picture, point cloud or depth map end in a record."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import cast

import fsspec.implementations.local  # noqa: F401  (imported late, it would look into the interpreter)

from fuzz import Subject, corpus
from fuzz.execution import nothing_runs
from fuzz.mutations import mutated
from opv2v_doctor.audit.inventory import open_inventory
from opv2v_doctor.audit.listing import Dataset
from opv2v_doctor.audit.reading import Chunk, read_chunk
from opv2v_doctor.audit.record_tables import csv_lines
from opv2v_doctor.audit.survey import survey
from opv2v_doctor.audit.verdicts import VERDICTS
from opv2v_doctor.audit.workers import readers
from opv2v_doctor.reporters import Examination, text
from opv2v_doctor.result import Status
from opv2v_doctor.runner import run
from opv2v_doctor.target import Target

NAMES = (".yaml", ".pcd", "_camera0.png", "_camera0_depth.npy", "_camera1_depth.png")
WORDS = (
    b"\x89PNG\r\n\x1a\n",
    b"\0\0\0\x0dIHDR",
    b"IEND\xaeB`\x82",
    b"IDAT",
    b"tRNS",
    b"iCCP",
    b"PLTE",
    b"tEXt",
    b"\x93NUMPY",
    b"{'descr': '<f4', 'fortran_order': False, 'shape': (3, 3), }\n",
    b"'|O'",
    b"(2, -1)",
    b"(1 << 40,)",
    b"DATA ascii\n",
    b"DATA binary\n",
    b"DATA binary_compressed\n",
    b"POINTS 99999999\n",
    b"SIZE 4 4 4 4\n",
    b"COUNT 1 1 1 99999\n",
    b"TYPE F F F F\n",
    b"nan nan nan\n",
    b"\xff\xff\xff\xff",
    b"\0" * 50,
    b"\n",
    b"# ",
    b"&a ",
    b"*a",
    b"!!python/object/apply:os.system ['x']",
    b"[" * 300,
    b"- " * 300,
    b"<<: *a",
    b"\t",
    b": ",
    b"lidar_pose: [.nan, .inf, 1e400, 0, 0, 0]\n",
    b"camera0:\n",
    b"cords: []\n",
    b"intrinsic: 1\n",
    b"? ",
    b"0x",
)


def seeds() -> Sequence[bytes]:
    """The corpus: a file of each kind and form of a small dataset, and what was found."""
    return corpus("audit")


def mutation(seeds: Sequence[bytes], random: Random) -> bytes:
    """One file, changed."""
    return mutated(random.choice(seeds), seeds, WORDS, random)


def examine(content: bytes, folder: Path) -> None:
    """The same bytes as a file of each kind: read, judged, and written as report and as table."""
    place = folder / "data" / "train" / "scenario" / "1"
    place.mkdir(parents=True)
    for name in NAMES:
        (place / f"000069{name}").write_bytes(content)
    dataset = Dataset(str(folder / "data"))
    with nothing_runs():
        for agent in dataset.folders():
            read_chunk(Chunk(dataset, dataset.files(agent)))
    with open_inventory(dataset, folder / "cache") as inventory:
        survey(inventory, readers(1), lambda *_: None)
        results = list(run(VERDICTS, cast("Target", inventory)))
        for line in (*text.report(results, Examination(repo=folder)), *csv_lines(inventory)):
            line.encode()
    crashed = [result for result in results if result.status is Status.CRASHED]
    assert not crashed, (crashed[0].check.code, crashed[0].reason)


SUBJECT = Subject(name="audit", suffix=".bytes", seeds=seeds, mutated=mutation, examine=examine)
