"""What becomes of a deed: each is done once, wholly or not at all, and all pages are told."""

from collections import Counter
from collections.abc import Callable
from typing import Final

from pydantic import TypeAdapter

from corroscope.annotation.history import Objects
from corroscope.annotation.instances import PARTICLE, Instance, iou
from corroscope.annotation.store import Store
from corroscope.errors import AnnotationError, OutputError
from corroscope.studio.annotating import progress, state
from corroscope.studio.answers import Answer
from corroscope.studio.drawing import drawn
from corroscope.studio.gestures import (
    Act,
    Add,
    Deed,
    Points,
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
    sought,
    split,
    stroked,
)
from corroscope.studio.results.results import Results, present
from corroscope.studio.workplace import Workplace

TWICE: Final = 0.9
"""IoU from which a click gives what is there already."""


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
        What has become: ``changed`` objects, ``removed`` numbers, and how far the image is; all
        of the image where it was done before and only the answer was lost. With a ``problem``
        where the mask beside the image could not be written; the deed stands.

    Raises
    ------
    ConflictError
        If it has not. Nothing is done.
    AnnotationError
        If the deed would change nothing, or cannot be done.
    """
    asked = _ACT.validate_json(content)
    deed = asked.deed
    with place.store() as store:
        if _was_done(place, store, name, asked):
            return state(place, name)
    found = _meant(place, name, deed, results)  # without the store: it takes its time
    problem = {}
    with place.store() as store:
        if _was_done(place, store, name, asked):
            return state(place, name)
        before = store.objects(name)
        how = {"act": asked.act, **deed.model_dump(mode="json")}
        if isinstance(deed, Take):
            how |= {"result": results.origin(deed.result)}
        try:
            _do(place, store, name, deed, found, how)
        except OutputError as error:
            if store.progress(name).revision == asked.revision:
                raise
            problem = {"problem": str(error)}  # it is in the journal, and stands
        answer = _difference(store, name, before)
    if answer["revision"] != asked.revision:
        tell("image", {"id": place.opaque[name], "act": asked.act, **answer})
    return answer | problem


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
            known = present(taken, list(store.objects(name).values()))
        new = [one for one, there in zip(taken, known, strict=True) if not there]
        if not new:
            raise AnnotationError("all that was to be taken is annotated already")
        return new
    if isinstance(deed, Add | Replace):
        plane = "frame" if isinstance(deed.gesture, Shape) else deed.gesture.plane
        label = deed.label if isinstance(deed, Add) else PARTICLE
        return [meant(deed.gesture, place.picture(name, plane).grey, label)]
    return []


def _was_done(place: Workplace, store: Store, name: str, asked: Act) -> bool:
    """Whether the last deed was this one, and only its answer was lost."""
    last = store.progress(name)
    if last.how.get("act") == asked.act:
        return True
    if last.revision != asked.revision:
        raise ConflictError(state(place, name))
    return False


def _do(
    place: Workplace, store: Store, name: str, deed: Deed, found: list[Instance], how: Answer
) -> None:
    if isinstance(deed, Whole):
        _do_whole(store, name, deed, how)
        return
    objects = store.objects(name)
    gone, new = _exchanged(deed, objects, found, store.shape(name))
    if Counter(map(objects.get, gone)) == Counter(new):
        if isinstance(deed, Propagate):
            raise AnnotationError(
                f"none of the particles of {place.name(deed.source)} was found again that is not "
                "annotated here already"
            )
        raise AnnotationError("that would change nothing")
    if isinstance(deed, Add):
        _refuse_twice(deed, new[0], objects)
        store.add(name, new[0], how)
    elif isinstance(deed, Replace):
        store.replace(name, deed.number, new[0], how)
    else:
        store.exchange(name, gone, new, how)  # says so where there is no such object


def _do_whole(store: Store, name: str, deed: Whole, how: Answer) -> None:
    if deed.do == "done":
        if not store.progress(name).done:
            store.declare_done(name, how)
        return
    step = {"undo": store.undo, "redo": store.redo}[deed.do]
    if not step(name, how):
        raise AnnotationError(f"there is nothing to {deed.do}")


def _refuse_twice(deed: Add, new: Instance, objects: Objects) -> None:
    """A double click, or a list of proposals that is older than the annotations."""
    for old in objects.values():
        same = iou(new, old)
        by_itself = not isinstance(deed.gesture, Points) and new.label == old.label
        if same == 1 or (by_itself and same >= TWICE):
            raise AnnotationError("that particle is annotated already")


def _exchanged(
    deed: Add | Replace | Stroke | Several | Split | Propagate | Take,
    objects: Objects,
    found: list[Instance],
    shape: tuple[int, int],
) -> tuple[tuple[int, ...], list[Instance]]:
    """Which objects go, and which come for them."""
    if isinstance(deed, Add | Propagate | Take):
        return (), found
    if isinstance(deed, Replace):
        label = objects[deed.number].label if deed.number in objects else PARTICLE
        return (deed.number,), [Instance.of(found[0].mask, label, found[0].corner_px)]
    if isinstance(deed, Stroke):
        old = None if deed.number is None else objects.get(deed.number)
        left = stroked(old, deed, shape)
        return () if deed.number is None else (deed.number,), [] if left is None else [left]
    if isinstance(deed, Split):
        one = objects.get(deed.number)
        return (deed.number,), [] if one is None else split(one, deed)
    numbers = tuple(dict.fromkeys(deed.numbers))
    ones = [objects[number] for number in numbers if number in objects]
    if deed.do == "remove":
        return numbers, []
    if deed.do == "merge":
        return numbers, [merged(ones)] if ones else []
    return numbers, [Instance.of(one.mask, deed.do, one.corner_px) for one in ones]


def _difference(store: Store, name: str, before: Objects) -> Answer:
    after = store.objects(name)
    return {
        "changed": [drawn(n, one) for n, one in after.items() if before.get(n) is not one],
        "removed": [number for number in before if number not in after],
        **progress(store, name),
    }
