"""What many tests share: a healthy, trained sandbox, copies of it with faults, and a browser."""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from opv2v_doctor.sandbox import copy_repository, put, train_briefly, write_repository


@pytest.fixture(scope="session")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Path:
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
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    names = ("chromium", "chromium-browser", "google-chrome")
    binary, driver = next(filter(None, map(shutil.which, names)), None), shutil.which("chromedriver")
    if binary is None or driver is None:
        pytest.skip("chromium and chromedriver are not installed")
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
