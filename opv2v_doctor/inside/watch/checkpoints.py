"""Checkpoints: counters into each one that is saved, a line for it, and what a resume makes of them."""

from __future__ import annotations

import functools
import hashlib
import os
from typing import Any, Callable, TypedDict

from . import ranks
from .calls import Call
from .frames import Noting, frames
from .guard import Guard
from .lines import Lines
from .progress import Counters
from .warnings import Warnings

HEADER = 65536


class Loaded(TypedDict):
    """What a checkpoint that was loaded says of its training."""

    file: str | None
    epoch: int
    global_step: int | None
    world_size: int | None
    updates: int


class Checkpoints:
    """Adds what the training does not save: global step and world size."""

    def __init__(
        self, run: str, lines: Lines, progress: Counters, warn: Warnings, guard: Guard, traced: bool = False
    ) -> None:
        self.traced = traced  # whether it is told who saves, and who takes the epoch of a checkpoint
        self.run, self.lines, self.progress = run, lines, progress
        self.warn, self.guard = warn, guard
        self.saving = False
        self.loaded: Loaded | None = None

    def counters(self) -> dict[str, int]:
        """What goes into the dictionary that is saved."""
        return {"global_step": self.progress.global_step, "world_size": ranks.world_size()}

    def complete(self, content: Any) -> None:
        """Add the counters, and the epoch where it is not there; what the training saves itself is kept."""
        if isinstance(content, dict) and "model" in content and "optimizer" in content:
            for key, value in dict(self.counters(), epoch=self.progress.epoch).items():
                content.setdefault(key, value)

    def before_save(self, call: Call) -> None:
        """`save_on_master(content, path)`: on all ranks; the first one writes."""
        self.saving = True
        self.complete(next(iter(call.bound.args), None))

    def after_save(self, call: Call, _: Any) -> None:
        self.saving = False
        content, path = (*call.bound.args, None, None)[:2]
        self.note(content, path)

    def failed_save(self, _: Call, __: BaseException) -> None:
        self.saving = False

    def attend(self, torch: Any) -> None:
        """Savings that go to `torch.save` directly."""
        original = torch.save

        @functools.wraps(original)
        def save(obj: Any, f: Any, *args: Any, **kwargs: Any) -> None:
            self.guard(self.complete, obj)
            if self.traced:
                self.guard(self.tell, obj, f)
            original(obj, f, *args, **kwargs)
            if not self.saving and isinstance(obj, dict) and "model" in obj:
                self.guard(self.note, obj, f)

        torch.save = save

    def tell(self, content: Any, path: Any) -> None:
        """An event of the rank that writes: the file, the epoch that it claims, the lines that lead there."""
        if isinstance(path, (str, os.PathLike)) and isinstance(content, dict) and "model" in content:
            self.warn.lines.event(
                "saved",
                file=os.path.abspath(os.fspath(path)),
                says=content.get("epoch"),
                completed=self.progress.epoch,
                frames=frames(),
            )

    def note(self, content: Any, path: Any) -> None:
        """A line about a file that was saved."""
        if ranks.rank() != 0 or not isinstance(path, (str, os.PathLike)):
            return
        path = os.path.abspath(os.fspath(path))
        epoch = content.get("epoch") if isinstance(content, dict) else None
        inside = path.startswith(os.path.abspath(self.run) + os.sep)
        entry = {"file": os.path.relpath(path, self.run) if inside else path, "epoch": epoch}
        self.lines.append(dict(entry, **self.counters(), **identity(path)))

    # --- resuming ---

    def loading(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """`load_model`, with an ear on what it loads."""

        @functools.wraps(original)
        def load_model(*args: Any, **kwargs: Any) -> Any:
            import torch

            unheard = torch.load

            def load(file: Any, *rest: Any, **options: Any) -> Any:
                content = unheard(file, *rest, **options)
                self.guard(self.hear, file, content)
                return self.noting(content) if self.traced and type(content) is dict else content

            vars(torch)["load"] = load
            try:
                result = original(*args, **kwargs)
            finally:
                vars(torch)["load"] = unheard
            return result

        return load_model

    def noting(self, content: dict[str, Any]) -> dict[str, Any]:
        """The content, with an event of the lines that take its epoch."""
        return Noting(
            content, "epoch", lambda lines: self.warn.lines.event("epoch taken", frames=lines), True
        )

    def hear(self, file: Any, content: Any) -> None:
        """Keep what is needed to judge the resume, and none of the weights."""
        if not isinstance(content, dict) or "epoch" not in content:
            return
        states = (content.get("optimizer") or {}).get("state", {}).values()
        steps = [float(state["step"]) for state in states if "step" in state]
        self.loaded = {
            "file": os.path.abspath(os.fspath(file)) if isinstance(file, (str, os.PathLike)) else None,
            "epoch": int(content["epoch"]),
            "global_step": content.get("global_step"),
            "world_size": content.get("world_size"),
            "updates": int(max(steps, default=0)),
        }

    def after_load(self, train_args: Any, optimizer_steps: int, accumulated: int) -> None:
        """Judge the resume; from here on, steps are counted from where the checkpoint was made."""
        if self.loaded is None:
            return
        first = getattr(train_args, "start_epoch", None)
        loaded = self.loaded
        step = loaded["global_step"]
        self.progress.global_step = loaded["updates"] * accumulated if step is None else int(step)
        self.lines_of_resume(loaded, first)
        if first is not None and first != loaded["epoch"] + 1:
            verb = "repeated" if first <= loaded["epoch"] else "skipped"
            self.warn(
                "epoch {}".format(verb),
                "the checkpoint has completed epoch {}, training goes on with epoch {}".format(
                    loaded["epoch"], first
                ),
            )
        if optimizer_steps != loaded["updates"]:
            self.warn(
                "optimizer not restored",
                "the checkpoint's optimizer has made {} updates, the training's {}".format(
                    loaded["updates"], optimizer_steps
                ),
            )
        if loaded["world_size"] not in (None, ranks.world_size()):
            self.warn(
                "world size changed",
                "the checkpoint was made by {} ranks, now there are {}".format(
                    loaded["world_size"], ranks.world_size()
                ),
            )

    def lines_of_resume(self, loaded: Loaded, first: int | None) -> None:
        """An event that says where the training goes on."""
        self.warn.lines.event(
            "resume", start_epoch=first, **{**loaded, "global_step": self.progress.global_step}
        )
        if loaded["file"]:
            self.verify_identity(loaded["file"])

    def verify_identity(self, path: str) -> None:
        """Whether the file still is the one that its line tells of."""
        inside = os.path.relpath(path, self.run)
        lines = [line for line in self.lines.earlier() if line.get("file") in (inside, path)]
        now = identity(path)
        if lines and any(lines[-1].get(key, value) != value for key, value in now.items()):
            self.warn("checkpoint replaced", "{} is not the file that was saved last".format(path))


def identity(path: str) -> dict[str, Any]:
    """Size, and hashes of header and tail: of a large file only the tail, with its checksums, is telling."""
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        header = hashlib.sha256(file.read(HEADER)).hexdigest()
        file.seek(max(0, size - HEADER))
        tail = hashlib.sha256(file.read(HEADER)).hexdigest()
    return {"size": size, "sha256": header, "tail": tail}
