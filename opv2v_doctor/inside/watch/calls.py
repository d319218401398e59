"""Wrapping a function of the training: something before, something after, and the function as it was."""

from __future__ import annotations

import functools
import inspect
from typing import Any, Callable, Iterator

from .guard import Guard


class Call:
    """One call, its arguments by name."""

    def __init__(self, signature: inspect.Signature, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.bound = signature.bind(*args, **kwargs)
        self.changed = False

    def get(self, name: str, default: Any = None) -> Any:
        """The argument of this name, wherever it was given."""
        return self.bound.arguments.get(name, default)

    def set(self, name: str, value: Any) -> None:
        """Call with another value."""
        self.bound.arguments[name] = value
        self.changed = True


def around(
    original: Callable[..., Any],
    guard: Guard,
    before: Callable[[Call], object] | None = None,
    after: Callable[[Call, Any], object] | None = None,
    failed: Callable[[Call, BaseException], object] | None = None,
) -> Callable[..., Any]:
    """The function, with `before(call)`, `after(call, result)` and `failed(call, problem)` around it."""
    signature = inspect.signature(original)

    @functools.wraps(original)
    def watched(*args: Any, **kwargs: Any) -> Any:
        call = guard(Call, signature, args, kwargs)
        if call is None:  # not called as its signature says: its own error tells
            return original(*args, **kwargs)
        if before is not None:
            guard(before, call)
        try:
            if call.changed:
                result = original(*call.bound.args, **call.bound.kwargs)
            else:
                result = original(*args, **kwargs)
        except BaseException as problem:
            if failed is not None:
                guard(failed, call, problem)
            raise
        if after is not None:
            guard(after, call, result)
        return result

    return watched


def around_each(
    original: Callable[..., Any],
    guard: Guard,
    before: Callable[[Any, int, Any], object],
    after: Callable[[Any], object],
) -> Callable[..., Iterator[Any]]:
    """The generator method, with `before(owner, number, item)` and `after(owner)` around each item."""

    @functools.wraps(original)
    def watched(owner: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
        for number, item in enumerate(original(owner, *args, **kwargs)):
            guard(before, owner, number, item)
            yield item
            guard(after, owner)

    return watched
