"""The weights of a checkpoint as tensors: nothing else that the file holds is built, nothing is run."""

from __future__ import annotations

import inspect
import pickle
import zipfile
from typing import IO, Any, Iterator

MODEL_KEYS = ("model", "state_dict")
BUILT = {
    ("collections", "OrderedDict"),
    ("torch", "Size"),
    ("torch._utils", "_rebuild_parameter"),
    ("torch._utils", "_rebuild_tensor"),
    ("torch._utils", "_rebuild_tensor_v2"),
}


class PassedOver:
    """Stands for an object of any other class: a config, an optimizer's state, or something hostile."""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def __call__(self, *_: object, **__: object) -> PassedOver:
        return self

    __setstate__ = __setitem__ = append = extend = add = __call__


class Unpickler(pickle.Unpickler):
    """Builds tensors and containers; every other name of the pickle is a stand-in."""

    def find_class(self, module: str, name: str) -> Any:
        """The class or function of a name, where building tensors needs it."""
        import torch

        if (module, name) in BUILT or (module == "torch" and _is_type(getattr(torch, name, None))):
            return super().find_class(module, name)
        return PassedOver


def _is_type(thing: Any) -> bool:
    """Whether it is a data type, or a storage as files from before torch 2.0 name it."""
    import torch

    return isinstance(thing, torch.dtype) or getattr(thing, "__name__", "").endswith("Storage")


def load(file: IO[bytes], **words: Any) -> Any:
    """What `torch.load` asks of a pickle module."""
    return Unpickler(file, **words).load()


def weights_of(path: str) -> dict[str, Any]:
    """The model's tensors by name, of a checkpoint, a bare state or a .safetensors file, on the CPU."""
    if path.endswith(".safetensors"):
        from safetensors.torch import load_file

        return dict(load_file(path))
    saved = _load(path)
    for key in MODEL_KEYS:
        if isinstance(saved, dict) and isinstance(saved.get(key), dict):
            saved = saved[key]
    if not isinstance(saved, dict):
        raise ValueError("%s holds no weights by name" % path)
    return {name: value for name, value in saved.items() if hasattr(value, "dtype")}


def states_of(path: str) -> dict[str, dict[str, Any]]:
    """All that is named tensors in a file: the key that leads there, and the tensors by name."""
    if path.endswith(".safetensors"):
        return {"": weights_of(path)}
    return dict(_states(_load(path), ""))


def _states(node: Any, key: str, level: int = 0) -> Iterator[tuple[str, dict[str, Any]]]:
    if not isinstance(node, dict):
        return
    tensors = {
        name: value for name, value in node.items() if isinstance(name, str) and hasattr(value, "dtype")
    }
    if tensors:
        yield key, tensors
    for name, value in node.items():
        if level < 2 and isinstance(name, str) and name != "optimizer":
            yield from _states(value, "%s.%s" % (key, name) if key else name, level + 1)


def _load(path: str) -> Any:
    """The file's content; of a zip file, tensors are read from the disk only when they are used."""
    import sys

    import torch

    is_archive = zipfile.is_zipfile(path)
    if is_archive:
        with zipfile.ZipFile(path) as archive:
            if any(name.endswith("constants.pkl") for name in archive.namelist()):
                raise ValueError("%s is a TorchScript program, no checkpoint" % path)
    known = inspect.signature(torch.load).parameters
    wanted = {"weights_only": False, "mmap": is_archive}  # our own unpickler takes only weights
    words = {name: value for name, value in wanted.items() if name in known}
    return torch.load(path, map_location="cpu", pickle_module=sys.modules[__name__], **words)
