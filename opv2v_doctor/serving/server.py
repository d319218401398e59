"""The server: uvicorn, and what it lacks: connections are few, and none may stand still."""

from __future__ import annotations

import asyncio
import resource
from typing import TYPE_CHECKING, Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    from starlette.types import ASGIApp

PATIENCE = 15.0  # seconds: in so many a request comes to its end, or 48 KiB of an answer are taken
MOST = 400  # connections; each may need a descriptor for itself and one for its file
FAREWELL = 2  # seconds for answers that are under way when Ctrl-C comes
LARGEST_HEAD = 1 << 16  # bytes


def server(app: ASGIApp) -> uvicorn.Server:
    """The server for an application. It listens when it runs, on the sockets that it is given."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            http=Connection,
            ws="none",
            lifespan="off",
            h11_max_incomplete_event_size=LARGEST_HEAD,
            timeout_graceful_shutdown=FAREWELL,
            proxy_headers=False,
            log_level="error",  # what somebody sends is no concern of who serves
            access_log=False,
            server_header=False,
        )
    )


class Connection(H11Protocol):
    """One connection: cut where it is one too many, or where its peer neither asks on nor takes the answer.

    uvicorn itself waits for ever for the end of a request, and for a reader that does not read.
    """

    _seen: object = None
    _resumed = 0
    _watch: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if len(self.connections) > most():
            transport.abort()
        else:
            self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._watch is not None:
            self._watch.cancel()
        super().connection_lost(exc)

    def resume_writing(self) -> None:
        self._resumed += 1
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """To what is no HTTP; uvicorn would go on with an answer that is under way, and fail."""
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:
            self.transport.close()

    def _look(self) -> None:
        """Abort where nothing came of the connection since the last look, unless it is we who are at work."""
        waits = self.transport.get_write_buffer_size() > 0
        is_our_turn = self.cycle is not None and not self.cycle.response_complete and not waits
        now = (self.cycle, self._resumed, waits)
        if now == self._seen and not is_our_turn:
            self.transport.abort()
            return
        self._seen = now
        self._watch = self.loop.call_later(PATIENCE, self._look)


def most() -> int:
    """How many connections there may be: fewer where this process may open few files."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST if limit == resource.RLIM_INFINITY else max(1, min(MOST, limit // 2 - 16))
