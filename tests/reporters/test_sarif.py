"""The SARIF report: rules, places and what was not answered."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture
def scan(written: Callable[[str], str]) -> Any:
    return json.loads(written("sarif"))["runs"][0]


def test_a_rule_carries_its_page(scan: Any) -> None:
    rule = scan["tool"]["driver"]["rules"][0]
    assert rule["id"] == "CFG901"
    assert "## How to fix" in rule["help"]["markdown"]


def test_only_warnings_and_errors_are_results(scan: Any) -> None:
    assert [(r["ruleId"], r["ruleIndex"], r["level"]) for r in scan["results"]] == [
        ("CFG902", 1, "error"),
        ("CFG902", 1, "error"),
        ("DAT903", 4, "warning"),
    ]


def test_a_place_in_the_repository_is_relative_and_another_is_not(scan: Any) -> None:
    places = [result["locations"][0]["physicalLocation"] for result in scan["results"]]
    assert places[0] == {
        "artifactLocation": {"uri": "configs/dataset/opv2v.yaml", "uriBaseId": "ROOT"},
        "region": {"startLine": 12},
    }
    assert places[1] == {"artifactLocation": {"uri": "file:///data/opv2v/a%2C%20b.yaml"}}


def test_a_message_is_a_template_of_its_rule_and_its_arguments(scan: Any) -> None:
    message = scan["results"][0]["message"]
    rule = scan["tool"]["driver"]["rules"][1]
    template = rule["messageStrings"][message["id"]]["text"]
    assert template.startswith("{0} is replaced by {1}: {2} kept, expected {3}\n\nfix: ")
    assert message["arguments"] == ["validate", "test", "1 loader", "2"]
    for result in scan["results"]:
        told, rules = result["message"], scan["tool"]["driver"]["rules"]
        string = rules[result["ruleIndex"]]["messageStrings"][told["id"]]["text"]
        assert string.format(*told["arguments"]) == told["text"]


def test_what_was_not_answered_is_a_notification(scan: Any) -> None:
    (invocation,) = scan["invocations"]
    codes = [each["associatedRule"]["id"] for each in invocation["toolExecutionNotifications"]]
    assert codes == ["DAT901", "DAT902"]
    assert (invocation["executionSuccessful"], invocation["exitCode"]) == (False, 1)
