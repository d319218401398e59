"""The registry finds the installed checks, orders them and selects among them."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from importlib.metadata import EntryPoint, entry_points

from opv2v_doctor.check import Blocked, Check, Skip, Tier
from opv2v_doctor.plugins import Plugin, package_plugin, plugin_checks
from opv2v_doctor.settings import Ignore
from opv2v_doctor.user_error import UsageError, unknown

GROUP = "opv2v_doctor.checks"
LISTED = "opv2v-doctor list"  # the command that lists all of them


def installed_checks(
    plugins: Sequence[Plugin] = (), *, without: Blocked | Skip | None = None, timeout: float = 300.0
) -> tuple[Check, ...]:
    """All checks, in the order of the checklist: ours, then other packages' and the plugins', hosted apart.

    `without` says why plugins that the settings name are not among them: it answers for them. Loading one,
    and each of its checks, may take `timeout` seconds.

    Raises UsageError for a code used twice, or a `requires` that does not name an earlier check.
    """
    points = sorted(entry_points(group=GROUP), key=lambda point: point.name)
    checks = [check for point in points if _is_ours(point) for check in point.load()]
    packages = [package_plugin(point) for point in points if not _is_ours(point)]
    checks += plugin_checks([*packages, *plugins], without, timeout)
    _verify(checks)
    return tuple(checks)


def _is_ours(point: EntryPoint) -> bool:
    return point.value.partition(":")[0] == GROUP


def _verify(checks: Sequence[Check]) -> None:
    seen: set[str] = set()
    for check in checks:
        if check.code in seen:
            raise UsageError(f"check code {check.code} is used twice ({check.name})")
        missing = set(check.requires) - seen
        if missing:
            raise UsageError(
                f"{check.code} requires {', '.join(sorted(missing))}, which does not come before it"
            )
        seen.add(check.code)


def select(checks: Sequence[Check], words: Sequence[str], tier: Tier = Tier.RUN) -> tuple[Check, ...]:
    """The checks that the words name, up to a tier, with all that they require."""
    chosen = codes_named(checks, words, tier)
    by_code = {check.code: check for check in checks}
    for check in reversed(checks):
        if check.code in chosen:
            chosen |= {code for code in check.requires if code in by_code}
    return tuple(check for check in checks if check.code in chosen and tier.reaches(check.tier))


def codes_named(checks: Sequence[Check], words: Sequence[str], tier: Tier = Tier.RUN) -> set[str]:
    """The codes that the words name (code, prefix of a code, family or name), up to a tier; no word: all.

    Raises UsageError for a word that names nothing, or nothing of this tier: what was asked for must not be
    left out in silence.
    """
    found = {check.code for check in checks if not words}
    for word in words:
        matching = [check for check in checks if _matches(check, word)]
        if not matching:
            names = {name for check in checks for name in (check.family, check.code, check.name)}
            raise unknown("check", word, names, LISTED)
        if not any(tier.reaches(check.tier) for check in matching):
            raise UsageError(f"{word} is of tier {matching[0].tier}: --tier {tier} leaves it out")
        found |= {check.code for check in matching}
    return {check.code for check in checks if check.code in found and tier.reaches(check.tier)}


def _matches(check: Check, word: str) -> bool:
    return word in (check.family, check.name) or check.code.startswith(word.upper())


def ignored_codes(
    checks: Iterable[Check], ignores: Sequence[Ignore], today: datetime.date, *, others: bool = False
) -> dict[str, str]:
    """Code -> reason of each check that shall not run.

    `others` says that some checks were not loaded: any code may be one of theirs.

    Raises UsageError for an unknown code or an expired date: an exception that nobody needs must not stay.
    """
    codes = {check.code for check in checks}
    for ignore in ignores:
        if ignore.code not in codes and not others:
            raise unknown("check code in ignore", ignore.code, codes, LISTED)
        if ignore.until is not None and ignore.until < today:
            raise UsageError(
                f"ignore of {ignore.code} expired on {ignore.until} ({ignore.reason}): renew or remove it"
            )
    return {ignore.code: ignore.reason for ignore in ignores}
