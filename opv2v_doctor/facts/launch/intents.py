"""Intents: the overrides of a launch, and what of the code and of the rest of the config reads them."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path
from typing import Any

from opv2v_doctor.facts.launch.config import config, entry_point, place
from opv2v_doctor.facts.launch.leaves import leaves
from opv2v_doctor.facts.source.names import parameters_of
from opv2v_doctor.facts.source.syntax import modules, nodes, syntax
from opv2v_doctor.foreign_files import text_of
from opv2v_doctor.state import fact, of_file
from opv2v_doctor.target import Target
from opv2v_doctor.text import Place

FOR_MANY = ("dataset", "machine")  # groups whose configs also list what only other launches read
ALIKE = 0.85  # of two names' letters: one of them may be misspelt
REFERENCE = re.compile(r"\$\{(\.*[\w.\-/@\[\]]+)\}")  # ${a.b}, ${.b}, ${..b}; also within ${resolver:...}
WHOLE = (
    "items",
    "keys",
    "values",
    "to_container",
    "instantiate",
    "to_yaml",
    "to_object",
    "dict",
    "vars",
    "merge",
)


@dataclass(frozen=True, kw_only=True)
class Intent:
    """What gives one key a value for this launch, and whether anything reads that."""

    key: str
    override: str  # empty where a config that was chosen gives it
    is_read: bool
    at: Place | None  # the line that gives it; None for an override of the command line


@dataclass(frozen=True, kw_only=True)
class Reads:
    """What the modules of a launch ask of their configs."""

    chains: frozenset[tuple[str, str]]  # (receiver's last name, attribute or key), the receiver may be ""
    whole: frozenset[
        tuple[str, str]
    ]  # chains that end there: the node is handed on as it is, or gone through
    words: frozenset[str]  # every identifier and every word of a string
    dynamic: frozenset[tuple[str, str]]  # chains to nodes of which a key is asked by a variable


@fact
def intents(target: Target) -> tuple[Intent, ...]:
    """The overrides of single keys, in their order, and the keys of chosen configs that no default one has.

    An override that chooses a config of a group is none.
    """
    found = []
    for override in target.launch_overrides:
        name, equals, _ = override.partition("=")
        key = name.lstrip("+").partition("@")[0]
        if not equals or name.startswith("~") or key.startswith("hydra.") or "/" in key:
            continue
        if _is_key(target, key):
            at = _given_at(target, override)
            found.append(Intent(key=key, override=override, is_read=is_read(target, key), at=at))
    return (*found, *_own_keys(target))


def _own_keys(target: Target) -> Iterator[Intent]:
    """The keys that a chosen config alone has: what neither the primary config nor a default one knows."""
    main, files = entry_point(target), config(target).files
    homes: dict[str, list[tuple[Path, str]]] = {}
    for path, package in files:
        for key, _ in raw_leaves(path):
            homes.setdefault(f"{package}.{key}" if package else key, []).append((path, key))
    for key, given in homes.items():
        path, inner = given[0]
        if len(given) > 1 or path.stem in (main.config_name, "default") or not _has_default(path):
            continue
        node, _, name = key.rpartition(".")
        others = [other for other in homes if other.rpartition(".")[0] == node and other != key]
        read = [other for other in others if is_read(target, other)]
        if not read:
            continue  # nothing of that node is read: it belongs to another launch
        names = [other.rpartition(".")[2] for other in read]
        if node.partition(".")[0] in FOR_MANY and not get_close_matches(name, names, cutoff=ALIKE):
            continue
        if not inner.startswith(("defaults", "hydra")) and config(target).has(key):
            yield Intent(key=key, override="", is_read=is_read(target, key), at=place(target, key))


def _has_default(path: Path) -> bool:
    """Whether a config beside this one says which keys there are."""
    return path.with_name("default.yaml").is_file()


def _is_key(target: Target, key: str) -> bool:
    """Whether the composed config has the key, and it is no group whose config is chosen."""
    return config(target).has(key) and not any(key == package for _, package in config(target).files)


def _given_at(target: Target, override: str) -> Place | None:
    """The line of the settings that holds the override, None where the command line gives it."""
    path = target.settings_file or target.repo / "opv2v-doctor.toml"
    if override in target.overrides or not path.is_file():
        return None
    lines = text_of(path, "replace").splitlines()
    return next((Place(path, n) for n, line in enumerate(lines, 1) if override in line), None)


@fact
def is_read(target: Target, key: str) -> bool:
    """Whether the source that the launch imports, or a value of the config that is read, asks for the key."""
    return _is_read(target, key, frozenset())


def _is_read(target: Target, key: str, above: frozenset[str]) -> bool:
    if _asked_by_source(target, key):
        return True
    users = {user for user, named in references(target).items() if _covers(named, key)} - above - {key}
    return any(_is_read(target, user, above | {key, *users}) for user in users)


def _covers(named: frozenset[str], key: str) -> bool:
    """Whether one of the names is the key, or a node that it is in or that is in it."""
    return any(name == key or key.startswith(f"{name}.") or name.startswith(f"{key}.") for name in named)


def _asked_by_source(target: Target, key: str) -> bool:
    """Whether some code reads the key: by its chain of names, or with a node that it takes whole."""
    *parents, last = key.split(".")
    asked = reads(target)
    above = parents[-1] if parents else ""
    nodes_of_config = _nodes_of_config(target) - {above}
    for receiver, name in asked.chains:
        if name == last and receiver != "self" and receiver not in nodes_of_config:
            return True
    if _reaches(target, parents, asked.dynamic):
        return True
    if _reaches(target, parents, asked.whole):
        return last in asked.words or not _is_below(config(target).values, key)
    inner = config(target).get(key)
    return isinstance(inner, Mapping) and any(_asked_by_source(target, f"{key}.{name}") for name in inner)


def _reaches(target: Target, parents: Sequence[str], chains: Collection[tuple[str, str]]) -> bool:
    """Whether one of the chains leads to a node above a key.

    A group is asked of the config itself; what lies deeper, of anything but an object's own attributes.
    """
    for depth, node in enumerate(parents):
        for receiver, name in chains:
            if name == node and (
                receiver in _roots(target) if depth == 0 else receiver not in ("self", "cls")
            ):
                return True
    return False


@fact
def _roots(target: Target) -> frozenset[str]:
    """The names of the whole config: those that are asked for several of its groups."""
    groups = {name for name, node in config(target).values.items() if isinstance(node, Mapping)}
    asked: dict[str, set[str]] = {}
    for receiver, name in reads(target).chains:
        if name in groups:
            asked.setdefault(receiver, set()).add(name)
    return frozenset(name for name, some in asked.items() if len(some) > 1) - {"", "self"}


def _is_below(values: Mapping[str, Any], key: str) -> bool:
    """Whether the key is one of a config that has no `_target_` above it, for which others read."""
    node: Any = values
    for part in key.split("."):
        if isinstance(node, Mapping):
            if "_target_" in node:
                return False
            node = node.get(part)
    return True


@fact
def _nodes_of_config(target: Target) -> frozenset[str]:
    """The last names of all nodes of the config that hold others."""
    names: set[str] = set()

    def see(node: Any) -> None:
        for name, inner in node.items() if isinstance(node, Mapping) else ():
            if isinstance(inner, Mapping):
                names.add(str(name))
                see(inner)

    see({key: node for key, node in config(target).values.items() if key != "hydra"})
    return frozenset(names)


@fact
def references(target: Target) -> Mapping[str, frozenset[str]]:
    """Each key whose text, as it was composed, names others by `${...}`, and their names."""
    texts: dict[str, str] = {}
    for path, package in config(target).files:
        for key, value in raw_leaves(path):
            texts[f"{package}.{key}" if package else key] = value
    for override in target.launch_overrides:
        name, _, value = override.partition("=")
        texts[name.lstrip("+")] = value
    return {
        key: frozenset(_absolute(name, key) for name in REFERENCE.findall(text))
        for key, text in texts.items()
        if "${" in text
    }


def _absolute(name: str, key: str) -> str:
    """The key that a reference means: dots in front are nodes above the key that it stands in."""
    dots = len(name) - len(name.lstrip("."))
    rest = re.sub(r"\[(\w+)\]", r".\1", name.lstrip("."))
    return ".".join([*key.split(".")[:-dots], rest]) if dots else rest


@of_file()
def raw_leaves(path: Path) -> tuple[tuple[str, str], ...]:
    """The keys of a yaml file with their text, as it stands there."""
    from opv2v_doctor.foreign_files import from_yaml

    try:
        values = from_yaml(text_of(path))
    except (OSError, ValueError):
        return ()
    return tuple((key, str(value)) for key, value in leaves(values if isinstance(values, Mapping) else {}))


@fact
def reads(target: Target) -> Reads:
    """What all modules of the launch ask of their configs, by names."""
    each = [_reads(path) for path in modules(target)]
    return Reads(
        chains=frozenset().union(*(one.chains for one in each)),
        whole=frozenset().union(*(one.whole for one in each)),
        words=frozenset().union(*(one.words for one in each)),
        dynamic=frozenset().union(*(one.dynamic for one in each)),
    )


@of_file()
def _reads(path: Path) -> Reads:
    chains: set[tuple[str, str]] = set()
    words: set[str] = set()
    called = {id(node.func) for node in nodes(path) if isinstance(node, ast.Call)}
    inner = {id(node.value) for node in nodes(path) if isinstance(node, ast.Attribute | ast.Expr)}
    whole = set()
    dynamic = {_chain(of) for node in nodes(path) for of in _taken_whole(node)}
    for node in nodes(path):
        match node:
            case ast.Attribute(attr=name) | ast.Subscript(slice=ast.Constant(value=str(name))):
                words.add(name)
                if isinstance(node.ctx, ast.Load) and id(node) not in called:
                    chains.add((_last(node.value), name))
                    whole |= set() if id(node) in inner else {(_last(node.value), name)}
            case ast.Call(func=ast.Attribute(attr="get" | "pop"), args=[ast.Constant(value=str(name)), *_]):
                chains.add((_chain(node)[0], name))
            case ast.arg(arg=str(name)) | ast.Name(id=name) | ast.keyword(arg=str(name)):
                words.add(name)
            case ast.Constant(value=str(text)) if id(node) not in inner:  # which a docstring is
                words.update(re.findall(r"\w+", text))
                if re.fullmatch(r"\w+(\.\w+)*", text):  # OmegaConf.select(cfg, "a.b"), a list of keys
                    chains.update(pairwise(["", *text.split(".")]))
    return Reads(
        chains=frozenset(chains), whole=frozenset(whole), words=frozenset(words), dynamic=frozenset(dynamic)
    )


def _taken_whole(node: ast.AST) -> Iterator[ast.expr]:
    """What of which a key is asked by a variable, or that is gone through, or handed on by `**`."""
    match node:
        case ast.Subscript(value=value, slice=by) if not isinstance(by, ast.Constant):
            yield value
        case ast.keyword(arg=None, value=value):
            yield value
        case ast.Call(func=ast.Attribute(value=value, attr="get" | "pop"), args=[by, *_]):
            if not isinstance(by, ast.Constant):
                yield value
        case ast.Call(func=func, args=arguments):
            name = _last(func)
            if name in ("getattr", "hasattr", "select") and not isinstance(arguments[-1], ast.Constant):
                yield arguments[0]
            elif name in WHOLE:
                yield from [func.value, *arguments[:1]] if isinstance(func, ast.Attribute) else arguments[:1]


def _chain(node: ast.AST) -> tuple[str, str]:
    """The last two names of a node of the config: what it is asked of, and its own."""
    match node:
        case ast.Attribute(value=value) | ast.Subscript(value=value):
            return _last(value), _last(node)
        case ast.Call(func=ast.Attribute(value=value)):
            return _last(value), _last(node)
        case ast.BoolOp(values=[first, *_]):
            return _chain(first)
    return "", _last(node)


def _last(node: ast.AST) -> str:
    """The last name of what something is asked of."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case ast.Subscript(slice=ast.Constant(value=str(name))):
            return name
        case ast.Call(func=ast.Attribute(attr="get"), args=[ast.Constant(value=str(name)), *_]):
            return name
        case ast.BoolOp(values=[first, *_]):
            return _last(first)
    return ""


# --- literals in the place of a key


@dataclass(frozen=True, kw_only=True)
class Shadow:
    """A literal that is given to what has the name of a key, whose value is another one."""

    parameter: str
    literal: Any
    key: str
    configured: Any
    place: Place


@dataclass(frozen=True, kw_only=True)
class Shadows:
    """The calls of the repository's own functions where the config is at hand, and those that shadow it."""

    calls: int
    shadows: tuple[Shadow, ...]


@fact
def shadows(target: Target) -> Shadows:
    """The literals that calls give a parameter of the name of just one key, where the config is at hand."""
    keys = _single_keys(target)
    own = _own_functions(target)
    found, calls = [], 0
    for path in modules(target):
        for function in (node for node in ast.walk(syntax(path)) if isinstance(node, ast.FunctionDef)):
            if not _has_config(target, function):
                continue
            known = _constants(path, function)
            for node in ast.walk(function):
                name = _last(node.func) if isinstance(node, ast.Call) else ""
                calls += name in own
                for parameter, literal in _literals(node, own.get(name), known):
                    key = keys.get(parameter)
                    configured = config(target).get(key) if key else None
                    if isinstance(configured, str) and "_" not in parameter:
                        continue  # `name`, `split`: a word that much is called by
                    if key and _is_other(configured, literal.value):
                        found.append(
                            Shadow(
                                parameter=parameter,
                                literal=literal.value,
                                key=key,
                                configured=configured,
                                place=Place(path=path, line=literal.lineno),
                            )
                        )
    return Shadows(calls=calls, shadows=tuple(found))


def _is_other(configured: Any, literal: Any) -> bool:
    """Whether a literal of the config's type is another value."""
    if isinstance(configured, bool) or isinstance(literal, bool):
        return type(configured) is type(literal) and configured != literal
    if isinstance(configured, int | float) and isinstance(literal, int | float):
        return configured != literal
    return isinstance(configured, str) and isinstance(literal, str) and configured != literal


def _constants(path: Path, function: ast.FunctionDef) -> Mapping[str, ast.Constant]:
    """The names that a function, or its module, gives one literal and nothing else."""
    given: dict[str, list[ast.expr]] = {}
    for node in [*ast.iter_child_nodes(syntax(path)), *ast.walk(function)]:
        if isinstance(node, ast.Assign):
            for name in node.targets:
                given.setdefault(ast.unparse(name), []).append(node.value)
    single = {name: values[0] for name, values in given.items() if len(values) == 1}
    return {name: value for name, value in single.items() if isinstance(value, ast.Constant)}


def _literals(
    node: ast.AST, parameters: Sequence[str] | None, constants: Mapping[str, ast.Constant]
) -> Iterator[tuple[str, ast.Constant]]:
    """The parameters of a function of the repository that a call gives a literal, or the name of one.

    And the attribute of another object than its own that an assignment gives one: `args.epochs = 3`.
    """
    given: list[tuple[str | None, ast.expr]] = []
    match node:
        case ast.Call() if parameters is not None:
            words = [(word.arg, word.value) for word in node.keywords if word.arg in parameters]
            given = [*zip(parameters, node.args, strict=False), *words]
        case ast.Assign(targets=[ast.Attribute(value=of, attr=name)], value=ast.Constant(value=said)):
            if _last(of) != "self" and not isinstance(said, bool):  # which is a state of the training
                given = [(name, node.value)]
    for parameter, value in given:
        literal = constants.get(value.id) if isinstance(value, ast.Name) else value
        if isinstance(literal, ast.Constant) and literal.value is not None:
            yield str(parameter), ast.copy_location(ast.Constant(literal.value), value)


@fact
def _own_functions(target: Target) -> Mapping[str, tuple[str, ...]]:
    """The parameters of each function or method of which the launch's modules define just one, by name."""
    found: dict[str, list[tuple[str, ...]]] = {}
    for path in modules(target):
        for node in nodes(path):
            if isinstance(node, ast.FunctionDef):
                names = parameters_of(node)
                found.setdefault(node.name, []).append(tuple(names[names[:1] == ["self"] :]))
    return {name: each[0] for name, each in found.items() if len({*each}) == 1}


@fact
def _single_keys(target: Target) -> Mapping[str, str]:
    """The last name of each key that no other key of the config has, and the key."""
    found: dict[str, list[str]] = {}
    for key, _ in leaves({name: node for name, node in config(target).values.items() if name != "hydra"}):
        found.setdefault(key.rpartition(".")[2], []).append(key)
    return {name: keys[0] for name, keys in found.items() if len(keys) == 1}


def _has_config(target: Target, function: ast.FunctionDef) -> bool:
    """Whether a function asks one of its parameters for a group of the config."""
    groups = {name for name, node in config(target).values.items() if isinstance(node, Mapping)}
    own = {*parameters_of(function)}
    return any(
        isinstance(node, ast.Attribute)
        and node.attr in groups
        and isinstance(node.value, ast.Name)
        and node.value.id in own
        for node in ast.walk(function)
    )
