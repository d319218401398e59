"""What many tests share: a healthy, trained sandbox, copies of it with faults, a browser; which tests run.

The reason of a skip ends with the command that brings what is missing: `no gcc: apt-get install gcc`.
"""

import fcntl
import os
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # there is a test a core: more threads only wait for each other

import pytest
from hypothesis import HealthCheck, settings

from opv2v_doctor.sandbox import copy_repository, put, train_briefly, write_repository
from tests.warm import start

# A shared machine is slow now and then.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

LONG = {"healthy", "chromium"}  # fixtures that train, or that start what is as slow
KEPT_FOR = {"trained": "needs a trained repository: make test", "slow": "takes long: make test"}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fast", action="store_true", help="Skip what is `trained`, `slow` or `nightly`.")
    parser.addoption("--nightly", action="store_true", help="Run what is `nightly`, too.")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what trains, skip what this run leaves out, and put the longest files first.

    The workers of pytest-xdist take a file each, and so end together.
    """
    length: Counter[Path] = Counter()
    for item in items:
        if LONG & set(getattr(item, "fixturenames", ())):
            item.add_marker("trained")
        marks = {mark.name for mark in item.iter_markers()}
        length[item.path] += 20 if "slow" in marks else 5 if "trained" in marks else 1
        left_out = [why for name, why in KEPT_FOR.items() if config.option.fast and name in marks]
        if "nightly" in marks and not config.option.nightly:
            left_out = ["runs at night: make nightly"]
        if left_out:
            item.add_marker(pytest.mark.skip(reason=left_out[0]))
    items.sort(key=lambda item: -length[item.path])  # which keeps the order within a file


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Number bytes instead of spelling them: an archive names its second, and workers collect apart."""
    return argname if isinstance(val, bytes) else None


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """A table of what was skipped: how many tests, why, and the command that brings it."""
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = Counter(str(report.longrepr[2]).removeprefix("Skipped: ") for report in skipped)
    if reasons:
        terminalreporter.section("skipped")
    for reason, count in reasons.most_common():
        why, _, command = reason.partition(": ")
        terminalreporter.write_line(f"{count:5}  {why}  ->  {command or 'no command is known'}")


@pytest.fixture(scope="session")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The training interpreter that is asked where none is named: a fork of one that imported torch."""
    if " " in sys.executable or len(sys.executable) > 120:  # which the first line of a script cannot name
        yield
        return
    process, python = start(tmp_path_factory.mktemp("warm"))
    before, sys.executable = sys.executable, str(python)
    yield
    sys.executable = before
    assert process.stdin is not None
    process.stdin.close()
    process.wait(30)


@pytest.fixture(scope="session")
def healthy(tmp_path_factory: pytest.TempPathFactory, warm: None) -> Path:
    """A healthy repository that was trained for three epochs; to be read or copied, never to be changed.

    The workers of pytest-xdist share one.
    """
    base = tmp_path_factory.getbasetemp()
    directory = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "healthy" / "repository"
    directory.parent.mkdir(exist_ok=True)
    with (directory.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        trained = directory.parent / "trained"
        if not trained.exists():
            write_repository(directory)
            train_briefly(directory)
            trained.touch()
    return directory


@pytest.fixture
def broken(healthy: Path, tmp_path: Path) -> Callable[..., Path]:
    """A function that copies the healthy repository, puts the named faults in, and returns the copy."""

    def build(*fault_names: str) -> Path:
        copy = tmp_path / "_".join(["copy", *fault_names])
        copy_repository(healthy, copy)
        for name in fault_names:
            put(name, copy)
        return copy

    return build


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A real browser without a display or a network; WebGL is drawn in software."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="no selenium: make test")
    names = ("chromium", "chromium-browser", "google-chrome")
    binary, driver = next(filter(None, map(shutil.which, names)), None), shutil.which("chromedriver")
    if binary is None or driver is None:
        pytest.skip("no chromium and chromedriver: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for word in (
        *("headless=new", "no-sandbox", "disable-dev-shm-usage", "disable-background-networking"),
        *("use-gl=angle", "use-angle=swiftshader", "enable-unsafe-swiftshader"),
        *(f"user-data-dir={tmp_path_factory.mktemp('profile')}", "host-resolver-rules=MAP * ~NOTFOUND"),
    ):
        options.add_argument(f"--{word}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    started = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=driver))
    started.set_script_timeout(120)
    yield started
    started.quit()


@pytest.fixture(scope="module")
def browser(chromium: Any, request: pytest.FixtureRequest) -> Any:
    """The browser with an empty page and console, in a window of the size that the module asks for."""
    chromium.get("about:blank")
    chromium.get_log("browser")
    chromium.set_window_size(*getattr(request.module, "WINDOW", (1400, 1200)))
    return chromium
