"""Kinds of faults in code: what a hand does by mistake to a syntax tree, with the place of each."""

from __future__ import annotations

import ast
import bisect
import functools
import re
from collections.abc import Callable, Iterator

from exam.choices import FREE, is_left_alone
from exam.mutation import Mutation, rewritten

Edit = tuple[int, int, str]  # from, to (bytes of the module), and what stands there then
Kind = Callable[["Module"], Iterator[Edit]]
KINDS: dict[str, Kind] = {}
PARTNERS = tuple(
    tuple(group.split())
    for group in (
        "mean sum median", "min max", "minimum maximum", "sin cos", "floor ceil", "train eval",
        "float32 float16", "INTER_AREA INTER_NEAREST", "sort argsort", "zeros_like ones_like", "log exp",
        "log1p log", "abs square", "all any", "arcsin arctan", "eye ones",
    )
)  # fmt: skip
ALIKE_KEYS = (
    ("lidar_pose", "true_ego_pos", "predicted_ego_pos"),
    ("model", "optimizer", "scaler"),
    ("depthmap", "depth_along_ray"),
    ("valid_mask", "non_ambiguous_mask"),
    ("pts3d", "pts3d_cam"),
    ("non_ambiguous_mask_logits", "non_ambiguous_mask"),
    ("camera_pose_trans", "cam_trans"),
)
MEASURES = re.compile(r"depth|pose\b|offset|trans|range|points|cords|intrinsic|rays", re.IGNORECASE)
UNITS = ("* 1000", "* 100", "/ 100", "* 0.5")
COMMUTE = {"min", "max", "minimum", "maximum", "isinstance", "print", "logical_and", "logical_or"}


class Module:
    """A module's bytes and syntax, with the parent of each node and the function that it stands in."""

    def __init__(self, path: str, text: str) -> None:
        self.path, self.text, self.content = path, text, text.encode()
        self.tree = ast.parse(text)
        self.starts = [0, *(found.end() for found in re.finditer(rb"\n", self.content))]
        self.parents = {child: node for node in ast.walk(self.tree) for child in ast.iter_child_nodes(node)}
        self.functions: list[tuple[int, int, str]] = []
        self._name(self.tree, "")

    def nodes(self, *types: type[ast.AST]) -> Iterator[ast.AST]:
        """All nodes of these types, in the order of the text; annotations and docstrings are none."""
        for node in ast.walk(self.tree):
            if isinstance(node, types):
                yield node

    def span(self, node: ast.AST) -> tuple[int, int]:
        """First and last byte, which is no longer part of it."""
        first = self.starts[node.lineno - 1] + node.col_offset  # type: ignore[attr-defined]
        return first, self.starts[node.end_lineno - 1] + node.end_col_offset  # type: ignore[attr-defined]

    def source(self, node: ast.AST) -> str:
        """Its text."""
        first, last = self.span(node)
        return self.content[first:last].decode()

    def line_of(self, place: int) -> int:
        """The number of the line of a byte."""
        return bisect.bisect_right(self.starts, place)

    def function_at(self, line: int) -> str:
        """The innermost function or class that a line belongs to."""
        around = [each for each in self.functions if each[0] <= line <= each[1]]
        return max(around, default=(0, 0, ""))[2]

    def replaced(self, node: ast.AST, new: str) -> Edit:
        """The edit that puts a text in the place of a node."""
        return (*self.span(node), new)

    def statement_lines(self, node: ast.stmt) -> tuple[int, int]:
        """The bytes of a statement's whole lines."""
        assert node.end_lineno is not None
        last = node.end_lineno
        return self.starts[node.lineno - 1], (
            self.starts[last] if last < len(self.starts) else len(self.content)
        )

    def running(self, lines: frozenset[int] | None) -> set[int] | None:
        """The lines of all statements that ran at all; of a compound one, those of its head."""
        if lines is None:
            return None
        found = set()
        for node in self.nodes(ast.stmt):
            assert isinstance(node, ast.stmt)
            body = getattr(node, "body", None)
            last = body[0].lineno - 1 if isinstance(body, list) else node.end_lineno or node.lineno
            rows = range(node.lineno, max(last, node.lineno) + 1)
            if not lines.isdisjoint(rows):
                found |= set(rows)
        return found

    def _name(self, node: ast.AST, prefix: str) -> None:
        for child in ast.iter_child_nodes(node):
            name = prefix
            if isinstance(child, (ast.FunctionDef, ast.ClassDef)):
                name = f"{prefix}.{child.name}".lstrip(".")
                self.functions.append((child.lineno, child.end_lineno or child.lineno, name))
            self._name(child, name)


@functools.cache
def module_of(path: str, text: str) -> Module:
    """The module, parsed once."""
    return Module(path, text)


@functools.cache
def places(module: Module, lines: frozenset[int] | None) -> dict[str, dict[str, list[Edit]]]:
    """All edits by kind and function, of the lines that the training runs; of all lines where None."""
    found: dict[str, dict[str, list[Edit]]] = {}
    rows, runs = module.text.splitlines(), module.running(lines)
    for name, kind in KINDS.items():
        for edit in kind(module):
            line = module.line_of(edit[0])
            function = module.function_at(line)
            if (runs is not None and line not in runs) or is_left_alone(
                module.path, function, rows[line - 1]
            ):
                continue
            if name not in ("other_constant", "other_default") or not FREE.search(rows[line - 1]):
                found.setdefault(name, {}).setdefault(function, []).append(edit)
    return found


def made(name: str, module: Module, edit: Edit) -> Mutation | None:
    """The mutation of an edit; None where it changes nothing or no longer parses."""
    first, last, new = edit
    changed = (module.content[:first] + new.encode() + module.content[last:]).decode()
    if changed == module.text or not _parses(changed):
        return None
    pairs = zip(module.text.splitlines(), changed.splitlines(), strict=False)
    line = next((number for number, (one, other) in enumerate(pairs, 1) if one != other), 1)
    return rewritten(name, module.path, line, module.function_at(line), module.text, changed)


def _parses(text: str) -> bool:
    try:
        compile(text, "mutation", "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return False
    return True


def kind(function: Kind) -> Kind:
    """Register a kind under its function's name."""
    KINDS[getattr(function, "__name__", "")] = function
    return function


@kind
def exchange_axes(module: Module) -> Iterator[Edit]:
    """Two neighbours of a tuple or list are exchanged: rows, components, what is unpacked."""
    for node in module.nodes(ast.Tuple, ast.List):
        assert isinstance(node, (ast.Tuple, ast.List))
        if any(isinstance(each, ast.Constant) and isinstance(each.value, str) for each in node.elts):
            continue
        for one, other in zip(node.elts, node.elts[1:], strict=False):
            yield _exchanged(module, one, other)


@kind
def negate_component(module: Module) -> Iterator[Edit]:
    """A minus too many or too few."""
    for node in module.nodes(ast.UnaryOp):
        indexes = isinstance(module.parents[node], (ast.Slice, ast.Subscript))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and not indexes:
            yield module.replaced(node, module.source(node.operand))
    for node in module.nodes(ast.List, ast.Tuple):
        for each in getattr(node, "elts", ()):
            inside = isinstance(getattr(each, "ctx", ast.Load()), ast.Load)
            if inside and isinstance(each, (ast.Name, ast.BinOp, ast.Call, ast.Subscript, ast.Attribute)):
                if not isinstance(module.parents[node], (ast.Subscript, ast.For, ast.comprehension)):
                    yield module.replaced(each, f"-({module.source(each)})")
            elif isinstance(each, ast.Constant) and type(each.value) is float and each.value:
                yield module.replaced(each, f"-{module.source(each)}")


@kind
def transpose_or_invert(module: Module) -> Iterator[Edit]:
    """A transpose or inverse that is left out, one too many, factors in the other order, a flip left out."""
    for node in module.nodes(ast.Attribute, ast.Call, ast.BinOp, ast.Subscript):
        if isinstance(node, ast.Attribute) and node.attr == "T":
            yield module.replaced(node, module.source(node.value))
        elif isinstance(node, ast.Call) and module.source(node.func).endswith("linalg.inv"):
            yield module.replaced(node, module.source(node.args[0]))
        elif isinstance(node, ast.Call) and module.source(node.func).endswith("permute"):
            for one, other in zip(node.args, node.args[1:], strict=False):
                yield _exchanged(module, one, other)
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
            yield _exchanged(module, node.left, node.right)
            yield module.replaced(node.right, f"({module.source(node.right)}).T")
        elif isinstance(node, ast.Subscript) and "::-1" in module.source(node.slice):
            yield module.replaced(node, module.source(node.value))


@kind
def scale_unit(module: Module) -> Iterator[Edit]:
    """A length in another unit, degrees for radians, a fraction for a percentage."""
    for node in module.nodes(ast.Call):
        if isinstance(node, ast.Call) and module.source(node.func) in ("np.deg2rad", "math.radians"):
            yield module.replaced(node, module.source(node.args[0]))
    for number, value in enumerate(_measures(module)):
        unit = UNITS[number % len(UNITS)]
        yield module.replaced(value, f"({module.source(value)}) {unit}")


def _measures(module: Module) -> Iterator[ast.expr]:
    """Expressions that give a measure to a name or an entry."""
    for node in module.nodes(ast.Assign, ast.Dict, ast.keyword, ast.Return):
        pairs: list[tuple[str, ast.expr]] = []
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], (ast.Name, ast.Subscript)):
            pairs = [(module.source(node.targets[0]), node.value)]
        elif isinstance(node, ast.Dict):
            pairs = [(module.source(k), v) for k, v in zip(node.keys, node.values, strict=True) if k]
        elif isinstance(node, ast.keyword) and node.arg:
            pairs = [(node.arg, node.value)]
        for name, value in pairs:
            if MEASURES.search(name) and isinstance(
                value, (ast.Name, ast.Attribute, ast.Call, ast.BinOp, ast.Subscript)
            ):
                yield value


@kind
def arithmetic(module: Module) -> Iterator[Edit]:
    """Plus for minus, times for divided by."""
    others = {ast.Add: "-", ast.Sub: "+", ast.Mult: "/", ast.Div: "*"}
    for node in module.nodes(ast.BinOp):
        if not isinstance(node, ast.BinOp) or type(node.op) not in others:
            continue
        texts = (ast.JoinedStr, ast.List, ast.Tuple, ast.Dict)
        parts = (node.left, node.right)
        if any(isinstance(p, texts) or isinstance(getattr(p, "value", None), str) for p in parts):
            continue
        left, right = (module.source(part) for part in parts)
        yield module.replaced(node, f"({left} {others[type(node.op)]} ({right}))")


@kind
def drop_call(module: Module) -> Iterator[Edit]:
    """A statement that is forgotten: a call, or a step that changes a value it already has."""
    for node in module.nodes(ast.Expr, ast.Assign, ast.AugAssign):
        assert isinstance(node, ast.stmt)
        if _may_go(module, node):
            yield _without(module, node)


def _may_go(module: Module, node: ast.stmt) -> bool:
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Call) and not module.source(node.value).startswith(
            ("print", "log.")
        )
    if isinstance(node, ast.AugAssign):
        return True
    if isinstance(node, ast.Assign):
        target = node.targets[0]
        names = target.elts if isinstance(target, ast.Tuple) else [target]
        used = {each.id for each in ast.walk(node.value) if isinstance(each, ast.Name)}
        changed = all(isinstance(name, ast.Name) and name.id in used for name in names)
        return changed or (isinstance(target, ast.Subscript) and isinstance(target.value, ast.Name))
    return False


def _without(module: Module, node: ast.stmt) -> Edit:
    """A statement's lines taken out; `pass` where it was alone."""
    first, last = module.statement_lines(node)
    alone = any(
        getattr(module.parents[node], part, None) == [node] for part in ("body", "orelse", "finalbody")
    )
    return first, last, " " * node.col_offset + "pass\n" if alone else ""


@kind
def move_call(module: Module) -> Iterator[Edit]:
    """A statement that stands behind its loop or branch, or before it, or in the one that follows."""
    for node in module.nodes(ast.Expr, ast.Assign, ast.AugAssign):
        assert isinstance(node, ast.stmt)
        parent = module.parents[node]
        if not _may_go(module, node):
            continue
        if isinstance(parent, (ast.For, ast.If, ast.While, ast.With)) and isinstance(parent, ast.stmt):
            yield _moved(module, node, parent, behind=True)
            yield _moved(module, node, parent, behind=False)
        for body in (getattr(parent, "body", None), getattr(parent, "orelse", None)):
            if isinstance(body, list) and node in body[:-1]:
                following = body[body.index(node) + 1]
                if isinstance(following, (ast.For, ast.If)):
                    yield _into(module, node, following)


def _moved(module: Module, node: ast.stmt, parent: ast.stmt, *, behind: bool) -> Edit:
    """The lines of the parent, with the statement before or behind it."""
    first, last = module.statement_lines(parent)
    start, end, left = _without(module, node)
    rest = module.content[first:start].decode() + left + module.content[end:last].decode()
    moved = _indented(module, node, parent.col_offset)
    return first, last, rest + moved if behind else moved + rest


def _into(module: Module, node: ast.stmt, following: ast.For | ast.If) -> Edit:
    """The statement at the beginning of the body that follows."""
    first, last = module.statement_lines(node)
    inner = following.body[0]
    start, _ = module.statement_lines(inner)
    return first, start, module.content[last:start].decode() + _indented(module, node, inner.col_offset)


def _indented(module: Module, node: ast.stmt, column: int) -> str:
    first, last = module.statement_lines(node)
    shift = column - node.col_offset
    lines = module.content[first:last].decode().splitlines(keepends=True)
    return "".join(" " * shift + line if shift > 0 else line[-shift:] for line in lines)


@kind
def swap_arguments(module: Module) -> Iterator[Edit]:
    """Two arguments of one type in the other order, or each under the other's name."""
    for node in module.nodes(ast.Call):
        if not isinstance(node, ast.Call) or module.source(node.func).rsplit(".", 1)[-1] in COMMUTE:
            continue
        for one, other in zip(node.args, node.args[1:], strict=False):
            if _same_type(one, other):
                yield _exchanged(module, one, other)
        for first, second in zip(node.keywords, node.keywords[1:], strict=False):
            if _same_type(first.value, second.value):
                yield _exchanged(module, first.value, second.value)


def _same_type(one: ast.expr, other: ast.expr) -> bool:
    if isinstance(one, ast.Constant) and isinstance(other, ast.Constant):
        return type(one.value) is type(other.value) and one.value != other.value
    plain = (ast.Name, ast.Attribute, ast.Subscript)
    return isinstance(one, plain) and isinstance(other, plain)


def _exchanged(module: Module, one: ast.AST, other: ast.AST) -> Edit:
    """Two nodes, one behind the other, exchanged."""
    (first, end), (start, last) = module.span(one), module.span(other)
    between = module.content[end:start].decode()
    return first, last, module.source(other) + between + module.source(one)


@kind
def off_by_one(module: Module) -> Iterator[Edit]:
    """One more or one less, where something is counted, cut or compared."""
    for node in module.nodes(ast.Constant):
        if isinstance(node, ast.Constant) and type(node.value) is int and abs(node.value) < 10:
            around: ast.AST = module.parents[node]
            if isinstance(around, ast.UnaryOp):
                around = module.parents[around]
            ranged = isinstance(around, ast.Call) and module.source(around.func).endswith(
                ("range", "max", "min")
            )
            if ranged or (isinstance(around, (ast.Slice, ast.Compare, ast.BinOp)) and _counts(around)):
                yield module.replaced(node, str(node.value + 1))
                if node.value > 0:
                    yield module.replaced(node, str(node.value - 1))


def _counts(around: ast.AST) -> bool:
    return not isinstance(around, ast.BinOp) or isinstance(
        around.op, (ast.Add, ast.Sub, ast.Mod, ast.FloorDiv)
    )


@kind
def other_constant(module: Module) -> Iterator[Edit]:
    """A number ten times, half or twice as large; the other truth value."""
    for node in module.nodes(ast.Constant):
        parent = module.parents.get(node)
        if not isinstance(node, ast.Constant) or isinstance(parent, (ast.arguments, ast.Slice)):
            continue
        if isinstance(node.value, bool):
            yield module.replaced(node, str(not node.value))
        elif isinstance(node.value, float) and node.value:
            yield from (module.replaced(node, repr(round(node.value * by, 9))) for by in (0.1, 0.5, 2, 10))
        elif type(node.value) is int and node.value > 1:
            yield from (module.replaced(node, str(value)) for value in (node.value * 2, node.value // 2))


@kind
def other_default(module: Module) -> Iterator[Edit]:
    """Another default of a parameter, which callers that say nothing get."""
    for node in module.nodes(ast.arguments):
        assert isinstance(node, ast.arguments)
        for each in (*node.defaults, *node.kw_defaults):
            value = getattr(each, "value", None)
            if each is None or not isinstance(each, ast.Constant):
                continue
            if isinstance(value, bool):
                yield module.replaced(each, str(not value))
            elif isinstance(value, (int, float)):
                yield module.replaced(each, repr(value * 2 if value else 1))
                yield module.replaced(each, repr(type(value)(0)))


@kind
def comparison(module: Module) -> Iterator[Edit]:
    """One sign of comparison for another."""
    others = {
        ast.Lt: ("<=", ">"), ast.LtE: ("<", ">="), ast.Gt: (">=", "<"), ast.GtE: (">", "<="),
        ast.Eq: ("!=",), ast.NotEq: ("==",), ast.Is: ("is not",), ast.IsNot: ("is",), ast.In: ("not in",),
    }  # fmt: skip
    for node in module.nodes(ast.Compare):
        if isinstance(node, ast.Compare) and len(node.ops) == 1:
            for sign in others.get(type(node.ops[0]), ()):
                left, right = module.source(node.left), module.source(node.comparators[0])
                yield module.replaced(node, f"{left} {sign} {right}")


@kind
def negate_condition(module: Module) -> Iterator[Edit]:
    """A condition turned round, `and` for `or`, a `not` left out."""
    for node in module.nodes(ast.If, ast.IfExp, ast.BoolOp, ast.UnaryOp):
        if isinstance(node, (ast.If, ast.IfExp)):
            yield module.replaced(node.test, f"not ({module.source(node.test)})")
        elif isinstance(node, ast.BoolOp):
            word = " or " if isinstance(node.op, ast.And) else " and "
            yield module.replaced(node, word.join(f"({module.source(each)})" for each in node.values))
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.Not, ast.Invert)):
            yield module.replaced(node, module.source(node.operand))


@kind
def other_attribute(module: Module) -> Iterator[Edit]:
    """Another attribute of the same object, with a similar name or read beside it."""
    by_owner: dict[str, list[str]] = {}
    read = [
        node
        for node in module.nodes(ast.Attribute)
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Load)
        and not (isinstance(call := module.parents[node], ast.Call) and call.func is node)
    ]
    for node in read:
        by_owner.setdefault(module.source(node.value), []).append(node.attr)
    for node in read:
        owner = module.source(node.value)
        if owner in ("np", "torch", "math", "cv2", "nn", "functional", "dist"):
            continue
        for other in sorted(set(by_owner[owner])):
            if _alike(node.attr, other):
                yield module.replaced(node, f"{owner}.{other}")


@kind
def other_key(module: Module) -> Iterator[Edit]:
    """Another entry of a view, a frame, a prediction or a checkpoint."""
    keys = {
        each.slice.value
        for each in module.nodes(ast.Subscript)
        if isinstance(each, ast.Subscript)
        and isinstance(each.slice, ast.Constant)
        and isinstance(each.slice.value, str)
    }
    for node in module.nodes(ast.Subscript):
        if not (isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant)):
            continue
        key = node.slice.value
        if isinstance(key, str) and isinstance(node.ctx, ast.Load):
            listed = {other for group in ALIKE_KEYS if key in group for other in group}
            for other in sorted((listed | {each for each in keys if _alike(key, each)}) - {key}):
                yield module.replaced(node.slice, f'"{other}"')


@kind
def other_name(module: Module) -> Iterator[Edit]:
    """Another variable of the same function: one with a similar name, or that was unpacked beside it."""
    for function in module.nodes(ast.FunctionDef):
        assert isinstance(function, ast.FunctionDef)
        names = {
            node.id
            for node in ast.walk(function)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        } | {each.arg for each in (*function.args.args, *function.args.kwonlyargs)}
        beside = [
            {each.id for each in node.elts if isinstance(each, ast.Name)}
            for node in ast.walk(function)
            if isinstance(node, ast.Tuple) and isinstance(node.ctx, ast.Store)
        ]
        for node in ast.walk(function):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in names:
                others = {each for each in names if _alike(node.id, each)}
                others |= {each for group in beside if node.id in group for each in group}
                for other in sorted(others - {node.id, "self"}):
                    yield module.replaced(node, other)


def _alike(one: str, other: str) -> bool:
    """Whether two names share a word, or are a pair of the field."""
    pairs = ({"width", "height"}, {"columns", "rows"}, {"dataset", "sampler"}, {"predicted", "true"})
    if one == other:
        return False
    return bool(set(one.strip("_").split("_")) & set(other.strip("_").split("_"))) or {one, other} in pairs


@kind
def other_function(module: Module) -> Iterator[Edit]:
    """A function's sibling: mean and sum, min and max, train and eval."""
    for node in module.nodes(ast.Attribute):
        assert isinstance(node, ast.Attribute)
        for group in PARTNERS:
            if node.attr in group and isinstance(node.ctx, ast.Load):
                for other in group:
                    if other != node.attr:
                        yield module.replaced(node, f"{module.source(node.value)}.{other}")


@kind
def drop_keyword(module: Module) -> Iterator[Edit]:
    """An argument that is forgotten, so that its default applies."""
    for node in module.nodes(ast.Call):
        assert isinstance(node, ast.Call)
        parts = [*node.args, *(each for each in node.keywords)]
        for number, each in enumerate(parts):
            if not (isinstance(each, ast.keyword) and each.arg and number):
                continue
            if module.source(node.func) != "print":
                yield module.span(parts[number - 1])[1], module.span(each)[1], ""
