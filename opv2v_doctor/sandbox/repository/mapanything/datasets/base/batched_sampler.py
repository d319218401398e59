"""Batches whose samples have the same number of views, and whose size follows from it."""

import torch

from mapanything.datasets.base.randomness import epoch_generator


class DynamicBatchedMultiFeatureRandomSampler:
    """Yields batches as lists of indices (sample, feature, feature, ...), the features drawn for each batch.

    Every rank draws the same batches and keeps its share, so that all ranks have the same number of them.
    """

    def __init__(
        self,
        dataset,
        pool_sizes,
        scaling_feature_idx=0,
        feature_to_batch_size_map=None,
        world_size=1,
        rank=0,
        drop_last=True,
    ):
        self.pool_sizes = list(pool_sizes)
        self.scaling_feature_idx = scaling_feature_idx
        self.feature_to_batch_size_map = feature_to_batch_size_map or {}
        self.total_size = len(dataset)
        self.world_size = world_size
        self.rank = rank
        self.drop_last = drop_last
        self.epoch = None

    def __len__(self):
        largest = max(self.feature_to_batch_size_map.values(), default=1)
        return self.total_size // largest // self.world_size

    def set_epoch(self, epoch):
        """What follows belongs to this epoch."""
        self.epoch = epoch

    def __iter__(self):
        if self.epoch is None and self.world_size > 1:
            raise AssertionError("call set_epoch: without it, ranks would draw different batches")
        epoch = torch.initial_seed() % 2**31 if self.epoch is None else self.epoch
        random = epoch_generator(epoch, self.total_size)
        samples = random.permutation(self.total_size).tolist()
        first = 0
        for number in range(len(self) * self.world_size):
            features = [int(random.integers(size)) for size in self.pool_sizes]
            size = self.feature_to_batch_size_map.get(features[self.scaling_feature_idx], 1)
            if number % self.world_size == self.rank:
                yield [(sample, *features) for sample in samples[first : first + size]]
            first += size
