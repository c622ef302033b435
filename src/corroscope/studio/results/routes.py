"""Addresses of results and runs."""

from collections.abc import Callable
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from corroscope.studio.answers import Answer, number_in
from corroscope.studio.results.results import Results
from corroscope.studio.results.running import Runs
from corroscope.studio.workplace import Workplace

FARTHEST: Final = 20
"""Frames before and after one whose particles are given as trails."""


def result_routes(
    place: Workplace, results: Results, tell: Callable[[str, Answer], None]
) -> list[Route]:
    """Make the routes.

    Parameters
    ----------
    place
        The folder that is worked on.
    results
        Its results.
    tell
        Tells all pages.

    Returns
    -------
    list of Route
        All below ``/api/results``.
    """
    runs = Runs(place, results, tell)

    async def listed(_: Request) -> Response:
        return JSONResponse(await run_in_threadpool(_overview, results, runs))

    async def start(request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(runs.start, await request.body()))

    async def stop(_: Request) -> Response:
        return JSONResponse(await run_in_threadpool(runs.stop))

    async def result(request: Request) -> Response:
        number = _known(results, request)
        answer = await run_in_threadpool(results.describe, number)
        made = await run_in_threadpool(runs.command, number)
        return JSONResponse(answer | {"command": made or answer["command"]})

    async def image(request: Request) -> Response:
        number = _known(results, request)
        try:
            name = place.name(request.path_params["id"])
        except KeyError:
            raise HTTPException(404) from None
        around = _around(request.query_params.get("around", "0"))
        return JSONResponse(await run_in_threadpool(results.image, number, name, around))

    async def overview(request: Request) -> Response:
        picture = await run_in_threadpool(results[_known(results, request)].overview)
        if picture is None:
            raise HTTPException(404)
        return Response(picture, media_type="image/png")

    def at(path: str, route: Callable[[Request], Any], *methods: str) -> Route:
        return Route(f"/api/results{path}", route, methods=list(methods) or None)

    return [
        at("", listed),
        at("/start", start, "POST"),
        at("/stop", stop, "POST"),
        at("/{number}", result),
        at("/{number}/images/{id}", image),
        at("/{number}/overview", overview),
    ]


def _overview(results: Results, runs: Runs) -> Answer:
    status = runs.status()
    listed = results.overview()
    for told in listed:
        if status["running"] and told["number"] == status["number"]:
            told |= {"state": "running", "problem": f"{told['name']} is at work"}
        if told["state"] != "finished":
            command = runs.command(told["number"])
            told |= {"again": command is not None, "command": command}
    return {"results": listed, "run": status, "next": runs.next()}


def _known(results: Results, request: Request) -> int:
    number = number_in(request, "number")
    try:
        results[number]
    except KeyError:
        raise HTTPException(404) from None
    return number


def _around(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text[:3]) > FARTHEST:
        raise HTTPException(400)
    return int(text[:3])
