"""Transients, their association with events, and Faraday's law."""

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy.integrate import trapezoid

from corroscope.current.alloys import ALLOYS, find_alloy, make_alloy
from corroscope.current.association import associate
from corroscope.current.faraday import (
    Passive,
    compare_volumes,
    passive_current,
    stability_product,
)
from corroscope.current.record import Current, Source
from corroscope.current.transients import find_transients, noise_ua
from corroscope.errors import CurrentError
from corroscope.synthesis.current import pit_charge_uc, record_current
from corroscope.synthesis.pits import Pit, found_pits
from corroscope.synthesis.settings import make_synth_settings

SOURCE = Source("a.mpt", "BioLogic mpt", "", "utf-8", "time/s", "I/mA", "s", "mA", False)


def record(time_s: NDArray[np.float64], current_ua: NDArray[np.float64]) -> Current:
    return Current(time_s, current_ua, None, None, None, False, None, SOURCE, ())


def bumps(
    rng: np.random.Generator, begins_s: NDArray[np.float64], noise: float = 0.02
) -> tuple[Current, NDArray[np.float64]]:
    """Slow rises that fall off fast, as metastable pits make them, and the current alone."""
    time_s = np.arange(0, 300, 0.1)
    pure = np.zeros_like(time_s)
    for begin in begins_s:
        age = time_s - begin
        pure += np.where((age > 0) & (age < 2), 0.5 * age, 0)
    drifting = 2 + 0.002 * time_s
    return record(time_s, drifting + pure + noise * rng.standard_normal(len(time_s))), pure


def test_transients_are_found_with_their_charge(rng: np.random.Generator) -> None:
    begins = np.array([20.0, 75.0, 81.0, 200.0])
    current, _ = bumps(rng, begins)
    found = find_transients(current, window_s=20)
    assert len(found) == 4
    assert np.abs(found["start_s"] - begins).max() < 0.3
    assert np.abs(found["peak_s"] - begins - 1.95).max() < 0.15
    assert np.abs(found["duration_s"] - 2).max() < 0.4
    assert found["height_ua"].to_numpy() == pytest.approx(np.full(4, 1.0), abs=0.1)
    assert found["charge_uc"].to_numpy() == pytest.approx(np.full(4, 1.0), abs=0.12)


def test_the_charge_is_that_over_the_baseline() -> None:
    time_s = np.arange(0, 100, 0.5)
    over = np.maximum(3.0 - np.abs(time_s - 42), 0.0)
    found = find_transients(record(time_s, 1 + over), window_s=30)
    assert len(found) == 1
    assert found["charge_uc"][0] == pytest.approx(trapezoid(over, time_s), rel=0.05)


def test_no_transient_in_noise_or_drift(rng: np.random.Generator) -> None:
    time_s = np.arange(0, 300, 0.1)
    noise = record(time_s, 5 + 0.01 * time_s + 0.1 * rng.standard_normal(len(time_s)))
    assert find_transients(noise, window_s=20).empty
    assert find_transients(record(time_s, np.full(3000, 2.0)), window_s=20).empty
    assert find_transients(record(time_s[:2], np.array([1.0, 9.0])), window_s=20).empty


def test_a_transient_does_not_reach_across_a_gap(rng: np.random.Generator) -> None:
    time_s = np.concatenate([np.arange(0, 50, 0.1), np.arange(500, 550, 0.1)])
    values = 1 + 0.01 * rng.standard_normal(1000)
    values[490:510] += 2
    found = find_transients(record(time_s, values), window_s=10)
    assert len(found) == 2
    assert found["duration_s"].max() < 2


def test_short_ones_can_be_left_out(rng: np.random.Generator) -> None:
    current, _ = bumps(rng, np.array([20.0]))
    values = current.current_ua.copy()
    values[1500] += 5
    spiked = record(current.time_s, values)
    assert len(find_transients(spiked, window_s=20)) == 2
    assert len(find_transients(spiked, window_s=20, least_s=0.5)) == 1
    with pytest.raises(ValueError, match="both above 0"):
        find_transients(spiked, window_s=0)


def test_noise_is_not_moved_by_transients(rng: np.random.Generator) -> None:
    current, _ = bumps(rng, rng.uniform(0, 300, 20))
    assert noise_ua(current.current_ua) == pytest.approx(0.02, rel=0.1)
    assert np.isnan(noise_ua(np.zeros(2)))


def clustered(rng: np.random.Generator, clusters: int = 8) -> NDArray[np.float64]:
    """Events in bursts."""
    middles = rng.uniform(0, 600, clusters)
    return np.sort((middles[:, None] + rng.normal(0, 2, (clusters, 5))).ravel() % 600)


def test_chance_alone_is_seldom_significant() -> None:
    p_values = []
    for seed in range(400):
        rng = np.random.default_rng(seed)
        events, transients = clustered(rng), clustered(rng)
        p_values.append(associate(events, transients, (0, 600), 2.0, rng, shifts=99).p_value)
    # Binomial with 5 % of 400: 20 ± 4.4.
    assert 5 <= np.sum(np.asarray(p_values) <= 0.05) <= 36


def test_real_association_is_found(rng: np.random.Generator) -> None:
    events = clustered(rng)
    transients = events[::3] + rng.uniform(-0.5, 0.5, len(events[::3]))
    found = associate(events, transients, (0, 600), 1.0, rng, shifts=499)
    assert found.p_value < 0.02
    assert found.coincidences > 2 * found.expected
    assert found.shifts == 499


def test_coincidences_are_counted_on_the_circle(rng: np.random.Generator) -> None:
    events, transients = np.array([10.2, 50.0, 99.9, np.nan]), np.array([10.0, 60.0, 0.3, 120.0])
    found = associate(events, transients, (0, 100), 0.5, rng, shifts=9)
    assert (found.events, found.transients, found.coincidences) == (3, 3, 2)
    assert found.p_value >= 0.1


def test_nothing_to_associate(rng: np.random.Generator) -> None:
    found = associate(np.zeros(0), np.array([1.0]), (0, 10), 1.0, rng)
    assert np.isnan([found.p_value, found.expected]).all()
    for watched, window_s, shifts in (((0, 10), 0.0, 9), ((5, 5), 1.0, 9), ((0, 10), 1.0, 0)):
        with pytest.raises(ValueError, match="allowed"):
            associate(np.zeros(1), np.zeros(1), watched, window_s, rng, shifts=shifts)


# Faraday.


@pytest.mark.parametrize(
    ("name", "equivalent_weight"),
    # ASTM G102, table 1, elements at their lowest usual valence.
    [("304", 25.12), ("316", 25.50), ("430", 25.30), ("carbon steel", 27.92), ("7075", 9.58)],
)
def test_equivalent_weights_of_the_standard(name: str, equivalent_weight: float) -> None:
    assert find_alloy(name).equivalent_weight() == pytest.approx(equivalent_weight, abs=0.01)


def test_every_alloy_is_whole() -> None:
    for alloy in ALLOYS.values():
        assert sum(alloy.mass_fraction.values()) == pytest.approx(1, abs=1e-9)
        made = make_alloy(alloy.name, alloy.mass_fraction, alloy.valence, alloy.density_g_cm3)
        assert made.equivalent_weight() == alloy.equivalent_weight()


@pytest.mark.parametrize(
    ("fractions", "valence", "density", "message"),
    [
        ({}, {}, 8.0, "no element"),
        ({"Xx": 1.0}, {"Xx": 2}, 8.0, "element 'Xx' is unknown; known are Al, Co"),
        ({"Fe": 0.0}, {"Fe": 2}, 8.0, "fraction 0 of Fe"),
        ({"Fe": 70}, {"Fe": 2}, 8.0, "fraction 70 of Fe"),
        ({"Fe": 0.7}, {}, 8.0, "Fe has no valence"),
        ({"Fe": 0.7, "Cr": 0.5}, {"Fe": 2, "Cr": 3}, 8.0, "fractions add up to 1.2"),
        ({"Fe": 0.7}, {"Fe": 2}, 0.0, "density 0 g/cm³"),
    ],
)
def test_impossible_alloys(
    fractions: dict[str, float], valence: dict[str, int], density: float, message: str
) -> None:
    with pytest.raises(CurrentError, match=message):
        make_alloy("mine", fractions, valence, density)


def test_unknown_alloys() -> None:
    with pytest.raises(CurrentError, match="alloy 'brass' is unknown; give one of Fe, carbon"):
        find_alloy("brass")


def a_run() -> tuple[Current, NDArray[np.float64], pd.DataFrame, list[Pit], float]:
    settings = make_synth_settings(
        {"frames": 60, "height_px": 512, "width_px": 512, "seed": 3, "cell": {"lead_s": 20}}
    )
    rng = np.random.default_rng(3)
    pits = found_pits((512, 512), settings, rng)
    time_s, current_ua = record_current(pits, settings.cell, settings.duration_s, rng)
    frame_s = np.arange(60.0)
    rows = [
        {"pit": pit.number, "frame": k, "area_px": float(pit.area_px(t))}
        for pit in pits
        for k, t in enumerate(frame_s)
    ]
    return record(time_s, current_ua), frame_s, pd.DataFrame(rows), pits, settings.cell.passive_ua


def test_charge_and_volume_agree_where_they_must() -> None:
    current, frame_s, areas, pits, passive_ua = a_run()
    passive = passive_current(current, 0.0, min(pit.born_s for pit in pits))
    assert abs(passive.current_ua - passive_ua) < 4 * passive.sigma_ua
    assert "before the first birth" in passive.source
    found = compare_volumes(
        current, 0.0, frame_s, areas, passive, pixel_size_um=0.5, alloy=find_alloy("Fe")
    )
    assert found.ratio == pytest.approx(1, abs=0.03)
    assert found.ratio_low < 1 < found.ratio_high
    true_uc = sum(np.diff(pit_charge_uc(pit, frame_s[[0, -1]], 0.5))[0] for pit in pits)
    assert found.charge_uc[-1] == pytest.approx(true_uc, rel=0.03)
    steel = compare_volumes(
        current, 0.0, frame_s, areas, passive, pixel_size_um=0.5, alloy=find_alloy("316L")
    )
    assert steel.ratio > found.ratio  # the same charge dissolves less of it


def test_what_is_missing_is_told() -> None:
    current, frame_s, areas, _, _ = a_run()
    passive = passive_current(current, 0.0, 0.0, told_ua=2.0)
    assert (passive.current_ua, passive.sigma_ua, passive.source) == (2.0, 0.0, "told")
    for pixel, alloy, message in (
        (None, None, "without the pixel size and the alloy; give"),
        (None, find_alloy("Fe"), "without the pixel size; give"),
        (0.5, None, "without the alloy; give"),
    ):
        with pytest.raises(CurrentError, match=message):
            compare_volumes(current, 0.0, frame_s, areas, passive, pixel_size_um=pixel, alloy=alloy)
    with pytest.raises(CurrentError, match="covers 0 frames; two are needed"):
        compare_volumes(
            current, 1e4, frame_s, areas, passive, pixel_size_um=0.5, alloy=find_alloy("Fe")
        )
    with pytest.raises(CurrentError, match="has 0 samples before the first pit, 10 are needed"):
        passive_current(current, 0.0, -100.0)


def test_no_ratio_without_a_charge() -> None:
    current, frame_s, areas, _, _ = a_run()
    passive = Passive(1e3, 1.0, "told")
    found = compare_volumes(
        current, 0.0, frame_s, areas, passive, pixel_size_um=0.5, alloy=find_alloy("Fe")
    )
    assert np.isnan([found.ratio, found.ratio_low, found.ratio_high]).all()


def test_interval_of_the_ratio_equals_simulation(rng: np.random.Generator) -> None:
    current, frame_s, areas, _, _ = a_run()
    passive = Passive(2.0, 0.2, "told with an error")
    iron = find_alloy("Fe")
    found = compare_volumes(current, 0.0, frame_s, areas, passive, pixel_size_um=0.5, alloy=iron)
    seen = found.seen_um3[-1] * (1 + 0.15 * rng.standard_normal(200_000))
    error = 0.2 * frame_s[-1] * iron.volume_um3(1.0)
    dissolved = found.dissolved_um3[-1] + error * rng.standard_normal(200_000)
    low, high = np.quantile(seen / dissolved, [0.025, 0.975])
    assert found.ratio_low == pytest.approx(low, rel=0.02)
    assert found.ratio_high == pytest.approx(high, rel=0.02)


def test_current_of_a_pit_is_its_charge_through_time() -> None:
    _, _, _, pits, _ = a_run()
    pit = max(pits, key=lambda one: min(one.died_s, 60) - one.born_s)
    time_s = np.linspace(pit.born_s + 1, pit.born_s + 5, 401)
    current_ua, product = stability_product(pit.area_px(time_s), time_s, 0.5, find_alloy("Fe"))
    told = np.gradient(pit_charge_uc(pit, time_s, 0.5), time_s)
    assert np.allclose(current_ua[2:-2], told[2:-2], rtol=2e-3)
    radius_m = np.sqrt(pit.area_px(time_s) / np.pi) * 0.5e-6
    density_a_m2 = told * 1e-6 / (2 * np.pi * radius_m**2)
    assert np.allclose(product[2:-2], (density_a_m2 * radius_m)[2:-2], rtol=2e-3)
