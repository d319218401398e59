"""The command that trusts plugins: the user's word, remembered by repository and content."""

from __future__ import annotations

from typing import Annotated

import typer

from opv2v_doctor.cli import options

Revoke = Annotated[bool, typer.Option("--revoke", help="Forget what was trusted for this repository.")]


def trust(repo: options.Repo = None, settings: options.SettingsFile = None, revoke: Revoke = False) -> None:
    """Trust the plugins of a repository's settings, as they are now.

    They are code of the repository, and may do what you may. Read them first. What a plugin imports or runs
    itself is not looked at. A change of a plugin, or of their list, asks again.
    """
    from opv2v_doctor.plugins import read_plugins
    from opv2v_doctor.plugins import trust as trusting
    from opv2v_doctor.target import find_settings, repository
    from opv2v_doctor.user_error import UsageError

    if repo is not None and not repo.is_dir():
        raise UsageError(f"--repo {repo}: no such directory")
    found = find_settings(repo, settings)
    place = repository(repo, found)
    if revoke:
        typer.echo(f"{trusting.revoke(place)} forgotten of {place}")
        return
    plugins = read_plugins(found.plugins)
    if not plugins:
        raise UsageError(f"{place}: its settings name no plugins: there is nothing to trust")
    trusting.trust(place, plugins)
    typer.echo(f"trusted for {place}, as they are now:")
    for plugin in plugins:
        typer.echo(f"  {plugin.name}")
