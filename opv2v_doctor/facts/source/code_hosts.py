"""Code hosts: the page of a file's line at a commit, for remotes that are known to have such pages."""

from __future__ import annotations

import re
from urllib.parse import quote

PAGES = {
    "github": "blob",
    "gitlab": "-/blob",
}  # a word of the host's name -> what its addresses of files hold
_remote = re.compile(
    r"(?:(?:https?|ssh|git)://(?:[^@/\s]+@)?|[\w.-]+@)([\w.-]+)(?::\d+(?=/))?[:/]([\w./~-]+?)(?:\.git)?/?"
)


def page_of_line(remote: str | None, commit: str | None, path: str, line: int | None) -> str:
    """Where a browser finds a line of a repository's file; empty for a remote that is no known code host.

    Nothing is asked of a network. A user or a token in the remote's address does not get into the page's.
    """
    found = _remote.fullmatch(remote or "")
    kinds = [pages for name, pages in PAGES.items() if found and name in found[1].split(".")]
    if not kinds or not found or not commit:
        return ""
    return f"https://{found[1]}/{found[2]}/{kinds[0]}/{commit}/{quote(path)}{f'#L{line}' if line else ''}"
