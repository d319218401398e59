"""Tracebacks: out of interleaved ranks, and of records that hold a single sign."""

from opv2v_doctor.facts.logs.incidents import stripped
from opv2v_doctor.facts.logs.tracebacks import Traceback, Tracebacks


def tracebacks(text: str) -> tuple[Traceback, ...]:
    found = Tracebacks()
    for number, line in enumerate(text.splitlines(), 1):
        found.read(number, *stripped(line.encode()))
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
    names = [traceback.name for traceback in tracebacks(text)]
    assert names == ["KeyError", "DistBackendError", "RuntimeError"]


def test_source_lines_are_no_exceptions() -> None:
    text = 'Traceback (most recent call last):\n  File "/a.py", line 1, in f\nraise Problem(x)\nfoo.bar\n'
    (found,) = tracebacks(text)
    assert (found.kind, len(found.frames)) == ("", 1)
