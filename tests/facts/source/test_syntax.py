"""Examined text as syntax trees: in several threads, and whatever it holds."""

import ast
import gc
import threading
import time
import warnings
from collections.abc import Callable

import pytest

from opv2v_doctor.facts.source.syntax import parsed_expression, parsed_module


class Waste:
    """Garbage of which only the collector knows, and that lets other threads run when it goes."""

    def __init__(self) -> None:
        self.itself = self

    def __del__(self) -> None:
        time.sleep(0)


def test_threads_parse_while_garbage_is_collected() -> None:
    text = "\n".join(
        f"def f{i}(a):\n    return [a + {i} * (a - (a + 1)) for a in range({i})]" for i in range(60)
    )
    problems = list[BaseException]()

    def work() -> None:
        try:
            for _ in range(60):
                Waste()
                parsed_module(text)
        except BaseException as problem:
            problems.append(problem)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems
    assert gc.isenabled()


@pytest.mark.parametrize("parsed", [parsed_module, parsed_expression])
@pytest.mark.parametrize("text", ["a b", "a\0b", "(" * 500, "-" * 100_000 + "1"])
def test_whatever_python_refuses_is_a_syntax_error(parsed: Callable[[str], ast.AST], text: str) -> None:
    with pytest.raises(SyntaxError) as refused:
        parsed(text)
    assert refused.value.msg
    assert gc.isenabled()


def test_python_does_not_warn_of_what_is_not_ours() -> None:
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        assert isinstance(parsed_expression(r' "\d" '), ast.Constant)
    assert not shown
