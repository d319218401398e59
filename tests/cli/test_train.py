"""train, infer and runs as a user types them, on the embedded repository: real torchrun, real watch."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from opv2v_doctor.facts.past.checkpoints import read_checkpoint
from opv2v_doctor.runs import processes
from opv2v_doctor.runs.record import RunStatus, read_run
from opv2v_doctor.sandbox import copy_repository

from ..forked import doctors

Broken = Callable[..., Path]
QUICK = 'select = ["CFG001", "CFG002"]\n'  # the whole gate is tested where it matters
INFER = """
import json, os, sys
from pathlib import Path
where = dict(zip(sys.argv[1::2], sys.argv[2::2]))
if "--fail" in where:
    sys.exit(5)
Path(where["--output"], "answer.json").write_text(json.dumps(where))
print("inferred", where["--split"], os.getcwd())
"""
ARGUMENTS = (
    '["--checkpoint", "{checkpoint}", "--split", "{split}", "--index", "{index}", "--output", "{output}"]'
)


def doctor(*words: object, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "opv2v_doctor", *map(str, words)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **env},
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="module")
def repo(healthy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose settings keep the gate short; one launch is in it."""
    copy = tmp_path_factory.mktemp("launched 训练") / "map anything"
    copy_repository(healthy, copy)
    settings = copy / "opv2v-doctor.toml"
    infer = f'\n[infer]\nscript = "scripts/infer.py"\narguments = {ARGUMENTS}\n'
    watch = '\n[watch]\nrender = "best"\nnotify = "cat >> experiments/one/told.jsonl"\n'
    settings.write_text(QUICK + settings.read_text().partition("\n[infer]")[0] + infer + watch)
    (copy / "scripts/infer.py").write_text(INFER)
    git(copy, "add", ".")
    git(copy, "commit", "-m", "settings")
    return copy


def git(repo: Path, *words: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    done = subprocess.run(["git", *identity, *words], cwd=repo, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture(scope="module")
def run(repo: Path) -> Path:
    """A run of one epoch on two ranks, with a change that is not committed."""
    (repo / "mapanything/new.py").write_text("a = 1\n")
    done = doctor("train", "--repo", repo, "train_params.epochs=1", "hydra.run.dir=experiments/one")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    return repo / "experiments/one"


def test_a_training_is_stamped_watched_and_written_down(repo: Path, run: Path) -> None:
    record = read_run(run)
    stamp = record.stamp
    assert (record.state, record.last.exit_code) == (RunStatus.FINISHED, 0)
    assert (stamp.commit, stamp.branch) == (git(repo, "rev-parse", "HEAD"), "main")
    assert stamp.untracked == ("mapanything/new.py",)
    assert (stamp.world_size, stamp.steps_per_epoch) == (2, 10)
    assert stamp.modules["mapanything"] == str(repo / "mapanything/__init__.py")
    assert "b/mapanything/new.py" in (run / "diff.patch").read_text()
    assert "torch==" in (run / "packages.txt").read_text()
    assert json.loads((run / "report.json").read_text())["exit_code"] == 0
    assert read_checkpoint(run / "checkpoint-last.pth").steps == 10
    assert stamp.dataset is not None
    assert stamp.dataset.roots == (str(repo / "data/OPV2V"), str(repo / "data/opv2v_depth"))
    events = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    assert {event["rank"] for event in events} == {0, 1}
    assert {e["config_hash"] for e in events if e["event"] == "start"} == {stamp.config_hash}


def test_the_run_has_a_notebook_with_its_best_checkpoint_rendered(run: Path) -> None:
    text = (run / "record.md").read_text()
    assert "`len(loader_train)` is 10." in text and "- [x] The training came to its own end" in text
    (page,) = run.glob("eval_runs/checkpoint-best_epoch0_val_0/*.html")
    assert page.name.replace("_", "\\_") in text
    assert json.loads((run / "told.jsonl").read_text())["event"] == "end"


def test_the_run_is_listed_shown_verified_and_compared(repo: Path, run: Path) -> None:
    listed = json.loads(doctor("runs", "list", "--repo", repo, "--format", "json").stdout)
    rows = {Path(row["run"]).name: row for row in listed}
    assert (rows["one"]["state"], rows["one"]["steps"], rows["one"]["gate"]) == ("finished", 10, "passed")
    assert rows["one"]["commit"].endswith("+")
    assert rows["opv2v_cyl_coop"]["state"] == "unstamped"
    assert "2 processes, 10 steps per epoch" in doctor("runs", "show", run).stdout
    verified = doctor("runs", "verify", run)
    assert verified.returncode == 0, verified.stdout
    assert "checkpoint-last.pth: epoch 0 after 10 steps" in verified.stdout


def test_a_changed_directory_does_not_verify(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-r", run, copy], check=True)
    for name in ("config.yaml", "run.json"):
        text = (copy / name).read_text()
        (copy / name).write_text(
            text.replace("lr: 0.01", "lr: 0.02").replace('"world_size": 2', '"world_size": 4')
        )
    last = bytearray((copy / "checkpoint-last.pth").read_bytes())
    last[200_000] ^= 1
    (copy / "checkpoint-last.pth").write_bytes(last)
    (copy / "checkpoint-best.pth").unlink()
    verified = doctor("runs", "verify", copy)
    assert verified.returncode == 1
    bad = [line for line in verified.stdout.splitlines() if line.startswith("BAD")]
    assert [line.split(":")[0] for line in bad] == [
        "BAD stamp of launch 1",
        "BAD config.yaml",
        "BAD checkpoint-last.pth",
        "BAD checkpoint-best.pth",
    ]


def test_an_unstamped_run_is_adopted_and_compared(run: Path, repo: Path, tmp_path: Path) -> None:
    other = tmp_path / "by hand"
    subprocess.run(["cp", "-r", repo / "experiments/opv2v_cyl_coop", other], check=True)
    assert doctor("runs", "show", other).returncode == 2
    assert doctor("runs", "adopt", other).returncode == 0
    record = read_run(other)
    assert (record.state, record.stamp.world_size, record.stamp.steps_per_epoch) == (
        RunStatus.UNSTAMPED,
        2,
        10,
    )
    assert doctor("runs", "verify", other).returncode == 0
    assert doctor("runs", "adopt", other).returncode == 2
    compared = json.loads(doctor("runs", "diff", run, other, "--format", "json").stdout)
    assert compared["config"] == {"train_params.epochs": [1, 3]}
    assert compared["progress"]["optimizer steps"] == [10, 30]


def test_a_dry_run_prints_and_writes_nothing(repo: Path, run: Path) -> None:
    before = sorted(repo.rglob("*"))
    words = ("--dry-run", "--gpus", 5, "+wandb.api_key=nobody-may-see-it")
    done, full, blocked = doctors(
        [("train", "--repo", repo, *words, *more) for more in ((), ("-v",), ("train_params.lr=???",))]
    )
    command, *plan = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in plan] == ["directory", "code", "size", "gate", "nothing"]
    assert (blocked.returncode, "it would not start" in blocked.stdout) == (3, True)
    assert len(blocked.stdout.splitlines()) <= 20
    stamp = full.stdout[full.stdout.index("\n{\n") :]
    assert "--nproc_per_node 5" in command and "dataset=opv2v_cyl_coop_ft_5gpu" in command
    assert json.loads(stamp)["world_size"] == 5
    assert json.loads(stamp)["gate"]["exit_code"] == 0
    assert "nobody-may-see-it" not in done.stdout + full.stdout + blocked.stdout
    assert sorted(repo.rglob("*")) == before


def test_the_gate_refuses_and_force_records_the_reason(repo: Path, run: Path) -> None:
    before = sorted(repo.rglob("*"))
    refused = doctor("train", "--repo", repo, "dataset=nothing_like_this")
    assert refused.returncode == 1
    assert "the gate did not pass" in refused.stderr
    assert sorted(repo.rglob("*")) == before
    forced = ["--force", "a test", "train_params.lr=???", "hydra.run.dir=experiments/forced"]
    done = doctor("train", "--repo", repo, *forced)
    record = read_run(repo / "experiments/forced")
    assert done.returncode == record.last.exit_code != 0
    assert record.state is RunStatus.FAILED
    assert record.last.failure is not None and record.last.failure.rank in (0, 1)
    assert record.stamp.gate is not None
    assert (record.stamp.gate.forced, record.stamp.gate.exit_code) == ("a test", 3)


REFUSED = {
    "holds a run already": ("hydra.run.dir=experiments/one",),
    "runs adopt": ("hydra.run.dir=experiments/opv2v_cyl_coop",),
    "--require-clean: 1 files": ("--require-clean",),
    "--gpus 2, or --force": ("--resume", "RUN", "--gpus", "4"),
    "25 steps an epoch": ("--resume", "RUN", "dataset=opv2v_cyl_coop_ft_5gpu"),
    "begin anew": ("--resume", "RUN", "train_params.resume=False"),
    "give one of them": ("--resume", "RUN", "--fresh"),
    "holds no stamped run": ("--resume", "absent"),
    "need a place to meet": ("--nnodes", "2"),
}


def test_what_cannot_be_is_refused_with_the_cure(repo: Path, run: Path) -> None:
    before = sorted(repo.rglob("*"))
    given = [[str(run) if word == "RUN" else word for word in words] for words in REFUSED.values()]
    ends = doctors([("train", "--repo", repo, *words) for words in given])
    for message, refused in zip(REFUSED, ends, strict=True):
        assert refused.returncode == 2, (message, refused.stderr)
        assert message in refused.stderr
        assert "Traceback" not in refused.stderr, message
    assert sorted(repo.rglob("*")) == before


def test_a_finished_run_is_not_gone_on_with(repo: Path, run: Path) -> None:
    before = sorted(repo.rglob("*"))
    done = doctor("train", "--repo", repo, "--resume", run)
    assert (done.returncode, done.stdout) == (0, "")
    assert f"nothing to resume: {run} is finished, 1 of 1 epochs are trained" in done.stderr
    assert sorted(repo.rglob("*")) == before


def test_a_damaged_checkpoint_is_not_gone_on_from(repo: Path, run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    subprocess.run(["cp", "-r", run, copy], check=True)
    (copy / "checkpoint-last.pth").write_bytes((run / "checkpoint-last.pth").read_bytes()[:100_000])
    refused = doctor("train", "--repo", repo, "--resume", copy)
    assert refused.returncode == 2
    assert "cannot go on from it" in refused.stderr and "checkpoint-1.pth" in refused.stderr


def test_an_inference_is_stamped_with_its_checkpoint(repo: Path, run: Path) -> None:
    done = doctor("infer", "--repo", repo, "--run", run, "--index", 3, "--split", "test")
    assert done.returncode == 0, done.stderr
    (output,) = (run / "eval_runs").glob("*_test_idx3")
    record = read_run(output)
    assert (record.stamp.kind, record.state) == ("infer", RunStatus.FINISHED)
    assert record.stamp.checkpoint is not None
    assert record.stamp.checkpoint["optimizer_steps"] == 10
    assert (
        record.stamp.checkpoint["trained_with"] == record.stamp.config_hash == read_run(run).stamp.config_hash
    )
    answer = json.loads((output / "answer.json").read_text())
    assert (answer["--split"], answer["--index"]) == ("test", "3")
    assert "config differs" not in done.stderr
    assert f"inferred test {repo}" in done.stdout


def test_an_inference_with_another_config_says_which_keys(repo: Path, run: Path) -> None:
    with changed(repo / "configs/train_params/opv2v_cyl_coop.yaml", "lr: 0.01", "lr: 0.02"):
        done = doctor("infer", "--repo", repo, "--checkpoint", run / "checkpoint-last.pth", "--dry-run")
        assert "--checkpoint" in done.stdout.splitlines()[0]
        done = doctor("infer", "--repo", repo, "--checkpoint", run / "checkpoint-last.pth")
    assert "config differs from the checkpoint's: train_params.lr: 0.01 -> 0.02" in done.stderr
    refused = doctor("infer", "--repo", repo, "--run", run, "a=b")
    assert refused.returncode == 2 and "{overrides}" in refused.stderr


@contextlib.contextmanager
def changed(path: Path, old: str, new: str) -> Iterator[None]:
    text = path.read_text()
    path.write_text(text.replace(old, new))
    try:
        yield
    finally:
        path.write_text(text)


def test_a_killed_launcher_leaves_a_run_that_goes_on(repo: Path, run: Path) -> None:
    place = repo / "experiments/killed"
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "opv2v_doctor",
            "train",
            "--repo",
            repo,
            f"hydra.run.dir={place.relative_to(repo)}",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_for(lambda: (place / "checkpoint-1.pth").exists())
    process.kill()
    process.wait()
    token = read_run(place).last.token
    wait_for(lambda: not processes.of_launch(token))
    assert read_run(place).state is RunStatus.INTERRUPTED
    killed_after = read_checkpoint(place / "checkpoint-last.pth")
    done = doctor("train", "--repo", repo, "--resume", place, "train_params.epochs=2")
    assert done.returncode == 0, done.stderr
    assert "train_params.epochs: 3 -> 2" in done.stderr
    assert f"goes on after {killed_after.counted}" in done.stderr
    assert read_checkpoint(place / "checkpoint-last.pth").steps == 20
    assert [launch.state for launch in read_run(place).launches][1:] == [RunStatus.FINISHED]


@pytest.fixture(scope="module")
def interrupted(repo: Path, run: Path) -> tuple[int, str]:
    """A training that is interrupted in its first epoch: its exit code, and what was said.

    Somebody saves files after the last look and before the import: here the script itself does.
    """
    late, new = repo / "mapanything/late.py", repo / "mapanything/later.py"
    late.write_text("a = 1\n")
    script = (repo / "scripts/train.py").read_text()
    saved = "import pathlib\n" + "".join(
        f"pathlib.Path({str(path)!r}).write_text('a = 2\\n')\n" for path in (late, new)
    )
    words = ["train", "--repo", repo, "hydra.run.dir=experiments/interrupted"]
    said = []
    with (
        changed(repo / "scripts/train.py", script, script.replace("import", f"{saved}import", 1)),
        changed(repo / "mapanything/__init__.py", 'out."""', 'out."""\nfrom mapanything import late, later'),
    ):
        process = subprocess.Popen(
            [sys.executable, "-m", "opv2v_doctor", *map(str, words)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a background job ignores it
        )
        assert process.stdout is not None
        for line in process.stdout:
            said.append(line)
            if "Epoch: [0]" in line:
                break
        process.send_signal(signal.SIGINT)
        said.append(process.communicate(timeout=60)[0])
    late.unlink()
    new.unlink()
    return process.returncode, "".join(said)


def test_an_interrupted_training_leaves_no_process(repo: Path, interrupted: tuple[int, str]) -> None:
    record = read_run(repo / "experiments/interrupted")
    assert (interrupted[0], record.state) == (130, RunStatus.INTERRUPTED)
    assert not processes.of_launch(record.last.token)


def test_what_was_imported_and_not_stamped_is_told(
    repo: Path, run: Path, interrupted: tuple[int, str]
) -> None:
    names = ("mapanything/late.py", "mapanything/later.py")
    assert f"it ran something else than was stamped: {', '.join(names)}" in interrupted[1]
    assert read_run(repo / "experiments/interrupted").last.departures == names
    verified = doctor("runs", "verify", repo / "experiments/interrupted")
    assert verified.returncode == 1
    assert "BAD launch 1 ran something else: mapanything/late.py" in verified.stdout
    assert read_run(run).last.departures == ()


def wait_for(what: Callable[[], object], limit: float = 120.0) -> None:
    deadline = time.monotonic() + limit
    while not what():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)
