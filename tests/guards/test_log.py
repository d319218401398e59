"""The guards of the family log, each on logs that are written line by line."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from ..log_text import CONFIG, LogText, config, masks
from .guard import Case, Guard, guarded, run_check


def written(write: Callable[[LogText], object], settings: Mapping[str, Any] | None = CONFIG) -> Case:
    """An old log, written by a function, beside a config or none."""

    def case(shop: Any, code: str) -> Any:
        log = LogText(shop.folder)
        write(log)
        return run_check(code, log.old(settings))

    return case


def raises(text: str) -> Callable[[LogText], object]:
    def write(log: LogText) -> None:
        log.launch()
        log.start()
        log.epoch(0)
        log.say("Traceback (most recent call last):")
        log.say('  File "/repo/mapanything/train/losses.py", line 78, in loss')
        log.say(text)

    return write


def says(*lines: str) -> Callable[[LogText], object]:
    """A healthy log, and lines at its end."""
    return lambda log: [log.healthy(), *map(log.say, lines)]


def epochs(*numbers: int, **words: Any) -> Callable[[LogText], object]:
    """A launch for each epoch."""

    def write(log: LogText) -> None:
        for number in numbers:
            log.launch()
            log.epoch(number, **words)

    return write


def one_epoch_on(log: LogText) -> None:
    """Another launch, of another length."""
    log.launch()
    log.epoch(0)
    log.launch()
    log.epoch(1, steps=900)


def two_at_once(log: LogText) -> None:
    one, other = LogText(log.folder), LogText(log.folder)
    one.epoch(0)
    other.epoch(0, steps=900)
    log.lines = [line for pair in zip(one.lines, other.lines, strict=False) for line in pair]


def launches(log: LogText) -> None:
    log.launch()
    log.start()


def never_saved_the_best(log: LogText) -> None:
    log.healthy()
    log.lines = [line for line in log.lines if "checkpoint-best" not in line]


def trains(
    losses: Callable[[int], float], tests: Callable[[int], float], **metrics: float
) -> Callable[[LogText], object]:
    def write(log: LogText) -> None:
        log.launch()
        for epoch in range(8):
            log.epoch(epoch, loss=losses(epoch), metrics=metrics)
            log.test(epoch + 1, tests(epoch))
        log.end()

    return write


def grows(log: LogText) -> None:
    log.healthy()
    for number, line in enumerate(log.lines):
        log.lines[number] = line.replace("max mem: 20514", f"max mem: {20514 + 50 * number}")


GOOD = written(LogText.healthy)
NOTHING = written(launches)
GUARDS = {
    "LOG001": Guard(
        bad=written(raises("NameError: name 'Cylinder' is not defined")), good=GOOD, empty=NOTHING
    ),
    "LOG002": Guard(bad=written(raises("ValueError: the mask is empty")), good=GOOD, empty=NOTHING),
    "LOG003": Guard(
        bad=written(says("Epoch: [0]  [ 100/1000]  eta: 0:03:44  lr: 0.0Epoch: [0]  [ 100/1000]")),
        good=GOOD,
        empty=NOTHING,
    ),
    "LOG004": Guard(bad=written(epochs(0)), good=GOOD, empty=written(lambda log: log.test(1, 3.0))),
    "LOG005": Guard(bad=written(one_epoch_on), good=GOOD, empty=NOTHING),
    "LOG006": Guard(bad=written(epochs(0, 1, 1)), good=GOOD, empty=written(epochs(0))),
    "LOG007": Guard(bad=written(two_at_once), good=GOOD, empty=NOTHING),
    "LOG008": Guard(
        bad=written(epochs_in_one_launch := lambda log: [log.launch(), *map(log.epoch, range(3))]),
        good=GOOD,
        empty=written(LogText.healthy, config(eval_freq=0)),
    ),
    "LOG009": Guard(bad=written(never_saved_the_best), good=GOOD, empty=written(epochs_in_one_launch)),
    "LOG010": Guard(
        bad=written(says("Error in Data.__getitem__ for scene_idx=12: cannot read a.png")),
        good=GOOD,
        empty=NOTHING,
    ),
    "LOG011": Guard(bad=NOTHING, good=GOOD, empty=written(launches, {"model": {"pretrained": None}})),
    "LOG012": Guard(bad=written(epochs(*range(6), data=0.8)), good=GOOD, empty=NOTHING),
    "LOG013": Guard(
        bad=written(epochs(0, rates=lambda epoch: 1e-3)), good=GOOD, empty=written(epochs(0), config(lr=None))
    ),
    "LOG014": Guard(bad=written(epochs(0, loss=float("nan"))), good=GOOD, empty=NOTHING),
    "LOG015": Guard(
        bad=written(trains(lambda epoch: 100 - 10 * epoch, lambda epoch: 44)),
        good=GOOD,
        empty=written(trains(lambda epoch: 100, lambda epoch: 44)),
    ),
    "LOG016": Guard(
        bad=written(trains(lambda epoch: 100 - 10 * epoch, lambda epoch: 44 - epoch, pose=3.25)),
        good=GOOD,
        empty=written(epochs(0)),
    ),
    "LOG017": Guard(bad=written(epochs(0, metrics=masks(2.5))), good=GOOD, empty=written(epochs(0))),
    "LOG018": Guard(
        bad=written(epochs(0, metrics=masks(0.1, 0.0))),
        good=GOOD,
        empty=written(epochs(0, metrics=masks(0.1, 0.3, None))),
    ),
    "LOG019": Guard(
        bad=written(epochs(0, metrics={"GeometryLoss_pose_trans_avg": -1.0})),
        good=GOOD,
        empty=written(LogText.healthy, None),
    ),
    "LOG020": Guard(bad=written(epochs(*range(2), rates=lambda epoch: 0.0)), good=GOOD, empty=NOTHING),
    "LOG021": Guard(
        bad=written(trains(lambda epoch: 9.0 * 3**epoch, lambda epoch: 9)), good=GOOD, empty=NOTHING
    ),
    "LOG022": Guard(
        bad=written(trains(lambda epoch: 9 - epoch, lambda epoch: 9, grad_norm=math.inf)),
        good=GOOD,
        empty=written(epochs(0)),
    ),
    "LOG023": Guard(
        bad=written(lambda log: [log.launch(), *(log.epoch(each, time=1 + each) for each in range(8))]),
        good=GOOD,
        empty=NOTHING,
    ),
    "LOG024": Guard(bad=written(grows), good=GOOD, empty=NOTHING),
}

test_log = guarded(GUARDS)
