"""Faults of documented launches: what a second script, or the first one edited, would start."""

from pathlib import Path

from opv2v_doctor.sandbox.faults.fault import fault, replace_text

SCRIPT = "bash_scripts/train/opv2v_cyl_coop.sh"
TRIAL = "bash_scripts/train/trial.sh"


@fault("LCH001")
def launcher_adds_local_rank(directory: Path) -> None:
    """The script starts Hydra's script with torch.distributed.launch, which gives it --local-rank."""
    replace_text(directory / SCRIPT, "torchrun ", "python -m torch.distributed.launch ")


@fault("LCH001")
def mask_shows_too_few_gpus(directory: Path) -> None:
    """The script shows two GPUs, and starts four ranks."""
    replace_text(directory / SCRIPT, "export PYTHON", "export CUDA_VISIBLE_DEVICES=0,1\nexport PYTHON")


@fault("LCH002")
def two_scripts_share_a_directory(directory: Path) -> None:
    """A second script trains another learning rate into the same run directory."""
    _copy(directory, "train_params.lr=0.5")


@fault("LCH003")
def trial_keeps_the_warm_up(directory: Path) -> None:
    """A second script trains for one epoch, all of which is warm-up."""
    _copy(directory, "train_params.epochs=1 hydra.run.dir=experiments/trial")


@fault("LCH003")
def script_names_no_loss(directory: Path) -> None:
    """The script leaves the loss to the default config."""
    replace_text(directory / SCRIPT, "    loss=opv2v_pose_loss \\\n", "")


def _copy(directory: Path, words: str) -> None:
    """A copy of the script that adds words to its launch."""
    text = (directory / SCRIPT).read_text(encoding="utf-8").rstrip()
    (directory / TRIAL).write_text(f"{text} \\\n    {words}\n", encoding="utf-8")
