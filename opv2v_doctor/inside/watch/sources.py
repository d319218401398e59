"""The modules of the training repository that this process has imported: where they lie, what they hold."""

from __future__ import annotations

import hashlib
import os
import sys
import sysconfig
from typing import Collection


def first_party(packages: Collection[str]) -> dict[str, list[str]]:
    """{module: [file, hash]} of what is not installed, and of the training's packages wherever they lie."""
    installed = {os.path.realpath(path) for path in sysconfig.get_paths().values()}
    own = __name__.partition(".")[0]
    found = {}
    for name, module in sorted(sys.modules.items()):
        file = getattr(module, "__file__", None)
        ours = name.partition(".")[0] == own or name == "__mp_main__"
        if ours or not isinstance(file, str) or not file.endswith(".py"):
            continue
        if name.partition(".")[0] in packages or not lies_in(os.path.realpath(file), installed):
            found[name] = [os.path.abspath(file), short_hash(file)]
    return found


def lies_in(path: str, folders: Collection[str]) -> bool:
    if os.sep + "site-packages" + os.sep in path or os.sep + "dist-packages" + os.sep in path:
        return True
    return any(path.startswith(folder + os.sep) for folder in folders)


def short_hash(path: str) -> str:
    """A short hash of a file, empty where it is gone."""
    try:
        with open(path, "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()[:16]
    except OSError:
        return ""
