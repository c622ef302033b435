"""What the page asks while somebody annotates: thin, over `corroscope.annotation`."""

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from corroscope.annotation.candidates import candidates_from_click
from corroscope.annotation.click import instances_from_clicks
from corroscope.annotation.history import Objects
from corroscope.annotation.instances import PARTICLE, Instance
from corroscope.annotation.store import Store
from corroscope.errors import AnnotationError, CorroscopeError
from corroscope.studio.drawing import drawn, rings
from corroscope.studio.gestures import (
    Act,
    Add,
    Click,
    Deed,
    Gesture,
    Point,
    Propagate,
    Replace,
    Several,
    Shape,
    Split,
    Stroke,
    Take,
    Whole,
    meant,
    merged,
    nested_levels,
    sought,
    split,
    stroked,
)
from corroscope.studio.results.results import Results, absent
from corroscope.studio.workplace import Plane, Workplace

Answer = dict[str, Any]


class ConflictError(Exception):
    """The page has not seen what the image has become.

    Parameters
    ----------
    state
        Of the image, now.
    """

    def __init__(self, state: Answer) -> None:
        super().__init__("the image was changed elsewhere meanwhile")
        self.state = state


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
            **_progress(store, name),
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
                told |= {"annotated": store.progress(name).annotated}
                told |= {"objects": len(store.objects(name))}
        except CorroscopeError as error:
            told |= {"annotated": False, "objects": 0, "problem": str(error)}
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


def act(
    place: Workplace,
    name: str,
    content: bytes,
    tell: Callable[[str, Answer], None],
    results: Results,
) -> Answer:
    """Do something, if the page has seen all that was done before.

    Parameters
    ----------
    place, name
        The folder and the image.
    content
        An `Act` as JSON.
    tell
        Tells all pages.
    results
        From which particles may be taken.

    Returns
    -------
    dict
        What has become: ``changed`` objects, ``removed`` numbers, and how far the image is.

    Raises
    ------
    ConflictError
        If it has not. Nothing is done.
    """
    asked = _ACT.validate_json(content)
    deed = asked.deed
    found = _meant(place, name, deed, results)  # before the store is taken: it takes its time
    with place.store() as store:
        progress = store.progress(name)
        if progress.how.get("act") == asked.act:  # done, but the answer was lost
            return state(place, name)
        if progress.revision != asked.revision:
            raise ConflictError(state(place, name))
        before = store.objects(name)
        how = {"act": asked.act, **deed.model_dump(mode="json")}
        if isinstance(deed, Take):
            how |= {"result": results.origin(deed.result)}
        _do(store, name, deed, found, how)
        answer = _difference(store, name, before)
    tell("image", {"id": place.opaque[name], "act": asked.act, **answer})
    return answer


_ACT: TypeAdapter[Act] = TypeAdapter(Act)


def _meant(place: Workplace, name: str, deed: Deed, results: Results) -> list[Instance]:
    """The new objects of a deed that has to look at the picture."""
    if isinstance(deed, Propagate):
        try:
            source = place.name(deed.source)
        except KeyError:
            raise AnnotationError("there is no such image to take particles from") from None
        with place.store() as store:
            old, there = store.objects(source), store.objects(name)
        before, grey = (place.picture(each, deed.plane).grey for each in (source, name))
        return sought(list(old.values()), before, list(there.values()), grey)
    if isinstance(deed, Take):
        taken = results.taken(deed.result, name, deed.particles)
        with place.store() as store:
            new = absent(taken, list(store.objects(name).values()))
        if not new:
            raise AnnotationError("all that was to be taken is annotated already")
        return new
    if isinstance(deed, Add | Replace):
        plane = "frame" if isinstance(deed.gesture, Shape) else deed.gesture.plane
        label = deed.label if isinstance(deed, Add) else PARTICLE
        return [meant(deed.gesture, place.picture(name, plane).grey, label)]
    return []


def _do(store: Store, name: str, deed: Deed, found: list[Instance], how: Answer) -> None:
    objects = store.objects(name)
    if isinstance(deed, Whole):
        {"undo": store.undo, "redo": store.redo, "done": store.declare_done}[deed.do](name, how)
    elif isinstance(deed, Add):
        store.add(name, found[0], how)
    elif isinstance(deed, Replace):
        label = objects[deed.number].label if deed.number in objects else PARTICLE
        other = Instance.of(found[0].mask, label, found[0].corner_px)
        store.replace(name, deed.number, other, how)
    else:
        gone, new = _exchanged(deed, objects, found, store.shape(name))
        store.exchange(name, gone, new, how)  # says so where there is no such object


def _exchanged(
    deed: Stroke | Several | Split | Propagate | Take,
    objects: Objects,
    found: list[Instance],
    shape: tuple[int, int],
) -> tuple[tuple[int, ...], list[Instance]]:
    """Which objects go, and which come for them."""
    if isinstance(deed, Propagate | Take):
        return (), found
    if isinstance(deed, Stroke):
        old = None if deed.number is None else objects.get(deed.number)
        left = stroked(old, deed, shape)
        return () if deed.number is None else (deed.number,), [] if left is None else [left]
    if isinstance(deed, Split):
        one = objects.get(deed.number)
        return (deed.number,), [] if one is None else split(one, deed)
    ones = [objects[number] for number in deed.numbers if number in objects]
    if deed.do == "remove":
        return deed.numbers, []
    if deed.do == "merge":
        return deed.numbers, [merged(ones)] if ones else []
    return deed.numbers, [Instance.of(one.mask, deed.do, one.corner_px) for one in ones]


def _difference(store: Store, name: str, before: Objects) -> Answer:
    after = store.objects(name)
    return {
        "changed": [drawn(n, one) for n, one in after.items() if before.get(n) is not one],
        "removed": [number for number in before if number not in after],
        **_progress(store, name),
    }


def _progress(store: Store, name: str) -> Answer:
    progress = store.progress(name)
    return {
        "revision": progress.revision,
        "annotated": progress.annotated,
        "can_undo": progress.can_undo,
        "can_redo": progress.can_redo,
    }


def _level(instance: Instance) -> Answer:
    return {"rings": rings(instance), "area_px": instance.area_px}
