"""How an image was normalised is found where the dataset says it, and not guessed."""

import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from opv2v_doctor.inside.preview import rule_of

MEAN, DEVIATION = [0.5, 0.4, 0.3], [0.2, 0.2, 0.1]


@pytest.fixture
def home() -> Iterator[ModuleType]:
    """A module that the dataset below says it comes from."""
    module = ModuleType("home_of_a_dataset")
    sys.modules[module.__name__] = module
    yield module
    del sys.modules[module.__name__]


def dataset(**words: Any) -> Any:
    kind = type("Panoramas", (), {"__module__": "home_of_a_dataset", "num_views": 2})
    found = kind()
    vars(found).update(words)
    return found


def test_what_the_transform_did_is_found_however_deep(home: ModuleType) -> None:
    done = SimpleNamespace(mean=np.array(MEAN), std=DEVIATION)
    transform = SimpleNamespace(transforms=[SimpleNamespace(), SimpleNamespace(transforms=[done])])
    rule = rule_of({"data_norm_type": ["any"]}, dataset(transform=transform))
    source = "the dataset's transform SimpleNamespace"
    assert rule["done"] == {"mean": MEAN, "deviation": DEVIATION, "source": source}
    assert rule["named"] is None


@pytest.mark.parametrize(
    "entry",
    [
        (MEAN, DEVIATION),
        {"mean": MEAN, "std": DEVIATION},
        SimpleNamespace(mean=np.array(MEAN), std=DEVIATION),
    ],
)
def test_a_table_of_the_dataset_s_module_names_it(home: ModuleType, entry: Any) -> None:
    vars(home)["TABLE"] = {"this": entry, "that": (DEVIATION, MEAN)}
    rule = rule_of({"data_norm_type": "this"}, dataset(transform=None))
    source = "home_of_a_dataset.TABLE['this']"
    assert rule["named"] == {"mean": MEAN, "deviation": DEVIATION, "source": source}


def test_an_unknown_rule_is_not_guessed(home: ModuleType) -> None:
    vars(home)["TABLE"] = {"this": (MEAN, [0.0, 0.0, 0.0]), "other": (MEAN, DEVIATION)}
    for name in ("this", "nothing", None):
        rule = rule_of({"data_norm_type": name}, dataset(transform=lambda image: image))
        assert rule["done"] is rule["named"] is None


def test_identity_needs_no_table(home: ModuleType) -> None:
    rule = rule_of({"data_norm_type": "identity"}, dataset())
    source = "identity: nothing is done"
    assert rule["named"] == {"mean": [0.0] * 3, "deviation": [1.0] * 3, "source": source}
