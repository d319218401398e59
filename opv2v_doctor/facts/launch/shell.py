"""Shell scripts, read and never run: which programs a script would start, with which words and environment.

tree-sitter parses; here a subset of bash is followed: assignments, defaults, arrays, `cd`, functions, loops,
sourced and called files of the repository. What only a run could tell (a date, another program's output) is
UNKNOWN in the word where it stands.
"""

from __future__ import annotations

import ast
import fnmatch
import operator
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from opv2v_doctor.facts.source.syntax import parsed_expression
from opv2v_doctor.foreign_files import text_of

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

UNKNOWN = "\0"  # in a word: what only a run could tell
DEEPEST, MOST, LONGEST = 8, 4096, 1 << 20  # scripts that call one another; statements; bytes of a script
SHELLS = ("bash", "sh", "dash", "zsh")
# programs that start the words after them: name -> the options that take a word of their own
WRAPPERS = {
    "env": ("-u", "-C", "-S"), "exec": ("-a",), "command": (), "builtin": (), "nohup": (),
    "time": ("-f", "-o"), "nice": ("-n",), "ionice": ("-c", "-n", "-p"), "stdbuf": ("-i", "-o", "-e"),
    "timeout": ("-k", "-s"), "numactl": ("-N", "-m", "-C", "-i", "-p"), "taskset": (), "setsid": (),
    "sudo": ("-u", "-g"), "srun": ("-n", "-N", "-c", "-p", "-w", "-J", "-o", "-e", "-t", "-A", "-q", "-G"),
    "conda run": ("-n", "--name", "-p", "--prefix", "--cwd"), "mamba run": ("-n", "--name", "-p", "--prefix"),
    "micromamba run": ("-n", "--name", "-p", "--prefix"), "uv run": ("--with", "--python", "-p", "--extra"),
    "poetry run": (), "pixi run": ("-e", "--environment"), "pdm run": (), "hatch run": (),
    "apptainer exec": ("-B", "--bind", "--env", "--pwd"),
    "singularity exec": ("-B", "--bind", "--env", "--pwd"),
}  # fmt: skip
TAKING_ONE = {
    "timeout": 1,
    "taskset": 1,
    "apptainer exec": 1,
    "singularity exec": 1,
}  # words before the program
ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
_SBATCH = re.compile(r"^#SBATCH\s+(--?[\w-]+)[=\s]+(\S+)", re.MULTILINE)
_COUNTS: Mapping[type[ast.AST], Callable[[int, int], int]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.floordiv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod,
}  # fmt: skip
_TESTS: Mapping[str, Callable[[str, str], bool]] = {
    "=": operator.eq, "==": operator.eq, "!=": operator.ne,
    "-eq": lambda a, b: int(a) == int(b), "-ne": lambda a, b: int(a) != int(b),
    "-lt": lambda a, b: int(a) < int(b), "-le": lambda a, b: int(a) <= int(b),
    "-gt": lambda a, b: int(a) > int(b), "-ge": lambda a, b: int(a) >= int(b),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Started:
    """One program that a script would start."""

    words: tuple[str, ...]  # its wrappers (env, srun, conda run) are taken off
    wrappers: tuple[str, ...]  # their words
    env: Mapping[str, str]  # what the script exports to it
    folder: Path  # where it starts
    text: str  # the command as it is written
    line: int  # where it begins, from 1
    path: Path | None = None  # the script that starts it


@dataclass(kw_only=True)
class _State:
    """What the shell knows at one statement."""

    folder: Path
    variables: dict[str, str | list[str]] = field(default_factory=dict)
    exported: set[str] = field(default_factory=set)
    arguments: list[str] = field(default_factory=list)
    ended: bool = False

    def copy(self) -> _State:
        return replace(
            self,
            variables=dict(self.variables),
            exported=set(self.exported),
            arguments=list(self.arguments),
        )


@cache
def _parser() -> Parser:
    import tree_sitter_bash
    from tree_sitter import Language, Parser

    return Parser(Language(tree_sitter_bash.language()))


class Shell:
    """Follows one script, and those that it sources and calls."""

    def __init__(
        self,
        folder: Path,
        *,
        arguments: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        root: Path | None = None,
        path: Path | None = None,
    ) -> None:
        """A shell in a folder, which reads files below `root` only, if given.

        `env` is the whole environment, where it is known, `path` the file that the text comes from.
        """
        self.state = _State(folder=folder, arguments=list(arguments))
        self.knows_environment = env is not None
        if env is not None:
            self.state.variables |= env
            self.state.exported |= set(env)
        self.root = root
        self.started: list[Started] = []
        self.unread: list[str] = []  # files that it sources or calls, and that could not be read
        self.read: list[Path] = []
        self._functions: dict[str, Node] = {}
        self._path = path
        self._first_line, self._left, self._depth = 1, MOST, 0
        self._outer: Started | None = None

    def run_file(self, path: Path) -> None:
        """Follow a file. Raises OSError where it cannot be read."""
        text = text_of(path, "replace", largest=LONGEST)
        self.read.append(path)
        before, self._path = self._path, path
        self.run(text)
        self._path = before

    def run(self, text: str, first_line: int = 1) -> None:
        """Follow a text, whose first line has this number."""
        before, self._first_line = self._first_line, first_line
        for name, value in ({} if self.knows_environment else _job(text)).items():
            self.state.variables.setdefault(name, value)
            self.state.exported.add(name)
        self._block(_parser().parse(text.encode()).root_node)
        self._first_line = before

    # statements

    def _block(self, node: Node) -> None:
        for child in node.named_children:
            if self.state.ended:
                return
            if not _is_broken(child):
                self._statement(child)

    def _statement(self, node: Node) -> None:
        self._left -= 1
        if self._left < 0:
            self.state.ended = True
            return
        follow = getattr(self, f"_{node.type}", None)  # the grammar's name for a statement
        if follow is not None:
            follow(node)
        elif node.type in ("program", "compound_statement", "do_group", "else_clause", "negated_command"):
            self._block(node)
        elif node.type in ("variable_assignments", "declaration_command"):
            exports = node.type == "declaration_command" and node.children[0].type == "export"
            for child in node.named_children:
                name = (
                    self._variable_assignment(child) if child.type == "variable_assignment" else _text(child)
                )
                if exports:
                    self.state.exported.add(name)

    def _apart(self, nodes: Iterable[Node]) -> None:
        """In a shell of its own, which changes nothing of this one."""
        before = self.state.copy()
        for node in nodes:
            if not self.state.ended:
                self._statement(node)
        self.state = before

    def _subshell(self, node: Node) -> None:
        self._apart(node.named_children)

    def _pipeline(self, node: Node) -> None:
        for child in node.named_children:
            self._apart([child])

    def _redirected_statement(self, node: Node) -> None:
        body = node.child_by_field_name("body")
        if body is not None:
            self._statement(body)
        for child in node.named_children:
            if child.type == "heredoc_redirect" and body is not None and body.type == "command":
                words = self._words(body)
                text = next((one for one in child.named_children if one.type == "heredoc_body"), None)
                if words and text is not None and Path(words[0]).name in ("sbatch", *SHELLS):
                    self._called(partial(_run_text, _text(text)), words[1:])

    def _list(self, node: Node) -> None:
        left, right = node.named_children[0], node.named_children[-1]
        either = any(child.type == "||" for child in node.children)
        truth = self._truth(left)
        self._statement(left)
        if self.state.ended or (truth is not None and truth is either):
            return
        if either or (truth is None and left.type in ("test_command", "negated_command")):
            self._branches([[right], []])
        else:
            self._statement(right)

    def _branches(self, branches: Sequence[Sequence[Node]]) -> None:
        """Each may be taken: what they make of a variable is known where they agree."""
        before, after = self.state, []
        for nodes in branches:
            self.state = before.copy()
            for node in nodes:
                if not self.state.ended:
                    self._statement(node)
            after.append(self.state)
        going = [state for state in after if not state.ended]
        if not going and not self.knows_environment:  # its usage: the reader will call it rightly
            going = [before]
        self.state = (going or after)[0]
        for other in going[1:]:
            for name in {*self.state.variables, *other.variables}:
                if self.state.variables.get(name) != other.variables.get(name):
                    self.state.variables[name] = UNKNOWN
            self.state.exported |= other.exported
            self.state.folder = self.state.folder if self.state.folder == other.folder else before.folder

    def _if_statement(self, node: Node) -> None:
        branches: list[list[Node]] = []
        is_certain = False
        parts = [(node, [child for child in node.named_children if not child.type.endswith("_clause")])]
        parts += [
            (child, list(child.named_children))
            for child in node.named_children
            if child.type.endswith("_clause")
        ]
        for part, inner in parts:
            inner = [child for child in inner if child.type != "comment"]
            if part.type == "else_clause":
                branches.append(inner)
                is_certain = True
                break
            condition, body = inner[:1], inner[1:]
            truth = self._truth(condition[0]) if condition else None
            if truth is not False:
                branches.append(body)
            if truth:
                is_certain = True
                break
        self._branches(branches if is_certain else [*branches, []])

    def _case_statement(self, node: Node) -> None:
        value = self._joined(node.child_by_field_name("value"))
        taken: list[list[Node]] = []
        for item in (child for child in node.named_children if child.type == "case_item"):
            patterns = item.children_by_field_name("value")
            body = [child for child in item.named_children if child not in patterns]
            fits = any(fnmatch.fnmatchcase(value, _text(pattern)) for pattern in patterns)
            if UNKNOWN in value:
                taken.append(body)
            elif fits:
                return self._branches([body])
        return self._branches([*taken, []])

    def _for_statement(self, node: Node) -> None:
        name, body = node.child_by_field_name("variable"), node.child_by_field_name("body")
        if name is None or body is None:
            return
        values = [word for value in node.children_by_field_name("value") for word in self._fields(value)]
        for value in values[:64] or [UNKNOWN]:
            self.state.variables[_text(name)] = value
            self._statement(body)

    def _while_statement(self, node: Node) -> None:
        body = node.child_by_field_name("body")
        if body is not None:
            self._branches([[body], []])

    def _c_style_for_statement(self, node: Node) -> None:
        self._while_statement(node)

    def _function_definition(self, node: Node) -> None:
        name, body = node.child_by_field_name("name"), node.child_by_field_name("body")
        if name is not None and body is not None:
            self._functions[_text(name)] = body

    def _variable_assignment(self, node: Node) -> str:
        """Assign; the name."""
        target, value = node.child_by_field_name("name"), node.child_by_field_name("value")
        name = _text(target) if target is not None else ""
        if target is None or target.type == "subscript":
            self.state.variables[name.partition("[")[0]] = UNKNOWN
            return name.partition("[")[0]
        found: str | list[str] = ""
        if value is not None and value.type == "array":
            found = [word for child in value.named_children for word in self._fields(child)]
        elif value is not None:
            found = self._joined(value)
        if any(child.type == "+=" for child in node.children):
            old = self.state.variables.get(name, [] if isinstance(found, list) else "")
            if isinstance(old, list):
                found = [*old, *([found] if isinstance(found, str) else found)]
            else:
                found = old + (found if isinstance(found, str) else " ".join(found))
        self.state.variables[name] = found
        return name

    def _unset_command(self, node: Node) -> None:
        for child in node.named_children:
            self.state.variables.pop(_text(child), None)

    # commands

    def _command(self, node: Node) -> None:
        if node.has_error:
            return
        words = self._words(node)
        given = [child for child in node.named_children if child.type == "variable_assignment"]
        if not words:
            return
        before = self.state
        self.state = before.copy()
        own = [self._variable_assignment(child) for child in given]
        env = self._environment({*before.exported, *own})
        self.state = before
        line = next(
            (child for child in node.named_children if b"nproc" in (child.text or b"")), node
        ).start_point[0]
        self._start(words, env, _text(node), line + self._first_line)

    def _environment(self, names: Iterable[str]) -> dict[str, str]:
        found = ((name, self.state.variables.get(name)) for name in names)
        return {name: value for name, value in found if isinstance(value, str)}

    def _words(self, node: Node) -> list[str]:
        left_out = (
            "variable_assignment",
            "file_redirect",
            "herestring_redirect",
            "heredoc_redirect",
            "comment",
        )
        return [
            word
            for child in node.named_children
            if child.type not in left_out
            for word in self._fields(child)
        ]

    def _start(self, words: list[str], env: Mapping[str, str], text: str, line: int) -> None:
        name, rest = words[0], words[1:]
        builtin = getattr(self, f"_do_{name}", None) if name.isalpha() else None
        if name == ".":
            self._do_source(rest)
        elif builtin is not None:
            builtin(rest)
        elif name in self._functions and self._depth < DEEPEST:
            arguments, self.state.arguments = self.state.arguments, rest
            self._depth += 1
            self._statement(self._functions[name])
            self._depth -= 1
            self.state.arguments = arguments
        else:
            wrappers, inner, more = without_wrappers(words)
            found = Started(
                words=tuple(inner), wrappers=tuple(wrappers), env={**env, **more}, folder=self.state.folder,
                text=text, line=line, path=self._path,
            )  # fmt: skip
            self.started.append(self._outer_place(found))
            self._call(found)

    def _outer_place(self, found: Started) -> Started:
        """Where a launch stands for the reader: in the document that calls the script."""
        outer = self._outer
        return found if outer is None else replace(found, line=outer.line, path=outer.path, text=outer.text)

    def _call(self, found: Started) -> None:
        """Follow a script that is called, as far as it may be read."""
        words = list(found.words)
        if not words:
            return
        name = Path(words[0]).name
        if name in (*SHELLS, "sbatch"):
            if name == "sbatch":
                wrapped = next((word for word in words if word.startswith("--wrap")), None)
                if wrapped is not None:
                    text = wrapped.partition("=")[2] or words[words.index(wrapped) + 1]
                    self._called(partial(_run_text, text), [], found)
                    return
            if "-c" in words[1:-1]:
                inner = words[words.index("-c") + 1]
                self._called(partial(_run_text, inner), words[words.index("-c") + 3 :], found)
                return
            words = words[next((n for n, word in enumerate(words) if n and word[:1] != "-"), len(words)) :]
        elif not words[0].endswith(".sh"):
            return
        if not words:
            return
        path = self._file(words[0])
        if path is not None:
            self._called(lambda shell: shell.run_file(path), words[1:], found)

    def _called(
        self, run: Callable[[Shell], None], arguments: Sequence[str], found: Started | None = None
    ) -> None:
        """Let another shell run, with what this one exports."""
        if self._depth >= DEEPEST:
            return
        shell = Shell(self.state.folder, arguments=arguments, root=self.root)
        env = dict(found.env) if found else self._environment(self.state.exported)
        shell.state.variables |= env
        shell.state.exported |= set(env)
        shell.knows_environment = self.knows_environment
        shell._depth, shell._left = self._depth + 1, self._left
        shell._outer = self._outer or found
        run(shell)
        self._left = shell._left
        self.started += shell.started
        self.unread += shell.unread
        self.read += shell.read

    def _file(self, name: str) -> Path | None:
        """A script by its name, where it may be read."""
        path = Path(os.path.normpath(self.state.folder / name))
        if UNKNOWN not in name and path.is_file() and (self.root is None or path.is_relative_to(self.root)):
            return path
        self.unread.append(name.replace(UNKNOWN, "?"))
        return None

    def _do_cd(self, words: Sequence[str]) -> None:
        places = [word for word in words if not word.startswith("-")]
        if places and UNKNOWN not in places[0]:
            self.state.folder = Path(os.path.normpath(self.state.folder / places[0]))

    _do_pushd = _do_cd

    def _do_source(self, words: Sequence[str]) -> None:
        path = self._file(words[0]) if words else None
        if path is None or self._depth >= DEEPEST:
            return
        arguments = self.state.arguments
        self.state.arguments = list(words[1:]) or arguments
        self._depth += 1
        self.run_file(path)
        self._depth -= 1
        self.state.arguments = arguments

    def _do_eval(self, words: Sequence[str]) -> None:
        self._block(_parser().parse(" ".join(words).encode()).root_node)

    def _do_set(self, words: Sequence[str]) -> None:
        if "--" in words:
            self.state.arguments = list(words[words.index("--") + 1 :])

    def _do_shift(self, words: Sequence[str]) -> None:
        count = int(words[0]) if words and words[0].isdecimal() else 1
        del self.state.arguments[:count]

    def _do_exit(self, _: Sequence[str]) -> None:
        self.state.ended = True

    # conditions

    def _truth(self, node: Node) -> bool | None:
        """Whether a condition holds; None where only a run could tell."""
        if node.type == "negated_command":
            inner = self._truth(node.named_children[0])
            return None if inner is None else not inner
        if node.type == "command" and (word := _text(node)) in ("true", ":", "false"):
            return word != "false"
        if node.type != "test_command" or len(node.named_children) != 1:
            return None
        test = node.named_children[0]
        parts = [child for child in test.children if child.type not in ("[", "]")]
        if test.type == "unary_expression" and len(parts) == 2 and _text(parts[0]) in ("-z", "-n"):
            value = self._joined(parts[1], unset="")
            return None if UNKNOWN in value else (not value) is (_text(parts[0]) == "-z")
        compare = (
            _TESTS.get(_text(parts[1])) if test.type == "binary_expression" and len(parts) == 3 else None
        )
        if compare is None:
            return None
        one, other = (self._joined(part, unset="") for part in (parts[0], parts[2]))
        try:
            return None if UNKNOWN in one + other else compare(one, other)
        except ValueError:
            return None

    # words

    def _joined(self, node: Node | None, unset: str = UNKNOWN) -> str:
        """A word as one text; a positional argument that nobody gave reads as `unset`."""
        if node is None:
            return ""
        return " ".join(self._fields(node, split=False, unset=unset))

    def _fields(self, node: Node, *, split: bool = True, unset: str = UNKNOWN) -> list[str]:
        """The words that a word becomes."""
        fields, solid = [""], False
        for value, quoted in self._parts(node, unset):
            if isinstance(value, list):
                solid = solid or bool(value)
                if value:
                    fields[-1] += value[0]
                    fields += value[1:]
            elif quoted or not split:
                fields[-1] += value
                solid = solid or quoted or bool(value)
            else:
                pieces = re.split(r"\s+", value)
                fields[-1] += pieces[0]
                fields += pieces[1:]
        return [word for word in fields if word or solid]

    def _parts(self, node: Node, unset: str, quoted: bool = False) -> Iterator[tuple[str | list[str], bool]]:
        """The values that a word is made of, each with whether the shell leaves it whole."""
        kind, text = node.type, _text(node)
        if kind in ("command_name", "concatenation"):
            for child in node.named_children:
                yield from self._parts(child, unset)
        elif kind in ("string", "translated_string"):
            inner = node.children[0] if kind == "translated_string" else node
            parts = list(self._quoted(inner, unset))
            if not any(value == [] for value, _ in parts):
                yield "", True
            yield from (part for part in parts if part[0])
        elif kind in ("raw_string", "ansi_c_string"):
            yield _plain(text), True
        elif kind in ("simple_expansion", "expansion"):
            yield self._expansion(node, unset, quoted), quoted
        elif kind == "command_substitution":
            yield self._output(node), quoted
        elif kind == "arithmetic_expansion":
            yield self._count(text), quoted
        else:
            yield UNKNOWN if kind == "process_substitution" else _unquoted(text), True

    def _quoted(self, node: Node, unset: str) -> Iterator[tuple[str | list[str], bool]]:
        """What stands between double quotes, also the spaces that the tree leaves out."""
        content, begin = node.text or b"", node.start_byte
        at = 1
        for child in node.named_children:
            if child.type == "string_content":
                continue
            text = _text(child)
            space = text[: len(text) - len(text.lstrip())]  # the tree counts it to `$(`
            yield _unescaped(content[at : child.start_byte - begin].decode()) + space, True
            yield from self._parts(child, unset, quoted=True)
            at = child.end_byte - begin
        yield _unescaped(content[at:-1].decode()), True

    def _value(self, name: str) -> str | list[str] | None:
        """A variable's or argument's value; None where it has none."""
        arguments = self.state.arguments
        if name in ("@", "*"):
            return list(arguments)
        if name == "#":
            return str(len(arguments)) if arguments or self.knows_environment else UNKNOWN
        if name == "0":
            return str(self._path or UNKNOWN)
        if name.isdecimal():
            return arguments[int(name) - 1] if int(name) <= len(arguments) else None
        if name == "BASH_SOURCE":
            return [str(self._path or UNKNOWN)]
        if name == "PWD":
            return str(self.state.folder)
        return self.state.variables.get(name)

    def _expansion(self, node: Node, unset: str, quoted: bool) -> str | list[str]:
        body = _text(node)[1:].removeprefix("{").removesuffix("}")
        found = re.match(r"(#?)([A-Za-z_]\w*|\d+|[@*#?!$-])(?:\[([^\]]*)\])?(.*)", body, re.DOTALL)
        if found is None:
            return UNKNOWN
        counts, name, index, rest = found.groups()
        value = self._value(name)
        if isinstance(value, list) and name not in ("@", "*") and index not in ("@", "*"):
            at = index or "0"
            value = value[int(at)] if at.isdecimal() and int(at) < len(value) else None
        if counts:
            return UNKNOWN if value is None else str(len(value))
        if rest[:1] == ":" and rest[1:2].isdecimal() and isinstance(value, list):
            first, _, length = rest[1:].partition(":")
            found_from = value[max(int(first) - (name in ("@", "*")), 0) :]
            return found_from[: int(length)] if length.isdecimal() else found_from
        if operation := re.match(r":?[-=+?]", rest):
            return self._with_default(node, name, value, operation[0], unset)
        if value is None:
            if name.isdecimal():
                return unset
            return "" if self.knows_environment else UNKNOWN
        if not isinstance(value, str):
            return value if name == "@" or index == "@" or not quoted else " ".join(value)
        return _trimmed(value, rest) if rest else value

    def _with_default(
        self, node: Node, name: str, value: str | list[str] | None, operation: str, unset: str
    ) -> str | list[str]:
        """`${X:-default}` and its like."""
        at = _text(node).index(operation) + len(operation)
        default = ""
        for child in node.named_children:
            if child.start_byte - node.start_byte >= at:
                default += self._joined(child, unset)
        is_there = value is not None and (bool(value) or operation[0] != ":")
        if operation[-1] == "+":
            return default if is_there else ""
        if is_there and value is not None:
            return value
        if operation[-1] == "?":
            return unset
        if operation[-1] == "=":
            self.state.variables[name] = default
        return default

    def _count(self, text: str) -> str:
        """An arithmetic expression of whole numbers."""
        body = re.sub(r"\$?\{?\b([A-Za-z_]\w*)\b\}?", lambda m: str(self._value(m[1])), text[3:-2])
        try:
            return str(_calculated(parsed_expression(body)))
        except (SyntaxError, ValueError, ZeroDivisionError, RecursionError):
            return UNKNOWN

    def _output(self, node: Node) -> str:
        """What a command prints, for the few that only handle paths."""
        commands = [child for child in node.named_children if child.type != "comment"]
        if len(commands) == 1 and commands[0].type == "list":
            commands = list(commands[0].named_children)
        if any(command.type != "command" for command in commands) or not commands:
            return UNKNOWN
        before = self.state.folder
        for command in commands[:-1]:
            words = self._words(command)
            if words[:1] != ["cd"]:
                return UNKNOWN
            self._do_cd([word for word in words[1:] if word != "--"])
        said = self._printed(self._words(commands[-1]))
        self.state.folder = before
        return said

    def _printed(self, words: Sequence[str]) -> str:
        arguments = [word for word in words[1:] if not word.startswith("-")]
        if UNKNOWN in "".join(words):
            return UNKNOWN
        if words[:1] == ["pwd"]:
            return str(self.state.folder)
        if words[:1] == ["echo"]:
            return " ".join(words[1:])
        if len(arguments) == 1:
            path = self.state.folder / arguments[0]
            if words[0] == "dirname":
                return os.path.dirname(arguments[0]) or "."  # noqa: PTH120 (as the program says it)
            if words[0] == "basename":
                return path.name
            if words[0] in ("realpath", "readlink"):
                return os.path.normpath(path)
        return UNKNOWN


def without_wrappers(words: Sequence[str]) -> tuple[list[str], list[str], dict[str, str]]:
    """The words of the wrappers, those of the program within, and what they put into its environment."""
    left, inner, env = [], list(words), dict[str, str]()
    while inner:
        while inner and (found := ASSIGNMENT.fullmatch(inner[0])):
            env[found[1]] = found[2]
            left.append(inner.pop(0))
        pair = " ".join([Path(inner[0]).name, *inner[1:2]]) if inner else ""
        name = next((name for name in (pair, pair.partition(" ")[0]) if name in WRAPPERS), None)
        if name is None:
            break
        size = len(name.split())
        left += inner[:size]
        inner = inner[size:]
        while inner and inner[0].startswith("-"):
            taken = 2 if inner[0] in WRAPPERS[name] else 1
            left += inner[:taken]
            inner = inner[taken:]
        left += inner[: TAKING_ONE.get(name, 0)]
        inner = inner[TAKING_ONE.get(name, 0) :]
    return left, inner, env


def _run_text(text: str, shell: Shell) -> None:
    shell.run(text)


def _job(text: str) -> dict[str, str]:
    """The variables that SLURM sets for what the head of a job script asks for."""
    asked = {name.lstrip("-"): value for name, value in _SBATCH.findall(text)}
    if not asked:
        return {}
    nodes = asked.get("nodes", asked.get("N", "1"))
    tasks = asked.get("ntasks-per-node")
    found = {"SLURM_JOB_NUM_NODES": nodes, "SLURM_NNODES": nodes, "SLURM_NTASKS_PER_NODE": tasks}
    total = asked.get("ntasks", asked.get("n"))
    if total is None and tasks and (tasks + nodes).isdecimal():
        total = str(int(tasks) * int(nodes))
    gpus = asked.get("gpus-per-node") or asked.get("gres") or (asked.get("gpus") if nodes == "1" else None)
    number = re.search(r"(?:^|:)(\d+)$", gpus or "")
    found |= {"SLURM_NTASKS": total, "SLURM_GPUS_ON_NODE": number[1] if number else None}
    return {name: value for name, value in found.items() if value}


def _calculated(node: ast.expr) -> int:
    """The value of an expression of whole numbers. Raises ValueError for any other."""
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_calculated(node.operand)
    if isinstance(node, ast.BinOp) and type(node.op) in _COUNTS:
        return _COUNTS[type(node.op)](_calculated(node.left), _calculated(node.right))
    raise ValueError(ast.dump(node))


def _trimmed(value: str, operation: str) -> str:
    """`${X%pattern}`, `${X#pattern}` and their longest forms; UNKNOWN for any other operation."""
    found = re.match(r"(%%?|##?)(.+)", operation, re.DOTALL)
    if found is None or UNKNOWN in value:
        return UNKNOWN
    ends = range(len(value) + 1)
    cuts: Iterable[int] = ends if found[1] in ("#", "%%") else reversed(ends)
    for cut in cuts:
        head, tail = value[:cut], value[cut:]
        if fnmatch.fnmatchcase(head if found[1][0] == "#" else tail, found[2]):
            return tail if found[1][0] == "#" else head
    return value


def _plain(text: str) -> str:
    """What stands between single quotes, or `$'` and `'`."""
    if not text.startswith("$"):
        return text[1:-1]
    return re.sub(r"\\(.)", lambda m: {"n": "\n", "t": "\t"}.get(m[1], m[1]), text[2:-1])


def _unquoted(text: str) -> str:
    """A word without quotes as the shell reads it."""
    plain = re.sub(r"\\(\n?)(.?)", lambda m: "" if m[1] else m[2], text, flags=re.DOTALL)
    return os.path.expanduser(plain) if plain.startswith("~/") else plain  # noqa: PTH111


def _unescaped(text: str) -> str:
    """A text between double quotes as the shell reads it."""
    return re.sub(r"\\([$`\"\\\n])", lambda m: "" if m[1] == "\n" else m[1], text)


def _is_broken(node: Node) -> bool:
    """Whether a statement's end is beyond what parses, as where quotes do not match."""
    after = node.next_sibling
    return after is not None and after.type == "ERROR" and after.start_point[0] == node.end_point[0]


def _text(node: Node) -> str:
    return (node.text or b"").decode("utf-8", "replace")
