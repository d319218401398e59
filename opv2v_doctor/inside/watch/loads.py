"""Loads: what is given to `load_state_dict` of a module, how much of it fits, and who gives it."""

from __future__ import annotations

import functools
from typing import Any, Callable

from .guard import Guard
from .lines import Lines
from .places import caller
from .replacing import replaced
from .warnings import Warnings


class Loads:
    """One event a load; a warning where nothing of it fits, as names with another prefix do not."""

    def __init__(self, lines: Lines, warn: Warnings, guard: Guard) -> None:
        self.lines, self.warn, self.guard = lines, warn, guard

    def attend(self, module: Any) -> None:
        """Hear of every load from now on; `module` is the one that defines `Module`."""

        def make(original: Callable[..., Any]) -> Callable[..., Any]:
            @functools.wraps(original)
            def load_state_dict(owner: Any, state_dict: Any, *args: Any, **kwargs: Any) -> Any:
                result = original(owner, state_dict, *args, **kwargs)
                self.guard(self.tell, owner, state_dict, result)
                return result

            return load_state_dict

        replaced(module.Module, "load_state_dict", make)

    def tell(self, owner: Any, state: Any, result: Any) -> None:
        """How much fitted, by what torch answers; nothing where a module answers otherwise."""
        missing, unexpected = getattr(result, "missing_keys", None), getattr(result, "unexpected_keys", None)
        at = caller()
        if missing is None or unexpected is None or not at:
            return
        given, model = len(state), type(owner).__name__
        fitting = given - len(unexpected)
        self.lines.event(
            "loaded",
            model=model,
            given=given,
            fitting=fitting,
            missing=len(missing),
            names=[str(name) for name in (*list(unexpected)[:1], *list(missing)[:1])],
            at=at,
        )
        if given and not fitting:
            self.warn("weights do not fit", "none of {} names is one of {}, at {}".format(given, model, at))
