"""The fault: one thing that can be broken in a healthy repository, and the check that must tell."""

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

Edit = Callable[[Path], None]

FAULTS: dict[str, "Fault"] = {}


@dataclass(frozen=True)
class Fault:
    """A named fault: what is wrong in one line, the code of the check that must find it, how to put it in.

    It shows in the launch with these overrides: in the default one, where there are none.
    """

    name: str
    summary: str
    code: str
    edit: Edit = field(repr=False, compare=False)
    overrides: tuple[str, ...] = ()


def fault(code: str, *overrides: str) -> Callable[[Edit], Edit]:
    """Register a function that breaks a repository; its name and first line become the fault's."""

    def register(edit: Edit) -> Edit:
        name = str(getattr(edit, "__name__", ""))
        if name in FAULTS:
            raise ValueError(f"two faults are called {name}")
        summary = (edit.__doc__ or "").split("\n")[0].strip()
        FAULTS[name] = Fault(name, summary, code, edit, overrides)
        return edit

    return register


def replace_text(path: Path, old: str, new: str) -> None:
    """Replace the one place where a file says `old`; a fault must never silently do nothing."""
    text = path.read_text(encoding="utf-8")
    if text.count(old) != 1:
        raise ValueError(f"{path} holds {old!r} {text.count(old)} times, not once")
    path.write_text(text.replace(old, new), encoding="utf-8")


def set_value(path: Path, key: str, value: str) -> None:
    """Give another value to the one `key: value` line of a YAML file."""
    text = path.read_text(encoding="utf-8")
    changed, count = re.subn(rf"^( *){re.escape(key)}:.*$", rf"\g<1>{key}: {value}", text, flags=re.MULTILINE)
    if count != 1 or changed == text:
        raise ValueError(f"{path} holds {key} {count} times, not once, or has that value already")
    path.write_text(changed, encoding="utf-8")


def copy_package(source: Path, destination: Path) -> None:
    """Copy a package without its compiled files."""
    shutil.copytree(source, destination, ignore=shutil.ignore_patterns("__pycache__"))
