"""The annotations of a dataset folder: a journal that is the truth, and masks made from it."""

import contextlib
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from filelock import FileLock, Timeout

from corroscope.annotation.history import Change, History, Objects
from corroscope.annotation.instances import AnnotatedImage, Instance
from corroscope.annotation.record import Record, encode
from corroscope.annotation.snapshots import Snapshots
from corroscope.annotation.stored import (
    JOURNAL,
    annotation_folder,
    check_annotator,
    image_pairs,
    image_shape,
    last_entries,
    replay,
)
from corroscope.errors import AnnotationError, CorroscopeError, OutputError
from corroscope.outputs import versions


class Progress(NamedTuple):
    """How far an image's annotation is.

    Attributes
    ----------
    revision
        Number of actions so far; who has seen another one has not seen the last.
    annotated
        Whether somebody has looked at the image.
    done
        Whether somebody has declared it finished, or its masks were there before anything, and
        nothing was done since.
    can_undo, can_redo
        Whether there is something to undo and to redo.
    how
        What the last action told of itself.
    """

    revision: int
    annotated: bool
    done: bool
    can_undo: bool
    can_redo: bool
    how: Mapping[str, Any]


class Store:
    """Annotations that one annotator is at work on.

    Every action is on the disk, in ``annotation/journal.jsonl``, before it returns; then the
    image's mask (``x_mask.png``, and ``x_ignore.png`` where something is ignored) is written
    anew. A mask that another program has changed meanwhile is taken over as an action of its own.
    One that was there before the journal is where the history begins.

    Parameters
    ----------
    folder
        Dataset folder: images, and masks beside those that have one.
    annotator
        Who annotates: letters, digits, ``.``, ``_`` and ``-``.
    second
        Annotate the same images once more, without seeing what is there: kept in
        ``annotation/second/<annotator>``.

    Raises
    ------
    AnnotationError
        If the folder cannot be read, holds no image, another program has it open, the name will
        not do, or the journal is damaged.
    DatasetError
        If two images or masks claim one name.

    Notes
    -----
    Every action may also raise `OutputError`, where a mask cannot be written. The action is in the
    journal then and stands; the mask is written with the next one, or at the next opening.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from corroscope.outputs import write_png
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_png(Path(folder, "a.png"), np.zeros((50, 60), np.uint8))
    ...     with Store(folder, "ada") as store:
    ...         number = store.add("a.png", Instance.of(np.ones((3, 3), bool)))
    ...     with Store(folder, "ada") as store:
    ...         store.undo("a.png"), store.objects("a.png"), store.redo("a.png")
    (True, {}, True)
    """

    def __init__(self, folder: str | Path, annotator: str, *, second: bool = False) -> None:
        check_annotator(annotator)
        self._folder = Path(folder)
        self._annotator = annotator
        self._version = versions()["corroscope"]
        self._pairs = image_pairs(self._folder)
        if not self._pairs:
            raise AnnotationError(
                f"{self._folder}: holds no images; put PNG, TIFF or JPEG files there"
            )
        base = annotation_folder(self._folder, annotator if second else None)
        self._base, self._elsewhere = base, base if second else None
        try:
            base.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(base / ".lock", timeout=0)
            self._lock.acquire()
        except Timeout:
            raise AnnotationError(
                f"{self._folder}: is being annotated by another program, or by an "
                "`Annotator` that is still open; close that first"
            ) from None
        except OSError as error:
            raise AnnotationError(
                f"{self._folder}: cannot be written to ({error.strerror or error}); give the "
                "right to write"
            ) from error
        try:
            self._open()
        except BaseException:
            self._lock.release()
            raise

    def _open(self) -> None:
        self._record = Record(self._base / JOURNAL)
        self._histories = replay(self._record.entries)
        self._last = last_entries(self._record.entries)
        self._revisions = Counter(entry["image"] for entry in self._record.entries[1:])
        self._shapes: dict[str, tuple[int, int]] = {}
        self._snapshots = Snapshots(self._folder, self._elsewhere)
        self._snapshots.tidy(self._pairs.values())
        self._midway = False
        for image, entry in self._last.items():
            if image in self._pairs and self._snapshots.recall(self._pairs[image], entry["masks"]):
                # A program was stopped before it wrote the mask. Others read masks, so mend it
                # now; an image that cannot be read says so when somebody looks at it.
                with contextlib.suppress(CorroscopeError):
                    self._current(image)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the journal and let others annotate; closing again does nothing."""
        self._record.close()
        self._lock.release()

    @property
    def images(self) -> tuple[str, ...]:
        """File names of the images, in order."""
        return tuple(self._pairs)

    def objects(self, image: str) -> Objects:
        """Look up what is annotated in an image.

        Parameters
        ----------
        image
            Its file name.

        Returns
        -------
        dict of int to Instance
            Objects by number; a copy.

        Raises
        ------
        AnnotationError
            If the image is not of this folder, cannot be read or has changed its size.
        """
        return dict(self._current(image).objects)

    def read(self, image: str) -> AnnotatedImage:
        """Return an image's annotation as formats write it.

        Parameters
        ----------
        image
            Its file name.

        Returns
        -------
        AnnotatedImage
            Its objects in order of their numbers.

        Raises
        ------
        AnnotationError
            As `objects`.
        """
        objects = self._current(image).objects
        return AnnotatedImage(
            image, self.shape(image), tuple(o for _, o in sorted(objects.items()))
        )

    def progress(self, image: str) -> Progress:
        """Look up how far an image's annotation is.

        Parameters
        ----------
        image
            Its file name.

        Returns
        -------
        Progress
            As it is now.

        Raises
        ------
        AnnotationError
            As `objects`.
        """
        history = self._current(image)
        return Progress(
            self._revisions[image],
            history.annotated,
            history.done,
            history.can_undo,
            history.can_redo,
            self._last.get(image, {}).get("how", {}),
        )

    def add(self, image: str, instance: Instance, how: Mapping[str, Any] | None = None) -> int:
        """Add an object.

        Parameters
        ----------
        image
            File name of the image.
        instance
            The object.
        how
            How it was found, for the journal: clicks, parameters; what JSON can hold.

        Returns
        -------
        int
            Its number.

        Raises
        ------
        AnnotationError
            If it does not lie in the image, or as `objects`; or the journal cannot be written:
            then nothing has changed.
        """
        number = self._current(image).next_number
        self._commit(image, "add", {number: instance}, how)
        return number

    def replace(
        self, image: str, number: int, instance: Instance, how: Mapping[str, Any] | None = None
    ) -> None:
        """Put an object in the place of another.

        Parameters
        ----------
        image, instance, how
            As for `add`.
        number
            Of the object to replace.

        Raises
        ------
        AnnotationError
            As `add`, or if there is no such object.
        """
        self._known(image, number)
        self._commit(image, "replace", {number: instance}, how)

    def relabel(self, image: str, number: int, label: str) -> None:
        """Give an object another label.

        Parameters
        ----------
        image
            File name of the image.
        number
            Of the object.
        label
            ``"particle"`` or ``"ignore"``.

        Raises
        ------
        AnnotationError
            As `replace`, or if there is no such label.
        """
        old = self._known(image, number)
        self._commit(image, "relabel", {number: Instance.of(old.mask, label, old.corner_px)}, None)

    def remove(self, image: str, number: int) -> None:
        """Remove an object.

        Parameters
        ----------
        image
            File name of the image.
        number
            Of the object.

        Raises
        ------
        AnnotationError
            As `replace`.
        """
        self._known(image, number)
        self._commit(image, "remove", {number: None}, None)

    def declare_done(self, image: str, how: Mapping[str, Any] | None = None) -> None:
        """Say that an image is annotated as it stands, be it without any particle.

        Parameters
        ----------
        image, how
            As for `add`.

        Raises
        ------
        AnnotationError
            As `add`.
        """
        self._current(image)
        self._commit(image, "done", {}, how)

    def replace_all(
        self, image: str, instances: Iterable[Instance], how: Mapping[str, Any] | None = None
    ) -> None:
        """Put other objects in the place of all that there are, in one action.

        Parameters
        ----------
        image, how
            As for `add`.
        instances
            The new objects.

        Raises
        ------
        AnnotationError
            As `add`.
        """
        history = self._current(image)
        change: dict[int, Instance | None] = dict.fromkeys(history.objects)
        change.update(enumerate(instances, start=history.next_number))
        self._commit(image, "replace all", change, how)

    def exchange(
        self,
        image: str,
        gone: Iterable[int],
        new: Iterable[Instance],
        how: Mapping[str, Any] | None = None,
    ) -> list[int]:
        """Put new objects in the place of some, in one action: to merge, split or remove several.

        Parameters
        ----------
        image, how
            As for `add`.
        gone
            Numbers of the objects that go.
        new
            The objects that come.

        Returns
        -------
        list of int
            Their numbers.

        Raises
        ------
        AnnotationError
            As `replace`.
        """
        change: dict[int, Instance | None] = {}
        for number in gone:
            self._known(image, number)
            change[number] = None
        first = self._current(image).next_number
        came = dict(enumerate(new, start=first))
        self._commit(image, "exchange", change | came, how)
        return list(came)

    def undo(self, image: str, how: Mapping[str, Any] | None = None) -> bool:
        """Take back the last action on an image, also of earlier days.

        Parameters
        ----------
        image, how
            As for `add`.

        Returns
        -------
        bool
            False where there is nothing to take back.

        Raises
        ------
        AnnotationError
            As `add`.
        """
        return self._step(image, "undo", self._current(image).can_undo, how)

    def redo(self, image: str, how: Mapping[str, Any] | None = None) -> bool:
        """Do again what was taken back last.

        Parameters
        ----------
        image, how
            As for `add`.

        Returns
        -------
        bool
            False where there is nothing.

        Raises
        ------
        AnnotationError
            As `add`.
        """
        return self._step(image, "redo", self._current(image).can_redo, how)

    def _step(self, image: str, action: str, possible: bool, how: Mapping[str, Any] | None) -> bool:
        if possible:
            self._commit(image, action, {}, how)
        return possible

    def _commit(
        self, image: str, action: str, change: Change, how: Mapping[str, Any] | None
    ) -> None:
        shape, pair = self.shape(image), self._pairs[image]
        for instance in change.values():
            if instance is not None and not instance.fits(shape):
                raise AnnotationError(
                    f"{image}: the object at {instance.corner_px} does not lie within the image of "
                    f"{shape[0]} by {shape[1]} pixels"
                )
        entry = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "corroscope": self._version,
            "annotator": self._annotator,
            "image": image,
            "shape": list(shape),
            "action": action,
            "objects": encode(change),
            "how": dict(how or {}),
            "masks": self._snapshots.stamps(pair),
        }
        self._midway = True
        self._record.append(entry)
        history = self._histories[image]
        history.take(action, change)
        self._last[image] = entry
        self._revisions[image] += 1
        self._midway = False
        self._snapshots.write(pair, history, shape)

    def _current(self, image: str) -> History:
        """The history of an image, after what other programs did to its masks is taken over."""
        if image not in self._pairs:
            raise AnnotationError(f"{self._folder}: holds no image {image}; see the list of images")
        if self._midway:  # the last action was interrupted, or refused: the journal knows
            self._record.close()
            self._open()
        history = self._histories.setdefault(image, History())
        pair = self._pairs[image]
        if self._snapshots.settled(pair):
            return history
        found = self._snapshots.look(pair, history, self.shape(image))
        if found.foreign is not None:
            action = "adopt" if history.ever else "begin"
            self._commit(image, action, found.foreign, {"from": "the mask that was found"})
        elif found.behind:
            # That it cannot be written was told by the action; the next one tries again.
            with contextlib.suppress(OutputError):
                self._snapshots.write(pair, history, self.shape(image))
        return history

    def _known(self, image: str, number: int) -> Instance:
        objects = self._current(image).objects
        if number not in objects:
            raise AnnotationError(f"{image}: has no object {number}; it may have been removed")
        return objects[number]

    def shape(self, image: str) -> tuple[int, int]:
        """Return an image's height and width.

        Parameters
        ----------
        image
            Its file name.

        Returns
        -------
        tuple of int
            In pixels.

        Raises
        ------
        AnnotationError
            If the image has another size than when it was annotated.
        FrameError
            If it cannot be read.
        """
        if image not in self._shapes:
            self._shapes[image] = image_shape(self._folder / image, self._last.get(image))
        return self._shapes[image]
