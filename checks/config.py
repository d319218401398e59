"""Config: what the launch would get from Hydra, and what the training would make of it."""

import ast
import re
from pathlib import Path

from opv2v_doctor import Blocked, Findings, Target, check, error, note, warning
from opv2v_doctor.facts.config import config, entry_point, place
from opv2v_doctor.facts.parsing import parsed_expression
from opv2v_doctor.facts.probe import Raised
from opv2v_doctor.facts.source import binds, syntax_error

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
        message = f"the script is not Python: {refused.msg}"
        yield error(message, path=target.script, line=refused.lineno, hint="mend it: no rank can start")
        return
    main = entry_point(target)
    try:
        composed = config(target)
    except Raised as raised:
        path, line = _refused_at(main.config_dir, raised.message)
        yield error(
            f"Hydra refuses it: {' '.join(raised.message.split())}",
            path=path,
            line=line,
            hint=f"correct the overrides ({' '.join(target.launch_overrides) or 'none given'}) or the file",
        )
        return
    yield note(f"{len(composed.files)} config files", overrides=list(target.launch_overrides))


def _refused_at(folder: Path, message: str) -> tuple[Path | None, int | None]:
    """The file and line that Hydra's words lead to; none where it is an override that it refuses."""
    if marks := re.findall(r'in "([^"]+)", line (\d+)', message):  # the last is where the parser stood
        return Path(marks[-1][0]), int(marks[-1][1])
    if "codec can't decode" in message:
        return next((path for path in sorted(folder.rglob("*.yaml")) if not _is_utf8(path)), None), None
    named = re.search(r"In '([\w/.-]+)'", message)
    path = folder / f"{named[1]}.yaml" if named else None
    if path is None or not path.is_file():
        return None, None
    word = re.search(r"Could not (?:find|load) '(?:[^']*/)?([^'/]+)'", message)
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return path, next((n for n, text in enumerate(lines, 1) if word and word[1] in text), None)


def _is_utf8(path: Path) -> bool:
    try:
        path.read_text(encoding="utf-8")
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
        path, line = place(target, cause)
        yield warning(
            f"{cause} is not given, and the training reads it: {', '.join(keys)}",
            path=path,
            line=line,
            hint=f"give it: {cause}=VALUE",
            readers=keys,
        )
    if readers:
        raise Blocked(f"{_unsettled(target)}not given: {', '.join(readers)}")
    if names := list(open_values):
        yield note(
            f"{len(names)} values that this training does not read are open, such as {names[0]}", open=names
        )


def _unsettled(target: Target) -> str:
    """Why values may be missing: no settings, or none for this number of GPUs."""
    variants = [gpus for gpus, _ in target.settings.launch.variants]
    if variants and target.gpus not in variants:
        return f"the settings have no [launch.{target.gpus}], but {', '.join(map(str, variants))}; "
    if not target.launch_overrides:
        return "no overrides, and no settings (`opv2v-doctor init` writes some); "
    return ""


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
        if "(" not in text:
            continue
        try:
            parsed_expression(text)
        except SyntaxError as problem:
            path, line = place(target, key)
            yield error(
                f"{key} is not an expression: {problem.msg} at {text[: problem.offset or 60][-40:]!r}",
                path=path,
                line=line,
                hint=f"correct it: {key}='+ N @ ${{dataset.opv2v.train.dataset_str}}'",
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
        tree = parsed_expression(expression)
    except SyntaxError:
        return [expression[:60]]
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return list(dict.fromkeys(func.id for func in calls if isinstance(func, ast.Name)))
