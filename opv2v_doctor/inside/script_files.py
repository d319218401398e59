"""Files of the script: which weights it reads or looks for, what it writes, and where it must not."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import threading
from typing import Any, Callable, Iterator, NamedTuple

from .frames import CodePlace
from .recording import place, replacing

WEIGHTS = (".pth", ".pt", ".ckpt", ".safetensors", ".bin")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_TRUNC
CHANGING = {  # events of the interpreter -> which of their arguments are changed
    "os.remove": (0,), "os.rename": (0, 1), "os.mkdir": (0,), "os.rmdir": (0,), "os.truncate": (0,),
    "os.link": (1,), "os.symlink": (1,), "shutil.rmtree": (0,),
}  # fmt: skip
UNHEARD = {  # what opens files unheard by the interpreter -> number of the path, whether it writes
    ("torch", "save"): (1, True),
    ("cv2", "imwrite"): (0, True),
    ("open3d.io", "write_point_cloud"): (0, True),
    ("open3d.io", "write_triangle_mesh"): (0, True),
    ("safetensors.torch", "save_file"): (1, True),
    ("safetensors.torch", "load_file"): (0, False),
    ("safetensors.torch", "load_model"): (1, False),
}
CACHES = ("TORCH_HOME", "HF_HOME", "XDG_CACHE_HOME", "MPLCONFIGDIR", "TRITON_CACHE_DIR")
MOST_LINKS = 1000  # of one folder


class RefusedWrite(BaseException):
    """Ends a script that is about to write where it may not."""


class Writing(NamedTuple):
    """Who wrote a file last, after how many inferences, and how often since the last of them."""

    place: CodePlace | None
    inferences: int
    times: int


class Files:
    """What is heard of one script's files; `scratch` is where it may write, `kept` what it must not touch."""

    def __init__(self, scratch: str, kept: list[str]) -> None:
        self.scratch, self.kept = os.path.realpath(scratch), [os.path.realpath(path) for path in kept]
        self.read: dict[str, CodePlace | None] = {}
        self.absent: dict[str, CodePlace | None] = {}
        self.written: dict[str, Writing] = {}
        self.refused: tuple[str, CodePlace | None] | None = None
        self.inferences = 0
        home = os.path.expanduser("~")
        self.free = [os.path.realpath(tempfile.gettempdir()), "/dev"]
        self.free += [os.path.realpath(os.environ[name]) for name in CACHES if os.environ.get(name)]
        self.hidden = os.path.join(os.path.realpath(home), ".")  # programs keep their caches there

    def hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        """One event of the interpreter."""
        if event == "open":
            path, _, flags = arguments
            self.opened(path, flags if isinstance(flags, int) else 0)
        elif event in CHANGING:
            for number in CHANGING[event]:
                if event != "os.mkdir" or not os.path.isdir(arguments[number]):
                    self.writes(arguments[number])
            if event == "os.rename":
                self.renamed(*(os.path.realpath(os.fsdecode(path)) for path in arguments[:2]))

    def renamed(self, before: str, after: str) -> None:
        """What is written under another name first is still written by its line."""
        if before in self.written:
            self.written[after] = self.written.pop(before)

    def opened(self, path: Any, flags: int) -> None:
        """A file is opened, whoever does it."""
        if not isinstance(path, (str, bytes, os.PathLike)):
            return
        name = os.fsdecode(path)
        if flags & WRITING:
            self.writes(name, anew=bool(flags & os.O_TRUNC))
        elif name.endswith(WEIGHTS) and os.path.isfile(name):
            self.read.setdefault(os.path.realpath(name), place())

    def writes(self, path: Any, anew: bool | None = None) -> None:
        """A file is about to be changed. Raises RefusedWrite where that may not be."""
        if not isinstance(path, (str, bytes, os.PathLike)):
            return
        real, at = os.path.realpath(os.fsdecode(path)), place()
        if not self.may_write(real):
            self.refused = self.refused or (real, at)
            raise RefusedWrite(real)
        if anew is not None:
            before = self.written.get(real)
            times = before.times if before and before.inferences == self.inferences else 0
            self.written[real] = Writing(at, self.inferences, times + anew)

    def may_write(self, real: str) -> bool:
        """Whether a file is the script's own, or nobody's."""
        if _within(real, self.scratch):
            return True
        if any(_within(real, folder) for folder in self.kept):
            return False
        return real.startswith(self.hidden) or any(_within(real, folder) for folder in self.free)

    def looked_for(self, path: Any, found: bool) -> None:
        """Whether a file of weights is there was asked."""
        if isinstance(path, (str, os.PathLike)) and not found and os.fspath(path).endswith(WEIGHTS):
            self.absent.setdefault(os.path.abspath(os.fspath(path)), place())

    def attend(self, stack: contextlib.ExitStack) -> None:
        """Hear of what is opened by extensions, as far as they are imported by now."""
        for (module_name, name), (number, writing) in UNHEARD.items():
            module = sys.modules.get(module_name)
            real = getattr(module, name, None)
            if real is not None and not hasattr(real, "heard_by_us"):
                stack.enter_context(replacing(module, name, self.told(real, number, writing)))

    def told(self, real: Callable[..., Any], number: int, writing: bool) -> Callable[..., Any]:
        def opening(*arguments: Any, **words: Any) -> Any:
            path = arguments[number] if len(arguments) > number else words.get("filename", words.get("f"))
            self.opened(path, os.O_WRONLY | os.O_TRUNC if writing else 0)
            return real(*arguments, **words)

        opening.heard_by_us = True  # type: ignore[attr-defined]
        return opening


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


_listening: list[
    Files
] = []  # that of the script that runs; a hook of the interpreter is never taken off again
_busy = threading.local()
_hooked: list[bool] = []


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if not _listening or not (event == "open" or event in CHANGING) or getattr(_busy, "now", False):
        return
    _busy.now = True
    try:
        _listening[-1].hear(event, arguments)
    finally:
        _busy.now = False


@contextlib.contextmanager
def hearing_files(files: Files) -> Iterator[contextlib.ExitStack]:
    """Hear of files meanwhile; what is yielded takes further listeners."""
    if not _hooked:
        sys.addaudithook(_hear)
        _hooked.append(True)
    bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    _listening.append(files)
    try:
        with contextlib.ExitStack() as stack:
            for name in ("isfile", "exists"):
                real = getattr(os.path, name)
                stack.enter_context(replacing(os.path, name, _asking(real, files)))
            _attend_paths(stack, files)
            files.attend(stack)
            yield stack
    finally:
        _listening.pop()
        sys.dont_write_bytecode = bytecode


def _asking(real: Callable[..., Any], files: Files) -> Callable[..., Any]:
    def asked(path: Any, *rest: Any, **words: Any) -> Any:
        found = real(path, *rest, **words)
        if not getattr(_busy, "now", False):
            files.looked_for(path, bool(found))
        return found

    return asked


def _attend_paths(stack: contextlib.ExitStack, files: Files) -> None:
    import pathlib

    for name in ("is_file", "exists"):
        stack.enter_context(replacing(pathlib.Path, name, _asking(getattr(pathlib.Path, name), files)))


def stand_in(folder: str) -> None:
    """Make a folder that looks like the working directory: its folders anew, with links to what is in them.

    What a script writes below its working directory is a new file there, then.
    """
    os.makedirs(folder, exist_ok=True)
    for entry in os.scandir(os.getcwd()):
        copy = os.path.join(folder, entry.name)
        if os.path.lexists(copy):
            continue
        names = os.listdir(entry.path) if entry.is_dir() and entry.name != ".git" else []
        if not entry.is_dir() or entry.name == ".git" or len(names) > MOST_LINKS:
            os.symlink(entry.path, copy)
            continue
        os.mkdir(copy)
        for name in names:
            os.symlink(os.path.join(entry.path, name), os.path.join(copy, name))


def files_in(folder: str) -> Iterator[str]:
    """The files of a folder that are its own, in the order of their names."""
    for root, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = os.path.join(root, name)
            if not os.path.islink(path):
                yield path
