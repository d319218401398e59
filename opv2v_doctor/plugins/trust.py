"""Trust: which plugins the user has allowed to run, by repository and content. Changed content asks again."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

from opv2v_doctor.atomic import whole
from opv2v_doctor.foreign_files import from_json, text_of
from opv2v_doctor.plugins import Plugin
from opv2v_doctor.user_error import UsageError


def is_trusted(repo: Path, plugins: Sequence[Plugin]) -> bool:
    """Whether exactly these plugins, as they were read, were trusted for this repository by this user."""
    try:
        state = _record(repo, plugins).lstat()
    except (OSError, UsageError):
        return False
    return state.st_uid == os.geteuid()


def trust(repo: Path, plugins: Sequence[Plugin]) -> None:
    """Remember that the user trusts these plugins. Raises UsageError where that cannot be remembered."""
    record = _record(repo, plugins)
    try:
        record.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with whole(record) as partial:
            partial.write_text(json.dumps(_content(repo, plugins), indent=1), encoding="utf-8")
    except OSError as problem:
        raise UsageError(f"{record}: cannot be written: {problem.strerror}") from None


def revoke(repo: Path) -> int:
    """Forget everything that was trusted for this repository; returns how much that was."""
    found = [record for record in _folder(repo).glob("*.json") if _is_about(record, repo)]
    for record in found:
        record.unlink(missing_ok=True)
    return len(found)


def _is_about(record: Path, repo: Path) -> bool:
    try:
        return bool(from_json(text_of(record))["repository"] == str(repo))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _record(repo: Path, plugins: Sequence[Plugin]) -> Path:
    """The file whose existence says it; made of what is trusted, its name means nothing else."""
    content = json.dumps(_content(repo, plugins)).encode()
    return _folder(repo) / f"{hashlib.sha256(content).hexdigest()}.json"


def _content(repo: Path, plugins: Sequence[Plugin]) -> dict[str, object]:
    files = [[str(plugin.path), hashlib.sha256(plugin.source).hexdigest()] for plugin in plugins]
    return {"repository": str(repo), "plugins": files}


def _folder(repo: Path) -> Path:
    """The user's state directory. Raises UsageError where there is none that is the user's alone."""
    given = Path(os.environ.get("XDG_STATE_HOME", ""))
    try:
        state = given if given.is_absolute() else Path.home() / ".local" / "state"
    except RuntimeError:
        raise UsageError("no home directory to remember trust in: give --plugins") from None
    if state.resolve().is_relative_to(repo):
        raise UsageError(f"{state} lies in the repository, which cannot vouch for itself: give --plugins")
    return state / "opv2v-doctor" / "trusted"
