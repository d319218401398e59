"""Logs for the checks of them."""

from pathlib import Path

import pytest

from ..log_text import LogText


@pytest.fixture
def log(tmp_path: Path) -> LogText:
    """An empty log."""
    return LogText(tmp_path)


@pytest.fixture
def healthy_log(log: LogText) -> LogText:
    """A training of eight epochs in which nothing went wrong."""
    return log.healthy()
