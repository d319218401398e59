"""What a forward reads, and what an epoch makes of its batches, on small models."""

from __future__ import annotations

import inspect
from typing import Any

import torch

from opv2v_doctor.inside.launched import Epoch
from opv2v_doctor.inside.passages import reading, through


class Model(torch.nn.Module):
    """Of four parts one is trained, one detached, one read as a bare parameter, and one not used."""

    def __init__(self) -> None:
        super().__init__()
        self.trained, self.detached, self.unused = (torch.nn.Linear(2, 2) for _ in range(3))
        self.bare = torch.nn.Parameter(torch.ones(2))

    def forward(self, views: list[dict[str, torch.Tensor]]) -> list[dict[str, torch.Tensor]]:
        given = views[0]["img"]
        return [{"out": self.trained(given) + self.detached(given).detach() + self.bare}]


def test_what_a_forward_reads_is_told_apart_from_what_it_does_not() -> None:
    model = Model()
    with reading(model) as read, torch.autocast("cpu", dtype=torch.bfloat16):
        model([{"img": torch.ones(1, 2)}])
    assert {name.partition(".")[0] for name in read} == {"trained", "detached", "bare"}
    assert "__call__" not in vars(Model)


Batch = list[dict[str, torch.Tensor]]


def mean_epoch(model: Model, criterion: Any, data_loader: list[Batch], divided: bool) -> dict[str, float]:
    losses = [criterion(views, model(views))[0].item() for views in data_loader]
    return {"loss": sum(losses) / (len(losses) if divided else 1)}


def squares(_: Batch, predictions: Batch) -> tuple[torch.Tensor, dict[str, float]]:
    return predictions[0]["out"].square().sum() + 1, {}


def test_a_sum_over_batches_is_a_factor_of_the_second_one() -> None:
    batch = [{"img": torch.ones(1, 2)}]
    for divided, factor in ((True, 1.0), (False, 2.0)):
        given = inspect.signature(mean_epoch).bind(Model(), squares, [batch], divided)
        found = through(Epoch(mean_epoch, given), batch, times=2)
        assert abs(found.factor - factor) < 1e-6
        assert len(set(found.losses)) == 1
