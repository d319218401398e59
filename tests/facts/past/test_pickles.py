"""Pickles are walked: plain values come out as they went in, and nothing in them is ever run."""

import io
import os
import pickle
import struct
import sys
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opv2v_doctor.facts.past.pickles import MOST_OPERATIONS, walk
from opv2v_doctor.facts.past.pickles.harmless import is_harmless
from opv2v_doctor.facts.past.pickles.machine import Opaque, PickleRefused, RecordedCall, Stored

SECONDS = 5.0  # what a hostile pickle may take on a slow machine; unguarded, each of these takes hours

leaf = st.none() | st.booleans() | st.integers(-(2**200), 2**200) | st.floats(allow_nan=False) | st.text()
key = st.text(max_size=20) | st.integers(-(2**59), 2**59) | st.binary(max_size=20)
plain = st.recursive(
    leaf | st.binary(), lambda inner: st.lists(inner) | st.dictionaries(key, inner) | st.tuples(inner, inner)
)


class Runs:
    """An object whose unpickling calls a function."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.function, self.arguments


@given(plain, st.integers(3, 5))
def test_plain_values_come_out_as_they_went_in(value: Any, protocol: int) -> None:
    assert walk(pickle.dumps(value, protocol=protocol)).root == value


def test_numbers_and_texts_of_the_first_protocol_are_read() -> None:
    content = b"(I01\nI00\nI-7\nL12L\nF1.5\nVtext\nS'text'\np1\ng1\nl."
    assert walk(content).root == [True, False, -7, 12, 1.5, "text", "'text'", "'text'"]


def test_a_call_is_written_down_and_not_made() -> None:
    walked = walk(pickle.dumps(OrderedDict(a=1, b=[2]), protocol=2))
    assert isinstance(walked.root, RecordedCall)
    assert (walked.root.name, walked.root.entries) == ("collections.OrderedDict", {"a": 1, "b": [2]})
    assert walked.names == ("collections.OrderedDict",)


def test_a_persistent_id_says_where_something_is_stored() -> None:
    class Pickler(pickle.Pickler):
        def persistent_id(self, value: Any) -> Any:
            return ("storage", "7") if isinstance(value, memoryview) else None

    file = io.BytesIO()
    Pickler(file, 2).dump([memoryview(b"")])
    assert walk(file.getvalue()).root == [Stored(("storage", "7"))]


def test_the_state_of_an_object_is_kept() -> None:
    walked = walk(pickle.dumps(pytest.approx(1.0), protocol=2))
    assert isinstance(walked.root, RecordedCall)
    assert walked.root.state["expected"] == 1.0


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    ("function", "arguments", "name"),
    [
        (os.system, ("touch {canary}",), "posix.system"),
        (eval, ("open({canary!r}, 'w')",), "builtins.eval"),
        (exec, ("open({canary!r}, 'w')",), "builtins.exec"),
        (open, ("{canary}", "w"), f"{open.__module__}.open"),  # since Python 3.12 that is _io
        (os.mkdir, ("{canary}",), "posix.mkdir"),
    ],
)
def test_nothing_runs_and_everything_is_named(
    function: Callable[..., Any], arguments: tuple[str, ...], name: str, protocol: int, tmp_path: Path
) -> None:
    canary = tmp_path / "canary"
    given = [argument.format(canary=str(canary)) for argument in arguments]
    names = walk(pickle.dumps({"model": Runs(function, *given)}, protocol=protocol)).names
    old = {"builtins": "__builtin__"} if protocol < 3 else {}
    module, _, function_name = name.partition(".")
    assert f"{old.get(module, module)}.{function_name}" in names
    assert not any(map(is_harmless, names))
    assert not canary.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"(cos\nsystem\nVtrue\no.",
        b"(Vtrue\nios\nsystem\n.",
        b"cos\nsystem\n(Vtrue\ntR.",
        b"cos\nsystem\n)\x81}b.",
        b"cos\nsystem\n)}\x92.",
        b"\x8c\x02os\x8c\x06system\x93)R.",
        b"cos\nsystem\n0N.",  # only imported
    ],
)
def test_every_way_to_name_a_function_is_seen(content: bytes) -> None:
    assert walk(content).names == ("os.system",)


def test_a_function_inside_a_module_of_good_names_is_foreign() -> None:
    for name in ("omegaconf._utils.os", "typing.sys", "torch.hub.load", "torch.storage._load_from_bytes"):
        assert not is_harmless(name)
    for name in ("torch.nn.modules.linear.Linear", "torch.FloatStorage", "numpy.dtypes.Float64DType"):
        assert is_harmless(name)


def test_a_refusal_names_what_it_saw_until_then() -> None:
    with pytest.raises(PickleRefused, match=r"until there it names os\.system"):
        walk(b"cos\nsystem\n2.")  # the second operation has no place in a checkpoint


HOSTILE = {
    "bytes of 9 EB": b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7fabc.",
    "a bytearray of 9 EB": b"\x80\x05\x96\xff\xff\xff\xff\xff\xff\xff\x7fabc.",
    "a text of 4 GB": b"\x80\x02X\xff\xff\xff\xffabc.",
    "a text of negative length": b"\x80\x02T\xff\xff\xff\xffabc.",
    "an integer of 2 GB": b"\x80\x02\x8b\xff\xff\xff\x7f\x01.",
    "a million digits": b"I" + b"9" * 1_000_000 + b"\n.",
    "thousands of digits": b"L" + b"9" * 4_000 + b"L\n.",
    "an endless line": b"c" + b"a" * 1_000_000,
    "an extension": b"\x80\x02\x82\x01.",
    "an extension of four bytes": b"\x80\x02\x84\x01\x00\x00\x00.",
    "a buffer from elsewhere": b"\x80\x05\x97.",
    "no text": b"\x80\x02X\x02\x00\x00\x00\xff\xfe.",
    "a name of no text": b"\x80\x04K\x01K\x02\x93.",
    "nothing to pop": b"0.",
    "no mark": b"t.",
    "too few for a tuple": b"N\x87.",
    "an unknown memo": b"h\x07.",
    "values put into a number": b"K\x01(K\x02e.",
    "an odd number of entries": b"}(K\x01u.",
    "an end without a value": b".",
    "no end": b"N" * 100,
    "empty": b"",
    "more operations than any checkpoint": b"N" * (MOST_OPERATIONS + 1),
    "a frame that is longer than the file": b"\x80\x04\x95" + b"\xff" * 8,
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE)
def test_what_is_malformed_or_asks_for_too_much_is_refused(content: bytes) -> None:
    start = time.process_time()
    with pytest.raises(PickleRefused):
        walk(content)
    assert time.process_time() - start < SECONDS


def collisions() -> bytes:
    """A dictionary of integers that all have the same hash."""
    keys = (pickle.LONG1 + bytes([17]) + (n * (2**61 - 1)).to_bytes(17, "little") for n in range(1, 200_000))
    return b"}(" + b"".join(key + b"N" for key in keys) + b"u."


def nested_keys() -> bytes:
    """A key whose hash takes 2 ** 60 steps."""
    return b"}Nq\x00" + b"0h\x00h\x00\x86q\x00" * 60 + b"0h\x00Ns."


def long_equal_keys() -> bytes:
    """Two equal texts of 5 MB, compared 100 000 times."""
    text = b"X" + struct.pack("<I", 5_000_000) + b"a" * 5_000_000
    return b"}" + text + b"q\x00N" + b"s" + text + b"q\x01Ns" + b"h\x00Nsh\x01Ns" * 50_000 + b"."


def far_memo() -> bytes:
    """A memo index for which pickle's own machine allocates 32 GB."""
    return b"Nr\xff\xff\xff\x7f."


def deep() -> bytes:
    """A million lists, one in the other."""
    return b"]" * 300_000 + b"a" * 299_999 + b"."


def deep_calls() -> bytes:
    """As many calls, one the argument of the other."""
    return b"c__builtin__\nset\nq\x000" + b"h\x00" * 300_000 + b"N" + b"\x85R" * 300_000 + b"."


def laughs() -> bytes:
    """A list of lists of lists, 2 ** 60 values in the end."""
    return b"Nq\x00" + b"0](h\x00h\x00eq\x00" * 60 + b"."


@pytest.mark.parametrize(
    "make", [collisions, nested_keys, long_equal_keys, far_memo, deep, deep_calls, laughs]
)
def test_a_bomb_takes_no_longer_than_its_bytes(make: Callable[[], bytes]) -> None:
    content = make()
    start = time.process_time()
    walked = walk(content)
    del walked
    assert time.process_time() - start < SECONDS


def test_a_key_that_is_slow_to_hash_is_kept_unhashed() -> None:
    (found,) = walk(nested_keys()).root
    assert isinstance(found, Opaque)


def test_a_deep_pickle_does_not_need_the_recursion_limit() -> None:
    limit = sys.getrecursionlimit()
    walk(deep())
    assert sys.getrecursionlimit() == limit


@settings(max_examples=300)
@given(st.binary(max_size=200))
def test_any_bytes_are_walked_or_refused(content: bytes) -> None:
    try:
        walk(content)
    except PickleRefused as refused:
        assert str(refused)
