"""How well pits are found and followed, on rendered synthetic runs whose truth is known.

    python benchmarks/tracking_pits.py [--seeds 900 901 …] [--exponents 0.5 1 1.5]

Frames are rendered, aligned as `corroscope run` aligns them, and searched for openings; pits are
followed from those tables alone. One run for each seed, density and exponent. Judged are pits that
reach 10 px² while they are seen, at least 3 px from the border, and do not open inside an older
pit.
"""

import argparse
from collections.abc import Sequence
from time import perf_counter
from typing import Any, Final

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment

from corroscope.frames.alignment import Aligner
from corroscope.frames.contrast import relative_contrast
from corroscope.frames.resampling import aligned_reference
from corroscope.segmentation.openings import find_openings
from corroscope.synthesis.experiment import Experiment
from corroscope.synthesis.settings import SynthSettings, make_synth_settings
from corroscope.tracking.pits import LASTING, follow_pits

DENSITIES: Final = {"sparse": (8, 160), "usual": (16, 640), "dense": (30, 1600)}
"""Pits and particles per megapixel by the end."""

EXPONENTS: Final = (0.5, 1.0, 1.5)
REACHED_PX: Final = 10.0
NEAR_BORDER_PX: Final = 3.0


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[900, 901, 902])
    parser.add_argument("--exponents", type=float, nargs="+", default=list(EXPONENTS))
    parser.add_argument("--frames", type=int, default=40)
    chosen = parser.parse_args()
    pits, runs = measure(chosen.seeds, chosen.exponents, chosen.frames)
    for keys in (["density"], ["exponent_true"], []):
        print(summarise(pits, runs, keys).round(3).to_string(), "\n")


def measure(
    seeds: Sequence[int],
    exponents: Sequence[float] = EXPONENTS,
    frames: int = 40,
    densities: Sequence[str] = tuple(DENSITIES),
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Follow pits in one run for each seed, density and exponent.

    Returns one row for each true pit that is judged, and one for each run.
    """
    pits, runs = [], []
    for density in densities:
        for exponent in exponents:
            for seed in seeds:
                settings = _settings(seed, density, exponent, frames)
                key: dict[str, Any] = {"density": density, "exponent_true": exponent, "seed": seed}
                judged, run = judge(settings)
                pits.append(judged.assign(**key))
                runs.append({**key, **run})
    return pd.concat([p for p in pits if len(p)], ignore_index=True), pd.DataFrame(runs)


def _settings(seed: int, density: str, exponent: float, frames: int) -> SynthSettings:
    pits, particles = DENSITIES[density]
    return make_synth_settings(
        {
            "frames": frames,
            "height_px": 768,
            "width_px": 768,
            "seed": seed,
            "pits": {"per_mpx": pits, "exponent": exponent},
            "particles": {"per_mpx": particles},
            "camera": {"exposure_s": 0.02},
        }
    )


def render(
    experiment: Experiment,
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, dict[str, float]]:
    """Openings, true pits, frames, and what it took."""
    openings, truth, frames = [], [], []
    aligner, reference, near, took = None, None, (0.0, 0.0), 0.0
    for number, scene in enumerate(experiment.scenes()):
        contrast = relative_contrast(scene.frame)
        if aligner is None or reference is None:
            aligner, reference = Aligner(scene.frame), contrast
        drift = aligner.measure(scene.frame, near)
        near = (drift.dy_px, drift.dx_px) if drift.aligned else near
        before = aligned_reference(reference, *near)
        start = perf_counter()
        found = find_openings(contrast, before)
        took += perf_counter() - start
        openings.append(
            found.assign(
                frame=number,
                time_s=scene.time_s,
                y_ref_px=found["y_px"] - near[0],
                x_ref_px=found["x_px"] - near[1],
            )
        )
        truth.append(scene.pits.assign(frame=number, time_s=scene.time_s))
        frames.append({"frame": number, "time_s": scene.time_s, "segmented": True})
    filled = [rows for rows in truth if len(rows)] or truth[:1]
    return (
        pd.concat(openings, ignore_index=True),
        pd.concat(filled, ignore_index=True),
        pd.DataFrame(frames),
        {"openings_ms_per_mpx": 1e3 * took / len(frames) / (contrast.size / 1e6)},
    )


def judge(settings: SynthSettings) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Follow the pits of one run and compare them with the truth."""
    experiment = Experiment(settings)
    openings, truth, frames, run = render(experiment)
    start = perf_counter()
    followed, summary = follow_pits(openings, frames)
    run["follow_s"] = perf_counter() - start
    judged = compare(experiment, truth, frames, followed, summary)
    hits = judged["found"].to_numpy(np.int64)
    return judged[judged["judged"]], {
        **run,
        "openings": len(openings),
        "found": len(summary),
        "false": len(summary) - int((hits > 0).sum()),
    }


def compare(
    experiment: Experiment,
    truth: pd.DataFrame,
    frames: pd.DataFrame,
    followed: pd.DataFrame,
    summary: pd.DataFrame,
) -> pd.DataFrame:
    """One row for each true pit that is open at some time, judged or not."""
    last = truth.groupby("pit").last().reset_index()
    last = last[last["area_px"] >= 1].reset_index(drop=True)
    found = _matched(last, summary)
    time = frames["time_s"].to_numpy()
    lasting = LASTING * (time[-1] - time[0])
    height, width = experiment.settings.shape
    rows = []
    for row, place in zip(last.itertuples(), found.tolist(), strict=True):
        pit = experiment.pits[int(str(row.pit)) - 1]
        near = NEAR_BORDER_PX
        inside = near <= pit.y_px < height - near and near <= pit.x_px < width - near
        area = pit.area_px(time)
        born = int(np.searchsorted(time, pit.born_s))
        seen = (area >= REACHED_PX / 3) & (time < pit.died_s)
        died = pit.died_s if pit.died_s <= time[-1] else np.nan
        kind = "stable" if min(pit.died_s, time[-1]) - pit.born_s >= lasting else "undecided"
        if np.isfinite(died):
            kind = "dead" if died - pit.born_s >= lasting else "metastable"
        one: dict[str, Any] = {
            "pit": pit.number,
            "judged": area.max() >= REACHED_PX and inside and not _covered(experiment, pit, time),
            "largest_px": area.max(),
            "born": born,
            "grew": int(seen.sum()),
            "died_s": died,
            "kind": kind,
            "found": 0,
        }
        if place >= 0:
            is_found = summary.iloc[place]
            own = followed[followed["pit"] == is_found["pit"]]
            own = own[own["measured"] & (own["frame"] >= born)]
            true = area[own["frame"].to_numpy()]
            off = (own["area_px"].to_numpy() / np.maximum(true, 1e-9) - 1)[true >= REACHED_PX]
            step = float(np.median(np.diff(time)))
            one |= {
                "found": int(is_found["pit"]),
                "birth_off": int(is_found["born_frame"]) - born,
                "born_s_covered": is_found["born_low_s"] <= pit.born_s <= is_found["born_high_s"],
                "exponent": is_found["exponent"],
                "exponent_off": is_found["exponent"] - pit.exponent,
                "covered": is_found["exponent_low"] <= pit.exponent <= is_found["exponent_high"],
                "width": is_found["exponent_high"] - is_found["exponent_low"],
                "died_found_s": is_found["died_s"],
                "death_off": (is_found["died_s"] - died) / step,
                "kind_found": is_found["kind"],
                "area_off": float(np.median(off)) if len(off) else np.nan,
                "area_off_abs": float(np.median(np.abs(off))) if len(off) else np.nan,
                "merged": int(is_found["merged_into"]),
                "fitted": int(is_found["fitted"]),
            }
        rows.append(one)
    columns = ["pit", "judged", "largest_px", "born", "grew", "died_s", "kind", "found"]
    return pd.DataFrame(rows) if rows else pd.DataFrame(columns=columns)


def _matched(last: pd.DataFrame, summary: pd.DataFrame) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Row of the summary for each true pit, one to one within one and a half radii; −1 for none."""
    found = np.full(len(last), -1, np.int64)
    if len(last) == 0 or len(summary) == 0:
        return found
    distance = np.hypot(
        last["y_ref_px"].to_numpy()[:, None] - summary["y_ref_px"].to_numpy(),
        last["x_ref_px"].to_numpy()[:, None] - summary["x_ref_px"].to_numpy(),
    )
    radius = 1.5 * np.sqrt(last["area_px"].to_numpy() / np.pi) + 5
    births = np.abs(last["frame_born"].to_numpy()[:, None] - summary["born_frame"].to_numpy()) \
        if "frame_born" in last else 0.0  # fmt: skip
    cost = np.where(distance <= radius[:, None], distance / radius[:, None] + 0.05 * births, 1e6)
    one, other = linear_sum_assignment(cost)
    good = cost[one, other] < 1e6
    found[one[good]] = other[good]
    return found


def _covered(experiment: Experiment, pit: Any, time: Any) -> bool:
    """Whether it opens inside an older one, before it has reached a size."""
    reached = time[min(int(np.searchsorted(pit.area_px(time), REACHED_PX)), len(time) - 1)]
    for other in experiment.pits:
        if other.number < pit.number:
            radius = float(np.sqrt(other.area_px(reached) / np.pi))
            apart = float(np.hypot(other.y_px - pit.y_px, other.x_px - pit.x_px))
            # A pit with lobes reaches somewhat further than a disc.
            if radius > 1 and apart <= 1.4 * radius + 4:
                return True
    return False


def summarise(pits: pd.DataFrame, runs: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Scores of all runs of each group."""
    grouped = pits.groupby(keys) if keys else [((), pits)]
    rows = []
    for name, part in grouped:
        names = name if isinstance(name, tuple) else (name,)
        chosen = runs
        for key, value in zip(keys, names, strict=True):
            chosen = chosen[chosen[key] == value]
        long = part[(part["grew"] >= 10) & (part["found"] > 0)]
        off = long["exponent_off"].dropna()
        dies = part[part["died_s"].notna() & (part["found"] > 0) & (part["grew"] >= 3)]
        rows.append(
            {
                **dict(zip(keys, names, strict=True)),
                "judged": len(part),
                "found": (part["found"] > 0).mean(),
                "birth_1": (part["birth_off"].abs() <= 1).mean(),
                "precision": 1 - chosen["false"].sum() / max(1, chosen["found"].sum()),
                "long": len(long),
                "n_known": len(off) / max(1, len(long)),
                "n_off_50": off.abs().median(),
                "n_off_90": off.abs().quantile(0.9),
                "n_bias": off.mean(),
                "n_median": off.median(),
                "cover": long.loc[off.index, "covered"].mean(),
                "width": long["width"].median(),
                "area_off": part["area_off"].median(),
                "area_abs": part["area_off_abs"].median(),
                "area_abs_90": part["area_off_abs"].quantile(0.9),
                "deaths": len(dies),
                "death_2": (dies["death_off"].abs() <= 2).mean(),
                "false_death": part.loc[part["died_s"].isna(), "died_found_s"].notna().mean(),
                "kind": (part["kind_found"] == part["kind"]).mean(),
                "ms_per_mpx": chosen["openings_ms_per_mpx"].median(),
                "follow_s": chosen["follow_s"].max(),
            }
        )
    return pd.DataFrame(rows)


if __name__ == "__main__":
    main()
