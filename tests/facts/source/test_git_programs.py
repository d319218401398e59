"""A repository that names a program wherever git could start one: none starts, and the answers are right."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from opv2v_doctor.sandbox import copy_repository

from ...forked import doctors

HOOKS = """
    applypatch-msg commit-msg fsmonitor-watchman post-applypatch post-checkout post-commit
    post-index-change post-merge post-receive post-rewrite post-update pre-applypatch pre-auto-gc
    pre-commit pre-merge-commit pre-push pre-rebase pre-receive prepare-commit-msg proc-receive
    push-to-checkout reference-transaction sendemail-validate update
"""
# the whole value is a program
PROGRAMS = """
    core.fsmonitor core.pager core.editor core.sshCommand core.gitProxy core.askPass
    core.alternateRefsCommand diff.external diff.trap.command diff.trap.textconv sequence.editor
    interactive.diffFilter gpg.program gpg.ssh.program gpg.ssh.defaultKeyCommand gpg.x509.program
    gpg.openpgp.program credential.helper credential.https://example.org.helper merge.trap.driver
    filter.trap.clean filter.trap.smudge filter.trap.process filter.part=of.dots.clean
    filter.part=of.dots.process pager.status pager.diff pager.config pager.rev-parse pager.ls-files
    trailer.sign.command trailer.sign.cmd uploadpack.packObjectsHook remote.origin.uploadpack
    remote.origin.receivepack uploadarchive.helper man.trap.cmd browser.trap.cmd difftool.trap.cmd
    mergetool.trap.cmd guitool.trap.cmd web.browser sendemail.sendmailCmd instaweb.httpd
    receive.procReceiveRefs hook.trap.command imap.tunnel ssh.command tar.trap.command
"""
COMMANDS = """
    status diff diff-index diff-files config rev-parse ls-files check-attr update-index cat-file
"""
PLAIN = {  # they start nothing by themselves, and mislead whoever reads what git prints
    "filter.trap.required": "true",
    "diff.trap.cachetextconv": "true",
    "diff.noprefix": "true",
    "diff.mnemonicPrefix": "true",
    "diff.ignoreSubmodules": "all",
    "diff.submodule": "log",
    "diff.renames": "copies",
    "diff.wsErrorHighlight": "all",
    "status.showUntrackedFiles": "no",
    "status.relativePaths": "false",
    "status.submoduleSummary": "true",
    "status.showStash": "true",
    "color.ui": "always",
    "core.quotePath": "true",
    "core.untrackedCache": "true",
    "submodule.recurse": "true",
    "fetch.recurseSubmodules": "true",
    "gc.auto": "1",
    "maintenance.auto": "true",
    "maintenance.strategy": "incremental",
    "feature.experimental": "true",
    "protocol.allow": "always",
    "protocol.ext.allow": "always",
    "hook.trap.event": "post-index-change",
}
PROMISED = {  # an object that is not there would be asked for
    "core.repositoryFormatVersion": "1",
    "extensions.partialClone": "origin",
    "remote.origin.promisor": "true",
    "remote.origin.partialCloneFilter": "blob:none",
    "remote.origin.url": "ssh://example.org/repository",
    "remote.second.promisor": "true",
    "remote.third.promisor": "true",
    "remote.third.url": "https://example.org/repository",
    "remote.third.vcs": "trap",
    "remote.fourth.partialCloneFilter": "blob:none",
    "remote.fourth.uploadpack": "trap",
}
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:{0}\nsize {1}\n"
LARGE, LARGE_DIGEST = b"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@dataclass(frozen=True)
class Trapped:
    """A repository full of canaries, the environment of its user, and which canary sang."""

    repo: Path
    home: Path
    songs: Path
    commit: str

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: text for name, text in os.environ.items() if not name.startswith("GIT_")}
        path = os.pathsep.join([str(self.home / "bin"), *os.environ["PATH"].split(os.pathsep), "."])
        return kept | {"HOME": str(self.home), "PATH": path, "PYTHONDONTWRITEBYTECODE": "1"}

    def sung(self) -> set[str]:
        found = {path.name for path in self.songs.iterdir()}
        for name in found:
            (self.songs / name).unlink()
        return found

    def doctor(self, *words: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "opv2v_doctor", *map(str, words)]
        return subprocess.run(
            command,
            cwd=self.repo,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def git(self, *words: str) -> subprocess.CompletedProcess[bytes]:
        """As the user would call it, without any care."""
        return subprocess.run(
            ["git", *words], cwd=self.repo, env=self.environment, capture_output=True, timeout=60, check=False
        )


def git(folder: Path, *words: str) -> str:
    """As it is before anything is planted."""
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "protocol.file.allow=always"]
    environment = {"PATH": os.environ["PATH"], "HOME": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    command = ["git", *identity, "-c", "init.defaultBranch=main", *words]
    return subprocess.run(
        command, cwd=folder, env=environment, check=True, capture_output=True, text=True
    ).stdout.strip()


def canary(place: Path, songs: Path, name: str) -> Path:
    """A program that leaves a file of this name behind."""
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(f"#!/bin/sh\n: > '{songs}/{name.replace('/', '_')}'\n")
    place.chmod(place.stat().st_mode | stat.S_IXUSR)
    return place


def plant(folder: Path, programs: Path, songs: Path, prefix: str = "") -> None:
    """A canary in every key and hook of a repository."""
    own = Path(git(folder, "rev-parse", "--absolute-git-dir"))
    values = dict(PLAIN)
    for key in PROGRAMS.split():
        values[key] = str(canary(programs / (prefix + key.replace("/", "_")), songs, prefix + key))
    for name in COMMANDS.split():
        values[f"alias.{name}"] = (
            f"!{canary(programs / (prefix + 'alias.' + name), songs, prefix + 'alias.' + name)}"
        )
    for key, text in values.items():
        git(folder, "config", key, text)
    for name in HOOKS.split():
        canary(own / "hooks" / name, songs, f"{prefix}hooks.{name}")
        canary(programs / "hooks" / name, songs, f"{prefix}hooksPath.{name}")


@pytest.fixture(scope="module")
def trapped(healthy: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trapped]:
    base = tmp_path_factory.mktemp("trapped")
    repo, home, songs, programs = (base / name for name in ("map anything", "home", "songs", "programs"))
    songs.mkdir()
    copy_repository(healthy, repo)
    inner = base / "inner"
    inner.mkdir()
    (inner / "inner.py").write_text("one = 1\n")
    (inner / ".gitattributes").write_text("* diff=trap\nother filter=trap\n")
    git(inner, "init")
    git(inner, "add", ".")
    git(inner, "commit", "-m", "one")
    git(repo, "submodule", "add", str(inner), "third_party/inner")
    (repo / ".gitattributes").write_text(
        "* diff=trap merge=trap\nmapanything/** filter=trap\n"
        "*.large filter=lfs -text\n*.dots filter=part=of.dots\n"
    )
    (repo / "planted.cfg").write_text(
        f"[core]\n\tfsmonitor = {canary(programs / 'include', songs, 'include')}\n"
    )
    settings = repo / "opv2v-doctor.toml"
    settings.write_text('select = ["CFG001", "ENV004"]\n' + settings.read_text())
    script = repo / "scripts/train.py"
    assert "    train(cfg)" in script.read_text()
    script.write_text(script.read_text().replace("    train(cfg)", "    pass"))  # who trains is not the point
    for name in ("same", "changed"):
        (repo / f"{name}.large").write_text(POINTER.format(LARGE_DIGEST, len(LARGE)))
    (repo / "kept.dots").write_text("as it is\n")
    git(repo, "add", ".")
    git(repo, "commit", "-m", "two")
    commit = git(repo, "rev-parse", "HEAD")

    # what a user did since: changes of every kind
    (repo / "same.large").write_bytes(LARGE)
    (repo / "changed.large").write_bytes(b"abd")
    (repo / "scripts/train.py").write_text((repo / "scripts/train.py").read_text() + "# changed\n")
    losses = repo / "mapanything/train/losses.py"
    losses.write_text(losses.read_text() + "# changed\n")
    os.utime(repo / "mapanything/train/training.py", (1, 1))
    os.utime(repo / "kept.dots", (1, 1))
    (repo / "new.py").write_text("new = 1\n")
    (repo / "third_party/inner/inner.py").write_text("one = 2\n")

    plant(repo, programs, songs)
    plant(repo / "third_party/inner", programs, songs, "inner.")
    for key, text in PROMISED.items():
        git(repo, "config", key, text)
    ext = canary(programs / "ext", songs, "ext")
    update = canary(programs / "update", songs, "update")
    git(repo, "config", "remote.second.url", f"ext::{ext}")
    git(repo, "config", "submodule.third_party/inner.update", f"!{update}")
    git(repo, "config", "include.path", "../planted.cfg")
    git(repo, "config", f"includeIf.gitdir:{repo}/.path", str(repo / "planted.cfg"))
    git(repo, "config", "extensions.worktreeConfig", "true")
    for key in ("core.fsmonitor", "filter.trap.clean", "filter.trap.process", "diff.external"):
        name = f"worktree.{key}"
        git(repo, "config", "--worktree", key, str(canary(programs / name, songs, name)))
    git(repo, "config", "core.hooksPath", str(programs / "hooks"))
    (repo / ".git/info/attributes").write_text("configs/** filter=trap diff=trap\n")

    # and what is the user's own: git-lfs, and helpers that git looks for in the PATH
    for name in ("git-lfs", "git-remote-trap", "ssh", "less", "trap", "git-credential-trap", "watchman"):
        canary(home / "bin" / name, songs, f"path.{name}")
    for kind in ("clean", "smudge", "process"):
        git(home, "config", "--file", ".gitconfig", f"filter.lfs.{kind}", f"git-lfs {kind} %f")
    canary(repo / "git", songs, "git in the repository")
    (repo / ".git/info/exclude").write_text("/git\n")
    found = Trapped(repo, home, songs, commit)
    found.sung()
    yield found


def test_the_canaries_live(trapped: Trapped) -> None:
    wanted, sung = {"worktree.core.fsmonitor", "worktree.filter.trap.process"}, set[str]()
    trapped.git("status")
    sung |= trapped.sung()
    # where the process of kept.dots hangs up, git ends, now and then, before it comes to the other one's file
    trapped.git("-c", "core.fsmonitor=false", "diff", "--", "mapanything/train/training.py")
    sung |= trapped.sung()
    assert wanted <= sung
    trapped.git("hash-object", "same.large")
    assert "path.git-lfs" in trapped.sung()
    trapped.git("diff", "--ignore-submodules=none", "HEAD", "--", "third_party")
    assert "inner.core.fsmonitor" in trapped.sung()
    trapped.git("-c", "filter.trap.required=false", "diff", "HEAD", "--", "scripts/train.py")
    assert "diff.trap.command" in trapped.sung()
    trapped.git("cat-file", "-p", "0123456789012345678901234567890123456789")
    assert trapped.sung() & {"core.sshCommand", "ext", "path.git-remote-trap"}


def answers(stamp: Mapping[str, object]) -> None:
    """What is so in the repository."""
    assert stamp["branch"] == "main"
    assert stamp["dirty"] == ["changed.large", "scripts/train.py", "third_party/inner"]
    assert stamp["untold"] == ["mapanything/train/losses.py"]
    assert stamp["untracked"] == ["new.py"]


def test_an_examination_starts_none_of_them(trapped: Trapped) -> None:
    done = trapped.doctor(
        "run-all", "--tier", "static", "--select", "ENV", "--select", "CFG", "--format", "json"
    )
    report = json.loads(done.stdout)
    assert trapped.sung() == set(), done.stderr
    assert (report["target"]["commit"], report["target"]["dirty"]) == (trapped.commit, True)
    state = next(result for result in report["results"] if result["code"] == "ENV004")
    assert "mapanything/train/losses.py" in json.dumps(state)


def test_a_dry_run_starts_none_of_them(trapped: Trapped) -> None:
    done = trapped.doctor("train", "--dry-run", "-v")
    assert trapped.sung() == set(), done.stderr
    stamp = json.loads(done.stdout[done.stdout.index("\n{\n") :])
    assert stamp["commit"] == trapped.commit, done.stderr
    assert stamp["submodules"] == {
        "third_party/inner": git(trapped.repo / "third_party/inner", "rev-parse", "HEAD")
    }
    assert stamp["remote"] == "ssh://example.org/repository"
    answers(stamp)


def test_a_launch_and_the_comparison_of_runs_start_none_of_them(trapped: Trapped, tmp_path: Path) -> None:
    done = trapped.doctor("train", "--gpus", 1, f"hydra.run.dir={tmp_path}/one")
    assert trapped.sung() == set()
    assert done.returncode == 0, done.stdout + done.stderr
    answers(json.loads((tmp_path / "one/run.json").read_text()))
    patch = (tmp_path / "one/diff.patch").read_text()
    assert [line.rpartition(" b/")[2] for line in patch.splitlines() if line.startswith("diff --git a/")] == [
        "scripts/train.py",
        "third_party/inner/inner.py",
        "new.py",
    ]
    listed = (tmp_path / "one/untracked.txt").read_text().splitlines()
    assert [line.split()[-1] for line in listed] == ["new.py", "changed.large", "mapanything/train/losses.py"]
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    compared = (["show", "one"], ["diff", "one", "two"], ["verify", "one"], ["list"])
    commands = [("runs", word, *(tmp_path / name for name in names)) for word, *names in compared]
    for words, ended in zip(
        compared, doctors(commands, cwd=trapped.repo, env=trapped.environment), strict=True
    ):
        assert ended.returncode in (0, 1), (words, ended.stderr)
    assert trapped.sung() == set()


def test_an_object_that_is_not_there_is_not_fetched(trapped: Trapped) -> None:
    blob = git(trapped.repo, "rev-parse", "HEAD:scripts/train.py")
    file = trapped.repo / ".git/objects" / blob[:2] / blob[2:]
    aside = file.rename(trapped.songs.parent / "aside")
    try:
        examined = trapped.doctor("run-all", "--tier", "static", "--select", "ENV004", "--format", "json")
        assert json.loads(examined.stdout)["target"]["commit"] == trapped.commit
        planned = trapped.doctor("train", "--dry-run")
        assert trapped.sung() == set()
        assert planned.returncode == 2
        assert "what would run cannot be stamped" in planned.stderr and "partial clone" in planned.stderr
    finally:
        aside.rename(file)
