"""Make the table of detection efficiency that comes with corroscope, from synthetic runs.

    python benchmarks/measure_efficiency.py [--seeds N [N …]] [--out FOLDER]

Each run has its own density of particles, size, contrast and interval between frames. The shipped
network compares the last frame with the first one, aligned by the true drift; particles in mouths
of pits are taken out, as `corroscope run` does. What is left is matched one to one with the
products that can be seen (IoU ≥ 0.3). Products that touch count one by one in the truth.
"""

import argparse
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

import corroscope.segmentation.bundle
from corroscope.frames.contrast import relative_contrast
from corroscope.frames.resampling import aligned_reference
from corroscope.outputs import write_json
from corroscope.pipeline.efficiency import SHIPPED_FACTS, SHIPPED_TABLE
from corroscope.scoring.efficiency import calibrate
from corroscope.segmentation.openings import find_openings
from corroscope.segmentation.segmenter import Segmenter
from corroscope.synthesis.experiment import Experiment, Scene
from corroscope.synthesis.settings import SynthSettings, make_synth_settings
from corroscope.tracking.footprints import particles_in_pits
from corroscope.tracking.pits import follow_pits

SEEDS: Final = range(700, 740)
SIDE_PX: Final = 512
FRAMES: Final = 10
DENSITIES_PER_MPX: Final = (160, 1600)
RADIUS: Final = (0.8, 1.2)
"""Range of the factor of the particles' usual radius."""
FAINTER: Final = (0.75, 1.0)
"""Range of the factor of their usual opacity."""
INTERVALS_S: Final = (0.7, 3.0)
"""Faster runs of as many frames end while most particles are still afloat near their pits, where
far more are missed, and by how much differs from run to run."""
SEGMENTED: Final = 2
"""Frames at the end that are segmented: what lies still is told by two of them."""


@dataclass(frozen=True)
class Case:
    """One synthetic run."""

    seed: int
    per_mpx: float
    radius: float = 1.0
    fainter: float = 1.0
    interval_s: float = 1.0

    @property
    def settings(self) -> SynthSettings:
        """Of the run."""
        usual = SynthSettings().particles
        low, high = (self.fainter * one for one in usual.opacity)
        return make_synth_settings(
            {
                "frames": FRAMES, "height_px": SIDE_PX, "width_px": SIDE_PX,
                "seed": self.seed, "interval_s": self.interval_s,
                "pits": {"per_mpx": self.per_mpx / 40},
                "particles": {
                    "per_mpx": self.per_mpx, "radius_px": self.radius * usual.radius_px,
                    "opacity": [low, high],
                },
            }
        )  # fmt: skip


def main() -> None:
    """Write table and facts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--out", type=Path, default=corroscope.segmentation.bundle.SHIPPED)
    chosen = parser.parse_args()
    judged = judge_all([varied(seed) for seed in chosen.seeds])
    bundle = corroscope.segmentation.bundle.load_bundle()
    efficiency = calibrate(
        judged,
        min_area_px=bundle.card.min_area_px,
        field_px=pd.Series(float(SIDE_PX**2), index=range(len(chosen.seeds))),
    )
    table = chosen.out / SHIPPED_TABLE
    table.write_text(efficiency.table().to_csv(index=False), encoding="utf-8", newline="\n")
    facts = {
        "source": f"Detection efficiency measured on {len(chosen.seeds)} synthetic runs with a "
        "reference; for another microscope give your own evaluation (--efficiency DIR).",
        "network_sha256": bundle.card.network_sha256,
        "threshold": bundle.card.threshold,
        "min_area_px": bundle.card.min_area_px,
        "peak": bundle.card.peak,
        "tta": False,
        "area_edges_px": [edge for edge in efficiency.area_edges_px if np.isfinite(edge)],
        "criterion": "IoU ≥ 0.3, one to one; touching products count one by one",
        "field_px": SIDE_PX**2,
        "frames": f"the last of {FRAMES} of {SIDE_PX}×{SIDE_PX} px, compared with the first",
        "seeds": [min(chosen.seeds), max(chosen.seeds)],
        "particles_per_mpx": list(DENSITIES_PER_MPX),
        "radius_factor": list(RADIUS),
        "opacity_factor": list(FAINTER),
        "interval_s": list(INTERVALS_S),
    }
    write_json(chosen.out / SHIPPED_FACTS, facts)
    print(judged.groupby("side")["matched_iou_30"].agg(["size", "mean"]))


def varied(seed: int) -> Case:
    """The run of a seed: its own density, size, contrast and interval."""
    rng = np.random.default_rng([seed, 5])
    return Case(
        seed,
        float(np.exp(rng.uniform(*np.log(DENSITIES_PER_MPX)))),
        float(rng.uniform(*RADIUS)),
        float(rng.uniform(*FAINTER)),
        float(np.exp(rng.uniform(*np.log(INTERVALS_S)))),
    )


def judge_all(cases: Sequence[Case]) -> pd.DataFrame:
    """Judged particles of all runs, ``cluster`` being the place in the list."""
    with ProcessPoolExecutor(2) as pool:
        parts = pool.map(judge, cases)
        return pd.concat(
            [part.assign(cluster=number) for number, part in enumerate(parts)], ignore_index=True
        )


def judge(case: Case) -> pd.DataFrame:
    """Particles of the last frame of a run, as in `corroscope.tables.JUDGED_PARTICLES`."""
    segmenter = Segmenter()
    sigma_px = segmenter.bundle.card.background_sigma_px
    scenes = list(Experiment(case.settings).scenes())
    first = relative_contrast(scenes[0].frame, sigma_px)
    opened, found = [], []
    frames = pd.DataFrame(
        [
            (number, scene.time_s, *np.subtract(scene.drift_px, scenes[0].drift_px), True)
            for number, scene in enumerate(scenes)
        ],
        columns=["frame", "time_s", "dy_px", "dx_px", "segmented"],
    )
    for number, scene in enumerate(scenes):
        dy, dx = frames["dy_px"][number], frames["dx_px"][number]
        before = aligned_reference(first, dy, dx)
        opened.append(
            placed(find_openings(relative_contrast(scene.frame, sigma_px), before), frames, number)
        )
        if number >= len(scenes) - SEGMENTED:
            last = segmenter(scene.frame, before)
            found.append(placed(last.particles, frames, number))
    openings = pd.concat([one for one in opened if len(one)] or opened[:1], ignore_index=True)
    particles = pd.concat([one for one in found if len(one)] or found[:1], ignore_index=True)
    pits, _ = follow_pits(openings, frames)
    part_of_pit = particles_in_pits(particles, pits)
    kept = particles[~part_of_pit & (particles["frame"] == len(scenes) - 1).to_numpy()]
    labels = np.where(np.isin(last.labels, kept["particle"]), last.labels, 0)
    return matched(labels, scenes[-1], last.contrast)


def placed(rows: pd.DataFrame, frames: pd.DataFrame, number: int) -> pd.DataFrame:
    """What was found in a frame, with its time and its place in the reference."""
    dy, dx = frames["dy_px"][number], frames["dx_px"][number]
    return rows.assign(
        frame=number,
        time_s=frames["time_s"][number],
        y_ref_px=rows["y_px"] - dy,
        x_ref_px=rows["x_px"] - dx,
    )


def matched(labels: NDArray[np.int32], scene: Scene, contrast: NDArray[np.float32]) -> pd.DataFrame:
    """Both sides of a frame with areas, contrasts and partners."""
    sides = [renumbered(scene.instances), renumbered(labels)]
    areas = [np.bincount(side.ravel())[1:] for side in sides]
    shared = np.zeros((areas[0].size + 1, areas[1].size + 1))
    np.add.at(shared, (sides[0].ravel(), sides[1].ravel()), 1)
    shared = shared[1:, 1:]
    iou = shared / (areas[0][:, None] + areas[1] - shared)
    # As many pairs as can be, and of these the best: an IoU adds less than another pair.
    value = np.where(iou >= 0.3, 1 + iou / (min(iou.shape, default=0) + 1), 0)
    true, found = linear_sum_assignment(value, maximize=True)
    good = iou[true, found] >= 0.3
    pairs = [true[good], found[good]]
    return pd.concat(
        side_rows(
            name, sides[here], contrast, areas[here], pairs[here], pairs[1 - here],
            areas[1 - here],
        )
        for here, name in enumerate(("annotated", "predicted"))
    )  # fmt: skip


def side_rows(
    name: str,
    labels: NDArray[np.int64],
    contrast: NDArray[np.float32],
    area: NDArray[np.int64],
    mine: NDArray[np.intp],
    theirs: NDArray[np.intp],
    area_there: NDArray[np.int64],
) -> pd.DataFrame:
    """Rows of one side."""
    sums = np.bincount(labels.ravel(), weights=contrast.ravel(), minlength=area.size + 1)[1:]
    partner, partner_area = np.zeros(area.size, np.int64), np.full(area.size, np.nan)
    partner[mine] = theirs + 1
    partner_area[mine] = area_there[theirs]
    return pd.DataFrame(
        {
            "side": name,
            "particle": np.arange(1, area.size + 1),
            "area_px": area,
            "contrast": -sums / area,
            "partner": partner,
            "partner_area_px": partner_area,
            "matched_iou_30": partner > 0,
        }
    )


def renumbered(labels: NDArray[np.int32]) -> NDArray[np.int64]:
    """Labels 0, 1, 2, … without gaps."""
    present: Iterable[int] = np.unique(labels)
    values = np.asarray(list(present), np.int64)
    if values[0] != 0:  # a frame without background
        values = np.concatenate([[0], values])
    return np.searchsorted(values, labels)


if __name__ == "__main__":
    main()
