"""Questions about what is installed."""

from __future__ import annotations

import json
from importlib import metadata


def installed() -> list[tuple[str, str, str]]:
    """Name, version and origin of every distribution, the first of each name, as an import would find it."""
    found: dict[str, tuple[str, str, str]] = {}
    for distribution in metadata.distributions():
        name = distribution.metadata["Name"]
        if name and name.lower() not in found:
            found[name.lower()] = (name, distribution.version, origin(distribution))
    return [found[name] for name in sorted(found)]


def origin(distribution: metadata.Distribution) -> str:
    """Where pip took it from when not from an index: an address with its commit, or a folder."""
    try:
        direct = json.loads(distribution.read_text("direct_url.json") or "{}")
    except ValueError:
        return ""
    commit = direct.get("vcs_info", {}).get("commit_id", "")
    editable = " (editable)" if direct.get("dir_info", {}).get("editable") else ""
    return str(direct.get("url", "")) + ("@" + commit if commit else "") + editable
