"""The command `log`: findings, the table, the page, and a log that grows."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from opv2v_doctor.facts.past.logs import read_logs

from ..forked import doctors

MISSION = Path(__file__).parents[2] / "examples" / "mission" / "train.log"
LINE = "Epoch: [0]  [{:2d}/40]  eta: 0:00:01  lr: 0.000013  loss: {}.0000 (1.0000)\n"


def doctor(*words: object, text: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "opv2v_doctor", "log", *map(str, words)]
    return subprocess.run(command, input=text, capture_output=True, check=False, timeout=120)


@dataclass(frozen=True)
class Written:
    """What the program said of the mission's log in each way, and where it wrote that."""

    folder: Path
    ends: dict[str, subprocess.CompletedProcess[str]]


KNOWN = ("--ignore", "LOG001: known")
WAYS: dict[str, tuple[object, ...]] = {
    "json": (MISSION, "--format", "json"),
    "csv": (MISSION, "--format", "csv"),
    "parquet": (MISSION, "--format", "parquet", "--output", "log.parquet"),
    "page": (MISSION, "--format", "html", "--output", "log.html"),
    "quiet page": (
        *(MISSION, "--format", "html", "--output", "quiet.html"),
        *(*KNOWN, "--ignore", "LOG005: known"),
    ),
    "three": (MISSION, *("--output", "three.html"), *("-o", "three.csv"), *("-o", "three.sarif")),
    "two tables": (MISSION, "-o", "two.csv", "-o", "alone.csv"),
    "no such format": (MISSION, "-o", "two.docx"),
    "read once": ("-", "-o", "once.csv", "-o", "once.md"),
    "no reason": (MISSION, "--format", "html", "--output", "quiet.html", "--ignore", "LOG001"),
    "folder": ("runs", "-v"),
    "missing": ("missing.log",),
    "no log": ("empty",),
    "page without a place": (MISSION, "--format", "html"),
    "standard input is not followed": ("-", "--follow"),
    "no log to follow": ("empty", "--follow"),
}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    folder = tmp_path_factory.mktemp("mission")
    (folder / "empty").mkdir()
    for run in ("one", "two"):
        (folder / "runs" / run).mkdir(parents=True)
        (folder / "runs" / run / "train.log").write_bytes(MISSION.read_bytes())
    ends = doctors([("log", *words) for words in WAYS.values()], cwd=folder)
    return Written(folder, dict(zip(WAYS, ends, strict=True)))


def test_the_mission_s_log_is_judged(written: Written) -> None:
    done = written.ends["json"]
    report = json.loads(done.stdout)
    assert done.returncode == 1
    failed = {result["code"] for result in report["results"] if result["status"] == "failed"}
    assert failed == {"LOG005"}
    assert {result["family"] for result in report["results"]} == {"log"}


def test_standard_input_is_a_log() -> None:
    done = doctor("-", text=MISSION.read_bytes())
    assert done.returncode == 1
    assert b"First to fix: LOG005" in done.stdout
    assert b"train.log" not in done.stdout


def test_a_folder_of_runs_is_read(written: Written) -> None:
    assert written.ends["folder"].stdout.count("NameError") >= 2


@pytest.mark.parametrize("way", [*WAYS][-5:])
def test_what_cannot_be_read_is_a_usage_error(way: str, written: Written) -> None:
    done = written.ends[way]
    assert done.returncode == 2
    assert done.stderr.startswith("opv2v-doctor: ")


def test_csv_is_the_table(written: Written) -> None:
    import pandas as pd

    done = written.ends["csv"]
    table = pd.read_csv(io.StringIO(done.stdout))
    whole = read_logs([MISSION]).table
    assert done.returncode == 0
    assert len(table) == len(whole)
    assert table["median"].tolist() == whole["median"].tolist()


def test_parquet_is_the_table(written: Written) -> None:
    pytest.importorskip("pyarrow", reason="no pyarrow: make test")
    import pandas as pd

    assert written.ends["parquet"].returncode == 0
    table, whole = pd.read_parquet(written.folder / "log.parquet"), read_logs([MISSION]).table
    assert table["metric"].tolist() == whole["metric"].astype(str).tolist()
    assert table["step"].tolist() == whole["step"].tolist()


def test_a_page_needs_no_network(written: Written) -> None:
    assert written.ends["page"].returncode == 1
    assert (written.folder / "log.html").stat().st_size > 1_000_000


def test_one_run_writes_several_files(written: Written) -> None:
    said, folder = written.ends["three"], written.folder
    assert said.returncode == 1
    for name, form in (("three.html", "html"), ("three.csv", "csv"), ("three.sarif", "sarif")):
        assert f"opv2v-doctor: wrote {name} ({form})" in said.stderr
    assert (folder / "three.html").read_text().rstrip().endswith("</html>")
    assert json.loads((folder / "three.sarif").read_text())["runs"][0]["results"]
    assert (folder / "three.csv").read_bytes() == (folder / "two.csv").read_bytes()
    assert "First to fix: LOG" in said.stdout


def test_tables_alone_judge_nothing(written: Written) -> None:
    said = written.ends["two tables"]
    assert (said.returncode, said.stdout) == (0, "")
    assert said.stderr.count("opv2v-doctor: wrote ") == 2


def test_a_suffix_that_no_format_has_is_answered_with_the_known_ones(written: Written) -> None:
    said = written.ends["no such format"]
    assert said.returncode == 2
    assert ".html, .csv, .parquet" in said.stderr
    assert written.ends["read once"].returncode == 2
    assert not (written.folder / "once.csv").exists()


def test_a_page_leaves_out_what_is_ignored(written: Written) -> None:
    assert written.ends["quiet page"].returncode == 0
    assert "LOG001</td>" not in (written.folder / "quiet.html").read_text()
    assert written.ends["no reason"].returncode == 2


class Following:
    """`log --follow` in a process of its own; its lines are read from a file."""

    def __init__(self, path: Path, output: Path, *words: str) -> None:
        self.output = output
        command = [sys.executable, "-u", "-m", "opv2v_doctor", "log", str(path), "--follow", *words]
        with output.open("wb") as said:
            self.process = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT)

    def saw(self, text: str, seconds: float = 60) -> bool:
        end = time.monotonic() + seconds
        while time.monotonic() < end and text not in self.output.read_text():
            time.sleep(0.05)
        return text in self.output.read_text()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(60)


def test_a_growing_log_is_followed_until_interrupted(tmp_path: Path) -> None:
    path = tmp_path / "train.log"
    path.write_text(LINE.format(0, 7))
    following = Following(path, tmp_path / "said")
    try:
        assert following.saw("train.log:1: train epoch 0 step 0/40  loss 7 (1)")
        with path.open("a") as file:
            file.write(LINE.format(10, 6)[:30])
            file.flush()
            time.sleep(0.5)
            file.write(LINE.format(10, 6)[30:] + "CUDA out of memory\n")
        assert following.saw("train.log:2: train epoch 0 step 10/40  loss 6 (1)")
        assert following.saw("train.log:3: CUDA out of memory")
        assert following.saw("train.log:3: ERROR LOG004 out of memory")
    finally:
        code = following.stop()
    assert code == 1
    assert following.saw("3 lines")
    assert following.saw("First to fix: LOG004")


def test_a_log_is_followed_until_it_is_quiet_and_judged_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "train.log"
    path.write_bytes(MISSION.read_bytes())
    done = doctor(path, "--follow", "--until-idle", "0.1")
    assert done.returncode == 1
    said = done.stdout.decode()
    assert "train.log:585: ERROR LOG005 steps per epoch dropped from 5000 (line 124) to 4000" in said
    assert said.count("ERROR LOG005") == 1
    assert "ERROR LOG001" not in said  # a later launch overcame it
    assert "First to fix: LOG005" in said


def test_the_head_names_the_training() -> None:
    said = doctor(MISSION).stdout.decode().splitlines()
    assert said[1] == "training: train.log, 10 of 10 epochs, ended; best loss 39.4 (epoch 6)"


def test_a_queued_run_is_waited_for(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "run.json").touch()
    following = Following(run, tmp_path / "said", "--until-idle", "3")
    try:
        assert following.saw("train.log: not there yet, waiting for it (for 3 s, as --until-idle says)")
        (run / "train.log").write_text(LINE.format(0, 7))
        assert following.saw("train.log:1: train epoch 0 step 0/40")
        assert following.process.wait(60) == 0
    finally:
        following.process.kill()
    never = doctor(tmp_path / "none.log", "--follow", "--until-idle", "0.1")
    assert (never.returncode, b"none.log never came" in never.stderr) == (3, True)


@pytest.mark.parametrize("how", ["truncated", "replaced"])
def test_a_log_that_starts_anew_is_followed_on(tmp_path: Path, how: str) -> None:
    path = tmp_path / "train.log"
    path.write_text(LINE.format(0, 7) * 3)
    following = Following(path, tmp_path / "said")
    try:
        assert following.saw("step 0/40")
        if how == "replaced":
            path.rename(tmp_path / "train.log.1")
        path.write_text(LINE.format(20, 5))
        assert following.saw("starts anew")
        assert following.saw("train.log:1: train epoch 0 step 20/40  loss 5 (1)")
    finally:
        assert following.stop() == 0


def test_a_rotated_log_is_read_to_its_end_and_the_next_one_followed(tmp_path: Path) -> None:
    """Who writes it goes on in the file that was renamed, until it opens another one."""
    path = tmp_path / "train.log"
    with path.open("w") as written:
        written.write(LINE.format(0, 7))
        written.flush()
        following = Following(path, tmp_path / "said", "--until-idle", "3")
        try:
            assert following.saw("step 0/40")
            path.rename(tmp_path / "train.log.1")
            time.sleep(1)  # it was looked at meanwhile
            written.write(LINE.format(10, 6))
            written.flush()
            assert following.saw("train.log:2: train epoch 0 step 10/40  loss 6 (1)")
            assert "starts anew" not in following.output.read_text()
            following.process.send_signal(signal.SIGSTOP)
            written.write(LINE.format(20, 5) + "CUDA out of memory\n")
            written.flush()
            path.write_text(LINE.format(30, 4))
            following.process.send_signal(signal.SIGCONT)
            assert following.saw("train.log:1: train epoch 0 step 30/40  loss 4 (1)")
            assert following.process.wait(60) == 0
        finally:
            following.process.kill()
    said = following.output.read_text()
    assert said.index("train.log:4: CUDA out of memory") < said.index("starts anew")
    assert "train.log:3: train epoch 0 step 20/40  loss 5 (1)" in said


def test_a_removed_log_is_judged_as_it_was_read(tmp_path: Path) -> None:
    path = tmp_path / "train.log"
    path.write_text(LINE.format(0, 7) + "CUDA out of memory\n")
    following = Following(path, tmp_path / "said", "--until-idle", "2")
    try:
        assert following.saw("train.log:2: CUDA out of memory")
        path.unlink()
        assert following.process.wait(60) == 1
    finally:
        following.process.kill()
    assert "First to fix: LOG004" in following.output.read_text()


def test_a_pipe_in_the_place_of_a_log_ends_it(tmp_path: Path) -> None:
    path = tmp_path / "train.log"
    path.write_text(LINE.format(0, 7))
    following = Following(path, tmp_path / "said", "--until-idle", "60")
    try:
        assert following.saw("step 0/40")
        os.mkfifo(tmp_path / "pipe")
        (tmp_path / "pipe").rename(path)
        assert following.process.wait(60) == 2
    finally:
        following.process.kill()
    assert following.output.read_text().splitlines()[-1] == f"opv2v-doctor: {path}: a named pipe, not a file"


def test_what_is_written_without_a_line_end_is_not_quiet(tmp_path: Path) -> None:
    path = tmp_path / "train.log"
    path.write_text(LINE.format(0, 7))
    following = Following(path, tmp_path / "said", "--until-idle", "2")
    try:
        assert following.saw("step 0/40")
        for _ in range(16):
            with path.open("a") as file:
                file.write("\r 1 % ")
            time.sleep(0.25)
        assert following.process.poll() is None
        assert following.process.wait(60) == 0
    finally:
        following.process.kill()


def test_a_log_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "train.log"
    following = Following(path, tmp_path / "said", "--until-idle", "3")
    try:
        assert following.saw("train.log: not there yet, waiting for it")
        path.write_text(LINE.format(0, 7))
        assert following.saw("step 0/40")
        assert following.process.wait(60) == 0
    finally:
        following.process.kill()


@pytest.mark.parametrize(
    ("form", "suffix", "begins"),
    [
        ("markdown", ".md", "#"),
        ("sarif", ".sarif", "{"),
        ("junit", ".xml", "<?xml"),
        ("json", ".json", "{"),
        ("csv", ".csv", "segment,phase"),
    ],
)
def test_reports_have_the_forms_of_all_others(tmp_path: Path, form: str, suffix: str, begins: str) -> None:
    path = tmp_path / f"report{suffix}"
    assert doctor(MISSION, "--output", path).returncode in (0, 1)
    assert path.read_text().startswith(begins)
    assert doctor(MISSION, "--format", form).stdout.decode().startswith(begins)


def test_several_runs_are_one_table(tmp_path: Path) -> None:
    for run in ("one", "two"):
        (tmp_path / run).mkdir()
        (tmp_path / run / "train.log").write_bytes(MISSION.read_bytes())
    captured = tmp_path / "two" / "output" / "launch.log"  # what the doctor itself kept is no training
    captured.parent.mkdir()
    captured.write_bytes(MISSION.read_bytes())
    (tmp_path / "two" / "run.json").write_text("{}")
    head, one, two, after, *_ = doctor(tmp_path).stdout.decode().splitlines()
    assert head.split() == ["run", "epochs", "end", "best", "first", "problem"]
    assert one.startswith("one ")
    assert two.startswith("two ")
    assert "LOG005 steps per epoch dropped" in two
    assert after.startswith("opv2v-doctor")
