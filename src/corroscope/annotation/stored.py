"""What lies in a dataset folder, read without writing anything."""

import re
from pathlib import Path
from typing import Final

from corroscope.annotation.history import History
from corroscope.annotation.instances import AnnotatedImage
from corroscope.annotation.pairing import Pair, pair_files
from corroscope.annotation.record import Entry, decode, read_record
from corroscope.annotation.snapshots import Snapshots
from corroscope.errors import AnnotationError
from corroscope.frames.reading import SUFFIXES, read_frame

FOLDER: Final = "annotation"
"""Beside the images: the journal, the lock and second annotations."""

JOURNAL: Final = "journal.jsonl"

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def read_annotations(folder: str | Path, *, second: str | None = None) -> list[AnnotatedImage]:
    """Read the annotations of a dataset folder, and write nothing.

    Parameters
    ----------
    folder
        Dataset folder, with or without a journal.
    second
        Whose second annotation to read instead.

    Returns
    -------
    list of AnnotatedImage
        Images that somebody has annotated, in order of name. Where a mask is not what the
        journal says, the mask's own connected pieces count.

    Raises
    ------
    AnnotationError
        If the folder or the journal cannot be read, there is no such second annotation, a mask
        has another size than its image, or an image another than when it was annotated.
    FrameError
        If an image cannot be read.
    DatasetError
        If two images or masks claim one name.
    """
    if second is not None:
        check_annotator(second)
    folder = Path(folder)
    pairs = image_pairs(folder)
    base = annotation_folder(folder, second)
    if second is not None and not (base / JOURNAL).is_file():
        raise AnnotationError(f"{folder}: has no second annotation by {second}")
    entries = read_record(base / JOURNAL)
    histories, last = replay(entries), last_entries(entries)
    snapshots = Snapshots(folder, None if second is None else base)
    found = []
    for image, pair in pairs.items():
        history = histories.get(image, History())
        shape = image_shape(folder / image, last.get(image))
        if image in last:
            snapshots.recall(pair, last[image]["masks"])
        foreign = snapshots.look(pair, history, shape).foreign
        if foreign is not None:
            history.apply(foreign)
        if history.annotated:
            objects = tuple(o for _, o in sorted(history.objects.items()))
            found.append(AnnotatedImage(image, shape, objects))
    return found


def check_annotator(name: str) -> None:
    """Refuse a name that cannot be that of a folder.

    Parameters
    ----------
    name
        Of an annotator.

    Raises
    ------
    AnnotationError
        If it is anything but 1 to 64 letters, digits, ``.``, ``_`` and ``-``.

    Examples
    --------
    >>> check_annotator("ada")
    """
    if not _NAME.fullmatch(name):
        raise AnnotationError(f"annotator {name!r}: use up to 64 letters, digits, '.', '_' and '-'")


def image_shape(path: Path, last: Entry | None) -> tuple[int, int]:
    """Read an image's height and width.

    Parameters
    ----------
    path
        The image.
    last
        The journal's last line about it, if there is one.

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
    height, width = read_frame(path).shape
    if last is not None and last["shape"] != [height, width]:
        raise AnnotationError(
            f"{path}: has {height} by {width} pixels, but was annotated with {last['shape'][0]} by "
            f"{last['shape'][1]}; put the old image back or rename the new one"
        )
    return height, width


def annotation_folder(folder: Path, second: str | None) -> Path:
    """Where a dataset's journal is.

    Parameters
    ----------
    folder
        Dataset folder.
    second
        Whose second annotation is meant, if one is.

    Returns
    -------
    Path
        A folder, which need not exist.

    Examples
    --------
    >>> annotation_folder(Path("d"), "bob").as_posix()
    'd/annotation/second/bob'
    """
    return folder / FOLDER if second is None else folder / FOLDER / "second" / second


def image_pairs(folder: Path) -> dict[str, Pair]:
    """List the images of a dataset folder with the masks they have.

    Parameters
    ----------
    folder
        Dataset folder.

    Returns
    -------
    dict of str to Pair
        By the image's file name.

    Raises
    ------
    AnnotationError
        If the folder cannot be read.
    DatasetError
        If two images or masks claim one name.
    """
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise AnnotationError(
            f"{folder}: no folder that can be read ({error.strerror}); give a dataset folder"
        ) from error
    files = [p for p in entries if p.suffix.lower() in SUFFIXES and not p.name.startswith(".")]
    return {pair.image.name: pair for pair in pair_files(files).values() if pair.image is not None}


def replay(entries: list[Entry]) -> dict[str, History]:
    """Do again all that a journal tells.

    Parameters
    ----------
    entries
        Its lines, the header first.

    Returns
    -------
    dict of str to History
        By the image's file name.
    """
    histories: dict[str, History] = {}
    for entry in entries[1:]:
        history = histories.setdefault(entry["image"], History())
        history.take(entry["action"], decode(entry["objects"]))
    return histories


def last_entries(entries: list[Entry]) -> dict[str, Entry]:
    """Find the last line about each image.

    Parameters
    ----------
    entries
        A journal's lines, the header first.

    Returns
    -------
    dict of str to dict
        By the image's file name.
    """
    return {entry["image"]: entry for entry in entries[1:]}
