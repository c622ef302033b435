"""Tracks against synthetic truth: ours, trackpy's and laptrack's on the same particles.

    python benchmarks/tracking_links.py --seeds 900 901 --network

Runs at three densities, with frames 1 s and 0.1 s apart. Particles are the true ones that can be
seen; the same with 5 % left out, 3 % false ones and 0.3 px of noise; and, with ``--network``, those
that the shipped network finds. ``perfect`` links each particle as the truth does: the best that can
be had from these particles. ``slow`` columns are of true tracks whose every step is at most half
the distance to the nearest other particle.

The other linkers must be told how far a particle may go. ``range`` gives them what they can hardly
know: the 95 % quantile of true steps; where trackpy refuses because too many particles are in
reach of each other, or takes longer than 10 s, four fifths of the range again and again until it
does not. ``best`` tries ranges of 4 to 25 px besides and, for trackpy, a memory of none or three
frames, and takes what has the highest JSC against the truth. ``default`` is laptrack as it comes;
trackpy has no default range.
"""

import argparse
import importlib
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial import cKDTree

import corroscope
from corroscope.scoring.tracks import Points, score_tracks
from corroscope.synthesis.experiment import Experiment
from corroscope.synthesis.settings import SynthSettings, make_synth_settings
from corroscope.tables import PARTICLES
from corroscope.tracking.trackmeasures import mean_squared_displacement
from corroscope.tracking.tracks import follow_particles


def _import_elsewhere(name: str) -> Any:
    """Import a package that needs numba, which would take coverage.py beside this for another."""
    before, here = list(sys.path), Path(__file__).resolve().parent
    sys.path[:] = [path for path in before if Path(path).resolve() != here]
    try:
        return importlib.import_module(name)
    finally:
        sys.path[:] = before


trackpy = _import_elsewhere("trackpy")
laptrack = _import_elsewhere("laptrack")

DENSITIES = {"sparse": (160, 8), "usual": (640, 16), "dense": (1600, 30)}
"""Particles by the end and pits, per million pixels."""
INTERVALS_S = {1.0: 40, 0.1: 80}
"""Time between frames, and how many."""
PATIENCE_S = 10
"""trackpy's time grows exponentially with the number of particles in reach of each other."""
RANGES_PX = (4.0, 8.0, 15.0, 25.0)
PLACE = ["y_ref_px", "x_ref_px"]


class Case(NamedTuple):
    """Particles to be linked, and the truth of them."""

    true: pd.DataFrame
    """Particles that can be seen: ``track``, ``frame``, ``time_s``, places, ``state``."""
    particles: pd.DataFrame
    """As the table of particles, with ``true_track``; 0 for a false one."""
    frames: pd.DataFrame
    pits: pd.DataFrame | None


class Linked(NamedTuple):
    """Tracks of one linker: for each row its track and which particle it is."""

    track: NDArray[np.int64]
    row: NDArray[np.int64]
    seconds: float


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[900, 901])
    parser.add_argument("--network", action="store_true", help="particles as found, too")
    parser.add_argument("--size", type=int, default=768, help="height and width, px")
    parser.add_argument("--real", type=Path, help="folder with particles.csv that has `track`")
    chosen = parser.parse_args()
    if chosen.real is not None:
        print(_table(measure_real(chosen.real)))
        return
    scores, physics, qualities = measure(chosen.seeds, chosen.network, chosen.size)
    keys = ["density", "interval_s", "particles", "linker"]
    for title, part in (("JSC and the like", scores), ("Motion, found over true", physics)):
        print(f"## {title}, mean over {len(chosen.seeds)} seeds\n")
        print(
            _table(
                part.groupby(keys[: 4 if part is scores else 3], sort=False)
                .mean(numeric_only=True)
                .drop(columns="seed")
                .reset_index()
            ),
            "\n",
        )
    print("## Quality of tracks of two rows and more\n\n" + _table(calibration(qualities)), "\n")
    print("## 770 frames of 300 particles\n\n" + _table(measure_speed()))


def measure(
    seeds: Sequence[int], network: bool = False, size: int = 768
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Scores of each linker, motion found over true, and quality of ours with the truth of it."""
    rows, physics, qualities = [], [], []
    for seed in seeds:
        for number, (density, interval_s) in enumerate(
            (d, i) for d in DENSITIES for i in INTERVALS_S
        ):
            settings = _settings(density, interval_s, seed, size)
            for kind, case in cases(settings, 10 * seed + number, network):
                name = {
                    "seed": seed,
                    "density": density,
                    "interval_s": interval_s,
                    "particles": kind,
                }
                for linker, linked in linkers(case).items():
                    rows.append({**name, "linker": linker, **judged(case, linked)})
                    if linker == "ours":
                        qualities.append(_qualities(case, linked))
                physics.append({**name, **motion(case)})
    return pd.DataFrame(rows), pd.DataFrame(physics), pd.concat(qualities, ignore_index=True)


def measure_real(folder: Path) -> pd.DataFrame:
    """The same for recorded motion: ``particles.csv`` in our columns, with a column ``track``."""
    table = pd.read_csv(folder / "particles.csv")
    for column in PARTICLES:
        if column.name not in table:
            table[column.name] = np.nan if column.dtype == "float64" else 0
    if table["particle"].eq(0).all():
        table["particle"] = table.groupby("frame").cumcount() + 1
    for place, own in zip(PLACE, ("y_px", "x_px"), strict=True):
        table[place] = table[place].fillna(table[own])
    times = table.groupby("frame")["time_s"].first()
    every = pd.RangeIndex(times.index.min(), times.index.max() + 1)
    known = times.reindex(every).interpolate()
    frames = pd.DataFrame({"frame": every, "time_s": known.to_numpy(), "segmented": True})
    table = table.sort_values(["frame", "particle"], ignore_index=True)
    case = Case(table, table.assign(true_track=table["track"]).drop(columns="track"), frames, None)
    return pd.DataFrame(
        {"linker": linker, **judged(case, linked)} for linker, linked in linkers(case).items()
    )


def _settings(density: str, interval_s: float, seed: int, size: int) -> SynthSettings:
    particles, pits = DENSITIES[density]
    changes: dict[str, Any] = {
        "frames": INTERVALS_S[interval_s], "height_px": size, "width_px": size,
        "interval_s": interval_s, "seed": seed, "pits": {"per_mpx": pits},
        "particles": {"per_mpx": particles}, "camera": {"exposure_s": 0.02},
    }  # fmt: skip
    return make_synth_settings(changes)


def cases(settings: SynthSettings, seed: int, network: bool) -> Iterator[tuple[str, Case]]:
    """True particles, degraded ones, and those that the network finds."""
    true, frames, pits = _truth(settings)
    exact = _as_particles(true)
    yield "true", Case(true, exact, frames, pits)
    rng = np.random.default_rng(seed)
    left = exact[rng.random(len(exact)) >= 0.05]
    false = left.sample(round(0.03 * len(left)), random_state=rng).assign(true_track=0)
    false[PLACE] = rng.uniform(0, settings.shape, (len(false), 2))
    both = pd.concat([left, false]).sort_values("frame", kind="stable", ignore_index=True)
    both[PLACE] += rng.normal(0, 0.3, (len(both), 2))
    both["particle"] = both.groupby("frame").cumcount() + 1
    yield "degraded", Case(true, both, frames, pits)
    if network:
        with tempfile.TemporaryDirectory() as folder:
            made, result = Path(folder, "made"), Path(folder, "result")
            corroscope.synth(out=made, settings=settings)
            corroscope.run(made / "frames", out=result)
            found = pd.read_parquet(result / "particles.parquet")
            seen = pd.read_parquet(result / "frames.parquet")
        found["true_track"] = _true_of(found, true)
        yield "network", Case(true, found, seen, pits)


def _truth(settings: SynthSettings) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Particles that can be seen, frames, and pits; frames are counted as the files would be."""
    tracks, pits, times = [], [], []
    for number, scene in enumerate(Experiment(settings).scenes()):
        named = {"frame": number, "time_s": scene.time_s}
        tracks.append(scene.tracks[scene.tracks["seen"]].assign(**named))
        pits.append(scene.pits.assign(**named))
        times.append(scene.time_s)
    frames = pd.DataFrame({"frame": range(len(times)), "time_s": times, "segmented": True})
    # An empty table has no types of its own.
    true = pd.concat([part for part in tracks if len(part)], ignore_index=True)
    true["track"] = true["particle"]
    return true, frames, pd.concat([part for part in pits if len(part)], ignore_index=True)


def _as_particles(true: pd.DataFrame) -> pd.DataFrame:
    table = true.assign(image="", eccentricity=0.0, score=1.0, true_track=true["track"])
    for side in ("top", "left", "bottom", "right"):
        table[f"bbox_{side}_px"] = 0
    return table[[*(c.name for c in PARTICLES), "true_track"]]


def _true_of(found: pd.DataFrame, true: pd.DataFrame) -> NDArray[np.int64]:
    """True track of each particle whose nearest true one is at most 3 px away, and it its."""
    result = np.zeros(len(found), np.int64)
    for frame, part in true.groupby("frame"):
        here = np.flatnonzero(found["frame"].to_numpy() == frame)
        if not here.size:
            continue
        a, b = part[PLACE].to_numpy(float), found.iloc[here][PLACE].to_numpy(float)
        distance, nearest = cKDTree(a).query(b, distance_upper_bound=3.0)
        back = cKDTree(b).query(a)[1]
        ok = np.isfinite(distance)
        ok[ok] = back[nearest[ok]] == np.flatnonzero(ok)
        result[here[ok]] = part["track"].to_numpy()[nearest[ok]]
    return result


def linkers(case: Case) -> dict[str, Linked]:
    """Every linker on the same particles."""
    table = case.particles
    places = pd.DataFrame({"frame": table["frame"], "y": table[PLACE[0]], "x": table[PLACE[1]]})
    places = places.reset_index(drop=True)
    step = case.true.sort_values(["track", "frame"]).groupby("track")[PLACE].diff()
    range_px = float(np.nanquantile(np.hypot(*step.to_numpy().T), 0.95))
    plain = table.drop(columns="true_track")
    result = {}
    if case.pits is not None:
        result["ours"] = _timed(lambda: _ours(plain, case.frames, case.pits))
    result["ours without pits"] = _timed(lambda: _ours(plain, case.frames, None))
    result["laptrack default"] = _timed(lambda: _laptrack(places, None))
    result["laptrack range"] = _timed(lambda: _laptrack(places, range_px))
    result["trackpy range"] = _trackpy_shrunk(places, range_px)
    ways = [_trackpy_tried(places, r, memory) for r in RANGES_PX for memory in (0, 3)]
    result["trackpy best"] = max(
        (way for way in (*ways, result["trackpy range"]) if way is not None),
        key=lambda linked: judged(case, linked)["jsc"],
    )
    tried = [_timed(partial(_laptrack, places, r)) for r in RANGES_PX]
    tried += [result["laptrack default"], result["laptrack range"]]
    result["laptrack best"] = max(tried, key=lambda linked: judged(case, linked)["jsc"])
    own = table["true_track"].to_numpy()
    lone = np.where(own > 0, own, own.max(initial=0) + 1 + np.arange(len(own)))
    result["perfect"] = Linked(lone, np.arange(len(own)), 0.0)
    return result


def _timed(link: Callable[[], tuple[NDArray[np.int64], NDArray[np.int64]]]) -> Linked:
    start = time.perf_counter()
    track, row = link()
    return Linked(track, row, time.perf_counter() - start)


def _ours(
    particles: pd.DataFrame, frames: pd.DataFrame, pits: pd.DataFrame | None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    tracks, _ = follow_particles(particles, frames, pits)
    rows = pd.Series(
        np.arange(len(particles)), pd.MultiIndex.from_frame(particles[["frame", "particle"]])
    )
    index = pd.MultiIndex.from_frame(tracks[["frame", "particle"]])
    return tracks["track"].to_numpy(np.int64), rows.loc[index].to_numpy(np.int64)


def _trackpy(
    places: pd.DataFrame, range_px: float, memory: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    trackpy.quiet()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = trackpy.link(places, range_px, pos_columns=["y", "x"], memory=memory)
    return found["particle"].sort_index().to_numpy(np.int64) + 1, np.arange(len(places))


def _trackpy_tried(places: pd.DataFrame, range_px: float, memory: int) -> Linked | None:
    """None where trackpy refuses, or would take too long."""

    def stop(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(PATIENCE_S)
    try:
        return _timed(partial(_trackpy, places, range_px, memory))
    except (trackpy.SubnetOversizeException, TimeoutError):
        return None
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _trackpy_shrunk(places: pd.DataFrame, range_px: float) -> Linked:
    """With the largest range up to this that it accepts."""
    while True:
        linked = _trackpy_tried(places, range_px, 0)
        if linked is not None:
            return linked
        range_px *= 0.8


def _laptrack(
    places: pd.DataFrame, range_px: float | None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    cut = {} if range_px is None else {"cutoff": range_px**2, "gap_closing_cutoff": range_px**2}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found, _, _ = laptrack.LapTrack(**cut).predict_dataframe(
            places.assign(row=np.arange(len(places))), ["y", "x"], only_coordinate_cols=False
        )
    found = found.sort_values("row")
    return found["track_id"].to_numpy(np.int64) + 1, np.arange(len(places))


def judged(case: Case, linked: Linked) -> dict[str, float]:
    """Scores of all tracks, and JSC and right links of the slow ones."""
    frame = case.particles["frame"].to_numpy(np.int64)[linked.row]
    place = case.particles[PLACE].to_numpy(float)[linked.row]
    true = case.true
    whole = Points(
        true["track"].to_numpy(np.int64),
        true["frame"].to_numpy(np.int64),
        true[PLACE].to_numpy(float),
    )
    score = score_tracks(whole, Points(linked.track, frame, place))
    slow = np.isin(whole.track, slow_tracks(true))
    ours = np.isin(case.particles["true_track"].to_numpy()[linked.row], slow_tracks(true))
    part = score_tracks(
        Points(whole.track[slow], whole.frame[slow], whole.place_px[slow]),
        Points(linked.track[ours], frame[ours], place[ours]),
    )
    return {
        **{name: value for name, value in score._asdict().items() if name not in ("detection",)},
        "links": right_links(case, linked),
        "slow_jsc": part.jsc,
        "slow_hota": part.hota,
        "seconds": linked.seconds,
    }


def slow_tracks(true: pd.DataFrame) -> NDArray[np.int64]:
    """True tracks of two rows or more whose every step is at most half the neighbour distance."""
    near = np.full(len(true), np.inf)
    for rows in true.groupby("frame").indices.values():
        if len(rows) > 1:
            place = true.iloc[rows][PLACE].to_numpy(float)
            near[rows] = cKDTree(place).query(place, k=2)[0][:, 1]
    table = true.assign(near=near).sort_values(["track", "frame"])
    group = table.groupby("track")
    step = np.hypot(*group[PLACE].diff().to_numpy().T)
    fast = step > group["near"].shift() / 2
    verdict = pd.DataFrame({"fast": fast, "rows": 1}).groupby(table["track"]).sum()
    return verdict.index[(verdict["fast"] == 0) & (verdict["rows"] > 1)].to_numpy(np.int64)


def right_links(case: Case, linked: Linked) -> float:
    """Jaccard index of links between particles that are there."""
    wanted = _links(
        case.particles["true_track"].to_numpy(np.int64), np.arange(len(case.particles)), case
    )
    made = _links(linked.track, linked.row, case)
    common = len(wanted & made)
    total = len(wanted) + len(made) - common
    return common / total if total else float("nan")


def _links(track: NDArray[np.int64], row: NDArray[np.int64], case: Case) -> set[tuple[int, int]]:
    frame = case.particles["frame"].to_numpy()[row]
    order = np.lexsort((frame, track))
    order = order[track[order] > 0]
    same = track[order][1:] == track[order][:-1]
    return set(zip(row[order][:-1][same].tolist(), row[order][1:][same].tolist(), strict=True))


def motion(case: Case) -> dict[str, float]:
    """Median speed and mean squared displacement of ours over those of the truth."""
    tracks, summary = follow_particles(
        case.particles.drop(columns="true_track"), case.frames, case.pits
    )
    true = case.true.sort_values(["track", "frame"])
    group = true.groupby("track")
    speed = np.hypot(*group[PLACE].diff().to_numpy().T) / group["time_s"].diff()
    # What rolls is settled in the truth, but it moves.
    true["state"] = np.where(true["state"].eq("stuck"), "settled", "afloat")
    afloat = true["state"].eq("afloat")
    real = speed[afloat].groupby(true["track"]).median().median()
    interval_s = float(np.median(np.diff(case.frames["time_s"])))
    lags = interval_s * np.array([1.0, 2.0, 4.0])
    ours, theirs = (mean_squared_displacement(t, lags)["msd_px2"] for t in (tracks, true))
    return {
        "speed": summary["speed_px_s"].median() / real,
        **{f"msd_{n}": a / b for n, a, b in zip((1, 2, 4), ours, theirs, strict=True)},
        "tracks": len(summary) / true["track"].nunique(),
    }


def _qualities(case: Case, linked: Linked) -> pd.DataFrame:
    """Quality of each of our tracks, and whether all of it is of one true particle."""
    _, summary = follow_particles(case.particles.drop(columns="true_track"), case.frames, case.pits)
    wanted = _links(
        case.particles["true_track"].to_numpy(np.int64), np.arange(len(case.particles)), case
    )
    order = np.lexsort((case.particles["frame"].to_numpy()[linked.row], linked.track))
    track, row = linked.track[order], linked.row[order]
    same = track[1:] == track[:-1]
    right = [
        link in wanted for link in zip(row[:-1][same].tolist(), row[1:][same].tolist(), strict=True)
    ]
    whole = pd.Series(right).groupby(track[1:][same]).all()
    quality = summary.set_index("track")["quality"]
    return pd.DataFrame({"quality": quality.loc[whole.index], "right": whole})


def calibration(qualities: pd.DataFrame) -> pd.DataFrame:
    """Mean quality and share of right tracks, in classes of quality."""
    edges = [0, 0.3, 0.6, 0.8, 0.9, 0.95, 0.99, 1.0]
    groups = qualities.groupby(
        pd.cut(qualities["quality"], edges, include_lowest=True), observed=True
    )
    table = groups.agg(
        quality=("quality", "mean"), right=("right", "mean"), tracks=("right", "size")
    )
    return table.reset_index(names="class").astype({"class": str})


def measure_speed(seed: int = 900) -> pd.DataFrame:
    """Seconds for 770 frames of 300 particles, of which 60 are afloat, and ratios to the others."""
    rng = np.random.default_rng(seed)
    pits = rng.uniform(0, 2448, (40, 2))
    rest = rng.uniform(0, 2448, (240, 2))
    away = np.zeros((60, 4))  # pit, angle, squared distance, its growth
    away[:, 2] = np.inf
    parts = []
    for frame in range(770):
        gone = away[:, 2] > 400**2
        number = int(gone.sum())
        away[gone] = np.column_stack(
            [
                rng.integers(40, size=number), rng.uniform(0, 2 * np.pi, number),
                rng.uniform(25, 2500, number), 5000 * np.exp(rng.normal(0, 0.6, number)),
            ]
        )  # fmt: skip
        far = np.sqrt(away[:, 2])[:, None]
        afloat = pits[away[:, 0].astype(int)] + far * np.stack(
            [np.sin(away[:, 1]), np.cos(away[:, 1])], axis=1
        )
        place = np.concatenate(
            [rest + rng.normal(0, 0.2, rest.shape), afloat + rng.normal(0, 1, afloat.shape)]
        )
        parts.append(
            pd.DataFrame(
                {
                    "frame": frame,
                    "time_s": float(frame),
                    "y_ref_px": place[:, 0],
                    "x_ref_px": place[:, 1],
                }
            )
        )
        away[:, 2] += away[:, 3]
    table = pd.concat(parts, ignore_index=True)
    table = table.assign(particle=table.groupby("frame").cumcount() + 1, area_px=20, contrast=0.3)
    table = table.reindex(columns=[c.name for c in PARTICLES], fill_value=0)
    frames = pd.DataFrame({"frame": range(770), "time_s": np.arange(770.0), "segmented": True})
    known = pd.DataFrame(
        {"pit": np.arange(40) + 1, "frame": 0, "y_ref_px": pits[:, 0], "x_ref_px": pits[:, 1]}
    )
    places = table[["frame"]].assign(y=table["y_ref_px"], x=table["x_ref_px"])
    seconds = {
        "ours": _timed(lambda: _ours(table, frames, known)).seconds,
        "trackpy, 15 px": _timed(lambda: _trackpy(places, 15.0, 0)).seconds,
        "laptrack, 15 px": _timed(lambda: _laptrack(places, 15.0)).seconds,
    }
    return pd.DataFrame(
        {"linker": name, "seconds": value, "ours over it": seconds["ours"] / value}
        for name, value in seconds.items()
    )


def _table(rows: pd.DataFrame) -> str:
    """As Markdown."""
    cells = [
        [f"{v:.3f}" if isinstance(v, float) else str(v) for v in row]
        for row in rows.itertuples(index=False)
    ]
    lines = [list(rows.columns), ["---"] * rows.shape[1], *cells]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    main()
