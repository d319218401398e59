"""Checkpoints: reading their counters against `torch.load(mmap=True)`, and from 10 MB to 4 GB."""

from __future__ import annotations

import os
import tempfile
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks import Ratio, compared, seconds
from opv2v_doctor.facts.past.checkpoints import read_checkpoint

BLOCKS = 40  # of each of two transformers, twelve tensors a block: 964 tensors, 3856 storages with AdamW's
REFERENCE = 384  # channels: 0.86 GB
SMALL, LARGE = 40, 832  # channels: 10 MB and 4 GB
TURNS = 15
SMALLEST = {"BLOCKS": 2, "REFERENCE": 48, "LARGE": 56, "TURNS": 1}


class Sparse:
    """A file in which what is zero takes no room on the disk."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")

    def write(self, content: Any) -> int:
        """Write, or step over zeros."""
        chunk = bytes(content)
        if len(chunk) > 4096 and chunk.count(0) == len(chunk):
            self._file.seek(len(chunk), os.SEEK_CUR)
        else:
            self._file.write(chunk)
        return len(chunk)

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.truncate()
        self._file.close()


def ratios() -> Iterator[Ratio]:
    """At the reference size, warm and cold; then by size."""
    import torch

    with tempfile.TemporaryDirectory() as folder:
        paths = {channels: Path(folder) / f"{channels}.pth" for channels in (SMALL, REFERENCE, LARGE)}
        for channels, path in paths.items():
            _save(path, channels)
        path = paths[REFERENCE]

        def theirs() -> object:
            return torch.load(path, map_location="cpu", mmap=True, weights_only=False)

        yield _against("warm", *compared(_reading(path), theirs, TURNS))
        cold = [(_cold(path, _reading(path)), _cold(path, theirs)) for _ in range(TURNS)]
        yield _against("cold", min(ours for ours, _ in cold), min(other for _, other in cold))
        yield from _by_size(paths[SMALL], paths[LARGE])


def _against(state: str, ours: float, theirs: float) -> Ratio:
    return Ratio(
        name=f"torch.load(mmap=True) / a checkpoint's counters, {state}",
        measured=theirs / ours,
        bound=1.5,
        at_least=True,
        details=f"{theirs * 1e3:.1f} ms / {ours * 1e3:.1f} ms",
    )


def _by_size(small: Path, large: Path) -> Iterator[Ratio]:
    one, other = compared(_reading(large), _reading(small), TURNS)
    sizes = f"{large.stat().st_size / 1e9:.1f} GB, {small.stat().st_size / 1e6:.0f} MB"
    yield Ratio(
        name="counters of 4 GB / of 10 MB, time",
        measured=one / other,
        bound=1.3,
        details=f"{one * 1e3:.1f} ms / {other * 1e3:.1f} ms; {sizes}",
    )
    one, other = _peak(_reading(large)), _peak(_reading(small))
    yield Ratio(
        name="counters of 4 GB / of 10 MB, memory",
        measured=one / other,
        bound=1.1,
        details=f"{one / 1e6:.2f} MB / {other / 1e6:.2f} MB",
    )


def _reading(path: Path) -> Callable[[], object]:
    """Read the counters, not remembering them."""

    def read() -> object:
        os.utime(path)  # another version of the file
        return read_checkpoint(path)

    return read


def _cold(path: Path, work: Callable[[], object]) -> float:
    """The time of work on a file that the kernel has not in memory."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return seconds(work)


def _peak(work: Callable[[], object]) -> float:
    tracemalloc.start()
    work()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


def _save(path: Path, channels: int) -> None:
    """A checkpoint as the training writes it: transformers, AdamW's state for each tensor, the config."""
    import torch
    from omegaconf import OmegaConf

    model = {name: torch.zeros(shape) for name, shape in _shapes(channels)}
    state = {
        number: {
            "step": torch.tensor(5000.0),
            "exp_avg": torch.zeros(value.shape),
            "exp_avg_sq": torch.zeros(value.shape),
        }
        for number, value in enumerate(model.values())
    }
    group = {"lr": 1e-4, "betas": (0.9, 0.95), "eps": 1e-8, "weight_decay": 0.05, "amsgrad": False}
    half = len(model) // 2
    groups = [{**group, "params": [*range(half)]}, {**group, "params": [*range(half, len(model))]}]
    node = {"lr": 1e-4, "name": "OPV2V" * 12, "sizes": [1008, 252, 3]}
    sections = ("train_params", "model", "loss", "dataset", "machine")
    args = OmegaConf.create({name: {f"key_{n}": node for n in range(6)} for name in sections})
    content = {
        "model": model,
        "optimizer": {"state": state, "param_groups": groups},
        "scaler": {"scale": 65536.0, "growth_factor": 2.0, "backoff_factor": 0.5, "_growth_tracker": 12},
        "args": args,
        "epoch": 0,
        "best_so_far": 39.2,
    }
    file = Sparse(path)
    torch.save(content, file)  # type: ignore[arg-type]
    file.close()


def _shapes(channels: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes as of a vision transformer that feeds another one."""
    yield "encoder.cls_token", (1, 1, channels)
    yield "encoder.pos_embed", (1, 1370, channels)
    yield "encoder.patch_embed.proj.weight", (channels, 3, 14, 14)
    yield "encoder.patch_embed.proj.bias", (channels,)
    for part in ("encoder", "info_sharing"):
        for number in range(BLOCKS):
            for layer, rows in (("attn.qkv", 3), ("attn.proj", 1), ("mlp.fc1", 1), ("mlp.fc2", 1)):
                yield f"{part}.blocks.{number}.{layer}.weight", (rows * channels, channels)
                yield f"{part}.blocks.{number}.{layer}.bias", (rows * channels,)
            for layer in ("norm1", "norm2"):
                yield f"{part}.blocks.{number}.{layer}.weight", (channels,)
                yield f"{part}.blocks.{number}.{layer}.bias", (channels,)
