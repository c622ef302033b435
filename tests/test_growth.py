"""The law by which a pit grows, against what it was made by."""

import numpy as np
import pytest
from numpy.typing import NDArray

from corroscope.errors import SettingsError
from corroscope.tracking.growth import FEWEST, fit_growth


def areas(
    time: NDArray[np.float64], born: float, exponent: float, died: float = np.inf
) -> NDArray[np.float64]:
    return np.asarray(20 * np.clip(np.minimum(time, died) - born, 0, None) ** exponent)


@pytest.mark.parametrize("exponent", [0.5, 0.7, 1.0, 1.5, 2.0])
def test_exact_areas_give_their_law(exponent: float) -> None:
    time = np.arange(5.0, 40)
    law = fit_growth(time, areas(time, 4.3, exponent), 4.0, 3.0)
    assert law is not None
    assert law.exponent == pytest.approx(exponent, abs=0.02)
    assert law.born == pytest.approx(4.3, abs=0.3)
    assert np.isnan(law.died)


def test_noisy_areas_are_covered_by_the_intervals() -> None:
    rng = np.random.default_rng(5)
    time = np.arange(5.0, 40)
    inside_n = inside_b = 0
    for _ in range(60):
        true = areas(time, 4.3, 1.0)
        root = np.sqrt(true) + rng.normal(0, 0.15, time.size)
        law = fit_growth(time, root**2, 4.0, 3.0)
        assert law is not None
        inside_n += law.exponent_low <= 1.0 <= law.exponent_high
        inside_b += law.born_low <= 4.3 <= law.born_high
    # The interval of the exponent holds more than chance alone, the other 95 %.
    assert inside_n >= 54
    assert inside_b >= 50


def test_the_death_of_a_pit_is_found() -> None:
    time = np.arange(5.0, 40)
    rng = np.random.default_rng(2)
    root = np.sqrt(areas(time, 4.3, 1.0, died=22.4)) + rng.normal(0, 0.1, time.size)
    law = fit_growth(time, root**2, 4.0, 3.0)
    assert law is not None
    assert law.died == pytest.approx(22.4, abs=1.0)
    assert law.area(100.0) == pytest.approx(20 * (22.4 - 4.3), rel=0.05)
    assert law.area(4.0) == 0


def test_a_pit_that_grows_on_has_no_death() -> None:
    rng = np.random.default_rng(3)
    time = np.arange(5.0, 40)
    root = np.sqrt(areas(time, 4.3, 0.7)) + rng.normal(0, 0.1, time.size)
    law = fit_growth(time, root**2, 4.0, 3.0)
    assert law is not None
    assert np.isnan(law.died)


def test_few_areas_have_no_law() -> None:
    time = np.arange(float(FEWEST - 1))
    assert fit_growth(time, 5 + time, -1.0, 3.0) is None


def test_a_law_of_few_areas_is_not_bounded() -> None:
    time = np.arange(5.0, 10)
    law = fit_growth(time, np.array([8.0, 9, 9, 10, 11]), 4.0, 3.0)
    assert law is None or not law.bounded


def test_no_area_may_be_nothing() -> None:
    with pytest.raises(SettingsError, match="not above 0"):
        fit_growth(np.arange(5.0), np.array([0.0, 1, 2, 3, 4]), -1.0, 3.0)


def test_times_must_rise() -> None:
    with pytest.raises(SettingsError, match="rise"):
        fit_growth(np.array([0.0, 1, 1, 2, 3]), np.arange(1.0, 6), -1.0, 3.0)
