"""`train -- COMMAND`: the command runs as it is written, judged by what it starts, watched and recorded."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from opv2v_doctor.facts.launch.config import config
from opv2v_doctor.runs import pipeline
from opv2v_doctor.runs.own_launch import own_launch
from opv2v_doctor.runs.record import RunStatus, read_run
from opv2v_doctor.runs.request import TrainingRequest, read_request, request_text
from opv2v_doctor.target import Target, make_target
from opv2v_doctor.user_error import UsageError

PYTHON = sys.executable
SCRIPT = """
import json, os, sys
from pathlib import Path
import hydra
NAMES = ("BASH_ENV", "PYTHONPATH")

@hydra.main(version_base=None, config_path="../configs", config_name="train")
def main(args):
    output = hydra.core.hydra_config.HydraConfig.get().runtime.output_dir
    ours = {name: os.environ[name] for name in os.environ if "OPV2V" in name or name in NAMES}
    said = {"epochs": args.train_params.epochs, "env": ours, "path": sys.path, "argv": sys.argv[1:]}
    Path(output, "said.json").write_text(json.dumps(said))
    sys.exit(args.code)

if __name__ == "__main__":
    main()
"""
CONFIG = (
    "defaults: [_self_]\ntrain_params: {epochs: 3}\ncode: 0\nhydra: {run: {dir: 'experiments/${now:%Y}'}}\n"
)
RUN = """#!/bin/bash
# the launch that people have
cd "$(dirname "$0")"
export PYTHONPATH=$(pwd)
EPOCHS=${EPOCHS:-${1:-5}}
python scripts/train.py train_params.epochs=$EPOCHS hydra.run.dir=experiments/one "${@:2}"
"""


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    repo = tmp_path / "map anything"
    for name, text in {
        "scripts/train.py": SCRIPT,
        "configs/train.yaml": CONFIG,
        "configs/other.yaml": CONFIG.replace("3", "9"),
        "run.sh": RUN,
    }.items():
        (repo / name).parent.mkdir(parents=True, exist_ok=True)
        (repo / name).write_text(text)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:/usr/bin:/bin")
    monkeypatch.delenv("PYTHONPATH", raising=False)
    return repo


class Terminal:
    """Keeps what was said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def begin(self, epochs: int | None) -> None:
        """The launch begins."""

    def line(self, line: object) -> None:
        """Not kept."""

    def event(self, event: object) -> None:
        """Not shown."""

    def say(self, words: str) -> None:
        self.said.append(words)


def train(repo: Path, *command: str, **asked: object) -> tuple[int, str, list[Target]]:
    """The exit code, what was said, and the targets that the gate judged."""
    judged: list[Target] = []

    def gate(target: Target, report: Path) -> int:
        judged.append(target)
        return 0

    target = make_target(repo=repo, python=sys.executable, needs_script=False)
    request = TrainingRequest(target=target, command=command, folder=repo, **asked)  # type: ignore[arg-type]
    terminal = Terminal()
    code = pipeline.start(request, gate, terminal)
    return code, "\n".join(terminal.said), judged


def test_a_script_that_sets_pythonpath_anew_is_judged_watched_and_left_as_it_is(repo: Path) -> None:
    code, said, (target,) = train(repo, "bash", "run.sh", "7")
    assert (code, config(target).get("train_params.epochs"), target.gpus) == (0, 7, 1)
    assert "not watched" not in said
    run = read_run(repo / "experiments/one")
    assert (run.last.stamp.argv, run.last.status) == (("bash", "run.sh", "7"), RunStatus.FINISHED)
    assert (run.last.stamp.given, run.last.departures) == (("train_params.epochs=7",), ())
    events = [json.loads(line) for line in (run.path / "events.jsonl").read_text().splitlines()]
    assert [event["event"] for event in events if event["event"] in ("begin", "end")] == ["begin", "end"]
    found = json.loads((run.path / "said.json").read_text())
    assert found["env"] == {"PYTHONPATH": str(repo), "OPV2V_DOCTOR_LAUNCH": run.last.token}
    assert found["path"][:2] == [str(repo / "scripts"), str(repo)]
    assert found["epochs"] == 7


@pytest.mark.parametrize(
    ("command", "folder", "name", "overrides"),
    [
        (["python", "scripts/train.py", "-cn", "other"], ".", "other", ()),
        (
            ["EPOCHS=2", "bash", "run.sh"],
            ".",
            None,
            ("train_params.epochs=2", "hydra.run.dir=experiments/one"),
        ),
        (["bash", "-c", "cd scripts && torchrun --nproc_per_node 4 train.py a=1"], "scripts", None, ("a=1",)),
        (["env", "A=1", "python", "scripts/train.py", "--config-name=other", "a=1"], ".", "other", ("a=1",)),
    ],
)
def test_what_a_command_starts_is_what_is_judged(
    command: list[str], folder: str, name: str | None, overrides: tuple[str, ...], repo: Path
) -> None:
    given = make_target(repo=repo, python=sys.executable, gpus=2)
    target = own_launch(command, repo, repo).target(given, keeps_python=False)
    launch = target.settings.launch
    assert (target.cwd, launch.config_name, target.launch_overrides) == (repo / folder, name, overrides)
    assert target.gpus == (4 if "4" in command[-1] else 1)
    is_torchrun = "torchrun" in command[-1]  # whose own first line names its Python
    assert target.python.samefile(PYTHON if is_torchrun else sys.executable)


def test_where_the_command_names_its_directory_itself_the_record_stands_apart(repo: Path) -> None:
    code, said, _ = train(repo, "bash", "-c", "cd scripts; python train.py; exit 3")
    assert code == 3
    (output,), (run,) = repo.rglob("said.json"), repo.rglob("run.json")
    assert output.parent.parent == repo / "scripts/experiments"
    assert "the record stands apart" in said
    assert (run.parent / "events.jsonl").is_file()
    assert run.parent != output.parent
    assert read_run(run.parent).last.status is RunStatus.FAILED


def test_a_run_is_gone_on_with_in_its_own_directory_only(repo: Path) -> None:
    run = repo / "experiments/one"
    train(repo, "bash", "run.sh")
    with pytest.raises(UsageError, match="holds a run already"):
        train(repo, "bash", "run.sh")
    (run / "checkpoint-last.pth").write_bytes(b"")
    with pytest.raises(UsageError, match="the command trains in"):
        train(repo, "python", "scripts/train.py", "hydra.run.dir=other", resume=run)
    with pytest.raises(UsageError, match="a new directory at each start"):
        train(repo, "python", "scripts/train.py", resume=run)
    assert train(repo, "bash", "run.sh", resume=run, force="a test")[0] == 0
    assert len(read_run(run).launches) == 2


def test_a_script_that_changes_during_the_gate_is_judged_again(repo: Path) -> None:
    judged = []

    def gate(target: Target, report: Path) -> int:
        judged.append(config(target).get("train_params.epochs"))
        (repo / "run.sh").write_text(RUN.replace(":-5", ":-8"))
        return 0

    target = make_target(repo=repo, python=sys.executable)
    assert (
        pipeline.start(
            TrainingRequest(target=target, command=("bash", "run.sh"), folder=repo), gate, Terminal()
        )
        == 0
    )
    assert judged == [5, 8]


def test_a_script_that_ends_well_after_a_rank_raised_has_failed(repo: Path) -> None:
    inside = "mapanything/train"
    (repo / inside).mkdir(parents=True)
    (repo / inside / "training.py").write_text("def train(args):\n    raise ValueError('no data')\n")
    script = (
        "import hydra\nfrom mapanything.train.training import train\n" + SCRIPT.partition("import hydra\n")[2]
    )
    (repo / "scripts/train.py").write_text(script.partition("    output =")[0] + "    train(args)\nmain()\n")
    (repo / "run.sh").write_text(RUN + "echo done\n")
    assert train(repo, "bash", "run.sh")[0] == 1
    assert read_run(repo / "experiments/one").last.status is RunStatus.FAILED


@pytest.mark.parametrize(
    ("command", "remark"),
    [
        (["env", "PYTHONPATH=.", "python", "scripts/train.py"], "PYTHONPATH set anew"),
        (["sh", "run.sh"], "PYTHONPATH set anew"),
        (["bash", "-c", f"export PYTHONPATH=.; {sys.executable} scripts/train.py"], "PYTHONPATH set anew"),
        (["bash", "-c", "export PYTHONPATH=.; time python scripts/train.py"], ""),
        (["python", "-E", "scripts/train.py"], "-E keeps the watch out"),
        (["bash", "-c", "export PYTHONPATH=.; exec python scripts/train.py"], "PYTHONPATH set anew"),
        (["bash", "-c", "source /nowhere/settings.sh; python scripts/train.py"], "not read"),
        (["python", "scripts/train.py", "a=1"], ""),
        (["PYTHONPATH=.", "python", "scripts/train.py"], ""),
        (
            ["bash", "-c", "source /env/bin/activate; python scripts/train.py code=$(date +%s)"],
            "only the run can tell code",
        ),
    ],
)
def test_what_cannot_be_known_or_watched_is_said(command: list[str], remark: str, repo: Path) -> None:
    remarks = own_launch(command, repo, repo).remarks
    assert len(remarks) == bool(remark)
    assert remark in "".join(remarks)


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        (["sbatch", "run.sh"], "sbatch only hands the job in"),
        (["bash", "gone.sh"], "gone.sh cannot be read"),
        (["make", "train"], "no Hydra training script is seen"),
        (["bash", "-c", "python scripts/train.py; python scripts/train.py"], "it starts 2 trainings"),
        (["A=1"], "the command is missing"),
    ],
)
def test_what_is_no_single_training_is_refused(command: list[str], problem: str, repo: Path) -> None:
    with pytest.raises(UsageError, match=problem):
        train(repo, *command)
    assert not list(repo.rglob("run.json"))


def test_a_request_with_a_command_can_be_written_down(repo: Path) -> None:
    target = make_target(repo=repo, python=sys.executable)
    request = TrainingRequest(target=target, command=("bash", "run.sh"), folder=repo, gpus=1)
    assert read_request(request_text(request)) == request


def test_the_number_of_ranks_is_the_commands(repo: Path) -> None:
    several = ("torchrun", "--nproc_per_node=gpu", "scripts/train.py", "hydra.run.dir=one")
    with pytest.raises(UsageError, match="--gpus N before"):
        train(repo, *several)
    with pytest.raises(UsageError, match="--gpus 3, but the command starts 1"):
        train(repo, "bash", "run.sh", gpus=3)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--dry-run", "--", "bash", "run.sh", "4"], 3, "bash run.sh 4"),  # as the gate of a toy ends
        (["a=1", "--", "bash", "run.sh"], 2, "overrides belong to the command"),
        (["--nnodes", "2", "--", "bash", "run.sh"], 2, "--nnodes is for launches of ours"),
        (["--", "bash", "gone.sh"], 2, "no Hydra training script"),
    ],
)
def test_the_command_line(words: list[str], code: int, said: str, repo: Path) -> None:
    command = [sys.executable, "-m", "opv2v_doctor", "train", *words]
    done = subprocess.run(command, cwd=repo, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert said in (done.stderr if code == 2 else done.stdout)
