"""Examined text as syntax trees: in several threads, and whatever it holds."""

import ast
import gc
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from opv2v_doctor.check import Blocked
from opv2v_doctor.facts.source.syntax import hydra_main, parsed_expression, parsed_module
from opv2v_doctor.target import make_target


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


def config_folder(repo: Path, path: str) -> Path:
    """The folder that the `config_path` of a script means, from the repository."""
    (repo / "scripts").mkdir()
    text = f"import hydra\n@hydra.main(config_path={path}, config_name='a.yaml')\ndef run(cfg): ...\n"
    (repo / "scripts/train.py").write_text(text)
    found = hydra_main(make_target(repo=repo))
    assert found is not None
    return found.config_dir.relative_to(repo)


@pytest.mark.parametrize(
    "path",
    [
        "'../config'",
        "str(os.path.dirname(os.path.abspath(__file__))) + '/../config'",
        "os.path.join(os.path.dirname(__file__), '..', 'config')",
        "str(Path(__file__).resolve().parent.parent / 'config')",
    ],
)
def test_a_folder_of_configs_from_the_place_of_the_script(path: str, tmp_path: Path) -> None:
    assert config_folder(tmp_path, path) == Path("config")


def test_a_folder_of_configs_that_only_a_run_could_tell_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(Blocked) as blocked:
        config_folder(tmp_path, "os.environ['CONFIGS']")
    assert "[launch] config_path" in str(blocked.value.hint)
