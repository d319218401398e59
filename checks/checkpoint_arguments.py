"""Checkpoint: the arguments that it was saved with, against the config of this launch."""

import re
import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from opv2v_doctor import (
    Blocked,
    Finding,
    Findings,
    Override,
    Skip,
    Target,
    Text,
    check,
    examined,
    note,
    warning,
)
from opv2v_doctor.facts.launch.config import config, place
from opv2v_doctor.facts.launch.datasets import mean_the_same
from opv2v_doctor.facts.launch.leaves import ABSENT, Difference
from opv2v_doctor.facts.launch.loaders import differ_in_length_only
from opv2v_doctor.facts.launch.schedule import steps_per_epoch
from opv2v_doctor.facts.past.checkpoints import Checkpoint, readable
from opv2v_doctor.facts.past.checkpoints.arguments import argument_differences, launch_config, launched_with
from opv2v_doctor.facts.past.checkpoints.counters import implied_steps_per_epoch
from opv2v_doctor.facts.past.checkpoints.unreadable import few
from opv2v_doctor.facts.past.runs import LAST, epoch_lengths

RESUME = "train_params.resume"
SECTIONS = ("train_params", "model", "loss", "dataset")
SET_BY_THE_TRAINING = (RESUME, "train_params.resume_ckpt", "train_params.start_epoch")
SHOWN = 3
LONGEST = 80  # characters of an override in a hint
WORD = re.compile(r"(?!(?:null|true|false|nan|inf)$)[A-Za-z_./][\w./:-]*", re.ASCII | re.IGNORECASE)


@check("CKP006", tier="run", requires=["CFG002"])
def stored_arguments_are_todays(target: Target) -> Findings:
    """A resume would continue the newest checkpoint with the config that it was trained with.

    ## Why it matters
    A resume takes weights and optimizer from the file and all else from today's config: another learning
    rate, loss or model then continues another training, without a word. A dataset length that keeps the steps
    per epoch on another number of GPUs is no other training.

    ## How to fix
    Give the run's own values as overrides, or start a new run where the change is meant.
    """
    stored = [c for c in readable(target) if c.args]
    if not stored:
        raise Skip("no checkpoint stores its arguments")
    newest = max(stored, key=lambda c: (c.path.name == LAST, *c.progress))
    known = _differences(target, newest)
    unequal = [each for each in known if each.before != each.after]
    found = [each for each in unequal if not mean_the_same(str(each.before), str(each.after))]
    resized = [each for each in found if _keeps_the_steps(target, newest, each)]
    changed = [each for each in found if each not in resized]
    yield examined(len(known), "config value")
    if resized:
        yield note(
            "{difference}: the steps per epoch are those of {name}",
            difference=resized[0].told,
            name=newest.path.name,
            differences=_values(resized),
        )
    if changed:
        yield _change(target, newest, changed)
    if not _resumes(target):
        raise Skip("this launch does not resume: {key} is false", at=place(target, RESUME), key=RESUME)


def _resumes(target: Target) -> bool:
    return bool(config(target).get(RESUME, True))


def _differences(target: Target, newest: Checkpoint) -> list[Difference]:
    """Every value of both configs that is known in both."""
    today = config(target)
    unknown = {*SET_BY_THE_TRAINING, *today.missing, *today.unresolved}
    found = (
        each for name in SECTIONS for each in argument_differences(newest.args or {}, today.values, name)
    )
    return [each for each in found if each.key not in unknown]


def _keeps_the_steps(target: Target, newest: Checkpoint, difference: Difference) -> bool:
    """Whether it is the length of the training set alone, and an epoch has as many steps as it had."""
    resized = differ_in_length_only(str(difference.before), str(difference.after))
    if difference.key != "dataset.train_dataset" or not resized:
        return False
    logged = {length.epoch: length.steps for length in epoch_lengths(newest.path.parent)}
    with suppress(Blocked):
        return logged.get(newest.epoch or 0, implied_steps_per_epoch(newest)) == steps_per_epoch(target)
    return False  # not known: another value then, as any other


def _change(target: Target, newest: Checkpoint, found: Sequence[Difference]) -> Finding:
    """A hazard where this launch would resume."""
    at = next((where for each in found if (where := place(target, each.key))), None)
    said = Text(
        "{n:value differs|values differ} from those of {name}: {shown}",
        n=len(found),
        name=newest.path.name,
        shown=few([each.told for each in found], SHOWN),
        differences=_values(found),
        overrides=[_override(each) for each in found],
    )
    if not _resumes(target):
        return note(said, at=at)
    return warning(said, at=at, hint=_remedy(newest, found, config(target).values))


def _remedy(newest: Checkpoint, found: Sequence[Difference], today: Mapping[str, Any]) -> Text:
    """The one override that gives the run's own value, else the keys, and the file with their values."""
    override = _override(found[0])
    if len(found) == 1 and len(override) <= LONGEST and shlex.quote(override) == override:
        return Text(
            "add {override} to continue that training, or start a new run in another hydra.run.dir",
            override=override,
        )
    launched = launched_with(newest.path) or {}
    own = {one.key: one.before for name in SECTIONS for one in argument_differences(launched, today, name)}
    is_there = all(own.get(each.key, ABSENT) == each.before for each in found)
    return Text(
        "to continue that training, copy {keys} from {file}"
        if is_there
        else "to continue that training, set {keys} to the values that {file} stores",
        keys=few([each.key for each in found], SHOWN),
        file=launch_config(newest.path) if is_there else newest.path,
    )


def _values(found: Sequence[Difference]) -> dict[str, Any]:
    return {each.key: {"then": each.before, "now": each.after} for each in found}


def _override(difference: Difference) -> Override:
    """What gives the checkpoint's own value."""
    if difference.before == ABSENT:
        return Override(f"~{difference.key}")
    add = "+" if difference.after == ABSENT else ""
    return Override(f"{add}{difference.key}={_value(difference.before)}")


def _value(value: Any) -> str:
    """A value in Hydra's grammar of overrides."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list):
        return f"[{','.join(map(_value, value))}]"
    if not isinstance(value, str) or WORD.fullmatch(value):
        return str(value)
    # a backslash counts only before a quote and at the end
    escaped = re.sub(r'(\\*)("|$)', lambda found: found[1] * 2 + (r"\"" if found[2] else ""), value)
    return f'"{escaped}"'
