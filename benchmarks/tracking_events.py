"""How well births, deaths and ejections, and mother pits, are found in runs whose truth is known.

    python benchmarks/tracking_events.py [--seeds N [N …]] [--made FOLDER …]

Synthetic runs at three densities, frames 1 s and 0.1 s apart. Each run is judged four times: on
true particles with true tracks and pits; true particles, tracked, with true pits; true particles
and pits that were followed; and all as found by the shipped network.

Truth: products that are seen with at least 7 px in some frame; pits that open at least 20 px².
Pits whose centre is beyond the rim of the picture are left out with all that they eject: what
comes from there enters, and is not seen to be ejected. An event is right if it is of the same
kind, about the same track or pit, at most one frame off. A found track is of the true one that has
most of its points (within 5 px); tracks of products that are there but never seen with 7 px are
left out. A mother is right if it is that of the true track; by hole, pits of which one's centre
lies in the other's mouth at the end count as one.
"""

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.sparse.csgraph import connected_components
from skimage.io import imread

import corroscope
from corroscope.frames.contrast import relative_contrast
from corroscope.frames.resampling import aligned_reference
from corroscope.scoring.events import score_events, true_pit_of, true_track_of
from corroscope.segmentation.openings import find_openings
from corroscope.synthesis.settings import make_synth_settings
from corroscope.tables import PARTICLES
from corroscope.tracking.events import find_events
from corroscope.tracking.footprints import particles_in_pits
from corroscope.tracking.mothers import find_mothers
from corroscope.tracking.pits import follow_pits
from corroscope.tracking.tracks import follow_particles

LEAST_PX = 7
LEAST_PIT_PX = 20.0
KINDS = ("nucleation", "death", "ejection")
DENSITIES = (("sparse", 160, 8), ("usual", 640, 16), ("dense", 1600, 30))
"""Name, particles and pits per megapixel."""
INTERVALS = ((1.0, 40), (0.1, 80))
"""Seconds between frames, and frames."""


class Followed(NamedTuple):
    """What following a run gave."""

    tracks: pd.DataFrame
    summary: pd.DataFrame
    pits: pd.DataFrame
    pit_summary: pd.DataFrame
    frames: pd.DataFrame


class Truth(NamedTuple):
    """Tables of a synthetic run."""

    tracks: pd.DataFrame
    pits: pd.DataFrame
    events: pd.DataFrame
    frames: pd.DataFrame
    shape: tuple[int, int]
    """Height and width of a frame."""

    @property
    def beyond(self) -> set[int]:
        """Pits whose centre is beyond the rim of the picture."""
        last = self.pits.groupby("pit")[["y_ref_px", "x_ref_px"]].last()
        centre = last.to_numpy(float)
        within = np.all((centre >= 0) & (centre < np.array(self.shape)), axis=1)
        return set(last.index.to_numpy()[~within].tolist())

    @property
    def seen(self) -> pd.DataFrame:
        """Points that can be seen, with area enough."""
        fine = self.tracks["seen"] & (self.tracks["area_px"] >= LEAST_PX)
        return self.tracks[fine].sort_values(["track", "frame"])


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[900, 901])
    parser.add_argument("--made", type=Path, nargs="+", help="runs made before, instead")
    chosen = parser.parse_args()
    if chosen.made:
        parts = [part.assign(run=made.name) for made in chosen.made for part in judge(made)]
        scores = pd.concat(parts, ignore_index=True)
    else:
        scores = measure(chosen.seeds)
    print(scores.to_string(index=False, float_format=lambda value: f"{value:.3f}"))
    print()
    print(pooled(scores).to_string(index=False, float_format=lambda value: f"{value:.3f}"))


def measure(seeds: Sequence[int]) -> pd.DataFrame:
    """Scores of all densities and intervals, for these seeds."""
    parts: list[pd.DataFrame] = []
    for name, particles, pits in DENSITIES:
        for interval_s, frames in INTERVALS:
            for seed in seeds:
                with tempfile.TemporaryDirectory() as folder:
                    run = Path(folder)
                    make(run, particles, pits, interval_s, frames, seed)
                    told: dict[str, Any] = {"run": name, "interval_s": interval_s, "seed": seed}
                    parts.extend(part.assign(**told) for part in judge(run))
    return pd.concat(parts, ignore_index=True)


def make(
    folder: Path, particles: int, pits: int, interval_s: float, frames: int, seed: int
) -> None:
    """Make a run and find its particles."""
    changes: dict[str, Any] = {
        "frames": frames, "height_px": 768, "width_px": 768, "interval_s": interval_s,
        "seed": seed, "pits": {"per_mpx": pits}, "particles": {"per_mpx": particles},
    }  # fmt: skip
    corroscope.synth(out=folder / "made", settings=make_synth_settings(changes))
    corroscope.run(folder / "made" / "frames", out=folder / "result")


def judge(folder: Path) -> Iterator[pd.DataFrame]:
    """Scores of one run, on what is true and on what is found, a row for each kind and basis."""
    read = {name: pd.read_parquet(folder / "made" / "truth" / f"{name}.parquet")
            for name in ("tracks", "pits", "events", "frames")}  # fmt: skip
    images = folder / "made" / "frames"
    shape = imread(images / str(read["frames"]["image"].iloc[0])).shape
    truth = Truth(**read, shape=(int(shape[0]), int(shape[1])))
    followed = true_run(truth)
    yield scored(truth, followed).assign(basis="true tracks and pits")
    tracked = follow_particles(true_particles(truth), followed.frames, followed.pits)
    yield scored(truth, Followed(*tracked, *followed[2:])).assign(basis="true particles, pits")
    frames = pd.read_parquet(folder / "result" / "frames.parquet")
    found_pits = follow_pits(openings(images, frames), frames, shape=truth.shape)
    yield scored(
        truth,
        Followed(*follow_particles(true_particles(truth), frames, found_pits[0]), *found_pits,
                 frames),
    ).assign(basis="true particles")  # fmt: skip
    particles = pd.read_parquet(folder / "result" / "particles.parquet")
    particles = particles[~particles_in_pits(particles, found_pits[0])]
    tracked = follow_particles(particles, frames, found_pits[0])
    yield scored(truth, Followed(*tracked, *found_pits, frames)).assign(basis="found")


def scored(truth: Truth, run: Followed) -> pd.DataFrame:
    """Events and mothers of a run against its truth."""
    summary = find_mothers(*run)
    events = find_events(summary, run.pit_summary, run.frames)
    events = events[events["event"].isin(KINDS)]
    last = truth.pits.sort_values("frame").groupby("pit").last().reset_index()
    which_pit = true_pit_of(last, run.pit_summary)
    which_track = true_track_of(truth.tracks, run.tracks)
    large = set(last.loc[last["area_px"] >= LEAST_PIT_PX, "pit"]) - truth.beyond
    counted = set(truth.seen.loc[~truth.seen["pit"].isin(truth.beyond), "track"])
    of_pit = ~truth.events["event"].isin(["ejection"])
    true = truth.events[
        np.where(of_pit, truth.events["pit"].isin(large), truth.events["track"].isin(counted))
    ]
    events = events.assign(
        pit=events["pit"].map(which_pit).fillna(0).astype(int),
        track=events["track"].map(which_track).fillna(0).astype(int),
    )
    # Neither right nor wrong: what is there, but too small to count or from beyond the rim.
    small = (events["event"] == "ejection") & (events["track"] > 0)
    small &= ~events["track"].isin(counted)
    small |= (events["event"] != "ejection") & (events["pit"] > 0) & ~events["pit"].isin(large)
    scores = score_events(true, events[~small])
    mother = truth.tracks.groupby("track")["pit"].first()
    followed = summary["track"].map(which_track).fillna(0).astype(int)
    matched = summary[followed.isin(counted)]
    got = matched["pit"].map(which_pit).fillna(0).to_numpy(int)
    true_mother = mother.reindex(followed[followed.isin(counted)]).to_numpy(int)
    rows = [scores]
    hole = holes(last)
    for name, alike in (
        ("mother", got == true_mother),
        ("mother, by hole", pd.Series(got).map(hole).to_numpy() == [hole[m] for m in true_mother]),
    ):
        row: dict[str, Any] = {"event": name, "true": len(matched), "matched": int(alike.sum())}
        row["found"] = int((matched["pit"] > 0).sum())
        row["precision"] = row["matched"] / max(row["found"], 1)
        row["recall"] = row["f1"] = alike.mean() if len(alike) else np.nan
        rows.append(pd.DataFrame([row]))
    return pd.concat(rows, ignore_index=True)


def holes(last: pd.DataFrame) -> dict[int, int]:
    """Number of the hole that each pit is in: pits of which one opens over another are one."""
    place = last[["y_ref_px", "x_ref_px"]].to_numpy(float)
    apart = np.hypot(*(place[:, None] - place[None]).transpose(2, 0, 1))
    radius = np.sqrt(last["area_px"].to_numpy(float) / np.pi)
    _, hole = connected_components(apart <= np.maximum(radius[:, None], radius[None]))
    return dict(zip(last["pit"].tolist(), hole.tolist(), strict=True))


def true_run(truth: Truth) -> Followed:
    """The truth in the columns of what is followed."""
    rows = true_particles(truth).assign(track=truth.seen["track"].to_numpy())
    rows["state"] = np.where(truth.seen["state"] == "afloat", "afloat", "settled")
    by = rows.groupby("track")
    rows["step_s"], rows["joined"] = by["time_s"].diff(), False
    rows["step_y_px"], rows["step_x_px"] = by["y_ref_px"].diff(), by["x_ref_px"].diff()
    first, last = by.first(), by.last()
    settled = rows[rows["state"] == "settled"].groupby("track")["time_s"].min()
    summary = pd.DataFrame(
        {
            "track": first.index, "first_frame": first["frame"].to_numpy(),
            "last_frame": last["frame"].to_numpy(), "first_s": first["time_s"].to_numpy(),
            "last_s": last["time_s"].to_numpy(), "seen": by.size().to_numpy(),
            "y_first_px": first["y_ref_px"].to_numpy(), "x_first_px": first["x_ref_px"].to_numpy(),
            "y_last_px": last["y_ref_px"].to_numpy(), "x_last_px": last["x_ref_px"].to_numpy(),
            "area_px": by["area_px"].median().to_numpy(), "merged_into": 0, "quality": 1.0,
            "settled_s": settled.reindex(first.index).to_numpy(),
        }
    )  # fmt: skip
    summary["missed"] = summary["last_frame"] - summary["first_frame"] + 1 - summary["seen"]
    pits = truth.pits.assign(
        equivalent_radius_px=np.sqrt(truth.pits["area_px"] / np.pi), measured=True
    )
    known = pits.sort_values("frame").groupby("pit").last().reset_index()
    for kind, column in (("nucleation", "born_s"), ("death", "died_s")):
        when = truth.events[truth.events["event"] == kind].set_index("pit")
        known[column] = when["time_s"].reindex(known["pit"]).to_numpy()
        if kind == "nucleation":
            known["born_frame"] = when["frame"].reindex(known["pit"]).to_numpy()
    known = known.assign(born_low_s=known["born_s"], merged_into=0, merged_s=np.nan)
    return Followed(rows, summary, pits, known, truth.frames.assign(segmented=True))


def true_particles(truth: Truth) -> pd.DataFrame:
    """All that can be seen, in the columns of found particles."""
    seen = truth.seen
    absent = {column.name: 0.0 for column in PARTICLES if column.name not in seen}
    return seen.assign(**absent)[[column.name for column in PARTICLES]].reset_index(drop=True)


def openings(folder: Path, frames: pd.DataFrame) -> pd.DataFrame:
    """Dark regions of all frames of a run."""
    parts = []
    reference = relative_contrast(imread(folder / str(frames["image"].iloc[0])))
    usable = frames[frames["segmented"]]
    for frame, name, time_s, dy, dx in zip(
        *(usable[column].tolist() for column in ("frame", "image", "time_s", "dy_px", "dx_px")),
        strict=True,
    ):
        contrast = relative_contrast(imread(folder / name))
        found = find_openings(contrast, aligned_reference(reference, dy, dx))
        parts.append(
            found.assign(
                frame=frame,
                time_s=time_s,
                y_ref_px=found["y_px"] - dy, x_ref_px=found["x_px"] - dx,
            )
        )  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def pooled(scores: pd.DataFrame) -> pd.DataFrame:
    """Sums over seeds and intervals, by density and basis, and their ratios."""
    sums = scores.groupby(["run", "basis", "event"])[["true", "found", "matched"]].sum()
    sums["f1"] = 2 * sums["matched"] / (sums["true"] + sums["found"])
    mother = sums.index.get_level_values("event").str.startswith("mother")
    sums.loc[mother, "f1"] = sums["matched"][mother] / sums["true"][mother]
    return sums.reset_index()


if __name__ == "__main__":
    main()
