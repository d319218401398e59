"""Config: what the launch would get from Hydra, and what the training would make of it."""

import ast
import re
from collections import Counter
from pathlib import Path

from opv2v_doctor import Blocked, Findings, Skip, Target, check, error, note, warning
from opv2v_doctor.facts.config import config, entry_point, place, run_directory
from opv2v_doctor.facts.datasets import asked_eval_parts, eval_batch, eval_loaders, parts_of, train_parts
from opv2v_doctor.facts.probe import Raised
from opv2v_doctor.facts.runs import last_run
from opv2v_doctor.facts.source import binds

READ_BY_TRAINING = ("dataset.train_dataset", "dataset.test_dataset", "loss.", "train_params.", "model.")
START = "model.model_config.pretrained_checkpoint_path"  # what a fine-tuning starts from
WEIGHTS = re.compile(r"(^|\.)(pretrained|pretrained_checkpoint_path|.*_checkpoint_path|resume_ckpt)$")


@check("CFG001", tier="static")
def config_composes(target: Target) -> Findings:
    """The config composes with the overrides of this launch.

    ## Why it matters
    What Hydra refuses here, it refuses on every rank after the queue has let the job in.

    ## How to fix
    Follow Hydra's words: a misspelt group or option, a key that does not exist (add one with `+key=value`),
    or a yaml file that does not parse.
    """
    main = entry_point(target)
    try:
        composed = config(target)
    except Raised as raised:
        path, line = _yaml_place(raised.message) or (target.script, main.line)
        yield error(
            f"Hydra refuses it: {' '.join(raised.message.split())}",
            path=path,
            line=line,
            hint=f"correct the overrides ({' '.join(target.launch_overrides) or 'none given'}) or the file",
        )
        return
    yield note(
        f"{len(composed.files)} config files, {target.gpus} GPUs, "
        f"overrides: {' '.join(target.launch_overrides) or 'none'}",
        overrides=list(target.launch_overrides),
    )


def _yaml_place(message: str) -> tuple[Path, int] | None:
    """The file and line that a yaml error names; the last one is where the parser stood."""
    found = re.findall(r'in "([^"]+)", line (\d+)', message)
    return (Path(found[-1][0]), int(found[-1][1])) if found else None


@check("CFG002", tier="static", requires=["CFG001"])
def every_value_is_given(target: Target) -> Findings:
    """Every value that the training reads is given: none is still `???`.

    ## Why it matters
    Hydra composes a config with `???` in it; the training stops when it first reads the value. Until somebody
    gives it, nothing that depends on it can be examined, so this check blocks instead of guessing.

    ## How to fix
    Give the value as an override, in a machine config, or in `opv2v-doctor.toml` under `launch.overrides`.
    """
    composed = config(target)
    found = dict.fromkeys(composed.missing, "it is ???") | dict(composed.unresolved)
    open_values = {key: why for key, why in found.items() if not key.startswith("hydra.")}
    read = {key: why for key, why in open_values.items() if key.startswith(READ_BY_TRAINING)}
    for key, why in read.items():
        path, line = place(target, key)
        hint = f"give it: {_cause(key, why)}=VALUE"
        yield warning(f"{key} has no value: {why}", path=path, line=line, hint=hint)
    if read:
        key, why = next(iter(read.items()))
        raise Blocked(f"{len(read)} values are not given, first {key}: {why}")
    if open_values:
        names = list(open_values)
        yield note(
            f"{len(names)} values that this training does not read are open, such as {names[0]}", open=names
        )


def _cause(key: str, why: str) -> str:
    """The key that must be given: that of the interpolation where one leads to `???`."""
    found = re.search(r"interpolation[^:]*:? ?'?\$?\{?([\w./]+)\}?", why) or re.search(r"key '([\w.]+)'", why)
    return found[1] if found and "." in found[1] else key


@check("CFG003", tier="static", requires=["CFG002"])
def criteria_are_defined(target: Target) -> Findings:
    """The training criterion is given, and the repository defines every loss that it names.

    ## Why it matters
    Criteria are strings that the training evaluates: an empty one or a misspelt name stops it only after the
    model was built and the weights were loaded.

    ## How to fix
    Choose a loss config (`loss=...`), or correct the name.
    """
    for key in ("loss.train_criterion", "loss.test_criterion"):
        text = str(config(target).get(key, "") or "").strip()
        path, line = place(target, key)
        if not text and key == "loss.train_criterion":
            yield error(f"{key} is empty", path=path, line=line, hint="choose one: loss=overall_loss")
        for name in _called_names(text):
            if not binds(target, name):
                yield error(
                    f"{key} names {name}, which no module of this launch defines or imports",
                    path=path,
                    line=line,
                    hint=f"correct the name in {key}, or define class {name} among the losses",
                )


def _called_names(expression: str) -> list[str]:
    """The names that an expression calls; an expression that does not parse is its own name."""
    if not expression:
        return []
    try:
        tree = ast.parse(expression, mode="eval")
    except SyntaxError:
        return [expression[:60]]
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return list(dict.fromkeys(func.id for func in calls if isinstance(func, ast.Name)))


@check("CFG004", tier="static", requires=["CFG002"])
def fine_tuning_starts_from_weights(target: Target) -> Findings:
    """A fine-tuning starts from pretrained weights that exist.

    ## Why it matters
    With every weights path at null, a "fine-tuning" trains from random numbers and says nothing. A path that
    does not exist stops the launch only after the data loaders are built.

    ## How to fix
    `model.model_config.pretrained_checkpoint_path=FILE`, or `fine_tuning = false` in `opv2v-doctor.toml`
    where training from scratch is meant.
    """
    given = {k: v for k, v in _leaves(config(target).get("model", {}), "model") if WEIGHTS.search(k) and v}
    local = {key: str(path) for key, path in given.items() if "://" not in str(path)}
    for key, value in local.items():
        if not (target.repo / value).exists():
            path, line = place(target, key)
            yield error(
                f"{key} names weights that do not exist: {value}",
                path=path,
                line=line,
                hint=f"correct it: {key}=FILE",
            )
    if given:
        yield note(f"weights: {', '.join(f'{key}={path}' for key, path in given.items())}")
    elif not config(target).has(START):
        yield note("the config names no weights: a model of this kind brings its own, if it has any")
    elif _is_fine_tuning(target):
        path, line = place(target, START)
        hub = config(target).get("model.encoder.uses_torch_hub")
        judged = warning if hub else error
        yield judged(
            "a fine-tuning from no weights: every pretrained path of the model is empty"
            + (" (the encoder alone comes pretrained, from the torch hub)" if hub else ""),
            path=path,
            line=line,
            hint=f"{START}=FILE",
        )


def _leaves(node: object, prefix: str) -> list[tuple[str, object]]:
    if not isinstance(node, dict):
        return [(prefix, node)]
    return [leaf for key, value in node.items() for leaf in _leaves(value, f"{prefix}.{key}")]


def _is_fine_tuning(target: Target) -> bool:
    """What the settings say, else whether a chosen config is named for it (`..._ft`, `finetune...`)."""
    if target.settings.fine_tuning is not None:
        return target.settings.fine_tuning
    chosen = " ".join(path.stem for path, _ in config(target).files)
    return re.search(r"(^|[_\s])(ft|finetun\w*)([_\s]|$)", chosen) is not None


@check("CFG005", tier="static", requires=["CFG002"])
def eval_batch_is_not_empty(target: Target) -> Findings:
    """The evaluation batch size, as the repository computes it, is at least one.

    ## Why it matters
    The usual formula is `2 * (max_num_of_imgs_per_gpu // num_views)`: 0 as soon as a sample has more views
    than a GPU takes images, and then the evaluation loader cannot be built.

    ## How to fix
    Raise `train_params.max_num_of_imgs_per_gpu` to at least `dataset.num_views`.
    """
    batch = eval_batch(target)
    images = config(target).get("train_params.max_num_of_imgs_per_gpu")
    views = config(target).get("dataset.num_views")
    if batch.size < 1:
        yield error(
            f"eval batch size {batch.size}, needed is 1: {images} images a GPU, {views} views a sample",
            path=batch.place.path,
            line=batch.place.line,
            hint=f"train_params.max_num_of_imgs_per_gpu={views}",
            size=batch.size,
        )
    else:
        yield note(f"eval batch size {batch.size}", size=batch.size)


@check("CFG006", tier="static", requires=["CFG002"])
def every_eval_set_keeps_its_loader(target: Target) -> Findings:
    """Every evaluation set that the config asks for gets a loader of its own.

    ## Why it matters
    The training parses `test_dataset` into a dictionary. Two sets under one key, such as two splits of one
    class, leave one loader: the later replaces the earlier without a word, and "best" is chosen on that one.

    ## How to fix
    Make the key unique where the repository builds the dictionary (class and split), or ask for one set.
    """
    asked = asked_eval_parts(target)
    loaders = eval_loaders(target)
    kept = Counter(str(parts_of(expression)[0].split) for expression in loaders.kept.values())
    lost = Counter(str(part.split) for part in asked) - kept
    path, line = place(target, "dataset.test_dataset")
    where = f"{path.name}:{line}" if path else "an override"
    if lost:
        yield error(
            f"{len(asked)} evaluation sets asked for ({where}), {len(loaders.kept)} kept: "
            f"{', '.join(lost)} is replaced by {', '.join(kept)}, under the key "
            f"{', '.join(repr(key.strip()) for key in loaders.kept)}",
            path=loaders.place.path,
            line=loaders.place.line,
            hint="give each set a key of its own there, or ask for one set: dataset.test_dataset='...'",
            asked=[str(part.split) for part in asked],
            kept=list(kept),
        )
    else:
        yield note(
            f"{len(asked)} evaluation sets: {', '.join(str(part.split) for part in asked) or 'none'}",
            path=path,
            line=line,
        )


@check("CFG007", tier="static", requires=["CFG002"])
def eval_sets_are_not_trained_on(target: Target) -> Findings:
    """No evaluation set reads a split that is trained on.

    ## Why it matters
    A validation on the training split falls with the training loss, whatever the model has learned.

    ## How to fix
    Point the evaluation set at `validate` or `test`.
    """
    trained = {part.split for part in train_parts(target)} - {None}
    path, line = place(target, "dataset.test_dataset")
    for part in asked_eval_parts(target):
        if part.split in trained:
            yield error(
                f"the evaluation set {part.class_name} reads {part.split!r}, which is trained on",
                path=path,
                line=line,
                hint="let it read another split: dataset.opv2v.split_names.val=validate",
            )


@check("CFG008", tier="static", requires=["CFG002"])
def training_is_evaluated(target: Target) -> Findings:
    """The training is evaluated, so that a best checkpoint can be chosen.

    ## Why it matters
    Without an evaluation set, or with `eval_freq` at 0 or beyond the last epoch, no best checkpoint is ever
    written and nothing tells over-fitting.

    ## How to fix
    Ask for a set in `dataset.test_dataset`, and an `eval_freq` between 1 and `epochs`.
    """
    path, line = place(target, "dataset.test_dataset")
    if not asked_eval_parts(target):
        yield warning(
            "no evaluation set: checkpoint-best.pth will never be written",
            path=path,
            line=line,
            hint="dataset.test_dataset='+ 1_000 @ ${dataset.opv2v.val.dataset_str}'",
        )
    every, epochs = (config(target).get(f"train_params.{key}") for key in ("eval_freq", "epochs"))
    if every is not None and epochs is not None and not 0 < every <= epochs:
        path, line = place(target, "train_params.eval_freq")
        yield warning(
            f"eval_freq is {every} in a training of {epochs} epochs: it is never evaluated",
            path=path,
            line=line,
            hint="train_params.eval_freq=1",
        )


@check("CFG009", tier="static", requires=["CFG002"])
def resume_finds_its_checkpoint(target: Target) -> Findings:
    """A training that shall resume looks where its checkpoint is.

    ## Why it matters
    `resume: True` looks for `checkpoint-last.pth` in the run directory only. Where that is named for the time
    of the launch it is always new: the training starts again at epoch 0, without a word.

    ## How to fix
    `hydra.run.dir=RUN` with the directory of the run to go on with, or `train_params.resume=false`.
    """
    if not config(target).get("train_params.resume"):
        raise Skip("train_params.resume is off")
    folder = run_directory(target)
    path, line = place(target, "hydra.run.dir")
    if not _is_named_for_the_time(target):
        yield note(f"resumes from {folder} if it holds a checkpoint-last.pth", path=path, line=line)
    elif run := last_run(target):
        yield warning(
            f"resume is on, but the run directory is new at every launch ({folder}): "
            f"{run / 'checkpoint-last.pth'} will not be found",
            path=path,
            line=line,
            hint=f"hydra.run.dir={run}, or train_params.resume=false",
        )
    else:
        yield note("resume is on, and there is no earlier run to resume", path=path, line=line)


@check("CFG010", tier="static", requires=["CFG002"])
def all_ranks_share_the_run_directory(target: Target) -> Findings:
    """All ranks of the launch write into the same run directory.

    ## Why it matters
    Every rank composes the config for itself: a directory named for the second in which that happened is
    another one for a rank that started a second later, and logs and configs lie scattered.

    ## How to fix
    Give the directory of the launch explicitly: `hydra.run.dir=DIR`.
    """
    if target.gpus < 2:
        raise Skip("one process: there is nothing to share")
    if _is_named_for_the_time(target):
        path, line = place(target, "hydra.run.dir")
        yield warning(
            f"hydra.run.dir is made from the time at which each of the {target.gpus} ranks starts",
            path=path,
            line=line,
            hint="fix it for the launch: hydra.run.dir=DIR",
        )


def _is_named_for_the_time(target: Target) -> bool:
    return "<now:" in run_directory(target) and "%S" in run_directory(target)
