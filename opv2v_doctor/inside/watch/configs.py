"""The config that the training was given, as plain keys and values."""

from __future__ import annotations

import argparse
import sys
import types
from typing import Any, Iterator

OF_ONE_RANK = ("distributed.",)  # what each rank adds for itself


def flat(config: Any) -> dict[str, str]:
    """Dotted keys and the values as text, without what belongs to one rank."""
    found = dict(leaves("", plain(config)))
    return {key: repr(value) for key, value in found.items() if not key.startswith(OF_ONE_RANK)}


def plain(config: Any) -> Any:
    """Dictionaries and lists, interpolations resolved where they can be."""
    omegaconf = sys.modules.get("omegaconf")
    if omegaconf is None or not omegaconf.OmegaConf.is_config(config):
        return config if isinstance(config, dict) else vars(config)
    try:
        return omegaconf.OmegaConf.to_container(config, resolve=True)
    except Exception:  # an interpolation without an end, which the training may never ask for
        return omegaconf.OmegaConf.to_container(config, resolve=False)


def leaves(prefix: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Dotted keys and values; of an object that is neither, only its type can be compared."""
    if isinstance(value, (argparse.Namespace, types.SimpleNamespace)):
        value = vars(value)
    if isinstance(value, dict):
        for key, entry in value.items():
            for leaf in leaves("{}.{}".format(prefix, key) if prefix else str(key), entry):
                yield leaf
    else:
        comparable = value is None or isinstance(value, (bool, int, float, str, list, tuple))
        yield prefix, value if comparable else type(value).__name__
