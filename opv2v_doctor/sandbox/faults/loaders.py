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
