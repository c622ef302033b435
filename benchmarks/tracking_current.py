"""Records of current: clock offsets, their intervals, chance associations, readers.

    python benchmarks/tracking_current.py [--seeds 900 901 …]

Pits and currents are those of `corroscope synth`; no frame is drawn. Each run is recorded on a
clock that is wrong by up to a minute, and the growth of its pits is given exactly, or as it would
be measured: each pit's areas wrong by a factor of its own (standard deviation 10 %), and each area
by half a pixel at each pixel of its rim. Runs beside the record of another run show how often an
offset is believed that does not exist.
"""

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from corroscope.current.association import associate
from corroscope.current.offset import Offset, find_offset
from corroscope.current.reading import read_current
from corroscope.current.record import Current, Source
from corroscope.current.transients import find_transients
from corroscope.synthesis.current import record_current
from corroscope.synthesis.pits import found_pits
from corroscope.synthesis.settings import make_synth_settings

SEEDS: Final = range(900, 930)
SIDE_PX: Final = 768
SOURCE: Final = Source("synthetic", "", "", "", "", "", "s", "µA", False)


class Kind(NamedTuple):
    """One kind of run."""

    name: str
    pits_per_mpx: float
    frames: int
    interval_s: float


KINDS: Final = (
    Kind("sparse", 8, 40, 1.0),
    Kind("usual", 16, 40, 1.0),
    Kind("dense", 30, 40, 1.0),
    Kind("usual, 0.1 s", 16, 80, 0.1),
    Kind("usual, 200 frames", 16, 200, 1.0),
)
SIGNALS: Final = ("exact", "measured")


class Run(NamedTuple):
    """A record on a clock of its own, frames, what was seen, and the true offset."""

    current: Current
    frame_s: NDArray[np.float64]
    growth: NDArray[np.float64]
    offset_s: float


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    seeds = parser.parse_args().seeds
    for title, table in (
        ("Clock offset", measure(seeds)),
        ("Chance associations", measure_association(seeds)),
        ("Readers", measure_readers(seeds)),
    ):
        print(f"\n{title}\n\n{table.to_string(index=False)}")


def measure(seeds: Sequence[int]) -> pd.DataFrame:
    """Offsets of each kind of run: believed, error in frames, coverage, and of other runs."""
    rows = []
    for kind in KINDS:
        for signal in SIGNALS:
            errors, held, widths, wrong = [], [], [], 0
            for seed in seeds:
                run = make_run(kind, seed, signal)
                found = offset_of(run.current, run, seed)
                if found.believed:
                    errors.append((found.offset_s - run.offset_s) / kind.interval_s)
                    held.append(found.low_s <= run.offset_s <= found.high_s)
                    widths.append((found.high_s - found.low_s) / kind.interval_s)
                other = make_run(kind, seed + 10_000, signal)
                wrong += offset_of(other.current, run, seed).believed
            size = np.abs(errors) if errors else np.array([np.nan])
            rows.append(
                {
                    "run": kind.name,
                    "signal": signal,
                    "runs": len(seeds),
                    "believed": len(errors),
                    "median_error_frames": float(np.median(size)),
                    "largest_error_frames": float(np.max(size)),
                    "within_1_frame": float(np.mean(size <= 1)) if errors else np.nan,
                    "covered": float(np.mean(held)) if held else np.nan,
                    "median_width_frames": float(np.median(widths)) if widths else np.nan,
                    "other_run_believed": wrong,
                }
            )
    return pd.DataFrame(rows)


def make_run(kind: Kind, seed: int, signal: str) -> Run:
    """Pits, their current and what is seen of them."""
    settings = make_synth_settings(
        {
            "frames": kind.frames,
            "height_px": SIDE_PX,
            "width_px": SIDE_PX,
            "interval_s": kind.interval_s,
            "seed": seed,
            "pits": {"per_mpx": kind.pits_per_mpx},
        }
    )
    rng = np.random.default_rng(seed)
    pits = found_pits((SIDE_PX, SIDE_PX), settings, rng)
    time_s, current_ua = record_current(pits, settings.cell, settings.duration_s, rng)
    frame_s: NDArray[np.float64] = np.arange(float(kind.frames)) * kind.interval_s
    frame_s[1:] += rng.normal(0, 0.01 * kind.interval_s, kind.frames - 1)
    area = np.array([pit.area_px(frame_s) for pit in pits])
    if signal == "measured":
        area *= np.exp(rng.normal(0, 0.1, (len(area), 1)))
        rim = np.sqrt(4 * np.pi * area)
        area += np.where(area > 1, 0.5 * np.sqrt(rim), 0) * rng.standard_normal(area.shape)
    volume = np.maximum(area, 0).T ** 1.5
    growth = np.full(volume.shape, np.nan)
    growth[1:] = np.diff(volume, axis=0) / np.diff(frame_s)[:, None]
    shift_s = float(rng.uniform(-60, 60))
    record = Current(time_s + shift_s, current_ua, None, None, None, False, None, SOURCE, ())
    return Run(record, frame_s, growth, -shift_s)


def offset_of(current: Current, run: Run, seed: int) -> Offset:
    """The offset of any record against what a run has seen."""
    return find_offset(current, run.frame_s, run.growth, np.random.default_rng(seed))


def measure_association(seeds: Sequence[int]) -> pd.DataFrame:
    """How often chance is called association at 5 %, for bursts and for real transients."""
    rows = []
    for name in ("no relation", "half of the transients at events"):
        p_values = []
        for seed in seeds:
            for draw in range(20):
                rng = np.random.default_rng([seed, draw])
                events = bursts(rng)
                begins = np.sort(rng.uniform(0, 590, 12))
                if name != "no relation":
                    begins[::2] = rng.choice(events, 6, replace=False)
                found = find_transients(transient_record(begins, rng), window_s=30)
                starts = found["start_s"].to_numpy(np.float64)
                p_values.append(associate(events, starts, (0, 600), 1.0, rng, shifts=199).p_value)
        known = np.asarray(p_values)[np.isfinite(p_values)]
        rows.append(
            {
                "events": name,
                "trials": known.size,
                "significant_at_5_percent": float(np.mean(known <= 0.05)),
            }
        )
    return pd.DataFrame(rows)


def bursts(rng: np.random.Generator) -> NDArray[np.float64]:
    """Events in ten bursts of three on average."""
    middles = rng.uniform(0, 600, 10)
    events = np.repeat(middles, rng.poisson(3, 10) + 1)
    return np.sort((events + rng.normal(0, 1, events.size)) % 600)


def transient_record(begins_s: NDArray[np.float64], rng: np.random.Generator) -> Current:
    """Ten minutes of current with transients of 2 s that rise as a root and fall at once."""
    time_s = np.arange(0, 600, 0.2)
    age = time_s[:, None] - begins_s[None]
    alive = (age > 0) & (age < 2)
    values = 2 + np.where(alive, np.sqrt(np.maximum(age, 0)), 0).sum(axis=1)
    values += 0.05 * rng.standard_normal(time_s.size)
    return Current(time_s, values, None, None, None, False, None, SOURCE, ())


def measure_readers(seeds: Sequence[int]) -> pd.DataFrame:
    """Largest relative difference between what is read and what other readers read."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, differences in (
            ("mpt against galvani", mpt_differences(seeds, Path(folder))),
            ("DTA against gamry-parser", dta_differences(seeds, Path(folder))),
        ):
            rows.append({"reader": name, "largest_difference": max(differences)})
    return pd.DataFrame(rows)


def mpt_differences(seeds: Sequence[int], folder: Path) -> Iterator[float]:
    """Files with decimal commas and points in turn."""
    from galvani.BioLogic import MPTfile

    names = "mode\ttime/s\tcontrol/V\tEwe/V\t<I>/mA"
    for place, seed in enumerate(seeds):
        numbers = random_columns(seed, 3)
        rows = [f"2\t{t:.9E}\t3.0E-1\t{e:.9E}\t{i:.9E}" for t, e, i in numbers]
        table = "\r\n".join([names, *rows])
        text = f"EC-Lab ASCII FILE\r\nNb header lines : 4\r\n\r\n{table}\r\n"
        path = folder / "a.mpt"
        path.write_bytes((text.replace(".", ",") if place % 2 else text).encode("cp1252"))
        found = read_current(path)
        with path.open("rb") as file:
            told, _ = MPTfile(file)
        yield difference(found.time_s, told["time/s"])
        yield difference(found.current_ua, told["I/mA"] * 1e3)


def dta_differences(seeds: Sequence[int], folder: Path) -> Iterator[float]:
    """Files with one table."""
    from gamry_parser import GamryParser

    for seed in seeds:
        rows = [
            f"\t{n}\t{t:.9E}\t{e:.9E}\t{i:.9E}"
            for n, (t, e, i) in enumerate(random_columns(seed, 3))
        ]
        head = ["EXPLAIN", "TAG\tCHRONOA", f"CURVE\tTABLE\t{len(rows)}"]
        path = folder / "a.DTA"
        lines = [*head, "\tPt\tT\tVf\tIm", "\t#\ts\tV vs. Ref.\tA", *rows]
        path.write_bytes(("\r\n".join(lines) + "\r\n").encode("cp1252"))
        found = read_current(path)
        parser = GamryParser()
        parser.load(str(path))
        told = parser.get_curve_data()
        yield difference(found.time_s, told["T"].to_numpy(np.float64))
        yield difference(found.current_ua, told["Im"].to_numpy(np.float64) * 1e6)


def random_columns(seed: int, columns: int) -> NDArray[np.float64]:
    """Rising times and anything else."""
    rng = np.random.default_rng(seed)
    values = rng.normal(0, 1e-3, (200, columns))
    values[:, 0] = np.cumsum(rng.uniform(0.01, 1, 200))
    return values


def difference(found: NDArray[np.float64], told: NDArray[np.float64]) -> float:
    """Largest difference, relative to the larger of the two."""
    return float(np.max(np.abs(found - told) / np.maximum(np.abs(told), 1e-300)))


if __name__ == "__main__":
    main()
