"""Dataset arithmetic: `N @ D` resizes, `N * D` repeats, `A + B` concatenates."""

import numpy as np

from mapanything.datasets.base.batched_sampler import DynamicBatchedMultiFeatureRandomSampler
from mapanything.datasets.base.randomness import epoch_generator


class EasyDataset:
    """A dataset that can be resized, repeated and concatenated; indexed by (sample, resolution, views)."""

    def __add__(self, other):
        return CatDataset([self, other])

    def __rmul__(self, factor):
        return MulDataset(factor, self)

    def __rmatmul__(self, size):
        return ResizedDataset(size, self)

    def set_epoch(self, epoch):
        """What follows belongs to this epoch."""

    def make_sampler(
        self, shuffle=True, world_size=1, rank=0, drop_last=True, max_num_of_images_per_gpu=1, **_unused
    ):
        """A sampler of whole batches: the more views a sample has, the fewer samples in a batch."""
        if not shuffle:
            raise NotImplementedError("training samples are always shuffled")
        views = self.num_views if isinstance(self.num_views, list) else [self.num_views]
        batch_sizes = {index: max(1, max_num_of_images_per_gpu // count) for index, count in enumerate(views)}
        return DynamicBatchedMultiFeatureRandomSampler(
            self,
            pool_sizes=[len(self._resolutions), len(views)],
            scaling_feature_idx=1,
            feature_to_batch_size_map=batch_sizes,
            world_size=world_size,
            rank=rank,
            drop_last=drop_last,
        )


class _Wrapper(EasyDataset):
    """A dataset around another one."""

    def __init__(self, dataset):
        self.dataset = dataset

    @property
    def num_views(self):
        return self.dataset.num_views

    @property
    def _resolutions(self):
        return self.dataset._resolutions

    def _set_seed_offset(self, offset):
        self.dataset._set_seed_offset(offset)

    def set_epoch(self, epoch):
        self.dataset.set_epoch(epoch)


class MulDataset(_Wrapper):
    """Each sample several times."""

    def __init__(self, factor, dataset):
        super().__init__(dataset)
        self.multiplicator = int(factor)

    def __len__(self):
        return self.multiplicator * len(self.dataset)

    def __repr__(self):
        return f"{self.multiplicator}*{self.dataset!r}"

    def __getitem__(self, index):
        sample, *features = index if isinstance(index, tuple) else (index,)
        return self.dataset[(sample // self.multiplicator, *features)]


class ResizedDataset(_Wrapper):
    """As many samples as asked for: a new order every epoch, repeated where there are too few."""

    def __init__(self, size, dataset):
        super().__init__(dataset)
        self.new_size = int(size)

    def __len__(self):
        return self.new_size

    def __repr__(self):
        return f"{self.new_size:_} @ {self.dataset!r}"

    def set_epoch(self, epoch):
        super().set_epoch(epoch)
        count = len(self.dataset)
        order = epoch_generator(epoch).permutation(count)
        self._idxs_mapping = np.resize(order, self.new_size)
        self._idxs_seed_offset = np.arange(self.new_size) // count

    def __getitem__(self, index):
        if not hasattr(self, "_idxs_mapping"):
            raise AssertionError("call set_epoch before taking samples")
        sample, *features = index if isinstance(index, tuple) else (index,)
        self.dataset._set_seed_offset(self._idxs_seed_offset[sample])
        return self.dataset[(int(self._idxs_mapping[sample]), *features)]


class CatDataset(EasyDataset):
    """Several datasets, one after another."""

    def __init__(self, datasets):
        self.datasets = list(datasets)
        self._ends = np.cumsum([len(dataset) for dataset in self.datasets])

    def __len__(self):
        return int(self._ends[-1])

    def __repr__(self):
        return " + ".join(map(repr, self.datasets))

    @property
    def num_views(self):
        return self._shared("num_views")

    @property
    def _resolutions(self):
        return self._shared("_resolutions")

    def _shared(self, name):
        values = [getattr(dataset, name) for dataset in self.datasets]
        if any(value != values[0] for value in values):
            raise AssertionError(f"concatenated datasets differ in {name}: {values}")
        return values[0]

    def _set_seed_offset(self, offset):
        for dataset in self.datasets:
            dataset._set_seed_offset(offset)

    def set_epoch(self, epoch):
        for dataset in self.datasets:
            dataset.set_epoch(epoch)

    def __getitem__(self, index):
        sample, *features = index if isinstance(index, tuple) else (index,)
        if not 0 <= sample < len(self):
            raise IndexError(sample)
        which = int(np.searchsorted(self._ends, sample, side="right"))
        first = self._ends[which - 1] if which else 0
        return self.datasets[which][(int(sample - first), *features)]
