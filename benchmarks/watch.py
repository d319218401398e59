"""The watch: the processor time that it costs a training, in percent of steps that take 100 ms."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks import Ratio

ENTERING = Path(__file__).parents[1] / "opv2v_doctor/inside/entering"
STEPS, EVERY, LAYERS, WIDTH, TIMES = 60, 30, 100, 32, 3  # 200 tensors: what costs is their number
DEVICE = os.environ.get("WATCH_DEVICE", "cpu")  # "cuda": the watch's share where tensors lie on a GPU
SMALLEST = {"STEPS": 2, "TIMES": 1}
TOOLS = """
class MetricLogger:
    meters = {}

    def log_every(self, iterable):
        yield from iterable

def adjust_learning_rate(optimizer, epoch, train_args):
    optimizer.param_groups[0]["lr"] = 1e-3 * epoch
"""
INFERENCE = """
def loss_of_one_batch_multi_view(batch, model, criterion, device, ret=None):
    return criterion(batch, [{"non_ambiguous_mask_logits": model(view["img"])} for view in batch])
"""
LOOP = f"""
import json, sys, time
import torch
from mapanything.utils.inference import loss_of_one_batch_multi_view
from mapanything.utils.train_tools import MetricLogger, adjust_learning_rate

class Criterion(torch.nn.Module):
    def forward(self, batch, predictions):
        return sum(prediction["non_ambiguous_mask_logits"].mean() for prediction in predictions), {{}}

def train_one_epoch(model, criterion, data_loader, optimizer, device, epoch, loss_scaler, args):
    for step, batch in enumerate(MetricLogger().log_every(data_loader)):
        adjust_learning_rate(optimizer, epoch + step / len(data_loader), None)
        loss, _ = loss_of_one_batch_multi_view(batch, model, criterion, device)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        time.sleep(0.1)  # the rest of a step: a device computes, we wait

def train():
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = torch.nn.Sequential(*(torch.nn.Linear({WIDTH}, {WIDTH}) for _ in range({LAYERS}))).to("{DEVICE}")
    optimizer = torch.optim.AdamW(model.parameters(), foreach=True)
    mask = torch.rand(2, {WIDTH}) > 0.5
    view = {{"img": torch.rand(2, {WIDTH}), "non_ambiguous_mask": mask, "valid_mask": mask}}
    view = {{key: value.to("{DEVICE}") for key, value in view.items()}}
    view.update(instance=["a"] * 2, label=["b"] * 2)
    loader = [[dict(view) for _ in range(4)] for _ in range(int(sys.argv[1]))]
    train_one_epoch(model, Criterion(), loader[:3], optimizer, "{DEVICE}", 0, None, None)  # warm
    started, used = time.perf_counter(), time.process_time()
    train_one_epoch(model, Criterion(), loader, optimizer, "{DEVICE}", 1, None, None)
    print(json.dumps([time.process_time() - used, time.perf_counter() - started]))
"""


def ratios() -> Iterator[Ratio]:
    """The watch's processor time in each second of training."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        _write(place)
        pairs = [(_measured(place, watched=True), _measured(place, watched=False)) for _ in range(TIMES)]
    ours, theirs = min(pair[0][0] for pair in pairs), min(pair[1][0] for pair in pairs)
    wall = min(pair[1][1] for pair in pairs)
    details = f"{1000 * (ours - theirs) / STEPS:.2f} ms a step of {1000 * wall / STEPS:.0f} ms"
    share = 100 * (ours - theirs) / wall
    yield Ratio(name="watch / steps of 100 ms, in percent", measured=share, bound=1, details=details)


def _write(place: Path) -> None:
    """A training of the usual names."""
    for name, text in {
        "mapanything/__init__.py": "",
        "mapanything/utils/__init__.py": "",
        "mapanything/train/__init__.py": "",
        "mapanything/utils/train_tools.py": TOOLS,
        "mapanything/utils/inference.py": INFERENCE,
        "mapanything/train/training.py": LOOP,
        "train.py": "from mapanything.train.training import train\ntrain()\n",
    }.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text)


def _measured(place: Path, *, watched: bool) -> tuple[float, float]:
    """Processor time and wall time of one training."""
    wanted = {"script": str((place / "train.py").resolve()), "module": None}
    watch = json.dumps({**wanted, "run": str(place / "run"), "every": EVERY})
    settings = {"OPV2V_DOCTOR_WATCH": watch, "PYTHONPATH": str(ENTERING)}
    done = subprocess.run(
        [sys.executable, place / "train.py", str(STEPS)],
        env={"PATH": "", "OMP_NUM_THREADS": "1", **(settings if watched else {})},
        capture_output=True,
        text=True,
        check=True,
        timeout=600,
    )
    used, wall = json.loads(done.stdout)
    return float(used), float(wall)
