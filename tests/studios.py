"""A studio that is served while a test talks to it."""

import http.client
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from corroscope.studio.annotate import opened, served
from corroscope.studio.workplace import Workplace

SECRET = b"0123456789abcdef0123456789abcdef"


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def content(self) -> Any:
        return json.loads(self.body)


class Served(NamedTuple):
    """A studio at work."""

    place: Workplace
    port: int
    token: str

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def link(self) -> str:
        return f"http://{self.host}/?token={self.token}"

    def raw(
        self, method: str, path: str, headers: list[tuple[str, str]], body: bytes = b""
    ) -> Answer:
        """Ask with exactly these headers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in headers:
            connection.putheader(name, value)
        connection.endheaders(body or None)
        answer = connection.getresponse()
        found = Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        connection.close()
        return found

    def cookie(self) -> str:
        """Exchange the token for a cookie."""
        answer = self.raw("GET", f"/?token={self.token}", [("Host", self.host)])
        return answer.headers["set-cookie"].split(";")[0]

    def own_headers(self) -> dict[str, str]:
        """What our own page sends."""
        return {
            "Host": self.host,
            "Cookie": self.cookie(),
            "Origin": f"http://{self.host}",
            "Content-Type": "application/json",
        }

    def get(self, path: str) -> Answer:
        """Ask as our own page does."""
        return self.raw("GET", path, [("Host", self.host), ("Cookie", self.cookie())])

    def post(self, path: str, content: Any) -> Answer:
        """Write as our own page does."""
        body = json.dumps(content).encode()
        headers = {**self.own_headers(), "Content-Length": str(len(body))}
        return self.raw("POST", path, list(headers.items()), body)


@contextmanager
def studio(
    folder: Path,
    *,
    annotator: str = "ada",
    second: bool = False,
    port: int | None = None,
    ancestors: tuple[str, ...] = (),
    results: Sequence[Path] = (),
) -> Iterator[Served]:
    """Serve a folder on a free port until the test is over."""
    with (
        opened(
            folder,
            SECRET,
            annotator=annotator,
            second=second,
            port=port or 0,
            ancestors=ancestors,
            results=results,
        ) as ready,
        served(ready),
    ):
        yield Served(ready.place, ready.port, ready.token)
