"""Python imports this as it starts: in the process that runs the training script the watch begins.

What is watched, where it is recorded, and which script or module it is, stands in the environment:
OPV2V_DOCTOR_WATCH, a JSON object. Every other process, and whoever looks at its own, finds all as without us.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import types
from importlib.machinery import PathFinder

SETTINGS = "OPV2V_DOCTOR_WATCH"
PACKAGE = "opv2v_doctor_watch"
HERE = os.path.dirname(os.path.abspath(__file__))
TAKES_A_WORD = ("-X", "-W", "--check-hash-based-pycs")


def load_watch() -> types.ModuleType:
    """The watch, as a package under a name of its own, without touching sys.path."""
    folder = os.path.join(os.path.dirname(HERE), "watch")
    spec = importlib.util.spec_from_file_location(
        PACKAGE, os.path.join(folder, "__init__.py"), submodule_search_locations=[folder]
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[PACKAGE] = module
    spec.loader.exec_module(module)
    return module


def started() -> tuple[str, str]:
    """The script and the module that this process was started with, one of them empty; both of any other."""
    with open("/proc/self/cmdline", "rb") as file:
        words = file.read().decode("utf-8", "surrogateescape").split("\0")[1:-1]
    while words and words[0].startswith("-"):
        option = words.pop(0)
        if option.startswith("--"):
            words = words[1:] if option in TAKES_A_WORD else words
        elif option[:2] in TAKES_A_WORD:
            words = words[1:] if len(option) == 2 else words
        elif option.endswith("m"):
            return "", words[0] if words else ""
        elif "c" in option or "m" in option:  # -c COMMAND, -mMODULE
            return "", option.partition("m")[2]
    return (os.path.realpath(words[0]) if words else ""), ""


def begin() -> None:
    """Install the watch if this is the training; a training must not fail for want of it."""
    if not os.environ.get(SETTINGS):
        return
    try:
        settings = json.loads(os.environ[SETTINGS])
        script, module = started()
        wanted = settings["module"] == module if module else settings["script"] == script
        if not wanted or not (script or module):
            return
        hide()
        load_watch().install(settings)
    except Exception as problem:
        sys.stderr.write("opv2v-doctor: not watched: {}: {}\n".format(type(problem).__name__, problem))


def hide() -> None:
    """What the training starts itself is no rank: it finds the environment as without us."""
    env = os.environ
    del env[SETTINGS]
    parts = [part for part in env.get("PYTHONPATH", "").split(os.pathsep) if os.path.abspath(part) != HERE]
    before = {"PYTHONPATH": os.pathsep.join(parts), "BASH_ENV": env.pop("OPV2V_DOCTOR_BASH_ENV", "")}
    env.pop("OPV2V_DOCTOR_ENTERING", None)
    for name, value in before.items():
        env.pop(name, None)
        if value:
            env[name] = value


def make_room() -> None:
    """Let the sitecustomize that would have been found without us run, or none be found."""
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry) != HERE]
    spec = PathFinder.find_spec("sitecustomize", sys.path)
    if spec is None or spec.loader is None:
        raise ImportError("No module named 'sitecustomize'", name="sitecustomize")
    module = importlib.util.module_from_spec(spec)
    sys.modules["sitecustomize"] = module
    spec.loader.exec_module(module)


begin()
make_room()
