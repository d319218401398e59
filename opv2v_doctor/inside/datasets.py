"""The datasets of the training, built once, as the training does: by evaluating the config's expression."""

import functools
import importlib


@functools.lru_cache(maxsize=None)
def dataset_of(expression, module_name):
    """The dataset of an expression, evaluated among the names of the module that builds the loaders."""
    return eval(expression.strip(), vars(importlib.import_module(module_name)))
