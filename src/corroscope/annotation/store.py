"""The annotations of a dataset folder: a journal that is the truth, and masks made from it."""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from filelock import FileLock, Timeout

from corroscope.annotation.history import Change, History, Objects
from corroscope.annotation.instances import AnnotatedImage, Instance
from corroscope.annotation.record import Record, encode
from corroscope.annotation.snapshots import Snapshots
from corroscope.annotation.stored import JOURNAL, annotation_folder, image_pairs, replay
from corroscope.errors import AnnotationError
from corroscope.frames.reading import read_frame
from corroscope.outputs import versions

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Store:
    """Annotations that one annotator is at work on.

    Every action is on the disk, in ``annotation/journal.jsonl``, before it returns; then the
    image's mask (``x_mask.png``, and ``x_ignore.png`` where something is ignored) is written
    anew. A mask that another program has changed meanwhile is taken over as an action of its own.

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
        if not _NAME.fullmatch(annotator):
            raise AnnotationError(
                f"annotator {annotator!r}: use up to 64 letters, digits, '.', '_' and '-'"
            )
        self._folder = Path(folder)
        self._annotator = annotator
        self._version = versions()["corroscope"]
        self._pairs = image_pairs(self._folder)
        if not self._pairs:
            raise AnnotationError(f"{self._folder}: holds no images; put PNG or TIFF files there")
        base = annotation_folder(self._folder, annotator if second else None)
        self._snapshots = Snapshots(self._folder, base if second else None)
        try:
            base.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(base / ".lock", timeout=0)
            self._lock.acquire()
        except Timeout:
            raise AnnotationError(
                f"{self._folder}: is being annotated by another program; close that first"
            ) from None
        except OSError as error:
            raise AnnotationError(
                f"{self._folder}: cannot be written to ({error.strerror or error}); give the "
                "right to write"
            ) from error
        try:
            self._record = Record(base / JOURNAL)
        except BaseException:
            self._lock.release()
            raise
        self._snapshots.tidy()
        self._histories = replay(self._record.entries)
        self._shapes: dict[str, tuple[int, int]] = {}

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
        """Close the journal and let others annotate."""
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

    def annotated(self, image: str) -> bool:
        """Whether somebody has looked at an image: it has objects, or was declared done.

        Parameters
        ----------
        image
            Its file name.

        Returns
        -------
        bool
            False for an image that waits.

        Raises
        ------
        AnnotationError
            As `objects`.
        """
        return self._current(image).can_undo

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

    def declare_done(self, image: str) -> None:
        """Say that an image is annotated as it stands, be it without any particle.

        Parameters
        ----------
        image
            Its file name.

        Raises
        ------
        AnnotationError
            As `add`.
        """
        self._current(image)
        self._commit(image, "done", {}, None)

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

    def undo(self, image: str) -> bool:
        """Take back the last action on an image, also of earlier days.

        Parameters
        ----------
        image
            Its file name.

        Returns
        -------
        bool
            False where there is nothing to take back.

        Raises
        ------
        AnnotationError
            As `add`.
        """
        return self._step(image, "undo", self._current(image).can_undo)

    def redo(self, image: str) -> bool:
        """Do again what was taken back last.

        Parameters
        ----------
        image
            Its file name.

        Returns
        -------
        bool
            False where there is nothing.

        Raises
        ------
        AnnotationError
            As `add`.
        """
        return self._step(image, "redo", self._current(image).can_redo)

    def _step(self, image: str, action: str, possible: bool) -> bool:
        if possible:
            history = self._histories[image]
            self._write(image, action, {}, None)
            _ = history.undo() if action == "undo" else history.redo()
            self._snapshots.write(self._pairs[image], history.objects, self.shape(image))
        return possible

    def _commit(
        self, image: str, action: str, change: Change, how: Mapping[str, Any] | None
    ) -> None:
        shape = self.shape(image)
        for instance in change.values():
            if instance is not None and not instance.fits(shape):
                raise AnnotationError(
                    f"{image}: the object at {instance.corner_px} does not lie within the image of "
                    f"{shape[0]} by {shape[1]} pixels"
                )
        self._write(image, action, change, how)
        history = self._histories[image]
        history.apply(change)
        self._snapshots.write(self._pairs[image], history.objects, shape)

    def _write(
        self, image: str, action: str, change: Change, how: Mapping[str, Any] | None
    ) -> None:
        self._record.append(
            {
                "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "corroscope": self._version,
                "annotator": self._annotator,
                "image": image,
                "shape": list(self.shape(image)),
                "action": action,
                "objects": encode(change),
                "how": dict(how or {}),
            }
        )

    def _current(self, image: str) -> History:
        """The history of an image, after what other programs did to its masks is taken over."""
        if image not in self._pairs:
            raise AnnotationError(f"{self._folder}: holds no image {image}; see the list of images")
        history = self._histories.setdefault(image, History())
        if self._snapshots.unchanged(self._pairs[image]):
            return history
        pair = self._pairs[image]
        foreign = self._snapshots.foreign(pair, history, self.shape(image))
        if foreign is not None:
            self._commit(image, "adopt", foreign, {"from": "the mask that was found"})
        elif history.ever:
            self._snapshots.write(pair, history.objects, self.shape(image))
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
            height, width = read_frame(self._folder / image).shape
            told = next(
                (e["shape"] for e in reversed(self._record.entries) if e.get("image") == image),
                [height, width],
            )
            if told != [height, width]:
                raise AnnotationError(
                    f"{self._folder / image}: has {height} by {width} pixels, but was annotated "
                    f"with {told[0]} by {told[1]}; put the old image back or rename the new one"
                )
            self._shapes[image] = (height, width)
        return self._shapes[image]
