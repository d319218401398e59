"""The probe: an interpreter that lies, hangs or dies leads to a reason, never to a traceback of ours."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from opv2v_doctor import Place, Target
from opv2v_doctor.facts.interpreter import Interpreter as Process
from opv2v_doctor.facts.probe import Raised, Unanswered, ask, ask_ahead, has_second, start_second
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
        ask(target, "hello", "interpreter")
    return str(raised.value)


def test_it_imports_as_the_script_would(repo: Path) -> None:
    path = ask(make_target(repo=repo), "hello", "interpreter")["path"]
    assert path[:2] == [str(repo / "scripts"), str(repo)]


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
    target = interpreter('tr "\\0" x < /dev/zero >&"$4"')
    short = make_target(repo=repo, python=str(target.python), timeout=0.5)
    assert "within the time limit" in refusal(short)


@pytest.mark.parametrize("answer", ["[1, 2]", "{}", "5"])
def test_an_answer_of_another_shape_is_garbage(answer: str, interpreter: Interpreter) -> None:
    assert "with garbage" in refusal(interpreter(f'echo "{answer}" >&"$4"; sleep 30'))


def test_where_the_training_code_hangs_is_told(repo: Path) -> None:
    (repo / "noisy.py").write_text("import time\n\ndef wait():\n    time.sleep(1000)\n")
    with pytest.raises(Unanswered, match=r"within the time limit \(--timeout\), at noisy.py:4"):
        ahead(repo, "wait()", timeout=3)()


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
    (repo / "noisy.py").write_text("alive = 'yes'")
    assert evaluate(repo, "alive") == "yes"


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
    assert (second()["batch"], first()["batch"]) == (2, 1)


def test_a_question_that_was_lost_with_its_interpreter_is_asked_again(repo: Path) -> None:
    (repo / "noisy.py").write_text("import os\ndef die(): os._exit(5)\nalive = 'yes'")
    deadly, harmless = ahead(repo, "die()"), ahead(repo, "alive")
    with pytest.raises(Unanswered, match="exited with code 5"):
        deadly()
    assert harmless()["batch"] == "yes"


def test_the_second_interpreter_is_another_process(repo: Path) -> None:
    (repo / "noisy.py").write_text("import os\npid = os.getpid()")
    target = make_target(repo=repo)
    assert not has_second(target)
    start_second(target)
    assert has_second(target)
    assert ahead(repo, "pid", second=True)()["batch"] not in (evaluate(repo, "pid"), os.getpid())


def test_when_all_are_closed_none_is_left_and_the_next_question_is_answered(repo: Path) -> None:
    (repo / "noisy.py").write_text("import os\npid = os.getpid()")
    before = evaluate(repo, "pid")
    Process.close_all()
    assert not Path(f"/proc/{before}").exists()
    assert evaluate(repo, "pid") != before


def evaluate(repo: Path, expression: str) -> object:
    """An expression in a module of the repository, through the question that evaluates training code."""
    return ahead(repo, expression)()["batch"]


def ahead(
    repo: Path, expression: str, *, second: bool = False, timeout: float | None = None
) -> Callable[[], dict[str, object]]:
    """The same, under way."""
    configs = repo / "configs"
    configs.mkdir(exist_ok=True)
    (configs / "train.yaml").write_text("{}")
    return ask_ahead(
        make_target(repo=repo, timeout=timeout),
        "config",
        "replay",
        second=second,
        config_dir=str(configs),
        config_name="train",
        overrides=[],
        source=f"build_dataset('a dataset', batch_size={expression})",
        module_name="noisy",
        parameter="args",
        builders=["build_dataset"],
    )
