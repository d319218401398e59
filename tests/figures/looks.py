"""What a stranger sees of a page, measured in a browser: overlaps, contrast, what hangs over the edge."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

LEAST_CONTRAST = 4.5  # WCAG 2.1, level AA, of text of usual size
PHONE = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
SCRIPT = Path(__file__).with_suffix(".js").read_text(encoding="utf-8")


def faint_texts(page: Any) -> list[str]:
    """The texts whose contrast is too low, with what it is."""
    return list(page.execute_script(f"{SCRIPT}; return faint(arguments[0])", LEAST_CONTRAST))


def overlaps(page: Any, selector: str) -> list[str]:
    """The pairs of elements that lie over each other."""
    return list(page.execute_script(f"{SCRIPT}; return overlapping(arguments[0])", selector))


def hangs_over(page: Any) -> int:
    """How many pixels the page is wider than its window."""
    widths = "const all = document.documentElement; return all.scrollWidth - all.clientWidth"
    return int(page.execute_script(widths))


def opened(browser: Any, path: Path) -> Any:
    """The browser with a page in it, drawn."""
    browser.get(path.as_uri())
    return drawn(browser)


def drawn(page: Any) -> Any:
    """The page once its script says that all is drawn."""
    wait(lambda: page.execute_script("return document.body.dataset.ready"))
    return page


def wait(happened: Any, seconds: float = 60) -> None:
    """Wait until something is so. Fails where it never is."""
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.05)


@contextmanager
def phone(page: Any) -> Iterator[None]:
    """The page as it is on a phone, loaded anew."""
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", PHONE)
    page.refresh()
    try:
        yield
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def click(page: Any, element: Any) -> None:
    """A click that needs no scrolling."""
    page.execute_script("arguments[0].click()", element)


def turn_theme(page: Any) -> None:
    page.execute_script("document.getElementById('theme').click()")
