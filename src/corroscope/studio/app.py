"""The studio's addresses: thin routes over what the rest of the package does."""

import hashlib
import json
from collections.abc import Callable, Sequence
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
from corroscope.studio import acting, annotating, exporting, reviewing, trained
from corroscope.studio.acting import ConflictError
from corroscope.studio.answers import Answer, number_in
from corroscope.studio.events import Events
from corroscope.studio.guard import TooMuchError
from corroscope.studio.patches.patching import Patching
from corroscope.studio.results.results import Results
from corroscope.studio.results.routes import result_routes
from corroscope.studio.training import Training
from corroscope.studio.workplace import Workplace

STATIC: Final = Path(__file__).parent / "static"

Handler = Callable[[str, bytes], Answer]


def create_app(place: Workplace, events: Events, results: Sequence[Path] = ()) -> Starlette:
    """Make the application, without its guard.

    Parameters
    ----------
    place
        The folder that is worked on.
    events
        The pages that are told what happens.
    results
        Results of runs to look at, besides those in the folder.

    Returns
    -------
    Starlette
        To be served behind `corroscope.studio.guard.Guard`.
    """
    found = Results(place, results)
    patching = Patching(place)

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
            _post("act", on_image(lambda n, c: acting.act(place, n, c, events.tell, found))),
            _post("proposals", on_image(lambda n, c: reviewing.proposals(place, n, c))),
            _post("verdict", on_image(lambda n, c: reviewing.judge(place, n, c))),
            _post("patches", on_image(patching.patches)),
            _post("patch", on_image(patching.decide)),
            *_training_routes(place, events.tell),
            *result_routes(place, found, events.tell),
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


def _training_routes(place: Workplace, tell: Callable[[str, Answer], None]) -> list[Route]:
    training = Training(place, tell)

    async def figures(request: Request) -> Response:
        number = number_in(request, "number")
        return JSONResponse(await _found(trained.detail, place, number))

    async def picture(request: Request) -> Response:
        which = request.path_params.get("picture") or number_in(request, "epoch")
        content = await _found(trained.picture, place, number_in(request, "number"), which)
        return Response(content, media_type="image/png")

    return [
        Route("/api/training", _asked(training.state)),
        Route("/api/training/settings", _asked(trained.settings_table)),
        Route("/api/training/check", _told(training.check), methods=["POST"]),
        Route("/api/training/start", _told(training.start), methods=["POST"]),
        Route("/api/training/stop", _asked(training.stop), methods=["POST"]),
        Route("/api/training/{number}", figures),
        Route("/api/training/{number}/predictions/{epoch}", picture),
        Route("/api/training/{number}/{picture}", picture),
    ]


def _asked(answer: Callable[[], Any]) -> Callable[[Request], Any]:
    async def route(_: Request) -> Response:
        return JSONResponse(await run_in_threadpool(answer))

    return route


def _told(answer: Callable[[bytes], Any]) -> Callable[[Request], Any]:
    async def route(request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(answer, await request.body()))

    return route


async def _found(find: Callable[..., Any], *which: Any) -> Any:
    try:
        return await run_in_threadpool(find, *which)
    except KeyError:
        raise HTTPException(404) from None


def _name(place: Workplace, request: Request) -> str:
    try:
        name = place.name(request.path_params["id"])
    except KeyError:
        raise HTTPException(404) from None
    place.check_size(name)
    return name


def _folder(place: Workplace) -> Answer:
    return {
        "folder": place.folder.resolve().name,
        "path": str(place.folder.resolve()),
        "key": place.key,
        "ready": place.ready,
        "annotator": place.annotator,
        "second": place.second,
        "pixel_size_um": place.pixel_size_um,
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
