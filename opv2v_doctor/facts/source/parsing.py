"""Python text that is examined, as a syntax tree: the one place that parses it, whatever it holds."""

from __future__ import annotations

import ast
import gc
import threading
import warnings

# Python up to 3.11.7 counts the depth of all trees in one place (python/cpython#106905): where garbage is
# collected within `ast.parse` and another thread parses meanwhile, both end in a SystemError.
_ONE_AT_A_TIME = threading.Lock()


def parsed_module(text: str | bytes, filename: str = "<unknown>") -> ast.Module:
    """The tree of a file; bytes are decoded by Python's own rules. Raises SyntaxError for all it refuses."""
    tree = _tree(text, filename, "exec")
    assert isinstance(tree, ast.Module)
    return tree


def parsed_expression(text: str) -> ast.expr:
    """The tree of one expression. Raises SyntaxError for all that Python refuses."""
    tree = _tree(text.strip(), "<expression>", "eval")
    assert isinstance(tree, ast.Expression)
    return tree.body


def _tree(text: str | bytes, filename: str, mode: str) -> ast.AST:
    with _ONE_AT_A_TIME, warnings.catch_warnings(action="ignore"):  # such as "\d": not ours to warn of
        collects = gc.isenabled()
        gc.disable()
        try:
            return ast.parse(text, filename, mode)
        except (ValueError, RecursionError, MemoryError) as problem:  # a null byte, brackets without end
            raise SyntaxError(str(problem) or type(problem).__name__) from None
        finally:
            if collects:
                gc.enable()
