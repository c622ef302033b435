"""What the page asks while somebody annotates: thin, over `corroscope.annotation`."""

from pydantic import BaseModel, ConfigDict, Field

from corroscope.annotation.candidates import candidates_from_click
from corroscope.annotation.click import instances_from_clicks
from corroscope.annotation.instances import Instance
from corroscope.annotation.store import Store
from corroscope.errors import CorroscopeError
from corroscope.studio.answers import Answer
from corroscope.studio.drawing import drawn, rings
from corroscope.studio.gestures import Click, Gesture, Point, Shape, meant, nested_levels
from corroscope.studio.workplace import Plane, Workplace


class Hover(BaseModel):
    """Where the pointer is."""

    model_config = ConfigDict(extra="forbid")
    plane: Plane = "frame"
    point: Point


class Solve(BaseModel):
    """A gesture that is not yet meant."""

    model_config = ConfigDict(extra="forbid")
    gesture: Gesture
    candidates: bool = Field(default=False)


def state(place: Workplace, name: str) -> Answer:
    """Tell all that is annotated in an image.

    Parameters
    ----------
    place
        The folder.
    name
        The image.

    Returns
    -------
    dict
        Its size, objects and how far it is.
    """
    with place.store() as store:
        height, width = store.shape(name)
        objects = store.objects(name)
        return {
            "id": place.opaque[name],
            "name": name,
            "height": height,
            "width": width,
            "difference": place.difference_file(name) is not None,
            "objects": [drawn(number, one) for number, one in objects.items()],
            **progress(store, name),
        }


def overview(place: Workplace) -> list[Answer]:
    """List the images, with how far each is.

    Parameters
    ----------
    place
        The folder.

    Returns
    -------
    list of dict
        In natural order of their names. An image that cannot be read says why.
    """
    listed = []
    for name in place.names:
        told: Answer = {"id": place.opaque[name], "name": name}
        try:
            place.check_size(name)
            with place.store() as store:
                known = progress(store, name)
            told |= {key: known[key] for key in ("annotated", "done")} | {"objects": known["count"]}
        except CorroscopeError as error:
            told |= {"annotated": False, "done": False, "objects": 0, "problem": str(error)}
        listed.append(told)
    return listed


def hover(place: Workplace, name: str, content: bytes) -> Answer:
    """Outline what a click would give.

    Parameters
    ----------
    place, name
        The folder and the image.
    content
        A `Hover` as JSON.

    Returns
    -------
    dict
        Rings; none where nothing stands out.
    """
    asked = Hover.model_validate_json(content)
    (found,) = instances_from_clicks(place.picture(name, asked.plane).grey, [asked.point])
    return {"rings": [] if found is None else rings(found)}


def solve(place: Workplace, name: str, content: bytes) -> Answer:
    """Outline what a gesture means, with all that it might mean besides.

    Parameters
    ----------
    place, name
        The folder and the image.
    content
        A `Solve` as JSON.

    Returns
    -------
    dict
        ``levels``, each with rings and area, and ``best``; for ``candidates`` each with its
        method besides.
    """
    asked = Solve.model_validate_json(content)
    gesture = asked.gesture
    if isinstance(gesture, Shape):
        return {"levels": [_level(meant(gesture, None))], "best": 0}
    grey = place.picture(name, gesture.plane).grey
    if isinstance(gesture, Click) and asked.candidates:
        found = candidates_from_click(grey, gesture.point)
        return {
            "levels": [_level(one.instance) | {"method": one.method} for one in found],
            "best": 0,
        }
    if isinstance(gesture, Click) and gesture.method is None:
        nested = nested_levels(gesture, grey)
        return {"levels": [_level(one) for one in nested.instances], "best": nested.best}
    return {"levels": [_level(meant(gesture, grey))], "best": 0}


def progress(store: Store, name: str) -> Answer:
    """Tell how far an image is.

    Parameters
    ----------
    store, name
        The annotations and the image.

    Returns
    -------
    dict
        Its ``revision``, whether it is ``annotated`` and declared ``done``, the ``count`` of its
        objects, and whether there is something to undo and to redo.
    """
    progress = store.progress(name)
    return {
        "revision": progress.revision,
        "annotated": progress.annotated,
        "done": progress.done,
        "count": len(store.objects(name)),
        "can_undo": progress.can_undo,
        "can_redo": progress.can_redo,
    }


def _level(instance: Instance) -> Answer:
    return {"rings": rings(instance), "area_px": instance.area_px}
