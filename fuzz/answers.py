"""Answers of the training interpreter under fuzz: whatever it says, prints and does, there is an end in time.

An input is a book of answers, a line each: the question (`*`: any), what is done, and the bytes that are
said. An interpreter of a few lines goes by it. The healthy book was recorded from the embedded repository.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

from fuzz import ROOT, Subject
from fuzz.mutations import mutated
from opv2v_doctor.check import Tier
from opv2v_doctor.facts.interpreter.probe import start_second
from opv2v_doctor.registry import installed_checks, select
from opv2v_doctor.reporters import Examination, text
from opv2v_doctor.result import Status, exit_code
from opv2v_doctor.runner import run
from opv2v_doctor.sandbox import write_repository
from opv2v_doctor.state import State
from opv2v_doctor.target import make_target

LIMIT = 0.7  # seconds that one question may take
GONE = 10.0  # seconds in which a killed process has left the table of a busy machine
LONGEST = 60.0  # seconds of an examination, on a busy machine: three limits are lost at most
FAMILIES = ("CFG", "DAT", "ENV", "GEO", "LDR", "MSK", "SCH")
INTERPRETER = """
import json, os, signal, sys, time
book, repo, answers = sys.argv[1], os.getcwd().encode(), int(sys.argv[5])
lines = [line.split(b"\\t", 2) for line in open(book, "rb").read().replace(b"@REPO@", repo).split(b"\\n")]
said, places = {}, {}
for name, *rest in lines:
    if len(rest) == 2:
        said.setdefault(name, []).append(rest)

def say(words):
    while words:
        words = words[os.write(answers, words):]

def act(action, words):
    if action == b"slow":
        time.sleep(0.3)
    elif action == b"drip":
        for at in range(0, len(words), 64):
            say(words[at : at + 64])
            time.sleep(0.002)
        words = b""
    elif action == b"flood":
        while True:
            say(words or b" ")
    elif action == b"lines":
        while True:
            say(words + b"\\n")
    elif action == b"deep":
        words = b'{"answer": ' + b"[" * 100000 + b"]" * 100000 + b"}"
    elif action == b"nested":
        words = b'{"answer": ' + b'{"a": ' * 99 + words + b"}" * 99 + b"}"
    elif action == b"hang":
        time.sleep(1000)
    elif action == b"die":
        os.kill(os.getpid(), len(words) % 64 or 9)
    elif action == b"leave":
        os._exit(len(words) % 256)
    elif action == b"close":
        os.close(answers)
        time.sleep(1000)
    elif action == b"print":
        for _ in range(100):
            os.write(1, words * (1 + 100000 // (len(words) + 1)))
    elif action == b"twice":
        say(words + b"\\n")
    elif action == b"parent":
        os.kill(os.getppid(), 9)
        time.sleep(1000)
    elif action == b"stop":
        os.kill(os.getppid(), signal.SIGSTOP)
    elif action == b"detach" and os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            time.sleep(1000)
        os._exit(0)
    say(words + b"\\n")

for request in os.fdopen(int(sys.argv[4]), "rb"):
    request = json.loads(request)
    name = request["module"] + "." + request["question"]
    if isinstance(request["arguments"].get("folder"), str):
        name += " " + os.path.basename(request["arguments"]["folder"])
    known = said.get(name.encode()) or said.get(b"*") or [[b"leave", b"x"]]
    for _ in range(100):
        places[name] = places.get(name, 0) + 1
        action, words = known[(places[name] - 1) % len(known)]
        act(action, words)
        if b'"progress"' not in words[:14]:
            break
"""
ACTIONS = (
    *(b"say", b"slow", b"drip", b"flood", b"lines", b"deep", b"nested", b"hang", b"die", b"leave", b"close"),
    *(b"print", b"twice", b"parent", b"stop", b"detach"),
)
WORDS = (
    *(b"\n", b"\t", b"\0", b"{", b"}", b"[" * 50, b'"', b"\xff\xfe", b"null", b"NaN", b"-Infinity", b"1e999"),
    *(b"*\tsay\t", b'{"answer": null}', b'{"progress": ["x", 0, 1]}', b'{"raised": {}}', b"9" * 4000),
)
VALUES: tuple[object, ...] = (
    *(
        None,
        True,
        -1,
        0,
        1e308,
        float("nan"),
        float("inf"),
        10**30,
        -(10**400),
        "",
        "x" * 5000,
        "\ud800",
        "\0",
    ),
    *("../../..", "/dev/zero", "\x1b[2J{x}", [], {}, [[]], {"": {}}, [None] * 1000, "{0}", "{x!r}"),
)


def seeds() -> Sequence[bytes]:
    """The corpus: the healthy book first."""
    folder = ROOT / "tests" / "corpus" / "answers"
    return [path.read_bytes() for path in sorted(folder.iterdir(), key=lambda path: -path.stat().st_size)]


def mutation(seeds: Sequence[bytes], random: Random) -> bytes:
    """A book in which some answers hold other values, some are acted otherwise, or bytes are changed."""
    lines = (seeds[0] if random.random() < 0.9 else random.choice(seeds)).split(b"\n")
    for _ in range(random.choice((0, 1, 1, 2, 5, 20))):
        place = random.randrange(len(lines))
        parts = lines[place].split(b"\t", 2)
        if len(parts) == 3:
            parts[2] = _other(parts[2], random)
            lines[place] = b"\t".join(parts)
    for _ in range(random.choice((0, 0, 1, 1, 3))):
        place = random.randrange(len(lines))
        parts = lines[place].split(b"\t", 2)
        lines[place] = b"\t".join([parts[0], random.choice(ACTIONS), *parts[2:]])
    book = b"\n".join(lines)
    return mutated(book, seeds, WORDS, random) if random.random() < 0.3 else book


def _other(answer: bytes, random: Random) -> bytes:
    """An answer with one value exchanged, taken away or doubled; as it is, where it is no JSON."""
    try:
        document: Any = json.loads(answer)
    except ValueError:
        return answer
    nodes: list[tuple[Any, Any]] = []
    rest = [document]
    for node in rest:
        keys = node if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
        nodes += [(node, key) for key in keys]
        rest += [node[key] for key in keys]
    if not nodes:
        return answer
    node, key = random.choice(nodes)
    if random.random() < 0.2:
        del node[key]
    elif random.random() < 0.1 and isinstance(node, list):
        node += node * 20
    else:
        node[key] = random.choice(VALUES)
    return json.dumps(document).encode()


def examine(content: bytes, folder: Path) -> None:
    """Examine the embedded repository with an interpreter that goes by the book."""
    repo = folder.parent / "repository"
    if not (repo / "written").exists():
        write_repository(repo)
        (repo / "written").touch()
    random = Random(content)
    book, program = folder / "book", folder / "interpreter.py"
    python = folder / f"python-{hashlib.sha256(content).hexdigest()[:16]}"  # another target for another input
    book.write_bytes(content)
    program.write_text(INTERPRETER)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" -IS "{program}" "{book}" "$@"\n')
    python.chmod(0o755)
    target = make_target(repo=repo, python=str(python), timeout=LIMIT, num_samples=1)
    target = replace(target, state=State())  # the next input is another world
    checks = select(installed_checks(), random.sample(FAMILIES, 2), Tier.DATA)
    begun = time.monotonic()
    try:
        if random.random() < 0.5:
            start_second(target)
        results = list(run(checks, target))
    finally:
        target.state.forget()
    for line in text.report(results, Examination(repo=repo)):
        line.encode(errors="backslashreplace")
    assert exit_code(results, strict=False) in (0, 1, 3)
    crashed = [result for result in results if result.status is Status.CRASHED]
    assert not crashed, f"{crashed[0].check.code}: {crashed[0].reason}"
    seconds = time.monotonic() - begun
    assert seconds < LONGEST, f"{seconds:.0f} s"
    gone_by = time.monotonic() + GONE
    while left := _alive(book):
        if b"\tparent" in content:  # who kills its supervisor leaves what it had detached: docs/security.md
            for pid in left:
                os.kill(pid, signal.SIGKILL)
            break
        assert time.monotonic() < gone_by, "a process is left"
        time.sleep(0.05)


def _alive(book: Path) -> list[int]:
    """The processes that go by the book."""
    found = []
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if folder.name.isdecimal() and bytes(book) in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
    return found


SUBJECT = Subject(name="answers", suffix=".txt", seeds=seeds, mutated=mutation, examine=examine)
