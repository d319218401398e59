"""`python -m benchmarks [--smallest] [NAME...]`: run them, print a table; 1 where a bound does not hold.

With `--smallest` they run on next to nothing: that shows that they work, and measures nothing.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from pathlib import Path

from benchmarks import Ratio


def main() -> int:
    folder = str(Path(__file__).parent)
    smallest = "--smallest" in sys.argv
    given = [word for word in sys.argv[1:] if word != "--smallest"]
    names = given or [m.name for m in pkgutil.iter_modules([folder]) if m.name != "__main__"]
    measured: list[Ratio] = []
    for name in names:
        module = importlib.import_module(f"benchmarks.{name}")
        if smallest:
            vars(module).update(module.SMALLEST)
        for ratio in module.ratios():
            sign = ">=" if ratio.at_least else "<="
            verdict = "not measured" if smallest else "holds" if ratio.holds else "DOES NOT HOLD"
            figures = f"{ratio.measured:8.2f} {sign} {ratio.bound:<6} {verdict}  {ratio.details}"
            sys.stdout.write(f"{ratio.name:<58} {figures}".rstrip() + "\n")
            sys.stdout.flush()
            measured.append(ratio)
    return 0 if measured and all(smallest or ratio.holds for ratio in measured) else 1


if __name__ == "__main__":
    sys.exit(main())
