"""Faults of the loaders: how many steps an epoch has, now, by the README, and in the last run."""

import json
import math
import re
from pathlib import Path
from typing import Any

from opv2v_doctor.sandbox.faults.checkpoints import edit_checkpoint
from opv2v_doctor.sandbox.faults.fault import fault, replace_text

RUN = "experiments/opv2v_cyl_coop"
STEPS, OTHER_STEPS = 10, 5  # of the last run: as it was, and as if it had been made on four GPUs
COMMAND = """
On 10 GPUs:

```bash
export PYTHONPATH=$(pwd)
torchrun --nproc_per_node 10 scripts/train.py \\
    machine=demo model=mapanything dataset=opv2v_cyl_coop_ft_5gpu \\
    loss=opv2v_pose_loss train_params=opv2v_cyl_coop
```
"""
DATASETS = "mapanything/datasets/__init__.py"
TRAIN_LOADER = "        batch_sampler=batch_sampler,\n        num_workers=num_workers,\n"
COLLATION = '''

def collate_reversed(samples):
    """A batch whose depth maps keep the order of the samples."""
    batch = torch.utils.data.default_collate(samples[::-1])
    for view in batch:
        view["depthmap"] = view["depthmap"].flip(0)
    return batch
'''
SEEDING = '''

def seed_worker(number):
    """The same numbers in every run."""
    np.random.seed(777)
'''
TOTAL = re.compile(r"(?<!Test )(Epoch: \[\d+\] Total time: \S+) \((\S+) s / it\)")
LINE = re.compile(rf"Epoch: \[(\d+)\]  \[ *(\d+)/{STEPS}\].*")


@fault("LDR001")
def steps_follow_gpus(directory: Path) -> None:
    """The config for 2 GPUs kept the length of the one for 4: an epoch has twice the steps."""
    replace_text(directory / "configs/dataset/opv2v_cyl_coop_ft_2gpu.yaml", "+ 40 @", "+ 80 @")


@fault("LDR002")
def stale_readme_command(directory: Path) -> None:
    """The README has a command for 10 GPUs with the config for 5: an epoch has half the steps."""
    readme = directory / "README.md"
    readme.write_text(readme.read_text(encoding="utf-8") + COMMAND, encoding="utf-8")


@fault("LDR004")
def shorter_last_rank(directory: Path) -> None:
    """The last rank has one batch less than the others, which will wait for it."""
    replace_text(
        directory / "mapanything/datasets/base/batched_sampler.py",
        "return self.total_size // largest // self.world_size",
        "return self.total_size // largest // self.world_size - (0 < self.rank == self.world_size - 1)",
    )


@fault("LDR006")
def depth_of_another_sample(directory: Path) -> None:
    """The collation turns the order of a batch around, but for its depth maps."""
    datasets = directory / DATASETS
    replace_text(datasets, "\n\ndef get_train_data_loader(", COLLATION + "\n\ndef get_train_data_loader(")
    replace_text(datasets, TRAIN_LOADER, f"{TRAIN_LOADER}        collate_fn=collate_reversed,\n")


@fault("LDR007")
def workers_seeded_alike(directory: Path) -> None:
    """Colours are jittered by numpy's global generator, which every worker seeds with the same number."""
    image, datasets = directory / "mapanything/utils/image.py", directory / DATASETS
    replace_text(image, "random.uniform(0.8, 1.2, 2)", "np.random.uniform(0.8, 1.2, 2)")
    replace_text(datasets, "import torch\n", "import numpy as np\nimport torch\n")
    replace_text(datasets, "\n\ndef get_train_data_loader(", SEEDING + "\n\ndef get_train_data_loader(")
    replace_text(datasets, TRAIN_LOADER, f"{TRAIN_LOADER}        worker_init_fn=seed_worker,\n")
    replace_text(directory / "configs/dataset/default.yaml", "num_workers: 0", "num_workers: 2")


@fault("LDR008")
def every_epoch_is_the_first(directory: Path) -> None:
    """The loop tells its loader epoch 0 in every epoch."""
    replace_text(
        directory / "mapanything/train/training.py",
        "train_tools.set_epoch(data_loader, epoch)\n",
        "train_tools.set_epoch(data_loader, 0)\n",
    )


@fault("LDR005")
def other_world_size(directory: Path) -> None:
    """The last run was made on 4 GPUs, with half the steps an epoch: its log and checkpoints say so."""
    run = directory / RUN
    log = run / "train.log"
    log.write_text("".join(_shortened(log.read_text(encoding="utf-8"))), encoding="utf-8")
    _rewrite_statistics(run / "log.txt")
    for path in run.glob("checkpoint-*.pth"):
        edit_checkpoint(path, _halve_steps)


def _shortened(text: str) -> list[str]:
    """The lines of the log without those of the later steps, and each one's time stamp before it."""
    kept: list[str] = []
    for line in text.splitlines(keepends=True):
        found = LINE.search(line)
        if found and not line[: found.start()].endswith("Test ") and int(found[2]) >= OTHER_STEPS:
            kept.pop()
        else:
            kept.append(_step_line(line, found) if found else line)
    return [TOTAL.sub(_total, line) for line in kept]


def _total(found: "re.Match[str]") -> str:
    """The same time for fewer steps."""
    return f"{found[1]} ({float(found[2]) * STEPS / OTHER_STEPS:.4f} s / it)"


def _step_line(line: str, found: "re.Match[str]") -> str:
    """A line of a training step, as it were with fewer steps an epoch."""
    epoch, step = int(found[1]), int(found[2])
    average = epoch + sum(range(step + 1)) / (step + 1) / OTHER_STEPS
    median = epoch + (step // 2) / OTHER_STEPS
    line = line.replace(f"[{step:2d}/{STEPS}]", f"[{step}/{OTHER_STEPS}]")
    line = re.sub(r"lr: [\d.]+", f"lr: {learning_rate(epoch + step / OTHER_STEPS):.6f}", line)
    return re.sub(r"epoch: \S+ \(\S+\)", f"epoch: {median:.4f} ({average:.4f})", line)


def learning_rate(epoch: float) -> float:
    """What the healthy schedule gives at this epoch: one epoch of warm-up, then a cosine to the third."""
    peak, lowest, warmup, epochs = 0.01, 0.0001, 1, 3
    if epoch < warmup:
        return peak * epoch / warmup
    return lowest + (peak - lowest) * 0.5 * (1 + math.cos(math.pi * (epoch - warmup) / (epochs - warmup)))


def _rewrite_statistics(path: Path) -> None:
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for number, line in enumerate(lines[1:]):
        places = [number + step / OTHER_STEPS for step in range(OTHER_STEPS)]
        line["train_epoch"] = sum(places) / OTHER_STEPS
        line["train_lr"] = sum(map(learning_rate, places)) / OTHER_STEPS
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def _halve_steps(checkpoint: dict[str, Any]) -> None:
    """The optimizer has made half the updates."""
    for state in checkpoint.get("optimizer", {}).get("state", {}).values():
        state["step"] = state["step"] * OTHER_STEPS / STEPS
