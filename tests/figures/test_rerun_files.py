"""Recordings for rerun's viewer: what they hold, and what is said where the library is not there."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from opv2v_doctor.figures.rerun_files import record_sample, recording, rerun
from opv2v_doctor.user_error import UsageError
from tests.figures.sights import reference_of, sample_of_views, shown_of, view_of


@pytest.mark.skipif(importlib.util.find_spec("rerun") is not None, reason="rerun is installed")
def test_without_the_library_the_command_that_brings_it_is_named() -> None:
    with pytest.raises(UsageError, match=r"pip install 'opv2v-doctor\[rerun\]'"):
        rerun()


def test_a_recording_holds_each_view_at_its_sample(tmp_path: Path) -> None:
    pytest.importorskip("rerun", reason="no rerun: pip install rerun-sdk")
    views = (view_of(tmp_path, 0), view_of(tmp_path, 1, agent="650/a b"))
    shown = [shown_of(view, reference_of(tmp_path)) for view in views]
    path = tmp_path / "val.rrd"
    with recording(path) as stream:
        record_sample(stream, sample_of_views(views), shown)
        assert not path.exists()
    command = [str(Path(sys.prefix, "bin", "rerun")), "rrd", "print", str(path)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for agent in ("1045", "650_a_b"):
        for entity in (f"/world/scenario/{agent} ", f"/views/{agent}/image", f"/views/{agent}/depth"):
            assert entity in said
