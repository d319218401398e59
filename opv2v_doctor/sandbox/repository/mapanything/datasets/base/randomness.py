"""Random numbers that are the same in every process, and different in every epoch."""

import numpy as np


def epoch_generator(epoch, *others):
    """A generator for this epoch; the other numbers tell one use in it from another."""
    return np.random.default_rng([777, int(epoch), *(int(other) for other in others)])
