"""Checkpoint: the arguments that it was saved with, against the config of this launch."""

import re
import shlex
from typing import Any

from opv2v_doctor import Findings, Skip, Target, check, note, warning
from opv2v_doctor.facts.checkpoints import Checkpoint, readable
from opv2v_doctor.facts.checkpoints.arguments import ABSENT, differences
from opv2v_doctor.facts.checkpoints.counters import implied_steps_per_epoch
from opv2v_doctor.facts.config import config, place
from opv2v_doctor.facts.datasets import mean_the_same
from opv2v_doctor.facts.leaves import Difference
from opv2v_doctor.facts.loaders import only_resized
from opv2v_doctor.facts.runs import LAST, epoch_lengths
from opv2v_doctor.facts.schedule import steps_per_epoch

SECTIONS = ("train_params", "model", "loss", "dataset")
SET_BY_THE_TRAINING = ("train_params.resume", "train_params.resume_ckpt", "train_params.start_epoch")
SHOWN = 10  # the rest is in the evidence
WORD = re.compile(r"(?!(?:null|true|false|nan|inf)$)[A-Za-z_./][\w./:-]*", re.ASCII | re.IGNORECASE)


@check("CKP006", tier="run", requires=["CFG002"])
def stored_arguments_are_todays(target: Target) -> Findings:
    """A resume would not train the newest checkpoint on with another config than its own.

    ## Why it matters
    A resume takes weights and optimizer from the file and all else from today's config: another learning
    rate, loss or model then continues another training, without a word. A dataset length that keeps the steps
    an epoch on another number of GPUs is no other training.

    ## How to fix
    Give the run's own values as overrides, or start a new run where the change is meant.
    """
    stored = [c for c in readable(target) if c.args]
    if not stored:
        raise Skip("no checkpoint stores its arguments")
    newest = max(stored, key=lambda c: (c.path.name == LAST, *c.progress))
    found = _differences(target, newest)
    resized = [difference for difference in found if _keeps_the_steps(target, newest, difference)]
    changed = [difference for difference in found if difference not in resized]
    if resized:
        said = f"{resized[0]}: the steps an epoch are those of {newest.path.name}"
        yield note(said, differences=_evidence(resized))
    if changed:
        yield from _changed(target, newest, changed)


def _differences(target: Target, newest: Checkpoint) -> list[Difference]:
    today = config(target)
    unknown = {*SET_BY_THE_TRAINING, *today.missing, *today.unresolved}
    found = (entry for name in SECTIONS for entry in differences(newest.args or {}, today.values, name))
    return [
        difference
        for difference in found
        if difference.key not in unknown and not mean_the_same(str(difference.before), str(difference.after))
    ]


def _keeps_the_steps(target: Target, newest: Checkpoint, difference: Difference) -> bool:
    """Whether it is the length of the training set alone, and an epoch has as many steps as it had."""
    resized = only_resized(str(difference.before), str(difference.after))
    if difference.key != "dataset.train_dataset" or not resized:
        return False
    logged = {length.epoch: length.steps for length in epoch_lengths(newest.path.parent)}
    return logged.get(newest.epoch or 0, implied_steps_per_epoch(newest)) == steps_per_epoch(target)


def _changed(target: Target, newest: Checkpoint, found: list[Difference]) -> Findings:
    """A hazard where this launch would resume."""
    places = [place(target, difference.key) for difference in found[:SHOWN]]
    shown = "; ".join(
        f"{d} ({path.name}:{line})" if path else str(d)
        for d, (path, line) in zip(found, places, strict=False)
    )
    said = f"{len(found)} values are not those of {newest.path.name}: {shown}"
    path, line = places[0]
    if not config(target).get("train_params.resume", True):
        fresh = f"{said}; this launch does not resume it (train_params.resume)"
        yield note(fresh, path=path, line=line, differences=_evidence(found))
        return
    own = " ".join(_override(difference) for difference in found[:SHOWN])
    hint = f"to continue that training, give its own values: {own}"
    yield warning(said, path=path, line=line, hint=hint, differences=_evidence(found))


def _evidence(found: list[Difference]) -> dict[str, Any]:
    return {difference.key: {"then": difference.before, "now": difference.after} for difference in found}


def _override(difference: Difference) -> str:
    """What gives the checkpoint's own value, for a shell."""
    if difference.before == ABSENT:
        return shlex.quote(f"~{difference.key}")
    add = "+" if difference.after == ABSENT else ""
    return shlex.quote(f"{add}{difference.key}={_value(difference.before)}")


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
