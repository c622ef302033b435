"""From a map of probabilities to a table with one row for each particle."""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from corroscope.errors import SettingsError
from corroscope.tables import PARTICLES, PARTICLES_UM


class OperatingPoint(NamedTuple):
    """What of a map of probabilities counts as a particle.

    Attributes
    ----------
    threshold
        Pixels at or above it belong to particles, if what they belong to is one.
    min_area_px
        Particles with fewer pixels are dropped.
    peak
        Particles none of whose pixels has as much are dropped; 0 drops none.
    """

    threshold: float
    min_area_px: int
    peak: float = 0.0


def find_particles(
    probability: NDArray[np.float32], threshold: float, min_area_px: int, peak: float = 0.0
) -> NDArray[np.int32]:
    """Label connected pixels of sufficient probability.

    With a ``peak`` above the threshold two questions are asked apart: whether there is a particle,
    which the surest of its pixels answers, and how far it reaches.

    Parameters
    ----------
    probability
        ``(height, width)``, 0 to 1.
    threshold, min_area_px, peak
        As in `OperatingPoint`.

    Returns
    -------
    ndarray of int32
        ``(height, width)``; 0 is background, particles are 1, 2, … by the row, then
        the column, of their first pixel. Pixels that touch at a corner are connected.

    References
    ----------
    Two thresholds are those of J. Canny, *A Computational Approach to Edge Detection*, IEEE
    Transactions on Pattern Analysis and Machine Intelligence 8 (1986) 679–698,
    doi:10.1109/TPAMI.1986.4767851.

    Examples
    --------
    >>> probability = np.zeros((6, 6), np.float32)
    >>> probability[1, 1] = probability[2, 2] = 0.9
    >>> probability[5, 5] = 0.8
    >>> find_particles(probability, 0.5, min_area_px=2).max()
    np.int32(1)
    >>> find_particles(probability, 0.5, min_area_px=1, peak=0.85).max()
    np.int32(1)
    """
    binary = (probability >= threshold).astype(np.uint8)
    _, found, statistics, _ = cv2.connectedComponentsWithStats(
        binary, connectivity=8, ltype=cv2.CV_32S
    )
    labels = np.asarray(found, np.int32)
    kept = statistics[:, cv2.CC_STAT_AREA] >= min_area_px
    kept[0] = False
    # OpenCV does not promise an order of labels; count anew by first pixel.
    rows, columns = np.nonzero(labels)
    if peak > threshold:
        highest = np.zeros(len(statistics), probability.dtype)
        np.maximum.at(highest, labels[rows, columns], probability[rows, columns])
        kept &= highest >= peak
    present, first = np.unique(labels[rows, columns], return_index=True)
    renumbered = np.zeros(len(statistics), np.int32)
    ordered = present[np.argsort(first)]
    ordered = ordered[kept[ordered]]
    renumbered[ordered] = np.arange(1, ordered.size + 1, dtype=np.int32)
    return np.asarray(renumbered[labels])


def measure_particles(
    labels: NDArray[np.int32], contrast: NDArray[np.float32], probability: NDArray[np.float32]
) -> pd.DataFrame:
    """Measure every labelled particle.

    Parameters
    ----------
    labels
        ``(height, width)``, 0 for background, as from `find_particles`.
    contrast
        ``(height, width)``, relative contrast of the frame.
    probability
        ``(height, width)``, 0 to 1.

    Returns
    -------
    pandas.DataFrame
        What `corroscope.tables.PARTICLES` says of a particle in its own frame, one row for
        each.

    Notes
    -----
    Second moments count a pixel as a unit square, so a single pixel is a disc with
    eccentricity 0 and not a point.

    Examples
    --------
    >>> labels = np.zeros((8, 8), np.int32)
    >>> labels[2:4, 1:5] = 1
    >>> table = measure_particles(labels, -0.2 * (labels > 0), 0.9 * (labels > 0))
    >>> table[["y_px", "x_px", "area_px", "contrast"]].round(3).values.tolist()
    [[2.5, 2.5, 8.0, 0.2]]
    """
    rows, columns = np.nonzero(labels)
    members = labels[rows, columns] - 1
    count = int(labels.max(initial=0))

    def total(values: NDArray[np.generic]) -> NDArray[np.float64]:
        return np.asarray(np.bincount(members, weights=values, minlength=count), np.float64)

    area = np.bincount(members, minlength=count)
    y, x = total(rows) / area, total(columns) / area
    from_y, from_x = rows - y[members], columns - x[members]
    moment_yy = total(from_y**2) / area + 1 / 12
    moment_xx = total(from_x**2) / area + 1 / 12
    moment_xy = total(from_y * from_x) / area
    spread = np.hypot(moment_yy - moment_xx, 2 * moment_xy)
    longest, shortest = moment_yy + moment_xx + spread, moment_yy + moment_xx - spread
    top, left = np.full(count, labels.shape[0]), np.full(count, labels.shape[1])
    bottom, right = np.zeros(count, int), np.zeros(count, int)
    np.minimum.at(top, members, rows)
    np.minimum.at(left, members, columns)
    np.maximum.at(bottom, members, rows + 1)
    np.maximum.at(right, members, columns + 1)
    return pd.DataFrame(
        {
            "particle": np.arange(1, count + 1),
            "y_px": y,
            "x_px": x,
            "area_px": area,
            "equivalent_diameter_px": np.sqrt(4 * area / np.pi),
            "eccentricity": np.sqrt(np.maximum(0.0, 1 - shortest / longest)),
            "contrast": -total(contrast[rows, columns]) / area,
            "score": total(probability[rows, columns]) / area,
            "bbox_top_px": top,
            "bbox_left_px": left,
            "bbox_bottom_px": bottom,
            "bbox_right_px": right,
        }
    )


def check_pixel_size(pixel_size_um: float | None) -> None:
    """Refuse a pixel size that is none.

    Parameters
    ----------
    pixel_size_um
        Side of a pixel in µm; None where it is unknown.

    Raises
    ------
    SettingsError
        If it is not a positive number.

    Examples
    --------
    >>> check_pixel_size(0.42)
    """
    if pixel_size_um is not None and not 0 < pixel_size_um < float("inf"):
        raise SettingsError(f"pixel size {pixel_size_um:g} µm: must be a positive number")


def complete_particles(tables: Sequence[pd.DataFrame], pixel_size_um: float | None) -> pd.DataFrame:
    """Join tables of particles and give them the documented columns.

    Parameters
    ----------
    tables
        With the columns of `corroscope.tables.PARTICLES`, in any order.
    pixel_size_um
        Side of a pixel in µm; None where it is unknown.

    Returns
    -------
    pandas.DataFrame
        The columns of `corroscope.tables.PARTICLES`, and those in µm where the pixel size is
        known, in their order and types.

    Examples
    --------
    >>> complete_particles([], None).columns[:3].tolist()
    ['image', 'frame', 'time_s']
    """
    columns = PARTICLES if pixel_size_um is None else PARTICLES + PARTICLES_UM
    filled = [table for table in tables if len(table)]
    particles = (
        pd.concat(filled, ignore_index=True)
        if filled
        else pd.DataFrame(columns=[column.name for column in PARTICLES])
    )
    if pixel_size_um is not None:
        for name in ("y", "x", "equivalent_diameter"):
            particles[f"{name}_um"] = particles[f"{name}_px"] * pixel_size_um
        particles["area_um2"] = particles["area_px"] * pixel_size_um**2
    types = {column.name: column.dtype for column in columns}
    return particles[list(types)].astype(types)
