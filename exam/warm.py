"""A warm process that trains a repository briefly, in forks of itself, and tells what that training was.

It has imported what a training imports and nothing of the repository, so that a training, its resumes and one
inference cost seconds. `python -m exam.warm` reads requests and writes answers, a line of JSON each. Batches
are drawn from the loaders as they are, and only the first few of each epoch.
"""

from __future__ import annotations

import contextlib
import json
import os
import runpy
import shutil
import signal
import socket
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

from exam.difference import difference

RANKS = 2
TRAINED, TESTED = 2, 1  # batches of an epoch
KILLED = 86  # exit code of a rank that ends where it would begin its second epoch of training
PHASES = ("trained", "resumed", "finished", "inferred")
TEXTS = {"data_norm_type", "camera_model"}  # of a view; all others only name it
SPLITS = ("train", "val", "test")
EPOCHS = 2
TRACED = 20  # calls of a function, the first ones: which lines it runs is known then
Record = dict[str, Any]


def main() -> None:
    """Answer until there are no more questions."""
    import cv2  # noqa: F401
    import hydra  # noqa: F401
    import torch
    import torch._dynamo
    import torch.distributed
    import yaml  # noqa: F401
    from hydra._internal.hydra import Hydra  # noqa: F401
    from torch.utils.tensorboard import SummaryWriter  # noqa: F401

    torch.set_num_threads(1)
    answers = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        answers.write(json.dumps(_answer(json.loads(line))) + "\n")
        answers.flush()


def _answer(asked: Mapping[str, Any]) -> Record:
    """What each phase's ranks recorded and how they ended, up to the first one unlike the healthy one's."""
    began, folder = time.monotonic(), Path(asked["folder"])
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    deadline = began + asked["seconds"]
    healthy = json.loads(Path(asked["healthy"]).read_text()) if asked["healthy"] else None
    phases: Record = {}
    for phase in ("samples",) if asked["samples"] else PHASES[: len(PHASES) - (not asked["infers"])]:
        phases[phase] = _phase(asked, phase, folder, deadline)
        found = difference(healthy["phases"][phase] if healthy else phases[phase], phases[phase])
        if found:
            return {"phases": phases, "phase": phase, "difference": found}
    return {"phases": phases, "phase": "", "difference": ""}


def _phase(asked: Mapping[str, Any], phase: str, folder: Path, deadline: float) -> Record:
    """Fork the ranks, wait, and end what is left of them."""
    ranks, port = 1 if phase in ("inferred", "samples") else RANKS, _free_port()
    children = {}
    for rank in range(ranks):
        child = os.fork()
        if not child:
            _be(asked, phase, rank, ranks, port, folder)
        children[child] = rank
    codes: dict[int, int] = {}
    while len(codes) < ranks and time.monotonic() < deadline:
        ended, status = os.waitpid(-1, os.WNOHANG)
        if ended:
            codes[children[ended]] = os.waitstatus_to_exitcode(status)
            if codes[children[ended]] not in (0, KILLED):
                break  # the others would wait for it
        else:
            time.sleep(0.02)
    for child, rank in children.items():
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)  # workers of its loaders, too
        if rank not in codes:
            os.kill(child, signal.SIGKILL)  # one that leads no group yet
            os.waitpid(child, 0)
    recorded = [_read(folder / f"{phase}-{rank}.json") for rank in range(ranks)]
    failed = [rank for rank, code in codes.items() if code not in (0, KILLED)]
    said = (folder / f"{phase}-{failed[0]}.txt").read_text(errors="replace")[-1500:] if failed else ""
    complete = len(codes) == ranks and not failed
    return {"ranks": recorded, "ended": complete, "hung": not failed and not complete, "said": said}


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


def _read(path: Path) -> Record:
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError):  # it was killed before, or while, it wrote
        return {}


def _be(asked: Mapping[str, Any], phase: str, rank: int, ranks: int, port: int, folder: Path) -> None:
    """One rank, to its end: never returns."""
    os.setsid()
    sys.dont_write_bytecode = True
    code, recorder = 1, _Recorder(folder / f"{phase}-{rank}.json", folder / "run")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    said = os.open(folder / f"{phase}-{rank}.txt", os.O_WRONLY | os.O_CREAT)
    os.dup2(said, 1)
    os.dup2(said, 2)
    try:
        os.chdir(asked["repo"])
        os.environ |= {"PYTHONPATH": asked["repo"], "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
        sys.path[:0] = [str(Path(asked["repo"], "scripts")), asked["repo"]]
        if asked["traced"] and rank == 0:
            recorder.trace(asked["repo"])
        _DO[phase](asked, recorder, rank, ranks, port)
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
    if rank == 0:
        recorder.look_at_run()
    recorder.write()
    sys.stdout.flush()
    os._exit(code)


def _train(asked: Mapping[str, Any], recorder: _Recorder, rank: int, ranks: int, port: int) -> None:
    """`torchrun scripts/train.py`, as one of its ranks."""
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": ranks, "MASTER_PORT": port}
    os.environ |= {name: str(value) for name, value in place.items()} | {"MASTER_ADDR": "127.0.0.1"}
    recorder.watch_loaders(rank, killed=not recorder.path.name.startswith("finished"))
    sys.argv = ["scripts/train.py", *asked["overrides"], f"hydra.run.dir={recorder.run}"]
    runpy.run_path("scripts/train.py", run_name="__main__")


def _infer(_asked: Mapping[str, Any], recorder: _Recorder, *_: object) -> None:
    """`python scripts/infer.py`, and what it wrote."""
    import numpy as np

    last, output = recorder.run / "checkpoint-final.pth", recorder.run.parent / "predictions"
    words = ["--config", recorder.run / ".hydra/config.yaml", "--checkpoint", last, "--output", output]
    sys.argv = ["scripts/infer.py", *map(str, words), "--split", "val", "--index", "1"]
    runpy.run_path("scripts/infer.py", run_name="__main__")
    for path in sorted(output.rglob("*.npz")):
        with np.load(path) as arrays:
            recorder.keep(f"output {path.name}", dict(arrays))


def _draw(asked: Mapping[str, Any], recorder: _Recorder, *_: object) -> None:
    """Every scene of every split with the most views, in a few epochs."""
    from hydra import compose, initialize_config_dir

    with initialize_config_dir(str(Path(asked["repo"], "configs")), version_base=None):
        config = compose("train", asked["overrides"])
    from mapanything import datasets  # type: ignore[import-not-found]  # the repository's, not ours

    for split in SPLITS:
        dataset = eval(config.dataset.opv2v[split].dataset_str, vars(datasets))
        most = len(dataset.num_views) - 1 if isinstance(dataset.num_views, list) else 0
        for epoch in range(EPOCHS):
            dataset.set_epoch(epoch)
            for index in range(len(dataset)):
                recorder.keep(f"{split} {epoch} {index}", dataset[index, 0, most])


_DO: dict[str, Callable[..., None]] = {
    "trained": _train,
    "resumed": _train,
    "finished": _train,
    "inferred": _infer,
    "samples": _draw,
}


class _Recorder:
    """What a rank saw: a few numbers for each array, and the lines of the repository that it ran."""

    def __init__(self, path: Path, run: Path) -> None:
        self.path, self.run = path, run
        self.values: Record = {}
        self.steps = self.epochs = self.tests = 0
        self.lines: dict[str, set[int]] = {}

    def keep(self, name: str, value: object) -> None:
        """Numbers that tell a value from another one."""
        self.values |= dict(_measured(name, value))

    def watch_loaders(self, rank: int, *, killed: bool) -> None:
        """Record the first batches of each epoch, and end it there; as a power cut in a later epoch."""
        import torch
        from torch.utils.data import DataLoader

        recorder, original = self, DataLoader.__iter__

        def drawn(loader: Any) -> Iterator[Any]:
            training = torch.is_grad_enabled()
            if training and killed and recorder.epochs == 1:
                if rank == 0:
                    recorder.look_at_run()
                recorder.write()
                os._exit(KILLED)
            number = recorder.epochs if training else recorder.tests
            recorder.epochs, recorder.tests = recorder.epochs + training, recorder.tests + (not training)
            kind = "train" if training else "test"
            recorder.values[f"{kind} {number} length"] = len(loader)
            for count, batch in enumerate(original(loader)):
                if count == (TRAINED if training else TESTED):
                    return
                recorder.keep(f"{kind} {number} {count}", batch)
                yield batch
                recorder.steps += training

        DataLoader.__iter__ = drawn  # type: ignore[method-assign, assignment]

    def look_at_run(self) -> None:
        """The checkpoints of the run, and the losses and rates of its log."""
        import torch

        for path in sorted(self.run.glob("*.pth")):
            with contextlib.suppress(Exception):  # one that is no checkpoint is told by what reads it
                saved = torch.load(path, map_location="cpu", weights_only=False)
                self.keep(path.name, {name: value for name, value in saved.items() if name != "args"})
        log = self.run / "log.txt"
        for number, line in enumerate(log.read_text().splitlines() if log.is_file() else ()):
            for name, value in json.loads(line).items():
                if name in ("epoch", "train_loss", "train_lr") or name.endswith(("_loss_avg", "_loss_med")):
                    self.keep(f"log {number} {name}", value)

    def trace(self, repo: str) -> None:
        """Note which lines of the repository run."""
        calls: Counter[Any] = Counter()
        ours: dict[str, set[int] | None] = {}

        def entered(frame: FrameType, _event: str, _argument: object) -> Any:
            code = frame.f_code
            if code.co_filename not in ours:
                path = os.path.realpath(code.co_filename)
                inside = path.startswith(repo + os.sep) and Path(path).is_file()
                relative = os.path.relpath(path, repo)
                ours[code.co_filename] = self.lines.setdefault(relative, set()) if inside else None
            seen = ours[code.co_filename]
            if seen is None or calls[code] > TRACED:
                return None
            calls[code] += 1

            def went_on(inner: FrameType, _event: str, _argument: object) -> Any:
                seen.add(inner.f_lineno)
                return went_on

            seen.add(frame.f_lineno)
            return went_on

        sys.settrace(entered)

    def write(self) -> None:
        """Put it where the parent reads it."""
        sys.settrace(None)
        ran = {path: sorted(lines) for path, lines in self.lines.items()}
        self.path.write_text(json.dumps({"values": self.values, "steps": self.steps, "lines": ran}))


def _measured(name: str, value: object) -> Iterator[tuple[str, object]]:
    """Numbers that tell a value from another one; of texts, those that matter."""
    import numpy as np
    import torch

    if isinstance(value, torch.Tensor):
        value = value.detach().to(torch.float64 if value.is_floating_point() else value.dtype).numpy()
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        yield f"{name} shape", list(value.shape)
        yield name, _projected(np.asarray(value, np.float64).ravel())
    elif isinstance(value, Mapping):
        for key in [each for each in value if each not in ("idx", "rng")]:
            yield from _measured(f"{name} {key}", value[key])
    elif isinstance(value, (list, tuple)):
        for number, item in enumerate(value):
            yield from _measured(f"{name} {number}", item)
    elif isinstance(value, (bool, int, float, np.number)):
        yield name, [float(value)]
    elif isinstance(value, str) and set(name.split()[-2:]) & TEXTS:
        yield name, value


def _projected(numbers: Any) -> list[float]:
    """Mean, deviation, and a sum in which each place weighs otherwise."""
    import numpy as np

    numbers = np.nan_to_num(numbers, nan=12345.0, posinf=1e9, neginf=-1e9)
    weights = np.cos(np.arange(numbers.size)) / max(numbers.size, 1) ** 0.5
    return [float(numbers.mean()), float(numbers.std()), float(numbers @ weights)] if numbers.size else []


if __name__ == "__main__":
    main()
