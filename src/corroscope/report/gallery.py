"""Pieces of images with the outlines of what was annotated and what was predicted."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from corroscope.report.examples import Example, dice_in_words
from corroscope.report.page import pixels, plain, png_address, render

MOST_PX: Final = 640
"""Side of a picture, beyond which it is shown with fewer pixels."""


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


def crop_gallery(crops: Sequence[Crop]) -> Markup:
    """Show crops, each with a black and a white of its own, for contrasts are faint.

    Parameters
    ----------
    crops
        In the order in which they are shown.

    Returns
    -------
    Markup
        A picture for each; pixels stay squares however large it is shown.

    Examples
    --------
    >>> mask = np.eye(8, dtype=bool)
    >>> crop = Crop("a.png", 3.2, 4.0, np.eye(8), mask, mask, 8)
    >>> "row 3, column 4: 8 px²" in crop_gallery([crop])
    True
    """
    pictures = []
    for crop in crops:
        caption = f"row {crop.y_px:.0f}, column {crop.x_px:.0f}: {plain(crop.area_px)} px²"
        for title, value in (("contrast", crop.contrast), ("probability", crop.score)):
            if not np.isnan(value):
                caption += f", {title} {plain(float(value), 2)}"
        caption += f"; bar {_scale_bar_px(crop.frame.shape[1])} px"
        said = f"{crop.image}, {caption}"
        drawn = outlined(crop.frame, crop.annotation, crop.prediction, said)
        pictures.append((drawn, crop.image, caption))
    return _gallery(pictures, "small")


def example_gallery(examples: Sequence[Example]) -> Markup:
    """Show whole patches.

    Parameters
    ----------
    examples
        In the order in which they are shown.

    Returns
    -------
    Markup
        A picture for each.

    Examples
    --------
    >>> mask = np.eye(8, dtype=bool)
    >>> "Dice 1.00" in example_gallery([Example("a.png", np.zeros((8, 8)), mask, mask)])
    True
    """
    pictures = []
    for example in examples:
        caption = f"{dice_in_words(example)}; bar {_scale_bar_px(example.frame.shape[1])} px"
        said = f"{example.name}, {caption}"
        drawn = outlined(example.frame, example.annotation, example.prediction, said)
        pictures.append((drawn, example.name, caption))
    return _gallery(pictures, "large")


def outline_key() -> Markup:
    """Explain the two outlines.

    Returns
    -------
    Markup
        A line with a sample of each.

    Examples
    --------
    >>> "annotated" in outline_key()
    True
    """
    return Markup(
        '<p class="key">'
        '<svg viewBox="0 0 40 10" aria-hidden="true"><path class="annotated" d="M1 5H39"/></svg> '
        "annotated: thick, drawn through, orange. "
        '<svg viewBox="0 0 40 10" aria-hidden="true"><path class="predicted" d="M1 5H39"/></svg> '
        "predicted: thin, dashed, blue. White edges only set them off.</p>"
    )


def grey_window(frame: NDArray[np.generic]) -> tuple[float, float]:
    """Choose what is black and what is white.

    Parameters
    ----------
    frame
        ``(height, width)``, grey.

    Returns
    -------
    low, high : float
        The 1 % and 99 % quantiles of its pixels; NaN is none.

    Examples
    --------
    >>> grey_window(np.arange(101).reshape(1, 101))
    (1.0, 99.0)
    """
    values = np.ravel(frame).astype(np.float64)
    values = values[np.isfinite(values)]
    low, high = np.quantile(values, (0.01, 0.99)) if values.size else (0.0, 1.0)
    return float(low), float(high if high > low else low + 1)


def outlined(
    frame: NDArray[np.generic],
    annotation: NDArray[np.bool_],
    prediction: NDArray[np.bool_],
    said: str,
) -> Markup:
    """Draw both outlines over a picture.

    Parameters
    ----------
    frame
        ``(height, width)``, grey. NaN is shown black.
    annotation, prediction
        ``(height, width)`` bool.
    said
        What it shows, for who cannot see it.

    Returns
    -------
    Markup
        An ``svg`` element with the picture as PNG, in its own pixels unless it has more than
        `MOST_PX` at a side, the outlines along the sides of pixels, and a scale bar.

    Raises
    ------
    ValueError
        If the shapes differ.

    Examples
    --------
    >>> mask = np.eye(8, dtype=bool)
    >>> outlined(np.eye(8), mask, mask, "a")[:61]
    Markup('<svg class="crop" viewBox="0 0 8 8" role="img" aria-label="a"')
    """
    if not frame.shape == annotation.shape == prediction.shape:
        shapes = f"{frame.shape}, {annotation.shape} and {prediction.shape}"
        raise ValueError(f"frame, annotation and prediction have shapes {shapes}")
    height, width = frame.shape
    low, high = grey_window(frame)
    grey = np.nan_to_num(frame.astype(np.float64), nan=low, posinf=high, neginf=low)
    side = -(-max(height, width) // MOST_PX)
    share = np.clip((_reduced(grey, side) - low) / (high - low), 0, 1)
    address = png_address(pixels((share * 255).round().astype(np.uint8)))
    bar = _scale_bar_px(width)
    y, x = height * 0.955, width * 0.04
    ring = {"annotated": outline_path(annotation), "predicted": outline_path(prediction)}
    lines = [
        Markup('<path class="{}" d="{}"/>').format(name, path)
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
    opening = Markup('<svg class="crop" viewBox="0 0 {} {}" role="img" aria-label="{}">').format(
        width, height, said
    )
    image = Markup('<image width="{}" height="{}" href="{}"/>').format(
        share.shape[1] * side, share.shape[0] * side, address
    )
    return opening + image + Markup().join(lines) + Markup("</svg>")


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


def _gallery(pictures: Sequence[tuple[Markup, str, str]], size: str) -> Markup:
    return render("gallery.html.j2", pictures=pictures, size=size)


def _reduced(grey: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    """Means of square blocks, so that a page of large frames stays small."""
    # What does not fill the last blocks is filled with the nearest pixels.
    missing = [(0, -length % side) for length in grey.shape]
    filled = np.pad(grey, missing, mode="edge")
    rows, columns = filled.shape[0] // side, filled.shape[1] // side
    means: NDArray[np.float64] = filled.reshape(rows, side, columns, side).mean((1, 3))
    return means


def _scale_bar_px(width: int) -> int:
    """The longest of 1, 2, 5, 10, 20, … px that takes a third of the width at most."""
    lengths = [lead * 10**power for power in range(6) for lead in (1, 2, 5)]
    return max((length for length in lengths if length <= width / 3), default=1)
