"""The repository's inference script, run as a user would, in a folder of ours, and listened to."""

from __future__ import annotations

import builtins
import contextlib
import functools
import os
import random
import re
import runpy
import signal
import sys
from typing import Any, Callable, Iterator, TypedDict

from .comparison import ForwardComparison, comparison
from .config import function_of
from .following import Wanted, following
from .frames import CodePlace
from .model import Account, WeightPart, account_of, resolved_values
from .parity import Case, Subject, subject_of, threads_for
from .recording import InferCall, inferences_of, is_theirs, place, replacing
from .samples import SEED
from .script_files import Files, RefusedWrite, Writing, files_in, hearing_files, stand_in
from .tensor_likeness import words_of
from .weights import states_of

KEPT = (  # of what the model answered and `infer` returned, what a script may write
    "pts3d", "pts3d_cam", "depth_along_ray", "depth_z", "ray_directions", "conf", "mask",
    "non_ambiguous_mask", "camera_poses", "metric_scaling_factor", "img_no_norm",
)  # fmt: skip
PREFIXES = ("module.", "_orig_mod.", "model.")  # that wrappers put before the names of weights
ELSEWHERE = re.compile(  # what torch says of devices
    r"cuda|nvidia|\bhip\b|out of memory|not implemented for|\bgpu\b", re.IGNORECASE
)


class Enough(BaseException):
    """Ends the script: its time is over."""


class Load(Account):
    """What a call of `load_state_dict` found, and where it stands."""

    strict: bool
    place: CodePlace | None


class ReadFile(TypedDict):
    """A file of weights that the script read, or looked for."""

    path: str
    place: CodePlace | None
    there: bool
    state: str  # the key in the file, of the state that most of the model's weights are
    held: int  # numbers of the model that are in it


class WrittenFile(TypedDict):
    """A file that the script wrote: the line, the inferences before it, how often since the last one."""

    path: str
    place: CodePlace | None
    inferences: int
    times: int


class AnsweredView(TypedDict):
    """One view: its names, and files of the arrays that the model answered, and `infer` returned."""

    instance: str | None
    agent: str | None
    answered: dict[str, str]
    returned: dict[str, str]


class Ending(TypedDict):
    """How the script ended, why, and from which line.

    `finished`, `late`, `refused` (a write), `failed` (of itself) or `hindered` (by what is not here).
    """

    how: str
    why: str
    place: CodePlace | None


class Scripted(TypedDict):
    """What the script did."""

    path: str
    loads: list[Load]
    held: Account | None  # of the checkpoint's weights, those that the model holds as it infers
    configs: list[tuple[dict[str, Any], CodePlace | None]]  # of the models that it built
    inference: ForwardComparison | None
    read: list[ReadFile]
    written: list[WrittenFile]
    views: list[AnsweredView]
    ending: Ending


class Setting(TypedDict):
    """Where the script runs: our folder, what it must not write to, seconds from its first inference."""

    folder: str
    kept: list[str]
    seconds: float


class Heard:
    """What is heard of the script."""

    def __init__(self, models: str, kind: type[Any], checkpoint: str = "") -> None:
        self.models, self.kind, self.checkpoint = models, kind, os.path.realpath(checkpoint)
        self.loads: list[Load] = []
        self.configs: list[tuple[dict[str, Any], CodePlace | None]] = []
        self.held: Account | None = None
        self.read: list[ReadFile] = []


def script(path: str, arguments: list[str], case: Case, setting: Setting) -> Scripted:
    """What the script did, how that compares with training's forward, and the files that it wrote."""
    asked = subject_of(case)
    with threads_for(asked.model):
        trained = asked.trained
        heard = Heard(case["models"], type(asked.model), case["checkpoint"])
        files = Files(setting["folder"], setting["kept"])
        with hearing(heard):
            inference, ending = _run(path, arguments, asked, heard, files, setting)
    return {
        "path": path,
        "loads": heard.loads,
        "held": heard.held,
        "configs": heard.configs,
        "inference": comparison(os.path.basename(path), [trained], inference) if inference else None,
        "read": heard.read,
        "written": _written(files),
        "views": _views(asked, inference, setting["folder"] + ".truth") if inference else [],
        "ending": ending,
    }


def parting(
    path: str, arguments: list[str], case: Case, setting: Setting, wrong: list[list[str]]
) -> list[CodePlace | None]:
    """Of each wrong value, told as files of arrays in its forms: the line of the script that first has it."""
    import numpy

    asked = subject_of(case)
    wanted = [Wanted([numpy.load(file) for file in forms]) for forms in wrong]
    heard, files = (
        Heard(case["models"], type(asked.model), case["checkpoint"]),
        Files(setting["folder"], setting["kept"]),
    )
    with threads_for(asked.model), hearing(heard), following(wanted) as begin:
        _run(path, arguments, asked, heard, files, setting, begin)
    return [one.place for one in wanted]


def _run(
    path: str,
    arguments: list[str],
    asked: Subject,
    heard: Heard,
    files: Files,
    setting: Setting,
    after_first: Callable[[Any], None] = lambda _: None,
) -> tuple[InferCall | None, Ending]:
    """The script's first inference, None where it makes none; and how it ended."""
    import torch

    stand_in(os.path.join(setting["folder"], "cwd"))
    ending: Ending = {"how": "finished", "why": "", "place": None}
    with as_it_was(), inferences_of(heard.kind) as found, hearing_files(files) as stack:
        infer = heard.kind.infer
        plain = getattr(infer, "__wrapped__", infer)

        @functools.wraps(infer)
        def counted(self: Any, *rest: Any, **words: Any) -> Any:
            files.inferences += 1
            if files.inferences > 1:
                return plain(self, *rest, **words)
            heard.held = held_weights(self, asked)
            heard.read = _read_files(self, files, heard)
            files.attend(stack)
            predictions = infer(self, *rest, **words)
            stack.enter_context(within(setting["seconds"]))
            after_first(predictions)
            return predictions

        os.chdir(os.path.join(setting["folder"], "cwd"))
        torch.manual_seed(SEED)
        random.seed(SEED)
        sys.argv = [path, *arguments]
        sys.path.insert(0, os.path.dirname(path))
        try:
            with replacing(heard.kind, "infer", counted):
                runpy.run_path(path, run_name="__main__")
        except Enough:
            ending["how"] = "late"
        except RefusedWrite as refused:
            ending = {"how": "refused", "why": str(refused), "place": (files.refused or ("", None))[1]}
        except (Exception, SystemExit) as problem:
            code = problem.code if isinstance(problem, SystemExit) else 1
            if code not in (None, 0):
                exits = "%s exits with %s" % (os.path.basename(path), code)
                raised = "%s: %s" % (type(problem).__name__, " ".join(str(problem).split()))
                ending = {
                    "how": "failed" if is_its_own(problem) else "hindered",
                    "why": exits if isinstance(problem, SystemExit) else raised,
                    "place": _raised_at(problem),
                }
    return (found[0] if found else None), ending


def is_its_own(problem: BaseException) -> bool:
    """Whether an exception is the code's own, and not of a file, a package or a device that is not here."""
    without = (OSError, ImportError, MemoryError, NotImplementedError, SystemExit)
    return not isinstance(problem, without) and not ELSEWHERE.search(str(problem))


def _raised_at(problem: BaseException) -> CodePlace | None:
    """The innermost line of the repository or the script that an exception came through."""
    from .frames import frames_of

    theirs = [frame for frame in frames_of(problem) if is_theirs(frame["file"])]
    return {"path": theirs[-1]["file"], "line": theirs[-1]["line"]} if theirs else None


@contextlib.contextmanager
def within(seconds: float) -> Iterator[None]:
    """End the script when its time is over."""

    def late(*_: object) -> None:
        raise Enough

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _written(files: Files) -> list[WrittenFile]:
    """All that lies in the script's folder now, and what it wrote elsewhere."""
    paths = [os.path.realpath(path) for path in files_in(files.scratch)]
    order = {path: number for number, path in enumerate(files.written)}
    found: list[WrittenFile] = []
    for path in sorted(paths, key=lambda path: order.get(path, len(order))):
        one = files.written.get(path, Writing(None, files.inferences, 1))
        found.append({"path": path, "place": one.place, "inferences": one.inferences, "times": one.times})
    return found


def _views(asked: Subject, inference: InferCall, folder: str) -> list[AnsweredView]:
    """What the model answered and `infer` returned for each view, as files of arrays."""
    os.makedirs(folder, exist_ok=True)
    outputs = [output for call in inference.calls for output in call.outputs]
    views: list[AnsweredView] = []
    for number, view in enumerate(asked.batch):
        parts = {
            "answered": outputs[number : number + 1],
            "returned": inference.predictions[number : number + 1],
        }
        files = {
            kind: _arrays(one[0] if one else {}, os.path.join(folder, "%s_%d" % (kind, number)))
            for kind, one in parts.items()
        }
        views.append(
            {
                "instance": words_of(view.get("instance")),
                "agent": _name(view.get("agent_id")),
                "answered": files["answered"],
                "returned": files["returned"],
            }
        )
    return views


def _name(value: Any) -> str | None:
    """The name of an agent, of a batch of one."""
    while isinstance(value, (list, tuple)) and value:
        value = value[0]
    if hasattr(value, "flatten"):
        value = value.flatten()[0].item()
    return None if value is None else str(value)


def _arrays(values: dict[str, Any], prefix: str) -> dict[str, str]:
    import numpy

    files = {}
    for key in KEPT:
        value: Any = values.get(key)
        if hasattr(value, "detach") and value.numel():
            whole = value.detach().cpu()
            whole = whole.float() if whole.is_floating_point() else whole
            files[key] = "%s_%s.npy" % (prefix, key)
            numpy.save(files[key], whole[0].numpy())
    return files


def _read_files(model: Any, files: Files, heard: Heard) -> list[ReadFile]:
    """The files of weights that were read until now, and what of the model's weights is in each.

    Nothing is counted where the model holds the checkpoint's, and the checkpoint was read.
    """
    parts = heard.held["parts"].values() if heard.held else ()
    is_plain = all(part["loaded"] == part["elements"] for part in parts) and heard.checkpoint in files.read
    holds = {} if is_plain else model.state_dict()
    found: list[ReadFile] = []
    for path, at in files.read.items():
        state, held = _fullest(path, holds) if holds else ("", 0)
        found.append({"path": path, "place": at, "there": True, "state": state, "held": held})
    found += [
        {"path": path, "place": at, "there": False, "state": "", "held": 0}
        for path, at in files.absent.items()
    ]
    return found


def _fullest(path: str, holds: dict[str, Any]) -> tuple[str, int]:
    """Of the states in a file the one that most of a model's weights are, and how many numbers that is."""
    fullest = ("", 0)
    with contextlib.suppress(Exception):  # a file that is no checkpoint, or is gone
        for name, state in states_of(path).items():
            plain = {_plain(key): weight for key, weight in state.items()}
            held = sum(own.numel() for key, own in holds.items() if _is(own, plain.get(_plain(key))))
            if held > fullest[1]:
                fullest = (name, held)
    return fullest


def _plain(name: str) -> str:
    for prefix in PREFIXES:
        name = name[len(prefix) :] if name.startswith(prefix) else name
    return name


@contextlib.contextmanager
def hearing(heard: Heard) -> Iterator[None]:
    """Hear which config the script builds its model of, and what it loads into it, from where."""
    import torch

    name = heard.models.partition(":")[2]
    real_init, real_load = function_of(heard.models), torch.nn.Module.load_state_dict

    @functools.wraps(real_init)
    def init_model(model_str: Any, model_config: Any, *rest: Any, **words: Any) -> Any:
        heard.configs.append((root_of(model_config), place()))
        return real_init(model_str, model_config, *rest, **words)

    @functools.wraps(real_load)
    def load_state_dict(self: Any, state_dict: Any, *rest: Any, **words: Any) -> Any:
        if isinstance(self, heard.kind):
            strict = words.get("strict", rest[0] if rest else True)
            heard.loads.append(_load(self, state_dict, strict))
        return real_load(self, state_dict, *rest, **words)

    with contextlib.ExitStack() as stack:
        for owner in [one for one in list(sys.modules.values()) if _has(one, name, real_init)]:
            stack.enter_context(replacing(owner, name, init_model))
        stack.enter_context(replacing(torch.nn.Module, "load_state_dict", load_state_dict))
        yield


def _has(module: Any, name: str, value: object) -> bool:
    try:
        return vars(module).get(name) is value
    except TypeError:
        return False


def root_of(model_config: Any) -> dict[str, Any]:
    """The whole config that a model's part was taken from; the part alone where it is taken from none."""
    from omegaconf import OmegaConf

    whole = model_config._get_root() if OmegaConf.is_config(model_config) else OmegaConf.create(model_config)
    values = resolved_values(whole)
    return values if "model" in values else {"model": {"model_config": values}}


def _load(model: Any, state_dict: Any, strict: Any) -> Load:
    """What a load will find, counted before it happens."""
    wanted = model.state_dict()
    given = {name: weight for name, weight in state_dict.items() if hasattr(weight, "shape")}
    return {**account_of(wanted, given), "strict": bool(strict), "place": place()}


def held_weights(model: Any, asked: Subject) -> Account:
    """How many of the checkpoint's weights a model holds, by sub-module: whichever file it loaded."""
    account, holds = asked.account, model.state_dict()
    parts: dict[str, WeightPart] = {}
    unfilled = {name for part in account["parts"].values() for name in part["missing"]}
    unfilled.update(name for name, _, _ in account["reshaped"])
    for name, weight in asked.model.state_dict().items():
        if name not in unfilled:
            part = parts.setdefault(name.partition(".")[0], {"elements": 0, "loaded": 0, "missing": []})
            part["elements"] += weight.numel()
            part["loaded"] += weight.numel() if _is(holds.get(name), weight) else 0
    return {"parts": parts, "unexpected": [], "reshaped": []}


def _is(one: Any, weight: Any) -> bool:
    """Whether a tensor is that weight, in its own precision."""
    import torch

    if one is None or weight is None or one.shape != weight.shape:
        return False
    same = weight.to(device=one.device, dtype=one.dtype)
    return torch.equal(one, same) or torch.allclose(one, same, rtol=0, atol=0, equal_nan=True)


@contextlib.contextmanager
def as_it_was() -> Iterator[None]:
    """Undo what a script does to its process: arguments, paths, environment, printing, random state."""
    import torch

    argv, paths, env, folder, real_print = sys.argv, list(sys.path), dict(os.environ), os.getcwd(), print
    streams, state, seed = (sys.stdout, sys.stderr), torch.random.get_rng_state(), random.getstate()
    kind, main = torch.get_default_dtype(), sys.modules["__main__"]
    try:
        yield
    finally:
        sys.argv, sys.path[:], builtins.print = argv, paths, real_print
        sys.stdout, sys.stderr = streams
        os.environ.clear()
        os.environ.update(env)
        os.chdir(folder)
        torch.random.set_rng_state(state)
        torch.set_default_dtype(kind)
        random.setstate(seed)
        sys.modules["__main__"] = main
