"""In a training that is compared, the watch follows each gradient, and tries evaluation on known batches."""

import random
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from opv2v_doctor.inside.watch.alike import Alike
from opv2v_doctor.inside.watch.batches import content, disturbed, part, size
from opv2v_doctor.inside.watch.largest import largest_batch
from opv2v_doctor.inside.watch.parameters import Parameters
from opv2v_doctor.inside.watch.sketches import NUMBER, sketches

Start = Callable[..., Any]


def compared(watch: Start, epochs: int = 2, replaced: dict[str, object] | None = None, **changed: Any) -> Any:
    watched = watch(
        replaced, trace=True, limit=3, every=1, alike=True, trials=True, perturb=True, largest=epochs - 1
    )
    watched.train(epochs=epochs, **changed)
    assert not watched.failures()
    return watched


def test_the_gradients_of_a_pass_are_those_that_the_optimizer_gets(watch: Start) -> None:
    watched = compared(watch, factor=0.5)
    passes, updates = watched.events("backward"), watched.events("update")
    assert [one["weight"] for one in passes] == [0.5] * len(passes)
    assert len(passes) == len(updates) == 6
    for one, update in zip(passes, updates, strict=True):
        assert set(one["gradients"]) == {"0.weight", "0.bias", "1.weight", "1.bias"}
        for name, row in one["gradients"].items():
            assert update["gradients"][name] == pytest.approx(row, rel=1e-5, abs=1e-9)
    assert [word.partition(" ")[0] for word in updates[0]["order"]] == ["zero_grad", "backward", "update"]
    assert "training.py" in passes[0]["at"]


def test_a_loss_that_was_cut_off_is_told(watch: Start) -> None:
    def cut(batch: Any, model: Any, criterion: Any, device: Any, ret: str) -> Any:
        loss = criterion(batch, [{"non_ambiguous_mask_logits": model(view["points"])} for view in batch])[0]
        return torch.tensor(loss.item(), requires_grad=True), {}

    name = "mapanything.train.training.loss_of"
    watched = watch({name: cut}, trace=True, limit=2)
    watched.train(epochs=1)
    assert all(one["gradients"] == {} for one in watched.events("backward"))


@pytest.mark.parametrize(
    ("decays", "told"), [((0.0, 0.1), ["0"]), ((0.1, 0.0), []), ((0.1, 0.1), []), ((0.0, 0.0), [])]
)
def test_whose_bias_decays_alone_is_told(decays: tuple[float, float], told: list[str]) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.LayerNorm(2))
    first, second = model
    groups = [
        {"params": [first.weight], "weight_decay": decays[0]},
        {"params": [first.bias, *second.parameters()], "weight_decay": decays[1]},
    ]
    known = Parameters()
    known.learn(model, torch.optim.AdamW(groups), None)
    assert known.decayed_by_bias() == told


def test_the_optimizer_of_a_copy_is_strange(watch: Start) -> None:
    watched = watch(trace=True, limit=2)
    watched.train(epochs=1, change=lambda model: model.__setitem__(0, torch.nn.Linear(4, 3)))
    (held,) = watched.events("parameters")
    assert (held["strange"], held["held"], held["left_out"]) == (2, 4, ["0.weight", "0.bias"])
    assert held["decayed_by_bias"] == []
    assert "training.py" in held["at"]
    assert held["steps"] == 4


def test_modes_and_precision_are_told_once_an_epoch(watch: Start) -> None:
    watched = compared(watch)
    modes = watched.events("modes")
    assert [(one["phase"], one["epoch"]) for one in modes] == [
        ("train", 0), ("test", 1), ("train", 1), ("test", 2),
    ]  # fmt: skip
    assert [one["numbers"] for one in modes] == [[3, 0]] * 4  # the miniature never calls eval()
    assert [one["gradients"] for one in modes] == [True, False, True, False]
    assert watched.events("precision")[0]["modules"] == {"float32": [2, 31]}


def test_the_largest_batch_is_one_more_of_the_last_epoch(watch: Start) -> None:
    watched = watch(trace=True, limit=2, largest=0)
    dataset = [torch.ones(1)] * 9
    drawn = [[0], [1, 2, 3], [4, 5]]
    batches: Any = torch.utils.data.DataLoader(dataset, batch_sampler=drawn)  # type: ignore[arg-type]
    assert watched.points.session.largest(batches) is not None
    (told,) = watched.events("largest")
    assert (told["kinds"], told["numbers"]) == (3, 0)


def test_the_largest_batch_has_the_most_numbers() -> None:
    class Views:
        def __getitem__(self, indices: list[tuple[int, int]]) -> Any:
            views = indices[0][1] + 2
            return [{"img": torch.zeros(len(indices), 3, 2, 2)} for _ in range(views)]

    class Batched(Views):
        def __getitems__(self, indices: list[tuple[int, int]]) -> Any:
            return Views.__getitem__(self, indices)

    drawn = [[(0, 0), (1, 0)], [(2, 2)], [(3, 1)], [(4, 0), (5, 0)]]
    batch, facts = largest_batch(SimpleNamespace(dataset=Batched(), batch_sampler=drawn, collate_fn=None))
    assert (facts["kinds"], facts["views"], facts["numbers"]) == (3, 2, 48)
    assert size(batch) == 2


def test_evaluation_is_tried_on_known_batches(watch: Start) -> None:
    def test_one_epoch(
        model: Any, criterion: Any, data_loader: Any, device: Any, epoch: int, args: Any, prefix: str
    ) -> Any:
        losses = []
        for batch in data_loader:
            loss, _ = loop.loss_of(batch, model, criterion, device, ret="loss")
            losses.append(float(loss.detach()))
        return {"loss_avg": sum(losses) / len(losses), "loss_last": losses[-1]}

    watched = watch(trace=True, limit=3, trials=True)
    loop = watched.loop
    original = loop.test_one_epoch
    points = watched.points
    loop.test_one_epoch = points.wrap_test(test_one_epoch)
    try:
        watched.train(epochs=1)
    finally:
        loop.test_one_epoch = original
    assert not watched.failures()
    (tried,) = watched.events("trials")
    sets = tried["sets"]
    one, other = sets["0"]["loss_avg"], sets["1"]["loss_avg"]
    assert one != other
    assert sets["0 again"] == sets["0"]
    assert sets["0 0 1"] == {"loss_avg": pytest.approx((2 * one + other) / 3), "loss_last": other}
    assert sets["1 0 0"]["loss_last"] == one
    assert tried["first"] == [tried["again"]]
    assert tried["alone"]["samples"] == 2
    assert tried["alone"]["parts"] is None
    (evaluated,) = watched.events("evaluated")
    assert evaluated["changed"] == []


def test_sketches_add_up_and_tell_distance() -> None:
    torch.manual_seed(0)
    one, other = torch.randn(50, 20), torch.randn(50, 20)
    rows = [np.array(sketches([("a", tensor)])["a"][:NUMBER]) for tensor in (one, other, one + other)]
    assert np.allclose(rows[0] + rows[1], rows[2], atol=1e-4)
    turned = np.array(sketches([("a", one.flip(0))])["a"])
    assert turned[-1] == pytest.approx(float(one.norm()), rel=1e-5)
    assert np.linalg.norm(turned[:NUMBER] - rows[0]) > 0.2 * float(one.norm())
    assert sketches([("a", None)]) == {}


def test_what_a_batch_draws_follows_from_its_samples() -> None:
    batches = [[{"label": [name], "instance": ["0"]}] for name in ("one", "two")]
    alike, drawn = Alike(), []
    torch.manual_seed(1)
    before = torch.get_rng_state(), random.getstate()
    for batch in (*batches, batches[0]):
        alike.begin(batch)
        drawn.append((float(torch.rand(1)), random.random(), np.random.random()))
        alike.end()
    assert drawn[0] == drawn[2] != drawn[1]
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]


def test_a_batch_is_parted_and_disturbed() -> None:
    batch: list[dict[str, Any]] = [
        {"img": torch.ones(2, 3), "label": ["a", "b"], "idx": [torch.tensor([5, 6])], "kind": "x"}
    ]
    assert part(batch, 1) == [
        {"img": pytest.approx(batch[0]["img"][1:]), "label": ["b"], "idx": [torch.tensor([6])], "kind": "x"}
    ]
    other = disturbed(batch, 0.5)
    assert content(other) != content(batch)
    assert other[0]["img"].flatten().tolist() == [0.5, 1.5, 0.5, 1.5, 0.5, 1.5]
    assert batch[0]["img"].eq(1).all()
