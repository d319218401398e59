"""Dataset: what an index means in another process, and in another epoch."""

from opv2v_doctor import (
    Blocked,
    Finding,
    Findings,
    Override,
    Place,
    Skip,
    Target,
    Text,
    check,
    error,
    examined,
    note,
)
from opv2v_doctor.facts.interpreter.views import Sample
from opv2v_doctor.facts.launch.config import place
from opv2v_doctor.facts.launch.datasets import Part, keyword_key
from opv2v_doctor.facts.launch.origins import class_place, seed_place
from opv2v_doctor.facts.launch.splits import examined_splits, is_resized
from opv2v_doctor.facts.samples.draws import next_epoch, redrawings, samples


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
    for split, pairs in redrawings(target).items():
        drawn = [pair for pair in pairs if not any(sample.failure for sample in pair)]
        different = [pair for pair in drawn if pair[0].digest != pair[1].digest]
        yield examined(len(drawn), "sample", split=split)
        if different:
            yield _unreproducible(target, split, *different[0])
        elif drawn:
            yield note(
                "the samples at indices {indices} are the same in two processes",
                of=split,
                indices=[first.key[0] for first, _ in drawn],
            )
        else:
            failure = samples(target, split).failure
            blocked = blocked or Blocked(
                "no {split} sample could be drawn twice: {failure}",
                at=failure.place if failure else None,
                split=split,
                failure=str(failure) if failure else Text("it fails in the second process"),
            )
    if blocked is not None:
        raise blocked


def _unreproducible(target: Target, split: str, first: Sample, again: Sample) -> Finding:
    part = samples(target, split).part
    seed, condition = part.keywords.get("seed"), seed_place(target, part)
    test = condition.text.partition(":")[0] if condition else ""
    unseeded = seed == 0 and test == "if self.seed"
    key = keyword_key(target, split, "seed")
    return error(
        "index {index} is another sample in a second process: {difference}; {reason}",
        hint=_remedy(key, unseeded=unseeded),
        at=condition or (place(target, key) if key else None),
        of=split,
        index=first.key[0],
        difference=_difference(first, again),
        reason=Text("seed is 0, which `{test}:` takes for none", test=test)
        if unseeded
        else Text("seed is {seed}", seed=seed),
        seed=seed,
    )


def _remedy(key: str | None, *, unseeded: bool) -> Text:
    if not unseeded:
        return Text("seed the generator of each index from the dataset's seed")
    if key is None:
        return Text("write `if self.seed is not None:` there")
    return Text("write `if self.seed is not None:` there, or set {override}", override=Override(f"{key}=1"))


def _difference(first: Sample, again: Sample) -> Text:
    """How two draws of one index differ."""
    if first.identity == again.identity:
        return Text("the same frame and agents with other pixels")
    ones, others = ([str(view.identity.instance) for view in sample.views] for sample in (first, again))
    return Text("{ones}, then {others}", ones=ones, others=others)


@check("DAT008", tier="data", requires=["DAT001", "ENV007"])
def training_changes_between_epochs(target: Target) -> Findings:
    """The same training index is another sample in the next epoch.

    ## Why it matters
    `N @ D` chooses by the epoch which of the data an index means. A dataset that ignores the epoch
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
        raise Blocked(
            "no training sample could be drawn in two epochs: {failure}",
            at=failure.place if (failure := samples(target, "train").failure) else None,
            failure=str(failure) if failure else Text("it fails in epoch 1"),
        )
    yield examined(len(pairs), "training sample")
    if all(first.identity == again.identity for first, again in pairs):
        yield error(
            "the training indices {indices} are the same frames and agents in epochs 0 and 1",
            hint="let set_epoch choose the frames of each index by the epoch",
            at=_set_epoch(target, samples(target, "train").part),
            indices=[first.key[0] for first, _ in pairs],
        )
    else:
        yield note("training index {index} is another sample in epoch 1", index=pairs[-1][0].key[0])


def _set_epoch(target: Target, part: Part) -> Place | None:
    return class_place(target, "ResizedDataset") or class_place(target, part.class_name)
