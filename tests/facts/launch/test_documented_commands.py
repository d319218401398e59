"""Launch commands in documents: what is written there, and what only the reader's shell knows."""

from pathlib import Path

import pytest

from opv2v_doctor import Target
from opv2v_doctor.facts.launch.documented_commands import DocumentedCommand, commands, documented_lengths
from opv2v_doctor.target import make_target


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts/train.py").write_text("")
    return tmp_path


def found(repo: Path, **documents: str) -> tuple[DocumentedCommand, ...]:
    """The commands of documents that are named by keyword: `readme_md` is readme.md."""
    for name, text in documents.items():
        (repo / name.replace("_", ".")).write_text(text)
    return commands(Target(repo=repo, python=Path("python")))


def test_a_command_over_several_lines_is_one(repo: Path) -> None:
    text = "Train:\n\n```bash\npython -m torch.distributed.run --standalone \\\n    --nproc_per_node=10 \\\n"
    text += (
        "    scripts/train.py \\\n    dataset=ft_5gpu loss=l \\\n    model=m\n```\nand more dataset=none\n"
    )
    (command,) = found(repo, readme_md=text)
    assert command.gpus == 10
    assert command.overrides == ("dataset=ft_5gpu", "loss=l", "model=m")
    assert (command.place.path, command.place.line) == (repo / "readme.md", 5)
    assert (command.named_for, command.training) == (5, ("ft",))


@pytest.mark.parametrize(
    ("head", "word", "gpus"),
    [
        ("", "8", 8),
        ("NUM_GPUS=${1:-4}", '"${NUM_GPUS}"', 4),
        ("export NUM_GPUS='2'  # GPUs", "$NUM_GPUS", 2),
        ("", "${1:-3}", 3),
        ("NUM_GPUS=$1", "${NUM_GPUS}", None),
        ("", "${NUM_GPUS}", None),
        ("", "gpu", None),
        ("  NUM_GPUS=4\n  NUM_GPUS=8", "$NUM_GPUS", 8),
        ("NUM_GPUS=$(nvidia-smi -L | wc -l)", "$NUM_GPUS", None),
        ("A=$B\nB=$A", "$A", None),
    ],
)
def test_the_number_of_gpus_is_known_where_the_script_says_it(
    repo: Path, head: str, word: str, gpus: int | None
) -> None:
    (command,) = found(
        repo, train_sh=f"{head}\ntorchrun --nproc_per_node {word} scripts/train.py dataset=d\n"
    )
    assert command.gpus == gpus


@pytest.mark.parametrize(
    ("nodes", "gpus"), [("--nnodes 2", 8), ("--nnodes=1:4", None), ("--nnodes $N", None)]
)
def test_nodes_count(repo: Path, nodes: str, gpus: int | None) -> None:
    (command,) = found(repo, train_sh=f"torchrun --nproc-per-node=4 {nodes} scripts/train.py dataset=d\n")
    assert command.gpus == gpus


def test_what_the_shell_would_fill_in_is_left_out_and_hydras_own_is_kept(repo: Path) -> None:
    text = r"""torchrun --nproc_per_node 4 "${ROOT}/scripts/train.py" a=1 $EXTRA b=${HOME}/x c="$(date)" \
    hydra.run.dir='${root}/${now:%Y}' d=\${now:%H} 'e=[1, 2]' ++f.g=3 ~h 2>&1 | tee i=4"""
    (command,) = found(repo, train_sh=text)
    assert command.overrides == (
        "a=1",
        "hydra.run.dir=${root}/${now:%Y}",
        "d=${now:%H}",
        "e=[1, 2]",
        "++f.g=3",
        "~h",
    )


def test_code_in_prose_ends_with_its_backtick(repo: Path) -> None:
    text = "Use `torchrun --nproc_per_node 2 scripts/train.py dataset=d`, not loss=other or `torchrun`.\n"
    (command,) = found(repo, readme_md=text)
    assert command.overrides == ("dataset=d",)


@pytest.mark.parametrize(
    "line",
    [
        "torchrun --nproc_per_node 4 scripts/evaluate.py dataset=d",
        "# torchrun --nproc_per_node 4 scripts/train.py dataset=d",
        "torchrun --nproc_per_node 4 scripts/train.py --config-path other",
        "torchrun --nproc_per_node 4 scripts/train.py --cfg job",
        "torchrun --nproc_per_node 4 scripts/train.py 'unbalanced",
        "see my_torchrun --nproc_per_node 4 scripts/train.py",
    ],
)
def test_what_does_not_launch_this_training_is_not_a_command(repo: Path, line: str) -> None:
    assert found(repo, train_sh=line + "\n") == ()


def test_hidden_folders_and_interpreters_are_not_documents(repo: Path) -> None:
    for folder in (".cache", "venv"):
        (repo / folder).mkdir()
        (repo / folder / "x.sh").write_text("torchrun --nproc_per_node 4 scripts/train.py dataset=d\n")
    (repo / "venv/pyvenv.cfg").write_text("")
    assert found(repo) == ()


def test_the_length_of_each_documented_epoch_is_known(healthy: Path) -> None:
    lengths = documented_lengths(make_target(repo=healthy))
    assert {(command.gpus, length.steps) for command, length in lengths} == {(4, 10), (5, 10)}


@pytest.mark.parametrize(
    ("launcher", "arguments", "script", "refused"),
    [
        ("python -m torch.distributed.launch", "dataset=d", "", "--local-rank"),
        ("python -m torch.distributed.launch --use-env", "dataset=d", "", ""),
        ("python -m torch.distributed.launch --use_env", "dataset=d", "", ""),
        ("python -m torch.distributed.run", "dataset=d", "", ""),
        ("torchrun", "--epochs 10 dataset=d", "", "--epochs"),
        ("torchrun", "--multirun dataset=d,e", "", ""),
        ("python -m torch.distributed.launch", "dataset=d", "import sys\nsys.argv = sys.argv[:1]\n", ""),
    ],
)
def test_a_command_that_hydra_refuses_says_why(
    repo: Path, launcher: str, arguments: str, script: str, refused: str
) -> None:
    hydra = "import hydra\n@hydra.main(config_path='.', config_name='c')\ndef main(cfg): ...\n"
    (repo / "scripts/train.py").write_text(script + hydra)
    line = f"{launcher} --nproc_per_node=4 scripts/train.py {arguments}\n"
    (command,) = found(repo, train_sh=line)
    assert bool(command.refused) is bool(refused)
    assert refused in str(command.refused)


def test_a_script_that_is_not_hydras_may_take_a_local_rank(repo: Path) -> None:
    line = "python -m torch.distributed.launch --nproc_per_node=4 scripts/train.py dataset=d\n"
    (command,) = found(repo, train_sh=line)
    assert command.refused is None


def test_a_command_in_a_paragraph_of_its_own_needs_no_fence(repo: Path) -> None:
    text = "Train:\n\nA=1 torchrun --nproc_per_node 2 \\\n    scripts/train.py dataset=d\n\n"
    text += "python is needed. Then wait.\n"
    (command,) = found(repo, readme_md=text)
    assert (command.gpus, command.overrides, command.place.line) == (2, ("dataset=d",), 3)


MAKEFILE = """
GPUS ?= 4
WORDS = --nproc_per_node $(GPUS)
train: data
\t@export A=$$HOME; cd scripts && \\
\t\ttorchrun $(WORDS) train.py dataset=$(DATASET) loss=l
"""


def test_the_recipes_of_a_makefile_are_read(repo: Path) -> None:
    (repo / "Makefile").write_text(MAKEFILE)
    (command,) = found(repo)
    assert (command.gpus, command.overrides, command.place.line) == (4, ("loss=l",), 6)


def test_a_script_that_is_called_with_arguments_is_a_launch_where_it_is_called(repo: Path) -> None:
    (repo / "run.sh").write_text("torchrun --nproc_per_node ${1:-2} scripts/train.py dataset=${2:-d}\n")
    called = found(repo, readme_md="```\nbash run.sh 8 other\n```\nor `bash run.sh 8`, not `run.sh`\n")
    shown = [(command.place.path.name, command.gpus, command.dataset) for command in called]
    assert shown == [("readme.md", 8, "other"), ("readme.md", 8, "d"), ("run.sh", 2, "d")]
