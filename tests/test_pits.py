"""Pits out of tables of openings, whose births, deaths and laws are known."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from corroscope.errors import SettingsError
from corroscope.tables import FOLLOWED_PITS, OPENINGS, PIT_SUMMARY
from corroscope.tracking.pits import follow_pits

FRAMES = 30
Area = Callable[[float], float]


def frames(count: int = FRAMES, gaps: tuple[int, ...] = (), step_s: float = 1.0) -> pd.DataFrame:
    number = np.arange(count)
    shown = ~np.isin(number, gaps)
    return pd.DataFrame({"frame": number, "time_s": number * step_s, "segmented": shown})


def openings(
    *holes: tuple[float, float, Area], table: pd.DataFrame | None = None, depth: float = 0.9
) -> pd.DataFrame:
    """What frames would show of holes at given places, whose areas are told by time."""
    table = frames() if table is None else table
    rng = np.random.default_rng(0)
    rows = []
    usable = table[table["segmented"]]
    for frame, time_s in zip(usable["frame"], usable["time_s"].fillna(0), strict=True):
        clock = float(time_s) if table["time_s"].notna().all() else float(frame)
        for number, (y, x, area) in enumerate(holes, 1):
            here = area(clock) * (1 + 0.005 * rng.normal())
            if here < 3:
                continue
            half = np.sqrt(here) / 2
            rows.append(
                {
                    "frame": frame, "time_s": time_s, "opening": number, "y_px": y, "x_px": x,
                    "y_ref_px": y, "x_ref_px": x, "area_px": round(here),
                    "soft_area_px": depth * here, "depth": depth,
                    "bbox_top_px": int(y - half), "bbox_left_px": int(x - half),
                    "bbox_bottom_px": int(y + half) + 1, "bbox_right_px": int(x + half) + 1,
                }
            )  # fmt: skip
    return pd.DataFrame(rows, columns=[column.name for column in OPENINGS])


def law(born: float, scale: float = 12, exponent: float = 1.0, died: float = np.inf) -> Area:
    return lambda t: float(scale * max(min(t, died) - born, 0.0) ** exponent)


def constant(since: float, area: float) -> Area:
    return lambda t: area if t >= since else 0.0


def test_a_growing_hole_is_a_pit_and_a_speck_is_none() -> None:
    seen = openings((50, 60, law(4.5)), (90, 20, constant(8, 25)))
    pits, summary = follow_pits(seen, frames())
    assert list(pits.columns) == [column.name for column in FOLLOWED_PITS]
    assert list(summary.columns) == [column.name for column in PIT_SUMMARY]
    assert len(summary) == 1
    one = summary.iloc[0]
    assert one["born_frame"] == 5
    assert one["born_low_s"] <= 4.5 <= one["born_high_s"]
    assert one["exponent"] == pytest.approx(1.0, abs=0.05)
    assert one["kind"] == "stable"
    assert np.isnan(one["died_s"])
    assert pits["frame"].tolist() == list(range(5, FRAMES))
    assert pits["area_px"].iloc[-1] == pytest.approx(12 * (FRAMES - 1 - 4.5), rel=0.05)


def test_a_ring_as_of_a_bubble_is_no_pit() -> None:
    ring = openings((90, 20, law(3, scale=60, exponent=0.33)), depth=0.55)
    seen = pd.concat([openings((50, 60, law(2.5))), ring], ignore_index=True)
    _, summary = follow_pits(seen, frames())
    assert summary[["y_ref_px", "x_ref_px"]].to_numpy() == pytest.approx(np.array([[50, 60]]))


def test_bubbles_that_outnumber_pits_are_none() -> None:
    growth = law(3, scale=25, exponent=0.35)
    rings = openings(*((20.0 + 40 * k, 120.0, growth) for k in range(5)), depth=0.6)
    seen = pd.concat([openings((50, 60, law(2.5))), rings], ignore_index=True)
    _, summary = follow_pits(seen, frames())
    assert summary[["y_ref_px", "x_ref_px"]].to_numpy() == pytest.approx(np.array([[50, 60]]))


def test_what_goes_away_was_no_pit() -> None:
    _, summary = follow_pits(
        openings((50, 60, lambda t: 10 * (t - 4) if 4 < t < 16 else 0.0)), frames()
    )
    assert summary.empty


@pytest.mark.parametrize(("died", "kind"), [(8.0, "metastable"), (20.0, "dead")])
def test_kinds_tell_how_long_a_pit_has_grown(died: float, kind: str) -> None:
    _, summary = follow_pits(
        openings((50, 60, law(2.5, scale=20, died=died))), frames(), lasting_s=10
    )
    assert summary["kind"].tolist() == [kind]
    assert summary["died_s"].iloc[0] == pytest.approx(died, abs=1)


def test_a_pit_born_at_the_end_is_undecided() -> None:
    _, summary = follow_pits(openings((50, 60, law(23.5, scale=15))), frames(), lasting_s=10)
    assert summary["kind"].tolist() == ["undecided"]


def test_the_birth_of_a_pit_that_is_there_from_the_first_frame_is_unknown() -> None:
    _, summary = follow_pits(openings((50, 60, law(-8.0))), frames())
    assert summary["born_frame"].tolist() == [0]
    assert summary["born_s"].isna().all()


def at_times(areas: dict[int, float]) -> Area:
    return lambda t: areas.get(round(t), 0.0)


def test_what_is_seen_now_and_then_is_no_pit() -> None:
    last = FRAMES - 1
    for areas, pits in (
        ({last - 6: 20.0, last - 1: 60.0}, 0),  # particles that came to one place
        ({last - 6: 5.0, last - 5: 20.0, last - 1: 60.0}, 0),
        ({last - 1: 20.0, last: 60.0}, 1),
    ):
        _, summary = follow_pits(openings((50, 60, at_times(areas))), frames())
        assert len(summary) == pits
    # Gaps cannot show it.
    table = frames(gaps=tuple(range(last - 5, last - 1)))
    areas = {last - 6: 20.0, last - 1: 60.0, last: 75.0}
    _, summary = follow_pits(openings((50, 60, at_times(areas)), table=table), table)
    assert len(summary) == 1


def test_gaps_are_no_frames() -> None:
    table = frames(gaps=(9, 10, 11))
    pits, summary = follow_pits(openings((50, 60, law(4.5)), table=table), table)
    assert summary["exponent"].iloc[0] == pytest.approx(1, abs=0.05)
    assert not pits[pits["frame"].isin([9, 10, 11])]["measured"].any()


def test_without_times_there_is_no_law_in_seconds() -> None:
    table = frames().assign(time_s=np.nan)
    pits, summary = follow_pits(openings((50, 60, law(4.5)), table=table), table)
    assert summary["born_frame"].tolist() == [5]
    assert summary[["born_s", "exponent", "died_s"]].isna().all(axis=None)
    assert pits["time_s"].isna().all()


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_frames_have_no_pits(count: int) -> None:
    table = frames(count)
    pits, summary = follow_pits(openings((50, 60, constant(0, 40)), table=table), table)
    assert pits.empty
    assert summary.empty


def test_two_that_grow_together_are_told_apart_until_then() -> None:
    older, younger = law(1.5, scale=25), law(8.5, scale=25)
    seen = openings((50, 50, older), (50, 75, younger))
    table = frames()
    together = seen["frame"] >= 22
    one = seen[together & (seen["opening"] == 1)].copy()
    one["soft_area_px"] += seen[together & (seen["opening"] == 2)]["soft_area_px"].to_numpy()
    one["area_px"] = (one["soft_area_px"] / 0.9).round().astype(int)
    one["x_ref_px"] = one["x_px"] = 61.0
    one["bbox_left_px"], one["bbox_right_px"] = 38, 88
    seen = pd.concat([seen[~together], one], ignore_index=True)
    _, summary = follow_pits(seen, table)
    assert len(summary) == 2
    assert summary["merged_into"].tolist() == [0, 1]
    assert summary["merged_s"].iloc[1] == pytest.approx(22, abs=1)
    assert summary["exponent"].to_numpy() == pytest.approx([1.0, 1.0], abs=0.1)


def test_limits_are_checked() -> None:
    seen = openings((50, 60, law(4.5)))
    with pytest.raises(SettingsError, match="lasting_s"):
        follow_pits(seen, frames(), lasting_s=0.0)
    with pytest.raises(SettingsError, match="lasting_share"):
        follow_pits(seen, frames(), lasting_share=1.5)
    with pytest.raises(SettingsError, match="least_area_px"):
        follow_pits(seen, frames(), least_area_px=0.0)


def test_a_pit_that_the_rim_cuts_off_has_no_law() -> None:
    _, summary = follow_pits(openings((50, 60, law(4.5))), frames(), shape=(54, 200))
    assert summary["exponent"].isna().all()
    assert summary["kind"].tolist() == ["undecided"]


def test_both_tables_are_of_one_run() -> None:
    with pytest.raises(SettingsError, match="not in the table of frames"):
        follow_pits(openings((50, 60, law(4.5))), frames(10))
