"""The real OPV2V frame that some tests compare with, where there is one."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
SHARED = Path(os.environ.get("OPV2V_DOCTOR_SHARED", ROOT.parent / "shared"))


@pytest.fixture(scope="session")
def real_frames() -> dict[str, dict[str, Any]]:
    """The frame files of one real scenario, parsed, by agent."""
    paths = sorted(SHARED.glob("data/opv2v_frame/*/*/*/*.yaml"))
    if not paths:
        pytest.skip("no real OPV2V frames outside the clone: export OPV2V_DOCTOR_SHARED=FOLDER")
    return {path.parent.name: yaml.load(path.read_bytes(), yaml.CSafeLoader) for path in paths}
