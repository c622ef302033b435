"""``corroscope annotate``: open the studio on a folder."""

import contextlib
import getpass
import os
import re
import secrets
import socket
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import Final

import uvicorn
from platformdirs import user_state_path

from corroscope.errors import StudioError
from corroscope.studio.app import create_app
from corroscope.studio.guard import Guard, new_token
from corroscope.studio.workplace import Workplace

PORT: Final = 8766
"""Where the studio listens, if nobody else does."""

LOOPBACK: Final = "127.0.0.1"

_TRIED: Final = 20


def annotate(
    folder: str | Path,
    *,
    port: int | None = None,
    host: str = LOOPBACK,
    annotator: str | None = None,
    second: bool = False,
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
    browser
        Open the page.
    tell
        Is told the link, in one line, and what to beware of.

    Raises
    ------
    StudioError
        If the port is taken or may not be used.
    AnnotationError
        If the folder cannot be read, holds no image, or another program annotates it.
    """
    tell = tell or (lambda _: None)
    secret = _secret()
    place = Workplace(Path(folder), annotator or _account(), secret, second=second)
    try:
        with listening(host, port) as listener:
            taken = listener.getsockname()[1]
            token, names = new_token(), _names(host)
            app = Guard(create_app(place), taken, token, secret, names)
            link = f"http://{names[0]}:{taken}/?token={token}"
            if not _loopback(host):
                tell(
                    f"Warning: everybody on the network who knows the link can annotate; the "
                    f"connection to {host} is not encrypted"
                )
            tell(f"{place.folder}: {link}")
            if browser:
                webbrowser.open(link)
            server_of(app).run([listener])
    finally:
        place.close()


def server_of(app: Guard) -> uvicorn.Server:
    """Make the server.

    Parameters
    ----------
    app
        What it serves.

    Returns
    -------
    uvicorn.Server
        It says nothing of itself, and does not wait long for pages that listen.
    """
    config = uvicorn.Config(
        app,
        log_level="error",
        access_log=False,
        server_header=False,
        lifespan="off",
        timeout_graceful_shutdown=1,
        proxy_headers=False,
    )
    return uvicorn.Server(config)


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
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, each))
        except (OSError, OverflowError) as error:
            listener.close()
            problem = error
        else:
            listener.listen()
            return listener
    raise StudioError(
        f"{host}:{wanted[-1]}: cannot listen there ({getattr(problem, 'strerror', problem)}); "
        "choose another --port or --host"
    ) from problem


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
