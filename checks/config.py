"""Config: what the launch would get from Hydra, and what the training would make of it."""

import ast
import re
from pathlib import Path

from opv2v_doctor import Blocked, Findings, Place, Target, Text, check, error, examined, note, warning
from opv2v_doctor.facts.interpreter.probe import Raised
from opv2v_doctor.facts.launch.config import config, entry_point, place
from opv2v_doctor.facts.launch.leaves import leaves
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
    yield examined(sum(key.startswith(READ_BY_TRAINING) for key, _ in leaves(composed.values)), "value")


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
