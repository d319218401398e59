"""GPU counts: the numbers of GPUs that explain two lengths of an epoch."""

from __future__ import annotations

from opv2v_doctor.facts.logs.run_configs import RunConfig

MOST_GPUS = 64
MOST_BY_CHANCE = 16  # without a config, ratios of larger numbers of GPUs explain anything


def explaining_gpus(before: int, after: int, config: RunConfig | None) -> tuple[tuple[int, ...], int | None]:
    """Two numbers of GPUs, and the batch: by the config, else the smallest numbers, and no batch."""
    samples = (config.samples() if config else None) or 0
    images = (config.number("train_params.max_num_of_imgs_per_gpu") if config else None) or 0
    for batch in range(min(int(images), MOST_GPUS), 0, -1) if samples else ():
        counts = [
            [count for count in range(1, MOST_GPUS + 1) if samples // batch // count == steps]
            for steps in (before, after)
        ]
        if all(counts):
            return (counts[0][0], counts[1][0]), batch
    numbers = range(1, MOST_BY_CHANCE + 1)
    pairs = [(a, b) for a in numbers for b in numbers if a != b and before * a == after * b]
    return min(pairs, key=sum, default=()), None
