"""Segments: restarts, resumes, and trainings that write at once."""

from opv2v_doctor.facts.past.logs.records import records
from opv2v_doctor.facts.past.logs.segments import Segment, Segments


def segments(*places: tuple[int, int, int], launches: tuple[int, ...] = ()) -> list[Segment]:
    """The segments of a log with these (epoch, step, steps an epoch), a line each."""
    text = "".join(f"Epoch: [{e}]  [{s:4d}/{n}]  eta: 0:00:01  loss: 1.0 (1.0)\n" for e, s, n in places)
    found = Segments()
    for line in launches:
        found.launch(line)
    for block in records([text.encode()]):
        list(found.assign(block.runs))
    return found.found


def epoch(number: int, steps: int = 100) -> list[tuple[int, int, int]]:
    return [(number, step, steps) for step in (*range(0, steps, 10), steps - 1)]


def test_a_training_is_one_segment() -> None:
    (one,) = segments(*epoch(0), *epoch(1))
    assert (one.first, one.last, one.steps, one.stride) == ((0, 0), (1, 99), 100, 10)


def test_a_restart_shows_where_the_log_goes_back() -> None:
    one, other = segments(*epoch(0)[:5], *epoch(0))
    assert (one.last, other.first, other.first_line) == ((0, 40), (0, 0), 6)


def test_another_length_is_another_segment() -> None:
    one, other = segments(*epoch(0), *epoch(1, 80))
    assert (one.steps, other.steps) == (100, 80)


def test_a_resume_shows_by_its_launch() -> None:
    one, other = segments(*epoch(0), *epoch(1), launches=(1, 12))
    assert (one.last, other.first, other.launch_line) == ((0, 99), (1, 0), 12)


def test_trainings_that_write_at_once_are_told_apart() -> None:
    pairs = zip(epoch(0) + epoch(1), epoch(0, 80) + epoch(1, 80), strict=False)
    one, other = segments(*(place for pair in pairs for place in pair))
    assert {one.steps, other.steps} == {100, 80}
    assert other.first_line < one.last_line


def test_ranks_that_write_the_same_are_two_segments() -> None:
    one, other = segments(*(place for place in epoch(0) for _ in range(2)))
    assert one.last == other.last == (0, 99)
