"""Fitting the click network: what it learns from, and that the same seed gives the same one."""

import numpy as np
import torch

from corroscope.annotation.click_network import ClickNetwork
from corroscope.annotation.instances import Instance
from corroscope.annotation.surroundings import CENTRE, PLANES
from corroscope.learning.clicks import (
    click_samples,
    fit_click_network,
    simulated_clicks,
    to_onnx,
    whole_particles,
)
from corroscope.learning.dataset import Patch


def _patch() -> Patch:
    frame = np.random.default_rng(0).normal(150, 4, (120, 120)).astype(np.float32)
    mask = np.zeros((120, 120), bool)
    for row, col, size in ((20, 20, 3), (60, 80, 5), (90, 30, 10), (0, 50, 4), (117, 117, 3)):
        mask[row : row + size, col : col + size] = True
    frame[mask] = 60
    return Patch("a.png", frame, mask)


def test_particles_at_the_border_are_not_clicked() -> None:
    assert [one.corner_px for one in whole_particles(_patch())] == [(20, 20), (60, 80), (90, 30)]


def test_clicks_fall_into_the_middle_and_stay_in_the_image(rng: np.random.Generator) -> None:
    bent = Instance.of(np.array([[1, 1, 1], [1, 0, 0], [1, 0, 0]], bool), corner_px=(0, 0))
    still = simulated_clicks(bent, (9, 9), 2, rng, jitter_px=0)
    assert bent.mask[tuple(still[0].astype(int))]
    jittered = simulated_clicks(bent, (9, 9), 500, rng)
    assert jittered.min() >= 0
    assert 0.5 < jittered[:, 1].std() < 1.2


def test_samples_hold_the_clicked_particle_alone(rng: np.random.Generator) -> None:
    samples = click_samples([_patch()], rng, clicks=2)
    # Three particles, two clicks each; the large one at half the resolution, too.
    assert samples.planes.shape == (8, PLANES, 24, 24)
    assert samples.target.shape == (8, 24, 24)
    assert (samples.target[:, CENTRE, CENTRE] > 0).all()
    areas = samples.target.sum(axis=(1, 2))
    assert areas[:4].tolist() == [9, 9, 25, 25]
    np.testing.assert_allclose(areas[6:], 100 / 4)


def test_the_same_seed_gives_the_same_network(rng: np.random.Generator) -> None:
    samples = click_samples([_patch()], rng, clicks=6)
    before = torch.random.get_rng_state()
    first, again = (to_onnx(fit_click_network(samples, seed=3, epochs=2)) for _ in range(2))
    assert torch.equal(torch.random.get_rng_state(), before)
    planes = samples.planes
    np.testing.assert_array_equal(
        ClickNetwork(first).belonging(planes), ClickNetwork(again).belonging(planes)
    )


def test_it_learns_what_belongs_to_the_particle(rng: np.random.Generator) -> None:
    samples = click_samples([_patch()], rng, clicks=16)
    network = fit_click_network(samples, epochs=250)
    found = ClickNetwork(to_onnx(network)).belonging(samples.planes)
    inside = samples.target > 0.5
    assert found[inside].mean() > 0.8
    assert found[~inside].mean() < 0.2
