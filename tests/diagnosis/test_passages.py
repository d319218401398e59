"""What of a model is used, and what an epoch makes of its batches, on small models."""

from __future__ import annotations

import inspect
from typing import Any

import torch

from opv2v_doctor.inside.diagnosed_paths import unused
from opv2v_doctor.inside.launched import Epoch
from opv2v_doctor.inside.passages import through


class Model(torch.nn.Module):
    """One part is trained, one detached, one a bare parameter; one is given nothing, and one never called."""

    def __init__(self) -> None:
        super().__init__()
        self.trained, self.detached, self.empty, self.never = (torch.nn.Linear(2, 2) for _ in range(4))
        self.bare = torch.nn.Parameter(torch.ones(2))

    def forward(self, views: list[dict[str, torch.Tensor]]) -> list[dict[str, torch.Tensor]]:
        given = views[0]["img"]
        masked = 0.0 * self.empty(torch.zeros_like(given))
        return [{"out": self.trained(given) + self.detached(given).detach() + masked + self.bare}]


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


def test_what_changes_no_prediction_is_not_used() -> None:
    model, batch = Model(), [{"img": torch.ones(1, 2)}]
    epoch = Epoch(mean_epoch, inspect.signature(mean_epoch).bind(model, squares, [batch], True))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    usual = through(epoch, batch)
    parts = ["detached", "empty", "never", "bare"]
    assert unused(epoch, model, batch, parts, usual) == ["empty", "never"]
    assert unused(epoch, model, batch, ["empty", "never"], usual) == ["empty", "never"]
    assert unused(epoch, model, batch, ["detached"], usual) == []
    assert all(bool((before[name] == value).all()) for name, value in model.state_dict().items())
