"""Tests of the survey: it remembers, goes on after a kill, survives its workers, and reads from anywhere."""

import contextlib
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from opv2v_doctor.audit.file_record import Record
from opv2v_doctor.audit.fingerprint import fingerprint, inventory_fingerprint
from opv2v_doctor.audit.inventory import Inventory, open_inventory
from opv2v_doctor.audit.listing import Dataset
from opv2v_doctor.audit.reading import Chunk, read_chunk
from opv2v_doctor.audit.survey import survey
from opv2v_doctor.audit.workers import Readers, readers
from opv2v_doctor.result import Status
from opv2v_doctor.user_error import UsageError

from .conftest import ROOT, Audit

FILES = 18 * 10  # frames, each with a frame file, a cloud, four images and four depth maps
DEADLY = "000071_camera2.png"


def counted(who: Readers, seen: list[str]) -> Readers:
    """The readers, with a note of every path that they are given."""

    def noted(chunks: Iterator[Chunk]) -> Iterator[Chunk]:
        for chunk in chunks:
            seen.extend(file.path for file in chunk.files)
            yield chunk

    return lambda chunks: who(noted(iter(chunks)))


def die_of_it(chunk: Chunk) -> list[Record]:
    """Read, but die of one file of the first agent, as a broken decoder may."""
    if any(file.path.endswith(f"/4279/{DEADLY}") and file.split == "test" for file in chunk.files):
        os.kill(os.getpid(), signal.SIGKILL)
    return read_chunk(chunk)


def read_slowly(chunk: Chunk) -> list[Record]:
    time.sleep(0.2)
    return read_chunk(chunk)


def quiet(what: str, done: int, total: int) -> None:
    pass


def test_a_second_survey_reads_only_what_changed(first_frame: Path, audit: Audit) -> None:
    seen: list[str] = []
    audit(counted(readers(1), seen))
    assert len(seen) == FILES
    seen.clear()
    audit(counted(readers(1), seen))
    assert seen == []
    image = first_frame.with_name(f"{first_frame.stem}_camera0.png")
    image.write_bytes(image.read_bytes()[:-20])
    first_frame.with_suffix(".pcd").touch()
    results = audit(counted(readers(1), seen))
    assert sorted(Path(path).name for path in seen) == ["000069.pcd", "000069_camera0.png"]
    assert results["AUD002"].status is Status.FAILED


def test_what_is_gone_is_forgotten(first_frame: Path, audit: Audit, inventory: Inventory) -> None:
    audit()
    shutil.rmtree(first_frame.parent)
    audit()
    assert inventory.number("SELECT count(*) FROM files WHERE kind = 'frame'") == 15
    assert inventory.number("SELECT count(*) FROM folders WHERE scenario LIKE '2021_08_16%'") == 1


def test_processes_find_what_one_process_finds(inventory: Inventory, tmp_path: Path) -> None:
    survey(inventory, readers(1), quiet)
    with open_inventory(inventory.dataset, tmp_path / "other") as other:
        survey(other, readers(2), quiet)
        everything = "SELECT * FROM files ORDER BY path"
        assert list(inventory.rows(everything)) == list(other.rows(everything))


def test_a_worker_that_dies_costs_nothing(inventory: Inventory) -> None:
    killed: list[object] = []

    def kill_one(what: str, done: int, total: int) -> None:
        if what == "reading" and done and not killed:
            (victim, *_) = multiprocessing.active_children()
            victim.kill()
            killed.append(victim)

    survey(inventory, readers(2, read=read_chunk), kill_one)
    assert killed
    assert inventory.number("SELECT count(*) FROM files WHERE problem IS NULL") == FILES


def test_a_file_that_kills_its_reader_is_named(
    inventory: Inventory, audit: Audit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(ROOT))  # the workers import this module
    result = audit(readers(2, read=die_of_it))["AUD002"]
    (finding,) = result.findings
    assert finding.path
    assert finding.path.name == DEADLY
    assert "died" in finding.message
    assert inventory.number("SELECT count(*) FROM files WHERE problem IS NULL") == FILES - 1
    assert audit()["AUD002"].status is Status.PASSED  # it is tried again


def test_a_killed_audit_goes_on_where_it_was(dataset: Path, tmp_path: Path) -> None:
    for split in ("train", "validate", "test"):
        scenario = next((dataset / "data" / split).iterdir())
        for number in range(8):
            shutil.copytree(scenario, scenario.with_name(f"2022_01_{number + 1:02d}_00_00_00"))
    cache = tmp_path / "cache"
    script = (
        "import sys; from pathlib import Path; from opv2v_doctor.cli.audit import audit\n"
        "audit(sys.argv[1], workers=2, cache=Path(sys.argv[2]))"
    )
    command = [sys.executable, "-c", script, str(dataset / "data"), str(cache)]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    whole = Dataset(str(dataset / "data"))
    try:
        stored = _wait_for_records(whole, cache, process)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    seen: list[str] = []
    with open_inventory(whole, cache) as inventory:
        survey(inventory, counted(readers(1), seen), quiet)
        total = inventory.number("SELECT count(*) FROM files")
    assert 0 < len(seen) <= total - stored


def _wait_for_records(dataset: Dataset, cache: Path, process: "subprocess.Popen[bytes]") -> int:
    """Wait until the audit has stored some records; how many."""
    import sqlite3

    for _ in range(600):
        time.sleep(0.05)
        for path in cache.glob("*.sqlite"):
            try:
                with contextlib.closing(sqlite3.connect(path, timeout=5)) as database:
                    (stored,) = database.execute("SELECT count(*) FROM files").fetchone()
            except sqlite3.OperationalError:
                continue
            if stored > 60:
                return int(stored)
        assert process.poll() is None, "the audit ended before it could be killed"
    raise AssertionError("no record within 30 s")


def test_a_damaged_memory_is_begun_anew(dataset: Path, tmp_path: Path) -> None:
    whole = Dataset(str(dataset / "data"))
    with open_inventory(whole, tmp_path) as inventory:
        survey(inventory, readers(1), quiet)
    (path,) = tmp_path.glob("*.sqlite")
    path.write_bytes(b"no database" * 1000)
    with open_inventory(whole, tmp_path) as inventory:
        survey(inventory, readers(1), quiet)
        assert inventory.number("SELECT count(*) FROM files WHERE kind = 'frame'") == 18


def test_two_audits_of_one_dataset_do_not_mix(inventory: Inventory, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="under way"), open_inventory(inventory.dataset, tmp_path / "cache"):
        pass


def test_the_memory_never_lies_in_the_dataset(dataset: Path) -> None:
    whole = Dataset(str(dataset / "data"), str(dataset / "depth"))
    for place in (dataset / "data", dataset / "depth" / "deep" / "below"):
        with pytest.raises(UsageError, match="writes nothing"), open_inventory(whole, place):
            pass
    assert not list(dataset.rglob("*.sqlite"))


def test_a_dataset_in_memory_storage_is_audited(dataset: Path, tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.put(str(dataset / "data"), "/bucket/OPV2V", recursive=True)
    memory.put(str(dataset / "depth"), "/bucket/depth", recursive=True)
    try:
        seen: list[str] = []
        remote = Dataset("memory://bucket/OPV2V", "memory://bucket/depth")
        with open_inventory(remote, tmp_path / "remote") as inventory:
            survey(inventory, readers(1), quiet)
            survey(inventory, counted(readers(1), seen), quiet)
            assert seen == []
            assert inventory.number("SELECT count(*) FROM files WHERE problem IS NULL") == FILES
            found = inventory_fingerprint(inventory)
        local = Dataset(str(dataset / "data"), str(dataset / "depth"))
        with open_inventory(local, tmp_path / "local") as inventory:
            survey(inventory, readers(1), quiet)
            assert inventory_fingerprint(inventory) == found
    finally:
        memory.rm("/bucket", recursive=True)


def test_depth_beside_the_images_is_found(dataset: Path, tmp_path: Path) -> None:
    shutil.copytree(dataset / "depth", dataset / "data", dirs_exist_ok=True)
    with open_inventory(Dataset(str(dataset / "data")), tmp_path) as inventory:
        survey(inventory, readers(1), quiet)
        assert inventory.number("SELECT count(*) FROM files WHERE kind = 'depth'") == 72


def test_the_fingerprint_changes_with_any_byte_and_no_order() -> None:
    records = [("a.png", "1"), ("b.png", "2"), ("c.png", None)]
    assert fingerprint(records) == fingerprint(reversed(records))
    assert fingerprint(records) != fingerprint([("a.png", "2"), ("b.png", "1"), ("c.png", None)])
    assert fingerprint(records) != fingerprint([*records, ("d.png", None)])
    assert fingerprint([]) != fingerprint([("a.png", "1")])


def test_progress_ends_at_the_number_of_files(inventory: Inventory) -> None:
    told: list[tuple[str, int, int]] = []
    survey(inventory, readers(1), lambda *words: told.append(words))
    assert told[-1] == ("reading", FILES, FILES)
    assert [done for what, done, _ in told if what == "reading"] == sorted(
        done for what, done, _ in told if what == "reading"
    )


def test_a_missing_extra_is_a_usage_error(inventory: Inventory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)  # which Python then says is not installed
    with pytest.raises(UsageError, match="cluster"):
        survey(inventory, readers(1, "tcp://127.0.0.1:1"), quiet)
