"""Fits how candidates are judged once more by what is around them, on folds of surface."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from corroscope.learning.dataset import Patch
from corroscope.learning.operating_points import best_of
from corroscope.scoring.counts import Counts, count
from corroscope.scoring.matching import match
from corroscope.segmentation.rescoring import (
    Candidacy,
    Candidates,
    Rescoring,
    find_candidates,
    keep,
)

THRESHOLDS: Final = (0.25, 0.3, 0.35, 0.4)
"""Probabilities of candidates' pixels that are tried."""
DECISIONS: Final = tuple(round(0.05 * k, 2) for k in range(5, 15))
"""Probabilities from which one is kept that are tried."""
SMALLEST_PX: Final = 5
REACH_PX: Final = 100
SURE: Final = 0.5
PIT_CONTRAST: Final = -0.15
PIT_PX: Final = 9
"""Larger than most particles, and so dark as few of them are: what fits is a pit or a bubble."""
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
    _counted: dict[bytes, Counts] = field(default_factory=dict)

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

    def count(self, kept: NDArray[np.bool_]) -> Counts:
        """Count with some of the candidates; each choice of them once.

        Parameters
        ----------
        kept
            ``(candidates,)``, which are taken.

        Returns
        -------
        Counts
            As `corroscope.scoring.counts.count`.
        """
        key = kept.tobytes()
        if key not in self._counted:
            found = keep(self.candidates, kept) > 0
            self._counted[key] = count(found, self.patch.mask, self.patch.ignored)
        return self._counted[key]


Looks = dict[float, list[Look]]
"""For each of `THRESHOLDS` a look at every patch."""


class _Fitted(NamedTuple):
    """A logistic regression: ``logit = features · weights + intercept``."""

    weights: NDArray[np.float64]
    intercept: float

    def likely(self, look: Look) -> NDArray[np.float64]:
        logit = look.candidates.features @ self.weights + self.intercept
        likely: NDArray[np.float64] = 1 / (1 + np.exp(-logit))
        return likely


def look_at(
    patches: Sequence[Patch],
    probabilities: Sequence[NDArray[np.float32]],
    contrasts: Sequence[NDArray[np.float32]],
) -> Looks:
    """Find the candidates of all patches.

    Parameters
    ----------
    patches
        Patches that the network was not trained on.
    probabilities, contrasts
        ``(height, width)`` for each: of a particle at each pixel; relative contrast.

    Returns
    -------
    Looks
        At each threshold.
    """
    return {
        threshold: [
            Look(patch, find_candidates(probability, contrast, _candidacy(threshold)))
            for patch, probability, contrast in zip(patches, probabilities, contrasts, strict=True)
        ]
        for threshold in THRESHOLDS
    }


def _candidacy(threshold: float) -> Candidacy:
    return Candidacy(
        threshold=threshold,
        min_area_px=SMALLEST_PX,
        reach_px=REACH_PX,
        sure=SURE,
        pit_contrast=PIT_CONTRAST,
        pit_px=PIT_PX,
    )


def choose_rescoring(
    looks: Looks, folds: Sequence[int], shared: NDArray[np.bool_], among: Sequence[int]
) -> tuple[float, Rescoring] | None:
    """Fit the weights, and choose threshold and decision by `best_of`.

    Threshold and decision are chosen by what regressions say of folds with which they share no
    surface; the regression of the threshold that is chosen is then fitted on all.

    Parameters
    ----------
    looks
        Of all patches.
    folds
        For each patch the number of its fold.
    shared
        ``(n, n)``, which of the patches share surface.
    among
        Indices of the patches to choose by.

    Returns
    -------
    highest : float
        The highest sum of Dice and particle F1.
    rescoring : Rescoring
        What is chosen. None instead of both where there are fewer than two folds, or at each
        threshold some regression has nothing right or nothing wrong to be fitted on.
    """
    numbers = sorted({folds[i] for i in among})
    if len(numbers) < 2:
        return None
    tried: list[tuple[Counts, tuple[float, float]]] = []
    for threshold, at_threshold in looks.items():
        likely: list[tuple[Look, NDArray[np.float64]]] = []
        for number in numbers:
            inside = [i for i in among if folds[i] == number]
            near = np.any(shared[inside], axis=0, keepdims=True)[0]
            fitted = _fit([at_threshold[i] for i in among if folds[i] != number and not near[i]])
            if fitted is None:
                break
            likely += [(at_threshold[i], fitted.likely(at_threshold[i])) for i in inside]
        else:
            tried += [
                (
                    sum((look.count(p >= decision) for look, p in likely), Counts()),
                    (threshold, decision),
                )
                for decision in DECISIONS
            ]
    if not tried:
        return None
    highest, (threshold, decision) = best_of(tried)
    fitted = _fit([looks[threshold][i] for i in among])
    assert fitted is not None, "without one of the folds there was enough to fit"
    return highest, Rescoring(
        **dict(_candidacy(threshold)),
        weights=tuple(fitted.weights.tolist()),
        intercept=fitted.intercept,
        decision=decision,
    )


def _fit(looks: Sequence[Look]) -> _Fitted | None:
    """Fit which candidates are right; None where all or none are."""
    if not looks:
        return None
    features = np.concatenate([look.candidates.features[look.known] for look in looks])
    right = np.concatenate([look.right[look.known] for look in looks])
    if right.all() or not right.any():
        return None
    fitted = LogisticRegression(C=PENALTY).fit(features, right)
    return _Fitted(fitted.coef_[0], float(fitted.intercept_[0]))
