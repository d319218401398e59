"""Config: which weights the training starts from."""

import re

from opv2v_doctor import Findings, Skip, Target, Text, check, error, examined, note, warning
from opv2v_doctor.facts.launch.config import config, place
from opv2v_doctor.facts.launch.leaves import leaves
from opv2v_doctor.facts.past.checkpoints.models import open_weights
from opv2v_doctor.facts.past.checkpoints.unreadable import CheckpointNotExamined, CheckpointUnreadable, remedy

START = "model.model_config.pretrained_checkpoint_path"  # what a fine-tuning starts from
ENCODER = Text("; only the encoder comes pretrained, from the torch hub")
WEIGHTS = re.compile(r"(^|\.)(pretrained|pretrained_checkpoint_path|.*_checkpoint_path|resume_ckpt)$")


@check("CFG004", tier="static", requires=["CFG002"])
def fine_tuning_names_its_weights(target: Target) -> Findings:
    """A fine-tuning names the pretrained weights that it starts from.

    ## Why it matters
    With every weights path at null, a "fine-tuning" trains from random numbers and says nothing.

    ## How to fix
    `model.model_config.pretrained_checkpoint_path=FILE`, or `fine_tuning = false` in `opv2v-doctor.toml`
    where training from scratch is meant.
    """
    if weights := _weights(target):
        yield note("weights: {weights}", weights=[f"{key}={path}" for path, key in weights.items()])
        yield examined(len(weights), "weights path")
    elif not config(target).has(START):
        raise Skip("the config has no key for weights: a model of this kind brings its own, if any")
    elif not _is_fine_tuning(target):
        raise Skip(
            "no config of this launch is named for a fine-tuning, and the settings do not say fine_tuning"
        )
    else:
        hub = config(target).get("model.encoder.uses_torch_hub")
        yield (warning if hub else error)(
            Text(
                "a fine-tuning without weights: every pretrained path of the model is empty{encoder}",
                encoder=ENCODER if hub else "",
            ),
            at=place(target, START),
            hint=Text("name the weights: {key}=FILE", key=START),
        )


@check("CFG011", tier="data", requires=["CFG002"])
def weights_are_there(target: Target) -> Findings:
    """Every file of weights that the model's config names is on this machine and holds weights.

    ## Why it matters
    A path that does not exist, or a file that is only a Git LFS pointer or half a download, stops the launch
    only after the data loaders are built, on every rank. On a machine that does not train, such as a CI
    runner, `--tier static` leaves this question out.

    ## How to fix
    Correct the path, or fetch the file to where it is looked for.
    """
    weights = {path: key for path, key in _weights(target).items() if "://" not in path}
    if not weights:
        raise Skip("the config names no local weights")
    for value, key in weights.items():
        path = target.repo / value
        try:
            with open_weights(path) as found:
                yield examined(1, "weights file")
                yield note("{weights} holds {n:tensor|tensors}", weights=value, n=len(found.tensors))
        except CheckpointNotExamined as reason:
            yield note("{weights} was not examined: {reason}", at=path, weights=value, reason=reason.reason)
        except CheckpointUnreadable as reason:
            yield error(
                "{key} names {weights}: {reason}",
                at=place(target, key),
                hint=remedy(path),
                key=key,
                weights=value,
                reason=reason.reason,
            )


def _weights(target: Target) -> dict[str, str]:
    """Path -> key of the weights in the model's config; of keys that repeat a path, the shortest."""
    values = list(leaves(config(target).get("model", {}), "model"))
    found = {str(path): key for key, path in values if WEIGHTS.search(key) and path}
    keys = {path: [key for key, value in values if str(value) == path] for path in found}
    return {path: min(keys[path], key=len) for path in found}


def _is_fine_tuning(target: Target) -> bool:
    """What the settings say, else whether a chosen config is named for it (`..._ft`, `finetune...`)."""
    if target.settings.fine_tuning is not None:
        return target.settings.fine_tuning
    chosen = " ".join(path.stem for path, _ in config(target).files)
    return re.search(r"(^|[_\s])(ft|finetun\w*)([_\s]|$)", chosen) is not None
