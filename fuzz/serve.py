"""The server under fuzz: raw requests, and hostile files below it; none fails, none leads out."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from random import Random

from starlette.types import ASGIApp, Receive, Scope, Send

from fuzz import Subject, corpus
from fuzz.bundles import put, unbundle
from fuzz.mutations import mutated
from opv2v_doctor.serving.application import application
from opv2v_doctor.serving.server import server

REQUEST = "REQUEST"  # the file of a bundle that is sent
SECRET = b"what lies outside"
ALLOWED = (200, 206, 303, 304, 307, 400, 401, 403, 404, 405, 408, 411, 413, 414, 416, 431, 501, 505)
INDEX = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
SECONDS = 10.0  # for an answer
PAUSE = 0.1  # seconds of silence after which more of a request is waited for
SENT = 1 << 16  # bytes of a request
WORDS = (
    b"\r\n",
    b"\r\n\r\n",
    b"\n",
    b"\0",
    b"\xff",
    b"%00",
    b"%2e%2e/",
    b"../",
    b"//",
    b"..\\",
    b"%25",
    b"?",
    b"#",
    b"GET ",
    b"HEAD ",
    b"POST ",
    b" HTTP/1.0",
    b" HTTP/1.1",
    b" HTTP/9.9",
    b"/files/",
    b"/thumbnails/",
    b"*",
    b"Host: localhost\r\n",
    b"Host: evil.example\r\n",
    b"Connection: keep-alive\r\n",
    b"Range: bytes=0-1\r\n",
    b"Range: bytes=-1,0-,5-2," + b"0-0," * 300,
    b"Content-Length: 99999999999999\r\n",
    b"Expect: 100-continue\r\n",
    b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
    b"If-Modified-Since: x\r\n",
    b"Cookie: a=\xff\r\n",
    b'If-None-Match: ""\r\n',
    b"A: " + b"b" * 70_000,
    b"X: y\r\n" * 500,
    b"?token=%ff&token=",
    b"http://a/",
    b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n",
    b"\n=== run.json\n",
    b"\n=== report.json\n",
    b"\n=== summary.json\n",
    b"\n=== a/panorama.png\n",
    b"\n=== a.html\n",
    b'{"counts": {"a": {}}, "exit_code": []}',
    b'{"total": {"a": 1e999, "b": true}}',
    b"\n=== \xff\xfe.png\n",
)


def seeds() -> Sequence[bytes]:
    """The corpus: bundles of a request and files."""
    return corpus("serve")


def mutation(seeds: Sequence[bytes], random: Random) -> bytes:
    """One request or some of the files, changed."""
    return mutated(random.choice(seeds), seeds, WORDS, random)


def examine(content: bytes, folder: Path) -> None:
    """Send the request, then ask for the index."""
    root = folder / "served"
    root.mkdir()
    (folder / "secret.txt").write_bytes(SECRET)
    (root / "link.txt").symlink_to(folder / "secret.txt")
    files = unbundle(content)
    request = files.pop(REQUEST, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    for name, body in files.items():
        put(name, body, root)
    port, said = _served()
    said.clear()
    _Switch.app = application(root)
    for sent, patience in ((request[:SENT], PAUSE), (INDEX, SECONDS)):
        answer = _answer(port, sent, patience)
        assert SECRET not in answer, "what lies outside was shown"
        statuses = [int(line[9:12]) for line in answer.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")]
        assert set(statuses) <= {*ALLOWED, 100}, f"answered {statuses}: {said}"
    assert statuses == [200], f"the index answers {statuses}: {said}"
    assert not said, f"the server said: {said}"


def _answer(port: int, sent: bytes, patience: float) -> bytes:
    """All that comes until the server closes, or says nothing for so long."""
    end, found = time.monotonic() + SECONDS, b""
    connection = socket.create_connection(("127.0.0.1", port), timeout=patience)
    with connection, contextlib.suppress(ConnectionError, TimeoutError):
        connection.sendall(sent)
        while chunk := connection.recv(1 << 16):
            found += chunk
            assert time.monotonic() < end, "the answer does not end"
    return found


class _Switch:
    """The application of the trial that is under way."""

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await _Switch.app(scope, receive, send)


@cache
def _served() -> tuple[int, list[str]]:
    """The port of the server of this process, and what it says in its log."""
    listening = socket.create_server(("127.0.0.1", 0))
    made = server(_Switch())
    threading.Thread(target=lambda: made.run(sockets=[listening]), daemon=True).start()
    said: list[str] = []
    handler = logging.Handler(logging.ERROR)
    handler.emit = lambda record: said.append(handler.format(record))  # type: ignore[method-assign]
    while not made.started:
        time.sleep(0.01)
    for name in ("uvicorn.error", "asyncio"):
        logging.getLogger(name).addHandler(handler)
    return listening.getsockname()[1], said


SUBJECT = Subject(name="serve", suffix=".serve", seeds=seeds, mutated=mutation, examine=examine)
