"""The SARIF 2.1.0 report: for code scanning, a rule a check, a result a warning or an error."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC
from pathlib import Path
from urllib.parse import quote

from opv2v_doctor import __version__
from opv2v_doctor.check import Check, Finding, Severity
from opv2v_doctor.reporters import Examination
from opv2v_doctor.reporters.json import strict
from opv2v_doctor.reporters.phrases import hazards, hint, lines, message, outcome
from opv2v_doctor.result import Result, Status, exit_code

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
LEVELS = {Severity.WARNING: "warning", Severity.ERROR: "error"}


def report(results: Iterable[Result], examination: Examination) -> Iterator[str]:
    """Write the whole report as one document, once all results are there."""
    kept = list(results)
    rules = {result.check.code: number for number, result in enumerate(kept)}
    run = {
        "tool": {
            "driver": {
                "name": "opv2v-doctor",
                "version": __version__,
                "rules": [_rule(result) for result in kept],
            }
        },
        "invocations": [_invocation(kept, rules, examination)],
        "originalUriBaseIds": {"ROOT": {"uri": _uri(examination.root or examination.repo) + "/"}},
        "results": [
            _result(result.check, rules, finding, examination)
            for result in kept
            for finding in hazards(result)
        ],
        "properties": {
            "commit": examination.commit,
            "dirty": examination.dirty,
            "overrides": examination.overrides,
            "gpus": examination.gpus,
        },
    }
    document = {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}
    yield json.dumps(strict(document), indent=2, allow_nan=False)


def _rule(result: Result) -> dict[str, object]:
    check = result.check
    return {
        "id": check.code,
        "name": check.name,
        "shortDescription": {"text": check.claim},
        "help": {"text": check.page, "markdown": check.page},
        "messageStrings": {
            _message_id(finding): {"text": _numbered_template(finding)[0]} for finding in hazards(result)
        },
        "properties": {"tags": [check.family, check.tier]},
    }


def _result(
    check: Check, rules: Mapping[str, int], finding: Finding, examination: Examination
) -> dict[str, object]:
    fix = ["", "fix: " + "\n".join(hint(finding, examination))] if finding.hint else []
    return {
        "ruleId": check.code,
        "ruleIndex": rules[check.code],
        "level": LEVELS[finding.severity],
        "message": {
            "text": "\n".join([*message(finding, examination), *fix]),
            "id": _message_id(finding),
            "arguments": _numbered_template(finding)[1],
        },
        "locations": [{"physicalLocation": _location(finding, examination)}],
        **({"baselineState": "unchanged" if finding.known else "new"} if examination.compared else {}),
        "properties": {"near": True} if finding.at and finding.at.near else {},
    }


def _message_id(finding: Finding) -> str:
    """What a message is known by among those of its check."""
    return hashlib.sha256(_numbered_template(finding)[0].encode()).hexdigest()[:12]


def _numbered_template(finding: Finding) -> tuple[str, list[str]]:
    """The template as SARIF writes it, with numbered gaps, and what fills them."""
    text, arguments = "", list[str]()
    fix = [("\n\nfix: ", None), *finding.hint.pieces()] if finding.hint else []
    for before, filling in (*finding.whole.pieces(), *fix):
        text += before.replace("{", "{{").replace("}", "}}")
        if filling is not None:
            text += f"{{{len(arguments)}}}"
            arguments.append(filling)
    return text, ["\n".join(lines(argument)) for argument in arguments]


def _location(finding: Finding, examination: Examination) -> dict[str, object]:
    """File and line; the root where there is no path: code scanning refuses results without a place."""
    path = examination.relative(finding.path or examination.root or examination.repo)
    artifact = {"uri": _uri(path)} if path.is_absolute() else {"uri": _uri(path), "uriBaseId": "ROOT"}
    region = {"region": {"startLine": finding.line}} if finding.line and finding.line > 0 else {}
    return {"artifactLocation": artifact, **region}


def _uri(path: Path) -> str:
    return ("file://" if path.is_absolute() else "") + quote(os.fsencode(path))


def _invocation(
    results: Sequence[Result], rules: Mapping[str, int], examination: Examination
) -> dict[str, object]:
    """How the examination itself went: what was blocked or crashed is no result, but must not be lost."""
    code = exit_code(results, strict=examination.strict)
    unanswered = [result for result in results if result.status in (Status.BLOCKED, Status.CRASHED)]
    started = examination.started
    return {
        "executionSuccessful": not unanswered and code in (0, 1),
        "exitCode": code,
        **({"startTimeUtc": f"{started.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"} if started else {}),
        "toolExecutionNotifications": [
            {
                "level": "error",
                "message": {"text": outcome(result)},
                "associatedRule": {"id": result.check.code, "index": rules[result.check.code]},
            }
            for result in unanswered
        ],
    }
