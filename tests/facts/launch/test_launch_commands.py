"""What launchers start: how many ranks, which script, and which config."""

from __future__ import annotations

from pathlib import Path

import pytest

from opv2v_doctor.facts.launch.launch_commands import LaunchCommand, launch_command
from opv2v_doctor.facts.launch.shell import Shell


def launched(text: str, folder: Path = Path("/repo")) -> LaunchCommand | None:
    shell = Shell(folder)
    shell.run(text)
    return launch_command(shell.started[-1])


@pytest.mark.parametrize(
    ("line", "launcher", "gpus", "script"),
    [
        ("torchrun --nproc_per_node 4 --standalone scripts/train.py", "torchrun", 4, "scripts/train.py"),
        ("torchrun --nproc-per-node=4 --nnodes=2 train.py", "torchrun", 8, "train.py"),
        ("torchrun --nnodes=1:4 --nproc_per_node=4 train.py", "torchrun", None, "train.py"),
        ("torchrun train.py", "torchrun", 1, "train.py"),
        ("CUDA_VISIBLE_DEVICES=1,3 torchrun --nproc_per_node=gpu train.py", "torchrun", 2, "train.py"),
        ("torchrun --nproc_per_node=gpu train.py", "torchrun", None, "train.py"),
        ("torchrun --nproc_per_node=2 -m package.train x=1", "torchrun", 2, "package/train.py"),
        ("python -u -m torch.distributed.run --nproc_per_node 2 train.py", "torchrun", 2, "train.py"),
        (
            "python3 -m torch.distributed.launch --nproc_per_node 2 --use_env train.py",
            "torch.distributed.launch",
            2,
            "train.py",
        ),
        ("python -m package.train a=b", "python", 1, "package/train.py"),
        ("cd scripts; python distill.py", "python", 1, "scripts/distill.py"),
        ("/opt/env/bin/python3.11 -X dev -W error train.py", "python", 1, "train.py"),
        (
            "accelerate launch --multi_gpu --num_processes 4 --mixed_precision bf16 train.py",
            "accelerate",
            4,
            "train.py",
        ),
        ("accelerate launch train.py", "accelerate", None, "train.py"),
        ("deepspeed --num_gpus=4 --num_nodes 2 train.py", "deepspeed", 8, "train.py"),
        ("deepspeed --include localhost:0,2 train.py", "deepspeed", 2, "train.py"),
        ("srun --ntasks=8 python train.py", "srun", 8, "train.py"),
        ("srun -N 2 --ntasks-per-node=4 python train.py", "srun", 8, "train.py"),
        ("srun python train.py", "python", 1, "train.py"),
        ("./scripts/train.py a=b", "python", 1, "scripts/train.py"),
    ],
)
def test_the_forms_of_a_launch(line: str, launcher: str, gpus: int | None, script: str) -> None:
    found = launched(line)
    assert found is not None
    assert (found.launcher, found.gpus, found.script) == (launcher, gpus, Path("/repo", script))


@pytest.mark.parametrize(
    "line",
    [
        "python",
        "python -c 'import train.py'",
        "accelerate config",
        "vim train.py",
        "torchrun",
        "pip -m x",
        "train.py",
    ],
)
def test_what_launches_nothing(line: str) -> None:
    assert launched(line) is None


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("--config-name other", {"config-name": "other"}),
        ("--config-name=other.yaml -cp ../conf", {"config-name": "other.yaml", "config-path": "../conf"}),
        ("-cn other -cd /more", {"config-name": "other", "config-dir": "/more"}),
        ("", {}),
    ],
)
def test_the_config_that_is_chosen(options: str, expected: dict[str, str]) -> None:
    found = launched(f"torchrun --nproc_per_node=2 train.py {options} a=b c=$(date) $MORE ~d")
    assert found is not None
    assert found.config == expected
    assert found.overrides == ("a=b", "~d")
    assert found.untold == ("c", "?")


def test_accelerate_may_say_its_number_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "accelerate.yaml").write_text("num_processes: 6\n")
    found = launched("accelerate launch --config_file accelerate.yaml train.py", tmp_path)
    assert found is not None
    assert found.gpus == 6


@pytest.mark.parametrize(
    ("line", "mask"),
    [
        ("export CUDA_VISIBLE_DEVICES=0,1; python train.py", ("0", "1")),
        ("CUDA_VISIBLE_DEVICES= python train.py", ()),
        ("CUDA_VISIBLE_DEVICES=$GPUS python train.py", None),
        ("python train.py", None),
    ],
)
def test_the_mask_of_gpus(line: str, mask: tuple[str, ...] | None) -> None:
    found = launched(line)
    assert found is not None
    assert found.mask == mask
