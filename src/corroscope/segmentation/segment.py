"""`corroscope segment`: image files in, masks, overlays and a table out."""

import contextlib
import os
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from corroscope.errors import BatchError, CorroscopeError, FrameError, OutputError, SettingsError
from corroscope.frames.alignment import Aligner
from corroscope.frames.contrast import relative_contrast
from corroscope.frames.reading import frame_sha256, read_frame
from corroscope.frames.reference import check_name, name_error
from corroscope.frames.resampling import aligned_reference
from corroscope.outputs import (
    MANIFEST,
    made_by,
    output_folder,
    versions,
    write_json,
    write_mask,
    write_png,
    written_here,
)
from corroscope.segmentation.bundle import load_bundle
from corroscope.segmentation.engines import EngineName, Precision
from corroscope.segmentation.overlay import draw_overlay
from corroscope.segmentation.particles import check_pixel_size, complete_particles
from corroscope.segmentation.segmenter import Segmenter
from corroscope.tables import PARTICLES, PARTICLES_UM
from corroscope.tabulation import write_table


def segment(
    images: str | Path | Sequence[str | Path],
    *,
    out: str | Path,
    model: str | Path | None = None,
    reference: str | Path | None = None,
    pixel_size: float | None = None,
    engine: EngineName = "openvino",
    precision: Precision = "auto",
    tta: bool = False,
    threshold: float | None = None,
    min_area: int | None = None,
    peak: float | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> pd.DataFrame:
    """Find the corrosion products in image files.

    Writes ``<stem>_mask.png`` (0 and 255) and ``<stem>_overlay.png`` for each image,
    and ``particles.csv``, ``particles.parquet`` and ``manifest.json`` for all.

    Parameters
    ----------
    images
        Image files, or one: PNG, TIFF or JPEG, grey or colour, 8 or 16 bits, 16×16 px or more.
    out
        Output folder, made if missing. A mask or overlay there that was not written by
        corroscope is not replaced.
    model
        Bundle folder; without it, the bundle that comes with corroscope.
    reference
        Image of the same place before corrosion began, of the same size. Each image is aligned
        to it and compared with it: dark specks that were there already are no particles.
    pixel_size
        Side of a pixel in µm. Only with it the table has columns in µm.
    engine, precision
        As in `corroscope.segmentation.engines.start_engine`.
    tta
        Average over the eight ways in which a frame can lie, at eight times the cost.
    threshold, min_area
        Probability of a particle's pixels and smallest particle in pixels; the
        bundle's own if None.
    peak
        Probability that a particle must reach in one pixel at least; if None, the bundle's own
        unless there is a ``threshold``. Where one of both is given, particles are not judged once
        more by what is around them, as some bundles do where there is no reference.
    progress
        Called after each image with the number done and the number of all.

    Returns
    -------
    pandas.DataFrame
        All particles, with the columns of `corroscope.tables.PARTICLES`.

    Raises
    ------
    BatchError
        After the others were done, if some images could not be.
    FrameError, OutputError
        If there is one image only and it could not be done.
    BundleError, EngineError, SettingsError
        Before any image is touched. A reference that cannot be used as well.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_png(f"{folder}/frame.png", np.full((64, 64), 200, np.uint8))
    ...     table = segment([f"{folder}/frame.png"], out=f"{folder}/result")
    ...     sorted(path.name for path in Path(folder, "result").iterdir())
    ['frame_mask.png', 'frame_overlay.png', 'manifest.json', 'particles.csv', 'particles.parquet']
    """
    paths = [Path(images)] if isinstance(images, str | Path) else [Path(i) for i in images]
    if not paths:
        raise SettingsError("no images given; name at least one image file")
    check_pixel_size(pixel_size)
    segmenter = Segmenter(
        load_bundle(model),
        engine=engine,
        precision=precision,
        tta=tta,
        threshold=threshold,
        min_area_px=min_area,
        peak=peak,
    )
    before = None if reference is None else Before(Path(reference), segmenter)
    if (other := made_by(out)) not in (None, "segment"):
        raise OutputError(f"{out}: was written by corroscope {other}; choose another output folder")
    _refuse_to_replace(paths, Path(out))
    folder = output_folder(out)
    manifest: dict[str, Any] = {
        "command": "segment",
        "versions": versions("numpy", "openvino", "onnxruntime", "cv2"),
        "bundle": {
            "name": segmenter.bundle.card.name,
            "network_sha256": segmenter.bundle.card.network_sha256,
        },
        "settings": {
            "engine": segmenter.engine.name,
            "device": segmenter.engine.device,
            "precision": segmenter.engine.precision,
            "tta": tta,
            **segmenter.asked(compared=before is not None),
            "pixel_size_um": pixel_size,
        },
        "reference": None if before is None else before.record,
        "inputs": [],
    }
    tables, failures = _segment_files(
        paths, segmenter, before, folder, manifest["inputs"], progress
    )
    alone = next(iter(failures.values())) if len(failures) == len(paths) == 1 else None
    if alone is not None and not (folder / MANIFEST).exists():
        raise alone
    particles = complete_particles(tables, pixel_size)
    columns = PARTICLES if pixel_size is None else PARTICLES + PARTICLES_UM
    write_table(folder / "particles", particles, columns)
    write_json(folder / MANIFEST, manifest)
    if alone is not None:
        raise alone
    if failures:
        raise BatchError({k: str(e) for k, e in failures.items()}, len(paths) - len(failures))
    return particles


def _segment_files(
    paths: Sequence[Path],
    segmenter: Segmenter,
    before: "Before | None",
    folder: Path,
    entries: list[dict[str, Any]],
    progress: Callable[[int, int], object] | None,
) -> tuple[list[pd.DataFrame], dict[str, CorroscopeError]]:
    """Segment one file after the other, and go on when one fails."""
    stems = Counter(path.stem for path in paths)
    tables: list[pd.DataFrame] = []
    failures: dict[str, CorroscopeError] = {}
    for index, path in enumerate(paths):
        name = os.fsencode(path).decode("utf-8", "backslashreplace")
        entry: dict[str, Any] = {"image": name, "frame": index}
        try:
            check_name(path)
            if stems[path.stem] > 1:
                raise OutputError(
                    f"{path}: {stems[path.stem]} inputs are named {path.stem!r} and would share "
                    "one mask file; rename them or segment them into separate folders"
                )
            digest = frame_sha256(path)
            table = segment_file(path, segmenter, folder, before)
            tables.append(table.assign(image=path.name, frame=index, time_s=np.nan))
            entry |= {"sha256": digest, "particles": len(table)}
        except CorroscopeError as error:
            if isinstance(error, FrameError):
                _remove_stale(path.stem, folder)
            failures[f"{index}: {name}"] = error
            entry |= {"error": str(error)}
        entries.append(entry)
        if progress is not None:
            progress(index + 1, len(paths))
    return tables, failures


def _is_text(name: str) -> bool:
    try:
        check_name(name)
    except FrameError:
        return False
    return True


def _refuse_to_replace(inputs: Sequence[Path], out: Path) -> None:
    """A mask here is called as an annotator's is: ``x_mask.png`` for ``x.png``."""
    given = {path.resolve() for path in inputs if _is_text(str(path))}
    for path in inputs:
        for picture in _pictures(path.stem, out) if _is_text(str(path)) else ():
            if picture.resolve() in given:
                raise OutputError(f"{picture}: would replace an input; choose another folder")
            if picture.exists() and not written_here(picture):
                raise OutputError(
                    f"{picture}: stands there already and was not written by corroscope; choose "
                    "another output folder"
                )


def _pictures(stem: str, folder: Path) -> tuple[Path, Path]:
    return folder / f"{stem}_mask.png", folder / f"{stem}_overlay.png"


def _remove_stale(stem: str, folder: Path) -> None:
    """What an earlier call found in an image must not pass for this call's."""
    for picture in _pictures(stem, folder):
        if written_here(picture):
            with contextlib.suppress(OSError):
                picture.unlink()


class Before:
    """The reference of a batch of images, which are aligned to it one by one.

    Parameters
    ----------
    path
        The image.
    segmenter
        The network, one that compares.

    Raises
    ------
    SettingsError
        If the network sees single frames only.
    FrameError
        If the image cannot be read or shows nothing to align with.
    """

    def __init__(self, path: Path, segmenter: Segmenter) -> None:
        segmenter.require_comparing()
        check_name(path)
        self.path = path
        picture = read_frame(path)
        self.record = {"image": str(path), "sha256": frame_sha256(path)}
        try:
            self._aligner = Aligner(picture)
        except FrameError as error:
            raise name_error(str(path), error) from None
        self._contrast = relative_contrast(picture, segmenter.bundle.card.background_sigma_px)

    def aligned_to(
        self, frame: NDArray[np.uint8 | np.uint16 | np.float32]
    ) -> tuple[NDArray[np.float32], tuple[float, float]]:
        """Relative contrast on a frame's grid, and how far the frame has moved.

        Parameters
        ----------
        frame
            ``(height, width)``.

        Returns
        -------
        contrast : ndarray of float32
            ``(height, width)``, NaN where the reference shows nothing.
        drift_px : (float, float)
            Rows and columns.

        Raises
        ------
        FrameError
            If the frame cannot be aligned or has another size.
        """
        found = self._aligner.measure(frame)
        if not found.aligned:
            raise FrameError(
                f"cannot be aligned with {self.path}; give a reference of the same surface, or none"
            )
        drift = (found.dy_px, found.dx_px)
        return aligned_reference(self._contrast, *drift), drift


def segment_file(
    path: Path, segmenter: Segmenter, folder: Path, before: Before | None = None
) -> pd.DataFrame:
    """Segment one image file and write its mask and its overlay.

    Parameters
    ----------
    path
        The image.
    segmenter
        The network.
    folder
        Existing folder for ``<stem>_mask.png`` and ``<stem>_overlay.png``.
    before
        The reference; None for a single image.

    Returns
    -------
    pandas.DataFrame
        Its particles, without the columns that say which image it is.

    Raises
    ------
    FrameError
        If the file cannot be segmented or aligned; nothing is written then.
    OutputError
        If a picture cannot be written.
    """
    frame = read_frame(path)
    reference, drift = None, (np.nan, np.nan)
    try:
        if before is not None:
            reference, drift = before.aligned_to(frame)
        found = segmenter(frame, reference)
    except FrameError as error:
        raise FrameError(f"{path}: {error}") from None
    mask = found.labels > 0
    mask_file, overlay_file = _pictures(path.stem, folder)
    write_mask(mask_file, mask)
    write_png(overlay_file, draw_overlay(frame, mask))
    particles = found.particles
    return particles.assign(
        y_ref_px=particles["y_px"] - drift[0], x_ref_px=particles["x_px"] - drift[1]
    )
