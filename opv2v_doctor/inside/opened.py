"""Opened: which file was opened last, so that a failure can be traced to what was being read."""

import os
import sys

CODE = (".py", ".pyc", ".so")  # imported on the way

_last = [None]


def last_opened():
    """The last file that was opened by Python and is no code, absolute; None where none was."""
    return _last[0]


def forget():
    """From here on, only what is opened from now counts."""
    _last[0] = None


def _hear(event, arguments):
    if event == "open" and isinstance(arguments[0], str) and not arguments[0].endswith(CODE):
        _last[0] = os.path.abspath(arguments[0])


sys.addaudithook(_hear)
