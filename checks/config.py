"""Config: what the launch would get from Hydra, and what the training would make of it."""

from __future__ import annotations

import ast
import re
from collections import Counter
from difflib import get_close_matches
from pathlib import Path

from opv2v_doctor import (
    Blocked,
    Findings,
    Override,
    Place,
    Skip,
    Target,
    Text,
    check,
    error,
    examined,
    note,
    warning,
)
from opv2v_doctor.facts.interpreter.probe import Raised
from opv2v_doctor.facts.launch.config import config, entry_point, place, run_directory
from opv2v_doctor.facts.launch.datasets import asked_eval_parts, parts_of, read_the_same, train_parts
from opv2v_doctor.facts.launch.evaluation import evaluation
from opv2v_doctor.facts.launch.intents import intents, is_read, shadows
from opv2v_doctor.facts.launch.leaves import leaves
from opv2v_doctor.facts.launch.splits import FOLDERS
from opv2v_doctor.facts.past.checkpoints.archives import NoTable
from opv2v_doctor.facts.past.checkpoints.models import open_weights
from opv2v_doctor.facts.past.checkpoints.unreadable import CheckpointNotExamined, CheckpointUnreadable, remedy
from opv2v_doctor.facts.past.runs import last_run
from opv2v_doctor.facts.source.syntax import binds, parsed_expression, syntax_error
from opv2v_doctor.foreign_files import text_of

SHOWN = 5  # names in a sentence
READ_BY_TRAINING = ("dataset.train_dataset", "dataset.test_dataset", "loss.", "train_params.", "model.")


@check("CFG001", tier="static")
def config_composes(target: Target) -> Findings:
    """The config composes with the overrides of this launch.

    ## Why it matters
    What Hydra refuses here, it refuses on every rank after the queue has let the job in.

    ## How to fix
    Follow Hydra's words: a misspelt group or option, a key that does not exist (add one with `+key=value`),
    or a yaml file that does not parse.
    """
    if refused := syntax_error(target.script):
        yield error(
            "the script is not Python: {problem}",
            at=Place(target.script, refused.lineno),
            hint="correct the syntax",
            problem=refused.msg,
        )
        return
    main = entry_point(target)
    try:
        composed = config(target)
    except Raised as raised:
        at = _refused_at(main.config_dir, raised.message)
        yield error(
            "Hydra refuses the config: {message}",
            at=at,
            hint="correct the file at this line" if at else "correct the overrides: {overrides}",
            message=" ".join(raised.message.split()),
            overrides=" ".join(target.launch_overrides) or "none",
        )
        return
    yield examined(len(composed.files), "config file")


def _refused_at(folder: Path, message: str) -> Place | None:
    """The file and line that Hydra's words lead to; None where it is an override that it refuses."""
    if marks := re.findall(r'in "([^"]+)", line (\d+)', message):  # the last is where the parser stood
        return Place(Path(marks[-1][0]), int(marks[-1][1]))
    if "codec can't decode" in message:
        return next((Place(path) for path in sorted(folder.rglob("*.yaml")) if not _is_utf8(path)), None)
    named = re.search(r"In '([\w/.-]+)'", message)
    path = folder / f"{named[1]}.yaml" if named else None
    if path is None or not path.is_file():
        return None
    word = re.search(r"Could not (?:find|load) '(?:[^']*/)?([^'/]+)'", message)
    lines = text_of(path, "replace").splitlines()
    return Place(path, next((n for n, text in enumerate(lines, 1) if word and word[1] in text), None))


def _is_utf8(path: Path) -> bool:
    try:
        text_of(path)
    except UnicodeDecodeError:
        return False
    return True


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
    found = dict.fromkeys(composed.missing, "") | dict(composed.unresolved)
    open_values = {key: why for key, why in found.items() if not key.startswith("hydra.")}
    readers: dict[str, list[str]] = {}
    for key, why in open_values.items():
        if key.startswith(READ_BY_TRAINING):
            readers.setdefault(_cause(key, why), []).append(key)
    for cause, keys in readers.items():
        yield warning(
            "{key} is not given (???); the training reads it as {readers}",
            at=place(target, cause),
            hint=_way_to_give(target),
            key=cause,
            readers=keys,
        )
    if readers:
        raise Blocked(
            "no value for {keys}", hint=_way_to_give(target), keys=list(readers), key=next(iter(readers))
        )
    if names := list(open_values):
        yield note(
            "{n:value|values} that this training does not read are ???: {keys}", n=len(names), keys=names[:5]
        )
    read = sum(key.startswith(READ_BY_TRAINING) for key, _ in leaves(composed.values))
    if not read:
        raise Blocked(
            "the config has none of what MapAnything's training reads ({keys}): it says {own}",
            at=Place(target.script, entry_point(target).line),
            hint="what such a training writes can be examined: opv2v-doctor log FILE, checkpoint FILE",
            keys=[f"{key}*" if key.endswith(".") else key for key in READ_BY_TRAINING],
            own=[key for key in composed.values if key != "hydra"][:SHOWN],
        )
    yield examined(read, "value")


def _way_to_give(target: Target) -> Text:
    """What gives the values: overrides for this number of GPUs, settings, or a value by hand."""
    variants = [gpus for gpus, _ in target.settings.launch.variants]
    if variants and target.gpus not in variants:
        return Text(
            "add [launch.{gpus}] to opv2v-doctor.toml (it has {known}), or pass GROUP=NAME",
            gpus=target.gpus,
            known=variants,
        )
    if not target.launch_overrides:
        return Text(
            "pass the launch's overrides, or let `opv2v-doctor init` write them into opv2v-doctor.toml"
        )
    return Text("pass KEY=VALUE or a GROUP=NAME whose config gives it")


def _cause(key: str, why: str) -> str:
    """The key that must be given: the one at the end of the interpolations, in OmegaConf's words."""
    found = re.search(r"(?:Missing mandatory value: |Interpolation key ')([\w.]+)", why)
    return found[1] if found else key


@check("CFG012", tier="static", requires=["CFG002"])
def dataset_expressions_are_python(target: Target) -> Findings:
    """The dataset expressions of the config are expressions that Python can evaluate.

    ## Why it matters
    `dataset.train_dataset` is a string that the training evaluates as code. What does not parse stops it on
    every rank, when it builds its loaders.

    ## How to fix
    Balance the brackets and quotes: `+ 40_000 @ ${dataset.opv2v.train.dataset_str}`.
    """
    for key in ("dataset.train_dataset", "dataset.test_dataset"):
        text = str(config(target).get(key, "") or "").strip()
        yield examined("(" in text, "dataset expression")
        if "(" not in text:
            continue
        try:
            parsed_expression(text)
        except SyntaxError as problem:
            yield error(
                "{key} is not an expression: {problem} at {words!r}",
                at=place(target, key),
                hint="balance its brackets and quotes",
                key=key,
                problem=problem.msg,
                words=text[: problem.offset or 60][-40:],
            )


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
        if not text and key == "loss.train_criterion" and config(target).has(key):
            yield error(
                "{key} is empty",
                at=place(target, key),
                hint="choose a loss config: loss={choices}" if _losses(target) else "give {key}",
                key=key,
                choices=" | ".join(_losses(target)),
            )
        names = _called_names(text)
        yield examined(len(names), "name")
        for name in names:
            if not binds(target, name):
                yield error(
                    "{key} names {name}, which no module of this launch defines or imports",
                    at=place(target, key),
                    hint="correct the name, or define class {name} among the losses",
                    key=key,
                    name=name,
                )


@check("CFG015", tier="static", requires=["CFG003"])
def evaluation_measures_what_is_trained(target: Target) -> Findings:
    """Training's and evaluation's criterion sum the same losses, with the same weights and arguments.

    ## Why it matters
    The best checkpoint is chosen by the evaluation's loss: a term that it leaves out, or weighs otherwise, is
    trained and not looked at. What wraps a loss (confidence, the pixels that are left out) may well differ,
    and an argument that only one of the two gives is not judged.

    ## How to fix
    Write the same term into both expressions; change both where it is to weigh otherwise.
    """
    keys = ("loss.train_criterion", "loss.test_criterion")
    trained, measured = (_terms(str(config(target).get(key, "") or "")) for key in keys)
    if not (trained and measured):
        raise Skip("the config has no two criteria to compare")
    yield examined(len(trained.keys() & measured.keys()), "loss")
    for owner, given in trained.items():
        told = measured.get(owner)
        values = {**told[1], "*": told[0]} if told else {}
        for name, value in {**given[1], "*": given[0]}.items():
            if name in values and values[name] != value:
                yield warning(
                    "{owner} is measured with {name} {other}, and trained with {value}",
                    at=place(target, keys[1]),
                    hint="give {owner} the same {name} in {keys}",
                    owner=owner,
                    name=Text("the factor") if name == "*" else name,
                    value=value,
                    other=values[name],
                    keys=keys,
                )
        if given[2] and told is None and given[2].isdisjoint(measured):
            yield warning(
                "{owner} is a term of what is trained, and no part of what is measured",
                at=place(target, keys[1]),
                hint="add {owner} to {key}",
                owner=owner,
                key=keys[1],
            )


Owned = tuple[str, dict[str, str], frozenset[str]]


def _terms(expression: str) -> dict[str, Owned]:
    """Each class that an expression calls: its factor, its arguments, and all that is in a summand."""
    found: dict[str, Owned] = {}
    try:
        summands = _summands(parsed_expression(expression)) if expression else []
    except SyntaxError:
        return found
    for factor, summand in summands:
        inner = [node for node in ast.walk(summand) if isinstance(node, ast.Call)]
        names = frozenset(ast.unparse(call.func) for call in inner)
        for call in inner:
            words = {word.arg: ast.unparse(word.value) for word in call.keywords if word.arg}
            weighed = factor if call is summand else "1"
            found[ast.unparse(call.func)] = weighed, words, names if call is summand else frozenset()
    return found


def _summands(node: ast.expr) -> list[tuple[str, ast.expr]]:
    """The summands of an expression, each with its factor."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return [*_summands(node.left), *_summands(node.right)]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        number, other = (
            (node.left, node.right) if isinstance(node.right, ast.Call) else (node.right, node.left)
        )
        return [(ast.unparse(number), other)]
    return [("1", node)]


def _losses(target: Target) -> list[str]:
    """The loss configs that the repository has, besides the default one."""
    names = [path.stem for path in sorted((entry_point(target).config_dir / "loss").glob("*.yaml"))]
    return [name for name in names if name != "default"][:SHOWN]


def _called_names(expression: str) -> list[str]:
    """The names that an expression calls; an expression that does not parse is its own name."""
    if not expression:
        return []
    try:
        tree = parsed_expression(expression)
    except SyntaxError:
        return [expression[:60]]
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return list(dict.fromkeys(func.id for func in calls if isinstance(func, ast.Name)))


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
    unread: list[Blocked] = []
    for value, key in weights.items():
        path = target.repo / value
        try:
            with open_weights(path) as found:
                if not found.tensors:
                    raise CheckpointNotExamined(NoTable("it holds no table of tensors"))
                yield examined(1, "weights file")
                yield note("{weights} holds {n:tensor|tensors}", weights=value, n=len(found.tensors))
        except CheckpointNotExamined as reason:
            unread += [
                Blocked(
                    "{weights} was not examined: {reason}",
                    at=path,
                    hint=reason.hint,
                    weights=value,
                    reason=reason.reason,
                )
            ]
        except CheckpointUnreadable as reason:
            yield error(
                "{key} names {weights}: {reason}",
                at=place(target, key),
                hint=remedy(path),
                key=key,
                weights=value,
                reason=reason.reason,
            )
    if unread:
        raise unread[0]


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


@check("CFG005", tier="static", requires=["CFG002"])
def eval_batch_is_not_empty(target: Target) -> Findings:
    """The evaluation batch size, as the repository computes it, is at least one.

    ## Why it matters
    The usual formula is `2 * (max_num_of_imgs_per_gpu // num_views)`: 0 as soon as a sample has more views
    than a GPU takes images, and then the evaluation loader cannot be built.

    ## How to fix
    Raise `train_params.max_num_of_imgs_per_gpu` to at least `dataset.num_views`.
    """
    built = evaluation(target)
    if built.batch is None:
        raise Skip("no evaluation loader is built")
    images = config(target).get("train_params.max_num_of_imgs_per_gpu")
    views = config(target).get("dataset.num_views")
    yield examined(1, "batch size")
    if built.batch < 1:
        yield error(
            "the evaluation batch size is {size}, expected at least 1: {images} images per GPU, "
            "{views} views per sample",
            at=built.formula,
            hint="raise it: {override}",
            override=Override(f"train_params.max_num_of_imgs_per_gpu={views}"),
            size=built.batch,
            images=images,
            views=views,
        )
    else:
        yield note("evaluation batch size {size}", size=built.batch)


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
    loaders = evaluation(target)
    kept = Counter(str(parts_of(expression)[0].split) for expression in loaders.kept.values())
    lost = Counter(str(part.split) for part in asked) - kept
    yield examined(len(asked), "evaluation set")
    at = place(target, "dataset.test_dataset")
    where = f"{at.path.name}:{at.line}" if at else Text("an override")
    if lost:
        yield error(
            "{asked_for:evaluation set|evaluation sets} asked for ({where}), {left} kept: {lost} is replaced "
            "by {kept}, under the key {keys}",
            at=loaders.place,
            hint="give each set a key of its own there, or ask for one set only in dataset.test_dataset",
            asked_for=len(asked),
            where=where,
            left=len(loaders.kept),
            lost=list(lost),
            kept=list(kept),
            keys=[repr(key.strip()) for key in loaders.kept],
            asked=[str(part.split) for part in asked],
        )
    elif asked:
        yield note("evaluation sets: {splits}", at=at, splits=[str(part.split) for part in asked])


@check("CFG007", tier="static", requires=["CFG002"])
def eval_sets_are_not_trained_on(target: Target) -> Findings:
    """No evaluation set reads what is trained on: the same split and scenarios below the same root.

    ## Why it matters
    A validation on the training split falls with the training loss, whatever the model has learned.

    ## How to fix
    Point the evaluation set at `validate` or `test`.
    """
    trained, asked = train_parts(target), asked_eval_parts(target)
    yield examined(len(asked), "evaluation set")
    for part in asked:
        if any(read_the_same(part, other) for other in trained):
            is_test_wrong = part.split is None or part.split in FOLDERS["train"]
            wrong, own = ("test", "val=validate") if is_test_wrong else ("train", "train=train")
            key, _, name = f"dataset.opv2v.split_names.{own}".partition("=")
            yield error(
                "the evaluation set {name} reads the split {split!r}, which is trained on"
                if part.split
                else "the evaluation set {name} reads what is trained on",
                at=place(target, f"dataset.{wrong}_dataset"),
                hint="give dataset.{wrong}_dataset a split of its own: {override}"
                if config(target).has(key)
                and config(target).get(key) != name  # else that is not where it is said
                else "give dataset.{wrong}_dataset a split of its own",
                name=part.class_name,
                split=part.split,
                wrong=wrong,
                override=Override(f"dataset.opv2v.split_names.{own}"),
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
    if not asked_eval_parts(target):
        yield warning(
            "no evaluation set: no checkpoint-best.pth will be written",
            at=place(target, "dataset.test_dataset"),
            hint="add one to dataset.test_dataset",
        )
    every, epochs = (config(target).number(f"train_params.{key}") for key in ("eval_freq", "epochs"))
    yield examined(sum(value is not None for value in (every, epochs)), "value")
    if every is not None and epochs is not None and not 0 < every <= epochs:
        yield warning(
            "eval_freq is {every:g} in a training of {epochs:g} epochs: it is never evaluated",
            at=place(target, "train_params.eval_freq"),
            hint="evaluate after every epoch: {override}",
            override=Override("train_params.eval_freq=1"),
            every=every,
            epochs=epochs,
        )


@check("CFG009", tier="static", requires=["CFG002"])
def resume_finds_its_checkpoint(target: Target) -> Findings:
    """A resume looks where its checkpoint is.

    ## Why it matters
    `resume: True` looks for `checkpoint-last.pth` in the run directory only. Where that is named for the time
    of the launch it is always new: the training starts again at epoch 0, without a word.

    ## How to fix
    `hydra.run.dir=RUN` with the directory of the run to go on with, or `train_params.resume=false`.
    """
    if not config(target).get("train_params.resume"):
        raise Skip("train_params.resume is off")
    folder = run_directory(target)
    at, run = place(target, "hydra.run.dir"), last_run(target)
    if run is None:
        raise Skip("there is no earlier run to resume")
    yield examined(1, "run directory")
    if not _is_named_for_the_time(target):
        yield note("a resume looks for {folder}/checkpoint-last.pth", at=at, folder=folder)
    else:
        yield warning(
            "resume is on, but every launch gets a new run directory ({folder}): {checkpoint} will not be "
            "found",
            at=at,
            hint="name the run to resume: {override}",
            override=Override(f"hydra.run.dir={run}"),
            folder=folder,
            checkpoint=run / "checkpoint-last.pth",
        )


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
    yield examined(1, "run directory")
    if _is_named_for_the_time(target):
        yield warning(
            "hydra.run.dir ({folder}) holds the time at which each of the {gpus} ranks starts",
            at=place(target, "hydra.run.dir"),
            hint="give one directory for the launch: hydra.run.dir=DIR",
            folder=run_directory(target),
            gpus=target.gpus,
        )


def _is_named_for_the_time(target: Target) -> bool:
    return "<now:" in run_directory(target) and "%S" in run_directory(target)


@check("CFG013", tier="static", requires=["CFG002"])
def every_override_is_read(target: Target) -> Findings:
    """What this launch sets is read: by the code that it imports, or by a value that is.

    ## Why it matters
    Hydra takes every key that exists, and with a plus in front every other one. An override of a key that
    nothing reads, or a key of a config that has another name than the code asks for, changes nothing, and
    the run is remembered as the one that had it.

    ## How to fix
    Set the key that the code reads; see in which place a value of the same meaning is asked for.
    """
    found = intents(target)
    if not found:
        raise Skip("this launch sets no single key: it only chooses configs that others have all keys of")
    yield examined(len(found), "key")
    for intent in found:
        if not intent.is_read:
            yield warning(
                "{override}: no module of this launch, and no value that it reads, asks for {key}"
                if intent.override
                else "{key} is set, and no module of this launch, and no value that it reads, asks for it",
                at=intent.at,
                hint="set the key that is read instead: {alike}"
                if _alike(target, intent.key)
                else "leave it out, or let the code read it",
                override=intent.override,
                key=intent.key,
                alike=_alike(target, intent.key),
            )


def _alike(target: Target, key: str) -> list[str]:
    """The keys that are read and are called nearly so."""
    keys = [name for name, _ in leaves({k: v for k, v in config(target).values.items() if k != "hydra"})]
    last = key.rpartition(".")[2]
    names = {name: name.rpartition(".")[2] for name in keys if name != key and is_read(target, name)}
    near = get_close_matches(last, list(names.values()), n=2, cutoff=0.8)
    return [name for name, own in names.items() if own in near][:2]


@check("CFG014", tier="static", requires=["CFG002"])
def no_literal_shadows_the_config(target: Target) -> Findings:
    """No call of the training gives a number where the config has a key of that name with another value.

    ## Why it matters
    `max_num_of_imgs_per_gpu=4` in a call wins over the config: every run is stamped and remembered with a
    value that it did not have.

    ## How to fix
    Pass the config's key in the call, or take the key out of the config.
    """
    found = shadows(target)
    yield examined(found.calls, "call")
    for shadow in found.shadows:
        yield warning(
            "{key} is {configured}; this line gives {parameter}={literal} all the same",
            hint="let that line take {key}",
            at=shadow.place,
            key=shadow.key,
            configured=shadow.configured,
            parameter=shadow.parameter,
            literal=shadow.literal,
        )
