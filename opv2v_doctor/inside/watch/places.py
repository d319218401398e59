"""Places: the line of the training that called something of torch."""

from __future__ import annotations

import os
import sys
from types import FrameType

OWN = os.path.dirname(os.path.abspath(__file__)) + os.sep
LIBRARY = os.path.dirname(os.__file__) + os.sep
INSTALLED = (os.sep + "site-packages" + os.sep, os.sep + "dist-packages" + os.sep)


def caller() -> str:
    """FILE:LINE of the innermost call that is neither installed nor ours; empty where there is none."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        name = frame.f_code.co_filename
        installed = any(part in name for part in INSTALLED) or name.startswith(LIBRARY)
        if not installed and not name.startswith((OWN, "<")):
            return "{}:{}".format(os.path.abspath(name), frame.f_lineno)
        frame = frame.f_back
    return ""
