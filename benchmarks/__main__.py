"""`python -m benchmarks [NAME...]`: run the benchmarks, print a table; 1 where a bound does not hold."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from pathlib import Path

from benchmarks import Ratio


def main() -> int:
    folder = str(Path(__file__).parent)
    names = sys.argv[1:] or [m.name for m in pkgutil.iter_modules([folder]) if m.name != "__main__"]
    measured: list[Ratio] = []
    for name in names:
        for ratio in importlib.import_module(f"benchmarks.{name}").ratios():
            sign = ">=" if ratio.at_least else "<="
            verdict = "holds" if ratio.holds else "DOES NOT HOLD"
            figures = f"{ratio.measured:8.2f} {sign} {ratio.bound:<6} {verdict}  {ratio.details}"
            sys.stdout.write(f"{ratio.name:<58} {figures}".rstrip() + "\n")
            sys.stdout.flush()
            measured.append(ratio)
    return 0 if measured and all(ratio.holds for ratio in measured) else 1


if __name__ == "__main__":
    sys.exit(main())
