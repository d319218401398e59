"""A script under the watch finds all as without it; and ranks that differ do not train."""

import ast
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

INSIDE = Path(__file__).parents[2] / "opv2v_doctor/inside"
ENTERING = INSIDE / "entering"
SHOW = """
import json, os, sys, inspect
def function(): pass
def annotated(x: int): pass
found = dict(argv=sys.argv, path=sys.path, file=__file__, name=__name__, cached=__cached__,
    spec=getattr(__spec__, "name", None),
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


def under_watch(script: Path | None, **settings: object) -> dict[str, str]:
    """The environment in which the script is watched, or none of these is (no path)."""
    wanted = {"script": os.path.realpath(script) if script else "", "module": None, **settings}
    return {"PYTHONPATH": str(ENTERING), "OPV2V_DOCTOR_WATCH": json.dumps(wanted)}


def said(*words: object, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *map(str, words)]
    return subprocess.run(
        command, cwd=cwd, env={**os.environ, **env}, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize("safe", ["", "1"])
@pytest.mark.parametrize("site", ["", "import sys; sys.argv.append('a site')"])
def test_a_script_finds_all_as_without_the_watch(script: Path, safe: str, site: str, tmp_path: Path) -> None:
    env = {"PYTHONSAFEPATH": safe, "CODE": "3"}
    paths = []
    if site:
        (tmp_path / "sites").mkdir()
        (tmp_path / "sites/sitecustomize.py").write_text(f"import os; os.environ['CODE'] = '3'; {site}\n")
        paths = [str(tmp_path / "sites")]
    plainly = {**env, "PYTHONPATH": os.pathsep.join(paths)}
    place = script.parents[1]
    for word, run in ((f"{script.parent.name}/show.py", "one"), (script, "two")):
        plain = said(word, "a=b", "c d", cwd=place, **plainly)
        own = under_watch(script, run=str(place / run))
        own["PYTHONPATH"] = os.pathsep.join([own["PYTHONPATH"], *paths])
        watched = said("-u", "-X", "dev", "-Wignore", word, "a=b", "c d", cwd=place, **env, **own)
        assert (watched.returncode, watched.stderr) == (plain.returncode, "") == (3, "")
        assert json.loads(watched.stdout) == json.loads(plain.stdout)
        assert (place / run / "events.jsonl").is_file()


def test_a_module_is_watched_by_its_name(script: Path, tmp_path: Path) -> None:
    own = under_watch(None, module="show", run=str(tmp_path / "run"))
    plain, watched = (said("-m", "show", cwd=script.parent, **env) for env in ({}, own))
    assert json.loads(watched.stdout) == json.loads(plain.stdout)
    assert (tmp_path / "run/events.jsonl").is_file()


def test_no_other_process_is_watched(script: Path, tmp_path: Path) -> None:
    """Neither torchrun itself, nor what the training starts."""
    own = under_watch(script, run=str(tmp_path / "run"))
    other = tmp_path / "other.py"
    other.write_text(script.read_text())
    for words in ([other], ["-m", "platform"], ["-c", "pass", script], ["-mplatform"]):
        assert said(*words, cwd=tmp_path, **own).returncode == 0
    assert not (tmp_path / "run").exists()
    child = f"import subprocess, sys\nsubprocess.run([sys.executable, {str(script)!r}], check=True)\n"
    script.with_name("outer.py").write_text(child)
    own = under_watch(script.with_name("outer.py"), run=str(tmp_path / "run"))
    said(script.with_name("outer.py"), cwd=tmp_path, **own)
    assert (tmp_path / "run/events.jsonl").read_text().count('"begin"') == 1


def test_a_watch_that_cannot_begin_leaves_the_training_alone(script: Path, tmp_path: Path) -> None:
    env = {"PYTHONPATH": str(ENTERING), "OPV2V_DOCTOR_WATCH": "no json", "CODE": "3"}
    done = said(script, cwd=tmp_path, **env)
    assert done.returncode == 3
    assert "not watched" in done.stderr


def test_a_training_ends_when_nobody_is_left_to_end_it(script: Path, tmp_path: Path) -> None:
    """Launcher, supervisor and torchrun killed together leave ranks behind: each sees to itself."""
    script.write_text("import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(60)\n")
    shell = f"import subprocess; subprocess.Popen([{sys.executable!r}, {str(script)!r}]).wait()"
    env = {**os.environ, **under_watch(script, run=str(tmp_path / "run"), ends_with_parent=True)}
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
    own = under_watch(script, run=str(tmp_path / "run"))
    plain, watched = said(link, cwd=tmp_path), said(link, cwd=tmp_path, **own)
    assert json.loads(watched.stdout) == json.loads(plain.stdout)
    assert (tmp_path / "run/events.jsonl").is_file()


def test_begin_and_end_are_told(script: Path, tmp_path: Path) -> None:
    said(script, "x=1", cwd=tmp_path, **under_watch(script, run=str(tmp_path / "run")))
    lines = [json.loads(line) for line in (tmp_path / "run/events.jsonl").read_text().splitlines()]
    assert (lines[0]["event"], lines[-1]["event"]) == ("begin", "end")
    assert lines[0]["arguments"] == ["x=1"]
    missing = {line["point"] for line in lines if line["event"] == "not watched"}
    assert "mapanything.train.training.train_one_epoch" in missing


def test_the_watch_parses_as_python_3_8() -> None:
    for path in [*ENTERING.glob("*.py"), *(INSIDE / "watch").glob("*.py")]:
        ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 8))


def ranks(miniature: Path, run: Path, *words: str) -> tuple[list[int], list[dict[str, object]], str]:
    """Train in two processes; exit codes, events, and what was said."""
    script = run.parent / "train.py"
    script.write_text(RANK)
    env = {
        **under_watch(script, run=str(run), every=1), "PYTHONPATH": f"{ENTERING}:{miniature}",
        "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()),
        "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    processes = [
        subprocess.Popen(
            [sys.executable, script, run, *words],
            env={**os.environ, **env, "RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    errors = [process.communicate(timeout=120)[1] for process in processes]
    events = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    return [process.returncode for process in processes], events, "".join(errors)


def free_port() -> int:
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def test_ranks_that_disagree_stop_before_the_first_step(miniature: Path, tmp_path: Path) -> None:
    codes, events, errors = ranks(miniature, tmp_path / "run", "unlike")
    assert 88 in codes and set(codes) <= {
        88,
        -signal.SIGABRT,
    }  # gloo may abort a rank whose peer has just ended
    assert "0.weight of rank 1 is not that of rank 0" in errors
    assert {event["rank"] for event in events if event["event"] == "stopped"} == {0, 1}
    assert not [event for event in events if event["event"] == "epoch"]


def test_replicas_that_drift_apart_are_named(miniature: Path, tmp_path: Path) -> None:
    codes, events, errors = ranks(miniature, tmp_path / "run", "drift")
    assert codes == [0, 0], errors
    assert not [event for event in events if event["event"] == "watch failed"]
    warned = [event for event in events if event["event"] == "warning" and event["what"] == "replicas differ"]
    assert {event["rank"] for event in warned} == {0, 1}
    assert warned[0]["parameter"] == "0.weight"
