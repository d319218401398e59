"""Questions about the interpreter itself."""

from __future__ import annotations

import os
import platform
import re
import sys
from typing import TypedDict


class Interpreter(TypedDict):
    """What an interpreter says of itself."""

    version: str
    executable: str
    path: list[str]
    markers: dict[str, str]
    cuda: str | None


def interpreter() -> Interpreter:
    """Version and search path, as the launch has them."""
    return {
        "version": platform.python_version(),
        "executable": sys.executable,
        "path": list(sys.path),
        "markers": markers(),
        "cuda": cuda_of_torch(),
    }


def markers() -> dict[str, str]:
    """What the environment markers of a requirement are compared with (PEP 508)."""
    return {
        "implementation_name": sys.implementation.name,
        "implementation_version": platform.python_version(),
        "os_name": os.name,
        "platform_machine": platform.machine(),
        "platform_python_implementation": platform.python_implementation(),
        "platform_release": platform.release(),
        "platform_system": platform.system(),
        "platform_version": platform.version(),
        "python_full_version": platform.python_version(),
        "python_version": ".".join(platform.python_version_tuple()[:2]),
        "sys_platform": sys.platform,
        "extra": "",
    }


def cuda_of_torch() -> str | None:
    """The CUDA version that torch was built for, read from its source: importing torch takes a second."""
    import importlib.util

    spec = importlib.util.find_spec("torch")
    if spec is None or not spec.origin:
        return None
    try:
        with open(os.path.join(os.path.dirname(spec.origin), "version.py"), encoding="utf-8") as source:
            found = re.search(r"^cuda\b[^=\n]*=\s*['\"]([^'\"]+)['\"]", source.read(), re.MULTILINE)
    except OSError:
        return None
    return found.group(1) if found else None


def importable(modules: list[str]) -> dict[str, str | None]:
    """The file of each top-level module, None where there is none. Nothing is imported."""
    import importlib.util

    specs = {name: importlib.util.find_spec(name) for name in modules}
    return {name: (spec.origin or "namespace") if spec else None for name, spec in specs.items()}


def versions(packages: list[str]) -> dict[str, str | None]:
    """Installed version of each distribution, None where it is not installed."""
    from importlib import metadata

    found: dict[str, str | None] = {}
    for name in packages:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found
