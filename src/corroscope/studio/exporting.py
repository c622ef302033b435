"""Export from the page: what ``corroscope export`` does."""

import shlex

from pydantic import BaseModel, ConfigDict

from corroscope.annotation.exchange import FORMATS, export_annotations
from corroscope.errors import StudioError
from corroscope.studio.answers import Answer
from corroscope.studio.workplace import Workplace, within


class Export(BaseModel):
    """Which format."""

    model_config = ConfigDict(extra="forbid")
    format: str


def formats() -> list[str]:
    """List the formats.

    Returns
    -------
    list of str
        As ``corroscope export --format`` takes them.
    """
    return list(FORMATS)


def export(place: Workplace, content: bytes) -> Answer:
    """Write all annotations of the folder for another program.

    Parameters
    ----------
    place
        The folder.
    content
        An `Export` as JSON.

    Returns
    -------
    dict
        How many objects and images, where, what was lost, and the command that does the same.

    Raises
    ------
    StudioError
        If there is no such format, or its folder is a link out of the folder.
    AnnotationError, OutputError
        As `corroscope.annotation.export_annotations`.
    """
    asked = Export.model_validate_json(content)
    if asked.format not in FORMATS:  # said before it becomes the name of a folder
        raise StudioError(f"format {asked.format!r} is unknown; use {', '.join(FORMATS)}")
    with place.store() as store:
        images = [store.read(name) for name in place.names if store.progress(name).annotated]
    out = place.folder / "export" / asked.format
    within(place.folder, out)
    exported = export_annotations(images, out, asked.format)
    command = ["corroscope", "export", str(place.folder), "--format", asked.format]
    if place.second:
        command += ["--second", place.annotator]
    return {
        "objects": sum(len(image.instances) for image in images),
        "images": len(images),
        "out": str(out.relative_to(place.folder)),
        "losses": list(exported.losses),
        "command": shlex.join([*command, "--out", str(out)]),
    }
