"""Guided by coverage: atheris (libFuzzer) chooses what to change further, besides our mutations."""

from __future__ import annotations

import contextlib
import importlib
import sys
import tempfile
from pathlib import Path
from random import Random
from typing import Any

from fuzz import Subject
from fuzz.mutations import LONGEST
from fuzz.trials import LIMIT, tried

INSTRUMENTED = (
    "opv2v_doctor.facts.past.logs",
    "opv2v_doctor.facts.past.pickles",
    "opv2v_doctor.facts.past.checkpoints",
)
OURS = 0.5  # the share of inputs that our own mutations make


def guided(name: str, seconds: float, seed: int, findings: Path) -> int:
    """Run libFuzzer for so many seconds; it ends the process itself, with 1 and more for a finding."""
    try:
        atheris = importlib.import_module("atheris")
    except ImportError:
        sys.stderr.write("--guided needs atheris: pip install 'opv2v-doctor[fuzz]'\n")
        return 2
    with atheris.instrument_imports(include=list(INSTRUMENTED)):
        found: Subject = importlib.import_module(f"fuzz.{name}").SUBJECT
    seeds = found.seeds()
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    corpus = folder / "corpus"
    corpus.mkdir()
    for number, content in enumerate(seeds):
        (corpus / str(number)).write_bytes(content[:LONGEST])
        tried(found, content[:LONGEST], folder / "trial")  # whatever is imported late is imported now
    findings.mkdir(parents=True, exist_ok=True)

    def one(content: bytes) -> None:
        trial = tried(found, content, folder / "trial")
        if trial.problem:
            raise RuntimeError(f"{trial.problem}\n{trial.details}")

    def mutation(content: bytes, longest: int, number: int) -> Any:
        random = Random(number)
        if random.random() < OURS:
            with contextlib.suppress(Exception):  # what is no archive any more can only be changed as bytes
                return found.mutated([content] if content else seeds, random)[:longest]
        return atheris.Mutate(content, longest)

    flags = [f"-max_total_time={seconds:.0f}", f"-seed={seed + 1}", f"-timeout={30 * LIMIT:.0f}"]
    flags += [f"-max_len={LONGEST}", f"-artifact_prefix={findings.resolve()}/", "-rss_limit_mb=4096"]
    atheris.Setup([sys.argv[0], *flags, "-print_final_stats=1", str(corpus)], one, custom_mutator=mutation)
    atheris.Fuzz()
    return 0
