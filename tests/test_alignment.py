"""Drift, gain and light of frames against a reference, and drift through time."""

import csv
import itertools
from collections import defaultdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage
from skimage.registration import phase_cross_correlation

from corroscope.errors import FrameError
from corroscope.frames.alignment import Aligner
from corroscope.frames.drift import follow_drift
from corroscope.frames.light import difference, flat_field, match_light
from corroscope.frames.reading import read_frame
from corroscope.frames.resampling import shift_frame
from corroscope.synthesis.experiment import Experiment
from corroscope.synthesis.settings import make_synth_settings

Image = NDArray[Any]


def periodic_metal(seed: int, side: int = 160) -> NDArray[np.float64]:
    """Stripes in one direction and some grain, band-limited and periodic."""
    rng = np.random.default_rng(seed)
    spectrum = np.fft.fft2(rng.normal(size=(side, side)))
    fy, fx = np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side)[None]
    along = np.abs(fy * 0.8 + fx * 0.6)
    band = np.exp(-((np.hypot(fy, fx) / 0.2) ** 2)) * (np.exp(-((along / 0.02) ** 2)) + 0.2)
    metal = np.fft.ifft2(spectrum * band).real
    return np.asarray(200 + 4 * metal / metal.std())


def fourier_shifted(image: Image, dy: float, dx: float) -> NDArray[np.float64]:
    shifted = ndimage.fourier_shift(np.fft.fft2(image), (dy, dx))
    return np.asarray(np.fft.ifft2(shifted).real)


def with_noise(image: Image, seed: int) -> NDArray[np.uint8]:
    noise = np.random.default_rng(seed).normal(0, 2.5, image.shape)
    return np.asarray(np.clip(np.rint(image + noise), 0, 255), np.uint8)


def with_discs(frame: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    changed, hidden = frame.copy(), np.zeros(frame.shape, np.uint8)
    while hidden.mean() < 0.05:
        radius = int(np.clip(rng.lognormal(1.2, 0.8), 1, 30))
        centre = (int(rng.integers(frame.shape[1])), int(rng.integers(frame.shape[0])))
        cv2.circle(changed, centre, radius, int(rng.integers(20, 150)), -1)
        cv2.circle(hidden, centre, radius, 1, -1)
    return changed


def matched_share(reference: Image, frame: Image, shift: Image, particles: Image) -> float:
    """Energy left of the difference after alignment and light, outside particles."""
    aligned, covered = shift_frame(reference, float(shift[0]), float(shift[1]))
    field, _ = match_light(frame, aligned, covered)
    left = covered & (cv2.dilate(particles.astype(np.uint8), np.ones((5, 5), np.uint8)) == 0)
    plain = (frame.astype(float) - reference)[left]
    return float((difference(frame, aligned, field)[left] ** 2).mean() / (plain**2).mean())


# Shifts


# The same shifts always: the error's SD is 0.016 px, so that of new ones some exceed the bound.
@examples(max_examples=25, derandomize=True)
@given(st.floats(-6, 6), st.floats(-6, 6), st.integers(0, 1000))
def test_a_known_sub_pixel_shift_is_measured(dy: float, dx: float, seed: int) -> None:
    metal = periodic_metal(seed)
    frame = 0.93 * fourier_shifted(metal, dy, dx)
    found = Aligner(with_noise(metal, seed)).measure(with_noise(frame, seed + 10_000))
    assert found.aligned
    assert abs(found.dy_px - dy) <= min(0.05, 4.5 * found.sigma_px)
    assert abs(found.dx_px - dx) <= min(0.05, 4.5 * found.sigma_px)
    assert found.sigma_px < 0.03


def test_sigma_is_the_error_that_repeated_measurements_make() -> None:
    metal = periodic_metal(1)
    aligner = Aligner(with_noise(metal, 1))
    found = [aligner.measure(with_noise(metal, seed)) for seed in range(2, 42)]
    # The reference's noise is the same in all, which is about half of the variance.
    scatter = np.std([[f.dy_px, f.dx_px] for f in found], axis=0)
    along = float(np.hypot(*scatter)) * np.sqrt(2)
    assert 0.5 < np.median([f.sigma_px for f in found]) / along < 2


def test_the_sign_says_where_the_picture_went(rng: np.random.Generator) -> None:
    metal = ndimage.gaussian_filter(rng.normal(0, 30, (300, 300)), 1.2) + 200
    found = Aligner(metal[50:250, 50:250]).measure(metal[43:243, 62:262])
    assert (round(found.dy_px, 1), round(found.dx_px, 1)) == (7.0, -12.0)
    moved, covered = shift_frame(metal[50:250, 50:250], found.dy_px, found.dx_px)
    assert np.abs(moved - metal[43:243, 62:262])[covered].max() < 1


def test_a_quarter_of_the_side_is_found(rng: np.random.Generator) -> None:
    metal = ndimage.gaussian_filter(rng.normal(0, 30, (900, 900)), 1.2) + 200
    frames = metal[:700, :700], metal[160:860, 170:870]
    found = Aligner(frames[0]).measure(frames[1])
    assert found.aligned
    assert np.abs(np.add(found[:2], (160, 170))).max() < 0.05


def test_near_reaches_further_than_the_search(rng: np.random.Generator) -> None:
    metal = ndimage.gaussian_filter(rng.normal(0, 30, (200, 320)), 1.2) + 200
    aligner, frame = Aligner(metal[:, :200]), metal[:, 110:310]
    assert not aligner.measure(frame).aligned
    found = aligner.measure(frame, near=(2, -105))
    assert found.aligned
    assert np.abs(np.add(found[:2], (0, 110))).max() < 0.05


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_synthetic_drift_with_changed_pixels(seed: int) -> None:
    changes = {"frames": 5, "height_px": 256, "width_px": 256, "seed": seed}
    rng = np.random.default_rng(seed)
    scenes = Experiment(make_synth_settings(changes)).scenes()
    aligner = Aligner(with_discs(next(scenes).frame, rng))
    errors = [
        np.subtract(aligner.measure(with_discs(scene.frame, rng))[:2], scene.drift_px)
        for scene in scenes
    ]
    assert float(np.sqrt(np.square(errors).sum(axis=1).mean())) <= 0.1


def test_large_frames_agree_with_an_independent_measurement() -> None:
    metal = periodic_metal(3, 1300)
    frame = fourier_shifted(metal, 3.3, -1.7)
    found = Aligner(with_noise(metal, 0)).measure(with_noise(frame, 1))
    other, *_ = phase_cross_correlation(metal, frame, upsample_factor=20)
    assert np.abs(np.array(found[:2]) + other).max() <= 0.05


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32, np.float64])
def test_grey_levels_of_any_type(dtype: type) -> None:
    metal = periodic_metal(2)
    scale = 1 if dtype == np.uint8 else 100
    frames: list[Image] = [
        (image * float(scale)).astype(dtype)
        for image in (with_noise(metal, 0), with_noise(fourier_shifted(metal, 1.25, -0.5), 1))
    ]
    found = Aligner(frames[0]).measure(frames[1])
    assert np.abs(np.array(found[:2]) - [1.25, -0.5]).max() <= 0.05


@pytest.mark.parametrize("kind", ["blank", "saturated", "covered", "other", "half"])
def test_what_cannot_be_aligned_is_said(kind: str, rng: np.random.Generator) -> None:
    frame = {
        "blank": np.zeros((160, 160), np.uint8),
        "saturated": np.full((160, 160), 255, np.uint8),
        "covered": np.asarray(rng.poisson(3, (160, 160)), np.uint8),
        "other": with_noise(periodic_metal(5), 5),
        "half": np.where(np.arange(160) < 90, 255, with_noise(periodic_metal(5), 5)),
    }[kind]
    found = Aligner(with_noise(periodic_metal(4), 4)).measure(frame)
    assert not found.aligned
    assert np.isnan([found.dy_px, found.dx_px]).all()
    assert np.isinf(found.sigma_px)


def test_what_is_no_grey_frame_is_refused() -> None:
    metal = with_noise(periodic_metal(0), 0)
    with pytest.raises(FrameError, match=r"shape \(160, 160, 3\); give one grey frame"):
        Aligner(np.repeat(metal[..., None], 3, axis=2))
    with pytest.raises(FrameError, match="at least 32×32 px"):
        Aligner(metal[:20])
    with pytest.raises(FrameError, match="complex128; give integers or floating"):
        Aligner(metal.astype(complex))
    with pytest.raises(FrameError, match="no texture at all"):
        Aligner(np.full((64, 64), 200, np.uint8))
    with pytest.raises(FrameError, match="the frame is 100×160 px, the reference 160×160 px"):
        Aligner(metal).measure(metal[:100])
    with pytest.raises(FrameError, match="NaN or infinite"):
        Aligner(metal).measure(np.full((160, 160), np.nan))
    with pytest.raises(FrameError, match="near .* leave it out"):
        Aligner(metal).measure(metal, near=(np.nan, 0))


def test_a_moved_frame_is_the_fourier_shifted_one() -> None:
    metal = periodic_metal(6)
    for dy, dx in itertools.product((0, 2.3, -0.5), (-3.75, 0.1)):
        moved, covered = shift_frame(metal, dy, dx)
        inner = (slice(10, -10), slice(10, -10))
        assert np.abs(moved - fourier_shifted(metal, dy, dx))[inner].max() < 0.3
        lost = int(np.ceil(abs(dy))), int(np.ceil(abs(dx)))
        assert covered.sum() == (160 - lost[0]) * (160 - lost[1])


def test_whole_shifts_change_no_value(rng: np.random.Generator) -> None:
    image = rng.integers(0, 65535, (40, 50), dtype=np.uint16)
    moved, covered = shift_frame(image, -3, 45)
    assert moved.dtype == np.float32
    assert np.array_equal(moved[:37, 45:], image[3:, :5])
    assert covered.sum() == 37 * 5
    assert not shift_frame(image, 1000, 0)[1].any()


def test_an_unaligned_shift_moves_nothing() -> None:
    with pytest.raises(FrameError, match="give a frame that was aligned"):
        shift_frame(np.zeros((40, 40)), np.nan, 0)


# Real patches


def views(folder: Path) -> list[tuple[str, Image, str, Image, Image]]:
    with (folder / "index.csv").open(newline="") as lines:
        return [
            (
                row["time_fraction"],
                np.array([int(row["y0_px"]), int(row["x0_px"])]),
                row["surface_group"],
                read_frame(folder / row["image"]),
                read_frame(folder / row["mask"]) > 0,
            )
            for row in csv.DictReader(lines)
        ]


def test_real_pairs_of_one_surface_agree_on_the_drift(real_folder: Path) -> None:
    drifts, left = defaultdict(list), []
    for a, b in itertools.permutations(views(real_folder), 2):
        offset = a[1] - b[1]
        if a[2] != b[2] or a[0] >= b[0] or np.abs(offset).sum() > 100:
            continue
        found = Aligner(a[3]).measure(b[3], near=(float(offset[0]), float(offset[1])))
        assert found.aligned
        drifts[a[0], b[0]].append(np.array(found[:2]) - offset)
        if not offset.any():
            left.append(matched_share(a[3], b[3], np.array(found[:2]), a[4] | b[4]))
    for shifts in drifts.values():
        away = np.hypot(*(np.array(shifts) - np.median(shifts, axis=0)).T)
        assert np.median(away) <= 0.3
    assert len(drifts) == 6
    assert np.median(left) <= 0.5
    drift = np.median(drifts["0.25", "0.95"], axis=0)
    assert np.abs(drift - (-3.7, -1.4)).max() < 0.3


def test_real_patches_of_unlike_surface_are_not_aligned(real_folder: Path) -> None:
    unlike = [(a, b) for a, b in itertools.permutations(views(real_folder), 2) if a[2] != b[2]]
    for a, b in unlike[::10]:
        assert not Aligner(a[3]).measure(b[3]).aligned


# Light


def test_gain_and_slow_illumination_are_recovered(rng: np.random.Generator) -> None:
    metal = ndimage.gaussian_filter(rng.normal(0, 12, (300, 400)), 1) + 200
    y, x = np.mgrid[-1:1:300j, -1:1:400j]
    truth = 0.94 * (1 + 0.04 * y - 0.03 * x + 0.02 * x * x)
    frame = with_discs(with_noise(metal * truth, 0), rng)
    field, gain = match_light(frame, metal, np.ones(metal.shape, bool))
    assert np.abs(field - truth).max() < 0.01
    assert abs(gain - np.median(truth)) < 0.005
    assert field.dtype == np.float32
    clean = difference(with_noise(metal * truth, 0), metal, field)
    assert abs(float(clean.mean())) < 1
    assert float(clean.std()) < 3.5


def test_uncovered_pixels_do_not_count(rng: np.random.Generator) -> None:
    metal = rng.normal(200, 5, (120, 160))
    covered = np.ones(metal.shape, bool)
    covered[:, :30] = False
    reference = np.where(covered, metal, 1e4)
    field, gain = match_light(0.9 * metal, reference, covered)
    assert abs(gain - 0.9) < 1e-3
    assert np.abs(field - 0.9).max() < 1e-2


def test_light_of_nothing_in_common_is_refused() -> None:
    bright, dark = np.full((64, 64), 200.0), np.zeros((64, 64))
    everywhere = np.ones((64, 64), bool)
    for frame, reference, covered in (
        (dark, bright, everywhere),
        (bright, dark, everywhere),
        (bright, bright, ~everywhere),
    ):
        with pytest.raises(FrameError, match="no bright pixel in common"):
            match_light(frame, reference, covered)
    with pytest.raises(FrameError, match="the reference .*give both in one size"):
        match_light(bright, bright[:32], everywhere)
    with pytest.raises(FrameError, match="the covered area .*give both in one size"):
        match_light(bright, bright, everywhere[:32])


def test_synthetic_difference_keeps_little_but_noise() -> None:
    """Of a run without pits and products, drift and gain are all that there is to remove."""
    still = {"frames": 3, "pits": {"per_mpx": 0, "fewest": 0}, "bubbles": {"per_mpx": 0}}
    first, *_, last = Experiment(make_synth_settings(still, "tiny")).scenes()
    shift = np.array(Aligner(first.frame).measure(last.frame)[:2])
    assert matched_share(first.frame, last.frame, shift, first.mask) <= 0.2
    moved, covered = shift_frame(first.frame, float(shift[0]), float(shift[1]))
    assert abs(match_light(last.frame, moved, covered)[1] - last.gain) < 0.003


def test_flat_field_makes_even(rng: np.random.Generator) -> None:
    lamp = 100 + 100 * np.linspace(0, 1, 80)[None].repeat(60, axis=0)
    metal = rng.uniform(0.5, 1, (60, 80))
    corrected = flat_field((lamp * metal + 10).astype(np.uint16), lamp + 10, np.full((60, 80), 10))
    assert corrected.dtype == np.float32
    assert np.abs(corrected - 150 * metal).max() < 1.6
    assert np.allclose(flat_field(lamp, lamp), 150, atol=1e-3)


def test_flat_field_that_does_not_fit_is_refused() -> None:
    frame = np.full((40, 50), 100.0)
    flat = frame.copy()
    flat[3, 4] = 5
    with pytest.raises(FrameError, match="the flat field .*give both in one size"):
        flat_field(frame, flat[:20])
    with pytest.raises(FrameError, match="the dark .*give both in one size"):
        flat_field(frame, flat, flat[:20])
    with pytest.raises(FrameError, match="^1 pixels of the flat field are not brighter"):
        flat_field(frame, flat, np.full((40, 50), 5))


def test_difference_needs_positive_gain_and_one_size() -> None:
    frame = np.full((40, 50), 100.0)
    gain = np.ones((40, 50), np.float32)
    with pytest.raises(FrameError, match="not above 0"):
        difference(frame, frame, 0 * gain)
    with pytest.raises(FrameError, match="the gain field .*give both in one size"):
        difference(frame, frame, gain[:9])


# Drift through time


def curved(frames: int = 30, noise_px: float = 0.02) -> tuple[Image, Image, Image]:
    """Times, true drift and its measurement."""
    rng = np.random.default_rng(3)
    time = np.arange(frames) + rng.uniform(-0.3, 0.3, frames)
    part = (time - time[0]) / (time[-1] - time[0])
    truth = np.column_stack([4 * part**0.7, -3 * part**2])
    return time, truth, truth + rng.normal(0, noise_px, truth.shape)


def followed(time: Image, place: Image, sigma: float = 0.02, aligned: Image | None = None) -> Any:
    good = np.ones(len(time), bool) if aligned is None else aligned
    return follow_drift(time, place[:, 0], place[:, 1], np.full(len(time), sigma), good)


@pytest.mark.parametrize("noise_px", [0.02, 0.1])
def test_smoothed_drift_is_no_worse_than_measured(noise_px: float) -> None:
    time, truth, place = curved(noise_px=noise_px)
    drift = followed(time, place, noise_px)
    smooth = np.column_stack([drift.dy_px, drift.dx_px])
    assert np.square(smooth - truth).mean() <= 0.8 * np.square(place - truth).mean()
    assert not drift.flagged.any()


def test_a_stage_that_trembles_is_not_smoothed() -> None:
    time, truth, _ = curved()
    truth = truth + np.random.default_rng(0).normal(0, 0.1, truth.shape)
    drift = followed(time, truth, 0.005)
    assert np.abs(np.column_stack([drift.dy_px, drift.dx_px]) - truth).max() < 0.01


def test_outliers_are_flagged_and_filled() -> None:
    time, truth, place = curved()
    place[[7, 8, 20]] += [[5, 0], [0, -9], [0.8, 0]]
    aligned = np.ones(30, bool)
    aligned[14] = False
    place[14] = np.nan
    drift = followed(time, place, aligned=aligned)
    assert np.flatnonzero(drift.flagged).tolist() == [7, 8, 14, 20]
    assert np.abs(np.column_stack([drift.dy_px, drift.dx_px]) - truth).max() < 0.1


def test_a_knocked_stage_stays_where_it_is() -> None:
    time, truth, place = curved()
    step = np.where(np.arange(30)[:, None] >= 17, [6.0, -2.0], 0)
    drift = followed(time, place + step)
    assert not drift.flagged.any()
    assert np.abs(np.column_stack([drift.dy_px, drift.dx_px]) - truth - step).max() < 0.1


def test_nothing_is_filled_across_a_step_a_gap_or_an_end() -> None:
    time, _, place = curved()
    step = np.where(np.arange(30)[:, None] >= 17, 6.0, 0)
    for bad, shift in (([16], step), ([0, 29], 0 * step), (range(10, 19), 0 * step)):
        aligned = np.ones(30, bool)
        aligned[list(bad)] = False
        drift = followed(time, place + shift, aligned=aligned)
        assert np.flatnonzero(np.isnan(drift.dy_px)).tolist() == list(bad)
        assert np.array_equal(drift.flagged, ~aligned)


def test_unknown_times_count_as_even() -> None:
    _, _, place = curved()
    time = np.arange(30.0)
    known = followed(time, place)
    time[4] = np.nan
    assert np.array_equal(followed(time, place).dy_px, known.dy_px)


@pytest.mark.parametrize("frames", [0, 1, 2, 3])
def test_short_runs_keep_what_was_measured(frames: int) -> None:
    place = np.arange(2.0 * frames).reshape(frames, 2) ** 2
    drift = followed(np.arange(frames), place)
    assert np.allclose(np.column_stack([drift.dy_px, drift.dx_px]), place, atol=0.01)
    assert not drift.flagged.any()


def test_simultaneous_frames_share_a_place() -> None:
    time, _, place = curved()
    drift = followed(np.repeat(time[::2], 2), np.repeat(place[::2], 2, axis=0))
    assert np.abs(np.diff(drift.dy_px)[::2]).max() < 0.01
    drift = followed(np.zeros(4), np.full((4, 2), 1.5))
    assert np.allclose(drift.dy_px, 1.5)


def test_drift_that_does_not_fit_together_is_refused() -> None:
    with pytest.raises(FrameError, match="give one value for each frame"):
        follow_drift([0, 1], [0, 0], [0, 0], [0.1], [True, True])
    with pytest.raises(FrameError, match="time falls after frame 1, from 3 to 2 s"):
        follow_drift([0, 3, 2], [0] * 3, [0] * 3, [0.1] * 3, [True] * 3)
