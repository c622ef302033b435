"""What one click may mean, the likeliest first."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from corroscope.annotation.click import Point, find_front
from corroscope.annotation.click_network import ClickNetwork
from corroscope.annotation.geodesic import closed_geodesic
from corroscope.annotation.half_contrast import half_contrast
from corroscope.annotation.instances import Instance, separate
from corroscope.errors import AnnotationError

_REACH_PX: Final = 120  # as far as any of the methods looks


class Candidate(NamedTuple):
    """One of several contours.

    Attributes
    ----------
    method
        ``"front"``, ``"closed geodesic"``, ``"half contrast"`` or ``"model"``.
    instance
        The object.
    score
        Intersection over union to be expected, as far as the click network is right.
    """

    method: str
    instance: Instance
    score: float


def candidates_from_click(
    image: ArrayLike,
    point: Point,
    *,
    model: NDArray[np.bool_] | None = None,
    network: ClickNetwork | None = None,
) -> list[Candidate]:
    """Find all contours that one click may mean.

    Parameters
    ----------
    image
        ``(height, width)``, grey; a frame, or its difference to the reference. Particles are dark.
    point
        Row and column of the click.
    model
        ``(height, width)``: particles that a bundle has found in the image, where one is at hand.
    network
        By default the shipped click network.

    Returns
    -------
    list of Candidate
        The best first, none twice. A method that finds nothing is left out.

    Raises
    ------
    AnnotationError
        As `corroscope.annotation.contour_from_click`, or if `model` is of another size.

    Examples
    --------
    >>> image = np.full((64, 64), 150, np.uint8)
    >>> image[30:34, 30:34] = 60
    >>> candidates = candidates_from_click(image, (31, 32))
    >>> candidates[0].method, [one.score for one in candidates] == sorted(
    ...     (one.score for one in candidates), reverse=True
    ... )
    ('front', True)
    """
    if model is not None and model.shape != np.shape(image):
        raise AnnotationError(
            f"the model's mask has the shape {model.shape}, the image {np.shape(image)}; they must "
            "be of one frame"
        )
    front = find_front(image, point, network=network)
    seed = np.unravel_index(int(front.reached[0]), front.probability.shape)
    pixel = (int(seed[0]) + front.corner_px[0], int(seed[1]) + front.corner_px[1])
    grey = np.asarray(image)
    top, left = max(pixel[0] - _REACH_PX, 0), max(pixel[1] - _REACH_PX, 0)
    near = grey[top : pixel[0] + _REACH_PX, left : pixel[1] + _REACH_PX].astype(np.float32)
    inner = (pixel[0] - top, pixel[1] - left)
    found = [("front", front.instance())]
    for method, find in (("closed geodesic", closed_geodesic), ("half contrast", half_contrast)):
        try:
            part = find(near, inner)
        except AnnotationError:
            continue
        row, col = part.corner_px
        found.append((method, Instance.of(part.mask, corner_px=(row + top, col + left))))
    if model is not None and model[pixel]:
        touching = separate(model)
        found += [("model", one) for one in touching if _holds(one, pixel)]
    different: dict[Instance, Candidate] = {}
    for method, instance in found:
        different.setdefault(instance, Candidate(method, instance, front.expected_iou(instance)))
    return sorted(different.values(), key=lambda one: -one.score)


def _holds(instance: Instance, pixel: tuple[int, int]) -> bool:
    row, col = pixel[0] - instance.corner_px[0], pixel[1] - instance.corner_px[1]
    height, width = instance.mask.shape
    return 0 <= row < height and 0 <= col < width and bool(instance.mask[row, col])
