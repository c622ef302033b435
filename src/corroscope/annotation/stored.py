"""What lies in a dataset folder, read without writing anything."""

from pathlib import Path
from typing import Any, Final

from corroscope.annotation.history import History
from corroscope.annotation.instances import AnnotatedImage
from corroscope.annotation.pairing import Pair, pair_files
from corroscope.annotation.record import decode, read_record
from corroscope.annotation.snapshots import Snapshots
from corroscope.errors import AnnotationError
from corroscope.frames.reading import SUFFIXES, read_frame

FOLDER: Final = "annotation"
"""Beside the images: the journal, the lock and second annotations."""

JOURNAL: Final = "journal.jsonl"


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
        If the folder or the journal cannot be read, there is no such second annotation, or a mask
        has another size than its image.
    DatasetError
        If two images or masks claim one name.
    """
    folder = Path(folder)
    pairs = image_pairs(folder)
    base = annotation_folder(folder, second)
    if second is not None and not (base / JOURNAL).is_file():
        raise AnnotationError(f"{folder}: has no second annotation by {second}")
    histories = replay(read_record(base / JOURNAL))
    snapshots = Snapshots(folder, None if second is None else base)
    found = []
    for image, pair in pairs.items():
        history = histories.get(image, History())
        height, width = read_frame(folder / image).shape
        foreign = snapshots.foreign(pair, history, (height, width))
        if foreign is not None:
            history.apply(foreign)
        if history.can_undo:
            objects = tuple(o for _, o in sorted(history.objects.items()))
            found.append(AnnotatedImage(image, (height, width), objects))
    return found


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


def replay(entries: list[dict[str, Any]]) -> dict[str, History]:
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
        if entry["action"] == "undo":
            history.undo()
        elif entry["action"] == "redo":
            history.redo()
        else:
            history.apply(decode(entry["objects"]))
    return histories
