"""Pieces of images with the outlines of what was annotated and what was predicted."""

import base64
import io
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import NDArray
from PIL import Image

from corroscope.report.blocks import Gallery, Picture, number
from corroscope.report.examples import Example, dice

_SHADES = 255


class Crop(NamedTuple):
    """What surrounds one particle.

    Attributes
    ----------
    image
        Name of the image it is cut from.
    y_px, x_px
        Where the particle is in that image, pixel centres at integers.
    frame
        ``(height, width)``, grey.
    annotation, prediction
        ``(height, width)`` bool.
    area_px
        Area of the particle.
    contrast
        Mean share of the background's light that is missing in it; NaN if unknown.
    score
        Mean probability over it; NaN if unknown.
    """

    image: str
    y_px: float
    x_px: float
    frame: NDArray[np.generic]
    annotation: NDArray[np.bool_]
    prediction: NDArray[np.bool_]
    area_px: int
    contrast: float = float("nan")
    score: float = float("nan")


def crop_gallery(crops: Sequence[Crop]) -> Gallery:
    """Show crops, all with the same black and the same white.

    Parameters
    ----------
    crops
        In the order in which they are shown.

    Returns
    -------
    Gallery
        A picture for each; pixels stay squares however large it is shown.

    Examples
    --------
    >>> mask = np.eye(8, dtype=bool)
    >>> gallery = crop_gallery([Crop("a.png", 3.2, 4.0, np.eye(8), mask, mask, 8)])
    >>> gallery.pictures[0].caption
    'row 3, column 4: 8 px²'
    """
    low, high = grey_window([crop.frame for crop in crops])
    pictures = []
    for crop in crops:
        caption = f"row {crop.y_px:.0f}, column {crop.x_px:.0f}: {crop.area_px} px²"
        for title, value in (("contrast", crop.contrast), ("probability", crop.score)):
            if not np.isnan(value):
                caption += f", {title} {number(value, 2)}"
        drawn = outlined(
            crop.frame, crop.annotation, crop.prediction, low, high,
            f"{crop.image}, {caption}",
        )  # fmt: skip
        pictures.append(Picture(drawn, crop.image, caption))
    return Gallery(pictures, 220)


def example_gallery(examples: Sequence[Example]) -> Gallery:
    """Show whole patches, all with the same black and the same white.

    Parameters
    ----------
    examples
        In the order in which they are shown.

    Returns
    -------
    Gallery
        A picture for each.

    Examples
    --------
    >>> mask = np.eye(8, dtype=bool)
    >>> example_gallery([Example("a.png", np.zeros((8, 8)), mask, mask)]).pictures[0].caption
    'Dice 1.00'
    """
    low, high = grey_window([example.frame for example in examples])
    pictures = []
    for example in examples:
        empty = not (example.annotation.any() or example.prediction.any())
        caption = "nothing annotated, nothing predicted" if empty else f"Dice {dice(example):.2f}"
        drawn = outlined(
            example.frame, example.annotation, example.prediction, low, high,
            f"{example.name}, {caption}",
        )  # fmt: skip
        pictures.append(Picture(drawn, example.name, caption))
    return Gallery(pictures, 300)


def grey_window(frames: Sequence[NDArray[np.generic]]) -> tuple[float, float]:
    """Choose what is black and what is white, for several pictures together.

    Parameters
    ----------
    frames
        Each ``(height, width)``, grey.

    Returns
    -------
    low, high : float
        The 0.1 % and 99.9 % quantiles of all pixels; NaN is none.

    Examples
    --------
    >>> grey_window([np.full((2, 2), 7), np.full((2, 2), 9)])
    (7.0, 9.0)
    """
    values = np.concatenate([np.ravel(frame).astype(np.float64) for frame in frames] or [[]])
    values = values[np.isfinite(values)]
    low, high = np.quantile(values, (0.001, 0.999)) if values.size else (0.0, 1.0)
    return float(low), float(high if high > low else low + 1)


def outlined(
    frame: NDArray[np.generic],
    annotation: NDArray[np.bool_],
    prediction: NDArray[np.bool_],
    low: float,
    high: float,
    said: str,
) -> Markup:
    """Draw both outlines over a picture.

    Parameters
    ----------
    frame
        ``(height, width)``, grey. NaN is shown black.
    annotation, prediction
        ``(height, width)`` bool.
    low, high
        What is black and what is white.
    said
        What it shows, for who cannot see it.

    Returns
    -------
    Markup
        An ``svg`` element with the picture in its own pixels, as PNG, the outlines along the
        sides of pixels, and a scale bar.

    Raises
    ------
    ValueError
        If the shapes differ.

    Examples
    --------
    >>> mask = np.eye(8, dtype=bool)
    >>> outlined(np.eye(8), mask, mask, 0, 1, "a")[:66]
    Markup('<svg class="crop" viewBox="0 0 8 8" role="img" aria-label="a"><ima')
    """
    if not frame.shape == annotation.shape == prediction.shape:
        shapes = f"{frame.shape}, {annotation.shape} and {prediction.shape}"
        raise ValueError(f"frame, annotation and prediction have shapes {shapes}")
    height, width = frame.shape
    share = (np.nan_to_num(frame.astype(np.float64), nan=low) - low) / (high - low)
    grey = (np.clip(share, 0, 1) * _SHADES).round().astype(np.uint8)
    bar = _scale_bar_px(width)
    y, x = height * 0.955, width * 0.04
    ring = {"annotated": outline_path(annotation), "predicted": outline_path(prediction)}
    lines = [
        f'<path class="{name}" d="{path}"/>'
        for name, path in (
            ("under", ring["annotated"]),
            ("annotated", ring["annotated"]),
            ("ground", ring["predicted"]),
            ("predicted", ring["predicted"]),
            ("bar-under", f"M{x:.6g} {y:.6g}h{bar}"),
            ("bar", f"M{x:.6g} {y:.6g}h{bar}"),
        )
        if path
    ]
    return Markup(  # noqa: S704
        f'<svg class="crop" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escape(said)}; the bar is {bar} px long">'
        f'<image width="{width}" height="{height}" href="{png_data(grey)}"/>{"".join(lines)}</svg>'
    )


def png_data(grey: NDArray[np.uint8]) -> str:
    """Make a picture an address that holds it.

    Parameters
    ----------
    grey
        ``(height, width)``.

    Returns
    -------
    str
        Of scheme ``data:``.

    Examples
    --------
    >>> png_data(np.zeros((2, 2), np.uint8))[:30]
    'data:image/png;base64,iVBORw0K'
    """
    file = io.BytesIO()
    Image.fromarray(grey).save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def outline_path(mask: NDArray[np.bool_]) -> str:
    """Find the sides of pixels between inside and outside, as closed lines.

    Parameters
    ----------
    mask
        ``(height, width)``, true inside.

    Returns
    -------
    str
        For the ``d`` of an SVG path; a pixel's upper left corner has its column and row as
        coordinates. Empty where nothing is inside.

    Examples
    --------
    >>> outline_path(np.array([[False, True, True]]))
    'M1 0H3V1H1Z'
    """
    padded = np.pad(mask, 1)
    # Each side goes with the inside to its right: from a corner (y, x) by one pixel.
    starts: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for dy, dx, here, there in (
        (0, 1, padded[1:, 1:], padded[:-1, 1:]),
        (0, -1, padded[:-1, 1:], padded[1:, 1:]),
        (1, 0, padded[1:, :-1], padded[1:, 1:]),
        (-1, 0, padded[1:, 1:], padded[1:, :-1]),
    ):
        for y, x in np.argwhere(here & ~there).tolist():
            # Sides to the left and upwards start at the far end of their pixel.
            corner = (y + (dy < 0), x + (dx < 0))
            starts.setdefault(corner, []).append((dy, dx))
    parts = []
    for corner in sorted(starts):
        while starts.get(corner):
            parts.append(_ring(starts, corner))
    return "".join(parts)


def _ring(starts: dict[tuple[int, int], list[tuple[int, int]]], corner: tuple[int, int]) -> str:
    """Follow sides until they close, using them up."""
    text, at, step = f"M{corner[1]} {corner[0]}", corner, starts[corner].pop(0)
    while True:
        at = (at[0] + step[0], at[1] + step[1])
        if at == corner:
            return text + "Z"
        left = starts[at]
        # Where two pixels touch at a corner only, they are one particle: turn outwards.
        turned = (-step[1], step[0])
        following = turned if turned in left and len(left) > 1 else left[0]
        left.remove(following)
        if following != step:
            text += f"H{at[1]}" if step[1] else f"V{at[0]}"
        step = following


def _scale_bar_px(width: int) -> int:
    """The longest of 1, 2, 5, 10, 20, … px that takes a third of the width at most."""
    lengths = [lead * 10**power for power in range(6) for lead in (1, 2, 5)]
    return max((length for length in lengths if length <= width / 3), default=1)
