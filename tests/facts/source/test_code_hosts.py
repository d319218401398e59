"""Pages of lines at code hosts, by the remote alone."""

import pytest

from opv2v_doctor.facts.source.code_hosts import page_of_line

PAGE = "https://github.com/ada/map-anything/blob/0123/scripts/a%20b.py#L7"


@pytest.mark.parametrize(
    "remote",
    [
        "git@github.com:ada/map-anything.git",
        "https://github.com/ada/map-anything",
        "https://ada:token@github.com/ada/map-anything.git",
        "ssh://git@github.com:22/ada/map-anything.git",
    ],
)
def test_a_remote_in_every_form_leads_to_the_line_and_shows_no_token(remote: str) -> None:
    assert page_of_line(remote, "0123", "scripts/a b.py", 7) == PAGE


def test_gitlab_has_its_own_form() -> None:
    found = page_of_line("git@gitlab.uni.example:group/sub/repo.git", "0123", "a.py", None)
    assert found == "https://gitlab.uni.example/group/sub/repo/-/blob/0123/a.py"


@pytest.mark.parametrize(
    "remote",
    [None, "", "/srv/git/repo.git", "https://example.com/a/b", "javascript://github.com/%0aalert(1)"],
)
def test_other_remotes_lead_nowhere(remote: str | None) -> None:
    assert page_of_line(remote, "0123", "a.py", 1) == ""
    assert page_of_line("git@github.com:ada/a.git", None, "a.py", 1) == ""
