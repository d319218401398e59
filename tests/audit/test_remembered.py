"""Tests of what a run is stamped with: the fingerprint of the last audit that came to its end, or nothing."""

from pathlib import Path

from opv2v_doctor.audit.fingerprint import inventory_fingerprint
from opv2v_doctor.audit.inventory import Inventory
from opv2v_doctor.audit.last_audit import last_audit
from opv2v_doctor.audit.listing import dataset_at

from .conftest import Audit


def test_an_audited_dataset_has_its_fingerprint(
    dataset: Path, audit: Audit, inventory: Inventory, tmp_path: Path
) -> None:
    where = dataset_at(str(dataset / "data"), str(dataset / "depth"))
    assert last_audit(where, tmp_path / "cache") is None
    audit()
    found = last_audit(where, tmp_path / "cache")
    assert found is not None
    assert (found.fingerprint, found.files) == (inventory_fingerprint(inventory), 180)


def test_an_audit_that_did_not_end_has_none(
    dataset: Path, first_frame: Path, audit: Audit, inventory: Inventory, tmp_path: Path
) -> None:
    audit()
    first_frame.with_suffix(".pcd").unlink()
    inventory.begin()
    inventory.changed(next(iter(inventory.dataset.folders())), [])
    inventory.store([])
    inventory._database.execute("UPDATE files SET turn = turn + 1 WHERE path LIKE '%.png'")
    inventory._database.commit()
    assert last_audit(dataset_at(str(dataset / "data"), str(dataset / "depth")), tmp_path / "cache") is None


def test_a_dataset_that_nobody_audited_has_none(tmp_path: Path) -> None:
    assert last_audit(dataset_at(str(tmp_path)), tmp_path / "cache") is None
    (tmp_path / "cache").mkdir()
    assert last_audit(dataset_at(str(tmp_path)), tmp_path / "cache") is None
