"""Smoke: what reaches the optimizer, from the loss of each batch on each rank to the update."""

from __future__ import annotations

import contextlib
import fnmatch
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from opv2v_doctor.check import Blocked, Findings, NoAnswer, Skip, check, error, examined, note, warning
from opv2v_doctor.facts.launch.config import place
from opv2v_doctor.smoke.launches import alone, uninterrupted_trace
from opv2v_doctor.smoke.traces import Backward, Held, Precision, TrainingTrace, placed
from opv2v_doctor.smoke.update_sums import Made, made_updates, norms, weight
from opv2v_doctor.target import Target
from opv2v_doctor.text import Place, Text
from opv2v_doctor.threshold import Threshold

SAME_WEIGHT = Threshold(
    0.01, "of a batch's weight", "the factor of a sum of gradients in bfloat16", healthy=1e-7, faulty=0.5
)
CLIPPED = Threshold(0.02, "of the bound", "the norm of gradients in half precision", healthy=1e-4, faulty=0.5)
LEAST_PART = Threshold(
    0.5, "of the parameters", "heads in full precision are usual, most of a model is not", faulty=0.1
)
FREEZE = ("freez", "frozen", "trainable")
PRECISIONS = {"bf16": "bfloat16", "fp16": "float16", "half": "float16", "fp32": "float32", "float": "float32"}
NAMED = 3


def config_place(target: Target, key: str) -> Place | None:
    """Where the config says a value, if that can be told."""
    with contextlib.suppress(NoAnswer):
        return place(target, key)
    return None


def held(target: Target) -> Held:
    """What model and optimizer held at the beginning. Raises Blocked where it was not seen."""
    found = uninterrupted_trace(target).every(Held, rank=0)
    if not found:
        raise Blocked("the model and the optimizer of the training were not seen")
    return found[0]


@check("SMK014", tier="run")
def optimizer_holds_the_parameters_of_the_model(target: Target) -> Findings:
    """The optimizer holds the parameters of the model that is trained, and of no copy of it.

    Of a module it decays no bias without its weight.

    ## Why it matters
    An optimizer that was made before the model was copied, wrapped or rebuilt updates tensors that nobody
    computes with: the loss stays where it is, and nothing fails. Weight decay that was turned round pulls
    norms towards zero, and leaves the matrices that it is meant for free to grow.

    ## How to fix
    Make the optimizer last, of `model.parameters()` of the very object that the loss is computed with. Put
    parameters of one dimension, and no others, into the group without weight decay.
    """
    found = held(target)
    yield examined(found.held, "parameter of the optimizer")
    if found.strange:
        yield error(
            "{strange} of {held:parameter|parameters} of the optimizer are not of the model that is trained",
            hint="make the optimizer of the parameters of the model that the loss is computed with",
            at=placed(found.at),
            strange=found.strange,
            held=found.held,
        )
    if found.decayed_by_bias:
        yield error(
            "the bias of {modules} has a weight decay, and its weight has none",
            hint="exchange the groups: what has one dimension goes without weight decay",
            at=placed(found.at),
            modules=_some(found.decayed_by_bias),
        )
    if found.left_out and not found.strange:
        yield note("in no group of the optimizer: {names}", names=_some(found.left_out))
    if found.frozen:
        yield note(
            "{n:parameter|parameters} of {all} are frozen: {names}",
            n=len(found.frozen),
            all=len(found.names),
            names=_some(_modules(found.frozen)),
        )


@check("SMK015", tier="run", requires=["SMK014"])
def updates_have_the_gradients_of_all_ranks_and_batches(target: Target) -> Findings:
    """Every update has the mean of the gradients that all ranks computed, of all batches since the last one.

    ## Why it matters
    What is computed and does not arrive is lost without a word: ranks that train on their own, accumulated
    batches that are cleared too early, an update before the backward pass.

    ## How to fix
    Call the model that DistributedDataParallel wraps; then `backward()`, unscale, clip, `step()`,
    `zero_grad()`, in this order, the last four once an update.
    """
    trace = uninterrupted_trace(target)
    passes = trace.every(Backward)
    if not passes:
        raise Blocked("no backward pass was seen", hint="see whether the loss is derived by loss.backward()")
    if all(one.error for one in passes):
        raise Skip("the gradients of a rank alone cannot be told: {why}", why=passes[0].error or "")
    lost = next((one for one in passes if not one.error and not one.gradients), None)
    if lost is not None:
        yield error(
            "backward() reaches no parameter of the model: what it is called on was cut off from them",
            hint="call backward() on the loss itself, not on a number or a detached copy of it",
            at=placed(lost.at),
        )
        return
    found = made_updates(trace, target.gpus)
    yield examined(len(found), "update")
    for one in found:
        if not (one.parts[one.update.rank] or one.left[one.update.rank]):
            yield _misled(one, "")
            return
        name, _ = one.explained()
        if name not in ("mean", "left", "each"):
            yield _misled(one, name)
            return
        if name == "each":
            yield note("each gradient has a length of its own: they are scaled one by one before the update")
            return
    if found:
        yield note("each is the mean of {ranks} ranks", ranks=target.gpus)


def _misled(made: Made, name: str) -> Any:
    """An update that is not the mean of what was computed for it."""
    order = [(word, placed(where)) for word, _, where in (each.partition(" ") for each in made.update.order)]
    words = [word for word, _ in order]
    last = len(words) - 1 - words[::-1].index("backward") if "backward" in words else -1
    cleared = next((where for word, where in order[last + 1 :] if word == "zero_grad"), None)
    between = next(
        (where for number, (word, where) in enumerate(order) if word == "zero_grad" and 0 < number < last),
        None,
    )
    at = placed(made.update.at)
    rank, update = (
        made.update.rank,
        Text("epoch {epoch}, step {step}", epoch=made.update.epoch, step=made.update.step),
    )
    own = Text("compute the loss with the model that DistributedDataParallel wraps")
    told: Mapping[str, tuple[Text, Text, Place | None]] = {
        "zero": (
            Text(
                "the optimizer gets gradients of 0, though {n:backward pass|backward passes} came before",
                n=len(made.parts[rank]),
            ),
            Text("call zero_grad() after the update, not between backward() and step()"),
            cleared or at,
        ),
        "own": (
            Text(
                "the gradients are those of rank {rank} alone: they are not averaged over the ranks",
                rank=rank,
            ),
            own,
            _first_place(made),
        ),
        "own last": (
            Text("the gradients are those of the last batch of rank {rank} alone", rank=rank),
            own,
            _first_place(made),
        ),
        "first rank": (Text("the gradients are those of rank 0 alone"), own, _first_place(made)),
        "last": (
            Text("of {n} accumulated batches only the last one arrives", n=len(made.parts[rank])),
            Text("call zero_grad() once an update, not once a batch"),
            between or at,
        ),
        "first": (
            Text("of {n} accumulated batches only the first one arrives", n=len(made.parts[rank])),
            Text("call backward() of every batch before the update"),
            at,
        ),
        "not cleared": (
            Text("the gradients of the update before are still in this one"),
            Text("call optimizer.zero_grad() after each update"),
            at,
        ),
        "before": (
            Text(
                "the update comes before the backward pass of its batch, with the gradients of the one before"
            ),
            Text("call backward() before step()"),
            at,
        ),
    }
    if not made.parts[rank]:
        text, hint, where = (
            Text("the optimizer's step comes before the backward pass of its batch"),
            Text("call backward() before step()"),
            at,
        )
    elif name in told:
        text, hint, where = told[name]
    else:
        away = made.elsewhere()
        text = Text(
            "{n} of {all} gradients are not the mean of what the ranks computed: {names}",
            n=len(away),
            all=len(made.names),
            names=_some(away),
        )
        hint, where = Text("see what changes gradients between backward() and step()"), at
    return error("{update}: {what}", hint=hint, at=where, update=update, what=text)


def _first_place(made: Made) -> Place | None:
    passes = made.parts[made.update.rank]
    return placed(passes[0].at) if passes else placed(made.update.at)


@check("SMK016", tier="run", requires=["SMK015"])
def a_batch_weighs_alike_on_any_number_of_processes(target: Target) -> Findings:
    """A batch has the same weight in an update of several ranks as in one of one process that accumulates.

    ## Why it matters
    Losses of accumulated batches are divided by their number, and DistributedDataParallel averages over
    ranks. A loss that is divided twice, never, or by the world size makes gradients follow the number of
    GPUs: clipping, and an optimizer without moments, then train something else on each machine.

    ## How to fix
    Divide the loss by `accum_iter` once, by nothing else, and leave averaging over ranks to
    DistributedDataParallel.
    """
    several = _weights(uninterrupted_trace(target), target.gpus)
    single = _weights(alone(target), 1)
    common = sorted(several.keys() & single.keys())
    yield examined(len(common), "kind of batch")
    views = sorted({kind[0] for kind in several})
    if len(views) > 1:
        yield note(
            "each rank's batch weighs the same, whatever it holds: batches of {views} views meet in one "
            "update, and a view of a small batch weighs more than one of a large",
            views=views,
        )
    for kind in common:
        (ours, pass_ours), (theirs, pass_theirs) = several[kind], single[kind]
        if math.isclose(ours, theirs, rel_tol=SAME_WEIGHT):
            continue
        ratio = ours / theirs if theirs else math.inf
        undivided = math.isclose(pass_ours.weight or 0, pass_theirs.weight or 0, rel_tol=SAME_WEIGHT)
        summed = not undivided and ratio > 1 and not _divided_twice(pass_ours, pass_theirs, target)
        cause, hint = (
            (
                Text(
                    "the loss is not divided by the number of accumulated batches, or is by that of the ranks"
                ),
                Text("divide the loss by accum_iter, once, and by nothing else"),
            )
            if undivided
            else (
                Text("gradients are summed over the ranks, not averaged"),
                Text("divide them by the world size"),
            )
            if summed
            else (
                Text("the loss is divided by accum_iter more than once"),
                Text("divide the loss by accum_iter once"),
            )
            if ratio > 1
            else (
                Text("gradients are divided by the world size twice"),
                Text("divide them by the world size once"),
            )
        )
        yield error(
            "a batch of {views} views has {ours:.4g} of its loss in an update of {gpus} ranks, {theirs:.4g} "
            "in one of one process with the same batches: {cause}",
            hint=hint,
            at=placed(pass_ours.at),
            views=kind[0],
            ours=ours,
            theirs=theirs,
            gpus=target.gpus,
            cause=cause,
        )
        return


def _divided_twice(ours: Backward, theirs: Backward, target: Target) -> bool:
    """Whether the one process, that accumulates more batches, divides more than it should."""
    return (ours.weight or 0) / (theirs.weight or math.inf) > target.gpus * (1 + SAME_WEIGHT)


def _weights(trace: TrainingTrace, ranks: int) -> dict[tuple[int, int], tuple[float, Backward]]:
    """(views, samples) of a batch -> its weight in an update, in the first epoch."""
    steps = {(step.rank, step.epoch, step.step): (step.views or 0, step.size or 0) for step in trace.steps}
    found: dict[tuple[int, int], tuple[float, Backward]] = {}
    for made in made_updates(trace, ranks):
        for one in made.parts[made.update.rank]:
            kind = steps.get((one.rank, one.epoch, one.step))
            share = weight(made, one)
            if kind is not None and share is not None and one.epoch == 0:
                found.setdefault(kind, (share, one))
    return found


@check("SMK017", tier="run", requires=["SMK015"])
def gradients_are_clipped_as_configured(target: Target) -> Findings:
    """Gradients are clipped once, complete and unscaled, all together, at the bound that the config names.

    ## Why it matters
    Clipping that sees scaled gradients cuts all of them; one that sees some parameters lets the others
    explode; one before the last backward pass cuts half a gradient.

    ## How to fix
    `scaler.unscale_(optimizer)`, then `clip_grad_norm_(model.parameters(), bound)`, then `step()`.
    """
    said = {key: value for key, value in held(target).config.items() if _is_bound(key, value)}
    found = [made for made in made_updates(uninterrupted_trace(target), target.gpus) if made.update.rank == 0]
    clips = [(made, clip) for made in found for clip in made.update.clips]
    if not clips:
        if any(float(value) > 0 for value in said.values()):
            key, value = next((key, value) for key, value in said.items() if float(value) > 0)
            yield examined(len(found), "update")
            yield error(
                "{key} is {value}, and no update is clipped",
                hint="call clip_grad_norm_ before each update, or take {key} out of the config",
                at=config_place(target, key),
                key=key,
                value=value,
            )
            return
        raise Skip("nothing is clipped, and nothing says that it should be")
    yield examined(len(clips), "clipping")
    for made, clip in clips:
        yield from _clipped(made, clip)
        bounds = [float(value) for value in said.values()]
        if bounds and not any(math.isclose(float(clip["bound"]), bound) for bound in bounds):
            key = next(iter(said))
            yield error(
                "clips at {bound:g}, and {key} is {value}",
                hint="hand {key} on to the clipping",
                at=placed(clip["at"]),
                bound=float(clip["bound"]),
                key=key,
                value=said[key],
            )
        return


def _is_bound(key: str, value: object) -> bool:
    named = re.search(r"clip|max_(grad_)?norm", key.rpartition(".")[2].lower())
    return bool(named) and isinstance(value, int | float) and not isinstance(value, bool)


def _clipped(made: Made, clip: Mapping[str, Any]) -> Findings:
    """What is wrong with one clipping, as the gradients of its update show it."""
    at = placed(clip["at"])
    missed = set.intersection(*(set(each["missed"]) for each in made.update.clips))
    if missed:
        yield error(
            "clipping misses {n} of {all} gradients: {names}",
            hint="clip the parameters of the whole model",
            at=at,
            n=len(missed),
            all=clip["of"],
            names=_some(sorted(missed)),
        )
    words = [each.partition(" ")[0] for each in made.update.order]
    if (
        "clip" in words
        and "backward" in words
        and words.index("clip") < len(words) - 1 - words[::-1].index("backward")
    ):
        yield error(
            "clips before the last backward pass of the update, so what is clipped is a part of it",
            hint="clip once, right before the update",
            at=at,
        )
        return
    if clip["kind"] != "norm" or missed or len(made.update.clips) > 1:
        return
    left = math.sqrt(sum(norm * norm for norm in norms(made.update.gradients).values()))
    wanted = min(float(clip["norm"]), float(clip["bound"]))
    scale = max((one.scale or 1.0 for one in made.parts[made.update.rank]), default=1.0)
    if math.isclose(left, wanted, rel_tol=CLIPPED) or not math.isfinite(wanted):
        return
    if scale != 1 and math.isclose(left * scale, wanted, rel_tol=CLIPPED):
        yield error(
            "clips gradients that are still multiplied by the loss scale, {scale:g}: nearly all of them",
            hint="call scaler.unscale_(optimizer) before clipping",
            at=at,
            scale=scale,
        )
    else:
        yield error(
            "the gradients are clipped to a norm of {wanted:.4g}, and have one of {left:.4g} in the update",
            hint="change nothing of the gradients between clipping and step()",
            at=at,
            wanted=wanted,
            left=left,
        )


@check("SMK018", tier="run", requires=["SMK015"])
def accumulated_batches_are_not_left_over(target: Target) -> Findings:
    """The last batches of an epoch are in an update of that epoch, be they fewer than are accumulated else.

    ## Why it matters
    Where `accum_iter` does not divide the steps of an epoch, its last batches wait for others. They are
    computed and cleared, or arrive in the next epoch, derived at other weights.

    ## How to fix
    Update at the last step of an epoch as well, or choose an `accum_iter` that divides the steps.
    """
    trace, start = uninterrupted_trace(target), held(target)
    passes = [one for one in trace.every(Backward, rank=0) if one.epoch == 0]
    found = [made for made in made_updates(trace, target.gpus) if made.update.rank == 0]
    made_in_first = [made for made in found if made.update.epoch == 0]
    each = max((len(made.parts[0]) for made in made_in_first), default=0)
    if each < 2:
        raise Skip("every step is an update: nothing is accumulated")
    yield examined(len(passes), "step")
    left_over = start.steps % each
    waiting = len(passes) - sum(len(made.parts[0]) for made in made_in_first)
    following = next((made for made in found if made.update.epoch > 0), None)
    if not left_over or not waiting or following is None:
        return
    carried = following.explained()[0] == "left"
    yield warning(
        "{each} batches make an update, an epoch has {steps} steps: its last {n:batch|batches} {what}",
        hint="update at the last step of an epoch as well, or choose an accum_iter that divides {steps}",
        at=_accumulation(target, start) or placed(made_in_first[0].update.at),
        each=each,
        steps=start.steps,
        n=left_over,
        what=Text("arrive in the first update of the next epoch, though derived at other weights")
        if carried
        else Text("are computed and then dropped"),
    )


def _accumulation(target: Target, found: Held) -> Place | None:
    key = next((key for key in found.config if key.endswith("accum_iter")), None)
    return config_place(target, key) if key else None


@check("SMK019", tier="run")
def names_in_the_config_match_parameters(target: Target) -> Findings:
    """Every name in a list of what is frozen, or has a learning rate of its own, is that of a parameter.

    ## Why it matters
    A name with a typing error matches nothing: what should be frozen is trained, what should have a rate of
    its own has the default one, and nobody says so.

    ## How to fix
    Write the names as `model.named_parameters()` gives them.
    """
    found, patterns = held(target), list(_patterns(held(target).config))
    if not patterns:
        raise Skip("the config names no parameters")
    yield examined(len(patterns), "name")
    for key, pattern in patterns:
        if not any(_matches(pattern, name) for name in found.names):
            yield error(
                "{key}: no parameter is called {pattern}; there are {names}",
                hint="write it as the model names it",
                at=config_place(target, key),
                key=key,
                pattern=pattern,
                names=_some(_modules(found.names), 8),
            )


def _patterns(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(key, name or pattern) of sub-modules and parameters."""
    for group in dict.fromkeys(m[0] for key in config if (m := re.match(r".*submodule_configs\.[^.]+", key))):
        yield group, group.rpartition(".")[2]
    for key, value in config.items():
        words = value if isinstance(value, list | tuple) else [value]
        if any(word in key.rpartition(".")[2].lower() for word in FREEZE):
            yield from ((key, word) for word in words if isinstance(word, str) and re.match(r"[\w.*^]", word))


def _matches(pattern: str, name: str) -> bool:
    if pattern.lower() in ("true", "false", "none", "all", "no", "yes"):
        return True
    with contextlib.suppress(re.error):
        if re.search(pattern, name):
            return True
    return pattern in name or fnmatch.fnmatchcase(name, pattern)


@check("SMK020", tier="run")
def the_forward_has_the_configured_precision(target: Target) -> Findings:
    """The forward pass is computed in the precision that the config names.

    ## Why it matters
    Autocast around too little, or of another type than was meant, costs memory and time without a word; half
    precision where none was meant costs accuracy.

    ## How to fix
    Hand `amp` and `amp_dtype` of the config on to the `torch.autocast` around the model.
    """
    config = held(target).config
    amp = next(((key, value) for key, value in config.items() if key.endswith(".amp")), None)
    named = next(((key, value) for key, value in config.items() if key.endswith("amp_dtype")), None)
    if amp is None and named is None:
        raise Skip("the config says nothing of mixed precision")
    seen = next(iter(uninterrupted_trace(target).every(Precision, rank=0)), None)
    if seen is None:
        raise Blocked("the precision inside of the forward pass was not seen")
    modules = seen.modules
    whole = sum(count[1] for count in modules.values())
    yield examined(sum(count[0] for count in modules.values()), "module call")
    on = bool(amp[1]) if amp else True
    key, word = named or amp or ("", "")
    wanted = PRECISIONS.get(str(word).lower(), str(word).lower()) if named else "bfloat16"
    half = [name for name in modules if name in ("bfloat16", "float16")]
    if on and wanted not in modules:
        yield error(
            "{key} is {word}, and the forward pass is computed in {found}",
            hint="hand amp and amp_dtype on to the autocast around the model",
            at=config_place(target, key),
            key=key,
            word=word,
            found=list(modules),
        )
    elif on and wanted != "float32" and modules[wanted][1] < LEAST_PART * whole:
        yield warning(
            "{key} is {word}, and {share:.0%} of the computed parameters are used in it, the others "
            "in {found}",
            hint="put the autocast around the whole forward pass",
            at=config_place(target, key),
            key=key,
            word=word,
            share=modules[wanted][1] / whole,
            found=[name for name in modules if name != wanted],
        )
    elif not on and half:
        yield error(
            "{key} is {word}, and the forward pass is computed in {found}",
            hint="hand amp on to the autocast around the model",
            at=config_place(target, amp[0] if amp else key),
            key=amp[0] if amp else key,
            word=amp[1] if amp else word,
            found=half,
        )


def _modules(names: Any) -> list[str]:
    """The outermost modules of some parameters."""
    return list(dict.fromkeys(name.partition(".")[0] for name in names))


def _some(names: Any, number: int = NAMED) -> list[str]:
    """The first few, and how many more."""
    names = list(names)
    return [*names[:number], *([f"... ({len(names)})"] if len(names) > number else [])]
