"""What can be compared between runs, and what must be known before it is believed."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from corroscope.comparison.run_measures import MEASURES, Measure
from corroscope.comparison.run_results import RunResult

_SAME_DURATION: Final = 0.05
"""Difference of durations, as a share of the longest, that is let pass."""

_SAME_INTERVAL: Final = 1.5
"""Ratio of times between frames that is let pass."""

_MANY_GAPS: Final = 0.1
"""Share of frames without particles from which on it is told."""

_SETTINGS: Final = {
    "bundle": "segmented by different networks",
    "threshold": "segmented at different thresholds",
    "peak": "segmented with different peaks, which particles must reach in one pixel",
    "smallest area": "segmented with different smallest areas, below which there are no particles",
}
"""Settings that change what is found, and what is said where they differ."""


def comparable(results: Sequence[RunResult]) -> list[Measure]:
    """Choose the measures that mean the same in all runs.

    Parameters
    ----------
    results
        The runs.

    Returns
    -------
    list of Measure
        Of `corroscope.comparison.run_measures.MEASURES`: those in micrometres where all runs have
        a pixel size, else those in pixels, if no two sizes differ; those of the whole run where
        all have about the same duration.
    """
    sizes = {one.pixel_size_um for one in results}
    allowed = {
        "scale": None not in sizes,
        "pixels": None in sizes and len(sizes - {None}) <= 1,
        "duration": _same_duration(results),
    }
    return [one for one in MEASURES if all(allowed[need] for need in one.needs)]


def warnings_about(
    results: Sequence[RunResult], names: Sequence[str], until_s: float, runs: pd.DataFrame
) -> list[str]:
    """Tell what must be known before the figures are believed.

    Parameters
    ----------
    results, names
        The runs.
    until_s
        Time over which they are compared.
    runs
        What was measured of them.

    Returns
    -------
    list of str
        Sentences.
    """
    return [
        *_about_conditions(results, names),
        *_about_scale(results, names),
        *_about_time(results, names, until_s),
        *_about_settings(results, names),
        *_about_quality(results, names, runs),
    ]


def _same_duration(results: Sequence[RunResult]) -> bool:
    durations = np.array([one.duration_s for one in results])
    if not (durations > 0).all():
        return False
    return bool(durations.max() - durations.min() <= _SAME_DURATION * durations.max())


def _about_conditions(results: Sequence[RunResult], names: Sequence[str]) -> list[str]:
    told = []
    unknown = [
        name
        for name, one in zip(names, results, strict=True)
        if one.conditions["concentration_mm"] is None and one.conditions["potential_v"] is None
    ]
    if unknown:
        told.append(
            f"Of {_listed(unknown)} neither concentration nor potential is known: no condition "
            "has them as repeats."
        )
    found: dict[tuple[Any, ...], list[str]] = {}
    for name, one in zip(names, results, strict=True):
        if one.conditions["repeat"] is not None:
            found.setdefault(tuple(one.conditions.values()), []).append(name)
    told += [
        f"{_listed(same)} have the same conditions and the same number of repeat: if they are "
        "parts of one experiment, they are no repeats, and intervals are too narrow."
        for same in found.values()
        if len(same) > 1
    ]
    return told


def _about_scale(results: Sequence[RunResult], names: Sequence[str]) -> list[str]:
    told = []
    without = [n for n, one in zip(names, results, strict=True) if one.pixel_size_um is None]
    sizes = {one.pixel_size_um for one in results} - {None}
    if without:
        rest = (
            "and the other sizes differ: no length, speed or area is compared."
            if len(sizes) > 1
            else "lengths, speeds and areas are compared in pixels, which is right only if all "
            "were recorded with one magnification."
        )
        told.append(f"The pixel size of {_listed(without)} is not known; {rest}")
    elif len(sizes) > 1:
        values = _by_value([f"{one.pixel_size_um:g} µm" for one in results], names)
        told.append(
            f"Pixel sizes differ ({values}): what is compared is in micrometres, but a coarser "
            "picture misses smaller particles."
        )
    shapeless = [name for name, one in zip(names, results, strict=True) if one.shape is None]
    if shapeless:
        told.append(
            f"The size of the frames of {_listed(shapeless)} is not known: nothing per area is "
            "known of them."
        )
    return told


def _about_time(results: Sequence[RunResult], names: Sequence[str], until_s: float) -> list[str]:
    told = []
    timeless = [name for name, one in zip(names, results, strict=True) if not one.duration_s > 0]
    if timeless:
        told.append(
            f"{_listed(timeless)}: no duration is known, since times are unknown or fewer than two "
            "frames are usable; there are no rates, and sizes are of the whole run."
        )
    durations = [one.duration_s for one in results if one.duration_s > 0]
    if durations and not _same_duration([one for one in results if one.duration_s > 0]):
        told.append(
            f"Durations differ ({min(durations):.4g} to {max(durations):.4g} s): runs are compared "
            f"over their first {until_s:.4g} s only. What is of the whole run (kinds of pits, "
            "growth exponents, corrected counts) is not compared."
        )
    intervals = [one.interval_s for one in results if one.interval_s > 0]
    if intervals and max(intervals) > _SAME_INTERVAL * min(intervals):
        told.append(
            f"Times between frames differ ({min(intervals):.3g} to {max(intervals):.3g} s): more "
            "frames a second show more particles that are in view only briefly, and faster ones."
        )
    return told


def _about_settings(results: Sequence[RunResult], names: Sequence[str]) -> list[str]:
    told = []
    for setting, what in _SETTINGS.items():
        values = [_short(one.settings.get(setting)) for one in results]
        if len(set(values)) > 1:
            told.append(
                f"Runs were {what} ({_by_value(values, names)}): numbers and sizes may differ for "
                "that alone."
            )
    references = [_reference(one) for one in results]
    if len(set(references)) > 1:
        told.append(
            f"Frames were compared with different references ({_by_value(references, names)}): a "
            "rolling one forgets what stays, so that numbers are not of the same particles."
        )
    return told


def _about_quality(
    results: Sequence[RunResult], names: Sequence[str], runs: pd.DataFrame
) -> list[str]:
    told = []
    for name, one in zip(names, results, strict=True):
        gaps, count = int((~one.frames["segmented"]).sum()), len(one.frames)
        if gaps > _MANY_GAPS * count:
            told.append(
                f"{name}: {gaps} of {count} frames are gaps; what was ejected in them is missing."
            )
        charge = float(runs.loc[runs["run"] == name, "charge_c"].iloc[0])
        if one.current is not None and one.duration_s > 0 and np.isnan(charge):
            told.append(
                f"{name}: the record of current does not cover the time compared; there is no "
                "charge."
            )
    return told


def _reference(one: RunResult) -> str:
    """The choice, without the hash of the picture, which differs between any two runs."""
    return str(one.settings.get("reference")).split(" ")[0].removesuffix(":0")


def _short(value: object) -> str:
    text = str(value)
    return text[:8] if len(text) == 64 else text


def _by_value(values: Sequence[str], names: Sequence[str]) -> str:
    found: dict[str, list[str]] = {}
    for value, name in zip(values, names, strict=True):
        found.setdefault(value, []).append(name)
    return "; ".join(f"{value}: {_listed(of)}" for value, of in found.items())


def _listed(names: Sequence[str], most: int = 4) -> str:
    more = len(names) - most
    shown = ", ".join(names[:most])
    return f"{shown} and {more} more" if more > 0 else shown
