"""The guards of the family loader."""

from dataclasses import replace
from typing import Any

from opv2v_doctor.facts.interpreter.questions import RandomUse
from opv2v_doctor.target import make_target
from opv2v_doctor.testing import run_check

from ..loader_facts import BATCHES, loader_facts
from .guard import Case, Guard, edited, fault, guarded, healthy

SAMPLER, TRAINING = "mapanything/datasets/base/batched_sampler.py", "mapanything/train/training.py"


def given(**words: Any) -> Case:
    """The healthy repository, with facts about its loaders that differ in something."""
    return lambda shop, code: run_check(code, make_target(repo=shop.healthy), loader_facts(**words))


NOTHING: dict[str, Any] = {"batches": ()}
ALIKE = tuple(RandomUse(generator="torch", worker=worker, epoch=0, state="a") for worker in (0, 1))

GUARDS = {
    "LDR001": Guard(
        bad=fault("steps_follow_gpus"),
        good=healthy(),
        empty=healthy(overrides=("dataset.train_dataset=${dataset.opv2v.train.dataset_str}",)),
    ),
    "LDR002": Guard(
        bad=fault("stale_readme_command"),
        good=healthy(),
        empty=edited(
            ("README.md", "torchrun", "run"), ("bash_scripts/train/opv2v_cyl_coop.sh", "torchrun", "run")
        ),
    ),
    "LDR003": Guard(
        bad=edited((SAMPLER, "// largest // self.world_size", "// largest")),
        good=healthy(),
        empty=edited(
            (TRAINING, "import get_test_data_loader, get_train_data_loader", "import get_test_data_loader"),
            (TRAINING, "get_train_data_loader(", "built_otherwise("),
        ),
    ),
    "LDR004": Guard(
        bad=fault("shorter_last_rank"),
        good=healthy(),
        empty=healthy(gpus=64, overrides=("dataset=opv2v_cyl_coop_ft",)),
    ),
    "LDR005": Guard(
        bad=fault("other_world_size"),
        good=healthy(),
        empty=healthy(overrides=("hydra.run.dir=experiments/new",)),
    ),
    "LDR006": Guard(
        bad=given(train={"batches": (replace(BATCHES[0], overwritten=("img",)),)}),
        good=given(),
        empty=given(train=NOTHING),
    ),
    "LDR007": Guard(
        bad=given(train={"random": ALIKE}), good=given(train={"random": ALIKE[:1]}), empty=given()
    ),
    "LDR008": Guard(
        bad=given(train={"alike": True, "told": True}), good=given(), empty=given(train={"alike": None})
    ),
    "LDR009": Guard(bad=given(val={"changed": ("img",)}), good=given(), empty=given(evaluated=False)),
    "LDR010": Guard(bad=given(share={"missing": 50}), good=given(), empty=given(evaluated=False)),
    "LDR011": Guard(bad=given(never=20, drawn=1000), good=given(), empty=given(drawn=0)),
}

test_loader = guarded(GUARDS)
