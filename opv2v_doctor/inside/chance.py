"""Chance: whether the code that draws samples asks for random numbers that no seed of its own decides."""

from __future__ import annotations

import contextlib
import functools
import pickle
import random
from typing import Any, Iterator

from .recording import replacing


@contextlib.contextmanager
def unseeded_generators() -> Iterator[list[None]]:
    """A list that grows by one with each generator of numpy's that is built without a seed."""
    import numpy

    found: list[None] = []
    real = numpy.random.default_rng

    @functools.wraps(real)
    def default_rng(seed: Any = None) -> Any:
        if seed is None:
            found.append(seed)
        return real(seed)

    with replacing(numpy.random, "default_rng", default_rng):
        yield found


def process_state() -> tuple[object, bytes, bytes]:
    """The state of the generators that a process shares; it changes where one of them is asked."""
    import numpy
    import torch

    return random.getstate(), pickle.dumps(numpy.random.get_state()), torch.get_rng_state().numpy().tobytes()
