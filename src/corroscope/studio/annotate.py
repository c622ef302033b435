"""``corroscope annotate``: open the studio on a folder."""

import contextlib
import getpass
import os
import re
import secrets
import socket
import subprocess
import sys
import threading
import webbrowser
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import tifffile
import uvicorn
from platformdirs import user_state_path

from corroscope.errors import FrameError, StudioError
from corroscope.frames.reading import decoding, is_image
from corroscope.frames.stack import SUFFIXES as STACK
from corroscope.segmentation.particles import check_pixel_size
from corroscope.studio.app import create_app
from corroscope.studio.ending import end, handled
from corroscope.studio.events import Events
from corroscope.studio.guard import Guard, new_token
from corroscope.studio.workplace import Workplace

PORT: Final = 8766
"""Where the studio listens, if nobody else does."""

LOOPBACK: Final = "127.0.0.1"

_WARM_UP: Final = "from corroscope.studio.warming import warm_up; warm_up()"

_TRIED: Final = 20

_PATIENCE_S: Final = 10


def annotate(
    folder: str | Path,
    *,
    port: int | None = None,
    host: str = LOOPBACK,
    annotator: str | None = None,
    second: bool = False,
    results: Sequence[str | Path] = (),
    pixel_size: float | None = None,
    browser: bool = True,
    tell: Callable[[str], None] | None = None,
) -> None:
    """Open the studio on a folder of images, and serve it until Ctrl-C.

    Parameters
    ----------
    folder
        Dataset folder: images, and masks beside those that have one.
    port
        Where to listen; by default 8766, or the next free one.
    host
        Address to listen on. Another than this machine's loopback lets others on the network
        in who know the link; the connection is not encrypted.
    annotator
        Who annotates; by default the name of the account.
    second
        Annotate once more, blind, for agreement.
    results
        Folders that `corroscope.run` wrote for these images, to be looked at besides those in
        ``results/`` in the folder.
    pixel_size
        Side of a pixel in µm, for the scale bar; without it, that is in pixels.
    browser
        Open the page.
    tell
        Is told the link, in one line, and what to beware of.

    Raises
    ------
    StudioError
        If the port is taken or may not be used, the folder is a file, or a result cannot be read
        or is about other images.
    SettingsError
        If the pixel size is no positive number.
    AnnotationError
        If the folder cannot be read, holds no image, or another program annotates it.
    """
    tell = tell or (lambda _: None)
    # What goes over the network may be overheard: it is good for this start alone.
    secret = _secret() if _loopback(host) else secrets.token_bytes(32)
    with (
        handled(end, "SIGTERM", "SIGHUP"),
        opened(
            folder,
            secret,
            port=port,
            host=host,
            annotator=annotator,
            second=second,
            results=results,
            pixel_size=pixel_size,
        ) as studio,
    ):
        if not _loopback(host):
            tell(
                f"Warning: everybody on the network who knows the link can annotate; the "
                f"connection to {host} is not encrypted"
            )
        tell(f"{studio.place.folder}: {studio.link}")
        warm_beside(studio)
        if browser:
            webbrowser.open(studio.link)
        studio.server.run([studio.listener])


class Opened(NamedTuple):
    """A studio that is ready to be served.

    Attributes
    ----------
    place
        The folder.
    events
        The pages that are open.
    server
        To be run on the listener.
    listener
        Where it listens.
    port, token
        Of the link.
    link
        For the browser.
    """

    place: Workplace
    events: Events
    server: uvicorn.Server
    listener: socket.socket
    port: int
    token: str
    link: str


@contextlib.contextmanager
def opened(
    folder: str | Path,
    secret: bytes,
    *,
    port: int | None = None,
    host: str = LOOPBACK,
    annotator: str | None = None,
    second: bool = False,
    results: Sequence[str | Path] = (),
    pixel_size: float | None = None,
    ancestors: tuple[str, ...] = (),
) -> Iterator[Opened]:
    """Hold a folder and a port for a studio.

    Parameters
    ----------
    folder, port, host, annotator, second, results, pixel_size
        As for `annotate`.
    secret
        Cookies and opaque names are made from it.
    ancestors
        As for `corroscope.studio.guard.Guard`.

    Yields
    ------
    Opened
        The folder is let go afterwards.

    Raises
    ------
    StudioError, SettingsError, AnnotationError
        As `annotate`.
    """
    check_pixel_size(pixel_size)
    if Path(folder).is_file():
        if _is_one_image(Path(folder)):
            raise StudioError(f"{folder}: is an image; give the folder it is in")
        raise StudioError(
            f"{folder}: is a file; the studio opens folders of images. `corroscope prepare` writes "
            "the frames of a stack or a video as images: open its folder aligned/"
        )
    who = _account() if annotator is None else annotator
    place = Workplace(Path(folder), who, secret, second=second, pixel_size_um=pixel_size)
    try:
        events = Events()
        app = create_app(place, events, [Path(result) for result in results])
        with listening(host, port) as listener:
            taken = listener.getsockname()[1]
            token, names = new_token(), _names(host)
            guard = Guard(app, taken, token, secret, place.key, names, ancestors)
            link = f"http://{names[0]}:{taken}/?token={token}"
            yield Opened(place, events, _server(guard, events), listener, taken, token, link)
    finally:
        place.close()


@contextlib.contextmanager
def served(studio: Opened) -> Iterator[None]:
    """Serve a studio in a thread, beside what else the program does.

    Parameters
    ----------
    studio
        As `opened` gives it.

    Yields
    ------
    None
        Afterwards, it is served no more.
    """
    thread = threading.Thread(
        target=studio.server.run, args=([studio.listener],), name="corroscope studio", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        studio.server.should_exit = True
        thread.join(_PATIENCE_S)


def warm_beside(studio: Opened) -> None:
    """Have the code of clicks compiled, and tell the pages when it is.

    In a process of its own, which leaves it in numba's cache: a thread that compiles cannot be
    ended with the studio.

    Parameters
    ----------
    studio
        As `opened` gives it.
    """
    studio.place.ready = False
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", _WARM_UP],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is the studio's
    )

    def wait() -> None:
        process.wait()
        studio.place.ready = True
        studio.events.tell("ready", {})

    studio.place.close_with(process.kill)
    threading.Thread(target=wait, name="warm up", daemon=True).start()


class _Server(uvicorn.Server):
    """A server that lets go of the pages that listen before it ends."""

    def __init__(self, config: uvicorn.Config, events: Events) -> None:
        super().__init__(config)
        self._events = events

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # It raises again what it has captured, when it has ended.
        with super().capture_signals(), handled(self.handle_exit, "SIGHUP"):
            yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._events.end()
        await super().shutdown(sockets)


def _server(app: Guard, events: Events) -> uvicorn.Server:
    """A server that says nothing of itself."""
    config = uvicorn.Config(
        app,
        log_level="error",
        access_log=False,
        server_header=False,
        lifespan="off",
        timeout_graceful_shutdown=1,
        proxy_headers=False,
    )
    return _Server(config, events)


def _loopback(host: str) -> bool:
    return host in (LOOPBACK, "localhost", "::1")


def _names(host: str) -> tuple[str, ...]:
    """What a browser may call the address that is listened on, the usual name first."""
    if host not in ("0.0.0.0", "::"):
        return (f"[{host}]" if ":" in host else host,)
    own = socket.gethostname()
    try:
        numbers = tuple(socket.gethostbyname_ex(own)[2])
    except OSError:
        numbers = ()
    return (own, *numbers)


def listening(host: str, port: int | None) -> socket.socket:
    """Open the socket that the studio is served on.

    Parameters
    ----------
    host
        Address.
    port
        Its port; 0 for any free one; by default `PORT` or the next free one.

    Returns
    -------
    socket.socket
        It listens.

    Raises
    ------
    StudioError
        If the port is taken or may not be used.
    """
    wanted = range(PORT, PORT + _TRIED) if port is None else [port]
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for each in wanted:
        # Named as TCP, or asyncio leaves Nagle's algorithm on: 40 ms for every answer.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, each))
        except (OSError, OverflowError) as error:
            listener.close()
            problem = error
        else:
            listener.listen()
            return listener
    where = host if port is None else f"{host}:{port}"
    raise StudioError(
        f"{where}: cannot listen there ({getattr(problem, 'strerror', problem)}); "
        "choose another --port or --host"
    ) from problem


def _is_one_image(file: Path) -> bool:
    """Not a stack or a video, be it a damaged one."""
    if not is_image(file.name):
        return False
    try:
        with decoding(file, "image"), tifffile.TiffFile(file) as tiff:
            return len(tiff.pages) == 1
    except FrameError:
        return file.suffix.lower() not in STACK


def _account() -> str:
    try:
        name = getpass.getuser()
    except OSError:  # no account has this number, as in containers
        name = "annotator"
    return re.sub(r"[^A-Za-z0-9._-]", "-", name).lstrip("._-")[:64] or "annotator"


def _secret() -> bytes:
    """The account's own secret, so that a page goes on after the studio was restarted."""
    path = user_state_path("corroscope") / "studio-secret"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            # Whole or not at all, and the first one wins: two studios may start at once.
            new = path.with_name(f"studio-secret-{secrets.token_hex(4)}")
            handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            os.write(handle, secrets.token_bytes(32))
            os.close(handle)
            with contextlib.suppress(FileExistsError):
                os.link(new, path)
            new.unlink()
        secret = path.read_bytes()
    except OSError as error:
        raise StudioError(
            f"{path}: cannot be written or read ({error.strerror}); give the right to it"
        ) from error
    if len(secret) != 32:
        raise StudioError(f"{path}: is damaged; delete it")
    return secret
