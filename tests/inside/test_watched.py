"""`python watched.py SCRIPT` is to the script as `python SCRIPT`; and ranks that differ do not train."""

import ast
import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

INSIDE = Path(__file__).parents[2] / "opv2v_doctor/inside"
WATCHED = INSIDE / "watched.py"
SHOW = """
import json, os, sys, inspect
def function(): pass
def annotated(x: int): pass
found = dict(argv=sys.argv, path=sys.path, file=__file__, name=__name__, spec=__spec__, cached=__cached__,
    main=sys.modules["__main__"].__dict__ is globals(), code=function.__code__.co_filename,
    source=inspect.getsource(function), annotated=type(annotated.__annotations__["x"]).__name__,
    builtins=type(__builtins__).__name__)
print(json.dumps(found))
sys.exit(int(os.environ.get("CODE", 0)))
"""
RANK = """
import os, sys, torch
from types import SimpleNamespace as Space
torch.distributed.init_process_group("gloo")
from mapanything.train.training import train
rank = torch.distributed.get_rank()

def change(model):
    if "drift" in sys.argv:
        model.register_forward_hook(lambda module, given, found: found * (1 + rank))
    if "unlike" in sys.argv:
        model[0].weight.data.add_(rank)

params = Space(lr=0.1, epochs=2, warmup_epochs=1, resume_ckpt=None, restore=True, shift=0, set_epoch=True,
    clear=True, factor=1.0, change=change, scaler=None)
args = Space(train_params=params, steps=4, output_dir=sys.argv[1], rates=[])
wrap = torch.nn.parallel.DistributedDataParallel if "ddp" in sys.argv else lambda model: model
train(args, wrap)
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    place = tmp_path / "a folder 训练"
    place.mkdir()
    (place / "show.py").write_text(SHOW)
    return place / "show.py"


def said(*words: object, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *map(str, words)]
    return subprocess.run(
        command, cwd=cwd, env={**os.environ, **env}, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize("settings", ["", '{"run": "run"}', "no json"])
@pytest.mark.parametrize("safe", ["", "1"])
def test_a_script_finds_all_as_without_the_watch(script: Path, settings: str, safe: str) -> None:
    env = {"PYTHONSAFEPATH": safe, "OPV2V_DOCTOR_WATCH": settings, "CODE": "3"}
    for word in (f"{script.parent.name}/show.py", script):
        plain = said(word, "a=b", "c d", cwd=script.parents[1], **env)
        watched = said(WATCHED, word, "a=b", "c d", cwd=script.parents[1], **env)
        assert watched.returncode == plain.returncode == 3
        assert json.loads(watched.stdout) == json.loads(plain.stdout)
    assert ("not watched" in watched.stderr) == (settings == "no json")


def test_a_training_ends_when_nobody_is_left_to_end_it(script: Path, tmp_path: Path) -> None:
    """Launcher, supervisor and torchrun killed together leave ranks behind: each sees to itself."""
    script.write_text("import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(60)\n")
    settings = json.dumps({"run": str(tmp_path / "run"), "ends_with_parent": True})
    shell = (
        f"import subprocess; subprocess.Popen([{sys.executable!r}, {str(WATCHED)!r}, {str(script)!r}]).wait()"
    )
    env = {**os.environ, "OPV2V_DOCTOR_WATCH": settings}
    with subprocess.Popen(
        [sys.executable, "-c", shell], env=env, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        rank = Path(f"/proc/{parent.stdout.readline().strip()}")
        parent.kill()
    deadline = time.monotonic() + 30
    while rank.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not rank.exists()
    assert '"orphaned"' in (tmp_path / "run/events.jsonl").read_text()


def test_a_link_to_a_script_is_followed_as_python_does(script: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.py"
    link.symlink_to(script)
    plain, watched = said(link, cwd=tmp_path), said(WATCHED, link, cwd=tmp_path)
    assert json.loads(watched.stdout) == json.loads(plain.stdout)


def test_begin_and_end_are_told(script: Path, tmp_path: Path) -> None:
    said(WATCHED, script, "x=1", cwd=tmp_path, OPV2V_DOCTOR_WATCH=json.dumps({"run": str(tmp_path / "run")}))
    lines = [json.loads(line) for line in (tmp_path / "run/events.jsonl").read_text().splitlines()]
    assert (lines[0]["event"], lines[-1]["event"]) == ("begin", "end")
    assert lines[0]["arguments"] == ["x=1"]
    missing = {line["point"] for line in lines if line["event"] == "not watched"}
    assert "mapanything.train.training.train_one_epoch" in missing


def test_the_watch_parses_as_python_3_8() -> None:
    for path in [WATCHED, *(INSIDE / "watch").glob("*.py")]:
        ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 8))


# torch is imported once for all of them; each becomes what `python watched.py SCRIPT` is
FORK = """
import json, os, runpy, sys
import torch, torch._dynamo
children = []
for words, environment in json.loads(sys.stdin.read()):
    child = os.fork()
    if not child:
        os.environ.update(environment)
        os.dup2(os.open(words[2] + "." + environment["RANK"], os.O_WRONLY | os.O_CREAT), 2)
        sys.argv = words
        runpy.run_path(words[0], run_name="__main__")
        sys.exit()
    children.append(child)
print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]))
"""
Ended = tuple[list[int], list[dict[str, object]], str]
RUNS = ("unlike", "drift")


@pytest.fixture(scope="module")
def ranks(miniature: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ended]:
    """Trainings in two processes: their exit codes, events, and what was said."""
    folder = tmp_path_factory.mktemp("ranks")
    script = folder / "train.py"
    script.write_text(RANK)
    started = [
        (
            [str(WATCHED), str(script), str(folder / word), word],
            {
                "RANK": str(rank),
                "WORLD_SIZE": "2",
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(port),
                "OPV2V_DOCTOR_WATCH": json.dumps({"run": str(folder / word), "every": 1}),
            },
        )
        for word, port in zip(RUNS, free_ports(len(RUNS)), strict=True)
        for rank in range(2)
    ]
    done = subprocess.run(
        [sys.executable, "-c", FORK],
        input=json.dumps(started),
        env={**os.environ, "PYTHONPATH": str(miniature), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
        timeout=120,
        check=True,
    )
    codes = json.loads(done.stdout.splitlines()[-1])
    return {
        word: (
            codes[2 * number : 2 * number + 2],
            [json.loads(line) for line in (folder / word / "events.jsonl").read_text().splitlines()],
            "".join((folder / f"{word}.{rank}").read_text() for rank in range(2)),
        )
        for number, word in enumerate(RUNS)
    }


def free_ports(count: int) -> list[int]:
    import socket

    with contextlib.ExitStack() as open_ones:
        listeners = [open_ones.enter_context(socket.socket()) for _ in range(count)]
        for listener in listeners:
            listener.bind(("127.0.0.1", 0))
        return [int(listener.getsockname()[1]) for listener in listeners]


def test_ranks_that_disagree_stop_before_the_first_step(ranks: dict[str, Ended]) -> None:
    codes, events, errors = ranks["unlike"]
    assert codes == [88, 88]
    assert "0.weight of rank 1 is not that of rank 0" in errors
    assert {event["rank"] for event in events if event["event"] == "stopped"} == {0, 1}
    assert not [event for event in events if event["event"] == "epoch"]


def test_replicas_that_drift_apart_are_named(ranks: dict[str, Ended]) -> None:
    codes, events, errors = ranks["drift"]
    assert codes == [0, 0], errors
    assert not [event for event in events if event["event"] == "watch failed"]
    warned = [event for event in events if event["event"] == "warning" and event["what"] == "replicas differ"]
    assert {event["rank"] for event in warned} == {0, 1}
    assert warned[0]["parameter"] == "0.weight"
