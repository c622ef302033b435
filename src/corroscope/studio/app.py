"""The studio's addresses: thin routes over what the rest of the package does."""

import hashlib
import json
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import numpy as np
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from corroscope.errors import CorroscopeError
from corroscope.studio import annotating, exporting, reviewing
from corroscope.studio.annotating import Answer, ConflictError
from corroscope.studio.events import Events
from corroscope.studio.guard import TooMuchError
from corroscope.studio.workplace import Workplace

STATIC: Final = Path(__file__).parent / "static"

Handler = Callable[[str, bytes], Answer]


def create_app(place: Workplace) -> Starlette:
    """Make the application, without its guard.

    Parameters
    ----------
    place
        The folder that is worked on.

    Returns
    -------
    Starlette
        To be served behind `corroscope.studio.guard.Guard`.
    """
    events = Events()

    def tell(kind: str, content: Answer) -> None:
        events.tell(kind, content)

    async def index(_: Request) -> Response:
        page = (STATIC / "index.html").read_text(encoding="utf-8")
        return Response(page, media_type="text/html")

    async def folder(_: Request) -> Response:
        return JSONResponse(await run_in_threadpool(_folder, place))

    async def image(request: Request) -> Response:
        name = _name(place, request)
        return JSONResponse(await run_in_threadpool(annotating.state, place, name))

    async def pixels(request: Request) -> Response:
        return await run_in_threadpool(_pixels, place, _name(place, request), request)

    async def listen(_: Request) -> Response:
        return StreamingResponse(events.listen(), media_type="text/event-stream")

    def on_image(handler: Handler) -> Callable[[Request], Any]:
        async def route(request: Request) -> Response:
            name = _name(place, request)
            return JSONResponse(await run_in_threadpool(handler, name, await request.body()))

        return route

    async def export(request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(exporting.export, place, await request.body()))

    return Starlette(
        routes=[
            Route("/", index),
            Route("/api/folder", folder),
            Route("/api/events", listen),
            Route("/api/export", export, methods=["POST"]),
            Route("/api/images/{id}", image),
            Route("/api/images/{id}/pixels/{plane}", pixels),
            _post("hover", on_image(lambda n, c: annotating.hover(place, n, c))),
            _post("solve", on_image(lambda n, c: annotating.solve(place, n, c))),
            _post("act", on_image(lambda n, c: annotating.act(place, n, c, tell))),
            _post("proposals", on_image(lambda n, c: reviewing.proposals(place, n, c))),
            _post("verdict", on_image(lambda n, c: reviewing.judge(place, n, c))),
            Mount("/static", StaticFiles(directory=STATIC)),
        ],
        exception_handlers={
            ConflictError: _conflict,
            CorroscopeError: _refused,
            ValidationError: _misunderstood,
            TooMuchError: _too_much,
        },
    )


def _post(what: str, route: Callable[[Request], Any]) -> Route:
    return Route(f"/api/images/{{id}}/{what}", route, methods=["POST"])


def _name(place: Workplace, request: Request) -> str:
    try:
        return place.name(request.path_params["id"])
    except KeyError:
        raise HTTPException(404) from None


def _folder(place: Workplace) -> Answer:
    return {
        "folder": place.folder.resolve().name,
        "annotator": place.annotator,
        "second": place.second,
        "version": metadata.version("corroscope"),
        "formats": exporting.formats(),
        "images": annotating.overview(place),
    }


def _pixels(place: Workplace, name: str, request: Request) -> Response:
    """The pixels as they are; the page alone decides how bright to show them."""
    plane = request.path_params["plane"]
    if plane not in ("frame", "difference"):
        raise HTTPException(404)
    picture = place.picture(name, plane)
    pixels = picture.pixels
    if pixels.dtype not in (np.uint8, np.uint16):
        pixels = picture.grey
    content = np.ascontiguousarray(pixels).astype(pixels.dtype.newbyteorder("<"), copy=False)
    body = content.tobytes()
    tag = f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
    headers = {
        "etag": tag,
        "cache-control": "private, no-cache",
        "x-size": json.dumps(content.shape),
        "x-type": str(pixels.dtype),
    }
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(body, media_type="application/octet-stream", headers=headers)


async def _conflict(_: Request, error: Exception) -> Response:
    assert isinstance(error, ConflictError)
    return JSONResponse({"error": str(error), "image": error.state}, status_code=409)


async def _refused(_: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, status_code=422)


async def _misunderstood(_: Request, error: Exception) -> Response:
    assert isinstance(error, ValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return JSONResponse({"error": f"{where}: {first['msg']}"}, status_code=400)


async def _too_much(_: Request, __: Exception) -> Response:
    return JSONResponse({"error": "too much at once"}, status_code=413)
