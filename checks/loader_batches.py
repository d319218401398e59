"""Loader: what the launch's own loaders give in two epochs, against what the dataset gave."""

import ast
import math
import re
from collections.abc import Sequence
from pathlib import Path

from opv2v_doctor import (
    Blocked,
    Finding,
    Findings,
    Place,
    Skip,
    Target,
    Text,
    Threshold,
    check,
    error,
    examined,
    note,
    warning,
)
from opv2v_doctor.facts.interpreter.probe import innermost
from opv2v_doctor.facts.interpreter.questions import DrawnLoader, KeyChange, RandomUse, Share
from opv2v_doctor.facts.launch.config import place
from opv2v_doctor.facts.launch.datasets import train_parts
from opv2v_doctor.facts.launch.epochs import EpochStart, epoch_start
from opv2v_doctor.facts.launch.evaluation import TEST, TRAIN, building
from opv2v_doctor.facts.launch.origins import class_place, given_place, seed_place
from opv2v_doctor.facts.samples.batches import begin, eval_batches, shares, train_batches
from opv2v_doctor.facts.source.names import builders, calls_in, named
from opv2v_doctor.facts.source.syntax import find, modules, nodes

BY_CHANCE = Threshold(
    1e-6,
    "of trainings",
    "in which a fair sampler would leave so many out: Poisson, with the mean frames * exp(-draws / frames)",
)
LEFT_OUT = Threshold(
    0.1,
    "of an evaluation set",
    "more than the last, incomplete batch of a set of a few batches",
    healthy=0.05,
    faulty=0.5,
)
SHOWN = 4  # keys in a sentence
HARMLESS = {"channels moved", "structure"}  # what code behind the loader has to know of, or it stops
MILD = {"rounded", "filled", "clipped", "dropped"}
SAID = {
    "mixed": Text("comes from another view or sample than the keys beside it"),
    "moved": Text("comes from another sample of the batch"),
    "views": Text("has another number of views"),
    "scaled": Text("is multiplied"),
    "shifted": Text("is shifted"),
    "flipped": Text("is flipped"),
    "transposed": Text("has height and width exchanged"),
    "size": Text("has another size"),
    "clipped": Text("is clipped"),
    "filled": Text("has other values where it was not finite"),
    "rounded": Text("is rounded"),
    "dropped": Text("is gone"),
    "altered": Text("is changed in the samples themselves"),
    "other": Text("has other values"),
}


@check("LDR006", tier="data", requires=["DAT001", "ENV007"], ahead=begin)
def batches_hold_what_the_dataset_gave(target: Target) -> Findings:
    """What arrives in a batch is what the dataset gave, each key of each view of each sample.

    ## Why it matters
    Every check of a sample looks at `dataset[i]`; the training gets what the collation makes of some of them,
    in a worker, through shared memory. A key that is dropped, scaled or taken from another sample there
    trains a model on what no sample shows.

    ## How to fix
    Compare the collate function with torch's `default_collate`; let the dataset give arrays of its own, not
    a buffer that the next sample overwrites.
    """
    blocked: Blocked | None = None
    for drawn in _loaders(target):
        if strange := [change for change in drawn.changes if change.kind == "structure" and not change.key]:
            blocked = blocked or Blocked(
                "a batch is no list of views: {made}, made of {given}",
                at=_own(target, drawn.collate) or _building(target, drawn),
                made=strange[0].made,
                given=strange[0].given,
            )
        else:
            count = sum(len(batch.samples) for batch in drawn.batches)
            yield examined(count, "sample", split=drawn.key or "train")
        alike: dict[tuple[str, Place], list[KeyChange]] = {}
        for change in drawn.changes:
            at = _touching(_own(target, drawn.collate), change.key) or _building(target, drawn)
            alike.setdefault((change.kind, at), []).append(change)
        for (_, at), changes in alike.items():
            yield from _change(target, drawn, changes, at)
        if overwritten := sorted({key for batch in drawn.batches for key in batch.overwritten}):
            yield error(
                "{keys} of a sample change when the next one is drawn: samples share their arrays",
                at=given_place(target, train_parts(target)[0], overwritten[0]),
                hint="copy the array into the sample, or make a new one for each",
                of=drawn.key or "train",
                keys=overwritten,
            )
        if not all(batch.arrived for batch in drawn.batches):
            yield error(
                "a batch that arrives is not the one that the worker made",
                at=_own(target, drawn.collate) or _building(target, drawn),
                hint="let the collation make new tensors, and send no buffer that is used again",
                of=drawn.key or "train",
            )
    if blocked:
        raise blocked


def _change(target: Target, drawn: DrawnLoader, changes: Sequence[KeyChange], at: Place) -> Findings:
    """What became of keys, of all the same; nothing where they are gone and nobody asks for them."""
    first, split = changes[0], drawn.key or "train"
    keys = [change.key or Text("a sample") for change in changes]
    readers = [_reader(target, change.key, drawn.collate) for change in changes if change.kind == "dropped"]
    reader = next(filter(None, readers), None)
    if first.kind in HARMLESS or (first.kind == "dropped" and not reader):
        return
    made_numbers = first.given.startswith("uint8") and first.kind in ("scaled", "other", "shifted")
    if made_numbers and first.made.startswith(("float", "bfloat")):
        yield note(
            "the collation makes numbers of {keys}: {given}, then {made}",
            of=split,
            keys=keys,
            given=first.given,
            made=first.made,
        )
        return
    yield (warning if first.kind in MILD else error)(
        "{keys} {what} in a batch, and {reader} asks for it"
        if reader
        else "{keys} {what} by the collation"
        if first.kind == "altered"
        else "{keys} {what}{number} between the dataset and the batch: {given}, then {made}",
        at=at,
        hint="let the collation only stack what the samples hold",
        of=split,
        keys=keys[:SHOWN],
        what=SAID[first.kind],
        number=_number(first),
        given=first.given,
        made=first.made,
        reader=reader,
    )


def _touching(collate: Place | None, key: str) -> Place | None:
    """The line of a function that sets the key, else the function's own."""
    for node in nodes(collate.path) if collate else ():
        if isinstance(node, ast.FunctionDef) and collate and node.lineno == collate.line:
            for part in ast.walk(node):
                match part:
                    case ast.Subscript(slice=ast.Constant(value=named), ctx=ast.Store()) if named == key:
                        return Place(path=collate.path, line=part.lineno)
    return collate


def _number(change: KeyChange) -> Text | str:
    if change.number is None or change.kind not in ("scaled", "shifted", "clipped"):
        return ""
    return Text(
        " (by {number:.6g})" if change.kind != "clipped" else " (at {number:.6g})", number=change.number
    )


def _reader(target: Target, key: str, collate: Place | None) -> Place | None:
    """Where the launch's code asks a view for the key, outside of what makes samples and batches."""
    made = {place.path for place in (collate, _class(target)) if place}
    folders = {path.parent for path in made}
    asked = find(target, lambda node: isinstance(node, ast.Constant) and node.value == key, key)
    return next((place for place in asked if place.path.parent not in folders), None)


def _class(target: Target) -> Place | None:
    return class_place(target, train_parts(target)[0].class_name)


@check("LDR007", tier="data", requires=["DAT001", "ENV007"])
def workers_draw_their_own_random_numbers(target: Target) -> Findings:
    """Each worker of the training loader draws random numbers of its own, and others in each epoch.

    ## Why it matters
    Workers that begin with the same state augment alike: two samples of a step get the same crop, jitter and
    choice of views. Workers that begin each epoch with the same state repeat the last epoch's.

    ## How to fix
    Seed what a worker draws from by its own number and the epoch: `torch.initial_seed()` in a worker is both.
    A generator that the dataset made when it was built is copied into each worker: make it anew there.
    """
    drawn = _drawn(target, train_batches(target))
    states = len({(use.generator, use.worker, use.epoch) for use in drawn.random})
    if not states:
        raise Skip(
            "the training samples ask no generator that lives longer than they do: their index and epoch "
            "decide them"
        )
    yield examined(states, "state of a generator", split="train")
    first = {(use.generator, use.worker, use.epoch): use for use in reversed(drawn.random)}
    told: set[str] = set()
    for one in first.values():
        for other in first.values():
            if one.generator != other.generator or one.state != other.state or one is other:
                continue
            same_epoch = one.epoch == other.epoch
            if one.generator in told or (not same_epoch and one.worker != other.worker):
                continue
            told.add(one.generator)
            yield _same_state(target, drawn, one, other, between_workers=same_epoch)


def _same_state(
    target: Target, drawn: DrawnLoader, one: RandomUse, other: RandomUse, *, between_workers: bool
) -> Finding:
    own = "." in one.generator and one.generator.partition(".")[0] not in ("numpy",)
    begun = epoch_start(target, "train_epoch")
    seeded = begun.seeds if begun and drawn.workers == 0 else None
    return error(
        "workers {workers} draw the same random numbers from {generator} in an epoch"
        if between_workers
        else "epochs {epochs} draw the same random numbers from {generator}",
        at=_attribute(target, one.generator)
        if own
        else _own(target, drawn.worker_init) or seeded or _building(target, drawn),
        hint="make this generator in each worker, from torch.initial_seed()"
        if own
        else "seed it in each worker from torch.initial_seed()",
        workers=sorted({one.worker, other.worker}),
        epochs=sorted({one.epoch, other.epoch}),
        generator=one.generator,
    )


def _attribute(target: Target, generator: str) -> Place | None:
    """Where a class makes the generator that it keeps: `self.NAME = ...`."""
    name = generator.rpartition(".")[2]
    found = find(
        target,
        lambda node: (
            isinstance(node, ast.Assign)
            and any(isinstance(part, ast.Attribute) and part.attr == name for part in node.targets)
        ),
        name,
    )
    return next(iter(found), None)


@check("LDR008", tier="data", requires=["DAT001", "ENV007"])
def each_epoch_has_its_own_batches(target: Target) -> Findings:
    """The second epoch gives other batches than the first, as the training's own lines begin it.

    ## Why it matters
    A sampler or a dataset that is not told its epoch gives the same batches for the whole training, and so do
    workers that persist with a copy of the dataset of the first epoch.

    ## How to fix
    Call `set_epoch(epoch)` of dataset, sampler and batch sampler at each epoch's start, with the loop's own
    counter; leave `persistent_workers` off where the dataset has a `set_epoch`.
    """
    drawn, begun = _drawn(target, train_batches(target)), epoch_start(target, "train_epoch")
    epochs = sorted({batch.epoch for batch in drawn.batches})
    if drawn.alike is None and not drawn.stale:
        raise Skip("an epoch has too few samples to tell its order from chance")
    yield examined(len(drawn.batches), "batch", split="train")
    if drawn.alike and drawn.told is False:
        yield error(
            "the batches of epochs {epochs} are the same, although dataset and sampler are told the epoch",
            at=_own(target, drawn.sampler) or _building(target, drawn),
            hint="let the sampler's order depend on the epoch of its set_epoch",
            epochs=epochs,
        )
    elif drawn.stale and drawn.persistent and drawn.workers:
        yield error(
            "workers that persist give samples of epoch {first} in epoch {second}: their copy of the dataset "
            "is not told",
            at=_keyword(target, TRAIN, "persistent_workers") or _building(target, drawn),
            hint="leave persistent_workers off, or pass the epoch to the workers in each index",
            first=epochs[0],
            second=epochs[-1],
        )
    elif drawn.alike or drawn.stale:
        yield _untold(drawn, begun, epochs)
    elif drawn.unreached:
        yield error(
            "the epoch does not reach the data: its random numbers are those of the first epoch for ever",
            at=_own(target, drawn.unreached),
            hint="let set_epoch pass the epoch on to the dataset that is wrapped",
        )
    elif drawn.untold and begun and begun.tells and not begun.counts:
        yield error(
            "what is told here is the same in every epoch: it does not depend on the loop's counter",
            at=begun.place,
            hint="call set_epoch(epoch) of dataset, sampler and batch sampler with the loop's counter",
        )
    elif drawn.untold:
        yield note("the training's own lines cannot be replayed: {problem}", problem=drawn.untold)


def _untold(drawn: DrawnLoader, begun: EpochStart | None, epochs: Sequence[int]) -> Finding:
    said = "batches" if drawn.alike else "samples"
    if begun is None or not begun.tells:
        template = "the {said} of epochs {epochs} are the same: the loop over them tells no epoch"
    elif drawn.alike:
        template = "the {said} of epochs {epochs} are the same: this call does not tell them apart"
    else:
        template = "the {said} of epochs {epochs} are the same: the dataset is not told the epoch here"
    return error(
        template,
        at=begun.place if begun else drawn.sampler,
        hint="call set_epoch(epoch) of dataset, sampler and batch sampler with the loop's counter",
        said=Text(said),
        epochs=epochs,
    )


@check("LDR009", tier="data", requires=["DAT001", "ENV007", "DAT007"])
def evaluation_is_the_same_in_every_epoch(target: Target) -> Findings:
    """An evaluation measures the same samples in every epoch, as the training's own lines begin it.

    ## Why it matters
    The best checkpoint is that of the lowest loss on the evaluation set. Where each epoch measures other
    samples, it is that of the easiest ones.

    ## How to fix
    Tell the evaluation set one epoch for the whole training: `freeze_val_samples_across_all_epochs=true`, or
    `set_epoch(0)`. Draw what it chooses from generators that are seeded by the index.
    """
    begun = epoch_start(target, "test_epoch")
    for drawn in _evaluations(target):
        yield examined(
            sum(len(batch.samples) for batch in drawn.batches), "sample", split=drawn.key or "train"
        )
        if not drawn.changed:
            continue
        if drawn.settled:
            key = "train_params.freeze_val_samples_across_all_epochs"
            yield warning(
                "index {index} is another sample in the next epoch: {keys}; the set is told the epoch",
                at=begun.place if begun and begun.tells else _building(target, drawn),
                hint="tell the evaluation set the same epoch each time ({key})",
                of=drawn.key or "train",
                index=drawn.batches[0].keys[0][0],
                keys=drawn.changed[:SHOWN],
                key=key,
                config=place(target, key),
            )
        else:
            part = train_parts(target)[0]
            yield error(
                "index {index} is another sample each time it is drawn: {keys}",
                at=seed_place(target, part) or _class(target),
                hint="seed what the evaluation draws by the index",
                of=drawn.key or "train",
                index=drawn.batches[0].keys[0][0],
                keys=drawn.changed[:SHOWN],
            )
    for share in shares(target).evals:
        if not share.epochs_alike:
            yield warning(
                "the ranks evaluate other indices in the next epoch",
                at=_statement(target, TEST, "Sampler", "DataLoader") or share.sampler,
                hint="do not shuffle an evaluation set whose last samples are left out",
                of=share.key,
            )


@check("LDR010", tier="data", requires=["DAT001", "ENV007"])
def every_sample_is_evaluated_once(target: Target) -> Findings:
    """All ranks together evaluate the whole evaluation set, each sample once but for padding.

    ## Why it matters
    What a sampler drops is never measured, and what several ranks measure counts several times: the loss
    that chooses the best checkpoint is that of another set than the one that is named.

    ## How to fix
    Deal the set out by `DistributedSampler(..., shuffle=False, drop_last=False)`, and let the loader keep its
    last batch.
    """
    measured = shares(target).evals
    if not measured:
        raise Skip("the config asks for no evaluation set")
    for share in measured:
        yield examined(share.size, "evaluation sample", split=share.key)
        if share.missing:
            yield _missing(target, share)
        padding = -share.size % len(share.ranks)
        if share.repeated > padding and not share.whole_on_each:
            yield warning(
                "{repeated} of {size} samples are evaluated more than once by {ranks:rank|ranks}: {given}",
                at=_statement(target, TEST, "Sampler", "DataLoader") or share.sampler,
                hint="give each rank a share of its own",
                of=share.key,
                repeated=share.repeated,
                size=share.size,
                ranks=len(share.ranks),
                given=share.ranks,
            )
        elif share.repeated:
            yield note(
                "every rank evaluates the whole set"
                if share.whole_on_each
                else "{repeated:sample is|samples are} evaluated twice, so that all ranks have as many",
                of=share.key,
                repeated=share.repeated,
            )


def _missing(target: Target, share: Share) -> Finding:
    by_batches = share.missing - share.unsampled
    dropped = by_batches or share.missing < len(share.ranks)  # what does not fill one more index for each
    keyword = _keyword(target, TEST, "drop_last", "DataLoader" if by_batches else "Sampler")
    at = (
        keyword if keyword and dropped else _statement(target, TEST, "Sampler", "DataLoader") or share.sampler
    )
    severe = share.missing > LEFT_OUT * share.size
    return (error if severe else warning)(
        "{missing} of {size} samples are never evaluated: {reason}",
        at=at,
        hint="let the loader keep its last batch (drop_last=False)"
        if by_batches
        else "let the sampler deal out the whole set (drop_last=False)",
        of=share.key,
        missing=share.missing,
        size=share.size,
        reason=Text("the loader drops its last batch")
        if by_batches
        else Text("the sampler gives them to no rank"),
    )


@check("LDR011", tier="data", requires=["DAT001", "ENV007"])
def every_training_sample_is_drawn(target: Target) -> Findings:
    """Every index of the training set, and every frame behind it, is drawn by some rank in some epoch.

    ## Why it matters
    A sampler that is off by its last block, or a resized set that always takes the same part of its data,
    trains on less than the config names, and nothing in the log says so.

    ## How to fix
    Let the sampler shuffle all of `len(dataset)`, and `N @ D` choose anew among all of D in each epoch.
    """
    found = shares(target)
    yield examined(found.drawn, "draw", split="train")
    begun = epoch_start(target, "train_epoch")
    if _is_sure(found.never, found.size, found.drawn):
        yield _never(
            Text("indices"),
            found.never,
            found.size,
            found.epochs,
            _own(target, found.sampler) or building(target, TRAIN).call,
        )
    elif _is_sure(found.frames_never, found.frames, found.frames_drawn):
        at = _own(target, found.dataset) if train_batches(target).told is not False else None
        still = begun.place if begun and train_batches(target).stale else None
        yield _never(Text("samples of the data"), found.frames_never, found.frames, found.epochs, still or at)
    if found.problem:
        yield note("indices cannot be followed to the data: {problem}", problem=found.problem)
    yield note(
        "{drawn} indices in {epochs:epoch|epochs}, {repeated} of them twice in one",
        drawn=found.drawn,
        epochs=found.epochs,
        repeated=found.repeated,
    )


def _is_sure(never: int, size: int, drawn: int) -> bool:
    """Whether so many would hardly be left out by chance."""
    if not never or not size:
        return False
    mean = size * math.exp(-drawn / size)
    if never <= mean:
        return False
    return never * math.log(mean) - mean - math.lgamma(never + 1) < math.log(float(BY_CHANCE))


def _never(what: Text, never: int, size: int, epochs: int, at: Place | None) -> Finding:
    return error(
        "{never} of {size} {what} are not drawn in {epochs:epoch|epochs} by any rank",
        at=at,
        hint="let each epoch draw from all of them",
        never=never,
        size=size,
        what=what,
        epochs=epochs,
    )


# --- where it is


def _drawn(target: Target, loader: DrawnLoader) -> DrawnLoader:
    """The loader. Raises Blocked where nothing could be drawn by it."""
    if loader.failure and not loader.batches:
        lines = loader.failure.message.strip().splitlines() or [""]  # of a worker: its whole traceback
        frames = re.findall(r'File "(.+?)", line (\d+)', loader.failure.message)
        own = [
            Place(Path(file), int(line)) for file, line in frames if Path(file).is_relative_to(target.repo)
        ]
        raise Blocked(
            "no batch could be drawn: {kind}: {message}",
            at=own[-1] if own else innermost(loader.failure.frames, target.repo),
            kind=loader.failure.kind,
            message=lines[-1],
        )
    if not loader.batches:
        raise Blocked("what the loader's processes do could not be seen")
    return loader


def _loaders(target: Target) -> list[DrawnLoader]:
    """All loaders. Raises Blocked where one gave nothing."""
    return [_drawn(target, loader) for loader in (train_batches(target), *eval_batches(target))]


def _evaluations(target: Target) -> list[DrawnLoader]:
    found = [_drawn(target, loader) for loader in eval_batches(target)]
    if not found:
        raise Skip("the config asks for no evaluation set")
    return found


def _own(target: Target, found: Place | None) -> Place | None:
    """A place, if it is in the repository: torch's own code is not at fault."""
    inside = (
        found is not None
        and found.path.is_relative_to(target.repo)
        and "site-packages" not in found.path.parts
    )
    return found if inside else None


def _building(target: Target, drawn: DrawnLoader) -> Place:
    key = TEST if drawn.key else TRAIN
    return _statement(target, key, "DataLoader") or building(target, key).call


def _statement(target: Target, key: str, *names: str) -> Place | None:
    """The call of a class of such a name in the functions that build the loader."""
    for name in names:
        for path, function in _builders(target, key):
            for call in ast.walk(function):
                if isinstance(call, ast.Call) and ast.unparse(call.func).endswith(name):
                    return Place(path=path, line=call.lineno)
    return None


def _keyword(target: Target, key: str, name: str, of: str = "") -> Place | None:
    """Where the functions that build the loader give a keyword of a call of such a name, if not False.

    Where that is a parameter whose default is a literal, the line of the default.
    """
    for path, function in _builders(target, key):
        arguments = [*function.args.posonlyargs, *function.args.args]
        defaults = dict(zip([a.arg for a in arguments][::-1], function.args.defaults[::-1], strict=False))
        for call in ast.walk(function):
            if not isinstance(call, ast.Call) or not ast.unparse(call.func).endswith(of):
                continue
            for word in call.keywords:
                if word.arg == name and ast.unparse(word.value) != "False":
                    default = defaults.get(word.value.id) if isinstance(word.value, ast.Name) else None
                    said = default if isinstance(default, ast.Constant) and default.value else word.value
                    return Place(path=path, line=said.lineno)
    return None


def _builders(target: Target, key: str) -> list[tuple[Path, ast.FunctionDef]]:
    """The function that builds the loader of the training, or of the evaluation, and those that it calls.

    Where none is known by its name, those that the statement calls which builds it; innermost first.
    """
    known, part = builders(target), "train_loader" if key == TRAIN else "test_loader"
    functions = {
        node.name: (path, node)
        for path in modules(target)
        for node in nodes(path)
        if isinstance(node, ast.FunctionDef) and known.get(node.name) == path
    }
    own, source = named(target, part), building(target, key).lines["source"]
    called = [own.name] if own and own.name in functions else [name for name in functions if name in source]
    for name in called:  # grows while it is read
        inner = {*calls_in(functions[name][1])}
        called += [other for other in functions if other in inner and other not in called]
    return [functions[name] for name in reversed(called)]
