"""The command `serve`: a read-only server for the results in a directory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from opv2v_doctor.cli import options
from opv2v_doctor.languages import say
from opv2v_doctor.text import Text

if TYPE_CHECKING:
    import socket

Directory = Annotated[
    Path, typer.Argument(help="What to serve.  [default: the working directory]", show_default=False)
]
Host = Annotated[str, typer.Option(help="Address to listen on; one that others can reach needs a token.")]
Port = Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")]
Token = Annotated[
    str | None,
    typer.Option(
        envvar="OPV2V_DOCTOR_TOKEN",
        help="Answer only who shows it: as ?token= once, then by a cookie, or as a bearer token. "
        "A command line is seen by all users of a machine, its environment is not.",
        show_default=False,
    ),
]


def serve(
    directory: Directory = Path(),
    host: Host = "127.0.0.1",
    port: Port = 8350,
    token: Token = None,
    lang: options.Lang = "en",
) -> None:
    """Show runs, reports, panoramas and point clouds in a browser, read-only.

    Serves the pages, pictures, logs and tables of a directory, and nothing else: no hidden file, no
    checkpoint, nothing outside of it. Nothing can be changed. Ends with Ctrl-C.
    """
    from opv2v_doctor.cli.streams import quiet_libraries
    from opv2v_doctor.serving.access import verify_token
    from opv2v_doctor.user_error import UsageError

    if not directory.is_dir():
        raise UsageError(f"{directory}: no such directory")
    verify_token(host, token)
    try:
        from opv2v_doctor.serving.application import LOCAL, application
        from opv2v_doctor.serving.server import server
    except ImportError as problem:
        raise UsageError(
            f"serve needs starlette, uvicorn and jinja2: pip install 'opv2v-doctor[serve]' ({problem})"
        ) from None
    listening = _listening(host, port)
    port = listening.getsockname()[1]
    served = application(
        directory,
        token=token,
        hosts=("*",) if token else (*LOCAL, host),  # without a token, a foreign name could be bound to us
        cookie=f"opv2v_doctor_{port}",
        language=lang,
    )
    for line in _where(directory, host, port, has_token=token is not None):
        typer.echo(say(line, lang))
    with quiet_libraries():
        server(served).run(sockets=[listening])


def _listening(host: str, port: int) -> socket.socket:
    """The socket, so that the port that is printed is the one that was got."""
    import socket

    from opv2v_doctor.user_error import UsageError

    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family)
    except OSError as problem:
        raise UsageError(f"--host {host} --port {port}: {problem.strerror or problem}") from None


def _where(directory: Path, host: str, port: int, *, has_token: bool) -> Iterator[Text]:
    """Where to look, from here and from the machine of who sits in front of a browser."""
    from opv2v_doctor.serving.access import is_private

    query = "?token=TOKEN" if has_token else ""
    address = f"[{host}]" if ":" in host else host
    yield Text("serving {directory} (read-only), until Ctrl-C", directory=str(directory.resolve()))
    if not is_private(host):
        machine = _this_machine() if host in ("0.0.0.0", "::") else address
        yield Text("  {url}", url=f"http://{machine}:{port}/{query}")
        yield Text("  the connection is not encrypted: whoever listens on the network sees the token")
        return
    yield Text("  here:        {url}", url=f"http://{address}:{port}/{query}")
    yield Text("  from afar:   {command}", command=_tunnel(address, port))
    yield Text("  then open:   {url}", url=f"http://127.0.0.1:{port}/{query}")
    if not has_token:
        yield Text("  other users of this machine can read it, too: --token keeps them out")


def _tunnel(address: str, port: int) -> str:
    """The ssh line for the machine that this session came from."""
    import os
    import shlex

    from opv2v_doctor.cli.streams import user

    connection = os.environ.get("SSH_CONNECTION", "").split()
    machine, ssh_port = (connection[2], connection[3]) if len(connection) == 4 else (_this_machine(), "22")
    special = f"-p {ssh_port} " if ssh_port != "22" else ""
    return f"ssh -N -L {port}:{address}:{port} {special}{shlex.quote(f'{user()}@{machine}')}"


def _this_machine() -> str:
    import socket

    name = socket.getfqdn()
    return socket.gethostname() if name.startswith("localhost") else name
