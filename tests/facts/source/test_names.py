"""What plays a part in a training is found by its name in the settings, its usual name, or its shape."""

from pathlib import Path

import pytest

from opv2v_doctor import Blocked, Target
from opv2v_doctor.facts.source.names import (
    USUAL,
    builders,
    expression_module,
    named,
    otherwise_named,
    the,
    watched,
)
from opv2v_doctor.settings import Names, Settings

FILES = {
    "scripts/train.py": "from pack.loop import train\n",
    "pack/__init__.py": "",
    "pack/feeding.py": """
from torch.utils.data import DataLoader

def train_batches(dataset, images, workers=0):
    dataset = eval(dataset) if isinstance(dataset, str) else dataset
    return DataLoader(dataset, batch_sampler=dataset.make_sampler(images))

def eval_batches(dataset, batch_size):
    return DataLoader(eval(dataset), batch_size=batch_size)

def unused_batches(dataset):
    return DataLoader(dataset)
""",
    "pack/tools.py": """
class Meter:
    def __iter__(self):
        yield from ()

    def each(self, items, every):
        for item in items:
            yield item

def rate(optimizer, epoch):
    for group in optimizer.param_groups:
        group["lr"] = 0.1 / epoch

def forward(batch, model, criterion):
    return criterion(batch, model(batch))
""",
    "pack/loop.py": """
from pack.feeding import eval_batches, train_batches
from pack.tools import Meter, forward, rate

def loader(text, test):
    return eval_batches(text, 2) if test else train_batches(text, images=4)

def loaders(texts):
    return [loader(text, True) for text in texts]

def train(args):
    def save_model(epoch):
        tools.save_model(epoch)

    batches = loader(args.dataset.train_dataset, False)
    tests = loaders(args.dataset.test_dataset.split("+"))
    for step, batch in enumerate(Meter().each(batches, 1)):
        rate(optimizer, step)
        forward(batch, model, criterion)
""",
}
FOUND = {
    "train_loader": ("pack.feeding", "train_batches"),
    "test_loader": ("pack.feeding", "eval_batches"),
    "schedule": ("pack.tools", "rate"),
    "loss": ("pack.tools", "forward"),
    "metric_logger": ("pack.tools", "Meter.each"),
    "train": ("pack.loop", "train"),
}


def target_in(repo: Path, files: dict[str, str], **names: str) -> Target:
    for name, text in files.items():
        (repo / name).parent.mkdir(parents=True, exist_ok=True)
        (repo / name).write_text(text)
    return Target(repo=repo, python=Path("python"), settings=Settings(names=Names.model_validate(names)))


def test_each_part_is_found_by_its_shape(tmp_path: Path) -> None:
    target = target_in(tmp_path, FILES)
    assert watched(target) == FOUND
    assert otherwise_named(target) == {
        **{part: name.partition(".")[0] for part, (_, name) in FOUND.items() if part != "train"},
        "datasets": "pack.feeding",
    }


def test_a_function_that_makes_one_loader_is_a_builder(tmp_path: Path) -> None:
    assert set(builders(target_in(tmp_path, FILES))) == {
        *("train_batches", "eval_batches", "unused_batches"),
        "loader",
    }


def test_the_settings_come_first(tmp_path: Path) -> None:
    target = target_in(tmp_path, FILES, train_loader="unused_batches", datasets="pack.loop")
    assert the(target, "train_loader").reference == "pack.feeding:unused_batches"
    assert expression_module(target) == "pack.loop"


def test_a_usual_name_that_is_called_comes_before_a_shape(tmp_path: Path) -> None:
    usual = FILES["pack/tools.py"] + "\ndef adjust_learning_rate(optimizer, epoch):\n    pass\n"
    files = {**FILES, "pack/tools.py": usual}
    assert the(target_in(tmp_path / "idle", files), "schedule").name == "rate"
    files["pack/loop.py"] += "        adjust_learning_rate(optimizer, step)\n"
    assert the(target_in(tmp_path / "called", files), "schedule").name == "adjust_learning_rate"


def test_of_two_that_are_alike_none_is_taken(tmp_path: Path) -> None:
    other = FILES["pack/tools.py"].replace("def forward", "def other(a, f, g):\n    g(f(a))\n\ndef forward")
    loop = FILES["pack/loop.py"] + "        other(batch, model, criterion)\n"
    target = target_in(tmp_path, {**FILES, "pack/tools.py": other, "pack/loop.py": loop})
    assert named(target, "loss") is None
    with pytest.raises(Blocked) as blocked:
        the(target, "loss")
    assert blocked.value.hint is not None
    assert blocked.value.hint.values["part"] == "loss"


def test_a_training_is_no_loader_though_it_builds_one(tmp_path: Path) -> None:
    alone = "from torch.utils.data import DataLoader\n\ndef run(args):\n    loader = DataLoader(eval("
    files = {"scripts/train.py": f"{alone}args.dataset.train_dataset))\n    return loader\n\nrun(None)\n"}
    target = target_in(tmp_path, files)
    assert named(target, "train_loader") is None
    assert not builders(target)


def test_every_part_is_a_setting() -> None:
    assert {*USUAL, "datasets", "views"} == set(Names.model_fields)
