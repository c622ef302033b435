"""Who may speak to the studio: one browser on this machine, from the studio's own page.

The rules are those of Jupyter: a random token in the link is exchanged for a cookie, the Host is
one of a few, and what writes must come from our own page.
"""

import hashlib
import hmac
import secrets
from http.cookies import CookieError, SimpleCookie
from typing import Final
from urllib.parse import parse_qs

from starlette.types import ASGIApp, Message, Receive, Scope, Send

LARGEST_BODY_BYTES: Final = 1 << 20

_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors"
)

_HEADERS: Final = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
]


class Guard:
    """Let through what our own page asks, and nothing else.

    Parameters
    ----------
    app
        What is guarded.
    port
        Where the server listens.
    token
        In the link that is shown in the terminal.
    secret
        Cookies are made from it; the same after a restart, so that an open page goes on.
    whose
        What is served: a cookie that was given for something else, or on another port, is none.
    hosts
        Names by which the server may be called, besides those of this machine's loopback.
    ancestors
        Origins of pages that may show the studio in a frame, as a content security policy names
        them; by default none. With some, a page of another port may bring the browser to the
        studio's own page, in a frame or by a link; it may still ask for nothing else.
    """

    def __init__(
        self,
        app: ASGIApp,
        port: int,
        token: str,
        secret: bytes,
        whose: str,
        hosts: tuple[str, ...] = (),
        ancestors: tuple[str, ...] = (),
    ) -> None:
        self._app = app
        self._token = token
        self._cookie_name = f"corroscope-{port}"  # cookies do not tell ports apart
        self._cookie = hmac.new(
            secret, f"cookie {port} {whose}".encode(), hashlib.sha256
        ).hexdigest()
        self._hosts = {f"{host}:{port}" for host in ("127.0.0.1", "localhost", "[::1]", *hosts)}
        self._framed = bool(ancestors)
        policy = " ".join([_POLICY, "'self'", *ancestors])
        self._headers = [(b"content-security-policy", policy.encode()), *_HEADERS]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, or refuse it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # there are no web sockets here
            await send({"type": "websocket.close", "code": 1008})
            return
        headers, send = _Headers(scope), _with_headers(send, self._headers)
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            await _answer(send, *refusal)
            return
        if (token := self._token_in(scope)) is not None:
            if not hmac.compare_digest(token.encode(), self._token.encode()):
                await _answer(send, 403, "this link is of another start; use the newest one")
                return
            cookie = f"{self._cookie_name}={self._cookie}; HttpOnly; SameSite=Strict; Path=/"
            await _answer(send, 303, "", [(b"location", b"/"), (b"set-cookie", cookie.encode())])
            return
        if not self._known(headers):
            await _answer(send, 403, "open the link that the terminal shows")
            return
        await self._app(scope, _limited(receive), send)

    def _refusal(self, scope: Scope, headers: "_Headers") -> tuple[int, str] | None:
        hosts = headers.all("host")
        if len(hosts) != 1 or hosts[0] not in self._hosts:
            return 403, "this name is not one of this server's"
        if scope["method"] not in ("GET", "HEAD", "POST"):
            return 405, "this cannot be asked"
        site = headers.one("sec-fetch-site")
        led_here = site == "same-site" and self._framed and _shows_page(scope, headers)
        if site not in (None, "same-origin", "none") and not led_here:
            return 403, "asked by another page"
        length = headers.one("content-length")
        if length is not None and (not length.isdigit() or int(length) > LARGEST_BODY_BYTES):
            return 413, "too much at once"
        if headers.one("upgrade") is not None:
            return 400, "there are no web sockets here"
        origins, ours = headers.all("origin"), [f"http://{hosts[0]}"]
        if origins and origins != ours:
            return 403, "asked by another page"
        if scope["method"] == "POST":
            if origins != ours:
                return 403, "asked by another page"
            if headers.one("content-type") != "application/json":
                return 415, "only JSON is read"
        return None

    def _token_in(self, scope: Scope) -> str | None:
        if scope["path"] != "/" or scope["method"] != "GET":
            return None
        tokens = parse_qs(scope["query_string"].decode("latin-1")).get("token")
        return tokens[0] if tokens else None

    def _known(self, headers: "_Headers") -> bool:
        try:
            cookies = SimpleCookie(headers.one("cookie") or "")
        except CookieError:
            return False
        cookie = cookies.get(self._cookie_name)
        return cookie is not None and hmac.compare_digest(
            cookie.value.encode(), self._cookie.encode()
        )


def _shows_page(scope: Scope, headers: "_Headers") -> bool:
    """Whether the browser will show the answer to a person, and to no script."""
    return (
        scope["path"] == "/"
        and headers.one("sec-fetch-mode") == "navigate"
        and headers.one("sec-fetch-dest") in ("iframe", "document")
    )


def new_token() -> str:
    """Make a token that nobody can guess.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    return secrets.token_hex(32)


class _Headers:
    def __init__(self, scope: Scope) -> None:
        self._pairs = [(k.decode("latin-1"), v.decode("latin-1")) for k, v in scope["headers"]]

    def all(self, name: str) -> list[str]:
        return [value for key, value in self._pairs if key == name]

    def one(self, name: str) -> str | None:
        found = self.all(name)
        return found[0] if found else None


class TooMuchError(Exception):
    """More was sent than is read."""


def _limited(receive: Receive) -> Receive:
    """Count what is received: a request need not tell its length."""
    received = 0

    async def counted() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > LARGEST_BODY_BYTES:
            raise TooMuchError
        return message

    return counted


def _with_headers(send: Send, ours: list[tuple[bytes, bytes]]) -> Send:
    async def headed(message: Message) -> None:
        if message["type"] == "http.response.start":
            given = list(message.get("headers", []))
            names = {name for name, _ in given}
            if b"cache-control" not in names:
                given.append((b"cache-control", b"no-store"))
            message = {**message, "headers": given + ours}
        await send(message)

    return headed


async def _answer(
    send: Send, status: int, text: str, headers: list[tuple[bytes, bytes]] | None = None
) -> None:
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [(b"content-type", b"text/plain; charset=utf-8"), *(headers or [])],
        }
    )
    await send({"type": "http.response.body", "body": f"corroscope: {text}\n".encode()})
