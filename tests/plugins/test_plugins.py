"""Plugins run where the user said so, in a process of their own, and nothing that they do reads as fine."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import psutil
import pytest

from opv2v_doctor import Command, Place, counted, error, examined
from opv2v_doctor.check import Crashed
from opv2v_doctor.plugins import package_plugin, read_plugins
from opv2v_doctor.plugins.crossing import decode, encode
from opv2v_doctor.plugins.plugin_process import PluginProcess
from opv2v_doctor.smoke import CHECKS as SMOKE_CHECKS

from ..forked import doctors

pytestmark = pytest.mark.slow
CANARY = "canary"
PLUGIN = """import os, sys, threading, atexit, signal, time, ctypes, posix
from opv2v_doctor import check, note, error, examined
open({canary!r}, "a").write("ran")
{at_import}

@check("MIN001", tier="static")
def mine_is_fine(target):
    '''Mine is fine.'''
    yield note("seen")
    {in_check}
    yield examined(1, "thing")

@check("MIN002", tier="static")
def mine_is_fine_again(target):
    '''Mine is fine again.'''
    yield note("seen again", numbers=[1, 2])
    yield examined(1, "thing")
"""
AT_IMPORT = 4  # the line of the gap
Doctor = Callable[..., subprocess.CompletedProcess[str]]


class Repository:
    """A training repository whose settings name a plugin."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.plugin = path / "tools" / "my_checks.py"
        self.canary = path.parent / CANARY
        self.state = path.parent / "state"
        settings = path / "opv2v-doctor.toml"
        settings.write_text(f'plugins = ["tools/my_checks.py"]\n{settings.read_text()}')
        self.write()

    def write(self, at_import: str = "", in_check: str = "") -> None:
        self.plugin.parent.mkdir(exist_ok=True)
        self.plugin.write_text(PLUGIN.format(canary=str(self.canary), at_import=at_import, in_check=in_check))

    def environment(self, **env: str) -> dict[str, str]:
        return {**os.environ, "XDG_STATE_HOME": str(self.state), **env}

    def doctor(self, *words: object, **env: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "opv2v_doctor", *map(str, words)]
        return subprocess.run(
            command, capture_output=True, text=True, timeout=120, env=self.environment(**env), check=False
        )

    def check(self, *words: object, **env: str) -> subprocess.CompletedProcess[str]:
        return self.doctor("check", *words, "--repo", self.path, **env)


@pytest.fixture
def repository(broken: Callable[..., Path]) -> Repository:
    return Repository(broken())


@pytest.fixture
def small(tmp_path: Path) -> Repository:
    """One in which only plugins have anything to say."""
    path = tmp_path / "small"
    (path / "scripts").mkdir(parents=True)
    (path / "scripts" / "train.py").write_text("")
    (path / "opv2v-doctor.toml").write_text("")
    return Repository(path)


def results(ended: subprocess.CompletedProcess[str]) -> dict[str, tuple[str, str]]:
    report = json.loads(ended.stdout)
    assert report["exit_code"] == ended.returncode
    return {result["code"]: (result["status"], told(result)) for result in report["results"]}


def told(result: dict[str, Any]) -> str:
    """Why there is no answer, and what would give one."""
    return " ".join(text["text"] for text in (result["reason"], result["hint"]) if text)


def test_a_plugin_that_nobody_trusts_does_not_run_and_is_no_good_news(small: Repository) -> None:
    refused = small.check("ENV001", "--format", "json")
    assert refused.returncode == 3
    status, reason = results(refused)["PLG001"]
    assert status == "blocked"
    assert f"opv2v-doctor trust --repo {small.path}" in reason
    assert str(small.plugin) in reason
    assert "--plugins" in reason
    named = small.check("MIN001")
    assert (named.returncode, "opv2v-doctor trust" in named.stderr) == (2, True)
    assert not small.canary.exists()


def test_the_user_decides_in_one_word(repository: Repository) -> None:
    with_them = repository.check("MIN001", "--plugins", "--format", "json")
    assert {code: status for code, (status, _) in results(with_them).items()} == {
        "PLG001": "passed",
        "MIN001": "passed",
    }
    repository.canary.unlink()
    without = repository.check("ENV001", "--no-plugins", "--format", "json")
    assert (without.returncode, results(without)["PLG001"][0]) == (0, "skipped")
    assert not repository.canary.exists()


def test_trust_is_in_what_was_read_and_ends_with_a_change(small: Repository) -> None:
    assert small.doctor("trust", "--repo", small.path).returncode == 0
    assert not small.canary.exists()
    assert small.check("MIN").returncode == 0
    small.write(at_import="changed = True")
    assert small.check("ENV001").returncode == 3
    small.write()
    assert small.check("MIN").returncode == 0
    settings = small.path / "opv2v-doctor.toml"
    (small.path / "other.py").write_text("")
    settings.write_text(settings.read_text().replace("my_checks.py", "my_checks.py', 'other.py", 1))
    settings.write_text(
        settings.read_text().replace("\"tools/my_checks.py', 'other.py\"", '"tools/my_checks.py", "other.py"')
    )
    assert small.check("ENV001").returncode == 3
    assert small.doctor("trust", "--repo", small.path).returncode == 0
    assert small.check("ENV001").returncode == 0
    assert small.doctor("trust", "--repo", small.path, "--revoke").returncode == 0
    assert small.check("ENV001").returncode == 3


def test_a_settings_file_elsewhere_earns_no_more_trust(small: Repository, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.toml"
    elsewhere.write_text(f'plugins = ["{small.plugin}"]\n')
    refused = small.check("ENV001", "--settings", elsewhere)
    assert refused.returncode == 3
    assert not small.canary.exists()


def test_a_repository_cannot_vouch_for_itself(small: Repository) -> None:
    inside = str(small.path / "state")
    refused = small.doctor("trust", "--repo", small.path, XDG_STATE_HOME=inside)
    assert (refused.returncode, "cannot vouch for itself" in refused.stderr) == (2, True)
    assert small.doctor("trust", "--repo", small.path).returncode == 0
    small.state.rename(inside)
    assert small.check("ENV001", XDG_STATE_HOME=inside).returncode == 3
    assert not small.canary.exists()


def test_what_is_trusted_runs_and_no_bytecode_beside_it(small: Repository) -> None:
    import py_compile

    evil = small.plugin.with_name("evil.py")
    evil.write_text(f"open({str(small.canary)!r}, 'a').write('evil')")
    cache = small.plugin.parent / "__pycache__" / f"my_checks.{sys.implementation.cache_tag}.pyc"
    py_compile.compile(str(evil), str(cache), invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    assert small.check("MIN001", "--plugins").returncode == 0
    assert small.canary.read_text() == "ran"


def test_what_only_tells_runs_no_plugin(small: Repository) -> None:
    of_it = ("--repo", small.path)
    telling = [("list", *of_it), ("explain", "PLG001", *of_it), ("explain", "MIN001", *of_it)]
    others = [("--help",), ("check", "--help"), ("trust", *of_it)]
    for words, told in zip(
        [*telling, *others], doctors([*telling, *others], env=small.environment()), strict=True
    ):
        assert told.returncode == (2 if "MIN001" in words else 0), words
        if words in telling:
            assert f"not loaded here, as plugins run in an examination only: {small.plugin}" in told.stderr
    assert not small.canary.exists()


def test_completion_runs_no_plugin(small: Repository) -> None:
    asking = {
        "_OPV2V_DOCTOR_COMPLETE": "complete_bash",
        "COMP_WORDS": "opv2v-doctor check M",
        "COMP_CWORD": "2",
    }
    subprocess.run(
        [sys.executable, "-m", "opv2v_doctor"],
        env=small.environment(**asking),
        cwd=small.path,
        check=False,
        capture_output=True,
        timeout=60,
    )
    assert not small.canary.exists()


RAVING = """exec("for n in range(3, 40):\\n try: os.write(n, b'nonsense\\\\n')\\n except OSError: pass")"""
ENDS = {
    "os._exit(0)": "ended itself with exit code 0",
    "posix._exit(0)": "ended itself with exit code 0",
    "sys.exit(0)": "SystemExit: 0",
    "raise BaseException('mine')": "BaseException: mine",
    "raise KeyboardInterrupt": "KeyboardInterrupt",
    "raise GeneratorExit": "GeneratorExit",
    "os.kill(os.getpid(), signal.SIGKILL)": "was killed by SIGKILL",
    "os.killpg(0, signal.SIGTERM)": "was killed by SIGTERM",
    "os.fork() == 0 and time.sleep(600); os._exit(0)": "ended itself with exit code 0",
    "threading.Timer(0.2, os._exit, (0,)).start(); time.sleep(60)": "ended itself with exit code 0",
    "atexit.register(os._exit, 0); sys.exit(0)": "SystemExit: 0",
    "signal.signal(signal.SIGALRM, lambda *a: os._exit(0)); signal.alarm(1); time.sleep(60)": "exit code 0",
    "os.closerange(3, 100); time.sleep(60)": "closed its answers",
    RAVING: "said what is no answer",
    "ctypes.string_at(0)": "was killed by SIGSEGV",
}


AN_END = """
@check("MIN{number:03}", tier="static")
def mine_ends_{number}(target):
    '''Mine ends.'''
    {end}
    yield examined(1, "thing")
"""


def test_whatever_a_plugin_does_to_its_process_it_has_crashed(small: Repository) -> None:
    """Each end in a check of its own: the next one has a process of its own."""
    numbered = dict(enumerate(ENDS, 3))
    ends = [AN_END.format(number=number, end=end) for number, end in numbered.items()]
    small.plugin.write_text(small.plugin.read_text() + "".join(ends))
    lines = small.plugin.read_text().splitlines()
    ended = small.check("MIN", "--plugins", "--format", "json")
    assert ended.returncode == 3
    found = results(ended)
    for number, end in numbered.items():
        status, reason = found[f"MIN{number:03}"]
        assert (status, ENDS[end] in reason) == ("crashed", True), (end, reason)
        line = lines.index(f"    {end}") + 1
        assert f"{small.plugin}:{line}" in reason or end == RAVING, end  # and wrote over the line
    assert (found["MIN001"][0], found["MIN002"][0]) == ("passed", "passed")


@pytest.mark.parametrize("end", ENDS)
def test_whatever_a_plugin_does_at_its_import_it_has_crashed(end: str, small: Repository) -> None:
    """How that is told and counted is tested with one that has no end, below."""
    small.write(at_import=end)
    (plugin,) = read_plugins([str(small.plugin)])
    with pytest.raises(Crashed) as crash:
        PluginProcess(plugin, 60).checks()
    assert ENDS[end] in str(crash.value)
    assert f"{small.plugin}:{AT_IMPORT}" in str(crash.value) or end == RAVING
    PluginProcess.close_all()


ENDLESS = {
    "time.sleep(600)": "did not end within 3 s (--timeout)",
    "while True: yield note('again')": "says more than 10000 things of one check",
}


@pytest.mark.parametrize(
    ("where", "body"), [("at_import", "time.sleep(600)"), *(("in_check", b) for b in ENDLESS)]
)
def test_a_plugin_that_has_no_end_has_crashed(where: str, body: str, small: Repository) -> None:
    small.write(**{where: body})
    begun = time.monotonic()
    selected = "ENV001" if where == "at_import" else "MIN001"
    seconds = 3 if "sleep" in body else 60
    ended = small.check(selected, "--plugins", "--format", "json", "--timeout", seconds)
    status, reason = results(ended)["PLG001" if where == "at_import" else "MIN001"]
    assert (ended.returncode, status, ENDLESS[body] in reason) == (3, "crashed", True), reason
    assert time.monotonic() - begun < 40


def test_what_was_found_before_the_end_is_kept(small: Repository) -> None:
    small.write(in_check="yield error('broken', hint='mend it'); os._exit(0)")
    report = json.loads(small.check("MIN001", "--plugins", "--format", "json").stdout)
    (mine,) = [result for result in report["results"] if result["code"] == "MIN001"]
    assert [finding["message"] for finding in mine["findings"]] == ["seen", "broken"]


def test_an_end_after_the_last_answer_takes_none_away(small: Repository) -> None:
    small.write(
        at_import="atexit.register(os._exit, 1); threading.Thread(target=time.sleep, args=(60,)).start()"
    )
    begun = time.monotonic()
    assert small.check("MIN", "--plugins").returncode == 0
    assert time.monotonic() - begun < 30


def test_what_a_plugin_prints_is_no_part_of_the_report(small: Repository) -> None:
    small.write(at_import="print('hello'); os.write(1, b'world')", in_check="print('more')")
    ended = small.check("MIN001", "--plugins", "--format", "json")
    assert (ended.returncode, results(ended)["MIN001"][0]) == (0, "passed")
    assert "hello" in ended.stderr


def test_a_plugin_cannot_reach_the_verdicts_of_others(small: Repository) -> None:
    small.write(
        at_import="import opv2v_doctor.result as r; r.exit_code = lambda *a, **k: 0",
        in_check="yield error('broken', hint='-')",
    )
    assert small.check("MIN001", "--plugins").returncode == 1


def _doctor_with_a_plugin_that_hangs(
    small: Repository, sign: Path
) -> tuple[subprocess.Popen[str], list[psutil.Process]]:
    """The doctor, and its children at the time at which the plugin's check has begun to sleep."""
    small.write(in_check=f"open({str(sign)!r}, 'w').close(); time.sleep(600)")
    process = subprocess.Popen(
        [sys.executable, "-m", "opv2v_doctor", "check", "MIN001", "--plugins", "--repo", small.path],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=small.environment(),
    )
    deadline = time.monotonic() + 60
    while not sign.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    return process, psutil.Process(process.pid).children(recursive=True)


def test_an_interrupt_of_the_user_ends_a_plugin_that_hangs(small: Repository, tmp_path: Path) -> None:
    process, children = _doctor_with_a_plugin_that_hangs(small, tmp_path / "hangs")
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (130, "opv2v-doctor: interrupted\n")
    assert children
    assert psutil.wait_procs(children, timeout=10)[1] == []


def test_a_doctor_that_is_killed_takes_its_plugins_along(small: Repository, tmp_path: Path) -> None:
    process, children = _doctor_with_a_plugin_that_hangs(small, tmp_path / "hangs")
    process.kill()
    process.communicate(timeout=60)
    assert children
    assert psutil.wait_procs(children, timeout=10)[1] == []


def test_the_gate_of_a_launch_asks_for_trust_as_well(repository: Repository) -> None:
    settings = repository.path / "opv2v-doctor.toml"
    settings.write_text(f'select = ["CFG001"]\n{settings.read_text()}')
    refused = repository.doctor("train", "--repo", repository.path, "--fresh")
    assert refused.returncode == 3
    assert "opv2v-doctor trust" in refused.stdout
    assert not repository.canary.exists()


def test_facts_can_be_looked_at_over_there(repository: Repository) -> None:
    repository.write(
        at_import="from opv2v_doctor.facts.source.commit import git_state",
        in_check="yield note('on {commit}', at=target.repo, commit=git_state(target).commit)",
    )
    report = json.loads(repository.check("MIN001", "--plugins", "--format", "json").stdout)
    (mine,) = [result for result in report["results"] if result["code"] == "MIN001"]
    assert mine["findings"][1]["path"] == str(repository.path)
    assert len(mine["findings"][1]["message"]) > 20


def test_checks_of_another_package_run_apart_too() -> None:
    point = EntryPoint("theirs", "opv2v_doctor.smoke:CHECKS", "opv2v_doctor.checks")
    found = PluginProcess(package_plugin(point), 60).checks()
    assert [(c.code, c.name, c.family, c.page, c.tier) for c in found] == [
        (c.code, c.name, c.family, c.page, c.tier) for c in SMOKE_CHECKS
    ]
    with pytest.raises(Crashed, match="AttributeError"):
        PluginProcess(
            package_plugin(EntryPoint("theirs", "json:nothing", "opv2v_doctor.checks")), 60
        ).checks()
    PluginProcess.close_all()


def test_findings_cross_as_they_are() -> None:
    finding = error(
        "{n} ä {part}: {command}",
        hint="mend {n}",
        at=Place(Path("/a"), 3, near=True),
        of=("train", "val"),
        event=7,
        n=[1.5, None],
        part=counted(2, "view"),
        command=Command("true"),
        pair=(True, "x"),
        nested={"a": {}},
    )
    seen = examined(3, "view", split="val")
    for one in (finding, seen):
        assert decode(json.loads(json.dumps(encode(one)))) == one
    assert str(decode(json.loads(json.dumps(encode(finding.text))))) == str(finding.text)


@pytest.mark.parametrize(
    "said",
    [
        ["noun", "os:system", {}],
        ["noun", "opv2v_doctor.check:inspect", {}],
        ["noun", "opv2v_doctor.check:Path", {}],
        ["enum", "opv2v_doctor.check:Finding", 1],
        ["word", "builtins:exec", "x"],
        ["gadget", 1],
        {"a": 1},
        [],
    ],
)
def test_nothing_but_our_nouns_is_made_of_what_a_plugin_says(said: object) -> None:
    with pytest.raises(ValueError, match=r"no (noun|value) of ours"):
        decode(said)
