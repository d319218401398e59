"""One mutation from its making to its classification: does the training change, and what is said of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from exam.generator import LAUNCHES, Launch, Lines, generated
from exam.judgement import alarms, classified, known
from exam.mutation import Mutation
from exam.stages import LAUNCH, ROOT, STAGES, TooLate, examined, patience
from opv2v_doctor.sandbox import copy_repository, write_repository
from opv2v_doctor.sandbox import history as git
from opv2v_doctor.sandbox.launch import OVERRIDES

BRIEF = 60.0  # seconds that the measure of a training may take: a healthy one takes ten
HEALTHY = 600.0  # traced
Record = dict[str, Any]


@dataclass
class Warm:
    """A warm process that measures trainings, one question at a time."""

    process: subprocess.Popen[str] = field(
        default_factory=lambda: subprocess.Popen(
            [sys.executable, "-m", "exam.warm"],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
    )

    def measure(self, repo: Path, launch: Launch, folder: Path, seconds: float, **asked: object) -> Record:
        """What a brief training of the repository was, up to where it is unlike the healthy one."""
        request = {
            "repo": str(repo),
            "folder": str(folder / "warm"),
            "overrides": [*LAUNCH, *launch.overrides],
            "infers": launch.infers,
            **asked,
            "seconds": seconds * patience(),
        }
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return dict(json.loads(self.process.stdout.readline()))

    def end(self) -> None:
        """Let it go."""
        self.process.communicate()


def make_pretrained(repo: Path) -> None:
    """Write the weights that a repository's training starts from."""
    words = [sys.executable, "-B", "scripts/make_pretrained.py", *OVERRIDES]
    env = {**os.environ, "PYTHONPATH": str(repo), "OMP_NUM_THREADS": "1"}
    subprocess.run(words, cwd=repo, env=env, check=True, capture_output=True)


@dataclass
class Healthy:
    """The healthy repository with its pretrained weights, nothing trained; and what is known of it."""

    folder: Path
    said: dict[tuple[str, str], dict[str, list[str]]] = field(default_factory=dict)  # by launch and stage
    lines: dict[str, Lines] = field(default_factory=dict)
    asking: threading.Lock = field(default_factory=threading.Lock)

    @property
    def repo(self) -> Path:
        return self.folder / "healthy"

    def prepare(self) -> None:
        """Write it, and the weights that it starts from."""
        write_repository(self.repo)
        make_pretrained(self.repo)

    def record(self, launch: Launch, samples: bool) -> Path:
        """Where the measure of its brief training lies."""
        return self.folder / f"{launch.name}-{'samples' if samples else 'training'}.json"

    def measure(self, warm: Warm) -> None:
        """Measure both launches, and the lines that each runs."""
        for launch in LAUNCHES:
            lines: dict[str, set[int]] = {}
            for samples in (False, True):
                asked = {"samples": samples, "traced": True, "healthy": ""}
                answer = warm.measure(self.repo, launch, self.folder, HEALTHY, **asked)
                if answer["difference"]:
                    raise RuntimeError(f"the healthy {launch.name} training: {answer['phases']}")
                self.record(launch, samples).write_text(json.dumps(answer))
                for rank in (rank for phase in answer["phases"].values() for rank in phase["ranks"]):
                    for path, seen in rank["lines"].items():
                        lines.setdefault(path, set()).update(seen)
            self.lines[launch.name] = {path: frozenset(seen) for path, seen in lines.items()}

    def silent(self, launch: Launch, stage: str) -> dict[str, list[str]]:
        """What a stage says of it; asked when first needed, by one worker."""
        with self.asking:
            if (launch.name, stage) not in self.said:
                copy = self.folder / f"copy-{launch.name}-{stage}"
                copy_repository(self.repo, copy)
                results = examined(stage, copy, launch.overrides, self.folder / "scratch-healthy")
                self.said[launch.name, stage] = known(results)
                shutil.rmtree(copy)
            return self.said[launch.name, stage]


def tried(
    seed: int,
    number: int,
    healthy: Healthy,
    warm: Warm,
    place: Path,
    stages: Sequence[str],
    earlier: Record | None = None,
) -> Record:
    """Make, measure, examine and classify one mutation; `place` is empty before and after.

    `earlier` is what fewer stages said of the same mutation: it is gone on with.
    """
    began = time.monotonic()
    launch, mutation = generated(seed, number, healthy.repo, healthy.lines)
    record = {"seed": seed, "number": number, "launch": launch.name, **described(mutation)}
    copy = place / "repository"
    try:
        copy_repository(healthy.repo, copy)
        try:
            mutation.apply(copy)
        except (ValueError, LookupError, OSError) as error:
            return {**record, "effect": "impossible", "changes": repr(error), "seconds": 0}
        git.commit(copy, "Another change")
        if earlier is None:
            record |= _effect(copy, launch, healthy, warm, place, bool(mutation.files))
        else:
            record |= earlier
        if record["effect"] == "kept":
            record |= _examination(record, copy, launch, healthy, place, stages)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return {**record, "seconds": round(time.monotonic() - began, 1)}


def is_open(record: Mapping[str, Any], stages: Sequence[str]) -> bool:
    """Whether a mutation was kept and not found, and there are stages that did not see it."""
    unseen = set(stages) - set(record.get("seconds_of", ()))
    return record["effect"] == "kept" and record["verdict"] in ("missed", "blocked") and bool(unseen)


def described(mutation: Mutation) -> Record:
    """A mutation as a line of the results has it."""
    names = ("kind", "group", "path", "line", "function", "about")
    return {**{name: getattr(mutation, name) for name in names}, "files": list(mutation.files)}


def _effect(copy: Path, launch: Launch, healthy: Healthy, warm: Warm, place: Path, samples: bool) -> Record:
    """kept: the training changes; equivalent: nothing does; loud: it fails before its first step."""
    wanted = str(healthy.record(launch, samples))
    asked = {"samples": samples, "traced": False, "healthy": wanted}
    answer = warm.measure(copy, launch, place, BRIEF, **asked)
    if not answer["difference"]:
        return {"effect": "equivalent"}
    phase = answer["phases"][answer["phase"]]
    failed = not phase["ended"] and not phase["hung"]
    loud = failed and answer["phase"] in ("trained", "samples") and not phase["ranks"][0].get("steps")
    shown = f"{answer['phase']}: {answer['difference']}"
    last = phase["said"].strip().splitlines()[-1:] if failed else []
    return {"effect": "loud" if loud else "kept", "changes": " ".join([shown, *last])}


def _examination(
    record: Mapping[str, Any],
    copy: Path,
    launch: Launch,
    healthy: Healthy,
    place: Path,
    stages: Sequence[str],
) -> Record:
    """Stage after stage, to the first that finds it; those that saw it before are not asked again."""
    source = (copy / record["path"]).read_text() if record["path"].endswith(".py") else ""
    seconds: dict[str, float] = dict(record.get("seconds_of", {}))
    blocked: list[Record] = list(record.get("said", ()))
    for stage in [each for each in stages if each not in seconds]:
        silent = healthy.silent(launch, stage)
        began = time.monotonic()
        try:
            said = alarms(examined(stage, copy, launch.overrides, place / "scratch"), silent)
        except TooLate:
            return {"stage": stage, "verdict": "too late", "seconds_of": {**seconds, stage: STAGES[stage]}}
        seconds[stage] = round(time.monotonic() - began, 1)
        judged = classified(record, said, source)
        if judged["found"]:
            tiers = [each["tier"] for each in said if each["status"] != "blocked"]
            first = "static" if stage == "data" and "static" in tiers else stage
            return {"stage": first, "verdict": "found", **judged, "said": said, "seconds_of": seconds}
        blocked += said
    judged = classified(record, blocked, source)
    verdict = "blocked" if blocked else "missed"
    return {"stage": "", "verdict": verdict, **judged, "said": blocked, "seconds_of": seconds}
