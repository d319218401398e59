"""Places: the line of the training that called something of torch."""

from __future__ import annotations

import os
import sys
from types import FrameType

OWN = os.path.dirname(os.path.abspath(__file__)) + os.sep
LIBRARY = os.path.dirname(os.__file__) + os.sep
INSTALLED = (os.sep + "site-packages" + os.sep, os.sep + "dist-packages" + os.sep)


def caller(function: str = "") -> str:
    """FILE:LINE of the innermost call that is neither installed nor ours; empty where there is none.

    The line of a function that is among the calls comes before those that it led to.
    """
    innermost = ""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        name = frame.f_code.co_filename
        installed = any(part in name for part in INSTALLED) or name.startswith(LIBRARY)
        if not installed and not name.startswith((OWN, "<")):
            place = "{}:{}".format(os.path.abspath(name), frame.f_lineno)
            if not function or frame.f_code.co_name == function:
                return place
            innermost = innermost or place
        frame = frame.f_back
    return innermost
