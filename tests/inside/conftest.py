"""A training repository in miniature: the names that the watch attaches to, a few lines each."""

import importlib
import inspect
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

from opv2v_doctor.inside.watch.import_hook import Finder
from opv2v_doctor.inside.watch.points import Points

SOURCES = {
    "mapanything/__init__.py": "",
    "mapanything/utils/__init__.py": "",
    "mapanything/train/__init__.py": "",
    "mapanything/datasets/__init__.py": """
import torch

class Loader:
    def __init__(self, steps):
        self.steps, self.epoch, self.dataset = steps, 0, self

    def __len__(self):
        return self.steps

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __iter__(self):
        for step in range(self.steps):
            random = torch.Generator().manual_seed(1000 * self.epoch + step)
            points = torch.rand(2, 4, generator=random)
            mask = torch.tensor([[True, True, False, False]] * 2)
            names = [f"{self.epoch}/{step}/{sample}" for sample in range(2)]
            yield [{"points": points, "non_ambiguous_mask": mask, "valid_mask": mask, "instance": names,
                    "label": names}]

def get_train_data_loader(dataset):
    return Loader(dataset)

def get_test_data_loader(dataset):
    return Loader(dataset)
""",
    "mapanything/utils/train_tools.py": """
import math
import torch

class MetricLogger:
    def __init__(self):
        self.meters = {}

    def log_every(self, iterable, print_freq=1, header=""):
        for item in iterable:
            yield item

def adjust_learning_rate(optimizer, epoch, train_args):
    for group in optimizer.param_groups:
        if epoch < train_args.warmup_epochs:
            group["lr"] = train_args.lr * epoch / train_args.warmup_epochs
        else:
            done = (epoch - train_args.warmup_epochs) / (train_args.epochs - train_args.warmup_epochs)
            group["lr"] = train_args.lr * 0.5 * (1 + math.cos(math.pi * done))

def save_on_master(content, path):
    torch.save(content, path)

def save_model(args, epoch, model_without_ddp, optimizer, loss_scaler, fname):
    content = {"model": model_without_ddp.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch}
    save_on_master(content, f"{args.output_dir}/checkpoint-{fname}.pth")

def load_model(train_args, model_without_ddp, optimizer, loss_scaler):
    train_args.start_epoch = 0
    if train_args.resume_ckpt:
        checkpoint = torch.load(train_args.resume_ckpt, weights_only=False)
        model_without_ddp.load_state_dict(checkpoint["model"])
        if train_args.restore:
            optimizer.load_state_dict(checkpoint["optimizer"])
        train_args.start_epoch = checkpoint["epoch"] + 1 + train_args.shift
""",
    "mapanything/utils/inference.py": """
def loss_of_one_batch_multi_view(batch, model, criterion, device, ret=None):
    predictions = [{"non_ambiguous_mask_logits": model(view["points"])} for view in batch]
    result = {"loss": criterion(batch, predictions)}
    return result[ret] if ret else result
""",
    "mapanything/train/training.py": """
import torch

import mapanything.utils.train_tools as train_tools
from mapanything.datasets import get_test_data_loader as test_loader, get_train_data_loader
from mapanything.utils.inference import loss_of_one_batch_multi_view as loss_of

class Criterion(torch.nn.Module):
    def forward(self, batch, predictions):
        logits, mask = predictions[0]["non_ambiguous_mask_logits"], batch[0]["non_ambiguous_mask"]
        return torch.nn.functional.binary_cross_entropy_with_logits(logits, mask.float()), {}

def build_dataset(dataset, test):
    return test_loader(dataset) if test else get_train_data_loader(dataset)

def train(args, wrap=lambda model: model, seed=0):
    torch.manual_seed(seed)
    params = args.train_params
    model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Linear(3, 4))
    loader, tests = build_dataset(args.steps, False), build_dataset(2, True)
    groups = [{"params": list(model[0].parameters())}, {"params": list(model[1].parameters())}]
    optimizer = torch.optim.AdamW(groups, lr=params.lr)
    params.change(model)
    train_tools.load_model(params, model, optimizer, None)
    for epoch in range(params.start_epoch, params.epochs):
        train_one_epoch(wrap(model), Criterion(), loader, optimizer, "cpu", epoch, params.scaler, args)
        test_one_epoch(model, Criterion(), tests, "cpu", epoch + 1, args, prefix="val")
        train_tools.save_model(args, epoch, model, optimizer, None, "last")
    return model

def train_one_epoch(model, criterion, data_loader, optimizer, device, epoch, loss_scaler, args,
                    param_groups_idx_to_name_map=None):
    params = args.train_params
    if params.set_epoch:
        data_loader.set_epoch(epoch)
    optimizer.zero_grad()
    for step, batch in enumerate(train_tools.MetricLogger().log_every(data_loader)):
        train_tools.adjust_learning_rate(optimizer, epoch + step / len(data_loader), params)
        args.rates.append(optimizer.param_groups[0]["lr"])
        loss, _ = loss_of(batch, model, criterion, device, ret="loss")
        (loss * params.factor).backward()
        optimizer.step()
        if params.clear:
            optimizer.zero_grad()

@torch.no_grad()
def test_one_epoch(model, criterion, data_loader, device, epoch, args, prefix="test"):
    for batch in train_tools.MetricLogger().log_every(data_loader):
        loss_of(batch, model, criterion, device, ret="loss")
    return {"loss_avg": torch.tensor(0.5), "loss_med": 1, "name": "val", "curve": torch.ones(2)}
""",
}

REPLACED: list[tuple[Any, str]] = [
    (torch, "save"),
    (torch.autograd, "backward"),
    (torch.nn.utils, "clip_grad_norm_"),
    (torch.nn.utils.clip_grad, "clip_grad_norm_"),
    (torch.nn.utils, "clip_grad_value_"),
    (torch.nn.utils.clip_grad, "clip_grad_value_"),
    (torch.amp.GradScaler, "scale"),
    (torch.optim.Optimizer, "zero_grad"),
    (torch.optim.Optimizer, "__init__"),
    (torch.nn.Module, "zero_grad"),
]


class Watched:
    """One watched training in this process, and what was written about it."""

    def __init__(self, run: Path, loop: ModuleType, points: Any) -> None:
        self.run, self.loop, self.points = run, loop, points

    def train(self, steps: int = 4, **changed: Any) -> Any:
        """Train; returns the model, and keeps the learning rates of all steps."""
        params = {
            "lr": 0.1, "epochs": 2, "warmup_epochs": 1, "resume_ckpt": None, "restore": True, "shift": 0,
            "set_epoch": True, "clear": True, "factor": 1.0, "change": lambda model: None, "scaler": None,
        }  # fmt: skip
        self.rates: list[float] = []
        self.args = SimpleNamespace(
            train_params=SimpleNamespace(**{**params, **changed}),
            steps=steps,
            output_dir=str(self.run),
            rates=self.rates,
        )
        return self.loop.train(self.args)

    def events(self, *names: str) -> list[dict[str, Any]]:
        """The events of these names."""
        lines = (self.run / "events.jsonl").read_text(encoding="utf-8").splitlines()
        return [event for event in map(json.loads, lines) if event["event"] in names]

    def warnings(self) -> set[str]:
        """What was warned of."""
        return {event["what"] for event in self.events("warning")}

    def failures(self) -> list[dict[str, Any]]:
        """Errors of the watch itself."""
        return self.events("watch failed")


@pytest.fixture(scope="session")
def miniature(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository's directory."""
    directory = tmp_path_factory.mktemp("miniature")
    for name, text in SOURCES.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text.lstrip())
    return directory


@pytest.fixture
def watch(
    miniature: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Watched]]:
    """Imports the repository anew under the watch's import hook, with these settings of the watch."""
    monkeypatch.syspath_prepend(str(miniature))
    for owner, name in REPLACED:  # what the watch replaces is put back
        monkeypatch.setattr(owner, name, getattr(owner, name))
    hooks = list(sys.meta_path)

    def start(replaced: dict[str, object] | None = None, run: str = "run", **settings: object) -> Watched:
        _forget()
        torch.save = inspect.unwrap(torch.save)
        points = Points({"run": str(tmp_path / run), **settings})
        Finder(points.by_module(), points.lacking).install()
        for name, value in (replaced or {}).items():
            module, _, attribute = name.rpartition(".")
            setattr(importlib.import_module(module), attribute, value)
        return Watched(tmp_path / run, importlib.import_module("mapanything.train.training"), points)

    yield start
    sys.meta_path[:] = hooks
    _forget()


def _forget() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "mapanything"]:
        del sys.modules[name]
