"""Particles judged once more by their company: what that is, and whether it is fitted honestly."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from corroscope.learning.dataset import Patch
from corroscope.learning.judge import Choice, Judged, choice_of, choose, judge, nested_choices
from corroscope.learning.operating_points import POINTS, best_point, dice_and_f1
from corroscope.learning.rescore import Look, fit_rescoring, look_at
from corroscope.scoring.counts import Counts, count
from corroscope.segmentation.bundle import load_bundle
from corroscope.segmentation.card import render_model_card
from corroscope.segmentation.particles import OperatingPoint, find_particles
from corroscope.segmentation.rescoring import Rescoring, find_candidates, find_rescored
from corroscope.segmentation.segmenter import Segmenter

BY_COMPANY = Rescoring(
    threshold=0.3, min_area_px=5, reach_px=100, sure=0.5, pit_contrast=-0.15, pit_px=9,
    weights=(1.5, 1.2, 0.3), intercept=-5.4, decision=0.5,
)  # fmt: skip
FLAT = np.zeros((240, 280), np.float32)
APART = np.eye(16, dtype=bool)


def scattered(rng: np.random.Generator, size: int = 240) -> NDArray[np.float32]:
    """Squares of 3 px on a grid, each of a probability of its own."""
    probability = np.zeros((size, size + 40), np.float32)
    for row, column in product(range(4, size - 4, 14), range(5, size + 30, 15)):
        if rng.random() < 0.6:
            probability[row : row + 3, column : column + 3] = rng.uniform(0.1, 0.99)
    return probability


@pytest.mark.parametrize("reach_px", [7, 40, 1000])
def test_company_is_what_is_sure_in_a_square_for_its_share_of_the_frame(
    rng: np.random.Generator, reach_px: int
) -> None:
    probability = scattered(rng)
    height, width = probability.shape
    found = find_candidates(
        probability, FLAT, BY_COMPANY.model_copy(update={"min_area_px": 1, "reach_px": reach_px})
    )
    ones = [
        (rows.mean(), columns.mean(), float(probability[rows[0], columns[0]]))
        for rows, columns in (
            np.nonzero(found.labels == label) for label in range(1, found.labels.max() + 1)
        )
    ]
    assert len(ones) > 80
    company = []
    for number, (y, x, _) in enumerate(ones):
        others = sum(
            p
            for other, (v, u, p) in enumerate(ones)
            if other != number and p > 0.5 and max(abs(v - y), abs(u - x)) <= reach_px
        )
        inside = (min(y + reach_px, height) - max(y - reach_px, 0)) * (
            min(x + reach_px, width) - max(x - reach_px, 0)
        )
        company.append(others * (2 * reach_px) ** 2 / inside)
    assert np.expm1(found.features[:, 1]) == pytest.approx(company, rel=1e-6)
    logits = [np.log(p / (1 - p)) for *_, p in ones]
    assert found.features[:, 0] == pytest.approx(np.clip(logits, -6.9068, 6.9068), abs=1e-4)


def test_a_pit_is_dark_and_wide(rng: np.random.Generator) -> None:
    probability = np.zeros(FLAT.shape, np.float32)
    for column in (20, 60, 200):
        probability[50:53, column : column + 3] = 0.6
    contrast = rng.normal(0, 0.01, FLAT.shape).astype(np.float32)
    contrast[20:80, 100:102] = -0.8  # a scratch
    contrast[40:60, 30:50] = -0.1  # a stain
    assert find_candidates(probability, contrast, BY_COMPANY).features[:, 2] == pytest.approx(
        np.log1p([100, 100, 100])
    )
    contrast[45:60, 75:90] = -0.4
    off_px = np.expm1(find_candidates(probability, contrast, BY_COMPANY).features[:, 2])
    assert off_px == pytest.approx([75 - 22, 75 - 62, 100], abs=1.01)
    probability[50:53, 80:83] = 0.6
    off_px = np.expm1(find_candidates(probability, contrast, BY_COMPANY).features[:, 2])
    assert off_px[2] == 0


def test_what_is_kept_is_what_the_formula_says(rng: np.random.Generator) -> None:
    probability = scattered(rng)
    candidates = find_candidates(probability, FLAT, BY_COMPANY)
    logit = candidates.features @ [1.5, 1.2, 0.3] - 5.4
    expected = np.isin(candidates.labels, 1 + np.flatnonzero(logit >= 0))
    found = find_rescored(probability, FLAT, BY_COMPANY)
    assert 0 < found.max() < candidates.labels.max()
    assert ((found > 0) == expected).all()
    # Counted anew, in the order of rows.
    firsts = [int(np.flatnonzero(found == k)[0]) for k in range(1, found.max() + 1)]
    assert firsts == sorted(firsts)
    stricter = find_rescored(probability, FLAT, BY_COMPANY.model_copy(update={"decision": 0.9}))
    assert 0 < stricter.max() < found.max()


def test_the_smallest_area_drops_in_the_end(rng: np.random.Generator) -> None:
    probability = scattered(rng)
    probability[4:9, 5:8] = 0.95  # 15 px
    found = find_rescored(probability, FLAT, BY_COMPANY, 12)
    assert found.max() == 1
    assert (found == 1).sum() == 15


def test_nothing_and_all() -> None:
    nothing = np.zeros((30, 30), np.float32)
    assert find_rescored(nothing, nothing, BY_COMPANY).max() == 0
    assert find_candidates(nothing, nothing, BY_COMPANY).features.shape == (0, 3)
    assert find_rescored(nothing + 1, nothing, BY_COMPANY).min() == 1


def test_a_bundle_judges_single_frames_once_more(rng: np.random.Generator) -> None:
    probability = scattered(rng)
    own = load_bundle()
    bundle = replace(own, card=own.card.model_copy(update={"rescoring": BY_COMPANY}))
    segmenter = Segmenter(bundle)
    rescored = find_rescored(probability, FLAT, BY_COMPANY)
    plain = find_particles(probability, *segmenter.operating_point)
    assert (rescored != plain).any()
    assert (segmenter.find(probability, FLAT, compared=False) == rescored).all()
    assert (segmenter.find(probability, FLAT, compared=True) == plain).all()
    for given in (
        Segmenter(bundle, threshold=own.card.threshold, peak=own.card.peak),
        Segmenter(bundle, peak=own.card.peak),
    ):
        assert (given.find(probability, FLAT, compared=False) == plain).all()
    small = Segmenter(bundle, min_area_px=12)
    assert small.find(probability, FLAT, compared=False).max() == 0


def test_a_call_with_a_reference_is_not_judged_once_more(rng: np.random.Generator) -> None:
    own = load_bundle()
    none = BY_COMPANY.model_copy(update={"intercept": -1000.0})
    segmenter = Segmenter(replace(own, card=own.card.model_copy(update={"rescoring": none})))
    frame = np.full((96, 96), 180, np.uint8) + rng.integers(0, 3, (96, 96), np.uint8)
    before = np.zeros((96, 96), np.float32)
    frame[40:47, 40:47] = 90
    assert len(segmenter(frame).particles) == 0
    assert len(segmenter(frame, before).particles) == 1


def test_the_card_tells() -> None:
    card = load_bundle().card
    text = render_model_card(card.model_copy(update={"rescoring": BY_COMPANY}))
    assert "1.50 · logit(p) +1.20 · log(1 + c) +0.30 · log(1 + d) -5.40 is the logit of 0.5" in text
    assert "; chosen and used with a reference\n" in text
    alone = render_model_card(card.model_copy(update={"rescoring": BY_COMPANY, "channels": 1}))
    assert "used where a threshold is given" in alone
    without = render_model_card(card.model_copy(update={"rescoring": None}))
    assert "- Without a reference, candidates" not in without


# Fitting


def crowds(rng: np.random.Generator, *, telling: bool) -> Judged:
    """Patches, crowded ones and empty ones, in four folds; the same doubtful squares in all.

    Where company tells, doubtful ones are right in crowded patches alone; else a coin decides.
    """
    patches, probabilities, folds = [], [], []
    for number in range(16):
        probability = np.zeros((224, 224), np.float32)
        mask = np.zeros((224, 224), bool)
        crowded = number % 2 == 0
        for row, column in product(range(10, 210, 28), repeat=2):
            square = np.s_[row : row + 4, column : column + 4]
            kind = rng.random()
            if crowded and kind < 0.5:
                probability[square], mask[square] = 0.9, True
            elif kind > 0.8:
                probability[square] = rng.uniform(0.4, 0.6)
                mask[square] = crowded if telling else rng.random() < 0.5
        patches.append(Patch(f"{number}.png", np.zeros((224, 224), np.uint8), mask))
        probabilities.append(probability)
        folds.append(number // 4)
    return Judged(patches, probabilities, folds, [np.zeros((224, 224), np.float32)] * 16)


def looks_of(judged: Judged) -> list[Look]:
    assert judged.looks is not None
    return judged.looks


def test_company_is_used_where_it_tells(rng: np.random.Generator) -> None:
    judged = crowds(rng, telling=True)
    metrics = judge(judged, APART, np.random.default_rng(0))
    at = POINTS.index(best_point(judged.counts_at_points))
    plain = dice_and_f1(sum((counts[at] for counts in judged.counts_at_points), Counts()))
    found = metrics["scores"]["dice"] + metrics["scores"]["particle_f1_iou30"]
    assert found > 1.97 > plain + 0.05  # even though it was chosen on other patches
    rescoring = choice_of(metrics).rescoring
    assert rescoring is not None
    assert rescoring.weights[1] > 0.5
    assert metrics["rescoring"] == rescoring.model_dump()
    assert all(choice.rescoring for choice in nested_choices(judged, APART).values())


def test_company_is_not_used_where_it_tells_nothing(rng: np.random.Generator) -> None:
    judged = crowds(rng, telling=False)
    metrics = judge(judged, APART, np.random.default_rng(0))
    assert metrics["rescoring"] is None
    assert choice_of(metrics) == Choice(choice_of(metrics).point)


def test_a_patch_has_no_say_in_how_it_is_judged(rng: np.random.Generator) -> None:
    judged = crowds(rng, telling=True)
    before = nested_choices(judged, APART)
    other = [
        replace(patch, mask=rng.random(patch.mask.shape) > 0.5) if fold == 2 else patch
        for patch, fold in zip(judged.patches, judged.folds, strict=True)
    ]
    after = nested_choices(replace(judged, patches=other), APART)
    assert [fold for fold in before if before[fold] == after[fold]] == [2]


def test_what_is_ignored_is_not_learnt_from(rng: np.random.Generator) -> None:
    judged = crowds(rng, telling=True)
    hidden = np.zeros((224, 224), bool)
    hidden[:100] = True
    unknown = [replace(patch, ignored=hidden) for patch in judged.patches]
    wrong = [replace(patch, mask=patch.mask ^ hidden, ignored=hidden) for patch in judged.patches]
    fitted = [
        fit_rescoring(look_at(patches, judged.probabilities, [FLAT[:224, :224]] * 16))
        for patches in (unknown, wrong)
    ]
    assert fitted[0] is not None
    assert fitted[0] == fitted[1]
    assert fitted[0] != fit_rescoring(looks_of(judged))


def test_without_folds_or_without_both_kinds_there_is_none(rng: np.random.Generator) -> None:
    judged = crowds(rng, telling=True)
    assert choose(judged, APART, range(4)).rescoring is None
    assert choose(judged, APART, range(8)).rescoring is not None
    together = np.ones((16, 16), bool)
    assert choose(judged, together, range(16)).rescoring is None
    right = [replace(patch, mask=patch.mask | (p > 0)) for patch, p in
             zip(judged.patches, judged.probabilities, strict=True)]  # fmt: skip
    assert fit_rescoring(looks_of(replace(judged, patches=right))) is None
    assert choose(replace(judged, patches=right), APART, range(16)).rescoring is None
    assert fit_rescoring([]) is None


def test_weights_are_those_of_all_and_the_decision_is_not_chosen(rng: np.random.Generator) -> None:
    judged = crowds(rng, telling=True)
    chosen = choose(judged, APART, range(16)).rescoring
    assert chosen is not None
    assert chosen == fit_rescoring(looks_of(judged))
    assert chosen.decision == 0.5
    fewer = choose(judged, APART, range(12)).rescoring
    assert fewer is not None
    assert fewer.weights != chosen.weights


def test_looks_count_as_the_segmenter_finds(rng: np.random.Generator) -> None:
    judged = crowds(rng, telling=True)
    fitted = fit_rescoring(looks_of(judged))
    assert fitted is not None
    choice = Choice(OperatingPoint(0.5, 1), fitted)
    for number, (patch, look) in enumerate(zip(judged.patches, looks_of(judged), strict=True)):
        assert look.count(fitted) == count(judged.found(number, choice), patch.mask)
