"""Questions about imports: which file a name would come from, without importing it.

Also run as a program of its own: a fresh interpreter has the search path that a launch starts with, which the
probe's own, after it has imported training code, need not be.
"""

from __future__ import annotations

import glob
import json
import os
import site
import subprocess
import sys
from importlib.machinery import BuiltinImporter, FrozenImporter, ModuleSpec, PathFinder
from typing import Any, TypedDict


class Copy(TypedDict):
    """One copy of a module; `file` is None for folders without __init__.py, `entry` for an import hook."""

    file: str | None
    portions: list[str]
    entry: str | None
    through: str
    source: str
    distribution: str | None


class Resolved(TypedDict):
    """All copies by name, the one that wins first; why the script's edits cannot be replayed, or nothing."""

    copies: dict[str, list[Copy]]
    refusal: str


def resolved(names: list[str], edits: str, folder: str, pythonpaths: list[str | None]) -> list[Resolved]:
    """For each PYTHONPATH (null: the launch's own) and each name, all copies, the one that wins first.

    `folder` is what the launch has as `sys.path[0]`.
    """
    children = [_child(pythonpath) for pythonpath in pythonpaths]
    request = json.dumps({"script": sys.argv[0], "folder": folder, "names": names, "edits": edits}).encode()
    return [_answer(child, request) for child in children]


def _child(pythonpath: str | None) -> subprocess.Popen[bytes]:
    """This file as a program, in the launch's environment but for PYTHONPATH."""
    env = dict(os.environ)
    if pythonpath is not None:
        env["PYTHONPATH"] = pythonpath  # an empty one counts as unset
    return subprocess.Popen(
        [sys.executable, "-B", os.path.abspath(__file__)],
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


def _answer(child: subprocess.Popen[bytes], request: bytes) -> Resolved:
    out, _ = child.communicate(request)
    if child.returncode != 0 or not out:
        raise RuntimeError("a fresh interpreter ended with code %d and no answer" % child.returncode)
    answer: Resolved = json.loads(out.splitlines()[-1])  # a sitecustomize may print before us
    return answer


def main() -> None:
    request = json.loads(sys.stdin.readline())
    if not getattr(sys.flags, "safe_path", False):  # then no script's folder comes first
        sys.path[0] = request["folder"]
    before = [os.path.abspath(entry) for entry in sys.path]
    refusal = _edit_path(request["edits"], request["script"])
    answer = {name: copies(name, before) for name in request["names"]}
    print(json.dumps({"copies": answer, "refusal": refusal}))


def _edit_path(edits: str, script: str) -> str:
    """Change sys.path as the script itself does before its imports; what went wrong, or an empty string."""
    try:
        exec(compile(edits, script, "exec", dont_inherit=True), {"__file__": script, "__name__": "__main__"})
    except (Exception, SystemExit) as problem:
        return "%s: %s" % (type(problem).__name__, problem)
    return ""


def copies(name: str, before: list[str]) -> list[Copy]:
    """Every copy of a top-level module, in the order in which they would be found, the winner first."""
    found: list[Copy] = []
    for finder in sys.meta_path:
        if finder is PathFinder:
            found += _on_path(name, before)
        elif finder not in (BuiltinImporter, FrozenImporter):
            found += _of_finder(name, finder)
    return found


def _on_path(name: str, before: list[str]) -> list[Copy]:
    """What the path finder takes, then what each entry of sys.path holds alone.

    A regular package anywhere on the path beats a folder without __init__.py earlier on it.
    """
    winner = PathFinder.find_spec(name, sys.path)
    if winner is None:
        return []
    entries = [os.path.abspath(entry) for entry in sys.path]
    alone = [(entry, PathFinder.find_spec(name, [entry])) for entry in dict.fromkeys(entries)]
    seen = [(entry, spec) for entry, spec in alone if spec is not None]
    seen.sort(key=lambda pair: pair[1].origin != winner.origin)  # stable: the rest stays in path order
    found = [_copy(name, spec, entry, *_through(entry, before)) for entry, spec in seen]
    if _is_namespace(winner):  # one package, made of all the folders
        found[0]["portions"] = [portion for copy in found for portion in copy["portions"]]
        return found[:1]
    return found


def _of_finder(name: str, finder: Any) -> list[Copy]:
    """What an installed import hook, as of an editable install, would answer."""
    try:
        spec = finder.find_spec(name, None)
    except Exception:
        return []
    if spec is None:
        return []
    module = getattr(finder, "__module__", None) or type(finder).__module__
    source = getattr(sys.modules.get(module), "__file__", None) or module
    return [_copy(name, spec, None, "import hook", source)]


def _copy(name: str, spec: ModuleSpec, entry: str | None, through: str, source: str) -> Copy:
    namespace = _is_namespace(spec)
    return {
        "file": os.path.abspath(spec.origin) if spec.origin and spec.has_location and not namespace else None,
        "portions": [os.path.abspath(part) for part in _locations(spec)] if namespace else [],
        "entry": entry,
        "through": through,
        "source": source,
        "distribution": _distribution(name, entry, source) if through not in OUR_OWN else None,
    }


OUR_OWN = ("script folder", "PYTHONPATH", "sys.path edit")


def _is_namespace(spec: ModuleSpec) -> bool:
    return spec.origin in (None, "namespace") and spec.submodule_search_locations is not None


def _locations(spec: ModuleSpec) -> list[str]:
    """The folders that were found; iterating over them would look along the whole of sys.path again."""
    locations: Any = spec.submodule_search_locations
    return list(getattr(locations, "_path", locations))


def _through(entry: str, before: list[str]) -> tuple[str, str]:
    """How an entry came onto sys.path, and the file that put it there, if one did."""
    pythonpath = [
        os.path.abspath(part) for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part
    ]
    if entry == before[0]:
        return "script folder", ""
    if entry not in before:
        return "sys.path edit", ""
    if entry in pythonpath:
        return "PYTHONPATH", ""
    pth = _path_file(entry)
    if pth:
        return "path file", pth
    return ("site-packages" if entry in _site_folders() else "sys.path"), ""


def _site_folders() -> list[str]:
    folders = [*getattr(site, "getsitepackages", list)(), site.getusersitepackages()]
    folders += [entry for entry in sys.path if os.path.basename(entry) in ("site-packages", "dist-packages")]
    return [os.path.abspath(folder) for folder in folders]


def _path_file(entry: str) -> str | None:
    """The .pth file that names an entry."""
    for folder in dict.fromkeys(_site_folders()):
        for path in sorted(glob.glob(os.path.join(glob.escape(folder), "*.pth"))):
            with open(path, encoding="utf-8", errors="replace") as lines:
                if any(_names(line.strip(), folder, entry) for line in lines):
                    return path
    return None


def _names(line: str, folder: str, entry: str) -> bool:
    if line.startswith("import"):
        return entry in line
    return bool(line) and os.path.realpath(os.path.join(folder, line)) == os.path.realpath(entry)


def _distribution(name: str, entry: str | None, source: str) -> str | None:
    """The installed distribution that a copy belongs to: what `pip uninstall` wants to hear."""
    from importlib import metadata

    folders = [entry, os.path.dirname(source or "")]
    for distribution in metadata.distributions(path=[folder for folder in folders if folder]):
        record = distribution.read_text("RECORD") or ""
        tops = (distribution.read_text("top_level.txt") or "").split()
        owns = record.startswith((name + "/", name + ".py,")) or "\n" + name + "/" in record
        owns = owns or "\n" + name + ".py," in record
        if owns or name in tops or (source and os.path.basename(source) in record):
            return distribution.metadata["Name"]
    return None


if __name__ == "__main__":
    main()
