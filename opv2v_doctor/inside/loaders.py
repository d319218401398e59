"""Questions about the loaders, built by the repository's own functions; only indices are drawn."""

import contextlib
import importlib
import inspect
import traceback
from collections import Counter

from .datasets import dataset_of


def loaders(send_progress, module_name, train, images, evals, eval_batch, world_size, measured):
    """The train loader of each measured rank, gone through once; the length of each evaluation loader."""
    module = importlib.import_module(module_name)
    dataset = dataset_of(train, module_name)
    epochs = []
    for done, rank in enumerate(measured):
        send_progress("loaders", done, len(measured))
        with as_rank(rank, world_size):
            loader = built(
                module.get_train_data_loader, dataset, max_num_of_imgs_per_gpu=images, shuffle=True
            )
            epochs.append(epoch_of(rank, loader, dataset))
    with as_rank(0, world_size):
        tests = [eval_loader(module, key, text, eval_batch) for key, text in evals.items()]
    ranks, views, drawn = zip(*epochs)
    return {
        "ranks": list(ranks),
        "mixed": mixed_share(views),
        "distinct": len(set().union(*drawn)),
        "sampler": place_of(batches_of(loader)),
        "evals": tests,
    }


@contextlib.contextmanager
def as_rank(rank, world_size):
    """Let torch.distributed say what it would say in this rank; no process group is made."""
    import torch.distributed as dist

    said = {
        "is_initialized": lambda: world_size > 1,
        "get_rank": lambda group=None: rank,
        "get_world_size": lambda group=None: world_size,
    }
    real = {name: getattr(dist, name) for name in said}
    vars(dist).update(said)
    try:
        yield
    finally:
        vars(dist).update(real)


def built(function, dataset, **wanted):
    """Call the repository's function with those of the parameters that it has; workers are not needed."""
    wanted.update(num_workers=0, pin_mem=False)
    known = inspect.signature(function).parameters
    return function(dataset, **{name: value for name, value in wanted.items() if name in known})


def batches_of(loader):
    """What yields the batches of indices: the batch sampler where there is one."""
    return loader.batch_sampler if loader.batch_sampler is not None else loader.sampler


def epoch_of(rank, loader, dataset):
    """One rank's first epoch: counts, the number of views in each step, and the samples drawn."""
    sampler = batches_of(loader)
    for part in (getattr(loader, "sampler", None), sampler):  # as the training does at the start of an epoch
        if hasattr(part, "set_epoch"):
            part.set_epoch(0)
    views, drawn = [], []
    for batch in filter(None, map(list, sampler)):  # an empty batch is none
        drawn += [int(index[0]) if isinstance(index, tuple) else int(index) for index in batch]
        views.append(views_of(batch[0], dataset))
    row = {"rank": rank, "length": len(loader), "batches": len(views), "samples": len(drawn)}
    row["views"] = dict(sorted(Counter(str(count) for count in views).items()))
    return row, views, drawn


def views_of(index, dataset):
    """The number of views that an index (sample, resolution, views) asks for."""
    choices = getattr(dataset, "num_views", None)
    if isinstance(choices, (list, tuple)):
        return int(choices[index[-1]]) if isinstance(index, tuple) and len(index) > 2 else None
    return choices


def mixed_share(views):
    """The share of the steps in which not all ranks hold the same number of views."""
    steps = list(zip(*views))
    return sum(len(set(step)) > 1 for step in steps) / len(steps) if steps else 0.0


def eval_loader(module, key, expression, batch):
    """The length of one evaluation loader; where it cannot be built, why and where."""
    try:
        dataset = dataset_of(expression.strip(), module.__name__)
        loader = built(module.get_test_data_loader, dataset, batch_size=batch, shuffle=False, drop_last=False)
        return {"key": key.strip(), "length": len(loader)}
    except Exception as problem:
        frames = [[frame.filename, frame.lineno] for frame in traceback.extract_tb(problem.__traceback__)]
        said = "%s: %s" % (type(problem).__name__, problem)
        return {"key": key.strip(), "length": None, "problem": said, "frames": frames}


def place_of(instance):
    """File and line of an object's class, None where it has no source."""
    try:
        return [inspect.getsourcefile(type(instance)), inspect.getsourcelines(type(instance))[1]]
    except (OSError, TypeError):
        return None
