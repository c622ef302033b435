"""What a network's probabilities are worth against what the annotator drew."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from corroscope.learning.clusters import clusters_of
from corroscope.learning.dataset import Patch
from corroscope.learning.operating_points import (
    NEARLY,
    POINTS,
    best_point,
    counts_at_points,
    dice_and_f1,
    point_of,
)
from corroscope.learning.rescore import Look, fit_rescoring, look_at
from corroscope.learning.surfaces import surface_groups
from corroscope.scoring.bootstrap import intervals
from corroscope.scoring.calibration import (
    BINS,
    Reliability,
    expected_calibration_error,
    reliability,
)
from corroscope.scoring.counts import Counts, count
from corroscope.scoring.scores import scores
from corroscope.segmentation.particles import OperatingPoint, find_particles
from corroscope.segmentation.rescoring import Rescoring, find_rescored

UNCHOSEN: Final = OperatingPoint(0.5, 1)


class Choice(NamedTuple):
    """How particles are found in single frames.

    Attributes
    ----------
    point
        The operating point.
    rescoring
        How candidates are judged once more, instead; None where that is worth nothing.
    """

    point: OperatingPoint
    rescoring: Rescoring | None = None

    def find(
        self, probability: NDArray[np.float32], contrast: NDArray[np.float32]
    ) -> NDArray[np.int32]:
        """Label particles.

        Parameters
        ----------
        probability, contrast
            ``(height, width)``: of a particle at each pixel; relative contrast.

        Returns
        -------
        ndarray of int32
            ``(height, width)``, 0 for background.
        """
        if self.rescoring is None:
            return find_particles(probability, *self.point)
        return find_rescored(probability, contrast, self.rescoring)


@dataclass(frozen=True)
class Judged:
    """Probabilities of patches that the network was not trained on.

    Attributes
    ----------
    patches
        The patches, with their masks.
    probabilities
        ``(height, width)`` for each.
    folds
        For each patch the number of the fold in which it was predicted.
    contrasts
        ``(height, width)`` for each, relative contrast; None where candidates are not to be
        judged once more by what is around them.
    """

    patches: Sequence[Patch]
    probabilities: Sequence[NDArray[np.float32]]
    folds: Sequence[int]
    contrasts: Sequence[NDArray[np.float32]] | None = None

    @cached_property
    def counts_at_points(self) -> list[list[Counts]]:
        """For each patch its counts at each of `POINTS`: seconds, asked for several times."""
        return counts_at_points(self.patches, self.probabilities)

    @cached_property
    def looks(self) -> list[Look] | None:
        """The candidates of each patch, where there are contrasts."""
        if self.contrasts is None:
            return None
        return look_at(self.patches, self.probabilities, self.contrasts)

    def found(self, number: int, choice: Choice) -> NDArray[np.bool_]:
        """Find particles in a patch.

        Parameters
        ----------
        number
            Of the patch.
        choice
            How they are found.

        Returns
        -------
        ndarray of bool
            ``(height, width)``.
        """
        probability = self.probabilities[number]
        if self.contrasts is None:
            return find_particles(probability, *choice.point) > 0
        return choice.find(probability, self.contrasts[number]) > 0


def choose(judged: Judged, shared: NDArray[np.bool_], among: Sequence[int]) -> Choice:
    """Choose how particles are found.

    Candidates are judged once more only where that raises the sum of Dice and particle F1 by more
    than `corroscope.learning.operating_points.NEARLY`: of folds for which both, weights and
    operating point, come from other surface.

    Parameters
    ----------
    judged, shared
        As for `nested_choices`.
    among
        Indices of those to choose by.

    Returns
    -------
    Choice
        Operating point and weights are those that all of them together give.
    """
    point = best_point([judged.counts_at_points[i] for i in among])
    looks = judged.looks
    if looks is None or len({judged.folds[i] for i in among}) < 2:
        return Choice(point)
    at_point, once_more = Counts(), Counts()
    for inside, others in _folds(judged.folds, shared, among):
        fitted = fit_rescoring([looks[i] for i in others])
        if fitted is None:
            return Choice(point)
        once_more += sum((looks[i].count(fitted) for i in inside), Counts())
        other = POINTS.index(best_point([judged.counts_at_points[i] for i in others]))
        at_point += sum((judged.counts_at_points[i][other] for i in inside), Counts())
    if dice_and_f1(once_more) <= dice_and_f1(at_point) + NEARLY:
        return Choice(point)
    return Choice(point, fit_rescoring([looks[i] for i in among]))


def _folds(
    folds: Sequence[int], shared: NDArray[np.bool_], among: Sequence[int]
) -> Iterator[tuple[list[int], list[int]]]:
    """Patches of each fold, and those that share no surface with them."""
    for number in sorted({folds[i] for i in among}):
        inside = [i for i in among if folds[i] == number]
        near = np.any(shared[inside], axis=0, keepdims=True)[0]
        yield inside, [i for i in among if folds[i] != number and not near[i]]


def nested_choices(judged: Judged, shared: NDArray[np.bool_]) -> dict[int, Choice]:
    """For each fold the choice in which its own patches had no say.

    Parameters
    ----------
    judged
        Patches with their predictions.
    shared
        ``(n, n)``, which of the patches share surface.

    Returns
    -------
    dict of int to Choice
        Chosen on patches that share no surface with those of the fold; 0.5 and 1 px where there
        are none.
    """
    return {
        judged.folds[inside[0]]: choose(judged, shared, others) if others else Choice(UNCHOSEN)
        for inside, others in _folds(judged.folds, shared, range(len(judged.folds)))
    }


def nested_counts(judged: Judged, shared: NDArray[np.bool_]) -> list[Counts]:
    """Counts of each patch, found by the choice that `nested_choices` makes for its fold.

    Parameters
    ----------
    judged, shared
        As for `nested_choices`.

    Returns
    -------
    list of Counts
        For each patch.
    """
    return _counts(judged, nested_choices(judged, shared))


def _counts(judged: Judged, choices: Mapping[int, Choice]) -> list[Counts]:
    return [
        count(judged.found(number, choices[fold]), patch.mask, patch.ignored)
        for number, (patch, fold) in enumerate(zip(judged.patches, judged.folds, strict=True))
    ]


def judge(judged: Judged, shared: NDArray[np.bool_], rng: np.random.Generator) -> dict[str, Any]:
    """Pooled scores with intervals, and how a bundle should find particles.

    Each fold is scored with what was chosen on patches that share no surface
    with it, so that nothing on them has a say in the threshold they are judged with.
    Where there are none, as with a single fold, the scores are at threshold 0.5,
    without dropping any particle.

    Parameters
    ----------
    judged
        Patches with their predictions.
    shared
        ``(n, n)``, which of the patches share surface.
    rng
        For the bootstrap.

    Returns
    -------
    dict
        ``threshold``, ``min_area_px``, ``peak`` and ``rescoring`` (None where it is worth
        nothing, or was in half of the folds) chosen on all; ``scores`` and ``intervals_95``;
        ``calibration_error``, the expected calibration error near objects; ``patches`` and
        ``surfaces`` (their numbers); and how it was done in ``method``.
    """
    point, rescoring = choose(judged, shared, range(len(judged.patches)))
    folds = set(judged.folds)
    choices = nested_choices(judged, shared)
    twice = sum(choice.rescoring is not None for choice in choices.values())
    if 2 * twice <= len(folds):
        rescoring = None  # the scores would be those of something else
    counts = _counts(judged, choices)
    clusters = clusters_of(shared)
    if len(folds) > 1:
        method = (
            f"{len(folds)} folds, each judged by a network and an operating point that were "
            "chosen on other surface"
        )
        if twice:
            method += f"; in {twice} of them candidates were judged once more, as fitted there"
    else:
        method = "patches on surface not used for training, at threshold 0.5"
    return {
        **point._asdict(),
        "rescoring": None if rescoring is None else rescoring.model_dump(),
        "scores": finite(scores(sum(counts, Counts()))),
        "intervals_95": finite_bounds(intervals(counts, clusters.labels.tolist(), rng)),
        "calibration_error": finite_or_none(expected_calibration_error(near_objects(judged))),
        "patches": len(judged.patches),
        "surfaces": len(set(surface_groups(shared).tolist())),
        "method": f"{method}; intervals by resampling {clusters.words}",
    }


def choice_of(metrics: Mapping[str, Any]) -> Choice:
    """The choice that is written down in metrics.

    Parameters
    ----------
    metrics
        As from `judge`; ``rescoring`` may be missing.

    Returns
    -------
    Choice
        The same.

    Examples
    --------
    >>> choice_of({"threshold": 0.4, "min_area_px": 7, "peak": 0.6}).rescoring is None
    True
    """
    rescoring = metrics.get("rescoring")
    return Choice(
        point_of(metrics), None if rescoring is None else Rescoring.model_validate(rescoring)
    )


def near_objects(judged: Judged) -> Reliability:
    """Sort the pixels near objects by the probability that was predicted.

    Parameters
    ----------
    judged
        Patches with their predictions.

    Returns
    -------
    Reliability
        Sum over the patches.
    """
    return sum(
        (
            reliability(probability, patch.mask, patch.ignored)
            for patch, probability in zip(judged.patches, judged.probabilities, strict=True)
        ),
        Reliability(*np.zeros((3, BINS), np.int64)),
    )


def finite(values: dict[str, float]) -> dict[str, float | None]:
    """Scores as JSON can hold them: rounded, undefined ones as None.

    Parameters
    ----------
    values
        Scores by name.

    Returns
    -------
    dict of str to float or None
        The same, to four digits.

    Examples
    --------
    >>> finite({"dice": 0.70711, "recall": float("nan")})
    {'dice': 0.7071, 'recall': None}
    """
    return {name: finite_or_none(value) for name, value in values.items()}


def finite_bounds(bounds: Mapping[str, tuple[float, float]]) -> dict[str, list[float | None]]:
    """Bounds as JSON can hold them: rounded, undefined ones as None.

    Parameters
    ----------
    bounds
        Lower and upper bound by name of the score.

    Returns
    -------
    dict of str to list
        The same, to four digits.

    Examples
    --------
    >>> finite_bounds({"dice": (0.5, float("nan"))})
    {'dice': [0.5, None]}
    """
    return {
        name: [finite_or_none(low), finite_or_none(high)] for name, (low, high) in bounds.items()
    }


def finite_or_none(value: float) -> float | None:
    """A number to four digits, or None for NaN.

    Parameters
    ----------
    value
        The number.

    Returns
    -------
    float or None
        What JSON can hold.
    """
    return round(value, 4) if np.isfinite(value) else None
