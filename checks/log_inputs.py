"""Log: what went into the training: samples, weights, and the time that both took."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import PurePosixPath
from statistics import fmean

from opv2v_doctor import (
    Blocked,
    Findings,
    Place,
    Skip,
    Target,
    Text,
    Threshold,
    check,
    error,
    examined,
    note,
    warning,
)
from opv2v_doctor.facts.past.logs import config_of, each_log, judged_logs, launches_with_steps, text_logs
from opv2v_doctor.facts.past.logs.log_files import Log
from opv2v_doctor.facts.past.logs.metric_rows import MetricRows

WEIGHTS = ("model.pretrained", "model.model_config.pretrained_checkpoint_path")
WINDOW = Threshold(
    20, "steps", "the average of `time` and `data`: the first ones hold the start of the workers"
)
FEWEST_LOADED_LINES = Threshold(50, "metric lines", "as many as average out single slow steps")
HALF = Threshold(0.5, "of a step", "more than half of the time the GPUs wait", healthy=0.013, faulty=0.8)


@check("LOG010", tier="run")
def no_sample_was_replaced(target: Target) -> Findings:
    """No line of the log says that a sample failed to load and was replaced by another.

    ## Why it matters
    The dataset draws another random sample after any exception: missing files become repetitions of those
    that are there, and only the first rank says so.

    ## How to fix
    Repair the files, or leave the samples out of the lists.
    """
    yield from each_log(text_logs(target), _replacements)


def _replacements(log: Log) -> Findings:
    failures = log.of("error")
    if failures:
        reasons = Counter(re.sub(r"^\S+ for \w+=.*?: ", "", failure.value) for failure in failures)
        reason, count = reasons.most_common(1)[0]
        said = Text(
            "{n:sample|samples} failed to load and were replaced, first {first}; most often: {reason}",
            n=log.counts["error"],
            first=failures[0].value.partition(": ")[0],
            reason=reason[:200],
        )
        overcome = log.fate(failures[-1].line, failures[-1].line) == "overcome"
        yield (note if overcome else warning)(
            Text("{said}; a later launch replaced none", said=said) if overcome else said,
            hint=""
            if overcome
            else Text("repair the files that it names, or leave these samples out of the lists"),
            at=Place(log.path, failures[0].line),
            event=failures[0].line,
            count=log.counts["error"],
            most_often=count,
        )
    yield examined(launches_with_steps(log), "launch")


@check("LOG011", tier="run")
def pretrained_weights_were_loaded(target: Target) -> Findings:
    """The pretrained weights that the config names were loaded.

    ## Why it matters
    A fine-tuning that never loads its weights trains from random numbers, and nothing says so.

    ## How to fix
    `model.pretrained=FILE` or `model.model_config.pretrained_checkpoint_path=FILE`, and look for the line.
    """
    yield from each_log(text_logs(target), _weights)


def _weights(log: Log) -> Findings:
    config = config_of(log)
    named = next((key for key in WEIGHTS if config.get(key)), None)
    if named is None:
        raise Skip("the config names no pretrained weights ({keys})", keys=list(WEIGHTS), at=config.place)
    file = str(config.get(named))
    loaded = log.of("weights")
    if not loaded:
        started = log.of("start")
        if not started:
            raise Skip("no launch in {log} came to the start of a training", log=log.path)
        yield error(
            "{key} is {file}, and no line says that weights were loaded",
            hint="see that the model reads {key}",
            at=Place(log.path, started[-1].line),
            event=started[-1].line,
            key=named,
            file=file,
        )
        return
    if not any(PurePosixPath(one.value).name == PurePosixPath(file).name for one in loaded):
        raise Blocked(
            "{key} is {file}, and the log names other weights: {loaded}",
            hint="compare the two files",
            at=Place(log.path, loaded[-1].line),
            key=named,
            file=file,
            loaded=loaded[-1].value,
        )
    yield examined(1, "weights file")
    for keys in log.of("keys"):
        missing = re.findall(r"'[\w.]+'", keys.value.partition("unexpected_keys")[0])
        if missing:
            yield note(
                "the weights lack {n:parameter|parameters} or more, such as {first}",
                at=Place(log.path, keys.line),
                event=keys.line,
                n=len(missing),
                first=missing[0],
            )


@check("LOG012", tier="run")
def loading_keeps_up(target: Target) -> Findings:
    """Loading data takes less time than computing with it.

    ## Why it matters
    Where most of a step is spent waiting for data, the GPUs are idle for that share of their cost.

    ## How to fix
    `dataset.num_workers=MORE`, data on a local disk, smaller files.
    """
    yield from each_log(judged_logs(target), _loading)


def _loading(log: Log) -> Findings:
    timed = [run for _, run in log.pieces if run.phase == "train" and {"time", "data"} <= set(run.names)]
    shares = [share for run in timed for share in _shares(run)]
    if not timed:
        raise Skip("no `time` and `data` of steps in {log}", log=log.path)
    if len(shares) < FEWEST_LOADED_LINES:
        raise Skip(
            "{n:metric line|metric lines} of step {window:g} or later, at least {fewest:g} are needed: steps "
            "before it hold the start of the workers",
            n=len(shares),
            window=WINDOW,
            fewest=FEWEST_LOADED_LINES,
        )
    yield examined(len(shares), "metric line")
    mean, worst = fmean(share for share, _ in shares), max(shares)
    said = Text(
        "{mean:.0%} of a step is spent waiting for data, {worst:.0%} at worst",
        mean=mean,
        worst=worst[0],
    )
    if mean > HALF:
        yield warning(
            said,
            hint="raise dataset.num_workers, or move the data to a faster disk",
            at=Place(log.path, worst[1]),
            share=mean,
        )
    else:
        yield note(said, at=Place(log.path, worst[1]), share=mean)


def _shares(run: MetricRows) -> Iterator[tuple[float, int]]:
    """The share of loading in each line whose averages do not hold the first step."""
    times, loads = (run.medians[:, run.names.index(name)] for name in ("time", "data"))
    for step, line, seconds, load in zip(run.step, run.line, times, loads, strict=True):
        if step >= WINDOW and seconds > 0:
            yield float(load / seconds), int(line)
