"""GPUs: which ones the launch would see, and who holds their memory. NVML answers; CUDA is not started."""

from __future__ import annotations

import contextlib
import os
import pwd
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from opv2v_doctor.check import Blocked
from opv2v_doctor.target import Target

GIB = 1 << 30


@dataclass(frozen=True, kw_only=True)
class Holder:
    """A process that holds memory of a GPU."""

    pid: int
    user: str
    command: str
    memory: int | None  # bytes; the driver does not always tell
    ours: bool  # this process, one that started it, or one that it started

    def __str__(self) -> str:
        memory = "" if self.memory is None else f", {self.memory / GIB:.1f} GiB"
        return f"process {self.pid} of {self.user}{memory}: {self.command}"


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """One GPU as NVML sees it."""

    index: int
    uuid: str
    name: str
    total: int  # bytes
    free: int
    holders: tuple[Holder, ...]

    def __str__(self) -> str:
        return f"GPU {self.index} ({self.name}, {self.free / GIB:.1f} of {self.total / GIB:.1f} GiB free)"


@dataclass(frozen=True, kw_only=True)
class Gpus:
    """All GPUs of the machine, and the indices that the launch would see, in its order."""

    all: tuple[Gpu, ...]
    visible: tuple[Gpu, ...]
    mask: str | None  # CUDA_VISIBLE_DEVICES of the launch


@cache
def gpus(target: Target) -> Gpus | None:
    """The machine's GPUs, None without an NVIDIA driver. Raises Blocked where the driver does not answer."""
    with _nvml() as nvml:
        if nvml is None:
            return None
        present = tuple(_gpu(nvml, index) for index in range(nvml.nvmlDeviceGetCount()))
    mask = target.launch_env.get("CUDA_VISIBLE_DEVICES", os.environ.get("CUDA_VISIBLE_DEVICES"))
    return Gpus(all=present, visible=visible(present, mask), mask=mask)


@contextlib.contextmanager
def _nvml() -> Iterator[ModuleType | None]:
    import pynvml

    try:
        pynvml.nvmlInit()
    except (pynvml.NVMLError_LibraryNotFound, pynvml.NVMLError_DriverNotLoaded):
        yield None
        return
    except pynvml.NVMLError as problem:
        raise Blocked(f"the NVIDIA driver does not answer: {problem}") from None
    try:
        yield pynvml
    except pynvml.NVMLError as problem:
        raise Blocked(f"the NVIDIA driver does not answer: {problem}") from None
    finally:
        pynvml.nvmlShutdown()


def _gpu(nvml: ModuleType, index: int) -> Gpu:
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    lists = (nvml.nvmlDeviceGetComputeRunningProcesses, nvml.nvmlDeviceGetGraphicsRunningProcesses)
    held = {found.pid: found for question in lists for found in _asked(nvml, question, handle)}
    return Gpu(
        index=index,
        uuid=_text(nvml.nvmlDeviceGetUUID(handle)),
        name=_text(nvml.nvmlDeviceGetName(handle)),
        total=int(memory.total),
        free=int(memory.free),
        holders=tuple(_holder(pid, found.usedGpuMemory) for pid, found in sorted(held.items())),
    )


def _asked(nvml: ModuleType, question: Callable[[Any], Sequence[Any]], handle: Any) -> Sequence[Any]:
    """The answer to a question that not every GPU or driver supports."""
    try:
        return question(handle)
    except (nvml.NVMLError, nvml.NVMLLibraryMismatchError):
        return ()


def _text(value: str | bytes) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def visible(present: Sequence[Gpu], mask: str | None) -> tuple[Gpu, ...]:
    """The GPUs that a CUDA_VISIBLE_DEVICES leaves: CUDA stops at a word that names none, or one again."""
    if mask is None:
        return tuple(present)
    chosen: list[Gpu] = []
    for word in mask.split(","):
        found = _named(present, word.strip())
        if found is None or found in chosen:
            break
        chosen.append(found)
    return tuple(chosen)


def _named(present: Sequence[Gpu], word: str) -> Gpu | None:
    """The GPU of an index or of the beginning of a UUID."""
    if word.isdecimal():
        return present[int(word)] if int(word) < len(present) else None
    fitting = [gpu for gpu in present if word.startswith("GPU-") and gpu.uuid.startswith(word)]
    return fitting[0] if len(fitting) == 1 else None


def _holder(pid: int, memory: int | None) -> Holder:
    folder = Path("/proc") / str(pid)
    return Holder(
        pid=pid,
        user=_owner(folder),
        command=_command(folder),
        memory=memory if memory is None else int(memory),
        ours=pid in _ancestors(os.getpid()) or os.getpid() in _ancestors(pid),
    )


def _owner(folder: Path) -> str:
    """The user of a process; a process of another container has none here."""
    try:
        uid = folder.stat().st_uid
        return pwd.getpwuid(uid).pw_name
    except OSError:
        return "unknown"
    except KeyError:
        return f"uid {uid}"


def _command(folder: Path) -> str:
    try:
        words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return "not visible from here"
    return words[:120] or "unknown"


def _ancestors(pid: int) -> list[int]:
    """A process and those that started it, as far as they can be seen."""
    chain: list[int] = []
    while pid > 1 and pid not in chain:
        chain.append(pid)
        try:
            status = (Path("/proc") / str(pid) / "status").read_text()
        except OSError:
            break
        found = re.search(r"^PPid:\s*(\d+)", status, re.MULTILINE)
        pid = int(found[1]) if found else 0
    return chain
