"""The datasets, and the loaders that training and evaluation draw from."""

import torch

from mapanything.datasets.opv2v import OPV2VCoopDataset, OPV2VDataset  # noqa: F401
from mapanything.datasets.opv2v_cyl import OPV2VCoopCylindricalDataset  # noqa: F401
from mapanything.utils.train_tools import get_rank, get_world_size


class DynamicBatchDatasetWrapper:
    """Takes a whole batch of indices at once, as the dynamic sampler yields them."""

    def __init__(self, dataset):
        self.dataset = dataset

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, indices):
        if isinstance(indices, list):
            return [self.dataset[index] for index in indices]
        return self.dataset[indices]

    def __getattr__(self, name):
        return getattr(self.dataset, name)


def get_train_data_loader(
    dataset, max_num_of_imgs_per_gpu, num_workers=0, shuffle=True, drop_last=True, pin_mem=False
):
    """A loader whose batches vary in number of views and in size; `dataset` may be an expression."""
    dataset = eval(dataset) if isinstance(dataset, str) else dataset
    batch_sampler = dataset.make_sampler(
        shuffle=shuffle,
        world_size=get_world_size(),
        rank=get_rank(),
        drop_last=drop_last,
        max_num_of_images_per_gpu=max_num_of_imgs_per_gpu,
    )
    return torch.utils.data.DataLoader(
        DynamicBatchDatasetWrapper(dataset),
        batch_sampler=batch_sampler,
        num_workers=num_workers,
        pin_memory=pin_mem,
    )


def get_test_data_loader(dataset, batch_size, num_workers=0, shuffle=False, drop_last=False, pin_mem=False):
    """A loader of fixed samples in a fixed order; `dataset` may be an expression."""
    dataset = eval(dataset) if isinstance(dataset, str) else dataset
    sampler = torch.utils.data.DistributedSampler(
        dataset, num_replicas=get_world_size(), rank=get_rank(), shuffle=shuffle, drop_last=drop_last
    )
    return torch.utils.data.DataLoader(
        dataset,
        sampler=sampler,
        batch_size=batch_size,
        num_workers=num_workers,
        pin_memory=pin_mem,
        drop_last=drop_last,
    )
