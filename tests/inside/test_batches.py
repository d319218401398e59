"""What the first batches of two epochs show of a loader, its collation, its workers and its sampler."""

import functools
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import (
    DataLoader,
    Dataset,
    DistributedSampler,
    Sampler,
    default_collate,
    get_worker_info,
)

from opv2v_doctor.inside import batches
from opv2v_doctor.inside.collation import changes_of
from opv2v_doctor.inside.config import EpochLines

HEIGHT, WIDTH = 6, 10


class Scenes(Dataset[Any]):
    """Samples of two views that follow from index and epoch, but for what `chance` adds."""

    def __init__(self, size: int = 24, chance: Callable[[Any], float] = lambda _: 0.0) -> None:
        self.size, self.epoch, self.chance = size, 0, chance
        self.generator = np.random.default_rng(1)
        self.buffer: Any = None

    def __len__(self) -> int:
        return self.size

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __getitem__(self, index: Any) -> list[dict[str, Any]]:
        return [self.view(int(index), number) for number in range(2)]

    def view(self, index: int, number: int) -> dict[str, Any]:
        own = np.random.default_rng([index, number, self.epoch])
        depth = own.random((HEIGHT, WIDTH, 1)).astype("float32") * 50
        if self.buffer is not None:
            self.buffer[number][:] = depth
            depth = self.buffer[number]
        return {
            "img": torch.tensor(own.random((3, HEIGHT, WIDTH)) + self.chance(self)),
            "depthmap": depth,
            "camera_pose": np.eye(4, dtype="float32") + own.random((4, 4)).astype("float32"),
            "non_ambiguous_mask": own.random((HEIGHT, WIDTH)) > 0.5,
            "label": f"scene{index}",
            "idx": (index, number),
            "camera_model": "cyl",
        }


class Shuffled(Sampler[list[int]]):
    """Batches of two of all indices, in the order of an epoch."""

    def __init__(self, size: int = 24, last: int = 0) -> None:
        self.size, self.epoch, self.last = size, 0, last

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.size // 2

    def __iter__(self) -> Iterator[list[int]]:
        order = np.random.default_rng(self.epoch).permutation(self.size - self.last).tolist()
        yield from (order[place : place + 2] for place in range(0, self.size - 1, 2))


def drawn(training: bool = True, numbers: tuple[int, ...] = (0, 1), **words: Any) -> batches.DrawnLoader:
    words.setdefault("dataset", Scenes())
    words.setdefault("batch_sampler", Shuffled(len(words["dataset"])))
    torch.manual_seed(0)
    found = batches.drawn_of("", DataLoader(**words), EPOCHS, numbers, None, training)
    assert found["failure"] is None
    assert found["batches"]
    return found


EPOCHS: EpochLines = {
    "source": "for part in (loader.dataset, loader.batch_sampler):\n    part.set_epoch(epoch)",
    "module": "torch",
    "loaders": ["loader"],
    "epoch": "epoch",
    "configs": [],
}


def edited(edit: Callable[[list[dict[str, Any]]], Any]) -> Callable[[Any], Any]:
    """A collation that does something to what torch makes of a batch."""

    def collate(samples: Any) -> Any:
        batch = default_collate(samples)
        return edit(batch) or batch

    return collate


def each(key: str, change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Any], Any]:
    return edited(lambda views: [view.update({key: change(view[key])}) for view in views] and None)


def exchanged(views: list[dict[str, Any]]) -> None:
    views[0]["img"], views[1]["img"] = views[1]["img"], views[0]["img"]


@pytest.mark.parametrize(
    ("collate", "key", "kind", "number"),
    [
        (each("depthmap", lambda depth: depth.flip(0)), "depthmap", "mixed", None),
        (edited(exchanged), "img", "mixed", None),
        (lambda s: each("camera_pose", lambda pose: pose.flip(0))(s[::-1]), "camera_pose", "mixed", None),
        (each("depthmap", lambda depth: depth / 10), "depthmap", "scaled", 0.1),
        (each("depthmap", lambda depth: depth + 2), "depthmap", "shifted", 2.0),
        (each("depthmap", lambda depth: depth.clamp(max=30)), "depthmap", "clipped", 30.0),
        (each("depthmap", lambda depth: depth.half()), "depthmap", "rounded", None),
        (each("img", lambda img: img.flip(-1)), "img", "flipped", None),
        (each("img", lambda img: img.flip(1)), "img", "flipped", None),
        (each("img", lambda img: img.transpose(-1, -2)), "img", "transposed", None),
        (each("img", lambda img: img[..., 2:]), "img", "size", None),
        (each("camera_pose", torch.linalg.inv), "camera_pose", "other", None),
        (
            edited(lambda views: [view.pop("depthmap") for view in views] and None),
            "depthmap",
            "dropped",
            None,
        ),
        (edited(lambda views: views[:1]), "", "views", None),
        (edited(lambda views: {"views": views}), "", "structure", None),
    ],
)
def test_what_a_collation_does_is_told(
    collate: Callable[[Any], Any], key: str, kind: str, number: float | None
) -> None:
    (change,) = drawn(collate_fn=collate)["changes"]
    assert (change["key"], change["kind"]) == (key, kind)
    assert change["number"] == (None if number is None else pytest.approx(number, rel=1e-3))


def own_collation(samples: list[Any]) -> list[dict[str, Any]]:
    def join(parts: list[Any]) -> Any:
        if isinstance(parts[0], str):
            return parts
        if isinstance(parts[0], tuple):
            return [torch.tensor(column) for column in zip(*parts, strict=True)]
        return torch.stack([torch.as_tensor(part) for part in parts]).contiguous()

    views = range(len(samples[0]))
    return [{key: join([s[view][key] for s in samples]) for key in samples[0][view]} for view in views]


@pytest.mark.parametrize(
    "collate",
    [
        None,
        own_collation,
        functools.partial(own_collation),
        lambda samples: default_collate(samples[::-1]),  # another order of whole samples
        lambda samples: default_collate([views[::-1] for views in samples]),
        lambda samples: tuple(default_collate(samples)),
        each("img", lambda img: img.float()),
        each("img", lambda img: img.contiguous(memory_format=torch.channels_last)),
        each("non_ambiguous_mask", lambda mask: mask[:, None]),  # one axis more
        each("depthmap", lambda depth: torch.nn.functional.pad(depth, (0, 0, 0, 4))),
        edited(lambda views: [dict(view, extra=torch.zeros(2)) for view in views]),
    ],
)
def test_a_right_collation_changes_nothing(collate: Callable[[Any], Any] | None) -> None:
    found = drawn(collate_fn=collate)
    assert found["changes"] == []
    assert all(batch["arrived"] and not batch["overwritten"] for batch in found["batches"])


def test_colours_that_move_to_the_end_are_no_other_picture() -> None:
    (change,) = drawn(collate_fn=each("img", lambda img: img.permute(0, 2, 3, 1)))["changes"]
    assert change["kind"] == "channels moved"


def test_a_value_that_was_not_finite_is_filled() -> None:
    sample = [{"depthmap": np.array([[1.0, np.nan], [np.inf, 2.0]])}]
    made = [{"depthmap": torch.tensor([[[1.0, 0.0], [0.0, 2.0]]])}]
    assert [change["kind"] for change in changes_of([sample], made)] == ["filled"]


def test_a_collation_that_writes_into_its_samples_is_told() -> None:
    def centred(samples: Any) -> Any:
        for views in samples:
            for view in views:
                view["camera_pose"][:3, 3] = 0
        return default_collate(samples)

    (change,) = drawn(collate_fn=centred)["changes"]
    assert (change["key"], change["kind"]) == ("camera_pose", "altered")


class Twice(Dataset[Any]):
    """A dataset twice, which passes on the epoch or does not."""

    def __init__(self, passes_on: bool) -> None:
        self.dataset, self.passes_on = Scenes(), passes_on

    def __len__(self) -> int:
        return 2 * len(self.dataset)

    def set_epoch(self, epoch: int) -> None:
        if self.passes_on:
            self.dataset.set_epoch(epoch)

    def __getitem__(self, index: Any) -> Any:
        return self.dataset[index // 2]


def test_a_dataset_that_keeps_the_epoch_to_itself_is_found() -> None:
    assert drawn(dataset=Twice(passes_on=True))["unreached"] is None
    place = drawn(dataset=Twice(passes_on=False))["unreached"]
    assert place
    assert place["line"] == Twice.__init__.__code__.co_firstlineno - 3


def test_a_buffer_that_the_next_sample_overwrites_is_seen() -> None:
    scenes = Scenes()
    scenes.buffer = [np.empty((HEIGHT, WIDTH, 1), "float32") for _ in range(2)]
    assert drawn(dataset=scenes)["batches"][0]["overwritten"] == ["depthmap"]


def global_numpy(_: Any) -> float:
    return float(np.random.random())


def states(found: batches.DrawnLoader) -> dict[tuple[int, int], str]:
    return {(use["worker"], use["epoch"]): use["state"] for use in found["random"]}


def seed_alike(_: int) -> None:
    np.random.seed(7)


def seed_by_number(number: int) -> None:
    np.random.seed(7 + number)


def seed_rightly(_: int) -> None:
    np.random.seed(torch.initial_seed() % 2**32)


@pytest.mark.parametrize(
    ("init", "different"), [(None, 4), (seed_rightly, 4), (seed_by_number, 2), (seed_alike, 1)]
)
def test_the_states_that_workers_draw_from_are_told_apart(init: Any, different: int) -> None:
    found = drawn(dataset=Scenes(chance=global_numpy), num_workers=2, worker_init_fn=init)
    assert {use["generator"] for use in found["random"]} == {"numpy.random"}
    assert [batch["worker"] for batch in found["batches"]] == [0, 1, 0, 1]
    assert (len(states(found)), len(set(states(found).values()))) == (4, different)


def own_generator(scenes: Any) -> float:
    return float(scenes.generator.random())


def renew(_: int) -> None:
    get_worker_info().dataset.generator = np.random.default_rng(torch.initial_seed())  # type: ignore[union-attr]


@pytest.mark.parametrize(("init", "different"), [(None, 1), (renew, 4)])
def test_a_generator_that_the_dataset_keeps_is_copied_into_each_worker(init: Any, different: int) -> None:
    found = drawn(dataset=Scenes(chance=own_generator), num_workers=2, worker_init_fn=init)
    assert {use["generator"] for use in found["random"]} == {"Scenes.generator"}
    assert len(set(states(found).values())) == different


def test_in_one_process_a_generator_goes_on() -> None:
    found = drawn(dataset=Scenes(chance=lambda _: random.random()))
    assert len(set(states(found).values())) == 2


def test_workers_that_persist_keep_the_dataset_of_their_first_epoch() -> None:
    assert not drawn(num_workers=2)["stale"]
    assert drawn(num_workers=2, persistent_workers=True)["stale"]


def told(source: str) -> batches.DrawnLoader:
    loader = DataLoader(Scenes(), batch_sampler=Shuffled())
    lines: Any = {**EPOCHS, "source": source}
    return batches.drawn_of("", loader, lines, (0, 1), None, True)


def test_an_epoch_that_is_told_to_a_part_only_is_seen() -> None:
    right = told("loader.dataset.set_epoch(epoch); loader.batch_sampler.set_epoch(epoch)")
    assert (right["alike"], right["stale"], right["untold"]) == (False, False, "")
    same = told("loader.dataset.set_epoch(0); loader.batch_sampler.set_epoch(0)")
    assert (same["alike"], same["told"]) == (True, True)
    sampler_only = told("loader.batch_sampler.set_epoch(epoch)")
    assert (sampler_only["alike"], sampler_only["stale"]) == (False, True)
    unknown = told("loader.dataset.set_epoch(nowhere)")
    assert (unknown["alike"], unknown["untold"]) == (False, "NameError: name 'nowhere' is not defined")


def test_a_sampler_that_ignores_its_epoch_is_seen() -> None:
    class Stubborn(Shuffled):
        def set_epoch(self, epoch: int) -> None:
            """Deaf."""

    class Still(Scenes):
        def set_epoch(self, epoch: int) -> None:
            """Deaf."""

    found = drawn(dataset=Still(), batch_sampler=Stubborn())
    assert (found["alike"], found["told"]) == (True, False)
    assert drawn(dataset=Scenes(4), batch_sampler=Stubborn(4))["alike"] is None  # it may be chance


def test_an_evaluation_that_follows_the_epoch_is_settled_and_one_by_chance_is_not() -> None:
    lines: Any = {**EPOCHS, "source": "loader.dataset.set_epoch(epoch)"}
    loader = DataLoader(Scenes(), batch_size=2)
    follows = batches.drawn_of("val", loader, lines, (1, 2), None, False)
    assert {"img", "depthmap"} < set(follows["changed"])
    assert follows["settled"]
    loader = DataLoader(Scenes(chance=global_numpy), batch_size=2)
    by_chance = batches.drawn_of("val", loader, None, (1, 1), None, False)
    assert (by_chance["changed"], by_chance["settled"]) == (["img"], False)


def test_the_loader_is_as_it_was_afterwards() -> None:
    loader = DataLoader(Scenes(), batch_sampler=Shuffled(), num_workers=2, persistent_workers=True)
    before = dict(vars(loader))
    batches.drawn_of("", loader, None, (0, 1), None, True)
    assert vars(loader) == before
    assert type(loader.dataset) is Scenes
    assert len(list(Shuffled())) == len(loader)


def test_a_sample_that_fails_is_told() -> None:
    class Broken(Scenes):
        def __getitem__(self, index: Any) -> Any:
            raise ValueError("no such frame")

    found = batches.drawn_of("", DataLoader(Broken(), batch_sampler=Shuffled()), None, (0, 1), None, True)
    assert found["failure"]
    assert found["failure"]["message"] == "no such frame"
    assert Path(found["failure"]["frames"][-1]["file"]) == Path(__file__)


# --- who draws what


class Ranked(Shuffled):
    """Every second batch for each of two ranks, for as many whole ones as there are."""

    def __init__(self, rank: int, **words: Any) -> None:
        super().__init__(**words)
        self.rank = rank

    def __iter__(self) -> Iterator[list[int]]:
        yield from list(super().__iter__())[self.rank :: 2]


def shares_of(last: int = 0, dataset: Any = None) -> batches.Shares:
    loaders = [DataLoader(dataset or Scenes(), batch_sampler=Ranked(rank, last=last)) for rank in range(2)]
    return batches.train_shares(loaders, None, None)


def test_all_indices_are_drawn_by_some_rank() -> None:
    found = shares_of()
    assert (found["never"], found["frames_never"], found["frames"], found["epochs"]) == (0, 0, 24, 2)
    assert (found["problem"], found["repeated"]) == ("", 0)


def test_indices_that_a_sampler_leaves_out_are_counted() -> None:
    found = shares_of(last=2)
    assert (found["never"], found["first_never"], found["epochs"]) == (2, 22, batches.MOST_EPOCHS)


def test_frames_that_a_resized_dataset_leaves_out_are_counted_without_drawing_any() -> None:
    class Unreadable(Scenes):
        def __getitem__(self, index: Any) -> Any:
            raise AssertionError("drawn")

    class Resized(Dataset[Any]):
        def __init__(self) -> None:
            self.dataset = Unreadable(30)

        def __len__(self) -> int:
            return 24

        def set_epoch(self, epoch: int) -> None:
            self.order = np.random.default_rng(epoch).permutation(29)

        def __getitem__(self, index: Any) -> Any:
            return self.dataset[self.order[index]]

    found = shares_of(dataset=Resized())
    assert (found["never"], found["frames"], found["frames_never"]) == (0, 30, 1)


@pytest.mark.parametrize(
    ("words", "batch", "missing", "unsampled", "repeated", "whole"),
    [
        ({}, {}, 0, 0, 1, False),  # 7 on two ranks: one index twice
        ({"drop_last": True}, {}, 1, 1, 0, False),
        ({}, {"drop_last": True}, 1, 0, 0, False),
        ({"num_replicas": 1}, {}, 0, 0, 7, True),
        ({"rank": 0}, {}, 3, 3, 4, False),
    ],
)
def test_evaluated_indices_are_counted_over_all_ranks(
    words: dict[str, Any], batch: dict[str, Any], missing: int, unsampled: int, repeated: int, whole: bool
) -> None:
    dataset = Scenes(7)
    loaders = []
    for rank in range(2):
        own = {"num_replicas": 2, "rank": rank, "shuffle": False, **words}
        own["rank"] = min(own["rank"], own["num_replicas"] - 1)
        sampler: Any = DistributedSampler(dataset, **own)
        loaders.append(DataLoader(dataset, sampler=sampler, batch_size=3, **batch))
    found = batches.eval_share("val", loaders, None, None)
    expected = (missing, unsampled, repeated, whole)
    names = ("missing", "unsampled", "repeated", "whole_on_each")
    assert tuple(found[name] for name in names) == expected  # type: ignore[literal-required]
    assert found["epochs_alike"]


def test_where_a_collation_is_written_is_known() -> None:
    line = own_collation.__code__.co_firstlineno
    assert batches.code_place(functools.partial(own_collation)) == {"path": __file__, "line": line}
    assert batches.code_place(len) is None

    class Collation:
        def __call__(self, samples: Any) -> Any:
            return samples

    place = batches.code_place(Collation())
    assert place
    assert place["line"] == Collation.__call__.__code__.co_firstlineno
