"""What is measured of each run, over the time that all runs have in common."""

from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from corroscope.comparison.run_results import RunResult
from corroscope.report.run.log_normal import fit_log_normal
from corroscope.tables import Column

_COVERED: Final = 0.98
"""Share of the time compared that a record of current must cover to give a charge."""


class Measure(NamedTuple):
    """Something that runs are compared by.

    Attributes
    ----------
    name, unit, meaning
        As of a `corroscope.tables.Column`.
    title
        Of a figure.
    needs
        What must be known of all runs: ``scale`` the size of a pixel; ``pixels`` that it is known
        of not all, and nothing that speaks against their having the same; ``duration`` that they
        last about as long.
    least, most
        Between which it always is.
    """

    name: str
    unit: str
    meaning: str
    title: str
    needs: tuple[str, ...] = ()
    least: float = 0.0
    most: float = np.inf


MEASURES: Final = (
    Measure("ejections_per_mpx_s", "1/(Mpx s)", "particles ejected, per area and second",
            "Ejection rate", ("pixels",)),
    Measure("ejections_per_mm2_s", "1/(mm² s)", "particles ejected, per area and second",
            "Ejection rate", ("scale",)),
    Measure("ejections_per_pit", "", "particles whose mother pit is known, per pit",
            "Ejections per pit"),
    Measure("pits_per_mpx", "1/Mpx", "pits born, per area", "Pits born", ("pixels",)),
    Measure("pits_per_mm2", "1/mm²", "pits born, per area", "Pits born", ("scale",)),
    Measure("born_median_s", "s", "median time of birth of pits, since the first usable frame",
            "Median time of birth"),
    Measure("stable_share", "", "stable pits among those of which the kind could be told",
            "Share of pits that are stable", ("duration",), 0.0, 1.0),
    Measure("exponent_median", "", "median growth exponent n of area = c · age^n",
            "Growth exponent", ("duration",), -np.inf),
    Measure("particles_per_mpx", "1/Mpx", "particles seen in a frame, mean, per area",
            "Particles in a frame", ("pixels",)),
    Measure("particles_per_mm2", "1/mm²", "particles seen in a frame, mean, per area",
            "Particles in a frame", ("scale",)),
    Measure("area_median_px", "px²", "median area, of one value for each track", "Median area",
            ("pixels",)),
    Measure("area_median_um2", "µm²", "median area, of one value for each track", "Median area",
            ("scale",)),
    Measure("lognormal_median_px", "px²",
            "median of the log-normal law of areas, smaller ones than are segmented included",
            "Log-normal median of areas", ("pixels",)),
    Measure("lognormal_median_um2", "µm²",
            "median of the log-normal law of areas, smaller ones than are segmented included",
            "Log-normal median of areas", ("scale",)),
    Measure("lognormal_sigma", "", "standard deviation of the logarithm of area, of the same law",
            "Log-normal width of areas"),
    Measure("speed_median_px_s", "px/s", "median speed of tracks while afloat", "Median speed",
            ("pixels",)),
    Measure("speed_median_um_s", "µm/s", "median speed of tracks while afloat", "Median speed",
            ("scale",)),
    Measure("settled_share", "", "tracks that come to rest", "Share of particles that settle",
            (), 0.0, 1.0),
    Measure("charge_c", "C", "charge that has flowed, with the sign of the record", "Charge", (),
            -np.inf),
    Measure("current_mean_ua", "µA", "mean current, with the sign of the record", "Mean current",
            (), -np.inf),
)  # fmt: skip
"""What runs are compared by, all over the time that they have in common but for those that need
about the same duration, which are of the whole run."""

RUNS: Final = (
    Column("run", "str", "", "name of the sequence"),
    Column("folder", "str", "", "of the result"),
    Column("concentration_mm", "float64", "mmol/L", "of chloride; empty where unknown"),
    Column("potential_v", "float64", "V", "against whichever reference electrode was used"),
    Column("repeat", "Int64", "", "number of the repeat"),
    Column("frames", "int64", "", "of the sequence"),
    Column("frames_used", "int64", "", "of which the particles are known"),
    Column("frames_flagged", "int64", "", "without a drift of their own, or with a doubtful one"),
    Column("duration_s", "float64", "s", "from the first to the last usable frame"),
    Column("compared_s", "float64", "s", "of it, what is compared"),
    Column("pixel_size_um", "float64", "µm", "side of a pixel"),
    Column("field_mpx", "float64", "Mpx", "surface in view"),
    Column("field_mm2", "float64", "mm²", "surface in view"),
    Column("particles_mean", "float64", "", "particles seen in a frame, mean over usable frames"),
    Column("particles_most", "Int64", "", "particles seen in the frame with the most"),
    Column("ejections", "int64", "", "particles ejected by a pit after the first usable frame"),
    Column("tracks", "int64", "", "in the whole run"),
    Column("pits", "int64", "", "born in the whole run"),
    Column("pits_stable", "int64", "", "of them stable"),
    Column("pits_metastable", "int64", "", "of them metastable"),
    Column("pits_dead", "int64", "", "of them dead"),
    Column("exponent_q1", "float64", "", "lower quartile of the growth exponents"),
    Column("exponent_q3", "float64", "", "upper quartile"),
    Column("ejections_per_s", "float64", "1/s", "particles ejected in the time compared"),
    *(Column(one.name, "float64", one.unit, one.meaning) for one in MEASURES),
)
"""One row for each run: what it is, what was found in it, and what it is compared by."""


def common_duration(results: list[RunResult]) -> float:
    """Find the time over which runs are compared.

    Parameters
    ----------
    results
        The runs.

    Returns
    -------
    float
        The shortest duration among the runs that have one; NaN where none has.
    """
    durations = np.array([one.duration_s for one in results])
    known = durations[durations > 0]
    return float(known.min()) if known.size else float("nan")


def measure_run(name: str, result: RunResult, until_s: float) -> dict[str, object]:
    """Measure a run.

    Parameters
    ----------
    name
        Of the run.
    result
        What was found in it.
    until_s
        Time since the first usable frame over which it is compared.

    Returns
    -------
    dict
        With the columns of `RUNS`; NaN where something is unknown or is 0/0.
    """
    lasts = result.duration_s if np.isfinite(result.duration_s) else 0.0
    window = until_s if lasts > 0 and np.isfinite(until_s) else float("nan")
    frames, pits = result.frames, result.pit_summary
    seen = frames.loc[frames["segmented"], "particles"].to_numpy(np.float64)
    mpx = float("nan") if result.shape is None else np.prod(result.shape) / 1e6
    # A pixel of 1 µm is 1e-6 mm², and a megapixel of them 1 mm².
    mm2 = float("nan") if result.pixel_size_um is None else float(mpx * result.pixel_size_um**2)
    kinds = pits["kind"].value_counts()
    exponents = pits["exponent"].dropna().to_numpy(np.float64)
    row: dict[str, object] = {
        "run": name,
        "folder": str(result.folder.resolve()),
        **result.conditions,
        "frames": len(frames),
        "frames_used": int(frames["segmented"].sum()),
        "frames_flagged": int(frames["flagged"].sum()),
        "duration_s": result.duration_s,
        "compared_s": window,
        "pixel_size_um": np.nan if result.pixel_size_um is None else result.pixel_size_um,
        "field_mpx": mpx,
        "field_mm2": mm2,
        "particles_mean": _mean(seen),
        "particles_most": int(seen.max()) if seen.size else pd.NA,
        "ejections": int(_course(result)["ejections"].sum()),
        "tracks": len(result.track_summary),
        "pits": len(pits),
        **{f"pits_{kind}": int(kinds.get(kind, 0)) for kind in ("stable", "metastable", "dead")},
        **{
            f"exponent_q{quarter}": _quantile(exponents, quarter / 4) for quarter in (1, 3)
        },
    }  # fmt: skip
    measured = {
        **_ejected(result, window, mpx, mm2),
        **_born(result, window, mpx, mm2),
        **_particles(result, window),
        **_charge(result, window),
    }
    return row | {column.name: measured[column.name] for column in RUNS if column.name in measured}


def course_of(result: RunResult) -> pd.DataFrame:
    """Follow a run through time, for figures.

    Parameters
    ----------
    result
        What was found in it.

    Returns
    -------
    pandas.DataFrame
        ``time_s`` since the first usable frame, ``ejections_total`` since then and
        ``particles`` seen, one row for each frame since the first usable one.
    """
    course = _course(result)
    return pd.DataFrame(
        {
            "time_s": course["time_s"] - result.start_s,
            "ejections_total": course["ejections"].cumsum(),
            "particles": course["particles"],
        }
    ).reset_index(drop=True)


def areas_of(result: RunResult, until_s: float) -> NDArray[np.float64]:
    """Areas of the particles of a run, one for each track.

    Parameters
    ----------
    result
        What was found in it.
    until_s
        Time since the first usable frame by which they have been seen; NaN for any time.

    Returns
    -------
    ndarray of float64
        Median area of each track, in square pixels.
    """
    areas: NDArray[np.float64] = _tracks(result, until_s)["area_px"].to_numpy(np.float64)
    return areas[areas > 0]


def _course(result: RunResult) -> pd.DataFrame:
    """Ejections in each frame since the first usable one, in which all has come before."""
    rates = result.rates.loc[result.rates["pit"] == 0, ["frame", "time_s", "ejections"]]
    numbers = result.frames.loc[result.frames["segmented"], "frame"]
    first = int(numbers.iloc[0]) if len(numbers) else len(result.frames)
    course = rates.loc[rates["frame"] >= first].merge(
        result.frames[["frame", "particles"]], on="frame", how="left"
    )
    return course.assign(ejections=course["ejections"].where(course["frame"] > first, 0))


def _ejected(result: RunResult, window: float, mpx: float, mm2: float) -> dict[str, float]:
    course = _course(result)
    since = course["time_s"] - result.start_s
    within = course.loc[since <= window]
    ejected = float(within["ejections"].sum()) if np.isfinite(window) else float("nan")
    rate = _ratio(ejected, window)
    of_pits = result.rates.loc[(result.rates["pit"] > 0)]
    since = of_pits["time_s"] - result.start_s
    theirs = float(of_pits.loc[(since > 0) & (since <= window), "ejections"].sum())
    seen = within["particles"].dropna().to_numpy(np.float64)
    mean = _mean(seen)
    return {
        "ejections_per_s": rate,
        "ejections_per_mpx_s": _ratio(rate, mpx),
        "ejections_per_mm2_s": _ratio(rate, mm2),
        "ejections_per_pit": _ratio(theirs, float(_pits(result, window).shape[0])),
        "particles_per_mpx": _ratio(mean, mpx),
        "particles_per_mm2": _ratio(mean, mm2),
    }


def _born(result: RunResult, window: float, mpx: float, mm2: float) -> dict[str, float]:
    pits = _pits(result, window)
    count = float(len(pits)) if np.isfinite(window) else float("nan")
    born = (pits["born_s"].dropna() - result.start_s).to_numpy(np.float64)
    kinds = result.pit_summary["kind"]
    exponents = result.pit_summary["exponent"].dropna().to_numpy(np.float64)
    return {
        "pits_per_mpx": _ratio(count, mpx),
        "pits_per_mm2": _ratio(count, mm2),
        "born_median_s": _quantile(born, 0.5),
        "stable_share": _ratio(
            float((kinds == "stable").sum()),
            float(kinds.isin(["stable", "metastable", "dead"]).sum()),
        ),
        "exponent_median": _quantile(exponents, 0.5),
    }


def _particles(result: RunResult, window: float) -> dict[str, float]:
    tracks = _tracks(result, window)
    areas = areas_of(result, window)
    # Areas are whole numbers: what has the smallest one may be half a pixel smaller.
    law = fit_log_normal(areas, max(float(result.settings.get("smallest area") or 0) - 0.5, 0.0))
    centre, sigma = (np.nan, np.nan) if law is None else (law.median, law.sigma)
    scale = float("nan") if result.pixel_size_um is None else result.pixel_size_um
    area = _quantile(areas, 0.5)
    speed = _quantile(tracks["speed_px_s"].dropna().to_numpy(np.float64), 0.5)
    settled = float(((tracks["settled_s"] - result.start_s) <= window).sum())
    return {
        "area_median_px": area,
        "area_median_um2": area * scale**2,
        "lognormal_median_px": centre,
        "lognormal_median_um2": centre * scale**2,
        "lognormal_sigma": sigma,
        "speed_median_px_s": speed,
        "speed_median_um_s": speed * scale,
        "settled_share": _ratio(settled, float(len(tracks)) if np.isfinite(window) else 0.0),
    }


def _charge(result: RunResult, window: float) -> dict[str, float]:
    """Integral of the current by the trapezoidal rule."""
    nothing = {"charge_c": float("nan"), "current_mean_ua": float("nan")}
    if result.current is None or not window > 0:
        return nothing
    time_s = result.current["time_s"].to_numpy(np.float64) - result.start_s
    current_ua = result.current["current_ua"].to_numpy(np.float64)
    if time_s.size < 2:
        return nothing
    low, high = max(float(time_s[0]), 0.0), min(float(time_s[-1]), window)
    if high - low < _COVERED * window:
        return nothing
    inside = (time_s > low) & (time_s < high)
    times = np.concatenate([[low], time_s[inside], [high]])
    charge_uc = float(np.trapezoid(np.interp(times, time_s, current_ua), times))
    return {"charge_c": charge_uc * 1e-6, "current_mean_ua": charge_uc / (high - low)}


def _tracks(result: RunResult, window: float) -> pd.DataFrame:
    """Those seen by then; all of them where times are unknown."""
    tracks = result.track_summary
    if not np.isfinite(window):
        return tracks
    return tracks.loc[(tracks["first_s"] - result.start_s) <= window]


def _pits(result: RunResult, window: float) -> pd.DataFrame:
    pits = result.pit_summary
    frame_s = result.frames.set_index("frame")["time_s"]
    seen = pits["born_frame"].map(frame_s)
    # What was open in the first usable frame was not born in the run.
    seen = seen.where(seen > result.start_s)
    return pits.loc[(pits["born_s"].fillna(seen) - result.start_s) <= window]


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if values.size else float("nan")


def _quantile(values: NDArray[np.float64], share: float) -> float:
    return float(np.quantile(values, share)) if values.size else float("nan")


def _ratio(above: float, below: float) -> float:
    """0/0 is NaN, and so is what was seen in no time or on no surface."""
    return above / below if below > 0 else float("nan")
