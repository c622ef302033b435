"""Whether the company of a particle tells what a single frame does not: if it is one at all.

    python benchmarks/company.py DATASET --maps build/experiments/NAME

``NAME`` is a row that `experiments.py` has judged. What the network takes for a particle is
judged again by a logistic regression of two numbers: the mean probability of its pixels, and
how much the network is sure of nearby. Where there are many products a doubtful speck is one more
likely than where there are none: early in a run most specks are old. Each fold is judged by a
regression, a threshold of probability and a threshold of what comes out that were all chosen on
other surface, the last with regressions of folds within these.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from sklearn.linear_model import LogisticRegression

from corroscope.learning.clusters import clusters_of
from corroscope.learning.dataset import Patch, read_dataset
from corroscope.learning.judge import Judged, nested_counts
from corroscope.learning.surfaces import shared_surface, surface_folds
from corroscope.scoring.bootstrap import difference_intervals
from corroscope.scoring.counts import Counts, count
from corroscope.scoring.matching import match
from corroscope.scoring.scores import scores
from corroscope.segmentation.particles import find_particles

FOLDS: Final = 5
REACH_PX: Final = 100
"""Half the side of the square about a particle in which others are its company."""
SURE: Final = 0.5
"""Mean probability from which others count, each by it."""
LOWEST: Final = (0.25, 0.3, 0.35, 0.4)
SMALLEST_PX: Final = 5
DECISIONS: Final = tuple(np.round(np.arange(0.25, 0.75, 0.05), 2).tolist())
KINDS: Final = {"probability": [0], "probability and company": [0, 1]}
SHOWN: Final = ("dice", "particle_f1_iou30", "particle_f1_3px", "particle_precision",
                "particle_recall", "count_bias")  # fmt: skip


class Found(NamedTuple):
    """What a network takes for particles in a patch.

    Attributes
    ----------
    fold
        In which the patch is judged.
    labels
        ``(height, width)``.
    features
        ``(particles, 2)``: logit of the mean probability, logarithm of 1 + company.
    right
        ``(particles,)`` bool, which are annotated.
    mask
        What was annotated.
    """

    fold: int
    labels: NDArray[np.int32]
    features: NDArray[np.float64]
    right: NDArray[np.bool_]
    mask: NDArray[np.bool_]


def main() -> None:
    """Print what a second look is worth, for networks once and in eight ways."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--maps", type=Path, required=True, help="a row's folder")
    chosen = parser.parse_args()
    patches = read_dataset(chosen.dataset)
    shared = shared_surface(patches)
    splits = surface_folds(shared, FOLDS)
    order = [i for _, judged in splits for i in judged]
    folds = [fold for fold, (_, judged) in enumerate(splits) for _ in judged]
    among = shared[np.ix_(order, order)]
    labels = clusters_of(among).labels.tolist()
    for way in ("once", "turned"):
        maps: dict[str, NDArray[np.float32]] = {}
        for fold in range(FOLDS):
            maps |= np.load(chosen.maps / f"fold{fold}" / f"{way}.npz")
        probabilities = [maps[str(i)] for i in order]
        rows = [patches[i] for i in order]
        plain = nested_counts(Judged(rows, probabilities, folds), among)
        print(f"\n{way}")
        print_row("operating point", plain)
        for name, columns in KINDS.items():
            counts, weights = second_look(rows, probabilities, folds, columns)
            print_row(f"{name} {weights}", counts)
            bounds = difference_intervals(plain, counts, labels, np.random.default_rng(0))
            for score in ("dice", "particle_f1_iou30", "particle_f1_3px"):
                low, high = bounds[score]
                print(f"    {score}: difference, 95 % interval {low:+.3f} to {high:+.3f}")


def print_row(name: str, counts: Sequence[Counts]) -> None:
    """A line of pooled scores."""
    values = scores(sum(counts, Counts()))
    print(f"  {name:40}" + "  ".join(f"{score} {values[score]:.3f}" for score in SHOWN))


def second_look(
    patches: Sequence[Patch],
    probabilities: Sequence[NDArray[np.float32]],
    folds: Sequence[int],
    columns: Sequence[int],
) -> tuple[list[Counts], str]:
    """Counts of each patch, and the weights of the last fold's regression."""
    found = {
        lowest: [
            look(patch, probability, fold, lowest)
            for patch, probability, fold in zip(patches, probabilities, folds, strict=True)
        ]
        for lowest in LOWEST
    }
    counts: list[Counts] = []
    weights = ""
    for fold in range(FOLDS):
        tried = []
        for lowest, all_found in found.items():
            learnt = [one for one in all_found if one.fold != fold]
            within = [
                (one, decide(one, regression([f for f in learnt if f.fold != one.fold], columns)))
                for one in learnt
            ]
            for decision in DECISIONS:
                pooled = scores(sum((kept(one, p >= decision) for one, p in within), Counts()))
                value = pooled["dice"] + pooled["particle_f1_iou30"]
                tried.append((value, lowest, decision))
        _, lowest, decision = max(tried)
        fitted = regression([one for one in found[lowest] if one.fold != fold], columns)
        weights = str(fitted[0].coef_[0].round(2).tolist())
        counts += [
            kept(one, decide(one, fitted) >= decision) for one in found[lowest] if one.fold == fold
        ]
    return counts, weights


def look(patch: Patch, probability: NDArray[np.float32], fold: int, lowest: float) -> Found:
    """Find what may be particles, and their company."""
    labels = find_particles(probability, lowest, SMALLEST_PX)
    numbers = np.arange(1, labels.max() + 1)
    mean = np.atleast_1d(ndimage.mean(probability, labels, numbers)).astype(np.float64)
    centres = np.array(ndimage.center_of_mass(labels > 0, labels, numbers)).reshape(-1, 2)
    apart = np.abs(centres[:, None] - centres[None]).max(axis=2)
    near = (apart <= REACH_PX) & ~np.eye(len(numbers), dtype=bool)
    sure = np.where(mean > SURE, mean, 0)
    size = np.array(labels.shape)
    seen = np.minimum(centres + REACH_PX, size) - np.maximum(centres - REACH_PX, 0)
    company = near @ sure * (2 * REACH_PX) ** 2 / seen.prod(axis=1)
    surely = np.clip(mean, 1e-3, 1 - 1e-3)
    features = np.column_stack([np.log(surely / (1 - surely)), np.log1p(company)])
    matched = match(labels > 0, patch.mask)
    right = np.zeros(len(numbers), bool)
    for one in matched.iou_30.predicted:
        right[labels[matched.predicted.labels == one + 1][0] - 1] = True
    return Found(fold, labels, features, right, patch.mask)


_Fitted = tuple[LogisticRegression, list[int]]


def regression(found: Sequence[Found], columns: Sequence[int]) -> _Fitted:
    """Fit which are right."""
    features = np.concatenate([one.features for one in found])[:, columns]
    right = np.concatenate([one.right for one in found])
    return LogisticRegression(C=0.3).fit(features, right), list(columns)


def decide(found: Found, fitted: _Fitted) -> NDArray[np.float64]:
    """How likely each is right."""
    model, columns = fitted
    if not len(found.features):
        return np.zeros(0)
    likely: NDArray[np.float64] = model.predict_proba(found.features[:, columns])[:, 1]
    return likely


def kept(found: Found, which: NDArray[np.bool_]) -> Counts:
    """Counts of those that are kept."""
    return count(np.concatenate([[False], which])[found.labels], found.mask)


if __name__ == "__main__":
    main()
