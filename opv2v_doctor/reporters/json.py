"""The JSON report: for programs, stable, strict JSON in ASCII; `report.schema.json` describes it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePath

from opv2v_doctor import __version__
from opv2v_doctor.check import Finding
from opv2v_doctor.reporters import Examination
from opv2v_doctor.reporters.phrases import counts
from opv2v_doctor.result import Result, exit_code
from opv2v_doctor.text import JSON, Each, Place, Text, Value

SCHEMA = 2


def report(results: Iterable[Result], examination: Examination) -> Iterator[str]:
    """Write the whole report as one document, once all results are there."""
    kept = list(results)
    document = {
        "schema": SCHEMA,
        "tool": {"name": "opv2v-doctor", "version": __version__},
        "target": _target(examination),
        "exit_code": exit_code(kept, strict=examination.strict),
        "counts": {str(status): count for status, count in counts(kept).items()},
        "seconds": round(sum(result.seconds for result in kept), 3),
        "results": [_result(result, examination) for result in kept],
    }
    yield json.dumps(strict(document), indent=2, allow_nan=False)


def _target(examination: Examination) -> dict[str, object]:
    return {
        "repo": examination.repo,
        "commit": examination.commit,
        "dirty": examination.dirty,
        "overrides": examination.overrides,
        "gpus": examination.gpus,
    }


def _result(result: Result, examination: Examination) -> dict[str, object]:
    check = result.check
    return {
        "code": check.code,
        "name": check.name,
        "family": check.family,
        "tier": check.tier,
        "status": result.status,
        "seconds": round(result.seconds, 3),
        "claim": check.claim,
        "examined": [{"count": one.count, "unit": one.unit, **one.where} for one in result.examined],
        "reason": plain(result.reason),
        **_place(result.at, examination),
        "hint": plain(result.hint),
        "findings": [_finding(finding, examination) for finding in result.findings],
    }


def _finding(finding: Finding, examination: Examination) -> dict[str, object]:
    return {
        "severity": finding.severity.name.lower(),
        "message": finding.message,
        "template": finding.text.template,
        "values": {name: plain(value) for name, value in finding.text.values.items()},
        "subjects": finding.subjects,
        "known": finding.known,
        **_place(finding.at, examination),
        "hint": plain(finding.hint),
    }


def _place(at: Place | None, examination: Examination) -> dict[str, object]:
    """Where: `near` tells that the line was found by a rule of thumb."""
    return {
        "path": None if at is None else examination.repo / at.path,
        "line": at.line if at else None,
        "near": at.near if at else False,
    }


def plain(value: Value) -> object:
    """A value as JSON knows it: a Text with its template and values, those of several subjects by subject."""
    if isinstance(value, Text):
        return {
            "text": str(value),
            "template": value.template,
            "values": {name: plain(one) for name, one in value.values.items()},
        }
    if isinstance(value, Each):
        return {subject: plain(one) for subject, one in value.values}
    if isinstance(value, Mapping):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return value


def strict(value: object) -> JSON:
    """The value as strict JSON: NaN and the infinities as strings, arrays as lists, all else as text."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str | PurePath):
        return str(value).encode("utf-8", "backslashreplace").decode()  # file names may hold stray bytes
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return _number(float(value))
    if isinstance(value, Mapping):
        return {str(strict(str(key))): strict(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [strict(entry) for entry in value]
    listed = getattr(value, "tolist", None)  # arrays and scalars of NumPy and PyTorch, without importing them
    return strict(listed()) if callable(listed) else strict(str(value))


def _number(value: float) -> float | str:
    if math.isnan(value):
        return "NaN"
    return value if math.isfinite(value) else ("Infinity" if value > 0 else "-Infinity")
