"""Records under fuzz: any run.json and what lies beside it, through `runs` and the index of `serve`."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import get_args

from fuzz import ROOT, Subject, corpus
from fuzz.bundles import put, unbundle
from fuzz.execution import nothing_runs
from fuzz.mutations import mutated
from fuzz.trials import ended
from opv2v_doctor.cli.runs import Form, diff, list_runs, show, verify
from opv2v_doctor.serving.application import page

CORPUS = ROOT / "tests" / "corpus" / "records"
WORDS = (
    b"null",
    b"[]",
    b"{}",
    b'""',
    b"-1",
    b"1e999",
    b"NaN",
    b"9" * 4000,
    b"true",
    b"\0",
    b"\xff",
    b"\\ud800",
    b"[" * 3000,
    b'{"a":' * 3000,
    b"\\u001b[2J",
    b"\\u202e",
    b"../../../../etc/passwd",
    b"/dev/zero",
    b'"9999-12-31T23:59:59+00:00"',
    b'"0001-01-01T00:00:00+14:00"',
    b'"folder": "/",',
    b'"pid": 1,',
    b'"files": {"": "x", "/": "y", "a\\u0000": "z"},',
    b'"status": "running",',
    b'"status": "unstamped",',
    b"\n=== log.txt\n",
    b"\n=== checkpoints.jsonl\n",
    b"\n=== events.jsonl\n",
    b"\n=== config.yaml\n",
    b'{"event": "loader", "name": [], "length": {}}\n',
    b'{"file": 1, "size": "x", "epoch": []}\n',
)


def seeds() -> Sequence[bytes]:
    """The corpus: bundles of the files of a run, the first one healthy."""
    return corpus("records")


def mutation(seeds: Sequence[bytes], random: Random) -> bytes:
    """One run, changed."""
    return mutated(random.choice(seeds), seeds, WORDS, random)


def examine(content: bytes, folder: Path) -> None:
    """Every command about runs, on this one and against a healthy one; the index shows both."""
    run, good = folder / "run", folder / "good"
    for place, files in ((run, unbundle(content)), (good, unbundle((CORPUS / "healthy.run").read_bytes()))):
        place.mkdir()
        for name, body in files.items():
            put(name, body, place)
    with nothing_runs(), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        for form in get_args(Form):
            list_runs(folder, repo=None, settings=None, format=form)
            ended(lambda form=form: show(run, format=form))  # type: ignore[misc]
            ended(lambda form=form: diff(good, run, format=form))  # type: ignore[misc]
        ended(lambda: verify(run))
        page(folder).encode()


SUBJECT = Subject(name="records", suffix=".run", seeds=seeds, mutated=mutation, examine=examine)
