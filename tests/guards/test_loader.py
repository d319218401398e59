"""The guards of the family loader."""

from .guard import Guard, edited, fault, guarded, healthy

SAMPLER, TRAINING = "mapanything/datasets/base/batched_sampler.py", "mapanything/train/training.py"

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
}

test_loader = guarded(GUARDS)
