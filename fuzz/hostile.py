"""Hostile pickles: operations put into a real one that would run, take for ever, or fill the memory."""

from __future__ import annotations

import contextlib
import pickletools
import struct
from collections.abc import Callable, Sequence
from random import Random

PLANTED = b"echo planted"


def _text(words: bytes) -> bytes:
    return b"X" + struct.pack("<I", len(words)) + words


def _lines_call(random: Random) -> bytes:
    """A global of the system, called as protocol 0 does."""
    module, name = random.choice(((b"os", b"system"), (b"posix", b"system"), (b"builtins", b"eval")))
    return b"c%s\n%s\n(%stR0" % (module, name, _text(PLANTED))


def _stack_call(random: Random) -> bytes:
    """The same, its name built from texts."""
    return _text(b"os") + _text(b"system") + b"\x93" + _text(PLANTED) + b"\x85R0"


def _instance(random: Random) -> bytes:
    return b"(%sios\nsystem\n0" % _text(PLANTED)


def _rebuilt(random: Random) -> bytes:
    """A harmless name whose memory is then another one's: what is recalled is not what was named."""
    return b"ctorch._utils\n_rebuild_tensor_v2\nq\xf00cos\nsystem\nq\xf00h\xf0" + _text(PLANTED) + b"\x85R0"


def _state(random: Random) -> bytes:
    """An object whose state is set by a function of its own."""
    return b"ctypes\nSimpleNamespace\n)\x81}" + _text(b"__setstate__") + b"cos\nsystem\nsb0"


def _growing(random: Random) -> bytes:
    """A tuple of itself twice, again and again: 2**n values in n operations."""
    return b")" + b"2\x86" * random.choice((10, 100, 1000)) + b"0"


def _nested(random: Random) -> bytes:
    return b"(" * random.choice((100, 5000)) + b"t" * random.choice((100, 5000)) + b"0"


def _growing_memo(random: Random) -> bytes:
    return (
        b")"
        + b"".join(b"r" + struct.pack("<I", n) + b"j" + struct.pack("<I", n) + b"\x86" for n in range(200))
        + b"0"
    )


def _absurd_length(random: Random) -> bytes:
    code, layout = random.choice(((b"X", "<I"), (b"T", "<I"), (b"B", "<I"), (b"\x8d", "<Q"), (b"\x8b", "<I")))
    return code + struct.pack(layout, random.choice((1 << 30, (1 << 32) - 1)))


def _unhashable(random: Random) -> bytes:
    return b"}]Ns}}Ns}(]N]Nu0"


def _colliding(random: Random) -> bytes:
    """Keys whose hashes are all the same."""
    keys = b"".join(b"\x8a\x10" + (n * ((1 << 61) - 1)).to_bytes(16, "little") + b"N" for n in range(1, 300))
    return b"}(" + keys + b"u0"


def _long_number(random: Random) -> bytes:
    return random.choice(
        (b"I" + b"9" * 5000 + b"\n0", b"\x8b" + struct.pack("<I", 5000) + b"\x7f" * 5000 + b"0")
    )


OPERATIONS: tuple[Callable[[Random], bytes], ...] = (
    _lines_call,
    _stack_call,
    _instance,
    _rebuilt,
    _state,
    _growing,
    _nested,
    _growing_memo,
    _absurd_length,
    _unhashable,
    _colliding,
    _long_number,
)


def planted(
    content: bytes, random: Random, operations: Sequence[Callable[[Random], bytes]] = OPERATIONS
) -> bytes:
    """The pickle with hostile operations between two of its own."""
    try:
        places = [at for _, _, at in pickletools.genops(content) if at]
    except Exception:  # it was damaged before: anywhere, then
        places = list(range(len(content) + 1))
    for at in sorted((random.choice(places) for _ in range(random.randrange(1, 4))), reverse=True):
        content = content[:at] + random.choice(operations)(random) + content[at:]
    return content


def letters(name: str) -> str:
    """A name without what separates its parts: the disassembler puts a space where a name may hold one."""
    return name.replace(" ", "").replace(".", "")


def named(content: bytes) -> set[str]:
    """The letters of the globals that a pickle names, told by Python's disassembler as far as it reads."""
    names: set[str] = set()
    with contextlib.suppress(Exception):  # it wants quotes round a text; a reader need not
        for operation, argument, _ in pickletools.genops(content):
            if operation.name in ("GLOBAL", "INST"):
                names.add(letters(str(argument)))
    return names
