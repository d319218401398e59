"""`python -m fuzz.kills`: kill a real two-rank training at random moments, again and again, and resume it.

Each time one rank, the launcher, all that it started but the ranks, or everything gets SIGKILL. After it no
process may be left, the record must read as what happened, no checkpoint may have gone back, its counters
must agree, and the next launch must go on with the epoch after the last one saved; else exit code 1.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from opv2v_doctor.facts.past.checkpoints import Checkpoint, read_checkpoint
from opv2v_doctor.runs import processes
from opv2v_doctor.runs.record import Run, RunStatus, read_run
from opv2v_doctor.sandbox import train_briefly, write_repository

VICTIMS = ("rank", "launcher", "all but the ranks", "everything")
LATEST = 15.0  # seconds after the first step is printed, or after the start
LEFT = 60.0  # seconds in which all processes must be gone
FIRST_STEP = re.compile(r"Epoch: \[(\d+)\]  \[ *\d+/")


@dataclass(kw_only=True)
class Scene:
    """A training that is killed: its repository, its run directory, and what was found wrong."""

    repo: Path
    run: Path
    chance: random.Random
    wrong: list[str] = field(default_factory=list)

    def start(self, log: Path) -> subprocess.Popen[bytes]:
        """The training, from its beginning or from its last checkpoint, behind a gate of one check."""
        begun = (self.run / "run.json").exists()
        goal = ["--resume", self.run] if begun else [f"hydra.run.dir={self.run}"]
        options = ["--repo", self.repo, "--settings", self.run.with_suffix(".toml")]
        words = [sys.executable, "-m", "opv2v_doctor", "train", *options, "train_params.epochs=1000", *goal]
        with log.open("wb") as file:
            return subprocess.Popen(words, stdout=file, stderr=file, start_new_session=True)

    def living(self) -> dict[int, dict[str, str]]:
        """Every process of every launch of the run, with its environment."""
        record = self.record()
        tokens = [launch.token for launch in record.launches] if record else []
        return {pid: env for token in tokens for pid, env in processes.of_launch(token).items()}

    def record(self) -> Run | None:
        return read_run(self.run) if (self.run / "run.json").exists() else None

    def last(self) -> Checkpoint | None:
        path = self.run / "checkpoint-last.pth"
        return read_checkpoint(path) if path.exists() else None


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m fuzz.kills", description=__doc__)
    parser.add_argument("--times", type=int, default=20, help="kills of each kind (default: 20)")
    parser.add_argument("--victims", nargs="+", choices=VICTIMS, default=list(VICTIMS))
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        repo = Path(folder) / "repository"
        write_repository(repo)
        train_briefly(repo)
        settings = 'select = ["CFG001"]\n' + (repo / "opv2v-doctor.toml").read_text()
        for victim in chosen.victims:
            scene = Scene(
                repo=repo, run=Path(folder) / victim.replace(" ", "_"), chance=random.Random(chosen.seed)
            )
            scene.run.with_suffix(".toml").write_text(settings)
            for number in range(chosen.times):
                _kill_once(scene, victim, number, Path(folder) / "output.log")
            wrong += scene.wrong
    total = chosen.times * len(chosen.victims)
    sys.stdout.write(f"{total} kills, {len(wrong)} things wrong\n")
    return int(bool(wrong))


def _kill_once(scene: Scene, victim: str, number: int, log: Path) -> None:
    before = scene.last()
    process = scene.start(log)
    _wait_for_a_random_moment(scene, process, log, ranks=victim == "rank")
    family = scene.living()
    ranks = [pid for pid, env in family.items() if "RANK" in env]
    chosen = {
        "rank": [scene.chance.choice(ranks)] if ranks else [],
        "launcher": [process.pid],
        "all but the ranks": [process.pid, *(pid for pid in family if pid not in ranks)],
        "everything": [process.pid, *family],
    }[victim]
    for pid in chosen:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    killed = time.monotonic()
    process.wait()
    while scene.living() and time.monotonic() - killed < LEFT:
        time.sleep(0.05)
    gone = time.monotonic() - killed
    problems = list(_problems(scene, victim, before, log.read_text(errors="replace")))
    scene.wrong += problems
    after = scene.last()
    sys.stdout.write(
        f"{victim} {number + 1}: all gone in {gone:.1f} s, {after.counted if after else 'no checkpoint yet'}"
        f"{''.join(f'; WRONG: {problem}' for problem in problems)}\n"
    )
    sys.stdout.flush()


def _wait_for_a_random_moment(
    scene: Scene, process: subprocess.Popen[bytes], log: Path, *, ranks: bool
) -> None:
    """Mostly after the first step; now and then earlier, but where a rank is to be killed."""
    if ranks or scene.chance.random() > 0.2:
        while not FIRST_STEP.search(log.read_text(errors="replace")) and process.poll() is None:
            time.sleep(0.2)
    end = time.monotonic() + scene.chance.uniform(0, LATEST)
    while time.monotonic() < end and process.poll() is None:
        time.sleep(0.05)


def _problems(scene: Scene, victim: str, before: Checkpoint | None, said: str) -> list[str]:
    """What is not as it must be after a kill."""
    found = [f"{len(scene.living())} processes are left"] if scene.living() else []
    record, after = scene.record(), scene.last()
    expected = RunStatus.FAILED if victim == "rank" else RunStatus.INTERRUPTED
    if record is not None and record.state is not expected:
        found.append(f"the record says {record.state}, not {expected}")
    reached = -1 if before is None or before.epoch is None else before.epoch
    now = -1 if after is None or after.epoch is None else after.epoch
    if now < reached:
        found.append("a checkpoint was lost")
    steps = record.stamp.steps_per_epoch if record else None
    if after is not None and steps and after.steps != (now + 1) * steps:
        found.append(f"the checkpoint's counters disagree: {after.counted}")
    first = FIRST_STEP.search(said)
    if first and int(first[1]) != reached + 1:
        found.append(f"went on with epoch {first[1]} after epoch {reached}")
    return found


if __name__ == "__main__":
    sys.exit(main())
