"""What the training does at the start of an epoch: its lines that tell loaders the epoch, or seed anew."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from opv2v_doctor.facts.interpreter import questions
from opv2v_doctor.facts.source.names import calls_in, named, names_read, parameters_of
from opv2v_doctor.facts.source.syntax import module_name, modules, nodes
from opv2v_doctor.state import fact
from opv2v_doctor.target import Target
from opv2v_doctor.text import Place

TRAINS = ("backward", "zero_grad")  # what a loop over the training's batches calls in the end


@dataclass(frozen=True, kw_only=True)
class EpochStart:
    """The lines that begin an epoch, as they can be run outside of the training."""

    lines: questions.EpochLines
    place: Place  # the first call of set_epoch, else the loop over the batches
    tells: bool  # whether there is a call of set_epoch
    counts: bool  # whether what it is told depends on the loop's counter
    seeds: Place | None  # the statement that seeds random numbers anew


@dataclass(frozen=True)
class _Loop:
    """A loop over the batches of a loader: the function that it stands in, and the loader's name there."""

    path: Path
    function: ast.FunctionDef
    loop: ast.For
    loader: str


@fact
def epoch_start(target: Target, part: str) -> EpochStart | None:
    """How an epoch of `train_epoch` or `test_epoch` begins; None where no such loop is found."""
    for found in _loops(target, part):
        site = _call_site(target, found.function)
        own = _beginning(found.function, found.loop, found.loader)
        if site is None:
            return _start(target, found, own, None, [])
        caller, loop, call = site
        words = _arguments(found.function, call)
        passed = words.get(found.loader)
        outer = _beginning(caller, loop, _loader_in(passed) if passed is not None else "", call)
        return _start(target, found, own, (caller, loop, words), outer)
    return None


def _loops(target: Target, part: str) -> Iterator[_Loop]:
    """The loops over batches, in the function that the names tell, else in one that trains."""
    known = named(target, part)
    for path in modules(target):
        for function in (node for node in nodes(path) if isinstance(node, ast.FunctionDef)):
            if known is not None and (function.name, path) != (known.name, known.place.path):
                continue
            if known is None and (part != "train_epoch" or not {*TRAINS} & {*calls_in(function)}):
                continue
            for loop in ast.walk(function):
                if isinstance(loop, ast.For) and (loader := _loader_in(loop.iter)):
                    yield _Loop(path, function, loop, loader)


def _loader_in(node: ast.expr) -> str:
    """The name of the loader in what is gone through, empty where nothing is called one."""
    said = [part.id for part in ast.walk(node) if isinstance(part, ast.Name)]
    return next((name for name in said if "loader" in name.lower()), "")


def _call_site(target: Target, function: ast.FunctionDef) -> tuple[ast.FunctionDef, ast.For, ast.Call] | None:
    """Where a function is called in a loop over epochs."""
    for path in modules(target):
        for caller in (node for node in nodes(path) if isinstance(node, ast.FunctionDef)):
            for loop in ast.walk(caller) if caller is not function else ():
                if not isinstance(loop, ast.For) or not isinstance(loop.target, ast.Name):
                    continue
                for call in ast.walk(loop):
                    if (
                        isinstance(call, ast.Call)
                        and _called(call) == function.name
                        and "range" in calls_in(loop.iter)
                    ):
                        return caller, loop, call
    return None


def _called(call: ast.Call) -> str:
    return ast.unparse(call.func).rpartition(".")[2]


def _arguments(function: ast.FunctionDef, call: ast.Call) -> dict[str, ast.expr]:
    """What a call gives each parameter; the defaults of those that it leaves out."""
    names = [argument.arg for argument in function.args.args]
    defaults = dict(zip(reversed(names), reversed(function.args.defaults), strict=False))
    given = dict(zip(names, call.args, strict=False))
    return defaults | given | {word.arg: word.value for word in call.keywords if word.arg}


def _beginning(
    function: ast.FunctionDef, loop: ast.For, loader: str, until: ast.Call | None = None
) -> list[ast.stmt]:
    """What begins an epoch before a loop over batches, or in a loop over epochs before a call."""
    if until is None:
        before = [part for part in function.body if part.lineno < loop.lineno]
        around = [part for part in ast.walk(function) if isinstance(part, ast.For) and loop in ast.walk(part)]
        for outer in around:
            before += [
                part
                for part in outer.body
                if outer is not loop and part.lineno < loop.lineno and loop not in ast.walk(part)
            ]
    else:
        before = [part for part in loop.body if part.lineno < until.lineno and until not in ast.walk(part)]
    return [part for part in before if _begins(part, loader)]


def _begins(statement: ast.stmt, loader: str) -> bool:
    """Whether a statement tells the loader its epoch, or seeds random numbers."""
    for call in ast.walk(statement):
        if isinstance(call, ast.Call):
            name = _called(call)
            if "set_epoch" in name and (not loader or loader in names_read(statement)):
                return True
            if "seed" in name and isinstance(statement, ast.Expr):
                return True
    return False


def _start(
    target: Target,
    found: _Loop,
    own: Sequence[ast.stmt],
    site: tuple[ast.FunctionDef, ast.For, dict[str, ast.expr]] | None,
    outer: Sequence[ast.stmt],
) -> EpochStart:
    inner = _with_needed(found.function, own, {found.loader})
    needed = set().union(*map(names_read, inner)) if inner else set()
    loaders, source, configs = {found.loader}, [*inner], set(parameters_of(found.function))
    epoch = next((name for name in parameters_of(found.function) if name == "epoch"), "epoch")
    if site is not None:
        caller, loop, words = site
        epoch = loop.target.id if isinstance(loop.target, ast.Name) else "epoch"
        passed = words.get(found.loader)
        own_loader = _loader_in(passed) if passed is not None else ""
        loaders |= {own_loader} - {""}
        bound: list[ast.stmt] = [
            ast.copy_location(ast.Assign([ast.Name(name, ast.Store())], value), value)
            for name, value in words.items()
            if name in needed and name not in loaders
        ]
        before = _with_needed(caller, [*outer, *bound], loaders | {epoch})
        source, configs = [*before, *inner], {*parameters_of(caller)}
    else:
        around = [
            part
            for part in ast.walk(found.function)
            if isinstance(part, ast.For) and found.loop in ast.walk(part)
        ]
        outermost = next(
            (part for part in around if part is not found.loop and isinstance(part.target, ast.Name)), None
        )
        if outermost is not None and isinstance(outermost.target, ast.Name):
            epoch = outermost.target.id
    calls = [
        call
        for part in [*outer, *own]
        for call in ast.walk(part)
        if isinstance(call, ast.Call) and "set_epoch" in _called(call)
    ]
    where = calls[0] if calls else found.loop
    seeds = [part for part in [*outer, *own] if not any(call in ast.walk(part) for call in calls)]
    return EpochStart(
        lines={
            "source": "\n".join(ast.unparse(ast.fix_missing_locations(part)) for part in source),
            "module": module_name(target, found.path),
            "loaders": sorted(loaders),
            "epoch": epoch,
            "configs": sorted(configs - loaders - {epoch}),
        },
        place=Place(_home(target, found, calls[0] if calls else None), where.lineno),
        tells=bool(calls),
        counts=_depends(source, epoch),
        seeds=Place(_home(target, found, seeds[0]), seeds[0].lineno) if seeds else None,
    )


def _depends(source: Sequence[ast.stmt], name: str) -> bool:
    """Whether lines read a name before they give it something else."""
    for part in source:
        if name in names_read(part):
            return True
        if any(isinstance(node, ast.Name) and node.id == name for node in ast.walk(part)):
            return False
    return False


def _home(target: Target, found: _Loop, call: ast.AST | None) -> Path:
    """The file of a line: that of the loop, or of what calls its function."""
    if call is None or any(call is node for node in nodes(found.path)):
        return found.path
    return next(path for path in modules(target) if any(call is node for node in nodes(path)))


def _with_needed(function: ast.FunctionDef, wanted: Sequence[ast.stmt], known: set[str]) -> list[ast.stmt]:
    """Statements with those before them, as they stand in a function, that give the names which they read."""
    if not wanted:
        return []
    last = max(part.lineno for part in wanted)
    names = set().union(*map(names_read, wanted)) - known
    needed: list[ast.stmt] = []
    for part in reversed([part for part in function.body if part.lineno < last and part not in wanted]):
        given = {
            node.id
            for node in ast.walk(part)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        }
        if given & names and isinstance(part, ast.Assign | ast.AnnAssign | ast.If):
            needed.append(part)
            names |= names_read(part) - known
    return [*reversed(needed), *wanted]
