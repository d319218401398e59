"""Checks of our own: what our group agreed on, beside what the doctor asks."""

from dataclasses import dataclass

from opv2v_doctor import Findings, Skip, Target, check, error, examined, fact
from opv2v_doctor.facts.launch.config import config, place

EVERY = "train_params.keep_freq"


@dataclass(frozen=True)
class Kept:
    """How many epochs a training has, and after how many of them a checkpoint is kept."""

    epochs: int
    every: int


@fact
def kept(target: Target) -> Kept | None:
    """What the launch keeps; None where its config does not tell. A fact: it measures and has no opinion."""
    epochs, every = (config(target).number(key) for key in ("train_params.epochs", EVERY))
    return Kept(int(epochs), int(every)) if epochs and every else None


@check("OUR001", tier="static", requires=["CFG002"])
def last_epoch_is_kept(target: Target) -> Findings:
    """The last epoch is one of those whose checkpoint is kept.

    ## Why it matters
    We compare our trainings by their last kept checkpoint: one that is older than the training misleads.

    ## How to fix
    Let the epochs be a multiple of `train_params.keep_freq`.
    """
    found = kept(target)
    if found is None:
        raise Skip("the config keeps no checkpoint of an epoch")
    yield examined(found.epochs, "epoch")
    if found.epochs % found.every:
        yield error(
            "of {epochs} epochs, the last that is kept is epoch {last}",
            at=place(target, EVERY),
            hint="{key}=1, or a multiple of {every} as train_params.epochs",
            epochs=found.epochs,
            last=found.epochs - found.epochs % found.every,
            key=EVERY,
            every=found.every,
        )
