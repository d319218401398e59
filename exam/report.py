"""The results as tables: recall by kind and by stage, and what was missed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

STAGES = ("static", "data", "smoke", "run")
FAMILY = 3  # letters of a code


def read(path: Path) -> list[dict[str, Any]]:
    """The lines of a file of results, the last of each mutation; none where there is no file."""
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
    return [*{(each.get("seed"), each.get("number"), each.get("name")): each for each in lines}.values()]


def report(records: Sequence[Mapping[str, Any]], *, full: bool = False) -> Iterator[str]:
    """Totals, recall by group, kind and stage; each mutation that was missed, wrongly named or misplaced."""
    kept = [each for each in records if each["effect"] == "kept"]
    effects = sorted(Counter(each["effect"] for each in records).items())
    yield f"{len(records)} mutations: {', '.join(f'{count} {name}' for name, count in effects)}"
    yield from ("", _head())
    yield _row("all", kept)
    for title, of in (("group", "group"), ("launch", "launch"), ("kind", "kind")):
        yield f"-- by {title}"
        for name in sorted({each[of] for each in kept}):
            yield _row(name, [each for each in kept if each[of] == name])
    yield "-- by topic"
    about = sorted({name for each in kept for name in each.get("topics", ())})
    yield from (_row(name, [each for each in kept if name in each.get("topics", ())]) for name in about)
    lists: tuple[tuple[str, Callable[[Mapping[str, Any]], bool]], ...] = (
        ("missed", lambda each: each["verdict"] != "found"),
        ("found, and not named", lambda each: each["verdict"] == "found" and not each["named"]),
        ("found, and not placed", lambda each: each["verdict"] == "found" and not each["placed"]),
        *((("found", lambda each: each["verdict"] == "found"),) if full else ()),
    )
    for title, chosen in lists:
        yield from ("", f"== {title}")
        for each in filter(chosen, kept):
            yield from _told(each)


def _head() -> str:
    columns = ("kept", "found", "named", "placed", "blocked", *STAGES)
    return f"{'':28}" + "".join(f"{name:>9}" for name in columns)


def _row(name: str, records: Sequence[Mapping[str, Any]]) -> str:
    found = [each for each in records if each["verdict"] == "found"]
    counts = [
        len(records),
        len(found),
        *(sum(bool(each[name]) for each in found) for name in ("named", "placed")),
    ]
    counts += [sum(each["verdict"] == "blocked" for each in records)]
    counts += [sum(each["stage"] == stage for each in found) for stage in STAGES]
    share = f" {100 * len(found) / len(records):4.0f} %" if records else ""
    return f"{name:28}" + "".join(f"{count:9}" for count in counts) + share


def _told(record: Mapping[str, Any]) -> Iterator[str]:
    place = f"{record['path']}:{record['line']} {record['function']}"
    yield f"\n#{record['seed']}:{record['number']} {record['kind']} ({record['launch']}) {place}"
    yield from (f"    {line}" for line in record["about"].splitlines())
    yield f"    changes {record['changes']}"
    yield f"    {record['verdict']} {record['stage']}; about {', '.join(record.get('topics', ()))}"
    for said in record.get("said", ())[:4]:
        where = f"{said['path']}:{said['line']}" if said["path"] else ""
        yield f"    {said['code']} {said['status']}: {said['message'][:300]} {where}"
