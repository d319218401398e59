"""Merging: what is wrong in several splits, agents or ranks for one cause is told once, with every number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import replace

from opv2v_doctor.check import Finding
from opv2v_doctor.text import Each, Text, Value


def merge(findings: Iterable[Finding]) -> Iterator[Finding]:
    """One finding for each cause, in the order in which they came.

    One cause have findings of different subjects that are equal but for their subject and the values of their
    templates. Those without a subject stay as they are.
    """
    causes: dict[Hashable, list[Finding]] = {}
    times: Counter[Hashable] = Counter()
    for number, finding in enumerate(findings):
        cause = _cause(finding) if finding.subjects else number
        times[finding.subjects, cause] += 1  # a split that has a cause twice has two findings
        causes.setdefault((cause, times[finding.subjects, cause]), []).append(finding)
    for alike in causes.values():
        yield _join(alike) if len(alike) > 1 else alike[0]


def _cause(finding: Finding) -> Hashable:
    place = finding.at if finding.at and finding.at.line else None  # a file of data is each subject's own
    return finding.severity, place, finding.event, _shape(finding.text), _shape(finding.hint)


def _shape(text: Value) -> Hashable:
    """The template of a text, and those of the texts that fill its gaps: what is said but for the numbers."""
    if not isinstance(text, Text):
        return None
    return text.template, tuple((name, _shape(value)) for name, value in sorted(text.shown.items()))


def _join(alike: Sequence[Finding]) -> Finding:
    names = [", ".join(finding.subjects) for finding in alike]
    hints = [finding.hint for finding in alike if finding.hint]
    return replace(
        alike[0],
        text=_of_all([finding.text for finding in alike], names),
        hint=_of_all(hints, names) if hints else None,
        subjects=tuple(dict.fromkeys(subject for finding in alike for subject in finding.subjects)),
    )


def _of_all(texts: Sequence[Text], names: Sequence[str]) -> Text:
    """One text of several of one template: values that differ are told with the subject of each."""
    keys = dict.fromkeys(key for text in texts for key in text.values)
    return Text(
        texts[0].template, **{key: _value([text.values.get(key) for text in texts], names) for key in keys}
    )


def _value(values: Sequence[Value], names: Sequence[str]) -> Value:
    first = values[0]
    if all(value == first for value in values):
        return first
    texts = [value for value in values if isinstance(value, Text)]
    if len(texts) == len(values) and len(set(map(_shape, texts))) == 1:
        return _of_all(texts, names)
    return Each(tuple(zip(names, values, strict=True)))
