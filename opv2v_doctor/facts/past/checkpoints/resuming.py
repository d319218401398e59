"""Resuming: the call with which the repository itself loads a checkpoint, where that takes weights only."""

from __future__ import annotations

import ast
import os
from pathlib import Path

from packaging.version import Version

from opv2v_doctor.facts.machine.environment import interpreter
from opv2v_doctor.facts.source.names import named
from opv2v_doctor.facts.source.syntax import find, nodes
from opv2v_doctor.state import fact
from opv2v_doctor.target import Target
from opv2v_doctor.text import Place

FIRST = Version(
    "2.6"
)  # of torch, whose load takes weights only where nothing else is said: its release notes
FORCED = "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"  # torch.serialization
ALLOWING = ("add_safe_globals", "safe_globals")


@fact
def resuming_load(target: Target) -> Place | None:
    """The `torch.load` of the resume that takes weights only; None where it takes all, or is not found."""
    resume = named(target, "load_model")
    if resume is None or resume.place.path is None:
        return None
    for call in _loads(resume.place.path, resume.name):
        given = next((each.value for each in call.keywords if each.arg == "weights_only"), None)
        says_so = isinstance(given, ast.Constant) and given.value is True
        is_told = given is not None or any(each.arg is None for each in call.keywords)  # **words
        if (says_so or (not is_told and _is_the_default(target))) and not _allows(target):
            return Place(path=resume.place.path, line=call.lineno, text=ast.unparse(call))
    return None


def _loads(path: Path, name: str) -> list[ast.Call]:
    """The calls of `torch.load` in a function, in their order."""
    functions = [each for each in nodes(path) if isinstance(each, ast.FunctionDef) and each.name == name]
    calls = (each for function in functions for each in ast.walk(function) if isinstance(each, ast.Call))
    return [call for call in calls if ast.unparse(call.func) == "torch.load"]


def _allows(target: Target) -> bool:
    """Whether the launch allows further globals: which, only running it could tell."""
    return any(find(target, lambda node: getattr(node, "attr", "") in ALLOWING, "safe_globals"))


def _is_the_default(target: Target) -> bool:
    version = interpreter(target).versions.get("torch")
    forced = target.launch_env.get(FORCED, os.environ.get(FORCED, "0"))
    return (
        version is not None and Version(version) >= FIRST and forced.lower() not in ("1", "y", "yes", "true")
    )
