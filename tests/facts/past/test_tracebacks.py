"""Tracebacks: out of interleaved ranks, and of records that hold a single sign."""

from pathlib import Path

from opv2v_doctor.facts.past.logs import read_log
from opv2v_doctor.facts.past.logs.incidents import without_prefix
from opv2v_doctor.facts.past.logs.tracebacks import Traceback, Tracebacks


def tracebacks(text: str) -> tuple[Traceback, ...]:
    found = Tracebacks()
    for number, line in enumerate(text.splitlines(), 1):
        found.read(number, *without_prefix(line.encode()))
    return found.in_order()


LOGGED = """\
[2026-11-22 13:22:45,051][__main__][ERROR] - Traceback (most recent call last):
[2026-11-22 13:22:45,051][__main__][ERROR] -   File "/repo/scripts/train.py", line 51, in <module>
[2026-11-22 13:22:45,051][__main__][ERROR] - execute_training()
[2026-11-22 13:22:45,051][__main__][ERROR] - ^
[2026-11-22 13:22:45,051][__main__][ERROR] - ^
[2026-11-22 13:22:45,052][__main__][INFO] - [13:22:45.053493]
[2026-11-22 13:22:45,051][__main__][ERROR] -   File "/repo/mapanything/train/training.py", line 294, in train
[2026-11-22 13:22:45,051][__main__][ERROR] - return func()
[2026-11-22 13:22:45,051][__main__][ERROR] - torch.cuda.OutOfMemoryError: CUDA out of memory.
"""


def test_one_record_a_line_is_put_together() -> None:
    (found,) = tracebacks(LOGGED)
    assert (found.line, found.exception_line, found.name) == (1, 9, "OutOfMemoryError")
    assert [frame.line for frame in found.frames] == [51, 294]
    assert found.frames[-1].function == "train"


def test_ranks_without_names_are_told_apart() -> None:
    one = [
        "Traceback (most recent call last):",
        '  File "/a.py", line 1, in f',
        '  File "/b.py", line 2, in g',
    ]
    text = "\n".join(line for line in one for _ in range(3)) + "\nValueError: x" * 3
    found = tracebacks(text)
    assert [traceback.line for traceback in found] == [1, 2, 3]
    assert all(len(traceback.frames) == 2 for traceback in found)


def test_the_first_cause_comes_first() -> None:
    text = """\
[rank0]: Traceback (most recent call last):
[rank0]:   File "/torch.py", line 1, in f
[rank0]: torch.distributed.DistBackendError: NCCL error
Traceback (most recent call last):
  File "/a.py", line 1, in f
KeyError: 'camera3'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/b.py", line 2, in g
RuntimeError: no sample
"""
    found = tracebacks(text)
    assert [traceback.name for traceback in found] == ["RuntimeError", "DistBackendError", "KeyError"]
    assert (found[0].chain, found[2].led_to) == (("KeyError",), "handling")


def test_source_lines_are_no_exceptions() -> None:
    text = 'Traceback (most recent call last):\n  File "/a.py", line 1, in f\nraise Problem(x)\nfoo.bar\n'
    (found,) = tracebacks(text)
    assert (found.kind, len(found.frames)) == ("", 1)


def test_a_message_of_several_lines_is_told_whole() -> None:
    text = """\
Traceback (most recent call last):
  File "/a.py", line 1, in f
RuntimeError: Error(s) in loading state_dict for Model:
\tMissing key(s) in state_dict: "head.weight", "head.bias".
\tsize mismatch for scale
Killed
"""
    (found,) = tracebacks(text)
    assert found.told == (
        "RuntimeError: Error(s) in loading state_dict for Model: Missing key(s) in state_dict: "
        '"head.weight", "head.bias". size mismatch for scale'
    )
    assert (found.exception_line, found.last_line) == (3, 5)
    assert found.message == "Error(s) in loading state_dict for Model:"


def test_the_last_error_of_a_collective_is_told() -> None:
    text = """\
[rank0]: Traceback (most recent call last):
[rank1]: Traceback (most recent call last):
[rank0]:   File "/a.py", line 1, in f
[rank1]:   File "/a.py", line 1, in f
[rank0]: torch.distributed.DistBackendError: NCCL error in: ProcessGroupNCCL.cpp:219, invalid argument
[rank0]: ncclInvalidUsage: This usually reflects invalid usage of NCCL library.
[rank1]: ValueError: x
[rank0]: Last error:
[rank0]: Duplicate GPU detected : rank 0 and rank 1 both on CUDA device 50000
[rank0]: something else
"""
    cause, consequence = tracebacks(text)
    assert (cause.told, cause.details) == ("ValueError: x", ())
    assert consequence.told.endswith(
        "Last error: Duplicate GPU detected : rank 0 and rank 1 both on CUDA device 50000"
    )


def test_a_message_ends_where_another_traceback_begins() -> None:
    text = """\
Traceback (most recent call last):
ValueError: two lines:
Traceback (most recent call last):
KeyError: 'b'
During handling of the above exception, another exception occurred:
"""
    assert [found.details for found in tracebacks(text)] == [(), ()]


def test_of_a_long_message_the_beginning_and_the_end_are_told() -> None:
    lines = "".join(f"    field {number:03d}: missing\n" for number in range(50))
    (found,) = tracebacks(f"Traceback (most recent call last):\nValueError: wrong:\n{lines}")
    assert len(found.details) == 20
    assert found.told.startswith("ValueError: wrong: field 000: missing")
    assert found.told.endswith("field 019: missing")
    assert len(found.told) < 700
    (short,) = tracebacks(f"Traceback (most recent call last):\nValueError: {'x' * 587}")
    assert short.told == f"ValueError: {'x' * 587}"
    (long,) = tracebacks(f"Traceback (most recent call last):\nValueError: {'x' * 601}")
    assert " ... " in long.told


def test_what_a_later_launch_starts_is_known_without_a_word_between(tmp_path: Path) -> None:
    launch = "Not using distributed mode\njob dir: /x\n"
    line = "Epoch: [{}]  [0/1]  eta: 0:00:01  loss: 1.0 (1.0)\n"
    path = tmp_path / "train.log"
    path.write_text("".join(launch + line.format(epoch) for epoch in range(4)))
    assert read_log(path).launches == (1, 4, 7, 10)
