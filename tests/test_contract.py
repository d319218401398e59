"""The contract of findings: templates and values, never sentences that were put together beforehand."""

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from opv2v_doctor.languages.templates import TELLING

ROOT = Path(__file__).parents[1]
SANDBOX = ROOT / "opv2v_doctor" / "sandbox"
SOURCES = [
    path
    for path in [*(ROOT / "opv2v_doctor").rglob("*.py"), *(ROOT / "checks").glob("*.py")]
    if not path.is_relative_to(SANDBOX) and not path.is_relative_to(ROOT / "opv2v_doctor" / "inside")
]
FINDINGS = {"note", "warning", "error"}
TOLD = TELLING - {"say"}


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in TOLD:
            yield node.func.id, node


def built(node: ast.expr) -> bool:
    """Whether a text is put together where a template belongs."""
    if isinstance(node, ast.IfExp):
        return built(node.body) or built(node.orelse)
    formats = (
        isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "format"
    )
    texts = (ast.Constant, ast.JoinedStr)
    added = isinstance(node, ast.BinOp) and (isinstance(node.left, texts) or isinstance(node.right, texts))
    return isinstance(node, ast.JoinedStr) or formats or added


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_is_said_is_a_template_and_its_values(path: Path) -> None:
    wrong = []
    for name, call in calls(path):
        hints = [keyword.value for keyword in call.keywords if keyword.arg == "hint"]
        if any(map(built, [*call.args[:1], *hints])):
            wrong.append(f"{path}:{call.lineno}: {name}() of a text that was put together: give it values")
        given = {keyword.arg for keyword in call.keywords}
        if name in FINDINGS and "at" not in given and given & {"path", "line"}:
            wrong.append(f"{path}:{call.lineno}: {name}() of path and line: give it at=Place(path, line)")
    assert not wrong, "\n".join(wrong)


def test_every_check_has_a_guard_of_its_family() -> None:
    """What makes it fire, keeps it silent, and leaves it nothing to examine: tests/guards runs them."""
    from opv2v_doctor.audit.verdicts import VERDICTS
    from opv2v_doctor.diagnosis import CHECKS as DIAGNOSIS
    from opv2v_doctor.registry import installed_checks
    from opv2v_doctor.smoke import CHECKS

    guarded: list[str] = []
    for path in sorted((ROOT / "tests" / "guards").glob("test_*.py")):
        guarded += importlib.import_module(f".guards.{path.stem}", __package__).GUARDS
    known = (*installed_checks(), *CHECKS, *DIAGNOSIS, *VERDICTS)
    assert sorted(guarded) == sorted(check.code for check in known)
