"""Candidates for a whole frame, to be reviewed: from a plain detector, or from a network."""

from pathlib import Path
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from corroscope.annotation.click import grey_image, instances_from_clicks
from corroscope.annotation.click_network import ClickNetwork
from corroscope.annotation.instances import Instance
from corroscope.errors import AnnotationError
from corroscope.segmentation.bundle import Bundle, load_bundle
from corroscope.segmentation.segmenter import Segmenter

BLOB_PX: Final = 1.5
"""Standard deviation of the spot that the plain detector looks for."""

GROUND_PX: Final = 6.0
"""Standard deviation of what it takes for the ground round a spot."""

LEAST_CONTRAST: Final = 5.0
"""Of a spot, in standard deviations of the whole frame's texture."""

_SAME: Final = 0.3  # IoU from which two proposals are one


class Proposal(NamedTuple):
    """An object that somebody should look at.

    Attributes
    ----------
    instance
        The object.
    score
        Between 0 and 1, higher for what is likelier a particle.
    """

    instance: Instance
    score: float


def propose(
    image: ArrayLike,
    bundle: Bundle | str | Path | None = None,
    *,
    network: ClickNetwork | None = None,
) -> list[Proposal]:
    """Find everything in a frame that may be a particle.

    Parameters
    ----------
    image
        ``(height, width)``, grey; a frame, or, without a bundle, its difference to the reference.
        Particles are dark.
    bundle
        A model bundle, or its folder, to take its network's particles; without one, dark spots
        are clicked on that stand out from the ground.
    network
        Click network for that; by default the shipped one.

    Returns
    -------
    list of Proposal
        The likeliest first. The score is the network's mean probability in the object, or, of
        spots, 1 − exp(−contrast / 20), contrast in standard deviations of the texture.

    Raises
    ------
    AnnotationError
        If the image is none, or has pixels that are no number.
    BundleError
        If the bundle cannot be read.
    FrameError
        If the frame is too small for the bundle's network.

    Examples
    --------
    >>> image = np.random.default_rng(0).normal(150, 3, (80, 80)).astype(np.float32)
    >>> image[30:34, 30:34] = 60
    >>> [proposal.instance.fits((80, 80)) for proposal in propose(image)]
    [True]
    """
    grey = np.ascontiguousarray(grey_image(image), np.float32)
    if not np.isfinite(grey).all():
        raise AnnotationError("the image has pixels that are no number; mend it")
    if bundle is not None:
        found = _by_network(_frame(image, grey), bundle)
    else:
        found = _by_contrast(grey, network)
    return sorted(found, key=lambda proposal: -proposal.score)


Frame = NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.float32]


def _frame(image: ArrayLike, grey: NDArray[np.float32]) -> Frame:
    """Leave a frame as the camera gave it, where networks take its kind of numbers."""
    given = np.asarray(image)
    return given if given.dtype in (np.uint8, np.uint16) else grey


def _by_network(image: Frame, bundle: Bundle | str | Path) -> list[Proposal]:
    loaded = bundle if isinstance(bundle, Bundle) else load_bundle(bundle)
    segmentation = Segmenter(loaded)(image)
    boxes = segmentation.particles[
        ["particle", "bbox_top_px", "bbox_left_px", "bbox_bottom_px", "bbox_right_px"]
    ].to_numpy()
    found = []
    for (number, top, left, bottom, right), score in zip(
        boxes.tolist(), segmentation.particles["score"].tolist(), strict=True
    ):
        mask = segmentation.labels[top:bottom, left:right] == number
        found.append(Proposal(Instance.of(mask, corner_px=(top, left)), score))
    return found


def dark_spots(grey: NDArray[np.float32]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Find where a picture is darker than the ground round it.

    Parameters
    ----------
    grey
        ``(height, width)``.

    Returns
    -------
    at : ndarray of intp
        ``(spots, 2)``, row and column of each, the clearest first.
    contrast : ndarray of float64
        ``(spots,)``, in standard deviations of the texture, `LEAST_CONTRAST` or more.

    Examples
    --------
    >>> grey = np.random.default_rng(0).normal(150, 3, (80, 80)).astype(np.float32)
    >>> grey[30:33, 30:33] = 60
    >>> dark_spots(grey)[0].tolist()
    [[31, 31]]
    """
    spots = cv2.GaussianBlur(grey, (0, 0), GROUND_PX) - cv2.GaussianBlur(grey, (0, 0), BLOB_PX)
    texture = 1.4826 * float(np.median(np.abs(spots - np.median(spots))))
    if texture == 0:
        texture = 1e-6 * max(float(np.abs(spots).max()), 1.0)  # a picture without any noise
    peaks = (spots == cv2.dilate(spots, np.ones((5, 5), np.uint8))) & (
        spots > LEAST_CONTRAST * texture
    )
    at = np.argwhere(peaks)
    order = np.argsort(-spots[peaks], kind="stable")
    return at[order], spots[peaks][order].astype(np.float64) / texture


def _by_contrast(grey: NDArray[np.float32], network: ClickNetwork | None) -> list[Proposal]:
    at, contrasts = dark_spots(grey)
    taken: list[Proposal] = []
    owner = np.full(grey.shape, -1, np.int64)
    instances = instances_from_clicks(grey, at, network=network)
    for contrast, instance in zip(contrasts.tolist(), instances, strict=True):
        if instance is None or _known(instance, owner, taken):
            continue
        owner[instance.box][instance.mask] = len(taken)
        score = float(1 - np.exp(-contrast / 20))
        taken.append(Proposal(instance, score))
    return taken


def _known(instance: Instance, owner: NDArray[np.int64], taken: list[Proposal]) -> bool:
    """Whether a stronger spot has led to the same object."""
    below = owner[instance.box][instance.mask]
    for number in np.unique(below[below >= 0]):
        shared = int((below == number).sum())
        either = instance.area_px + taken[number].instance.area_px - shared
        if shared / either >= _SAME:
            return True
    return False
