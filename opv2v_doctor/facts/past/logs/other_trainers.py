"""Other trainers: lines of metrics that are known by their form, and not read."""

from __future__ import annotations

import re

_FORMS = {
    "mmengine": r"(?:mm\w+ - INFO - (?:Epoch |Iter )|Epoch\((?:train|val)\)\s+\[\d+\])",
    "Lightning": r"^Epoch \d+: +\d+%\|.*(?:v_num=|it/s)",
    "Transformers": r"^\{'(?:loss|eval_loss|train_runtime)': ",
    "Detectron2": r"eta: \S+ +iter: \d+ +total_loss: ",
    "Keras": r"^ *\d+/\d+ \[=+[>.=]*\]",
    "YOLO": r"^ +\d+/\d+ +[\d.]+G(?: +[\d.]+){3}",
}
_any = re.compile("|".join(f"(?P<{name}>{form})" for name, form in _FORMS.items()))


def trainer_of(text: str) -> str | None:
    """The name of the trainer whose line of metrics this is; None for any other line."""
    match = _any.search(text) if "%|" in text or ": " in text or "]" in text or "G " in text else None
    return match.lastgroup if match else None
