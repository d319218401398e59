"""What a launch sets is read by its code or by a value that is; a literal in a call may hide it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from opv2v_doctor import Place, Target
from opv2v_doctor.facts.launch.config import Config, config
from opv2v_doctor.facts.launch.intents import intents, is_read, shadows
from opv2v_doctor.settings import LaunchSettings, Settings
from opv2v_doctor.state import State

VALUES = {
    "train_params": {
        "lr": 0.1,
        "seed": 0,
        "warmup_epochs": 1,
        "epochs": 3,
        "amp": True,
        "batch": 4,
        "clip": 1.0,
        "submodule_configs": {"encoder": {"lr": 0.01}},
        "schedule": {"decay": 2, "unused": 1},
        "listed": 1,
    },
    "dataset": {
        "seed": 5,
        "num_workers": 2,
        "train": {"dataset_str": "Scenes(split='x', seed=5)", "seed": 5},
        "test": {"dataset_str": "Scenes()", "seed": 7},
        "train_dataset": "+ 4 @ Scenes()",
        "resolution": 8,
    },
    "model": {"model_config": {"width": 16, "depth": 3}, "head": {"_target_": "timm.Head", "size": 3}},
    "output_dir": "out",
}
CONFIG = """
train_params: {lr: 0.1, seed: 0, warmup_epochs: 1, epochs: 3}
dataset:
  seed: 5
  train:
    dataset_str: "Scenes(seed=${.seed})"
    seed: ${dataset.seed}
  test: {dataset_str: "Scenes(seed=${dataset.test.seed})", seed: 7}
  train_dataset: "+ 4 @ ${dataset.train.dataset_str}"
output_dir: ${hydra:run.dir}
"""
TRAINING = '''
@hydra.main(config_path="../configs", config_name="train")
def main(cfg):
    """The clip of train_params.clip is not asked for."""
    train(cfg)

BATCH = 8

def train(args):
    params = args.train_params
    build(args.dataset.train_dataset, workers=args.dataset.num_workers)
    model = init_model(args.model.model_config, **args.model.head)
    for name in names:
        rate = params.submodule_configs.get(name, {}).get("lr", params.lr)
    step(params["epochs"], getattr(params, "amp"), make_scheduler(**params.schedule))
    for key in ("listed", "other"):
        print(params, key)
    write(args.output_dir, batch=BATCH)

class Model:
    def __init__(self, config):
        self.size = config.width

def make_scheduler(decay):
    return decay

def write(folder, batch, seed=1):
    return folder

class Meter:
    def every(self, items, batch):
        return items

    def other(self, batch):
        return batch

def other(folder):
    return folder
'''


def target_in(repo: Path, *overrides: str, text: str = TRAINING, values: Any = VALUES) -> Target:
    (repo / "scripts").mkdir(exist_ok=True)
    (repo / "configs").mkdir(exist_ok=True)
    (repo / "scripts/train.py").write_text(text)
    (repo / "configs/train.yaml").write_text(CONFIG)
    files = ((repo / "configs/train.yaml", ""), *extra_files(repo))
    given = {config: Config(values=values, missing=(), unresolved={}, files=files)}
    settings = Settings(launch=LaunchSettings(script="scripts/train.py"))
    target = Target(repo=repo, python=Path("python"), overrides=overrides, settings=settings)
    return replace(target, state=State(given))


def extra_files(repo: Path) -> list[tuple[Path, str]]:
    """Configs of a group that lie beside the primary one: `default` first, then what was chosen."""
    found = sorted((repo / "configs/train_params").glob("*.yaml"), key=lambda path: path.stem != "default")
    return [(path, "train_params") for path in found]


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("train_params.lr", True),
        ("train_params.epochs", True),  # by a subscript
        ("train_params.amp", True),  # by getattr
        ("train_params.listed", True),  # its name in a list of keys
        ("train_params.submodule_configs.encoder.lr", True),
        ("train_params.schedule.decay", True),  # by **, as a parameter
        ("train_params.schedule.unused", True),  # by **: whoever takes it may be elsewhere
        ("train_params.clip", False),  # a docstring reads nothing
        ("train_params.warmup_epochs", False),
        ("dataset.seed", True),  # by a reference of a reference, which is read
        ("dataset.train.seed", True),  # by a reference to its own node
        ("dataset.test.seed", False),  # what refers to it is not read
        ("dataset.resolution", False),
        ("dataset.num_workers", True),
        ("model.model_config.width", True),
        ("model.model_config.depth", False),
        ("model.head.size", True),
        ("output_dir", True),
    ],
)
def test_what_is_read(key: str, expected: bool, tmp_path: Path) -> None:
    assert is_read(target_in(tmp_path), key) is expected


def test_overrides_of_single_keys_are_intents(tmp_path: Path) -> None:
    overrides = ("machine=demo", "+train_params.clip=1", "train_params.lr=1", "~dataset", "hydra.run.dir=x")
    found = intents(target_in(tmp_path, *overrides))
    assert [(one.key, one.is_read, one.at) for one in found] == [
        ("train_params.clip", False, None),
        ("train_params.lr", True, None),
    ]


def test_an_override_can_be_what_refers_to_another(tmp_path: Path) -> None:
    override = "dataset.train_dataset=4 @ ${dataset.test.dataset_str}"
    assert is_read(target_in(tmp_path, override), "dataset.test.seed")


def test_a_key_that_a_chosen_config_alone_has_is_an_intent_at_its_line(tmp_path: Path) -> None:
    folder = tmp_path / "configs/train_params"
    folder.mkdir(parents=True)
    (folder / "default.yaml").write_text("lr: 0.1\n")
    (folder / "own.yaml").write_text("epochs: 3\nschedule: {decay: 2}\nclip: 1.0\n")
    found = {one.key: one for one in intents(target_in(tmp_path))}
    assert "train_params.lr" not in found
    clip = found["train_params.clip"]
    assert (clip.is_read, clip.override, clip.at) == (False, "", Place(folder / "own.yaml", 3))


def test_a_literal_that_a_call_gives_instead_of_the_config_is_a_shadow(tmp_path: Path) -> None:
    (found,) = shadows(target_in(tmp_path)).shadows
    line = next(n for n, text in enumerate(TRAINING.splitlines(), 1) if "batch=BATCH" in text)
    assert (found.parameter, found.literal, found.key, found.configured) == (
        "batch",
        8,
        "train_params.batch",
        4,
    )
    assert (found.place.path, found.place.line) == (tmp_path / "scripts/train.py", line)


@pytest.mark.parametrize(
    "line",
    ["args.train_params.batch = 9", "params.batch = 9", "Meter().every(items, 9)", "write(3, batch=9)"],
)
def test_a_literal_may_be_assigned_or_given_to_a_method(line: str, tmp_path: Path) -> None:
    text = TRAINING.replace("write(args.output_dir, batch=BATCH)", line)
    (found,) = shadows(target_in(tmp_path, text=text)).shadows
    assert (found.key, found.literal) == ("train_params.batch", 9)


@pytest.mark.parametrize(
    "call",
    [
        "write(args.output_dir, 4)",  # what the config says
        "write(args.output_dir, batch=args.train_params.batch)",
        "write(args.output_dir, batch=None)",
        "write(args.output_dir, batch=True)",  # of another type: something else of that name
        "write(args.output_dir, 4, seed=3)",  # several keys are called so
        "print(batch=9)",  # not the repository's own
        "other(9)",  # of which there are several
        "self.batch = 9",  # an attribute of its own
        "params.amp = False",  # what a training finds out of itself
    ],
)
def test_what_is_no_shadow(call: str, tmp_path: Path) -> None:
    text = TRAINING.replace("write(args.output_dir, batch=BATCH)", call)
    assert shadows(target_in(tmp_path, text=text)).shadows == ()


def test_a_literal_where_the_config_is_not_at_hand_is_no_shadow(tmp_path: Path) -> None:
    text = TRAINING.replace("batch=BATCH", "4") + "\ndef tool(folder):\n    write(folder, batch=9)\n"
    assert shadows(target_in(tmp_path, text=text)).shadows == ()
