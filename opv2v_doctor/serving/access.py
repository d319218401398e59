"""Access: who may read. Only GET and HEAD; with a token, only who shows it; no page may reach another."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import socket
from typing import TYPE_CHECKING

from opv2v_doctor.user_error import UsageError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

SHORTEST_TOKEN = 16  # characters, on an address that others can reach
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",  # an address with a token is told to nobody
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "private, no-cache",
}


def is_private(host: str) -> bool:
    """Whether only this machine can reach the address: all that the name stands for is loopback."""
    try:
        found = socket.getaddrinfo(host, None)
    except OSError as problem:
        raise UsageError(f"--host {host}: {problem.strerror or problem}") from None
    return all(ipaddress.ip_address(str(entry[4][0]).partition("%")[0]).is_loopback for entry in found)


def verify_token(host: str, token: str | None) -> None:
    """Raises UsageError for an address that others can reach, without a token that cannot be guessed."""
    if token is not None and not token:
        raise UsageError("--token is empty")
    if is_private(host):
        return
    way = 'give --token "$(openssl rand -hex 16)", or keep 127.0.0.1 and use ssh -L'
    if token is None:
        raise UsageError(f"--host {host} can be reached by others: {way}")
    if len(token) < SHORTEST_TOKEN:
        raise UsageError(f"--token has {len(token)} characters, at least {SHORTEST_TOKEN} are needed: {way}")


class AccessControl:
    """Stands before the application: methods, the token, and headers that keep pages apart."""

    def __init__(self, app: ASGIApp, token: str | None, cookie: str = "opv2v_doctor") -> None:
        self._app, self._token, self._cookie = app, token, cookie

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        from starlette.requests import Request

        refusal = self._refusal(Request(scope))

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                added = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
                message["headers"] = [*message.get("headers", []), *added]
            await send(message)

        await (refusal or self._app)(scope, receive, with_headers)

    def _refusal(self, request: Request) -> Response | None:
        """What is answered instead, None where the application may answer."""
        from starlette.responses import PlainTextResponse

        if request.method not in ("GET", "HEAD"):
            return PlainTextResponse("only GET and HEAD\n", 405, {"Allow": "GET, HEAD"})
        if self._token is None:
            return None
        shown = request.query_params.get("token")
        if shown is not None and _same(shown, self._token):
            return self._welcome(request)
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        known = scheme.lower() == "bearer" and _same(bearer.strip(), self._token)
        if known or _same(request.cookies.get(self._cookie, ""), _pass(self._token)):
            return None
        return PlainTextResponse(
            "a token is needed: open /?token=TOKEN once\n", 401, {"WWW-Authenticate": "Bearer"}
        )

    def _welcome(self, request: Request) -> Response:
        """To the same place without the token, which a cookie stands for from now on."""
        from starlette.responses import RedirectResponse

        path = "/" + request.url.path.lstrip("/")  # `//host` would lead away
        response = RedirectResponse(path, status_code=303)
        assert self._token is not None
        response.set_cookie(self._cookie, _pass(self._token), httponly=True, samesite="lax")
        return response


class Exact:
    """What is sent is as long as was said, though a log grows meanwhile; if it shrank, it breaks off."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        left: int | None = None

        async def exactly(message: Message) -> None:
            nonlocal left
            if message["type"] == "http.response.start":
                said = dict(message["headers"]).get(b"content-length")
                left = int(said) if said and scope["method"] != "HEAD" else None
            elif left is not None:
                body = message.get("body", b"")[:left]
                left -= len(body)
                if not body and (left or message.get("more_body")):
                    return
                message = {**message, "body": body, "more_body": left > 0}
            await send(message)

        await self._app(scope, receive, exactly)


def _same(given: str, expected: str) -> bool:
    """Compared in a time that tells nothing of where they differ."""
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), expected.encode())


def _pass(token: str) -> str:
    """What the cookie holds: made of the token, and not the token."""
    return hmac.new(token.encode(), b"opv2v-doctor serve", hashlib.sha256).hexdigest()
