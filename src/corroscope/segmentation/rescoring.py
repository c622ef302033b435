"""Particles judged once more by what is around them: the company they keep, and pits.

Early in a run there are few corrosion products and as many old specks as late: in a single frame
the same speck is more likely a product where there are many. Beside a pit, what is dark is often a
part of it. A network hardly learns either, for it judges each pixel by what lies close to it. Where
a frame is compared with a reference there is no need for it: that shows which specks are old.
"""

from typing import Any, Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from scipy.spatial import KDTree

from corroscope.segmentation.particles import find_particles

SUREST: Final = 1e-3
"""A mean probability counts as no closer than this to 0 and 1, whose logits are infinite."""

SMOOTHING_PX: Final = 1.0
"""SD by which contrast is smoothed before pits are looked for: noise would tear them."""


class Candidacy(BaseModel):
    """What may be a particle, and what is looked at around it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    threshold: float = Field(description="probability of a candidate's pixels", gt=0, lt=1)
    min_area_px: int = Field(description="candidates with fewer pixels are dropped", ge=1)
    reach_px: int = Field(
        description="half the side of the square in which others are company; no pit beyond counts",
        ge=1,
    )
    sure: float = Field(description="mean probability above which others are", gt=0, lt=1)
    pit_contrast: float = Field(description="relative contrast below which a pit is", ge=-1, lt=0)
    pit_px: int = Field(description="diameter of a disk that fits into a pit", ge=1)


class Rescoring(Candidacy):
    """How candidates of a frame are judged once more.

    A candidate is kept where the sum of its features, as in `Candidates`, each times its weight,
    and of the intercept is the logit of ``decision`` or more.
    """

    weights: tuple[float, float, float] = Field(description="of probability, company, pit")
    intercept: float = Field(description="logit where all features are 0")
    decision: float = Field(description="probability from which one is kept", gt=0, lt=1)


class Candidates(NamedTuple):
    """What may be particles.

    Attributes
    ----------
    labels
        ``(height, width)``, 0 for background, candidates 1, 2, ….
    features
        ``(candidates, 3)``: logit of the mean probability of its pixels; logarithm of 1 + its
        company; logarithm of 1 + its distance from the nearest pit, in px.
    """

    labels: NDArray[np.int32]
    features: NDArray[np.float64]


def find_candidates(
    probability: NDArray[np.float32], contrast: NDArray[np.float32], candidacy: Candidacy
) -> Candidates:
    """Find what may be particles, and look at what is around each.

    Company is the sum of the mean probabilities of all others that are sure and within reach;
    divided by the share of the square within reach that lies in the frame, so that it is not less
    at the border. A pit is a dark region into which a disk fits, which the border may cut; to be
    near one counts up to the same reach.

    Parameters
    ----------
    probability
        ``(height, width)``, 0 to 1.
    contrast
        ``(height, width)``, relative contrast of the frame.
    candidacy
        What may be a particle.

    Returns
    -------
    Candidates
        Labels in the order of `corroscope.segmentation.particles.find_particles`.

    Examples
    --------
    >>> probability, contrast = np.zeros((2, 20, 40), np.float32)
    >>> probability[5:8, 5:8] = 0.9
    >>> probability[5:8, 15:18] = 0.4
    >>> contrast[2:11, 22:31] = -0.5
    >>> look = Candidacy(
    ...     threshold=0.3, min_area_px=1, reach_px=20, sure=0.5, pit_contrast=-0.2, pit_px=7
    ... )
    >>> found = find_candidates(probability, contrast, look)
    >>> np.expm1(found.features[:, 1:]).round(1)  # 0.9 in 45 % of the square; a pit 5 px off
    array([[ 0., 15.],
           [ 2.,  5.]])
    """
    labels = find_particles(probability, candidacy.threshold, candidacy.min_area_px)
    count = int(labels.max(initial=0))
    if count == 0:
        return Candidates(labels, np.zeros((0, 3)))
    rows, columns = np.nonzero(labels)
    members = labels[rows, columns] - 1
    area = np.bincount(members, minlength=count)

    def mean_of(values: NDArray[Any]) -> NDArray[np.float64]:
        return np.asarray(np.bincount(members, weights=values, minlength=count) / area)

    mean = mean_of(probability[rows, columns])
    centres = np.column_stack([mean_of(rows), mean_of(columns)])
    company = _company(mean, centres, labels.shape, candidacy)
    off_px = np.full(count, float(candidacy.reach_px))
    np.minimum.at(off_px, members, _from_pits(contrast, candidacy)[rows, columns])
    bounded = np.clip(mean, SUREST, 1 - SUREST)
    logit = np.log(bounded / (1 - bounded))
    return Candidates(labels, np.column_stack([logit, np.log1p(company), np.log1p(off_px)]))


def _company(
    mean: NDArray[np.float64],
    centres: NDArray[np.float64],
    shape: tuple[int, ...],
    candidacy: Candidacy,
) -> NDArray[np.float64]:
    reach_px = candidacy.reach_px
    near = KDTree(centres).query_pairs(reach_px, p=np.inf, output_type="ndarray")
    counted = np.where(mean > candidacy.sure, mean, 0.0)
    company = np.zeros(len(mean))
    for one, other in (near.T, near.T[::-1]):
        company += np.bincount(one, counted[other], len(mean))
    seen = np.minimum(centres + reach_px, shape) - np.maximum(centres - reach_px, 0)
    return np.asarray(company * (2 * reach_px) ** 2 / seen.prod(axis=1))


def _from_pits(contrast: NDArray[np.float32], candidacy: Candidacy) -> NDArray[np.float32]:
    """Distance from the nearest pit, in px, up to the reach; 0 inside."""
    smooth = cv2.GaussianBlur(contrast, (0, 0), SMOOTHING_PX)
    dark = (smooth < candidacy.pit_contrast).astype(np.uint8)
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (candidacy.pit_px, candidacy.pit_px))
    pits = cv2.morphologyEx(dark, cv2.MORPH_OPEN, disk)
    if not pits.any():
        return np.full(contrast.shape, candidacy.reach_px, np.float32)
    off_px = cv2.distanceTransform(1 - pits, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(np.minimum(off_px, np.float32(candidacy.reach_px)))


def keep(candidates: Candidates, rescoring: Rescoring, min_area_px: int = 1) -> NDArray[np.int32]:
    """Judge candidates once more, and drop those that are not kept.

    Parameters
    ----------
    candidates
        What may be particles.
    rescoring
        How they are judged.
    min_area_px
        Those with fewer pixels are dropped, too.

    Returns
    -------
    ndarray of int32
        ``(height, width)``, those that are kept, counted anew in the same order.

    Examples
    --------
    >>> rescoring = Rescoring(
    ...     threshold=0.3, min_area_px=1, reach_px=20, sure=0.5, pit_contrast=-0.2, pit_px=7,
    ...     weights=(1, 1, 0), intercept=0, decision=0.5,
    ... )
    >>> features = np.array([[-1.0, 0, 9], [-1, 2, 9]])
    >>> keep(Candidates(np.array([[1, 0, 2]], np.int32), features), rescoring)
    array([[0, 0, 1]], dtype=int32)
    """
    logit = candidates.features @ np.array(rescoring.weights) + rescoring.intercept
    areas = np.bincount(candidates.labels.ravel(), minlength=len(logit) + 1)[1:]
    likely = logit >= np.log(rescoring.decision / (1 - rescoring.decision))
    kept = likely & (areas >= min_area_px)
    numbers = np.zeros(len(kept) + 1, np.int32)
    numbers[1:] = np.where(kept, np.cumsum(kept), 0)
    return np.asarray(numbers[candidates.labels])


def find_rescored(
    probability: NDArray[np.float32],
    contrast: NDArray[np.float32],
    rescoring: Rescoring,
    min_area_px: int = 1,
) -> NDArray[np.int32]:
    """Find the particles of a single frame: candidates that are kept when judged once more.

    Parameters
    ----------
    probability
        ``(height, width)``, 0 to 1.
    contrast
        ``(height, width)``, relative contrast of the frame.
    rescoring
        How they are judged.
    min_area_px
        Particles with fewer pixels are dropped in the end; as others' company they still count.

    Returns
    -------
    ndarray of int32
        ``(height, width)``; 0 is background, particles are 1, 2, ….

    References
    ----------
    That detections are judged once more by what else is found in the image is the contextual
    rescoring of P. F. Felzenszwalb, R. B. Girshick, D. McAllester and D. Ramanan, *Object
    Detection with Discriminatively Trained Part-Based Models*, IEEE Transactions on Pattern
    Analysis and Machine Intelligence 32 (2010) 1627–1645, doi:10.1109/TPAMI.2009.167.

    Examples
    --------
    >>> rescoring = Rescoring(
    ...     threshold=0.3, min_area_px=1, reach_px=20, sure=0.5, pit_contrast=-0.2, pit_px=7,
    ...     weights=(1, 1, 0), intercept=0, decision=0.5,
    ... )
    >>> probability, contrast = np.zeros((2, 20, 40), np.float32)
    >>> probability[5:8, 15:18] = 0.4
    >>> find_rescored(probability, contrast, rescoring).max()
    np.int32(0)
    >>> probability[5:8, 5:8] = 0.9
    >>> find_rescored(probability, contrast, rescoring).max()
    np.int32(2)
    """
    return keep(find_candidates(probability, contrast, rescoring), rescoring, min_area_px)
