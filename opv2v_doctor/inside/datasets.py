"""The datasets of the training, built once, as the training does: by evaluating the config's expression."""

from __future__ import annotations

import functools
import importlib
from typing import Any


@functools.lru_cache(maxsize=None)
def dataset_of(expression: str, module_name: str) -> Any:
    """The dataset of an expression, evaluated among the names of the module that builds the loaders."""
    return eval(expression.strip(), vars(importlib.import_module(module_name)))
