"""Kinds of faults in configs: another value of the same type, another reference, a key that is left out."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

from exam.choices import WISHES
from exam.mutation import Mutation, rewritten

VALUE = re.compile(r"^(?P<indent> *)(?P<key>\w+): (?P<value>[^#\n]+?)(?P<end> *(#.*)?)$")
ARGUMENT = re.compile(r"^ +(?P<key>\w+)=(?P<value>[^,]+?)(?P<end>,|\)\")$")
REFERENCE = re.compile(r"\.(train|val|test)(?=[.}])")
NUMBER = re.compile(r"(?<![\w.])-?\d+(\.\d+)?([eE]-?\d+)?(?![\w.])")
SPLITS = ("train", "val", "test")
OTHER_TEXTS = {
    "imgnorm": "colorjitter", "colorjitter": "imgnorm", "dinov2": "identity", "train": "validate",
    "validate": "train", "test": "validate", "opencv": "opengl", "avg_dis": "none",
}  # fmt: skip
Made = tuple[str, int, str]  # kind, index of the line, and what stands there then


def config_places(text: str) -> dict[str, list[Made]]:
    """All changes of a config file by kind."""
    found: dict[str, list[Made]] = {}
    rows = text.splitlines()
    for number, row in enumerate(rows):
        for kind, new in (*_values(row), *_arguments(row), *_expressions(row)):
            found.setdefault(kind, []).append((kind, number, new))
    values = [(n, m) for n, row in enumerate(rows) if (m := VALUE.match(row))]
    for (one, first), (other, second) in itertools.pairwise(values):
        typed = [type(_typed(each["value"])) for each in (first, second)]
        keys = {first["key"], second["key"]}
        unlike = first["value"] != second["value"] and (not keys <= WISHES or keys == {"lr", "min_lr"})
        if other == one + 1 and typed[0] is typed[1] and unlike:
            swapped = _with(first, second["value"]) + "\n" + _with(second, first["value"])
            found.setdefault("exchange_values", []).append(("exchange_values", one, swapped))
    return found


def config_made(path: str, text: str, place: Made) -> Mutation:
    """The mutation of such a change."""
    kind, number, new = place
    rows = text.splitlines(keepends=True)
    last = number + 1 + new.count("\n")
    changed = "".join([*rows[:number], new + "\n" if new else "", *rows[last:]])
    found = VALUE.match(rows[number].rstrip("\n")) or ARGUMENT.match(rows[number].rstrip("\n"))
    return rewritten(kind, path, number + 1, found["key"] if found else "", text, changed)


def _with(found: re.Match[str], value: str) -> str:
    return f"{found['indent']}{found['key']}: {value}{found['end']}"


def _typed(value: str) -> object:
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            pass
    return value.lower() == "true" if value.lower() in ("true", "false") else value


def _values(row: str) -> Iterator[tuple[str, str]]:
    """Another value of a key, of the same type."""
    found = VALUE.match(row)
    if not found or found["key"] in WISHES or found["value"].startswith("???"):
        return
    value = found["value"]
    plain = value.strip("'\"")
    typed = _typed(value)
    others: list[str] = []
    if isinstance(typed, bool):
        others = [str(not typed).lower()]
    elif isinstance(typed, int):
        others = [str(typed * 2 or 1), str(typed // 2), str(typed + 1), "null"]
    elif isinstance(typed, float):
        others = [repr(typed * 2 or 5.0), repr(typed / 2 or -5.0), repr(-typed or 10.0)]
    elif value.startswith("[") and "," in value:
        parts = [part.strip() for part in value.strip("[]").split(",")]
        others = [f"[{', '.join(each)}]" for each in (parts[::-1], parts[:-1], parts[1:]) if each]
        others += [f"[{', '.join([str(int(parts[0]) // 2), *parts[1:]])}]"]
    elif plain in OTHER_TEXTS:
        others = [value.replace(plain, OTHER_TEXTS[plain])]
    yield from (("config_value", _with(found, other)) for other in others if other != value)
    yield from (("config_reference", _with(found, other)) for other in _referred(value))
    if not value.startswith(("[", '"')) and found["key"] not in SPLITS:
        yield "config_key_dropped", ""


def _arguments(row: str) -> Iterator[tuple[str, str]]:
    """An argument of a dataset: from another split, or left out, so that its default applies."""
    found = ARGUMENT.match(row)
    if found:
        yield from (
            ("config_reference", row.replace(found["value"], other)) for other in _referred(found["value"])
        )
        if found["end"] == ",":
            yield "config_argument_dropped", ""


def _referred(value: str) -> list[str]:
    found = REFERENCE.search(value)
    return [
        REFERENCE.sub(f".{split}", value)
        for split in (SPLITS if found else ())
        if found and split != found[1]
    ]


def _expressions(row: str) -> Iterator[tuple[str, str]]:
    """A number, a truth value or a term of an expression over datasets or losses."""
    if not re.match(r"(train|test)_(dataset|criterion): \"", row):
        return
    for found in NUMBER.finditer(row):
        if not re.search(r"(alpha|scaling_c|top_n_percent)=$", row[: found.start()]):
            for other in ("0", f"-{found[0]}", f"{float(found[0]) * 20:g}"):
                yield "expression_number", row[: found.start()] + other + row[found.end() :]
    for word, other in (("True", "False"), (".val.", ".train."), (".test.", ".train."), (".train.", ".val.")):
        if word in row:
            yield "expression_word", row.replace(word, other, 1)
    before, plus, _ = row.partition(" + ")
    if plus and "criterion" in row:
        yield "expression_term_dropped", before + '"'
