"""The session: one training process from its first import to its last epoch, and what is recorded."""

from __future__ import annotations

import atexit
import os
import sys
import traceback
from typing import Any, Callable

from . import ranks
from .alike import Alike
from .calls import Call
from .checkpoints import Checkpoints
from .configs import leaves, plain
from .evaluation import CriterionAverages
from .gradients import Gradients
from .guard import Guard
from .largest import largest_batch
from .lines import Lines
from .loaders import KnownLoaders
from .loads import Loads
from .modes import Modes
from .parameters import Parameters
from .progress import SECONDS, Counters, beat
from .replicas import Replicas
from .samples import views_of
from .schedule import Schedule
from .start import Start
from .stepping import Steps
from .trace import Short
from .trials import Trials
from .updating import Updates, loss_in
from .warnings import Warnings

DEEPEST = 32  # calls of an exception: torch is some of them
SPOKEN = ("freez", "frozen", "trainable", "submodule_configs", "clip", "max_norm", "amp", "accum")


class Session:
    """Joins the parts of the watch to the functions of the training."""

    def __init__(
        self, settings: dict[str, Any], lines: Lines, guard: Guard, tell_missing: Callable[[], None]
    ) -> None:
        self.settings, self.lines, self.guard, self.tell_missing = settings, lines, guard, tell_missing
        self.progress = Counters()
        self.warn = Warnings(lines, self.progress, guard)
        self.parameters, self.loaders = Parameters(), KnownLoaders(lines)
        self.loads = Loads(lines, self.warn, guard)
        self.assembly = ranks.Assembly()
        self.start = Start(settings, lines, self.assembly, self.parameters)
        self.schedule = Schedule(self.progress, settings.get("steps_per_epoch"))
        self.gradients = Gradients(self.progress, self.parameters, self.warn)
        replicas = Replicas(self.assembly, self.parameters, self.progress, self.warn)
        parts = (self.parameters, self.gradients, replicas, self.warn)
        self.steps = Steps(settings, lines, self.progress, parts, guard)
        self.evaluation = CriterionAverages(settings, lines, self.progress, guard)
        written = Lines(os.path.join(settings["run"], "checkpoints.jsonl"))
        traced = bool(settings.get("trace"))
        self.checkpoints = Checkpoints(settings["run"], written, self.progress, self.warn, guard, traced)
        loop = (settings.get("names") or {}).get("train_epoch", ["", "train_one_epoch"])[1]
        self.updates = Updates(lines, self.progress, self.parameters, guard, loop)
        self.modes = Modes(lines, self.progress, guard)
        self.trials = Trials(settings, lines, self.progress, self.modes, guard)
        self.trials.heard = self.evaluation.heard
        self.alike = Alike()
        self.started = False
        self.last_epoch: int | None = None
        self.phase_before_saving = "start"

    def begin(self) -> None:
        """The process has begun: nothing of the training is imported yet."""
        self.lines.event("begin", pid=os.getpid(), script=sys.argv[0], arguments=sys.argv[1:])
        parent = os.getppid() if self.settings.get("ends_with_parent") else None
        beat(self.progress, self.lines, self.guard, self.settings.get("beat") or SECONDS, parent)
        atexit.register(self.guard, self.end)

    def end(self) -> None:
        """The process ends in its own time."""
        self.tell_missing()
        self.lines.event("end", **self.progress.place())

    def training_failed(self, _: Call, problem: BaseException) -> None:
        """What the training raised, and where."""
        if isinstance(problem, SystemExit) and not problem.code:
            return
        frames = ["{}:{}".format(f.filename, f.lineno) for f in traceback.extract_tb(problem.__traceback__)]
        error = "{}: {}".format(type(problem).__name__, problem)
        self.lines.event("raised", error=error, frames=frames[-DEEPEST:], **self.progress.place())

    def training_ended(self, _: Call, __: Any) -> None:
        """The training has done all it was asked for."""
        self.progress.enter("end")

    def before_epoch(self, call: Call) -> None:
        """Before the first one, compare the ranks; before each, verify its length and its number."""
        loader, epoch = call.get("data_loader"), call.get("epoch")
        if epoch is not None and epoch >= (self.settings.get("stop_before_epoch") or float("inf")):
            raise SystemExit(0)
        if not self.started:
            self.started = True
            self.guard(self.begin_training, call)
        self.start.verify_length(len(loader))
        self.guard(self.verify_number, epoch)
        if self.settings.get("limit"):
            more = self.largest if self.settings.get("largest") == epoch else None
            loader = Short(loader, self.steps_of(call.get("args")), more=more)
            call.set("data_loader", loader)
        self.progress.enter("train", epoch, len(loader))
        self.steps.begin_epoch(call.get("loss_scaler"))
        self.evaluation.begin(call.get("criterion"), thinned=True)

    def steps_of(self, config: Any) -> int:
        """Steps of a short epoch: where several make an update, two updates and what is left over.

        A number that was computed from that of another training is taken as it is.
        """
        params = getattr(config, "train_params", None)
        accumulated = int(getattr(params, "accum_iter", 1) or 1)
        limit = int(self.settings["limit"])
        return limit if accumulated == 1 or self.settings.get("exact") else 2 * accumulated + 1

    def largest(self, loader: Any) -> Any:
        """The largest batch, as the last one of an epoch."""
        listed = getattr(loader, "batch_sampler", None) or getattr(loader, "sampler", None)
        found = self.guard(largest_batch, loader) if listed is not None else None
        if found is None or found[0] is None:
            return None
        self.lines.event("largest", **found[1], **self.progress.place())
        if self.steps.trace is not None:
            self.steps.trace.kind = "largest step"
        return found[0]

    def begin_training(self, call: Call) -> None:
        """Everything is known for the first time."""
        config, optimizer = call.get("args"), call.get("optimizer")
        self.tell_missing()
        self.parameters.learn(call.get("model"), optimizer, call.get("param_groups_idx_to_name_map"))
        self.progress.optimizer = optimizer
        self.guard(self.gradients.attend, optimizer)
        self.guard(self.checkpoints.attend, sys.modules["torch"])
        self.guard(self.assembly.open)
        self.start.record(self.loaders.lengths(), config)
        if self.settings.get("trace"):
            self.guard(self.begin_comparing, call)
        self.guard(self.judge_start, len(call.get("data_loader")), getattr(config, "train_params", None))

    def begin_comparing(self, call: Call) -> None:
        """What only a training that is compared is asked for."""
        self.updates.attend(call.get("optimizer"))
        self.modes.attend(self.parameters.model)
        names = list(self.parameters.names.values())
        frozen = [name for parameter, name in self.parameters.names.items() if not parameter.requires_grad]
        self.lines.event(
            "parameters",
            names=names,
            frozen=frozen,
            left_out=self.parameters.left_out(),
            strange=self.parameters.strange(call.get("criterion")),
            held=len(self.parameters.trained()),
            decayed_by_bias=self.parameters.decayed_by_bias(),
            at=self.updates.made_at.get(id(call.get("optimizer")), ""),
            steps=len(call.get("data_loader")),
            config=spoken_of(call.get("args")),
        )

    def before_loss(self, call: Call) -> None:
        """A loss is about to be computed."""
        self.steps.before_loss(call)
        if self.settings.get("alike") and self.progress.phase == "train":
            self.alike.begin(batch_of(call))

    def loss_made(self, original: Callable[..., Any]) -> Callable[[Call, Any], None]:
        """What to do when this function has computed a loss."""

        def made(call: Call, result: Any) -> None:
            self.steps.after_loss(call, result)
            if not self.settings.get("trace"):
                return
            loss = loss_in(result)
            self.updates.after_loss(loss)
            self.trials.loss_made(original, call)
            first = (self.progress.epoch, self.progress.step) == (0, 0) and self.progress.phase == "train"
            if self.settings.get("perturb") and first:
                self.alike.begin(batch_of(call))
                self.guard(self.updates.perturb, original, call)
            self.alike.end()

        return made

    def judge_start(self, steps: int, train_params: Any) -> None:
        """What is odd, though it is the same in all ranks."""
        started = int(os.environ.get("WORLD_SIZE", 1))
        if ranks.world_size() != started:
            self.warn("ranks not joined", "{} processes were started, each trains alone".format(started))
        left_out = self.parameters.left_out()
        if left_out:
            self.warn("parameters left out", "in no group of the optimizer: {}".format(", ".join(left_out)))
        shortfall = self.schedule.shortfall(steps, train_params)
        if shortfall:
            self.warn("schedule and steps differ", shortfall)

    def verify_number(self, epoch: int) -> None:
        """Epochs come one after another."""
        if self.last_epoch is not None and epoch != self.last_epoch + 1:
            verb = "repeated" if epoch <= self.last_epoch else "skipped"
            self.warn("epoch " + verb, "epoch {} follows epoch {}".format(epoch, self.last_epoch))
        self.last_epoch = epoch

    def after_epoch(self, _: Call, result: Any) -> None:
        """What the epoch was like."""
        self.steps.end_epoch()
        self.guard(self.evaluation.tell_results, "train", result)
        self.guard(self.evaluation.tell, "train")
        self.progress.enter("between")

    def before_saving(self, _: Call) -> None:
        """A save may take long, and is no stall."""
        self.phase_before_saving = self.progress.phase
        self.progress.phase = "save"
        self.progress.moved()

    def after_saving(self, _: Call, __: Any) -> None:
        """Back to what was done before."""
        self.progress.phase = self.phase_before_saving
        self.progress.moved()

    def after_load(self, call: Call, _: Any) -> None:
        """The training has resumed, or has found nothing to resume from."""
        self.parameters.optimizer = call.get("optimizer")
        train_args = call.get("train_args")
        accumulated = int(getattr(train_args, "accum_iter", 1) or 1)
        self.checkpoints.after_load(train_args, self.parameters.optimizer_steps(), accumulated)


def spoken_of(config: Any) -> dict[str, Any]:
    """What the config says of what is compared, by its whole keys: empty where there is none."""
    if config is None:
        return {}
    return {
        key: value for key, value in leaves("", plain(config)) if any(word in key.lower() for word in SPOKEN)
    }


def batch_of(call: Call) -> Any:
    """The batch among the arguments: by its name, else what is made of views."""
    given = call.bound.arguments.values()
    return call.get("batch") or next((value for value in given if views_of(value)), None)
