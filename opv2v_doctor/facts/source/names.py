"""Names: which functions of the repository play the parts that every such training has."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from opv2v_doctor.check import Blocked
from opv2v_doctor.facts.source.syntax import find, module_name, modules, nodes, syntax, syntax_error
from opv2v_doctor.state import fact
from opv2v_doctor.target import Target
from opv2v_doctor.text import Place, Text

USUAL = {  # a part, as `[names]` calls it -> its name in the public repositories
    "train_loader": "get_train_data_loader",
    "test_loader": "get_test_data_loader",
    "schedule": "adjust_learning_rate",
    "loss": "loss_of_one_batch_multi_view",
    "metric_logger": "MetricLogger",
    "model": "init_model",
    "train": "train",
    "train_epoch": "train_one_epoch",
    "test_epoch": "test_one_epoch",
    "save": "save_on_master",
    "save_model": "save_model",
    "load_model": "load_model",
}
SHAPES = {  # what tells a part that has another name
    "train_loader": Text("builds a DataLoader and takes no batch_size"),
    "test_loader": Text("builds a DataLoader and takes a batch_size"),
    "schedule": Text('sets the "lr" of the groups of an optimizer'),
    "loss": Text("calls two of its parameters, the model and the criterion"),
    "metric_logger": Text("has a method that yields the batches of a loader"),
}
USUAL_MODULE = "mapanything.datasets"  # among whose names dataset expressions are evaluated
Function = ast.FunctionDef | ast.ClassDef


@dataclass(frozen=True, kw_only=True)
class Named:
    """A function or class of the launch, and where it is defined."""

    name: str
    module: str
    place: Place

    @property
    def reference(self) -> str:
        """As the training interpreter is asked for it."""
        return f"{self.module}:{self.name}"


@fact
def named(target: Target, part: str) -> Named | None:
    """What plays a part: what the settings name, else the usual name, else the one thing of its shape.

    A usual name that nothing calls comes after a shape that something does.
    """
    chosen = getattr(target.settings.names, part)
    if chosen is not None:
        return next(_definitions(target, lambda node: node.name == chosen), None)
    usual = next(_definitions(target, lambda node: node.name == USUAL[part]), None)
    if part not in SHAPES or (usual is not None and is_called(target, usual.name)):
        return usual
    found = _alike(target, SHAPED[part])
    if found is None and part in ("train_loader", "test_loader"):
        found = _alike(target, _builds_loader)  # one may build both
    return found or usual


def _alike(target: Target, shape: Callable[[Function], bool]) -> Named | None:
    """What the launch calls of this shape; None where that is nothing, or has several names."""
    found = [one for one in _definitions(target, shape) if is_called(target, one.name)]
    return found[0] if len({one.name for one in found}) == 1 else None


def name_of(target: Target, part: str) -> str:
    """The name of what plays a part, be it defined by the launch or not."""
    found = named(target, part)
    return found.name if found else getattr(target.settings.names, part) or USUAL[part]


def the(target: Target, part: str) -> Named:
    """What plays a part. Raises Blocked where nothing does, with the setting that names it."""
    found = named(target, part)
    if found is not None:
        return found
    if broken := unparsed(target):
        return Named(name=USUAL[part], module=broken, place=Place(path=target.script))
    chosen = getattr(target.settings.names, part)
    raise Blocked(
        "no module that {script} imports defines {name}"
        if chosen or part not in SHAPES
        else "no module that {script} imports defines {name}, or calls just one function that {shape}",
        at=target.script,
        hint='name it in {toml}: [names] {part} = "NAME"',
        script=target.settings.launch.script,
        name=chosen or USUAL[part],
        shape=SHAPES.get(part),
        part=part,
        toml="opv2v-doctor.toml",
    )


@fact
def expression_module(target: Target) -> str | None:
    """The module among whose names dataset expressions are evaluated; None where the source does not tell.

    It is that of the builder which evaluates one, else that of the training loader's.
    """
    if target.settings.names.datasets is not None:
        return target.settings.names.datasets
    loader = named(target, "train_loader") or named(target, "test_loader")
    found = {name: path for name, path in builders(target).items() if _evaluates(path, name)}
    if not found or (loader and loader.name in found):
        return loader.module if loader else None
    return module_name(target, next(iter(found.values())))


def _evaluates(path: Path, name: str) -> bool:
    """Whether a function evaluates one of its parameters."""
    return any(
        isinstance(call, ast.Call)
        and ast.unparse(call.func) == "eval"
        and names_read(call) & {*parameters_of(node)}
        for node in nodes(path)
        if isinstance(node, ast.FunctionDef) and node.name == name
        for call in ast.walk(node)
    )


@fact
def builders(target: Target) -> Mapping[str, Path]:
    """The functions that make one loader of the dataset that they are given, by themselves or by others.

    Name -> file. One that reads the config's datasets itself, or that makes several loaders, calls builders.
    """
    functions: dict[str, tuple[Path, ast.FunctionDef]] = {}
    for path in modules(target):
        for node in nodes(path):
            if isinstance(node, ast.FunctionDef) and node.args.args and not _reads_datasets(node):
                functions.setdefault(node.name, (path, node))
    loaders = [named(target, part) for part in ("train_loader", "test_loader")]
    found = {name for name, (_, node) in functions.items() if _builds_loader(node)}
    found |= {loader.name for loader in loaders if loader and loader.name in functions}
    while more := {
        name
        for name, (_, node) in functions.items()
        if name not in found and found & {*calls_in(node)} and not _repeats(node, found)
    }:
        found |= more
    return {name: path for name, (path, _) in functions.items() if name in found}


def _reads_datasets(node: ast.AST) -> bool:
    return any(mentions(node, key) for key in ("train_dataset", "test_dataset"))


def mentions(node: ast.AST, key: str) -> bool:
    """Whether a node reads the key of a config, as an attribute or by its name."""
    return any(
        (isinstance(part, ast.Attribute) and part.attr == key)
        or (isinstance(part, ast.Constant) and part.value == key)
        for part in ast.walk(node)
    )


def _repeats(node: ast.AST, names: set[str]) -> bool:
    """Whether a function calls one of the names in a loop."""
    loops = ast.For | ast.While | ast.ListComp | ast.DictComp | ast.SetComp | ast.GeneratorExp
    return any(isinstance(part, loops) and names & {*calls_in(part)} for part in ast.walk(node))


def unparsed(target: Target) -> str | None:
    """A module of the launch that cannot be parsed by us: the training interpreter will say why."""
    found = next(filter(syntax_error, modules(target)), None)
    return module_name(target, found) if found else None


def otherwise_named(target: Target) -> Mapping[str, str]:
    """The parts that do not have their usual names, as `[names]` says them."""
    parts = {part: found.name for part in USUAL if (found := named(target, part))}
    others = {part: name for part, name in parts.items() if name != USUAL[part]}
    module = expression_module(target)
    return {**others, "datasets": module} if module and module != USUAL_MODULE else others


def watched(target: Target) -> Mapping[str, tuple[str, str]]:
    """What the watch shall attend to: a part -> module and name, the metric logger's with its method."""
    points = {}
    for part in USUAL:
        if found := named(target, part):
            points[part] = (found.module, found.name + _method(found))
    return points


def _method(found: Named) -> str:
    node = next(
        (n for n in nodes(found.place.path) if isinstance(n, ast.ClassDef) and n.name == found.name), None
    )
    method = iterating_method(node) if node else None
    return f".{method}" if method else ""


def is_called(target: Target, name: str) -> bool:
    """Whether a module of the launch calls the name, or passes it on."""
    return bool(find(target, lambda node: _says(node) == name, name))


def names_read(node: ast.AST) -> set[str]:
    """The variables that code reads."""
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}


def _says(node: ast.AST) -> str:
    if isinstance(node, ast.Name):
        return node.id
    return node.attr if isinstance(node, ast.Attribute) else ""


def _definitions(target: Target, wanted: Callable[[Function], bool]) -> Iterator[Named]:
    """What the modules of the launch define so, nearest first."""
    for path in modules(target):
        for node in _outer(syntax(path)):
            if wanted(node):
                place = Place(path=path, line=node.lineno)
                yield Named(name=node.name, module=module_name(target, path), place=place)


def _outer(node: ast.AST) -> Iterator[Function]:
    """The functions and classes that a module has as its own: no methods, and none inside of others."""
    for inner in ast.iter_child_nodes(node):
        if isinstance(inner, ast.FunctionDef | ast.ClassDef):
            yield inner
        elif isinstance(inner, ast.stmt | ast.ExceptHandler):
            yield from _outer(inner)


def parameters_of(function: ast.FunctionDef) -> list[str]:
    """The names of a function's parameters, in their order."""
    given = function.args
    return [argument.arg for argument in (*given.posonlyargs, *given.args, *given.kwonlyargs)]


def calls_in(node: ast.AST) -> Iterator[str]:
    """The last part of every name that is called in a node."""
    for call in ast.walk(node):
        if isinstance(call, ast.Call):
            yield ast.unparse(call.func).rpartition(".")[2]


def _builds_loader(node: Function) -> bool:
    """Whether a function that does not read the config makes a loader and returns it."""
    return (
        isinstance(node, ast.FunctionDef)
        and bool(node.args.args)
        and any(name.endswith("DataLoader") for name in calls_in(node))
        and any(isinstance(part, ast.Return) for part in ast.walk(node))
        and not _reads_datasets(node)
    )


def _is_train_loader(node: Function) -> bool:
    return _builds_loader(node) and not _is_test_loader(node)


def _is_test_loader(node: Function) -> bool:
    return _builds_loader(node) and isinstance(node, ast.FunctionDef) and "batch_size" in parameters_of(node)


def _is_schedule(node: Function) -> bool:
    """Whether a function of several parameters stores something under the key "lr"."""
    return (
        isinstance(node, ast.FunctionDef)
        and len(parameters_of(node)) > 1
        and any(
            isinstance(part, ast.Subscript)
            and isinstance(part.ctx, ast.Store)
            and isinstance(part.slice, ast.Constant)
            and part.slice.value == "lr"
            for part in ast.walk(node)
        )
    )


def _is_loss(node: Function) -> bool:
    if not isinstance(node, ast.FunctionDef):
        return False
    own = [
        _says(call.func)
        for call in ast.walk(node)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name)
    ]
    return len(set(own) & set(parameters_of(node))) == 2


def _is_metric_logger(node: Function) -> bool:
    return isinstance(node, ast.ClassDef) and iterating_method(node) is not None


def iterating_method(node: ast.ClassDef) -> str | None:
    """The method of a class that yields what it is given one by one; None where it has none."""
    for inner in node.body:
        if isinstance(inner, ast.FunctionDef) and not inner.name.startswith("__"):
            own = parameters_of(inner)
            loops = [part for part in ast.walk(inner) if isinstance(part, ast.For)]
            over = {name for loop in loops for name in names_read(loop.iter)}
            if len(own) > 1 and own[1] in over and any(isinstance(p, ast.Yield) for p in ast.walk(inner)):
                return inner.name
    return None


SHAPED: dict[str, Callable[[Function], bool]] = {
    "train_loader": _is_train_loader,
    "test_loader": _is_test_loader,
    "schedule": _is_schedule,
    "loss": _is_loss,
    "metric_logger": _is_metric_logger,
}
