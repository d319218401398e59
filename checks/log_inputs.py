"""Log: what went into the training: samples, weights, and the time that both took."""

import re
from collections import Counter
from collections.abc import Iterator
from statistics import fmean

from opv2v_doctor import Findings, Target, check, error, note, warning
from opv2v_doctor.facts.logs import judged_logs, logs_with_config
from opv2v_doctor.facts.logs.metric_runs import Run

WEIGHTS = ("model.pretrained", "model.model_config.pretrained_checkpoint_path")
WINDOW = 20  # steps that `time` and `data` are averages of: the first ones hold the start of the workers
FEWEST_LINES = 50
HALF = 0.5


@check("LOG010", tier="run")
def no_sample_was_replaced(target: Target) -> Findings:
    """No sample failed to load and was replaced by another.

    ## Why it matters
    The dataset draws another random sample after any exception: missing files become repetitions of those
    that are there, and only the first rank says so.

    ## How to fix
    Repair the files, or leave the samples out of the lists.
    """
    for log in judged_logs(target):
        failures = log.of("error")
        if failures:
            reasons = Counter(re.sub(r"^\S+ for \w+=.*?: ", "", failure.value) for failure in failures)
            reason, count = reasons.most_common(1)[0]
            yield warning(
                f"{log.counts['error']} samples failed to load and were replaced, first "
                f"{failures[0].value.partition(': ')[0]}; most often: {reason[:200]}",
                path=log.path,
                line=failures[0].line,
                hint="repair the data: opv2v-doctor check dataset",
                count=log.counts["error"],
                most_often=count,
            )


@check("LOG011", tier="run")
def pretrained_weights_were_loaded(target: Target) -> Findings:
    """The pretrained weights that the config names were loaded.

    ## Why it matters
    A fine-tuning that never loads its weights trains from random numbers, and nothing says so.

    ## How to fix
    `model.pretrained=FILE` or `model.model_config.pretrained_checkpoint_path=FILE`, and look for the line.
    """
    for log, config in logs_with_config(target):
        named = [key for key in WEIGHTS if config.get(key)]
        started = log.of("start")
        if named and started and not log.of("weights"):
            yield error(
                f"{named[0]} is {config.get(named[0])}, and no line says that it was loaded",
                path=log.path,
                line=started[-1].line,
                hint=f"see that the model reads {named[0]}",
            )
        for keys in log.of("keys"):
            missing = re.findall(r"'[\w.]+'", keys.value.partition("unexpected_keys")[0])
            if missing:
                yield note(
                    f"the weights lack {len(missing)} parameters or more, such as {missing[0]}",
                    path=log.path,
                    line=keys.line,
                )


@check("LOG012", tier="run")
def loading_keeps_up(target: Target) -> Findings:
    """Loading data takes less time than computing with it.

    ## Why it matters
    Where most of a step is spent waiting for data, the GPUs are idle for that share of their cost.

    ## How to fix
    `dataset.num_workers=MORE`, data on a local disk, smaller files.
    """
    for log in judged_logs(target):
        shares = [share for _, run in log.pieces for share in _shares(run)]
        if len(shares) < FEWEST_LINES:
            continue
        mean, worst = fmean(share for share, _ in shares), max(shares)
        said = (
            f"{100 * mean:.0f} % of a step is waiting for data, in {len(shares)} lines; "
            f"{100 * worst[0]:.0f} % at worst"
        )
        if mean > HALF:
            yield warning(said, path=log.path, line=worst[1], hint="dataset.num_workers=MORE", share=mean)
        else:
            yield note(said, path=log.path, line=worst[1])


def _shares(run: Run) -> Iterator[tuple[float, int]]:
    """The share of loading in each line whose averages do not hold the first step."""
    if run.phase != "train" or not {"time", "data"} <= set(run.names):
        return
    times, loads = (run.medians[:, run.names.index(name)] for name in ("time", "data"))
    for step, line, seconds, load in zip(run.step, run.line, times, loads, strict=True):
        if step >= WINDOW and seconds > 0:
            yield float(load / seconds), int(line)
