"""What the gate judged is what is stamped and what runs: a change meanwhile is judged again, or refused."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from opv2v_doctor.runs import pipeline
from opv2v_doctor.runs.command_line import Nodes
from opv2v_doctor.runs.directory import claim
from opv2v_doctor.runs.output import OutputLine
from opv2v_doctor.runs.record import Run, RunStatus, read_run
from opv2v_doctor.runs.request import InferenceRequest, Request, TrainingRequest
from opv2v_doctor.runs.snapshot import read_sources, snapshot
from opv2v_doctor.runs.stamp import stamp_of, write_stamp
from opv2v_doctor.runs.training import training
from opv2v_doctor.target import Target, make_target
from opv2v_doctor.user_error import UsageError

SCRIPT = """
import json
from pathlib import Path
import hydra
import toy

@hydra.main(version_base=None, config_path="../configs", config_name="train")
def main(args):
    said = {"epochs": args.train_params.epochs, "toy": toy.VALUE, "file": toy.__file__}
    output = hydra.core.hydra_config.HydraConfig.get().runtime.output_dir
    Path(output, "said.json").write_text(json.dumps(said))

if __name__ == "__main__":
    main()
"""
CONFIG = """
defaults: [_self_]
train_params: {epochs: 3, resume: true}
hydra: {run: {dir: "experiments/${now:%Y}"}}
"""
INFER = (
    "import sys; from pathlib import Path; import toy; Path(sys.argv[1], 'said').write_text(str(toy.VALUE))\n"
)
SETTINGS = '[infer]\nscript = "scripts/infer.py"\narguments = ["{output}"]\n'
RUN = "experiments/one"


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A repository as small as one can be that trains and infers."""
    repo = tmp_path / "map anything 训练"
    for name, text in {
        "scripts/train.py": SCRIPT,
        "scripts/infer.py": INFER,
        "configs/train.yaml": CONFIG,
        "toy/__init__.py": "VALUE = 1\n",
        "README.md": "A toy.\n",
        "tools/plot.py": "VALUE = 4\n",
        "opv2v-doctor.toml": SETTINGS,
        ".gitignore": "__pycache__\n",
    }.items():
        (repo / name).parent.mkdir(parents=True, exist_ok=True)
        (repo / name).write_text(text)
    git(repo, "init", "-q", "-b", "main")
    commit(repo)
    return repo


def git(repo: Path, *words: str) -> None:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run(["git", *identity, *words], cwd=repo, check=True, capture_output=True)


def commit(repo: Path) -> None:
    git(repo, "add", ".")
    git(repo, "commit", "-q", "-m", "a state")


@dataclass
class Terminal:
    """Keeps what was said."""

    said: list[str] = field(default_factory=list)

    def begin(self, epochs: int | None) -> None:
        """The launch begins."""

    def line(self, line: OutputLine) -> None:
        self.said.append(line.text)

    def event(self, event: Mapping[str, object]) -> None:
        """Not shown."""

    def say(self, words: str) -> None:
        self.said.append(words)


@dataclass
class Gate:
    """A gate that passes, while which something happens in the repository; once, or each time."""

    happens: Callable[[], object]
    times: int = 1
    code: int = 0
    ran: int = 0

    def __call__(self, target: Target, report: Path) -> int:
        self.ran += 1
        report.write_text(json.dumps({"gate": self.ran}))
        if self.ran <= self.times:
            self.happens()
        return self.code


def request(repo: Path, run: str = RUN, **asked: object) -> TrainingRequest:
    target = make_target(repo=repo, python=sys.executable, overrides=(f"hydra.run.dir={run}",))
    return TrainingRequest(target=target, **asked)  # type: ignore[arg-type]


def train(asked: Request, gate: Gate) -> tuple[int, str]:
    terminal = Terminal()
    code = pipeline.start(asked, gate, terminal)
    return code, "\n".join(terminal.said)


def said_in(run: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((run / "said.json").read_text())
    return found


def put(path: Path, text: str) -> Callable[[], object]:
    """What writes a file, another text each time."""
    counted = iter(range(100))

    def write() -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}# {next(counted)}\n")

    return write


CHANGES = {
    "configs/train.yaml": CONFIG.replace("epochs: 3", "epochs: 77"),
    "toy/__init__.py": "VALUE = 2\n",
    "toy/new.py": "VALUE = 3\n",
    "scripts/train.py": SCRIPT.replace("toy.VALUE", "2 * toy.VALUE"),
    "scripts/toy.py": "VALUE = 4\n",
    "toy.so": "no library",
    "README.md": "Another toy.\n",
    "tools/plot.py": "VALUE = 5\n",
    "tools/new.py": "VALUE = 6\n",
}


def test_what_changes_during_the_gate_is_judged_again_and_stamped(repo: Path) -> None:
    asked = request(repo)
    before = snapshot(asked.target)
    edits = [put(repo / name, text) for name, text in CHANGES.items()]
    gate = Gate(lambda: [edit() for edit in edits])
    code, said = train(asked, gate)
    assert (code, gate.ran) == (0, 2), said
    assert before.changes(asked.target) == tuple(sorted(CHANGES))  # each is seen, and no other
    first = ", ".join(sorted(CHANGES)[:5])
    assert f"{first}, ... changed while the gate ran: the gate runs again" in said
    run = repo / RUN
    stamp, sources = read_run(run).stamp, read_sources((run / "sources.txt").read_bytes())
    assert json.loads((run / "report.json").read_text()) == {"gate": 2}
    assert (said_in(run)["epochs"], said_in(run)["toy"]) == (77, 2 * 4)  # of scripts/toy.py
    assert "epochs: 77\n" in (run / "config.yaml").read_text()
    told = (run / "diff.patch").read_text() + (run / "untracked.txt").read_text()
    for name in CHANGES:
        assert f"b/{name}" in told or f"  {name}\n" in told, name
        assert name in (*stamp.dirty, *stamp.untracked), name
        assert name in sources, name
    digests = subprocess.run(
        ["sha256sum", "--check", "--quiet", run / "sources.txt"], cwd=repo, capture_output=True, text=True
    )
    assert digests.returncode == 0, digests.stdout
    assert read_run(run).last.departures == ()


def test_a_commit_during_the_gate_is_what_is_stamped(repo: Path) -> None:
    """The gate does not pass, either time: what is forced is judged again as well."""
    (repo / "README.md").write_text("Two.\n")
    gate = Gate(lambda: git(repo, "commit", "-q", "-a", "-m", "two"), code=1)
    code, said = train(request(repo, force="a test"), gate)
    assert (code, gate.ran) == (0, 2), said
    assert "the commit changed while the gate ran: the gate runs again" in said
    stamp = read_run(repo / RUN).stamp
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=repo, capture_output=True, text=True).stdout
    assert (stamp.commit, stamp.dirty) == (head.strip(), ())
    assert (repo / RUN / "diff.patch").read_bytes() == b""


def test_a_repository_that_keeps_changing_is_refused(repo: Path) -> None:
    gate = Gate(put(repo / "configs/train.yaml", CONFIG), times=100)
    code, said = train(request(repo), gate)
    assert (code, gate.ran) == (3, 3)
    assert "not started: configs/train.yaml changed while the gate ran" in said
    assert not (repo / RUN).exists()


def test_changed_settings_are_refused(repo: Path) -> None:
    gate = Gate(put(repo / "opv2v-doctor.toml", f"num_samples = 7\n{SETTINGS}"))
    asked = request(repo)
    code, said = train(asked, gate)
    assert (code, gate.ran) == (3, 1)
    assert "not started: opv2v-doctor.toml changed while the gate ran" in said
    code, said = train(asked, gate)
    assert (code, gate.ran) == (3, 1)
    assert "opv2v-doctor.toml changed since they were read" in said


def test_without_git_the_same_changes_are_seen(repo: Path) -> None:
    subprocess.run(["rm", "-rf", repo / ".git"], check=True)
    gate = Gate(put(repo / "scripts/toy.py", "VALUE = 4\n"))
    code, said = train(request(repo), gate)
    assert (code, gate.ran) == (0, 2), said
    assert said_in(repo / RUN)["toy"] == 4


def test_what_trainings_write_is_no_change(repo: Path) -> None:
    """Logs, checkpoints, code that a run keeps, bytecode, data: nothing that this launch would run."""

    def others() -> None:
        for name in (
            *("experiments/two/train.log", "experiments/two/checkpoint-1.pth", "experiments/two/code/a.py"),
            *("experiments/two/.hydra/config.yaml", "outputs/2026/log.txt", "outputs/2026/.hydra/a.yaml"),
            *("toy/__pycache__/__init__.cpython-312.pyc", "scripts/__pycache__/toy.cpython-312.pyc"),
            *("wandb/run/files/config.yaml", "data/OPV2V/a.yaml", "toy/.ipynb_checkpoints/a.py", "nohup.out"),
        ):
            (repo / name).parent.mkdir(parents=True, exist_ok=True)
            with (repo / name).open("a") as file:
                file.write("more\n")

    others()
    put(repo / RUN / ".launch.lock", "left by a launch that was killed")()
    git(repo, "add", "experiments", "outputs")  # somebody tracks what trainings write
    git(repo, "commit", "-q", "-m", "runs")
    gate = Gate(others)
    code, said = train(request(repo), gate)
    assert (code, gate.ran) == (0, 1), said
    assert read_run(repo / RUN).last.departures == ()


def test_a_resume_is_refused_where_something_changes(repo: Path) -> None:
    assert train(request(repo), Gate(lambda: None))[0] == 0
    before = (repo / RUN / "run.json").read_bytes()
    for name in ("toy/__init__.py", "experiments/one/checkpoint-last.pth"):
        gate = Gate(put(repo / name, "VALUE = 5\n"))
        asked = TrainingRequest(target=make_target(repo=repo, python=sys.executable), resume=repo / RUN)
        code, said = train(asked, gate)
        assert (code, gate.ran) == (3, 1), said
        assert f"not started: {name} changed while the gate ran" in said
        assert (repo / RUN / "run.json").read_bytes() == before
        git(repo, "checkout", "-q", ".")


def test_a_config_that_changes_before_it_is_composed_is_told(repo: Path) -> None:
    config = repo / "configs/train.yaml"
    edit = f"p = Path({str(config)!r}); p.write_text(p.read_text().replace('epochs: 3', 'epochs: 77'))"
    (repo / "scripts/train.py").write_text(SCRIPT.replace("import toy", f"import toy\n{edit}"))
    code, said = train(request(repo), Gate(lambda: None))
    assert (code, said_in(repo / RUN)["epochs"]) == (0, 77)
    assert read_run(repo / RUN).last.departures == ("config train_params.epochs: 3 -> 77",)
    assert "it ran something else than was stamped: config train_params.epochs: 3 -> 77" in said


def test_a_job_that_was_submitted_earlier_is_refused_or_forced(repo: Path) -> None:
    asked = request(repo)
    asked = replace(asked, submitted=snapshot(asked.target))
    gate = Gate(lambda: None)
    put(repo / "toy/__init__.py", "VALUE = 6\n")()
    code, said = train(asked, gate)
    assert (code, gate.ran) == (3, 0)
    assert "not started: toy/__init__.py changed since the job was submitted" in said
    assert train(replace(asked, force="meant"), gate)[0] == 0
    assert said_in(repo / RUN)["toy"] == 6
    assert read_run(repo / RUN).stamp.dirty == ("toy/__init__.py",)


def test_a_node_of_other_files_does_not_join(repo: Path) -> None:
    first = request(repo)
    first = replace(first, target=replace(first.target, gpus=2))
    before = snapshot(first.target)
    terminal = Terminal()
    job = training(first, terminal).at(repo / RUN)
    with claim([repo / RUN], resume=False) as place:
        write_stamp(place, *stamp_of(job, before, None))
    put(repo / "toy/__init__.py", "VALUE = 7\n")()
    nodes = Nodes(count=2, rank=1, endpoint="localhost:1")
    with pytest.raises(UsageError, match=r"diff\.patch, toy/__init__\.py differ"):
        pipeline.start(replace(first, nodes=nodes), Gate(lambda: None), terminal)
    assert read_run(repo / RUN).last.status is RunStatus.RUNNING


def test_an_inference_is_judged_again_too(repo: Path, checkpoint: Path) -> None:
    """Once for the code, and once more for the checkpoint."""
    changes: Iterator[Callable[[], object]] = iter(
        [put(repo / "toy/__init__.py", "VALUE = 8\n"), lambda: save(checkpoint, epoch=2)]
    )
    gate = Gate(lambda: next(changes)(), times=2)
    asked = InferenceRequest(target=make_target(repo=repo, python=sys.executable), checkpoint=checkpoint)
    code, said = train(asked, gate)
    assert (code, gate.ran) == (0, 3), said
    assert "toy/__init__.py changed while the gate ran" in said
    assert "checkpoint.pth changed while the gate ran" in said
    (output,) = (checkpoint.parent / "eval_runs").iterdir()
    run: Run = read_run(output)
    assert (output / "said").read_text() == "8"
    assert run.stamp.checkpoint is not None
    assert run.stamp.checkpoint["epoch"] == 2


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "trained" / "checkpoint.pth"
    path.parent.mkdir()
    save(path, epoch=1)
    return path


def save(path: Path, epoch: int) -> None:
    """A file that counts as a checkpoint."""
    import torch

    torch.save({"epoch": epoch, "model": {}}, path)


PLUGIN = """
from pathlib import Path
from opv2v_doctor import check, examined, error

CONFIG = Path({config!r})

@check("EDT001", tier="static")
def somebody_edits(target):
    \"\"\"Somebody edits a config while the gate runs.\"\"\"
    yield examined(1, "edit")
    CONFIG.write_text(CONFIG.read_text().replace("epochs: 3", "epochs: 77"))
"""


def test_a_training_of_77_epochs_is_not_stamped_as_one_of_3(repo: Path, tmp_path: Path) -> None:
    """As a user types it: a check of a plugin takes the time in which somebody edits the config."""
    plugin = tmp_path / "edits.py"
    plugin.write_text(PLUGIN.format(config=str(repo / "configs/train.yaml")))
    settings = repo / "opv2v-doctor.toml"
    settings.write_text(f'select = ["EDT001"]\nplugins = [{json.dumps(str(plugin))}]\n{SETTINGS}')
    commit(repo)
    words = ["train", "--repo", repo, "--plugins", f"hydra.run.dir={RUN}"]
    done = subprocess.run(
        [sys.executable, "-m", "opv2v_doctor", *map(str, words)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "configs/train.yaml changed while the gate ran: the gate runs again" in done.stderr
    assert said_in(repo / RUN)["epochs"] == 77
    assert "epochs: 77" in (repo / RUN / "config.yaml").read_text()
    assert "+train_params: {epochs: 77" in (repo / RUN / "diff.patch").read_text()
    report = json.loads((repo / RUN / "report.json").read_text())
    assert [(result["code"], result["status"]) for result in report["results"]][-1] == ("EDT001", "passed")
