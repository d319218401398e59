"""The lines that begin an epoch are found where a training has them, with all that they need."""

from pathlib import Path

import pytest

from opv2v_doctor import Target
from opv2v_doctor.facts.launch.epochs import EpochStart, epoch_start

IN_ONE = """
def train(cfg):
    for epoch in range(cfg.epochs):
        train_one_epoch(model, train_loader, epoch, cfg)
        test_one_epoch(model, loaders["val"], epoch=epoch, args=cfg)

def train_one_epoch(model, data_loader, epoch, args, accum=1):
    tell(data_loader, epoch)
    data_loader.batch_sampler.set_epoch(epoch)
    for batch in data_loader:
        model(batch)

def test_one_epoch(model, data_loader, epoch, args):
    if args.frozen:
        told = 0
    else:
        told = epoch
    if hasattr(data_loader.dataset, "set_epoch"):
        data_loader.dataset.set_epoch(told)
    for step, batch in enumerate(logger.log_every(data_loader, args.print_freq)):
        model(batch)
"""
BY_CALLER = """
def train(cfg):
    params = cfg.train_params
    for epoch in range(params.start, params.epochs):
        train_loader.sampler.set_epoch(epoch + params.shift)
        train_one_epoch(model, train_loader)

def train_one_epoch(model, loader):
    torch.manual_seed(0)
    for batch in loader:
        model(batch)
"""
ALONE = """
def train(cfg):
    for epoch in range(10):
        for batch in train_loader:
            loss(batch).backward()
"""
CONSTANT = IN_ONE.replace(
    "train_one_epoch(model, train_loader, epoch, cfg)", "train_one_epoch(model, train_loader, cfg.first, cfg)"
)


def start(repo: Path, text: str, part: str = "train_epoch") -> EpochStart | None:
    (repo / "scripts").mkdir(parents=True, exist_ok=True)
    (repo / "scripts/train.py").write_text(text)
    return epoch_start(Target(repo=repo, python=Path("python")), part)


def line(text: str, words: str) -> int:
    return next(n for n, said in enumerate(text.splitlines(), 1) if words in said)


def test_what_is_told_before_the_loop_is_bound_by_the_call(tmp_path: Path) -> None:
    found = start(tmp_path, IN_ONE)
    assert found
    assert found.lines["source"] == "epoch = epoch\ndata_loader.batch_sampler.set_epoch(epoch)"
    assert (found.lines["epoch"], set(found.lines["loaders"])) == ("epoch", {"data_loader", "train_loader"})
    assert (found.place.line, found.tells, found.counts) == (line(IN_ONE, "batch_sampler"), True, True)
    assert found.seeds is None


def test_a_condition_that_chooses_the_epoch_comes_along(tmp_path: Path) -> None:
    found = start(tmp_path, IN_ONE, "test_epoch")
    assert found
    assert "told = 0" in found.lines["source"]
    assert found.lines["source"].startswith("epoch = epoch\nargs = cfg\nif args.frozen:")
    assert found.place.line == line(IN_ONE, "dataset.set_epoch")


def test_what_the_loop_over_epochs_tells_counts_and_so_does_a_seed(tmp_path: Path) -> None:
    found = start(tmp_path, BY_CALLER)
    assert found
    assert found.lines["source"].splitlines() == [
        "params = cfg.train_params",
        "train_loader.sampler.set_epoch(epoch + params.shift)",
        "torch.manual_seed(0)",
    ]
    assert found.seeds
    assert found.seeds.line == line(BY_CALLER, "manual_seed")
    assert found.lines["configs"] == ["cfg"]


def test_a_loop_that_tells_nothing_is_found_by_what_it_does(tmp_path: Path) -> None:
    found = start(tmp_path, ALONE)
    assert found
    assert (found.lines["source"], found.tells, found.place.line) == ("", False, 4)


def test_an_epoch_that_is_not_the_counter_is_seen(tmp_path: Path) -> None:
    found = start(tmp_path, CONSTANT)
    assert found
    assert (found.tells, found.counts) == (True, False)


@pytest.mark.parametrize("text", ["", "def other(loader):\n    for batch in loader:\n        print(batch)\n"])
def test_no_loop_is_no_start(text: str, tmp_path: Path) -> None:
    assert start(tmp_path, text) is None
