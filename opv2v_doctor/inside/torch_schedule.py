"""Questions about a scheduler of torch: made by the training's lines, and stepped as the training does."""

from __future__ import annotations

from typing import Any, TypedDict

from .config import Lines, Names, hydra_config
from .schedule import Curves, Loader, points

MOST = 1_000_000  # steps that are walked


class SchedulerStep(TypedDict):
    """A call that steps a scheduler: by which name, after each "step" or "epoch", and if what holds."""

    name: str
    each: str
    conditions: list[str]


class Scheduled(Curves):
    """The rates, the class of the scheduler, and what steps it."""

    made: str
    stepped: list[str]


def scheduled(
    config_dir: str,
    config_name: str,
    overrides: list[str],
    lines: Lines,
    variable: str,
    optimizer: str,
    sized: list[str],
    calls: list[SchedulerStep],
    rates: list[float],
    epochs: int,
    steps: int,
    samples: int,
    accumulated: int,
) -> Scheduled:
    """The rate of each group at the same points, as the launch's scheduler sets it."""
    import torch

    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": rate} for rate in rates]
    stand_in = torch.optim.SGD(groups)
    names = Names({**dict.fromkeys(sized, Loader(steps, samples)), optimizer: stand_in})
    names[lines["parameter"]] = hydra_config(config_dir, config_name, tuple(overrides))[0]
    names.module_name = lines["module"]
    exec(compile(lines["source"], "<string>", "exec", dont_inherit=True), names)
    scheduler = names.get(variable)
    found: Scheduled = {
        "epochs": [],
        "rates": [],
        "problem": "",
        "resumed": [],
        "made": type(scheduler).__name__ if scheduler is not None else "",
        "stepped": [],
    }
    taken = [call for call in calls if scheduler is not None and holds(call, names, scheduler)]
    found["stepped"] = sorted({call["each"] for call in taken})
    if steps * epochs > MOST and "step" in found["stepped"]:
        found["problem"] = "it is stepped more than %d times" % MOST
        found["stepped"] = []
    try:
        walk(found, stand_in, scheduler, epochs, steps, accumulated)
    except TypeError as problem:  # it wants what only a training can tell
        found["problem"] = "%s: %s" % (found["made"], problem)
        found["epochs"], found["rates"] = [0.0], [(rate,) for rate in rates]
    return found


def holds(call: SchedulerStep, names: Names, scheduler: Any) -> bool:
    """Whether a call is made, as far as its conditions do not ask for what only a running training has."""
    names[call["name"]] = scheduler
    return all(may_hold(condition, names) for condition in call["conditions"])


def may_hold(condition: str, names: Names) -> bool:
    try:
        return bool(eval(condition, names))
    except Exception:
        return True


def walk(found: Scheduled, optimizer: Any, scheduler: Any, epochs: int, steps: int, accumulated: int) -> None:
    """Make all steps of the training, and note the rates at some of them."""
    wanted = set(points(epochs, steps, accumulated, 0.0))
    rates: list[tuple[float, ...]] = []
    for epoch in range(epochs):
        for step in range(0, steps, accumulated):
            if (epoch, step) in wanted:
                found["epochs"].append(epoch + step / steps)
                rates.append(tuple(float(group["lr"]) for group in optimizer.param_groups))
            if "step" in found["stepped"]:
                optimizer.step()
                scheduler.step()
        if "epoch" in found["stepped"]:
            optimizer.step()
            scheduler.step()
    found["rates"] = list(zip(*rates))
