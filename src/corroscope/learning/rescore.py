"""Fits how candidates are judged once more by what is around them.

Only weights are fitted. From which probability of its pixels something may be a particle, and from
which of its own it is kept, could be chosen as well: on a few pieces of surface that is mostly
chance (`docs/experiments.md`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from corroscope.learning.dataset import Patch
from corroscope.scoring.counts import Counts, count
from corroscope.scoring.matching import match
from corroscope.segmentation.rescoring import (
    Candidacy,
    Candidates,
    Rescoring,
    find_candidates,
    keep,
)

CANDIDACY: Final = Candidacy(
    threshold=0.3, min_area_px=5, reach_px=100, sure=0.5, pit_contrast=-0.15, pit_px=9
)
"""A pit is larger than most particles, and so dark as few of them are."""
DECISION: Final = 0.5
"""What is more likely a particle than not is kept: as many as there are, if probabilities hold."""
PENALTY: Final = 0.3
"""Inverse strength of the ridge penalty on the weights."""


@dataclass(frozen=True)
class Look:
    """The candidates of a patch, beside what was annotated.

    Attributes
    ----------
    patch
        The patch.
    candidates
        What may be particles.
    """

    patch: Patch
    candidates: Candidates

    @cached_property
    def right(self) -> NDArray[np.bool_]:
        """``(candidates,)``, which of them match an annotated particle at IoU ≥ 0.3."""
        labels = self.candidates.labels
        matched = match(labels > 0, self.patch.mask, self.patch.ignored)
        right = np.zeros(len(self.candidates.features), bool)
        for one in matched.iou_30.predicted:
            right[labels[matched.predicted.labels == one + 1].max() - 1] = True
        return right

    @cached_property
    def known(self) -> NDArray[np.bool_]:
        """``(candidates,)``, of which it is known whether they are right: none is ignored."""
        known = np.ones(len(self.candidates.features), bool)
        if self.patch.ignored is not None:
            touching = np.unique(self.candidates.labels[self.patch.ignored])
            known[touching[touching > 0] - 1] = False
        return known

    def count(self, rescoring: Rescoring) -> Counts:
        """Count with the candidates that are kept when judged once more.

        Parameters
        ----------
        rescoring
            How they are judged.

        Returns
        -------
        Counts
            As `corroscope.scoring.counts.count`.
        """
        found = keep(self.candidates, rescoring) > 0
        return count(found, self.patch.mask, self.patch.ignored)


def look_at(
    patches: Sequence[Patch],
    probabilities: Sequence[NDArray[np.float32]],
    contrasts: Sequence[NDArray[np.float32]],
) -> list[Look]:
    """Find the candidates of all patches.

    Parameters
    ----------
    patches
        Patches that the network was not trained on.
    probabilities, contrasts
        ``(height, width)`` for each: of a particle at each pixel; relative contrast.

    Returns
    -------
    list of Look
        For each patch.
    """
    return [
        Look(patch, find_candidates(probability, contrast, CANDIDACY))
        for patch, probability, contrast in zip(patches, probabilities, contrasts, strict=True)
    ]


def fit_rescoring(looks: Sequence[Look]) -> Rescoring | None:
    """Fit the weights by what is right among candidates.

    Parameters
    ----------
    looks
        Of patches that the network was not trained on.

    Returns
    -------
    Rescoring or None
        None where all candidates or none are right: there is nothing to be fitted.

    Examples
    --------
    >>> features = np.array([[-1.0, 0, 4], [-1, 3, 4], [1, 0, 4], [1, 3, 4]])
    >>> mask = np.array([[0, 1, 0, 1, 0, 1, 0, 1]], bool)
    >>> candidates = Candidates(np.cumsum(mask, dtype=np.int32)[None] * mask, features)
    >>> annotated = np.array([[0, 0, 0, 1, 0, 0, 0, 1]], bool)
    >>> look = Look(Patch("a.png", np.zeros((1, 8), np.uint8), annotated), candidates)
    >>> fit_rescoring([look]).weights[1] > 0.5
    True
    """
    features = [look.candidates.features[look.known] for look in looks]
    right = np.concatenate([np.zeros(0, bool), *(look.right[look.known] for look in looks)])
    if right.all() or not right.any():
        return None
    fitted = LogisticRegression(C=PENALTY).fit(np.concatenate(features), right)
    return Rescoring(
        **dict(CANDIDACY),
        weights=tuple(fitted.coef_[0].tolist()),
        intercept=float(fitted.intercept_[0]),
        decision=DECISION,
    )
