"""Tests of SLURM jobs: what is asked for, what each node gets, and trainings under a real SLURM."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from opv2v_doctor import Target
from opv2v_doctor.runs.command_line import Nodes
from opv2v_doctor.runs.record import RunStatus, read_run
from opv2v_doctor.runs.request import TrainingRequest, read_request, request_text
from opv2v_doctor.runs.slurm import FIRST, OnNode, for_first, on_node, resources
from opv2v_doctor.sandbox import copy_repository
from opv2v_doctor.settings import RunsSettings, Settings, Slurm

pytest.importorskip("submitit", reason="no submitit: make test")
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel")
QUICK = 'select = ["CFG001"]\n'  # the gate is tested where it matters
LIMIT = 60.0  # seconds
CONFIG = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CryptoType=crypto/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/ctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/ctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmctldPort={ctld}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SelectType=select/cons_tres
GresTypes=gpu
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={slurmd} CPUs=2 Gres=gpu:2 State=UNKNOWN
PartitionName=p Nodes=n1 Default=YES State=UP
"""


@pytest.fixture
def request_(tmp_path: Path) -> TrainingRequest:
    settings = Settings(
        runs=RunsSettings(folder=str(tmp_path)),
        slurm=Slurm(partition="gpu", minutes=90, parameters=(("qos", "high"),)),
    )
    overrides = ("hydra.run.dir=experiments/a",)
    target = Target(
        repo=tmp_path, python=Path(sys.executable), gpus=8, overrides=overrides, settings=settings
    )
    return TrainingRequest(target=target, nodes=Nodes(count=2), force="why not", slurm=True)


def test_a_job_asks_for_nodes_gpus_and_time(request_: TrainingRequest) -> None:
    from submitit.slurm.slurm import _make_sbatch_string

    asked = resources(request_)
    assert (asked["nodes"], asked["gpus_per_node"], asked["timeout_min"]) == (2, 4, 90)
    assert (asked["slurm_partition"], asked["slurm_qos"]) == ("gpu", "high")
    text = _make_sbatch_string("run", "folder", nodes=2, ntasks_per_node=1, gpus_per_node=4, time=90)
    assert "--gpus-per-node=4" in text


def test_each_node_gets_the_request_and_its_place_in_it(request_: TrainingRequest) -> None:
    task = OnNode(request_text(request_), "/work")
    request = on_node(read_request(task.request), ["one", "two"], 1)
    assert request.nodes == Nodes(count=2, rank=1, endpoint="one:29500")
    assert (request.target, request.force, request.slurm) == (request_.target, "why not", False)
    assert on_node(request_, ["one"], 0).nodes == Nodes()
    assert for_first(request_).nodes.endpoint == f"{FIRST}:29500"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@dataclass
class Cluster:
    """A SLURM of one node that is this machine, and the environment in which it is found."""

    folder: Path
    env: dict[str, str]

    def run(self, *words: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*map(str, words)], capture_output=True, text=True, env=self.env, timeout=LIMIT, check=False
        )

    def doctor(self, *words: object) -> subprocess.CompletedProcess[str]:
        """The installed program: `python -m` here would find the checkout, whose checks lie elsewhere."""
        return self.run(Path(sys.executable).with_name("opv2v-doctor"), *words)

    def queue(self) -> list[str]:
        return self.run("squeue", "--noheader", "--format=%i %T").stdout.split("\n")[:-1]

    def wait_for(self, what: Callable[[], object]) -> None:
        deadline = time.monotonic() + LIMIT
        while not what():
            logs = "".join(path.read_text()[-1500:] for path in self.folder.glob("*.log"))
            assert time.monotonic() < deadline, logs
            time.sleep(0.1)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        pytest.skip(f"no {', '.join(missing)}: apt-get install munge slurmctld slurmd slurm-client")
    if os.geteuid() != 0:
        pytest.skip("a SLURM of one's own is started by root: sudo make test")
    folder = Path("/tmp") / f"slurm-{os.getpid()}"  # a socket's path is short
    for place in (folder, folder / "state", folder / "spool"):
        place.mkdir(mode=0o755)
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    config = folder / "slurm.conf"
    names = {"folder": folder, "host": socket.gethostname().partition(".")[0]}
    config.write_text(CONFIG.format(**names, ctld=free_port(), slurmd=free_port()))
    (folder / "gres.conf").write_text("NodeName=n1 Name=gpu File=/dev/tty[1-2]\n")
    env = {**os.environ, "SLURM_CONF": str(config), "PYTHONDONTWRITEBYTECODE": "1"}
    here = f"--socket={folder}/munge.socket"
    started: list[subprocess.Popen[bytes]] = []
    found = Cluster(folder, env)
    try:
        munged = ["munged", "--foreground", "--force", here, f"--key-file={key}"]
        munged += [f"--{name}-file={folder}/munge.{name}" for name in ("pid", "log", "seed")]
        for words in (munged, ["slurmctld", "-D", "-f", config], ["slurmd", "-D", "-f", config, "-N", "n1"]):
            said = (folder / f"{words[0]}.out.log").open("wb")
            started.append(subprocess.Popen([*map(str, words)], env=env, stdout=said, stderr=said))
            said.close()
            if words is munged:
                found.wait_for((folder / "munge.socket").exists)
        found.wait_for(lambda: "idle" in found.run("sinfo", "--noheader", "--format=%T").stdout)
        yield found
    finally:
        found.run("scancel", "--user=root")
        for process in reversed(started):
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)
            process.kill()
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def repo(healthy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = tmp_path_factory.mktemp("submitted") / "map anything"
    copy_repository(healthy, copy)
    return copy


def test_a_dry_run_submits_nothing(cluster: Cluster, repo: Path) -> None:
    before = sorted(repo.rglob("*"))
    done = cluster.doctor("train", "--repo", repo, "--slurm", "--dry-run", "-v", "--gpus", 2)
    assert done.returncode == 0, done.stderr
    assert "gpus_per_node 2" in done.stderr
    plan, stamp = done.stdout.split("\n{\n")
    assert "torch.distributed.run" in plan
    assert json.loads(f"{{{stamp}")["world_size"] == 2
    assert cluster.queue() == []
    assert sorted(repo.rglob("*")) == before


def test_a_job_is_watched_cancelled_and_resumed(cluster: Cluster, repo: Path, tmp_path: Path) -> None:
    """With settings that lie elsewhere, and an exception of the command line: the job knows both."""
    settings = tmp_path / "elsewhere.toml"
    text = (repo / "opv2v-doctor.toml").read_text().partition("\n[infer]")[0]
    settings.write_text(QUICK + text)
    run = repo / "experiments" / "submitted"
    words = ["--repo", repo, "--settings", settings, "--gpus", 2, "--slurm", "--timeout", 77]
    words += ["--ignore", "ENV005: the GPUs are shared"]
    long = cluster.doctor("train", *words, f"hydra.run.dir={run}", "train_params.epochs=500")
    assert long.returncode == 0, long.stderr
    number = long.stdout.split()[-1]
    cluster.wait_for(lambda: (run / "checkpoint-last.pth").exists() or not cluster.queue())
    assert cluster.queue() == [f"{number} RUNNING"]
    assert read_run(run).state is RunStatus.RUNNING
    report = json.loads((run / "report.json").read_text())
    assert [result["code"] for result in report["results"]] == ["CFG001"]
    cluster.run("scancel", number)
    cluster.wait_for(lambda: cluster.queue() == [] and read_run(run).state is not RunStatus.RUNNING)
    assert read_run(run).state is RunStatus.INTERRUPTED
    assert not [each for each in psutil.process_iter(["cmdline"]) if str(run) in str(each.info["cmdline"])]
    reached = len(read_run(run).launches)
    short = cluster.doctor("train", *words, "--resume", run, "train_params.epochs=1")
    assert short.returncode == 0, short.stderr
    cluster.wait_for(lambda: cluster.queue() == [])
    record = read_run(run)
    logs = "".join(path.read_text() for path in (repo / "experiments" / "slurm").glob("*.err"))
    assert len(record.launches) == reached + 1, logs
    assert record.state is RunStatus.FINISHED, logs
