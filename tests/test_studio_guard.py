"""Nobody but the studio's own page is served: hostile requests, one by one."""

import contextlib
import json
import os
import socket
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from annotating import images_in, speck
from studios import Served, studio

from corroscope.annotation.store import Store
from corroscope.errors import StudioError
from corroscope.outputs import write_png
from corroscope.studio.guard import LARGEST_BODY_BYTES
from corroscope.studio.notebook import ANCESTORS
from corroscope.studio.workplace import Workplace


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = images_in(tmp_path_factory.mktemp("folder"))
    (folder.parent / "outside.png").write_bytes((folder / "a.png").read_bytes())
    with Store(folder, "ada") as store:
        store.add("a.png", speck(5, 5))
    with studio(folder) as served:
        yield served


@pytest.fixture(scope="module")
def framed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """As notebooks show it."""
    folder = images_in(tmp_path_factory.mktemp("framed"))
    (folder.parent / "outside.png").write_bytes((folder / "a.png").read_bytes())
    with Store(folder, "ada") as store:
        store.add("a.png", speck(5, 5))
    with studio(folder, ancestors=ANCESTORS) as served:
        yield served


def _image(served: Served) -> str:
    return f"/api/images/{served.place.opaque['a.png']}"


# What replaces or adds to the headers of our own page, and what is asked. None takes a header away.
HOSTILE: dict[str, tuple[str, str, dict[str, str | None]]] = {
    "no cookie": ("GET", "/", {"Cookie": None}),
    "no cookie, data": ("GET", "/api/folder", {"Cookie": None}),
    "no cookie, pixels": ("GET", "IMAGE/pixels/frame", {"Cookie": None}),
    "no cookie, events": ("GET", "/api/events", {"Cookie": None}),
    "no cookie, script": ("GET", "/static/main.js", {"Cookie": None}),
    "no cookie, write": ("POST", "IMAGE/act", {"Cookie": None}),
    "guessed cookie": ("GET", "/api/folder", {"Cookie": "corroscope-PORT=guess"}),
    "empty cookie": ("GET", "/api/folder", {"Cookie": "corroscope-PORT="}),
    "broken cookie": ("GET", "/api/folder", {"Cookie": "\"';=,[{"}),
    "the token as a cookie": ("GET", "/api/folder", {"Cookie": "corroscope-PORT=TOKEN"}),
    "another port's cookie": ("GET", "/api/folder", {"Cookie": "corroscope-1=x"}),
    "guessed token": ("GET", "/?token=guess", {"Cookie": None}),
    "empty token": ("GET", "/?token=", {"Cookie": None}),
    "token elsewhere": ("GET", "/api/folder?token=TOKEN", {"Cookie": None}),
    "rebound name": ("GET", "/api/folder", {"Host": "evil.example:PORT"}),
    "rebound name, token": ("GET", "/?token=TOKEN", {"Host": "evil.example:PORT"}),
    "name without a port": ("GET", "/api/folder", {"Host": "127.0.0.1"}),
    "another port": ("GET", "/api/folder", {"Host": "127.0.0.1:1"}),
    "name that only begins like ours": ("GET", "/", {"Host": "127.0.0.1:PORT.evil.example"}),
    "no name": ("GET", "/api/folder", {"Host": None}),
    "user in the name": ("GET", "/", {"Host": "127.0.0.1:PORT@evil.example"}),
    "another origin": ("POST", "IMAGE/act", {"Origin": "http://evil.example"}),
    "no origin": ("POST", "IMAGE/act", {"Origin": None}),
    "null origin": ("POST", "IMAGE/act", {"Origin": "null"}),
    "another port's origin": ("POST", "IMAGE/act", {"Origin": "http://127.0.0.1:1"}),
    "origin by another protocol": ("POST", "IMAGE/act", {"Origin": "https://127.0.0.1:PORT"}),
    "a form": ("POST", "IMAGE/act", {"Content-Type": "application/x-www-form-urlencoded"}),
    "plain text": ("POST", "IMAGE/act", {"Content-Type": "text/plain"}),
    "no content type": ("POST", "IMAGE/act", {"Content-Type": None}),
    "another site, by the browser's word": ("GET", "/api/folder", {"Sec-Fetch-Site": "cross-site"}),
    "another port, by the browser's word": ("GET", "/api/folder", {"Sec-Fetch-Site": "same-site"}),
    "put": ("PUT", "IMAGE/act", {}),
    "delete": ("DELETE", "IMAGE", {}),
    "preflight": ("OPTIONS", "IMAGE/act", {"Access-Control-Request-Method": "POST"}),
    "another origin, read": ("GET", "/api/folder", {"Origin": "http://evil.example"}),
    "trace": ("TRACE", "/", {}),
    "image by its name": ("GET", "/api/images/a.png", {}),
    "image by a path": ("GET", "/api/images/..%2foutside.png/pixels/frame", {}),
    "image by an absolute path": ("GET", "/api/images/%2fetc%2fpasswd/pixels/frame", {}),
    "plane by a path": ("GET", "IMAGE/pixels/..%2f..%2foutside.png", {}),
    "static, upwards": ("GET", "/static/../app.py", {}),
    "static, upwards, encoded": ("GET", "/static/%2e%2e/app.py", {}),
    "static, upwards, encoded slash": ("GET", "/static/..%2fapp.py", {}),
    "static, upwards, encoded twice": ("GET", "/static/%252e%252e%252fapp.py", {}),
    "static, backslash": ("GET", "/static/..%5capp.py", {}),
    "static, absolute": ("GET", "/static//etc/passwd", {}),
    "the folder itself": ("GET", "/a.png", {}),
    "the journal": ("GET", "/annotation/journal.jsonl", {}),
}


def _led(dest: str, mode: str = "navigate", site: str = "same-site") -> dict[str, str | None]:
    """What the browser says when a page of another port has it ask."""
    return {
        "Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": dest, "Origin": None,
    }  # fmt: skip


LED_TO_THE_PAGE: dict[str, tuple[str, str, dict[str, str | None]]] = {
    "token in a frame": ("GET", "/?token=TOKEN", {"Cookie": None, **_led("iframe")}),
    "token in a tab": ("GET", "/?token=TOKEN", {"Cookie": None, **_led("document")}),
    "page in a frame": ("GET", "/", _led("iframe")),
    "page in a tab": ("GET", "/", _led("document")),
}
"""The only requests that a notebook's page may have the browser send."""

_FOREIGN = "cross-site"
HOSTILE_TO_FRAMES: dict[str, tuple[str, str, dict[str, str | None]]] = {
    "another site frames it": ("GET", "/", _led("iframe", site=_FOREIGN)),
    "another site frames the token": ("GET", "/?token=TOKEN", _led("iframe", site=_FOREIGN)),
    "another site links to it": ("GET", "/", _led("document", site=_FOREIGN)),
    "frame without a cookie": ("GET", "/", {**_led("iframe"), "Cookie": None}),
    "frame with a guess": ("GET", "/?token=guess", {**_led("iframe"), "Cookie": None}),
    "frame by another name": ("GET", "/", {**_led("iframe"), "Host": "evil.example:PORT"}),
    "frame with an origin": ("GET", "/", {**_led("iframe"), "Origin": "http://127.0.0.1:1"}),
    "object": ("GET", "/", _led("object")),
    "embed": ("GET", "/", _led("embed")),
    "fetched": ("GET", "/", _led("empty", "cors")),
    "fetched, opaque": ("GET", "/", _led("empty", "no-cors")),
    "fetched, said to be a frame": ("GET", "/", _led("iframe", "no-cors")),
    "fetched token": ("GET", "/?token=TOKEN", _led("empty", "cors")),
    "as a script": ("GET", "/", _led("script", "no-cors")),
    "as an image": ("GET", "/", _led("image", "no-cors")),
    "only same-site": ("GET", "/", {"Sec-Fetch-Site": "same-site"}),
    "form into a frame": ("POST", "/", _led("iframe")),
    "form into a frame, written": ("POST", "IMAGE/act", _led("iframe")),
    "data in a frame": ("GET", "/api/folder", _led("iframe")),
    "data in a tab": ("GET", "/api/folder", _led("document")),
    "token elsewhere in a frame": (
        "GET", "/api/folder?token=TOKEN", {"Cookie": None, **_led("iframe")},
    ),
    "pixels in a frame": ("GET", "IMAGE/pixels/frame", _led("iframe")),
    "events in a frame": ("GET", "/api/events", _led("iframe")),
    "script in a frame": ("GET", "/static/main.js", _led("iframe")),
    "script for another page": ("GET", "/static/main.js", _led("script", "no-cors")),
    "write, fetched": (
        "POST", "IMAGE/act", {**_led("empty", "cors"), "Origin": "http://localhost:8888"},
    ),
}  # fmt: skip


def _asked(served: Served, method: str, path: str, changes: dict[str, str | None]) -> Any:
    def told(text: str) -> str:
        return (
            text.replace("PORT", str(served.port))
            .replace("TOKEN", served.token)
            .replace("IMAGE", _image(served))
        )

    body = b""
    headers: dict[str, str | None] = {**served.own_headers(), **changes}
    if method == "POST":
        act = {"act": "0" * 8, "revision": 1, "deed": {"do": "undo"}}
        body = json.dumps(act).encode()
        headers["Content-Length"] = str(len(body))
    sent = [(name, told(value)) for name, value in headers.items() if value is not None]
    return served.raw(method, told(path), sent, body)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_request_is_not_served(served: Served, name: str) -> None:
    _is_not_served(served, HOSTILE[name])


@pytest.mark.parametrize("name", [*HOSTILE, *HOSTILE_TO_FRAMES])
def test_nor_is_it_where_notebooks_may_show_the_page(framed: Served, name: str) -> None:
    _is_not_served(framed, {**HOSTILE, **HOSTILE_TO_FRAMES}[name])


@pytest.mark.parametrize("name", [*LED_TO_THE_PAGE, *HOSTILE_TO_FRAMES])
def test_without_a_notebook_nothing_is_served_in_a_frame(served: Served, name: str) -> None:
    _is_not_served(served, {**LED_TO_THE_PAGE, **HOSTILE_TO_FRAMES}[name])


@pytest.mark.parametrize("name", LED_TO_THE_PAGE)
def test_a_notebook_leads_the_browser_to_the_page(framed: Served, name: str) -> None:
    method, path, changes = LED_TO_THE_PAGE[name]
    answer = _asked(framed, method, path, changes)
    assert answer.status == (303 if "token" in path else 200)
    assert ("set-cookie" in answer.headers) == ("token" in path)


def test_only_the_named_pages_may_hold_the_frame(served: Served, framed: Served) -> None:
    policies = {
        answer.headers["content-security-policy"].split("frame-ancestors ")[1]
        for path in ("/", "/static/main.js", "/nowhere")
        for answer in [served.get(path)]
    }
    assert policies == {"'self'"}
    refused = framed.raw("GET", "/", [("Host", framed.host)])
    for answer in (framed.get("/"), refused):
        policy = answer.headers["content-security-policy"]
        assert policy.endswith("frame-ancestors 'self' http://localhost:* http://127.0.0.1:*")


def _is_not_served(served: Served, request: tuple[str, str, dict[str, str | None]]) -> None:
    journal = served.place.folder / "annotation" / "journal.jsonl"
    before = journal.read_bytes()
    answer = _asked(served, *request)
    assert 400 <= answer.status < 500
    assert "set-cookie" not in answer.headers
    assert not any(header.startswith("access-control") for header in answer.headers)
    for secret in (b"root:", b"def ", b"\x89PNG", b"journal", served.token.encode()):
        assert secret not in answer.body
    assert len(answer.body) < 200
    assert journal.read_bytes() == before


def test_the_same_requests_are_served_to_our_own_page(served: Served) -> None:
    for path in ("/", "/api/folder", "IMAGE", "IMAGE/pixels/frame", "/static/main.js"):
        assert _asked(served, "GET", path, {}).status == 200
    journal = served.place.folder / "annotation" / "journal.jsonl"
    before = journal.read_bytes()
    assert _asked(served, "POST", "IMAGE/act", {}).status == 200
    assert journal.read_bytes() != before


def test_two_hosts_in_one_request_are_refused(served: Served) -> None:
    cookie = ("Cookie", served.cookie())
    for hosts in ([served.host, "evil.example"], [served.host, served.host]):
        answer = served.raw("GET", "/api/folder", [*(("Host", h) for h in hosts), cookie])
        assert answer.status in (400, 403)


def test_a_web_socket_is_refused(served: Served) -> None:
    upgrade = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Version", "13")]
    key = ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
    for origin in (f"http://{served.host}", "http://evil.example"):
        headers = [("Host", served.host), ("Cookie", served.cookie()), ("Origin", origin)]
        answer = served.raw("GET", "/api/events", [*headers, *upgrade, key])
        assert answer.status in (400, 403)


def test_too_much_is_refused_told_or_not(served: Served) -> None:
    headers = list(served.own_headers().items())
    told = served.raw(
        "POST", f"{_image(served)}/act",
        [*headers, ("Content-Length", str(LARGEST_BODY_BYTES + 1))],
    )  # fmt: skip
    assert told.status == 413
    wrong = served.raw("POST", f"{_image(served)}/act", [*headers, ("Content-Length", "-1")])
    assert wrong.status in (400, 413)
    with socket.create_connection(("127.0.0.1", served.port), timeout=20) as connection:
        lines = [f"POST {_image(served)}/act HTTP/1.1", *(f"{k}: {v}" for k, v in headers)]
        lines += ["Transfer-Encoding: chunked", "", ""]
        connection.sendall("\r\n".join(lines).encode())
        piece = b"%x\r\n" % 65536 + b" " * 65536 + b"\r\n"
        for _ in range(LARGEST_BODY_BYTES // 65536 + 1):
            connection.sendall(piece)
        assert b"413" in connection.recv(100)


def test_the_cookie_is_the_browsers_alone_and_the_page_may_load_nothing_else(
    served: Served,
) -> None:
    answer = served.raw("GET", f"/?token={served.token}", [("Host", served.host)])
    assert (answer.status, answer.headers["location"]) == (303, "/")
    for word in ("HttpOnly", "SameSite=Strict", "Path=/"):
        assert word in answer.headers["set-cookie"]
    assert served.token not in answer.headers["set-cookie"]
    page = served.get("/")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["cache-control"] == "no-store"
    assert "server" not in page.headers or "uvicorn" not in page.headers["server"]


def test_the_page_and_its_scripts_ask_no_other_host_and_are_small(served: Served) -> None:
    static = Path(__file__).parents[1] / "src/corroscope/studio/static"
    files = [path for path in static.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 500_000
    for path in files:
        for word in ("http://", "https://", "//cdn", "innerHTML", "eval(", " style=", "onclick="):
            found = path.read_text().replace("http://www.w3.org/2000/svg", "")
            if path.suffix == ".html" or word not in (" style=", "onclick="):
                assert word not in found, path


def test_a_small_file_that_claims_to_be_vast_is_not_decoded(tmp_path: Path) -> None:
    images_in(tmp_path)
    rows = zlib.compress(bytes(1000))  # as long as it gets: nobody should come that far
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    chunks = [
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in ((b"IHDR", header), (b"IDAT", rows), (b"IEND", b""))
    ]
    (tmp_path / "vast.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    with studio(tmp_path) as served:
        address = f"/api/images/{served.place.opaque['vast.png']}"
        for path in (address, f"{address}/pixels/frame"):
            answer = served.get(path)
            assert answer.status == 422
            assert "megapixels" in answer.content["error"]
        told = {image["name"]: image for image in served.get("/api/folder").content["images"]}
        assert "megapixels" in told["vast.png"]["problem"]
        assert "problem" not in told["a.png"]


@pytest.mark.skipif(os.name == "nt", reason="symbolic links need a right there")
def test_links_out_of_the_folder_are_not_followed(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    images_in(folder)
    outside = tmp_path / "outside.png"
    outside.write_bytes((folder / "a.png").read_bytes())
    (folder / "link.png").symlink_to(outside)
    with pytest.raises(StudioError, match=r"link.png: is a link out of the folder"):
        Workplace(folder, "ada", b"secret")
    (folder / "link.png").unlink()
    (tmp_path / "elsewhere").mkdir()
    (folder / "export").symlink_to(tmp_path / "elsewhere")
    (folder / "difference").mkdir()
    (folder / "difference" / "a.png").symlink_to(outside)
    with studio(folder) as served:
        assert not served.get(_image(served)).content["difference"]
        assert served.get(f"{_image(served)}/pixels/difference").status == 422
        answer = served.post("/api/export", {"format": "coco"})
        assert answer.status == 422
        assert "link out of the folder" in answer.content["error"]
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.skipif(os.name == "nt", reason="symbolic links need a right there")
def test_what_becomes_a_link_while_the_studio_is_open_is_not_followed(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    images_in(folder)
    outside = tmp_path / "outside"
    outside.mkdir()
    images_in(outside)
    with studio(folder) as served:
        (folder / "a.png").unlink()
        (folder / "a.png").symlink_to(outside / "a.png")
        (folder / "difference").symlink_to(outside)
        for path in (_image(served), f"{_image(served)}/pixels/frame"):
            answer = served.get(path)
            assert answer.status == 422
            assert "link out of the folder" in answer.content["error"]
        with pytest.raises(StudioError, match="link out of the folder"):
            served.place.picture("a.png")
        other = f"/api/images/{served.place.opaque['b.png']}"
        assert not served.get(other).content["difference"]
        assert served.get(f"{other}/pixels/difference").status == 422
        assert "link" in served.get("/api/folder").content["images"][0]["problem"]


def test_the_difference_beside_aligned_frames_is_no_link_either(tmp_path: Path) -> None:
    (tmp_path / "run" / "aligned").mkdir(parents=True)
    (tmp_path / "run" / "difference").mkdir()
    images_in(tmp_path / "run" / "aligned")
    images_in(tmp_path / "run" / "difference")
    with studio(tmp_path / "run" / "aligned") as served:
        assert served.get(f"{_image(served)}/pixels/difference").status == 200
    (tmp_path / "run" / "difference").rename(tmp_path / "elsewhere")
    if os.name != "nt":
        (tmp_path / "run" / "difference").symlink_to(tmp_path / "elsewhere")
    with studio(tmp_path / "run" / "aligned") as served:
        assert served.get(f"{_image(served)}/pixels/difference").status == 422


def test_the_very_file_that_is_read_is_not_vast(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images_in(tmp_path)
    (tmp_path / "difference").mkdir()
    write_png(tmp_path / "difference" / "a.png", np.zeros((100, 100), np.uint8))
    # A kind of TIFF that Pillow does not know.
    tifffile.imwrite(tmp_path / "c.tif", np.zeros((100, 100), np.float16), photometric="minisblack")
    monkeypatch.setattr("corroscope.studio.workplace.LARGEST_PX", 9000)
    with studio(tmp_path) as served:
        assert served.get(f"{_image(served)}/pixels/frame").status == 200
        for path in (
            f"{_image(served)}/pixels/difference",
            f"/api/images/{served.place.opaque['c.tif']}",
        ):
            answer = served.get(path)
            assert answer.status == 422
            assert "megapixels" in answer.content["error"]
        write_png(tmp_path / "a.png", np.zeros((100, 100), np.uint8))  # it was small before
        assert "megapixels" in served.get(_image(served)).content["error"]


def lasting_port() -> int:
    """A free port below those that are given to whoever asks for any, be it another process."""
    for port in range(20_000 + os.getpid() % 10_000, 32_000):
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")


def test_a_cookie_is_good_for_one_folder_and_one_port(tmp_path: Path) -> None:
    cookies = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        images_in(tmp_path / name)
    port = lasting_port()
    with studio(tmp_path / "one", port=port) as first:
        cookies.append(first.cookie())
    with studio(tmp_path / "one") as elsewhere:
        value = elsewhere.cookie().split("=")[1]
        cookies.append(f"corroscope-{port}={value}")
    with studio(tmp_path / "two", port=port) as second:
        for cookie in cookies:
            answer = second.raw("GET", "/api/folder", [("Host", second.host), ("Cookie", cookie)])
            assert answer.status == 403
    with studio(tmp_path / "one", port=port) as again:  # a restart is no obstacle
        told = [
            again.raw("GET", "/api/folder", [("Host", again.host), ("Cookie", cookie)]).status
            for cookie in cookies
        ]
    assert told == [200, 403]


def test_names_of_images_and_folders_are_of_one_folder_and_annotation(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        images_in(tmp_path / name)
    told = []
    for name, second in (("one", False), ("one", True), ("two", False)):
        with studio(tmp_path / name, second=second) as served:
            folder = served.get("/api/folder").content
        told.append((folder["key"], *(image["id"] for image in folder["images"])))
        assert folder["path"] == str((tmp_path / name).resolve())
        assert name not in folder["key"]
    assert len({each for names in told for each in names}) == 9
    with studio(tmp_path / "one") as again:
        assert again.get("/api/folder").content["key"] == told[0][0]


def test_what_is_not_understood_is_told_in_one_line(served: Served) -> None:
    contents: list[Any] = [
        None,
        [],
        {"act": "x"},
        {"act": "0" * 8, "revision": 0, "deed": {"do": "rm"}},
    ]
    for content in contents:
        answer = served.post(f"{_image(served)}/act", content)
        assert answer.status == 400
        assert "\n" not in answer.content["error"]
    vast = {"kind": "shape", "corner": [0, 0], "size": [65536, 65536], "bits": ""}
    deed = {"do": "add", "gesture": vast}
    revision = served.get(_image(served)).content["revision"]
    answer = served.post(
        f"{_image(served)}/act", {"act": "1" * 8, "revision": revision, "deed": deed}
    )
    assert answer.status == 422
    assert "bits" in answer.content["error"]


@pytest.mark.parametrize(
    "gesture",
    [
        {"kind": "shape", "corner": [10**30, 0], "size": [1, 1], "bits": "gA=="},
        {"kind": "shape", "corner": [0, 0], "size": [1, 1], "bits": "é"},
        {"kind": "shape", "corner": [0, 0], "size": [1, 1], "bits": "!"},
        {"kind": "click", "point": [1e300, 0]},
        {"kind": "points", "points": [[0, 0], [1e300, -1e300]]},
    ],
    ids=lambda gesture: json.dumps(gesture)[:60],
)
def test_wild_gestures_are_told_in_one_line(served: Served, gesture: dict[str, Any]) -> None:
    revision = served.get(_image(served)).content["revision"]
    deeds: list[Any] = [{"do": "add", "gesture": gesture}]
    if gesture["kind"] == "points":
        line = dict(zip(("start", "end"), gesture["points"], strict=True))
        deeds.append({"do": "split", "number": 1, **line})
    for deed in deeds:
        act = {"act": "2" * 8, "revision": revision, "deed": deed}
        answer = served.post(f"{_image(served)}/act", act)
        assert answer.status in (400, 422)
        assert "\n" not in answer.content["error"]


@pytest.mark.parametrize(
    "path",
    [f"/api/{what}{'9' * count}{end}" for count in (9, 6000)
     for what, end in (("results/", ""), ("results/", "/overview"), ("training/", ""),
                       ("results/", "/images/x"), ("training/1/predictions/", ""))],
    ids=lambda path: f"{path[:24]}{len(path)}",
)  # fmt: skip
def test_numbers_of_any_length_are_not_found(served: Served, path: str) -> None:
    assert served.get(path).status == 404


@pytest.mark.parametrize("name", ["coco\0", "../coco", "", "é" * 1000])
def test_what_is_no_format_is_told_before_it_is_a_folder(served: Served, name: str) -> None:
    answer = served.post("/api/export", {"format": name})
    assert answer.status == 422
    assert "is unknown; use png" in answer.content["error"]
    assert "\n" not in answer.content["error"]
