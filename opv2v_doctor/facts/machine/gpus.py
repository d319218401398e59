"""GPUs: which ones the launch would see, and who holds their memory. NVML answers; CUDA is not started."""

from __future__ import annotations

import contextlib
import os
import pwd
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from opv2v_doctor.check import Blocked
from opv2v_doctor.state import fact
from opv2v_doctor.target import Target
from opv2v_doctor.text import Text

GIB = 1 << 30


@dataclass(frozen=True, kw_only=True)
class Holder:
    """A process that holds memory of a GPU."""

    pid: int
    user: str | None  # None: of another container
    command: str | None
    memory: int | None  # bytes; the driver does not always tell
    ours: bool  # this process, one that started it, or one that it started

    @property
    def text(self) -> Text:
        """Which process it is, as far as can be seen from here."""
        return Text(
            "process {pid} of {user}: {command}"
            if self.memory is None
            else "process {pid} of {user}, {gib:.1f} GiB: {command}",
            pid=self.pid,
            user=self.user or Text("another container"),
            command=self.command or Text("command not visible from here"),
            gib=(self.memory or 0) / GIB,
        )


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """One GPU as NVML sees it."""

    index: int
    uuid: str
    name: str
    total: int  # bytes
    free: int
    holders: tuple[Holder, ...] | None  # None where the driver does not list processes

    @property
    def used(self) -> int:
        """Bytes that anybody holds, the driver itself among them."""
        return self.total - self.free

    @property
    def text(self) -> Text:
        """Which GPU it is, and its free memory."""
        return Text(
            "GPU {index} ({name}, {free:.1f} of {total:.1f} GiB free)",
            index=self.index,
            name=self.name,
            free=self.free / GIB,
            total=self.total / GIB,
        )


@dataclass(frozen=True, kw_only=True)
class Gpus:
    """All GPUs of the machine, and the indices that the launch would see, in its order."""

    all: tuple[Gpu, ...]
    visible: tuple[Gpu, ...]
    mask: str | None  # CUDA_VISIBLE_DEVICES of the launch


@fact
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
        raise Blocked("the NVIDIA driver does not answer: {problem}", problem=str(problem)) from None
    try:
        yield pynvml
    except pynvml.NVMLError as problem:
        raise Blocked("the NVIDIA driver does not answer: {problem}", problem=str(problem)) from None
    finally:
        pynvml.nvmlShutdown()


def _gpu(nvml: ModuleType, index: int) -> Gpu:
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    lists = (nvml.nvmlDeviceGetComputeRunningProcesses, nvml.nvmlDeviceGetGraphicsRunningProcesses)
    answers = [_ask_nvml(nvml, question, handle) for question in lists]
    held = {found.pid: found for answer in answers for found in answer or ()}
    holders = tuple(_holder(pid, found.usedGpuMemory) for pid, found in sorted(held.items()))
    return Gpu(
        index=index,
        uuid=_text(nvml.nvmlDeviceGetUUID(handle)),
        name=_text(nvml.nvmlDeviceGetName(handle)),
        total=int(memory.total),
        free=int(memory.free),
        holders=None if answers[0] is None else holders,
    )


def _ask_nvml(
    nvml: ModuleType, question: Callable[[Any], Sequence[Any]], handle: Any
) -> Sequence[Any] | None:
    """The answer to a question that not every GPU or driver supports; None where it does not."""
    try:
        return question(handle)
    except (nvml.NVMLError, nvml.NVMLLibraryMismatchError):
        return None


def _text(value: str | bytes) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def visible(present: Sequence[Gpu], mask: str | None) -> tuple[Gpu, ...]:
    """The GPUs that a CUDA_VISIBLE_DEVICES leaves: CUDA stops at a word that names none, or one again."""
    if mask is None:
        return tuple(present)
    chosen: list[Gpu] = []
    for word in mask.split(","):
        found = _gpu_named(present, word.strip())
        if found is None or found in chosen:
            break
        chosen.append(found)
    return tuple(chosen)


def _gpu_named(present: Sequence[Gpu], word: str) -> Gpu | None:
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


def _owner(folder: Path) -> str | None:
    """The user of a process; a process of another container has none here."""
    try:
        uid = folder.stat().st_uid
        return pwd.getpwuid(uid).pw_name
    except OSError:
        return None
    except KeyError:
        return f"uid {uid}"


def _command(folder: Path) -> str | None:
    try:
        words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return None
    return words[:120] or None


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
