"""Run a script as `python SCRIPT ARGS...` would, with the watch inside: `python watched.py SCRIPT ARGS...`.

What is watched, and where it is recorded, stands in the environment: OPV2V_DOCTOR_WATCH, a JSON object.
Without it, this is `python SCRIPT ARGS...`.
"""

from __future__ import annotations

import builtins
import importlib.machinery
import importlib.util
import io
import json
import os
import sys
import types

SETTINGS = "OPV2V_DOCTOR_WATCH"
PACKAGE = "opv2v_doctor_watch"
HERE = os.path.dirname(os.path.abspath(__file__))


def load_watch() -> types.ModuleType:
    """The watch, as a package under a name of its own, without touching sys.path."""
    folder = os.path.join(HERE, "watch")
    spec = importlib.util.spec_from_file_location(
        PACKAGE, os.path.join(folder, "__init__.py"), submodule_search_locations=[folder]
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[PACKAGE] = module
    spec.loader.exec_module(module)
    return module


def start_watch() -> None:
    """Install the watch that the environment asks for; a training must not fail for want of it."""
    if not os.environ.get(SETTINGS):
        return
    try:
        load_watch().install(json.loads(os.environ[SETTINGS]))
    except Exception as problem:
        sys.stderr.write("opv2v-doctor: not watched: {}: {}\n".format(type(problem).__name__, problem))


def take_the_place_of(script: str) -> None:
    """Leave `sys.argv` and `sys.path` as they are for `python SCRIPT`."""
    sys.argv = sys.argv[1:]
    if not (getattr(sys.flags, "safe_path", False) or sys.flags.isolated):
        sys.path[0] = os.path.dirname(os.path.realpath(script))


def run(script: str) -> None:
    """Execute a script as the module `__main__`."""
    path = os.path.abspath(script) if sys.version_info >= (3, 9) else script
    with io.open_code(path) as file:
        code = compile(file.read(), path, "exec", dont_inherit=True)  # not our __future__
    main = types.ModuleType("__main__")
    main.__file__ = path
    vars(main).update(__builtins__=builtins, __cached__=None)
    main.__loader__ = importlib.machinery.SourceFileLoader("__main__", path)
    sys.modules["__main__"] = main
    exec(code, main.__dict__)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: python watched.py SCRIPT [ARGUMENTS...]")
    take_the_place_of(sys.argv[1])
    start_watch()
    run(sys.argv[0])
