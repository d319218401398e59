"""A writer of training logs, as a MetricLogger writes them, and targets that are made of one log."""

from __future__ import annotations

import math
import os
import struct
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import yaml

from opv2v_doctor.state import State
from opv2v_doctor.target import Target

EPOCHS, WARMUP, PEAK, LEAST = 8, 2, 5e-5, 5e-7
ROBUST = (
    "Loss(RobustRegressionLoss(alpha=0.5, scaling_c=0.05), norm_mode='avg_dis', pose_trans_loss_weight=1.0)"
)
WEIGHTS = "/weights/model.pth"
TRAIN_PARAMS = {
    "epochs": EPOCHS,
    "warmup_epochs": WARMUP,
    "lr": PEAK,
    "min_lr": LEAST,
    "max_num_of_imgs_per_gpu": 4,
    "accum_iter": 1,
    "eval_freq": 1,
    "schedule_type": "linear_warmup_half_cycle_cosine_decay",
    "submodule_configs": {},
    "resume": False,
}
CONFIG = {
    "model": {"pretrained": WEIGHTS, "model_config": {"pretrained_checkpoint_path": None}},
    "dataset": {
        "train_dataset": "+ 40_000 @ Data(split='train')",
        "test_dataset": "+ 10 @ Data(split='test')",
    },
    "loss": {"train_criterion": ROBUST},
    "train_params": TRAIN_PARAMS,
}


def rate(epoch: float) -> float:
    """The configured learning rate."""
    if epoch < WARMUP:
        return PEAK * epoch / WARMUP
    share = (epoch - WARMUP) / (EPOCHS - WARMUP)
    return LEAST + (PEAK - LEAST) * 0.5 * (1 + math.cos(math.pi * share))


def events(folder: Path) -> Target:
    """An event file of TensorBoard, with a loss that falls: as much of its format as is read."""

    def field(number: int, content: bytes) -> bytes:
        return bytes([number << 3 | 2, len(content)]) + content

    path = folder / "events.out.tfevents.1"
    with path.open("wb") as file:
        for step in range(20):
            value = field(1, b"train_loss") + b"\x15" + struct.pack("<f", 20.0 - step)
            message = bytes([2 << 3, step]) + field(5, field(1, value))
            file.write(struct.pack("<Q", len(message)) + bytes(4) + message + bytes(4))
    return Target(repo=folder, python=Path(sys.executable), logs=(path,))


def masks(loss: float, predicted: float = 0.33, target: float | None = 0.33) -> dict[str, float]:
    """The metrics of a mask loss."""
    values = {"NonAmbiguousMaskLoss_mask_avg": loss, "NonAmbiguousMaskLoss_pred_mask_mean": predicted}
    return values if target is None else {**values, "NonAmbiguousMaskLoss_gt_mask_mean": target}


def config(**params: Any) -> dict[str, Any]:
    """The usual config with other training parameters."""
    return {**CONFIG, "train_params": {**TRAIN_PARAMS, **params}}


@dataclass
class LogText:
    """A log line by line; every method returns the number of the line that it ends with."""

    folder: Path
    lines: list[str] = field(default_factory=list)

    def say(self, text: str) -> int:
        self.lines += [f"[2026-11-22 13:22:45,051][__main__][INFO] - {line}" for line in text.splitlines()]
        return len(self.lines)

    def launch(self, gpus: int = 1, job: str = "/repo/mapanything/train") -> int:
        for rank in range(gpus):
            self.say(f"| distributed init (rank {rank}): env://, gpu {rank}")
        self.say("[13:22:45.053493]")
        self.say("output_dir: /runs/one")
        return self.say(f"job dir: {job}")

    def start(self) -> int:
        return self.say(f"Start training for {EPOCHS} epochs")

    def epoch(
        self,
        number: int,
        steps: int = 1000,
        every: int = 100,
        loss: float | None = None,
        metrics: Mapping[str, float] | None = None,
        rates: Callable[[float], float] = rate,
        time: float = 1.0,
        data: float = 0.01,
    ) -> int:
        for step in [*range(0, steps, every), steps - 1]:
            value = (100 - 10 * number if loss is None else loss) * (1 + step * 7 % 11 / 1000)
            self.metrics(
                f"Epoch: [{number}]  [{step:{len(str(steps))}d}/{steps}]  eta: 0:03:44  "
                f"lr: {rates(number + step / steps):.6f}  epoch: {number:.4f} ({number:.4f})",
                {"loss": value, **(metrics or {})},
                time,
                data,
            )
        return self.say(f"Epoch: [{number}] Total time: 0:04:08 (0.2400 s / it)")

    def test(self, number: int, loss: float, metrics: Mapping[str, float] | None = None) -> int:
        self.say("Testing on  10 @ Data ...")
        line = self.metrics(
            f"Test Epoch: [{number}]  [0/1]  eta: 0:00:36", {"loss": loss, **(metrics or {})}, 1, 0
        )
        self.say(f"Test Epoch: [{number}] Total time: 0:00:36 (36.0120 s / it)")
        return line

    def metrics(self, head: str, values: Mapping[str, float], time: float, data: float) -> int:
        self.say("[13:23:42.015673]")
        body = "  ".join(f"{name}: {value:.4f} ({value:.4f})" for name, value in values.items())
        return self.say(f"{head}  {body}  time: {time:.4f}  data: {data:.4f}  max mem: 20514")

    def save(self, name: str) -> int:
        return self.say(f">> Saving model to /runs/one/checkpoint-{name}.pth ...")

    def end(self) -> int:
        return self.say("Training time 0:16:35")

    def write(self, config: Mapping[str, Any] | None = CONFIG) -> Target:
        run = self.folder / "run"
        (run / ".hydra").mkdir(parents=True, exist_ok=True)
        if config is not None:
            (run / ".hydra" / "config.yaml").write_text(yaml.safe_dump(dict(config)))
        (run / "train.log").write_text("".join(f"{line}\n" for line in self.lines))
        return Target(repo=run, python=Path(sys.executable), logs=(run / "train.log",), state=State())

    def old(self, config: Mapping[str, Any] | None = CONFIG) -> Target:
        """Written long ago: nothing writes into it any more."""
        target = self.write(config)
        os.utime(target.logs[0], (1, 1))
        return target

    def healthy(self) -> Self:
        """A training of eight epochs in which nothing went wrong."""
        self.launch()
        self.say(f"Loading pretrained:\n{WEIGHTS}")
        self.start()
        for epoch in range(EPOCHS):
            mask = masks(0.1 - epoch / 100, 0.34 - epoch / 1000)
            self.epoch(
                epoch, metrics={**mask, "GeometryLoss_pose_trans_avg": 7.5 - epoch / 10, "grad_norm": 1.5}
            )
            self.save("last")
            self.test(epoch + 1, 90 - 8 * epoch)
            self.save("best")
        self.end()
        self.save("final")
        return self
