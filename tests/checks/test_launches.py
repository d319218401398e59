"""The launches family: what documents and scripts would start, each fault at its line, and what is fine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from opv2v_doctor import Severity, Target
from opv2v_doctor.facts.interpreter.questions import TrainSet
from opv2v_doctor.facts.launch.config import run_directory
from opv2v_doctor.facts.launch.documented_commands import commands, documented_sets
from opv2v_doctor.result import Result, Status
from opv2v_doctor.testing import run_check

HYDRA = "import hydra\n@hydra.main(config_path='../configs', config_name='train')\ndef main(cfg): ...\n"
LINE = "torchrun --nproc_per_node {gpus} scripts/train.py machine=m dataset=d loss=l {more}\n"


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts/train.py").write_text(HYDRA)
    return tmp_path


def judged(
    code: str, repo: Path, text: str, more: Mapping[str, TrainSet] | None = None, directory: str = "run"
) -> Result:
    """What a check says of a script, whose config would say what `more` has for a word of a launch."""
    (repo / "run.sh").write_text(text)
    target = Target(repo=repo, python=Path("python"))
    usual = TrainSet(
        expression=None,
        words={"max_num_of_imgs_per_gpu": 8},
        views=4,
        epochs=10.0,
        warmup=1.0,
        loss="default",
        problem="",
    )
    sets = tuple(
        (command, next((found for word, found in (more or {}).items() if word in command.overrides), usual))
        for command in commands(target)
        if command.gpus and not command.refused
    )
    given = {documented_sets: sets, run_directory: directory}
    return run_check(code, target, given=given)


def told(result: Result) -> list[tuple[int | None, str]]:
    """The line and the words of each finding that is no note."""
    return [(one.line, str(one.text)) for one in result.findings if one.severity is not Severity.NOTE]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (LINE.format(gpus=4, more=""), ""),
        ("python -m torch.distributed.launch --nproc_per_node 2 scripts/train.py a=b\n", "--local-rank"),
        ("python -m torch.distributed.launch --nproc_per_node 2 --use_env scripts/train.py a=b\n", ""),
        (LINE.format(gpus=4, more="--epochs 3"), "Hydra refuses --epochs"),
        ("export CUDA_VISIBLE_DEVICES=0,1\n" + LINE.format(gpus=3, more=""), "rank 2 finds none"),
        ("export CUDA_VISIBLE_DEVICES=0,1\n" + LINE.format(gpus=2, more=""), ""),
        ("export CUDA_VISIBLE_DEVICES=0,1\n" + LINE.format(gpus=1, more=""), ""),
        ("export CUDA_VISIBLE_DEVICES=$FREE\n" + LINE.format(gpus=4, more=""), ""),
        ("CUDA_VISIBLE_DEVICES=0,1 " + LINE.format(gpus="2 --nnodes 2", more=""), ""),
        ("CUDA_VISIBLE_DEVICES= " + LINE.format(gpus=2, more=""), ""),
    ],
)
def test_launches_that_cannot_start(text: str, expected: str, repo: Path) -> None:
    result = judged("LCH001", repo, text)
    assert result.status is (Status.FAILED if expected else Status.PASSED)
    assert [line for line, _ in told(result)] == ([text.count("\n")] if expected else [])
    assert expected in "".join(words for _, words in told(result))


def test_a_config_that_does_not_compose_and_a_module_that_starts_nothing(repo: Path) -> None:
    (repo / "package").mkdir()
    setting = "if hasattr(os, 'x'):\n    os.x = True\n"
    (repo / "package/loop.py").write_text(f'"""A loop."""\nimport os\n{setting}\n\ndef train(): ...\n')
    (repo / "package/main.py").write_text("def train(): ...\n\n\nif __name__ == '__main__':\n    train()\n")
    text = LINE.format(gpus=2, more="gone=1") + LINE.format(gpus=2, more="gone=1 $MORE")
    text += "python -m package.loop a=b\npython -m package.main a=b\npython -m package.loop\n"
    broken = TrainSet(
        expression=None,
        words={},
        views=None,
        epochs=None,
        warmup=None,
        loss=None,
        problem="no 'gone'\nmore",
    )
    result = judged("LCH001", repo, text, {"gone=1": broken})
    assert result.status is Status.WARNED
    lines = told(result)
    assert [line for line, _ in lines] == [1, 3]
    assert lines[0][1].endswith("does not compose: no 'gone'")


@pytest.mark.parametrize(
    ("first", "second", "directory", "shared"),
    [
        ("a=1", "a=2", "run", True),
        ("a=1", "a=1", "run", False),
        ("a=1 hydra.run.dir=one", "a=2 hydra.run.dir=two", "run", False),
        ("a=1 hydra.run.dir=one", "a=2 hydra.run.dir='one'", "run", True),
        ("a=1", "a=2", "run/<now:%Y>", False),
        ("a=1 hydra.run.dir=$(date)", "a=2", "run", False),
        ("a=1 dataset=d_4gpu", "a=1 dataset=d_5gpu", "run", False),
        ("a=1 hydra.run.dir=x/\\${now:%Y}", "a=2 hydra.run.dir=x/\\${now:%Y}", "run", False),
    ],
)
def test_trainings_that_share_a_directory(
    first: str, second: str, directory: str, shared: bool, repo: Path
) -> None:
    text = LINE.format(gpus=4, more=first) + LINE.format(gpus=8, more=second)
    result = judged("LCH002", repo, text, directory=directory)
    assert [line for line, _ in told(result)] == ([2] if shared else [])


@pytest.mark.parametrize(("warmup", "epochs", "fires"), [(9.0, 10.0, False), (10.0, 10.0, True)])
def test_a_warm_up_as_long_as_the_training(warmup: float, epochs: float, fires: bool, repo: Path) -> None:
    short = TrainSet(
        expression=None,
        words={"max_num_of_imgs_per_gpu": 8},
        views=4,
        epochs=epochs,
        warmup=warmup,
        loss=None,
        problem="",
    )
    result = judged("LCH003", repo, LINE.format(gpus=4, more="e=1"), {"e=1": short})
    assert [line for line, _ in told(result)] == ([1] if fires else [])


@pytest.mark.parametrize(
    ("others", "names"),
    [(["loss=pose"], "pose"), (["loss=pose", "loss=other"], ""), (["loss=default"], ""), ([], "")],
)
def test_a_launch_that_names_no_loss(others: list[str], names: str, repo: Path) -> None:
    line = "torchrun --nproc_per_node 4 scripts/train.py dataset=d_4gpu {}\n"
    result = judged("LCH003", repo, "".join(map(line.format, ["", *others])))
    assert [line for line, _ in told(result)] == ([1] if names else [])
    assert names in "".join(words for _, words in told(result))
