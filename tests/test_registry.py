"""The registry: order, selection, exceptions, plugins."""

import datetime
from pathlib import Path

import pytest

from opv2v_doctor import Tier
from opv2v_doctor.plugins import read_plugins
from opv2v_doctor.registry import ignored_codes, installed_checks, select
from opv2v_doctor.settings import Ignore
from opv2v_doctor.user_error import UsageError

CHECKS = installed_checks()
TODAY = datetime.date(2026, 1, 31)
PLUGIN = '''
from opv2v_doctor import check, examined, note

@check("MIN001", tier="static", requires=[{requires}])
def mine_is_fine(target):
    """Mine is fine."""
    yield note("seen")
    yield examined(1, "thing")
'''


def plugin(folder: Path, requires: str = "") -> Path:
    path = folder / "my_checks.py"
    path.write_text(PLUGIN.format(requires=requires))
    return path


def codes(*words: str, tier: Tier = Tier.RUN) -> list[str]:
    return [check.code for check in select(CHECKS, words, tier)]


def test_each_code_and_each_name_is_used_once() -> None:
    assert len({check.code for check in CHECKS}) == len({check.name for check in CHECKS}) == len(CHECKS)


def test_each_page_says_why_and_how() -> None:
    for check in CHECKS:
        assert "## Why it matters" in check.page, check.code
        assert "## How to fix" in check.page, check.code
        assert check.claim.endswith("."), check.code


def test_a_check_requires_no_higher_tier_than_its_own() -> None:
    tiers = {check.code: check.tier for check in CHECKS}
    assert all(check.tier.reaches(tiers[code]) for check in CHECKS for code in check.requires)


def test_no_word_selects_all_in_order() -> None:
    assert codes() == [check.code for check in CHECKS]


def test_a_family_brings_what_it_requires() -> None:
    chosen = codes("CFG006")
    assert chosen[0] == "CFG001"
    assert chosen[-1] == "CFG006"


def test_a_code_a_prefix_a_name_and_a_family_select() -> None:
    family = {check.code for check in CHECKS if check.family == "config"}
    assert family <= set(codes("config"))
    assert set(codes("config")) == set(codes("cfg"))
    assert codes("config_composes") == ["CFG001"]


def test_a_tier_leaves_out_what_needs_more() -> None:
    assert {check.tier for check in select(CHECKS, (), Tier.STATIC)} == {Tier.STATIC}


def test_what_was_asked_for_is_not_left_out_in_silence() -> None:
    with pytest.raises(UsageError, match="masks is of tier data: --tier static leaves it out"):
        codes("masks", tier=Tier.STATIC)


def test_an_unknown_word_names_what_is_near() -> None:
    with pytest.raises(UsageError, match="'confg'; did you mean 'config'"):
        codes("confg")


def test_an_exception_needs_a_known_code_that_is_not_expired() -> None:
    kept = ignored_codes(CHECKS, [Ignore(code="CFG001", reason="why", until=TODAY)], TODAY)
    assert kept == {"CFG001": "why"}
    with pytest.raises(UsageError, match="CFG991"):
        ignored_codes(CHECKS, [Ignore(code="CFG991", reason="why")], TODAY)
    with pytest.raises(UsageError, match="expired on 2026-01-30"):
        ignored_codes(CHECKS, [Ignore(code="CFG001", reason="why", until=datetime.date(2026, 1, 30))], TODAY)


def test_a_plugin_adds_its_checks_at_the_end(tmp_path: Path) -> None:
    loading, mine = installed_checks(read_plugins([str(plugin(tmp_path))]))[-2:]
    assert (loading.code, mine.name, mine.claim) == ("PLG001", "mine_is_fine", "Mine is fine.")


def test_a_plugin_that_requires_nothing_known_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="MIN001 requires NOT001"):
        installed_checks(read_plugins([str(plugin(tmp_path, '"NOT001"'))]))


def test_a_plugin_that_is_no_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"absent\.py: not a Python file"):
        read_plugins([str(tmp_path / "absent.py")])


def test_a_code_of_a_check_that_was_not_loaded_may_be_ignored() -> None:
    given = [Ignore(code="MIN001", reason="why")]
    assert ignored_codes(CHECKS, given, TODAY, others=True) == {"MIN001": "why"}
