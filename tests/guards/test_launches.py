"""The guards of the family launches."""

from .guard import Guard, edited, fault, guarded, healthy

SCRIPT, README = "bash_scripts/train/opv2v_cyl_coop.sh", "README.md"
UNDOCUMENTED = ((README, "torchrun", "run"), (SCRIPT, "torchrun", "run"))

GUARDS = {
    "LCH001": Guard(
        bad=fault("launcher_adds_local_rank"),
        good=healthy(),
        empty=edited(*UNDOCUMENTED),
    ),
    "LCH002": Guard(
        bad=fault("two_scripts_share_a_directory"),
        good=healthy(),
        empty=healthy(overrides=("hydra.run.dir=out/${now:%Y}",)),
    ),
    "LCH003": Guard(
        bad=fault("trial_keeps_the_warm_up"),
        good=healthy(),
        empty=edited(
            (README, "--nproc_per_node 4", "--nproc_per_node gpu"),
            (README, "_node 5", "_node gpu"),
            (SCRIPT, "_node 4", "_node gpu"),
        ),
    ),
}

test_launches = guarded(GUARDS)
