"""For translators: `python -m opv2v_doctor.languages zh` brings the catalogue of a language up to date."""

from __future__ import annotations

import sys
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po, write_po

from opv2v_doctor.languages import ENGLISH, LANGUAGES
from opv2v_doctor.languages.templates import every_source, source_texts

ROOT = Path(__file__).parents[2]
WIDTH = 110


def main(language: str) -> None:
    """Add what the program says now, mark as fuzzy what is only like an old text, and drop what is gone."""
    path = Path(__file__).parent / f"{language}.po"
    with path.open("rb") as stream:
        catalogue = read_po(stream, locale=language)
    catalogue.update(templates(), no_fuzzy_matching=False)
    catalogue.obsolete.clear()
    with path.open("wb") as stream:
        write_po(stream, catalogue, width=WIDTH, omit_header=True, sort_by_file=True, include_lineno=False)
    entries = [message for message in catalogue if message.id]
    fuzzy = sum(message.fuzzy for message in entries)
    missing = sum(not message.string for message in entries)
    print(f"{path.name}: {len(entries)} texts, {missing} not translated, {fuzzy} fuzzy")  # noqa: T201


def templates() -> Catalog:
    """Every template of the program, and the files that it stands in."""
    found = Catalog(project="opv2v-doctor", fuzzy=False)
    for text in source_texts(every_source(ROOT)):
        found.add(text.template, locations=[(str(text.path.relative_to(ROOT)), text.line)])
    return found


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in LANGUAGES or sys.argv[1] == ENGLISH:
        sys.exit("python -m opv2v_doctor.languages LANGUAGE, as in `zh`")
    main(sys.argv[1])
