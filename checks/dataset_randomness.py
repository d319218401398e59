"""Dataset: what an index means in another process, and in another epoch."""

from collections.abc import Sequence
from pathlib import Path

from opv2v_doctor import Blocked, Finding, Findings, Skip, Target, check, error, note
from opv2v_doctor.facts.config import place
from opv2v_doctor.facts.datasets import Part
from opv2v_doctor.facts.origins import class_place, seed_place
from opv2v_doctor.facts.samples import (
    drawn_twice,
    examined_splits,
    is_resized,
    next_epoch,
    samples,
)
from opv2v_doctor.facts.views import Sample


@check("DAT007", tier="data", requires=["DAT001", "ENV007"])
def validation_is_reproducible(target: Target) -> Findings:
    """The same index of an evaluation split is the same sample in another process.

    ## Why it matters
    Otherwise every evaluation measures other samples: the best checkpoint is chosen by luck, and no number
    can be compared with that of another run.

    ## How to fix
    Seed the generator for each index, from the dataset's seed. Beware of `if self.seed:`, for which a seed
    of 0 is no seed: write `if self.seed is not None:`, or give another seed.
    """
    if not [split for split in examined_splits(target) if split != "train"]:
        raise Skip("only the training split is examined")
    blocked: Blocked | None = None
    for split, pairs in drawn_twice(target).items():
        drawn = [pair for pair in pairs if not any(sample.failure for sample in pair)]
        different = [pair for pair in drawn if pair[0].digest != pair[1].digest]
        indices = _listed([first.key[0] for first, _ in drawn])
        if different:
            yield _unreproducible(target, split, *different[0])
        elif drawn:
            yield note(f"{split}: the samples of the indices {indices} are the same in two processes")
        else:
            failure = samples(target, split).failure or "it fails in another process"
            blocked = blocked or Blocked(f"no {split} sample could be drawn twice: {failure}")
    if blocked is not None:
        raise blocked


def _unreproducible(target: Target, split: str, first: Sample, again: Sample) -> Finding:
    part = samples(target, split).part
    seed, condition = part.keywords.get("seed"), seed_place(target, part)
    path, line = (
        (condition.path, condition.line) if condition else place(target, f"dataset.opv2v.{split}.seed")
    )
    test = condition.text.partition(":")[0] if condition else ""
    unseeded = seed == 0 and test == "if self.seed"
    return error(
        f"{split}: index {first.key[0]} is another sample in another process: {_differing(first, again)}"
        + (f"; seed is 0, which `{test}:` takes for none" if unseeded else f"; seed is {seed}"),
        path=path,
        line=line,
        hint=f"write `if self.seed is not None:` there, or set dataset.opv2v.{split}.seed=1"
        if unseeded
        else "seed the generator for each index from the dataset's seed",
        split=split,
        seed=seed,
    )


def _differing(first: Sample, again: Sample) -> str:
    """How two draws of one index differ."""
    if first.identity == again.identity:
        return "the same frame and agents with other pixels"
    ones, others = (", ".join(f"{view.instance}" for view in sample.views) for sample in (first, again))
    return f"{ones} and {others}"


@check("DAT008", tier="data", requires=["DAT001", "ENV007"])
def training_changes_between_epochs(target: Target) -> Findings:
    """The same training index is another sample in the next epoch.

    ## Why it matters
    `N @ D` chooses by the epoch which of the data an index means. A dataset that does not hear of the epoch
    shows the same N samples, in the same groups of agents, for the whole training.

    ## How to fix
    Let `set_epoch` reach every dataset, and choose by the epoch there.
    """
    if "train" not in examined_splits(target):
        raise Skip("the training split is not examined")
    if not is_resized(target):
        raise Skip("the training set is not resized (N @ D): the sampler alone shuffles")
    pairs = next_epoch(target)
    if not pairs:
        raise Blocked("no training sample could be drawn")
    path, line = _set_epoch(target, samples(target, "train").part)
    if all(first.identity == again.identity for first, again in pairs):
        keys = _listed([first.key[0] for first, _ in pairs])
        yield error(
            f"the training indices {keys} are the same frames and agents in epochs 0 and 1",
            path=path,
            line=line,
            hint="let set_epoch choose the frames of each index by the epoch",
        )
    else:
        yield note(f"training index {pairs[-1][0].key[0]} is another sample in epoch 1")


def _set_epoch(target: Target, part: Part) -> tuple[Path | None, int | None]:
    built = class_place(target, "ResizedDataset") or class_place(target, part.class_name)
    return (built.path, built.line) if built else (None, None)


def _listed(numbers: Sequence[object]) -> str:
    return ", ".join(str(number) for number in numbers)
