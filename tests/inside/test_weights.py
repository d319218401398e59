"""The weights of a checkpoint come out as they were saved, and nothing else of the file is built or run."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from opv2v_doctor.inside.weights import weights_of


class Hostile:
    """Unpickling it makes a folder."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


def saved(path: Path, content: object, *, zipped: bool = True) -> str:
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return str(path)


@pytest.mark.parametrize("zipped", [True, False])
def test_only_the_weights_of_a_checkpoint_are_built(tmp_path: Path, zipped: bool) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2)).half()
    optimizer = torch.optim.AdamW(model.parameters())
    content = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "args": OmegaConf.create({"lr": 0.1}),
        "best_so_far": Hostile(tmp_path / "mark"),
    }
    found = weights_of(saved(tmp_path / "checkpoint.pth", content, zipped=zipped))
    assert not (tmp_path / "mark").exists()
    assert list(found) == list(model.state_dict())
    assert all(torch.equal(found[name], weight) for name, weight in model.state_dict().items())
    assert found["0.weight"].dtype == torch.float16


def test_a_bare_state_is_taken_as_it_is(tmp_path: Path) -> None:
    found = weights_of(saved(tmp_path / "a.pth", {"w": torch.ones(2), "hostile": Hostile(tmp_path / "mark")}))
    assert list(found) == ["w"]
    assert not (tmp_path / "mark").exists()


def test_what_holds_no_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no weights"):
        weights_of(saved(tmp_path / "a.pth", [torch.ones(2)]))
