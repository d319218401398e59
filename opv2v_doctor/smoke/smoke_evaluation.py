"""Smoke: evaluation by the training's own function, and what is made of its results."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

from opv2v_doctor.check import Findings, Skip, check, error, examined, note, warning
from opv2v_doctor.facts.source.names import named
from opv2v_doctor.smoke.launches import uninterrupted_trace
from opv2v_doctor.smoke.traces import Evaluated, Modes, Trial, placed
from opv2v_doctor.target import Target
from opv2v_doctor.text import Place, Text
from opv2v_doctor.threshold import Threshold

REPEATED = Threshold(
    1e-4,
    "of a result",
    "sums in another order, by kernels that are not deterministic",
    healthy=0.0,
    faulty=1e-3,
)
MOVED = Threshold(
    10,
    "times what rounding the image moves",
    "rounding in a batch of another size is of the same order",
    healthy=2,
)
LEAST_MOVED = Threshold(
    1e-4, "of a prediction's deviation", "the order of sums, in single precision", healthy=1e-6
)
NAMED = 3


def _function(target: Target, part: str) -> Place | None:
    found = named(target, part)
    return Place(found.place.path, found.place.line, near=True) if found else None


@check("SMK022", tier="run")
def modes_are_those_of_training_and_of_evaluation(target: Target) -> Findings:
    """Every module is in evaluation mode while evaluating, on every rank, and in training mode afterwards.

    ## Why it matters
    Dropout and batch normalisation go by this flag. Evaluated in training mode, a model is worse than it is
    and changes with what it sees; trained in evaluation mode after the first evaluation, it is regularised
    no more.

    ## How to fix
    `model.eval()` at the start of the evaluation, `model.train()` at the start of each epoch.
    """
    seen = uninterrupted_trace(target).every(Modes)
    tests = [one for one in seen if one.phase == "test"]
    trainings = [one for one in seen if one.phase == "train"]
    yield examined(len(tests), "evaluation")
    yield examined(len(trainings), "epoch of training")
    for one in tests:
        if one.numbers[0]:
            yield error(
                "while evaluating, {n} of {all:module|modules} are in training mode: {names}",
                hint="call model.eval() before evaluating",
                at=_function(target, "test_epoch"),
                n=one.numbers[0],
                all=sum(one.numbers),
                names=_some(one.training),
            )
            break
    graph = next((one for one in tests if one.gradients), None)
    if graph is not None:
        yield warning(
            "evaluation keeps what gradients would need: it takes the memory of a training step",
            hint="evaluate under torch.no_grad()",
            at=_function(target, "test_epoch"),
        )
    for rank in range(target.gpus):
        own = [one for one in trainings if one.rank == rank]
        if own and not own[0].numbers[0]:
            yield error(
                "the model is trained in evaluation mode",
                hint="call model.train() at the start of each epoch",
                at=_function(target, "train_epoch"),
            )
            return
        for later in own[1:]:
            if later.numbers[1] > own[0].numbers[1]:
                yield error(
                    "epoch {epoch} is trained with {n:module|modules} in evaluation mode, that were in "
                    "training mode before the first evaluation: {names}",
                    hint="call model.train() at the start of each epoch",
                    at=_function(target, "train_epoch"),
                    epoch=later.epoch,
                    n=later.numbers[1] - own[0].numbers[1],
                    names=_some([name for name in later.evaluating if name not in own[0].evaluating]),
                )
                return


@check("SMK023", tier="run", requires=["SMK022"])
def evaluation_changes_nothing_and_repeats(target: Target) -> Findings:
    """Evaluation leaves the model as it was, and the same samples have the same loss when evaluated again.

    ## Why it matters
    A validation loss that has chance in it, by augmented samples or by random layers, chooses its best
    checkpoint by chance; one that trains the model (running averages, an optimizer) is no evaluation.

    ## How to fix
    Give evaluation sets the transform without random parts, and evaluate in evaluation mode.
    """
    trace = uninterrupted_trace(target)
    made, trials = trace.every(Evaluated), trace.every(Trial)
    yield examined(len(made), "evaluation")
    # on other ranks, DistributedDataParallel puts the buffers of rank 0 in the place of their own
    changed = next((one for one in made if one.changed and one.rank == 0), None)
    if changed is not None and changed.changed:
        yield error(
            "evaluating on {split} changes the model: {names}",
            hint="evaluate in evaluation mode and without an optimizer",
            at=_function(target, "test_epoch"),
            split=changed.split,
            names=_some(changed.changed),
        )
    for trial in trials:
        sets = trial.sets or {}
        if trial.first and trial.again and trial.first[0] != trial.again:
            yield error(
                "{split}: the first batch holds other values when it is drawn again",
                hint="give evaluation sets a transform without random parts",
                at=_function(target, "test_loader"),
                split=trial.split,
            )
            return
        differing = _differences(sets.get("0") or {}, sets.get("0 again") or {})
        if differing:
            key, one, other = differing[0]
            yield error(
                "{split}: the same batch evaluated twice has {key} {one:.6g} and {other:.6g}",
                hint="look for random layers that do not ask for module.training",
                at=_function(target, "test_epoch"),
                split=trial.split,
                key=key,
                one=one,
                other=other,
            )
            return


@check("SMK024", tier="run", requires=["SMK023"])
def a_sample_is_evaluated_alike_in_any_batch(target: Target) -> Findings:
    """What the model predicts of a sample does not depend on the other samples of its batch.

    ## Why it matters
    A mean over the wrong dimension, or statistics of the batch, mix samples that have nothing to do with each
    other: the validation loss follows the batch size, and inference of a single sample is another model.

    ## How to fix
    Look at the first module that gets something else: what is computed before it goes over the samples.
    """
    trials = [trial for trial in uninterrupted_trace(target).every(Trial) if trial.alone]
    if not trials:
        raise Skip("no evaluation was seen whose model could be called with one sample of a batch")
    if all((trial.alone or {}).get("samples", 0) < 2 for trial in trials):
        raise Skip("batches of evaluation hold one sample")
    yield examined(sum(len((trial.alone or {}).get("moved") or {}) for trial in trials), "prediction")
    for trial in trials:
        found = trial.alone or {}
        moved = {
            name: far
            for name, (far, near) in (found.get("moved") or {}).items()
            if float(far) > MOVED * float(near) + LEAST_MOVED
        }
        if moved:
            where, at = found.get("parts") or ("", "")
            worst = max(moved, key=lambda name: moved[name])
            yield error(
                "{split}: {n} of {all:prediction|predictions} of a sample are others when it is evaluated "
                "alone; {worst} by {far:.2g} of its deviation{first}",
                hint="keep samples apart: the first dimension of every tensor is theirs",
                at=placed(at) or _function(target, "model"),
                split=trial.split,
                n=len(moved),
                all=len(found["moved"]),
                worst=worst,
                far=moved[worst],
                first=Text("; first {where}", where=where) if where else "",
            )
            return


@check("SMK025", tier="run", requires=["SMK023"])
def averages_of_an_evaluation_are_averages(target: Target) -> Findings:
    """The loss of several batches is the mean, or the median, of the losses of each, in any order.

    ## Why it matters
    A meter that keeps the last value, or divides by another number than it summed, makes a curve of something
    else than the validation loss.

    ## How to fix
    Sum loss times samples, and divide by samples, over all batches and ranks.
    """
    trials = [trial for trial in uninterrupted_trace(target).every(Trial) if "0 0 1" in (trial.sets or {})]
    keys = [(trial, key) for trial in trials for key in _losses(trial)]
    if not keys:
        raise Skip("the evaluation returns no loss of two different batches")
    yield examined(len(keys), "average")
    for trial in trials:
        yield from _of_one_batch(trial, target)
    for trial, key in keys:
        sets = trial.sets or {}
        one, other, found, turned = (
            float(sets[name].get(key, math.nan)) for name in ("0", "1", "0 0 1", "1 0 0")
        )
        sizes = sets["sizes"]
        total = 2 * sizes[0] + sizes[1]
        right = {
            "mean": (2 * one + other) / 3,
            "mean of samples": (2 * sizes[0] * one + sizes[1] * other) / total if total else math.nan,
            "median": one,
        }
        if math.isclose(found, turned, rel_tol=REPEATED) and _is_one_of(found, right.values()):
            continue
        wrong = (
            Text("the value of the last batch")
            if _is_one_of(found, [other]) and _is_one_of(turned, [one])
            else Text("the value of the first batch")
            if _is_one_of(found, [one]) and _is_one_of(turned, [other])
            else Text("their sum")
            if _is_one_of(found, [2 * one + other])
            else Text("the largest of them")
            if _is_one_of(found, [max(one, other)])
            else Text("the smallest of them")
            if _is_one_of(found, [min(one, other)])
            else Text("neither mean nor median")
        )
        yield error(
            "{split}: {key} of batches with {one:.6g}, {one:.6g} and {other:.6g} is {found:.6g}, {wrong}",
            hint="average the losses of all batches",
            at=_function(target, "metric_logger") or _function(target, "test_epoch"),
            split=trial.split,
            key=key,
            one=one,
            other=other,
            found=found,
            wrong=wrong,
        )
        return
    yield from _shares(trials, target)


def _of_one_batch(trial: Trial, target: Target) -> Findings:
    """Of one batch alone, every statistic of a meter is its one value."""
    first = (trial.sets or {})["0"]
    for key, value in first.items():
        name, _, kind = key.rpartition("_")
        other = first.get(f"{name}_med", first.get(f"{name}_median"))
        if kind in ("avg", "mean") and other is not None and not _is_one_of(float(value), [float(other)]):
            yield error(
                "{split}: of a single batch, {key} is {value:.6g} and its median {other:.6g}",
                hint="divide by as many as were summed",
                at=_function(target, "metric_logger") or _function(target, "test_epoch"),
                split=trial.split,
                key=key,
                value=float(value),
                other=float(other),
            )
            return


def _shares(trials: Sequence[Trial], target: Target) -> Findings:
    """Whether each rank has results of its own."""
    of_ranks = [trial.sets["0"] for trial in trials if trial.sets and trial.split == trials[0].split]
    if target.gpus > 1 and len(of_ranks) > 1 and _differences(of_ranks[0], of_ranks[1]):
        yield note(
            "each rank has the averages of its own share: what is logged and decided is that of rank 0"
        )


def _losses(trial: Trial) -> Iterator[str]:
    """The losses that two batches do not share."""
    sets = trial.sets or {}
    again = {key for key, _, _ in _differences(sets["0"], sets["0 again"])}
    for key, value in sets["0"].items():
        other = sets["1"].get(key)
        if (
            "loss" in key.lower()
            and key not in again
            and other is not None
            and not _is_one_of(value, [other])
        ):
            yield key


def _differences(one: Mapping[str, float], other: Mapping[str, float]) -> list[tuple[str, float, float]]:
    """(key, value, other value) of the results that differ; losses first."""
    found = [
        (key, float(value), float(other[key]))
        for key, value in one.items()
        if key in other and not _is_one_of(float(value), [float(other[key])])
    ]
    return sorted(found, key=lambda entry: "loss" not in entry[0].lower())


def _is_one_of(value: float, others: Iterable[float]) -> bool:
    return any(math.isclose(value, other, rel_tol=REPEATED, abs_tol=1e-9) for other in others)


def _some(names: Sequence[str]) -> list[str]:
    """The first few, and how many there are."""
    return [*names[:NAMED], *([f"... ({len(names)})"] if len(names) > NAMED else [])]
