"""Questions about batches: the first of two epochs, drawn by the launch's own loaders, and who draws what."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pickle
import random
import tempfile
from typing import Any, Callable, Iterator, Mapping, Sequence, TypedDict

from . import progress
from .collation import KeyChange, altered_in_place, as_array, changes_of, distinct
from .config import BuilderCall, EpochLines, Lines, begin_epoch, hydra_config, run_lines
from .frames import CodePlace
from .loaders import as_rank, batches_of, drawn_at, place_of, really_built, train_loader
from .samples import Failure, failure_of, leaves, turn_retries_off, wrapped

ORDER = 64  # batches of an epoch whose indices are looked at: one is drawn, or one by each worker
SAMPLES = 2  # of such a batch that are drawn; one in later epochs, and of further evaluation sets
FEWEST = 6  # samples whose order does not come twice by chance
MOST_WORKERS = 2  # that are started, however many the launch has
EVALUATED = (1, 2)  # epochs in which the evaluation sets are gone through
SPREAD = 4096  # values of an array that stand for all of it
LEAST_EPOCHS, MOST_EPOCHS = 2, 64  # of indices that are gone through, until all were seen
MOST_DRAWS = 60_000  # or so many were drawn


class RandomUse(TypedDict):
    """A generator that samples of a batch were drawn with, and a digest of its state before."""

    generator: str
    worker: int
    epoch: int
    state: str


class DrawnBatch(TypedDict):
    """One batch: the indices, and digests of what the dataset gave by key of a view."""

    epoch: int
    place: int
    keys: list[list[int]]
    samples: list[dict[str, str]]
    worker: int
    overwritten: list[str]
    arrived: bool


class DrawnLoader(TypedDict):
    """The first batches of a loader in two epochs.

    `alike`: both have the same samples in the same order. `changed`: keys in which one index differs.
    `stale`: the second epoch has samples of the first. `unreached`: what does not pass on the epoch.
    `settled`: one index is one sample within an epoch. `told`: where both epochs begin alike, whether
    set_epoch of all parts would change that.
    """

    key: str
    workers: int
    persistent: bool
    batches: list[DrawnBatch]
    changes: list[KeyChange]
    random: list[RandomUse]
    collate: CodePlace | None
    worker_init: CodePlace | None
    sampler: CodePlace | None
    alike: bool | None
    changed: list[str]
    stale: bool
    unreached: CodePlace | None
    settled: bool
    told: bool | None
    untold: str
    failure: Failure | None


def batches(
    config_dir: str,
    config_name: str,
    overrides: list[str],
    module_name: str,
    lines: Lines,
    expression: str,
    epochs: EpochLines | None,
    numbers: list[int],
    seeding: Lines | None,
    world_size: int,
) -> list[DrawnLoader]:
    """The first batches that rank 0 is given by each loader that the lines build, in epochs of these numbers.

    With an expression it is the loader of that training set, without one those of the evaluation.
    """
    cfg = hydra_config(config_dir, config_name, tuple(overrides))[0]
    with as_rank(0, world_size):
        if seeding:
            run_lines(seeding, cfg, lambda *_: None)
        if expression:
            loaders = {"": train_loader(lines, cfg, expression, module_name)}
        else:
            loaders = eval_loaders(lines, cfg, module_name)
        return [
            drawn_of(key, loader, epochs, numbers, cfg, bool(expression), 1 if done else SAMPLES)
            for done, (key, loader) in enumerate(loaders.items())
        ]


def eval_loaders(lines: Lines, cfg: Any, module_name: str) -> dict[str, Any]:
    """The evaluation loaders that can be built, by key."""

    def build(call: BuilderCall, words: dict[str, Any], dataset: str) -> Any:
        with contextlib.suppress(Exception):  # whoever asks for its length is told why
            return really_built(lines, call, words, dataset, module_name)
        return object()

    kept = run_lines(lines, cfg, build)[0]
    return {str(key).strip(): one for key, one in kept.items() if hasattr(one, "dataset")}


def drawn_of(
    key: str,
    loader: Any,
    epochs: EpochLines | None,
    numbers: Sequence[int],
    cfg: Any,
    training: bool,
    samples: int = SAMPLES,
) -> DrawnLoader:
    """What a loader gives in two epochs, each begun as the training begins it."""
    drawn: DrawnLoader = {
        "key": key,
        "workers": int(getattr(loader, "num_workers", 0)),
        "persistent": bool(getattr(loader, "persistent_workers", False)),
        "batches": [],
        "changes": [],
        "random": [],
        "collate": code_place(getattr(loader, "collate_fn", None)),
        "worker_init": code_place(getattr(loader, "worker_init_fn", None)),
        "sampler": drawn_at(getattr(batches_of(loader), "sampler", None)) or drawn_at(batches_of(loader)),
        "alike": None,
        "changed": [],
        "stale": False,
        "unreached": None,
        "settled": True,
        "told": None,
        "untold": "",
        "failure": None,
    }
    turn_retries_off(loader.dataset)
    begin = beginning(epochs, cfg, drawn)
    try:
        with observed(loader, samples) as seen:
            for done, epoch in enumerate(numbers):
                progress.advance("drawing batches", done, len(numbers))
                begin(loader, epoch)
                seen.draw(loader, epoch, drawn)
        drawn["alike"], drawn["changed"] = alike(seen, drawn), changed(drawn)
        if training:
            drawn["stale"] = is_stale(loader, numbers, drawn)
            drawn["unreached"] = unreached(loader, numbers)
            drawn["told"] = changes_when_told(loader, numbers, drawn) if drawn["alike"] else None
        elif drawn["changed"]:
            drawn["settled"] = is_settled(loader, numbers[0], drawn)
    except Exception as problem:
        drawn["failure"] = failure_of(problem)
    return drawn


def beginning(epochs: EpochLines | None, cfg: Any, drawn: DrawnLoader) -> Callable[[Any, int], None]:
    """What begins an epoch: the training's own lines, else set_epoch of all parts."""

    def begin(loader: Any, epoch: int) -> None:
        if epochs and not drawn["untold"]:
            try:
                begin_epoch(epochs, cfg, loader, epoch)
            except Exception as problem:
                drawn["untold"] = "%s: %s" % (type(problem).__name__, problem)
        if not epochs or drawn["untold"]:
            set_epoch(loader, epoch)

    return begin


def set_epoch(loader: Any, epoch: int) -> None:
    """Tell all parts of a loader the epoch."""
    for part in (loader.dataset, loader.sampler, loader.batch_sampler):
        if hasattr(part, "set_epoch"):
            part.set_epoch(epoch)


# --- one loader, observed


class Seen:
    """What happens in the processes of a loader: noted on lines of a file that all of them append to."""

    def __init__(self, path: str) -> None:
        self.file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        self.read = 0
        self.asked: list[tuple[int, list[list[int]]]] = []
        self.orders: list[list[list[list[int]]]] = []
        self.pending: list[tuple[Any, dict[str, str]]] = []
        self.states: dict[str, tuple[Any, str]] | None = None
        self.dataset: Any = None

    def before(self) -> None:
        """A sample is about to be drawn."""
        if self.states is None:
            self.states = generators(self.dataset)

    def give(self, index: Any, given: Any) -> None:
        """The dataset gave this."""
        self.pending.append((index, digests(given)))

    def collated(self, given: Any, collate: Callable[[Any], Any]) -> Any:
        """Let the collation make a batch of what was given, and note what that is."""
        pending, self.pending = self.pending, []
        samples = list(given) if isinstance(given, (list, tuple)) and len(given) == len(pending) else []
        before = [digests(sample) for sample in samples]
        made = collate(given)
        with contextlib.suppress(Exception):  # what we do not understand is not seen
            states, self.states = self.states or {}, None
            after = generators(self.dataset)
            altered = differing(before, [digests(sample) for sample in samples])
            told = {
                "worker": worker_number(),
                "keys": keys_of([index for index, _ in pending]),
                "samples": [digest for _, digest in pending],
                "overwritten": differing([digest for _, digest in pending], before),
                "changes": [*map(altered_in_place, altered), *(changes_of(samples, made) if samples else [])],
                "random": [
                    [name, state]
                    for name, (generator, state) in states.items()
                    if name in after and after[name][0] is generator and after[name][1] != state
                ],
                "made": whole(digests(made)),
            }
            os.write(self.file, (json.dumps(told) + "\n").encode())
        return made

    def draw(self, loader: Any, epoch: int, drawn: DrawnLoader) -> None:
        """Draw the first batches of an epoch, and read what was noted."""
        first = len(self.asked)
        arrived = [whole(digests(batch)) for batch in loader]
        size = os.fstat(self.file).st_size
        lines = os.pread(self.file, size - self.read, self.read).decode().splitlines()
        self.read = size
        notes = {json.dumps(note["keys"]): note for note in map(json.loads, lines)}
        for number, (place, keys) in enumerate(self.asked[first:]):
            note = notes.get(json.dumps(keys))
            if note is None or number >= len(arrived):
                continue
            drawn["batches"].append(
                {
                    "epoch": epoch,
                    "place": place,
                    "keys": keys,
                    "samples": note["samples"],
                    "worker": note["worker"],
                    "overwritten": note["overwritten"],
                    "arrived": arrived[number] == note["made"],
                }
            )
            drawn["changes"] = distinct([*drawn["changes"], *note["changes"]])
            drawn["random"] += [
                {"generator": name, "worker": note["worker"], "epoch": epoch, "state": state}
                for name, state in note["random"]
            ]


class FirstOnes:
    """A few batches of indices that a sampler yields, cut short, and the order of all.

    They begin with the largest of the first ones, in which samples can be mixed up; all else is the
    sampler's own.
    """

    def __init__(self, inner: Any, count: int, samples: int, seen: Seen) -> None:
        self.inner, self.count, self.samples, self.seen = inner, count, samples, seen

    def __iter__(self) -> Iterator[Any]:
        order = [batch for _, batch in zip(range(ORDER), self.inner)]
        self.seen.orders.append([keys_of(batch) for batch in order])
        sizes = [len(keys) for keys in self.seen.orders[-1]]
        largest = min(sizes.index(max(sizes)), max(0, len(order) - self.count)) if sizes else 0
        samples = self.samples if len(self.seen.orders) == 1 else 1
        for place, batch in enumerate(order[largest : largest + self.count], largest):
            cut = batch[:samples] if isinstance(batch, list) else batch
            self.seen.asked.append((place, keys_of(cut)))
            yield cut

    def __len__(self) -> int:
        return len(self.inner)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


def keys_of(batch: Any) -> list[list[int]]:
    """The indices of a batch: (sample, features) or a number alone."""
    return [[int(part) for part in (i if isinstance(i, (tuple, list)) else [i])] for i in as_list(batch)]


@contextlib.contextmanager
def observed(loader: Any, samples: int) -> Iterator[Seen]:
    """Let a loader draw its first batches, with a few of its workers, and note what happens in them."""
    own, dataset, kind = dict(vars(loader)), loader.dataset, type(loader.dataset)
    inner, sampler = loader.collate_fn, batches_of(loader)
    workers = min(loader.num_workers, MOST_WORKERS)
    with tempfile.TemporaryDirectory() as folder:
        seen = Seen(os.path.join(folder, "seen"))
        seen.dataset = dataset

        def __getitem__(self: Any, index: Any) -> Any:
            seen.before()
            given = kind.__getitem__(self, index)
            seen.give(index, given)
            return given

        def __getitems__(self: Any, indices: Any) -> Any:
            seen.before()
            given = kind.__getitems__(self, indices)
            for index, one in zip(indices, given):
                seen.give(index, one)
            return given

        def collate(given: Any) -> Any:
            return seen.collated(given, inner)

        methods: dict[str, Any] = {"__getitem__": __getitem__, "__module__": kind.__module__}
        if hasattr(kind, "__getitems__"):
            methods["__getitems__"] = __getitems__
        first = FirstOnes(sampler, max(1, workers), samples, seen)
        vars(loader).update(collate_fn=collate, num_workers=workers)
        vars(loader)["sampler" if loader.batch_sampler is None else "batch_sampler"] = first
        if workers and loader.prefetch_factor:
            vars(loader)["prefetch_factor"] = 1
        dataset.__class__ = type(kind.__name__, (kind,), methods)
        try:
            yield seen
        finally:
            dataset.__class__ = kind
            vars(loader).pop("_iterator", None)
            vars(loader).update(own)
            os.close(seen.file)


def worker_number() -> int:
    """The number of this worker process, -1 in the training's own process."""
    from torch.utils.data import get_worker_info

    found = get_worker_info()
    return -1 if found is None else int(found.id)


def digests(node: Any) -> dict[str, str]:
    """A digest of what a sample or a batch holds, by the name under which it stands in its views."""
    parts: dict[str, Any] = {}
    for name, value in named_leaves(node, ""):
        digest = parts.setdefault(name, hashlib.blake2b(digest_size=8))
        digest.update(words_of(value))
    return {name: digest.hexdigest() for name, digest in parts.items()}


def differing(first: Sequence[Mapping[str, str]], second: Sequence[Mapping[str, str]]) -> list[str]:
    """The keys whose digests differ between samples and the same samples later."""
    return sorted({key for one, other in zip(first, second) for key in one if one[key] != other.get(key)})


def named_leaves(node: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from named_leaves(value, name or str(key))
    elif isinstance(node, (list, tuple)):
        for value in node:
            yield from named_leaves(value, name)
    else:
        yield name, node


def words_of(value: Any) -> bytes:
    """What tells one value from another: of an array its shape, and values spread over it."""
    if not hasattr(value, "shape"):
        return repr(value).encode() if isinstance(value, (str, int, float, bool, type(None))) else b""
    array = as_array(value)
    spread = array.reshape(-1)[:: max(1, array.size // SPREAD)]
    return repr((array.shape, str(array.dtype))).encode() + bytes(spread.tobytes())


def whole(parts: Mapping[str, str]) -> str:
    return hashlib.blake2b(repr(sorted(parts.items())).encode(), digest_size=8).hexdigest()


def generators(dataset: Any) -> dict[str, tuple[Any, str]]:
    """The generators that this process and the dataset hold, with digests of their states."""
    import numpy
    import torch

    found: dict[str, tuple[Any, Any]] = {
        "random": (random, random.getstate()),
        "numpy.random": (numpy.random, numpy.random.get_state()),
        "torch": (torch, torch.get_rng_state().numpy().tobytes()),
    }
    for node in wrapped(dataset):
        for name, value in list(vars(node).items()):
            label = "%s.%s" % (type(node).__name__, name)
            if isinstance(value, numpy.random.Generator):
                found[label] = (value, value.bit_generator.state)
            elif isinstance(value, numpy.random.RandomState):
                found[label] = (value, value.get_state())
            elif isinstance(value, random.Random):
                found[label] = (value, value.getstate())
            elif isinstance(value, torch.Generator):
                found[label] = (value, value.get_state().numpy().tobytes())
    return {
        name: (owner, hashlib.blake2b(pickle.dumps(state), digest_size=8).hexdigest())
        for name, (owner, state) in found.items()
    }


def code_place(thing: Any) -> CodePlace | None:
    """Where a function is written, be it partly called, or an object's; None for none of Python."""
    while hasattr(thing, "func"):
        thing = thing.func
    if not hasattr(thing, "__code__"):
        thing = vars(type(thing)).get("__call__")
    code = getattr(thing, "__code__", None)
    return {"path": code.co_filename, "line": code.co_firstlineno} if code else None


def alike(seen: Seen, drawn: DrawnLoader) -> bool | None:
    """Whether both epochs have the same samples in the same order; None for too few to tell from chance."""
    orders = seen.orders[:2]
    if len(orders) < 2 or sum(map(len, orders[0])) < FEWEST:
        return None
    first = {batch["place"]: batch for batch in drawn["batches"][::-1]}
    same = [batch["samples"][:1] == first[batch["place"]]["samples"][:1] for batch in drawn["batches"]]
    return orders[0] == orders[1] and all(same)


def changes_when_told(loader: Any, numbers: Sequence[int], drawn: DrawnLoader) -> bool:
    """Whether other batches come where all parts of the loader are told the epoch."""
    orders = []
    for epoch in numbers:
        set_epoch(loader, epoch)
        orders.append([keys_of(batch) for _, batch in zip(range(ORDER), batches_of(loader))])
    batch = drawn["batches"][0]
    return orders[0] != orders[1] or digests(loader.dataset[index_of(batch)]) != batch["samples"][0]


def is_stale(loader: Any, numbers: Sequence[int], drawn: DrawnLoader) -> bool:
    """Whether a sample of the second epoch is that of the first, though one that is told gives another."""
    later = [batch for batch in drawn["batches"] if batch["epoch"] == numbers[-1]]
    if not later or not later[0]["samples"]:
        return False
    for epoch, same in zip(numbers, (True, False)):
        set_epoch(loader, epoch)
        if (digests(loader.dataset[index_of(later[0])]) == later[0]["samples"][0]) != same:
            return False
    return True


def unreached(loader: Any, numbers: Sequence[int]) -> CodePlace | None:
    """What keeps an epoch from the data that it wraps: its class; None where the data is told by it."""
    for node in wrapped(loader.dataset):
        for inner in [getattr(node, "dataset", None), *(getattr(node, "datasets", None) or [])]:
            if not (hasattr(type(node), "set_epoch") and hasattr(type(inner), "set_epoch")):
                continue
            for epoch in numbers:
                node.set_epoch(epoch)
            told = plain_state(inner)
            inner.set_epoch(numbers[-1])
            if plain_state(inner) != told:
                return place_of(node)
    return None


def plain_state(node: Any) -> dict[str, int]:
    """The whole numbers that an object holds, among which an epoch is."""
    return {name: value for name, value in vars(node).items() if type(value) is int}


def is_settled(loader: Any, epoch: int, drawn: DrawnLoader) -> bool:
    """Whether the first sample is one and the same when it is drawn twice in an epoch."""
    set_epoch(loader, epoch)
    index = index_of(drawn["batches"][0])
    return digests(loader.dataset[index]) == digests(loader.dataset[index])


def index_of(batch: DrawnBatch) -> Any:
    """The index of a batch's first sample, as a dataset is asked for it."""
    key = batch["keys"][0]
    return tuple(key) if len(key) > 1 else key[0]


def changed(drawn: DrawnLoader) -> list[str]:
    """The keys that differ between the epochs in samples of the same index."""
    first: dict[str, dict[str, str]] = {}
    keys: set[str] = set()
    for batch in drawn["batches"]:
        for key, sample in zip(map(str, batch["keys"]), batch["samples"]):
            before = first.setdefault(key, sample)
            keys.update(name for name in sample if sample[name] != before.get(name))
    return sorted(keys)


# --- who draws what: indices only


class Share(TypedDict):
    """The indices of an evaluation set: those that no rank is given, those that several are given."""

    key: str
    size: int
    ranks: list[int]
    missing: int
    unsampled: int
    repeated: int
    whole_on_each: bool
    epochs_alike: bool
    sampler: CodePlace | None


class Shares(TypedDict):
    """What of the training set is never drawn in some epochs, and of the evaluation sets in one."""

    epochs: int
    drawn: int
    size: int
    never: int
    first_never: int | None
    frames: int
    frames_never: int
    frames_drawn: int
    repeated: int
    sampler: CodePlace | None
    dataset: CodePlace | None
    evals: list[Share]
    problem: str


def shares(
    config_dir: str,
    config_name: str,
    overrides: list[str],
    module_name: str,
    train: Lines,
    expression: str,
    evals: Lines | None,
    train_epochs: EpochLines | None,
    eval_epochs: EpochLines | None,
    seeding: Lines | None,
    world_size: int,
) -> Shares:
    """Go through the indices that all ranks are given, for as many epochs as it takes to see them all."""
    cfg = hydra_config(config_dir, config_name, tuple(overrides))[0]
    built: list[tuple[Any, dict[str, Any]]] = []
    for rank in range(world_size):
        with as_rank(rank, world_size):
            if seeding:
                run_lines(seeding, cfg, lambda *_: None)
            loader = train_loader(train, cfg, expression, module_name)
            built.append((loader, eval_loaders(evals, cfg, module_name) if evals else {}))
    answer = train_shares([loader for loader, _ in built], train_epochs, cfg)
    for key in built[0][1]:
        answer["evals"].append(
            eval_share(key, [tests[key] for _, tests in built if key in tests], eval_epochs, cfg)
        )
    return answer


def train_shares(loaders: list[Any], epochs: EpochLines | None, cfg: Any) -> Shares:
    """The training indices, and the data behind them, that no rank draws in the first epochs."""
    dataset = loaders[0].dataset
    size, total = len(dataset), sum(len(leaf) for leaf in leaves(dataset))
    seen: set[int] = set()
    frames: set[Any] = set()
    drawn = traced = repeated = done = 0
    problem = ""

    def lacking() -> bool:
        return len(seen) < size or (not problem and len(frames) < total)

    while done < LEAST_EPOCHS or (lacking() and done < MOST_EPOCHS and drawn < MOST_DRAWS):
        indices = given_in(epochs, cfg, loaders, done)
        own = [first_of(index) for index in indices]
        repeated += len(own) - len(set(own))
        seen.update(own)
        drawn, done = drawn + len(own), done + 1
        try:
            with traced_leaves(dataset):
                frames.update(dataset[index] for index in indices if not problem)
            traced += len(own)
        except Exception as trouble:
            problem = "%s: %s" % (type(trouble).__name__, trouble)
    never = sorted(set(range(size)) - seen)
    return {
        "epochs": done,
        "drawn": drawn,
        "size": size,
        "never": len(never),
        "first_never": never[0] if never else None,
        "frames": 0 if problem else total,
        "frames_never": 0 if problem else total - len(frames),
        "frames_drawn": traced,
        "repeated": repeated,
        "sampler": drawn_at(batches_of(loaders[0])),
        "dataset": next((place_of(n) for n in wrapped(dataset) if hasattr(type(n), "set_epoch")), None),
        "evals": [],
        "problem": problem,
    }


def given_in(epochs: EpochLines | None, cfg: Any, loaders: list[Any], epoch: int) -> list[Any]:
    """The indices that all ranks are given in an epoch."""
    given: list[Any] = []
    for rank, loader in enumerate(loaders):
        with as_rank(rank, len(loaders)):
            start(epochs, cfg, loader, epoch)
            given += [index for batch in batches_of(loader) for index in as_list(batch)]
    return given


def eval_share(key: str, loaders: list[Any], epochs: EpochLines | None, cfg: Any) -> Share:
    """The indices that the ranks evaluate."""
    by_epoch: list[list[list[int]]] = []
    offered: set[int] = set()
    for epoch in EVALUATED:
        given: list[list[int]] = []
        for rank, loader in enumerate(loaders):
            with as_rank(rank, len(loaders)):
                start(epochs, cfg, loader, epoch)
                given.append([first_of(i) for batch in batches_of(loader) for i in as_list(batch)])
                inner = getattr(loader.batch_sampler, "sampler", None)
                offered.update(first_of(i) for batch in inner or () for i in as_list(batch))
        by_epoch.append(given)
    size, ranks = len(loaders[0].dataset), by_epoch[0]
    union = set().union(*map(set, ranks))
    return {
        "key": key,
        "size": size,
        "ranks": [len(own) for own in ranks],
        "missing": size - len(union),
        "unsampled": len(set(range(size)) - offered) if offered else size - len(union),
        "repeated": sum(map(len, ranks)) - len(union),
        "whole_on_each": len(ranks) > 1 and all(len(set(own)) == size for own in ranks),
        "epochs_alike": set().union(*map(set, by_epoch[1])) == union,
        "sampler": drawn_at(getattr(loaders[0].batch_sampler, "sampler", None) or loaders[0].sampler),
    }


def start(epochs: EpochLines | None, cfg: Any, loader: Any, epoch: int) -> None:
    """Begin an epoch as the training does, else by set_epoch of all parts."""
    if epochs:
        with contextlib.suppress(Exception):
            return begin_epoch(epochs, cfg, loader, epoch)
    return set_epoch(loader, epoch)


def as_list(batch: Any) -> list[Any]:
    """The indices of a batch; one index is a batch of one."""
    return list(batch) if isinstance(batch, list) else [batch]


def first_of(index: Any) -> int:
    return int(index[0]) if isinstance(index, (tuple, list)) else int(index)


@contextlib.contextmanager
def traced_leaves(dataset: Any) -> Iterator[None]:
    """Let the data behind a dataset answer with the place of a sample instead of the sample."""
    found = leaves(dataset)
    kinds = [type(leaf) for leaf in found]

    def trace(number: int) -> Callable[[Any, Any], Any]:
        return lambda _self, index: (number, first_of(index))

    try:
        for number, (leaf, kind) in enumerate(zip(found, kinds)):
            leaf.__class__ = type(kind.__name__, (kind,), {"__getitem__": trace(number)})
        yield
    finally:
        for leaf, kind in zip(found, kinds):
            leaf.__class__ = kind
