"""Particles, overlays and the segmenter."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from skimage.measure import regionprops_table

from corroscope.errors import SettingsError
from corroscope.learning.dataset import Patch
from corroscope.segmentation.bundle import load_bundle
from corroscope.segmentation.card import render_model_card
from corroscope.segmentation.overlay import draw_overlay
from corroscope.segmentation.particles import find_particles, measure_particles
from corroscope.segmentation.segmenter import Segmenter
from corroscope.synthesis.experiment import Scene

Writer = Callable[[str, NDArray[np.generic]], Path]


# Particles


@given(st.integers(0, 2**32 - 1), st.floats(0.02, 0.6))
def test_measures_are_those_of_scikit_image(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    probability = rng.random((37, 53), np.float32)
    contrast = -rng.random((37, 53), np.float32)
    labels = find_particles(probability, 1 - share, min_area_px=2)
    table = measure_particles(labels, contrast, probability)
    names = {
        "label": "particle", "centroid-0": "y_px", "centroid-1": "x_px", "area": "area_px",
        "equivalent_diameter_area": "equivalent_diameter_px",
        "intensity_mean-0": "contrast", "intensity_mean-1": "score",
        "bbox-0": "bbox_top_px", "bbox-1": "bbox_left_px",
        "bbox-2": "bbox_bottom_px", "bbox-3": "bbox_right_px",
    }  # fmt: skip
    properties = sorted({name.split("-")[0] for name in names})
    expected = regionprops_table(labels, np.stack([-contrast, probability], -1), properties)
    assert len(table) == labels.max()
    for theirs, ours in names.items():
        assert np.allclose(table[ours], expected[theirs], atol=1e-4), ours


def test_eccentricity_is_that_of_the_drawn_ellipse() -> None:
    for long, short in ((8, 8), (12, 8), (20, 5)):
        labels = np.zeros((64, 64), np.int32)
        cv2.ellipse(labels, (32, 32), (long, short), 30, 0, 360, 1, -1)
        table = measure_particles(labels, labels.astype(np.float32), labels.astype(np.float32))
        drawn = np.sqrt(1 - (short + 0.5) ** 2 / (long + 0.5) ** 2)
        assert abs(table["eccentricity"][0] - drawn) < 0.04


def test_labels_count_rows_first_and_leave_no_gap() -> None:
    probability = np.zeros((10, 10), np.float32)
    probability[8:10, 0:2] = probability[5, 5] = probability[0:2, 7:9] = 1
    labels = find_particles(probability, 0.5, min_area_px=2)
    assert (labels[0, 7], labels[8, 0], labels[5, 5]) == (1, 2, 0)


def test_a_peak_tells_whether_and_the_threshold_how_far() -> None:
    probability = np.zeros((12, 12), np.float32)
    probability[1:4, 1:4] = 0.4
    probability[2, 2] = 0.9
    probability[7:10, 7:10] = 0.55
    both = find_particles(probability, 0.3, 1)
    assert both.max() == 2
    for peak in (0.0, 0.2, 0.55):  # at its own peak a particle stays
        assert np.array_equal(find_particles(probability, 0.3, 1, float(np.float32(peak))), both)
    sure = find_particles(probability, 0.3, 1, 0.6)
    assert np.array_equal(sure, both * (both == 1))
    assert not find_particles(probability, 0.3, 1, 0.95).any()
    assert not find_particles(np.zeros((5, 5), np.float32), 0.3, 1, 0.95).any()


def test_the_peak_belongs_to_the_bundles_own_threshold() -> None:
    """Whoever asks for another threshold is not given fewer particles by a peak."""
    shipped = load_bundle()
    bundle = replace(shipped, card=shipped.card.model_copy(update={"peak": 0.8}))
    own = (shipped.card.threshold, shipped.card.min_area_px)
    assert Segmenter(bundle).operating_point == (*own, 0.8)
    assert Segmenter(bundle, min_area_px=3).operating_point == (own[0], 3, 0.8)
    assert Segmenter(bundle, threshold=0.2).operating_point == (0.2, own[1], 0.0)
    assert Segmenter(bundle, threshold=0.2, peak=0.7).operating_point == (0.2, own[1], 0.7)
    assert Segmenter(bundle, peak=0.0).operating_point == (*own, 0.0)
    assert "at least one of them ≥ 0.8" in render_model_card(bundle.card)
    lower = shipped.card.model_copy(update={"peak": 0.1})
    assert "at least one of them" not in render_model_card(lower)


def test_no_particle() -> None:
    empty = np.zeros((20, 20), np.float32)
    labels = find_particles(empty, 0.5, 1)
    assert not labels.any()
    assert len(measure_particles(labels, empty, empty)) == 0


# The overlay


@pytest.mark.parametrize("ground", [5, 60, 120, 200, 250])
def test_outline_stands_out_by_lightness_on_any_ground(ground: int) -> None:
    mask = np.zeros((30, 30), bool)
    mask[14:17, 14:17] = True
    overlay = draw_overlay(np.full(mask.shape, ground, np.uint8), mask)
    lightness = cv2.cvtColor(overlay, cv2.COLOR_RGB2LAB)[..., 0].astype(float) / 2.55
    ring = np.abs(lightness - lightness[0, 0]).max()
    assert ring > 30
    assert (overlay[mask] == ground).all()


def test_overlay_of_16_bits_uses_the_whole_range() -> None:
    frame = np.linspace(1000, 3000, 10_000).reshape(100, 100).astype(np.uint16)
    overlay = draw_overlay(frame, np.zeros(frame.shape, bool))
    assert (overlay.min(), overlay.max()) == (0, 255)


def test_overlay_of_a_constant_frame() -> None:
    assert not draw_overlay(np.ones((20, 20), np.float32), np.zeros((20, 20), bool)).any()


# The segmenter


@pytest.mark.parametrize("shape", [(16, 16), (17, 16), (16, 333), (225, 223), (720, 31)])
def test_any_size(shape: tuple[int, int]) -> None:
    found = Segmenter()(np.full(shape, 120, np.uint8))
    assert found.probability.shape == found.labels.shape == shape
    assert np.isfinite(found.probability).all()


def test_8_and_16_bits_alike(crowded: Callable[[tuple[int, int], int], Scene]) -> None:
    made = crowded((160, 160), 2)
    segmenter = Segmenter(precision="f32")
    eight = segmenter(made.frame).probability
    sixteen = segmenter(made.frame.astype(np.uint16) * 16).probability
    assert np.abs(eight - sixteen).max() < 1e-3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": 0.0}, "threshold 0: must lie between 0 and 1"),
        ({"threshold": 1.5}, "threshold 1.5: must lie between 0 and 1"),
        ({"min_area_px": 0}, "min_area_px 0: must be 1 or more"),
        ({"peak": -0.1}, "peak -0.1: must be 0 or more and less than 1"),
        ({"peak": 1.0}, "peak 1: must be 0 or more and less than 1"),
    ],
)
def test_settings_out_of_range(options: dict[str, float], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Segmenter(**options)  # type: ignore[arg-type]


def test_finds_what_the_annotator_drew(real_patches: list[Patch]) -> None:
    """Patches it was trained on: this guards the path, it is no measure of quality."""
    from corroscope.scoring.counts import Counts, count
    from corroscope.scoring.scores import scores

    segmenter = Segmenter()
    counts = (count(segmenter(p.frame).labels > 0, p.mask) for p in real_patches)
    assert scores(sum(counts, Counts()))["dice"] > 0.7
