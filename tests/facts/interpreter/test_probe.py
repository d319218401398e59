"""The probe: an interpreter that lies, hangs or dies leads to a reason, never to a traceback of ours."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from opv2v_doctor import Place, Target
from opv2v_doctor.facts.interpreter import questions
from opv2v_doctor.facts.interpreter.probe import Raised, Unanswered, has_second, start_second
from opv2v_doctor.facts.interpreter.process import InterpreterProcess as Process
from opv2v_doctor.target import make_target

pytestmark = pytest.mark.slow
Interpreter = Callable[[str], Target]


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    place = tmp_path / "a repository 仓库"
    (place / "scripts").mkdir(parents=True)
    (place / "scripts/train.py").write_text("")
    return place


@pytest.fixture
def interpreter(repo: Path) -> Interpreter:
    """A target whose interpreter is a shell script."""

    def make(body: str) -> Target:
        path = repo.parent / "python"
        path.write_text(f"#!/bin/bash\n{body}\n")
        path.chmod(0o755)
        return make_target(repo=repo, python=str(path), timeout=5)

    return make


def refusal(target: Target) -> str:
    with pytest.raises(Unanswered) as raised:
        questions.interpreter(target)
    return str(raised.value)


def test_it_imports_as_the_script_would(repo: Path) -> None:
    path = questions.interpreter(make_target(repo=repo)).path
    assert path[:2] == (str(repo / "scripts"), str(repo))


def test_a_silent_end_is_told_with_its_code(interpreter: Interpreter) -> None:
    assert "exited with code 7" in refusal(interpreter("exit 7"))


def test_a_death_is_told_with_its_signal_and_its_last_words(interpreter: Interpreter) -> None:
    message = refusal(interpreter("echo CUDA error: device lost >&2; kill -SEGV $$"))
    assert "was killed by SIGSEGV" in message
    assert message.endswith("its last lines: CUDA error: device lost")


def test_garbage_is_not_an_answer(interpreter: Interpreter) -> None:
    # $4 is the descriptor that answers go to
    assert "answered 'interpreter' with garbage: 'no json'" in refusal(
        interpreter('echo no json >&"$4"; sleep 30')
    )


def test_what_hangs_is_ended_with_its_children(repo: Path, interpreter: Interpreter) -> None:
    target = interpreter("sleep 1000 & echo $! > child; wait")
    short = make_target(repo=repo, python=str(target.python), timeout=0.5)
    assert "within the time limit" in refusal(short)
    child = int((repo / "child").read_text())
    deadline = time.monotonic() + 5
    while Path(f"/proc/{child}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{child}").exists()


def test_who_closes_its_answers_and_lives_on_is_ended(interpreter: Interpreter) -> None:
    target = interpreter('exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-; eval "exec $4>&-"; sleep 1000')
    start = time.monotonic()
    assert "closed its answers while asked 'interpreter'" in refusal(target)
    assert time.monotonic() - start < 30


def test_an_endless_line_ends_with_the_time_limit(repo: Path, interpreter: Interpreter) -> None:
    target = interpreter('head -c 1000000 /dev/zero | tr "\\0" x >&"$4"; sleep 1000')
    short = make_target(repo=repo, python=str(target.python), timeout=0.5)
    assert "within the time limit" in refusal(short)


def test_an_endless_line_ends_with_its_length(interpreter: Interpreter) -> None:
    message = refusal(interpreter('tr "\\0" x < /dev/zero >&"$4"'))
    assert "more than 64 MiB" in message or "within the time limit" in message  # of a slow machine


@pytest.mark.parametrize(
    ("answer", "field"),
    [
        ("{}", "version: Field required"),
        ('{"version": 3}', "version: Input should be a valid string"),
        (
            '{"version": "3", "executable": "p", "path": ["a", 7], "markers": {}, "cuda": null}',
            "path.1: Input",
        ),
        ("7", "the answer: Input should be"),
    ],
)
def test_an_answer_that_is_not_as_declared_is_told_with_its_field(
    answer: str, field: str, interpreter: Interpreter
) -> None:
    message = refusal(interpreter(f'echo \'{{"answer": {answer}}}\' >&"$4"; sleep 30'))
    assert "answered 'interpreter' with something else" in message
    assert field in message


@pytest.mark.parametrize(
    ("line", "frames", "field"),
    [
        ("null", "[5]", "frames.0: Input should be"),
        ("null", '[{"file": 1}]', "frames.0.file: "),
        ('"one"', "[]", "line: Input should be"),
    ],
)
def test_an_exception_that_is_told_otherwise_is_told_with_its_field(
    line: str, frames: str, field: str, interpreter: Interpreter
) -> None:
    told = f'{{"type": "E", "message": "a", "file": null, "line": {line}, "frames": {frames}}}'
    assert f"with something else: {field}" in refusal(
        interpreter(f'echo \'{{"raised": {told}}}\' >&"$4"; sleep 30')
    )


NO_ANSWERS = (
    *("[1, 2]", "{}", "5", '{"answer": NaN', '{"raised": {}}', '{"raised": "ValueError"}', "[" * 100_000),
    '{"answer": ' + "[" * 200 + "]" * 200 + "}",
    *(
        f'{{"progress": {progress}}}'
        for progress in (
            *("null", "[]", '["a", 1]', "[1, 1, 1]", '["a", NaN, 1]', '["a", 1.5, 2]'),
            *(
                '["a", -1, 1]',
                '["a", 1, 1e400]',
                f'["a", 1, {"9" * 4000}]',
                '["a", [[1]], {}]',
                '["a", "1", 2]',
            ),
        )
    ),
)


@pytest.mark.parametrize("answer", NO_ANSWERS, ids=lambda answer: answer[:40])
def test_an_answer_of_another_shape_is_garbage(answer: str, interpreter: Interpreter) -> None:
    target = interpreter('cat answer >&"$4"; sleep 30')
    (target.repo / "answer").write_text(f"{answer}\n")
    assert "with garbage" in refusal(target)


def test_what_hangs_costs_its_share_once(repo: Path, interpreter: Interpreter) -> None:
    """Thirty questions, ten of which are asked again: an interpreter that hangs costs three time limits."""
    target = make_target(repo=repo, python=str(interpreter("sleep 1000").python), timeout=1)
    begun, reasons = time.monotonic(), []
    for number in [*range(20), *range(10)]:
        with pytest.raises(Unanswered) as raised:
            questions.importable(target, modules=[str(number)])
        reasons.append(str(raised.value))
    assert time.monotonic() - begun < 3 + 7  # of a busy machine; a time limit each would be 20
    assert "within the time limit" in reasons[0] and reasons[20] == reasons[0]
    assert "were lost to questions without an answer" in reasons[19]


def test_what_hangs_takes_no_answer_from_others(repo: Path) -> None:
    (repo / "noisy.py").write_text("import time\nlength = 12\ndef wait():\n    time.sleep(1000)\n")
    hangs, behind = ahead(repo, "wait()", timeout=6), ahead(repo, "length", timeout=6)
    assert value_of(behind) == 12
    begun = time.monotonic()
    with pytest.raises(Unanswered, match="no answer to 'replay' within the time limit"):
        hangs()
    assert time.monotonic() - begun < 1  # that is known
    assert evaluate(repo, "length + 1") == 13


def test_who_reads_no_questions_is_not_waited_for(interpreter: Interpreter) -> None:
    target = interpreter("sleep 1000")
    with pytest.raises(Unanswered, match="within the time limit"):
        questions.importable(target, modules=["x" * (1 << 20)])


def test_want_of_memory_is_told_as_that(repo: Path) -> None:
    settings = repo / "opv2v-doctor.toml"
    settings.write_text("memory = 2.0\n")
    (repo / "noisy.py").write_text("def fill(): bytearray(4 << 30)\n")
    with pytest.raises(Unanswered, match=r"for want of memory: each process .* may have 2.0 GiB \(`memory`"):
        evaluate(repo, "fill()")


@pytest.mark.parametrize("number", ["ENOSPC", "EMFILE", "EDQUOT"])
def test_want_of_room_is_told_as_that(repo: Path, number: str) -> None:
    (repo / "noisy.py").write_text(
        f"import errno, os\ndef fill(): raise OSError(errno.{number}, os.strerror(errno.{number}), 'x')\n"
    )
    with pytest.raises(Unanswered, match=f"want of room on this machine: OSError: .Errno .*{'x'}"):
        evaluate(repo, "fill()")


@pytest.mark.parametrize("parent", ["os.getppid()", "-os.getpgid(os.getppid())"])
def test_an_examined_module_cannot_end_us(repo: Path, parent: str) -> None:
    attack = f"def attack():\n    os.kill({parent}, 9)\n    time.sleep(1000)\n"
    (repo / "noisy.py").write_text(f"import os, time\n{attack}alive = 77\n")
    with pytest.raises(Unanswered, match="was killed by SIGKILL"):
        evaluate(repo, "attack()")
    assert evaluate(repo, "alive") == 77


def test_where_the_training_code_hangs_is_told(repo: Path) -> None:
    (repo / "noisy.py").write_text("import time\n\ndef wait():\n    time.sleep(1000)\n")
    with pytest.raises(Unanswered, match=r"within the time limit \(--timeout\), at noisy.py:4"):
        ahead(repo, "wait()", timeout=10)()


def test_where_the_training_code_crashed_is_told(repo: Path) -> None:
    (repo / "noisy.py").write_text("import os\n\ndef crash():\n    os.kill(os.getpid(), 11)\n")
    with pytest.raises(Unanswered, match=r"was killed by SIGSEGV while asked '\w+', at noisy.py:4"):
        evaluate(repo, "crash()")


def test_a_file_that_is_no_program_does_not_start(repo: Path) -> None:
    python = repo.parent / "python"
    python.write_text("not a program")
    python.chmod(0o644)
    assert "does not start: Permission denied" in refusal(make_target(repo=repo, python=str(python)))


def test_what_the_training_code_prints_does_not_disturb_the_answer(repo: Path) -> None:
    package = repo / "noisy.py"
    package.write_text("import os, sys\nprint('{\"answer\": 1}')\nos.write(1, b'raw')\nlength = 12\n")
    assert evaluate(repo, "length") == 12


def test_an_exception_of_the_training_code_keeps_its_place(repo: Path) -> None:
    (repo / "noisy.py").write_text("def broken():\n    raise KeyError('camera2')\n")
    with pytest.raises(Raised) as raised:
        evaluate(repo, "broken()")
    assert raised.value.kind == "KeyError"
    assert raised.value.place == Place(repo / "noisy.py", 2)


def test_a_syntax_error_of_the_training_code_keeps_its_place(repo: Path) -> None:
    (repo / "noisy.py").write_text("x = 1\ndef broken(:\n")
    with pytest.raises(Raised) as raised:
        evaluate(repo, "broken()")
    assert raised.value.place == Place(repo / "noisy.py", 2)


@pytest.mark.parametrize("end", ["import os; os._exit(3)", "import os, signal; os.kill(os.getpid(), 11)"])
def test_after_a_death_the_next_question_is_answered(repo: Path, end: str) -> None:
    (repo / "noisy.py").write_text(end)
    with pytest.raises(Unanswered, match=r"exited with code 3|SIGSEGV"):
        evaluate(repo, "anything")
    (repo / "noisy.py").write_text("alive = 77")
    assert evaluate(repo, "alive") == 77


def test_nothing_is_written_into_the_repository(repo: Path) -> None:
    (repo / "noisy.py").write_text("value = 1")
    evaluate(repo, "1 + 1")  # imports nothing yet, but makes the config folder
    before = sorted(repo.rglob("*"))
    assert evaluate(repo, "value") == 1
    assert sorted(repo.rglob("*")) == before


def test_it_is_one_process_for_many_questions(repo: Path) -> None:
    (repo / "noisy.py").write_text("import os\npid = os.getpid()")
    first = evaluate(repo, "pid")
    assert evaluate(repo, "pid") == first
    assert first != os.getpid()


def test_what_was_asked_ahead_may_be_fetched_in_any_order(repo: Path) -> None:
    (repo / "noisy.py").write_text("one, two = 1, 2")
    first, second = ahead(repo, "one"), ahead(repo, "two")
    assert evaluate(repo, "one + two") == 3
    assert (value_of(second), value_of(first)) == (2, 1)


def test_a_question_that_was_lost_with_its_interpreter_is_asked_again(repo: Path) -> None:
    (repo / "noisy.py").write_text("import os\ndef die(): os._exit(5)\nalive = 77")
    deadly, harmless = ahead(repo, "die()"), ahead(repo, "alive")
    with pytest.raises(Unanswered, match="exited with code 5"):
        deadly()
    assert value_of(harmless) == 77


def test_the_second_interpreter_is_another_process(repo: Path) -> None:
    (repo / "noisy.py").write_text("import os\npid = os.getpid()")
    target = make_target(repo=repo)
    assert not has_second(target)
    start_second(target)
    assert has_second(target)
    assert value_of(ahead(repo, "pid", second=True)) not in (evaluate(repo, "pid"), os.getpid())


def test_when_all_are_closed_none_is_left_and_the_next_question_is_answered(repo: Path) -> None:
    (repo / "noisy.py").write_text("import os\npid = os.getpid()")
    before = evaluate(repo, "pid")
    Process.close_all()
    assert not Path(f"/proc/{before}").exists()
    assert evaluate(repo, "pid") != before


def evaluate(repo: Path, expression: str) -> object:
    """An expression in a module of the repository, through the question that evaluates training code."""
    return value_of(ahead(repo, expression))


def value_of(asked: Callable[[], questions.Replayed]) -> object:
    return asked().calls[0].words["batch_size"]


def ahead(
    repo: Path, expression: str, *, second: bool = False, timeout: float | None = None
) -> Callable[[], questions.Replayed]:
    """The same, under way."""
    configs = repo / "configs"
    configs.mkdir(exist_ok=True)
    (configs / "train.yaml").write_text("{}")
    return questions.replay.ahead_in(
        make_target(repo=repo, timeout=timeout),
        second,
        config_dir=str(configs),
        config_name="train",
        overrides=[],
        lines={
            "source": f"build_dataset(dataset='a dataset', batch_size={expression})",
            "module": "noisy",
            "parameter": "args",
            "builders": {"build_dataset": "noisy"},
        },
    )
