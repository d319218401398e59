"""For translators: `python -m opv2v_doctor.languages zh masks` prints what a module says and zh does not."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from opv2v_doctor.check import Check
from opv2v_doctor.languages import LANGUAGES
from opv2v_doctor.languages.catalogue import entries
from opv2v_doctor.languages.sources import page_texts, source_texts
from opv2v_doctor.registry import installed_checks

ENGINE = Path(__file__).parents[1]
FACTS = ENGINE / "facts"
OWN_CHECKS = ("audit.verdicts", "smoke")  # packages of checks that only one command runs


def main(language: str, module: str) -> None:
    """Print a module's texts that are not translated yet, as entries to fill in."""
    known = {english for _, english, _ in entries(language)}
    for text in dict.fromkeys(_texts(module)):
        if text not in known:
            print(f'[[text]]\nen = {_quoted(text)}\n{language} = ""\n')  # noqa: T201


def _texts(module: str) -> Iterator[str]:
    """The texts of a module of checks, verdicts or smoke with their pages; of a module or folder of facts."""
    checks = [c for c in installed_checks() if c.function.__module__.rpartition(".")[2] == module]
    files = {Path(inspect.unwrap(check.function).__code__.co_filename) for check in checks}
    place = FACTS / module.replace(".", "/")
    files |= {place.with_suffix(".py")} if place.with_suffix(".py").is_file() else set(place.rglob("*.py"))
    for package in OWN_CHECKS:
        if (path := ENGINE / package.replace(".", "/") / f"{module}.py").is_file():
            found = import_module(f"opv2v_doctor.{package}.{module}")
            checks += [value for value in vars(found).values() if isinstance(value, Check)]
            files.add(path)
    for check in checks:
        yield from page_texts(check.page)
    if not files:
        sys.exit(f"{module}: neither a module of checks nor one of facts")
    yield from (text for text, _, _ in source_texts(sorted(files)))


def _quoted(text: str) -> str:
    """As a TOML string, which JSON's are."""
    return json.dumps(text, ensure_ascii=False)


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in LANGUAGES:
        sys.exit("python -m opv2v_doctor.languages LANGUAGE MODULE, as in `zh masks` or `zh logs`")
    main(*sys.argv[1:])
