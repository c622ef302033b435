"""Pits followed through a sequence: told from particles, with birth, growth and death."""

from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from corroscope.errors import SettingsError
from corroscope.tables import FOLLOWED_PITS, PIT_SUMMARY
from corroscope.tracking.growing import depths_of, find_growing
from corroscope.tracking.growth import Growth
from corroscope.tracking.satellites import Grouped, group_spots
from corroscope.tracking.spots import link_spots
from corroscope.tracking.timeline import Timeline

LEAST_AREA_PX: Final = 8.0
"""Area that a pit must reach; smaller ones cannot be told from particles."""

RIM_PX: Final = 2.0
"""So near to the rim of the picture a pit is taken to go on beyond it."""

LASTING: Final = 0.2
"""Share of the run that a pit must grow for to be stable, if no time in seconds is given."""


class _Pit(NamedTuple):
    """A pit while it is being put together."""

    main: int
    frame: NDArray[np.int64]
    area: NDArray[np.float64]
    """Where it was seen, in order of time."""
    fitted_until: int
    """First frame that is not its own any more: it has merged, or another into it."""
    merged_into: int
    merged: int
    y: float
    x: float


def follow_pits(
    openings: pd.DataFrame,
    frames: pd.DataFrame,
    lasting_s: float | None = None,
    lasting_share: float = LASTING,
    least_area_px: float = LEAST_AREA_PX,
    shape: tuple[int, int] | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Follow pits, from the dark regions of every frame.

    A pit stays where it is, never closes, and grows. Regions at one place are linked to spots;
    those that grow by a law, rather than by the jumps of particles that arrive, are pits, with
    their satellites and lobes. Each is fitted ``area = c · (time − birth)^n`` up to its death.
    Where two pits grow together, the common opening belongs to the older one from then on, and
    laws are fitted to what was before.

    *Stable* is a pit that still grows at the end and has grown for a while; *metastable*, one
    that ceased before; *dead*, one that ceased after; *undecided*, one that was seen too
    shortly or whose areas fit no law. How long that while is differs with alloy and solution
    (from seconds to minutes), so that it is an argument.

    Parameters
    ----------
    openings
        With the columns of `corroscope.tables.OPENINGS`.
    frames
        All frames: ``frame``, ``time_s``, and ``segmented``, false for gaps.
    lasting_s
        Time of growth, in s, from which a pit is not metastable; None for a share of the run.
    lasting_share
        That share, where no time is given or times are unknown.
    least_area_px
        Pits that never reach it are left out.
    shape
        Height and width of a frame: from where its rim cuts a pit off, no law is fitted; None if
        nothing is cut off.

    Returns
    -------
    pits : pandas.DataFrame
        With the columns of `corroscope.tables.FOLLOWED_PITS`.
    summary : pandas.DataFrame
        With those of `corroscope.tables.PIT_SUMMARY`. Birth in seconds, exponent and death are
        empty where times are unknown or too little was seen; the birth of a pit that is open in
        the first usable frame is unknown, and its ``born_frame`` is that frame.

    Raises
    ------
    SettingsError
        If a limit is not above 0, or an opening is in no frame of the table.

    References
    ----------
    G. S. Frankel, *Pitting corrosion of metals*, J. Electrochem. Soc. 145, 1998,
    doi:10.1149/1.1838615: metastable and stable pits. G. T. Burstein, P. C. Pistorius,
    S. P. Mattin, *The nucleation and growth of corrosion pits on stainless steel*, Corros.
    Sci. 35, 1993: metastable pits repassivate under their cover. P. Ernst, R. C. Newman,
    *Pit growth studies in stainless steel foils*, Corros. Sci. 44, 2002: lacy covers.

    Examples
    --------
    >>> time = np.arange(12.0)
    >>> area = 12 * (time[3:] - 2.5)
    >>> side = np.sqrt(area)
    >>> openings = pd.DataFrame({
    ...     "frame": np.arange(3, 12), "time_s": time[3:], "opening": 1, "y_px": 50.0,
    ...     "x_px": 60.0, "y_ref_px": 50.0, "x_ref_px": 60.0, "area_px": area.astype(int),
    ...     "soft_area_px": 0.9 * area, "depth": 0.9, "bbox_top_px": (50 - side / 2).astype(int),
    ...     "bbox_left_px": (60 - side / 2).astype(int),
    ...     "bbox_bottom_px": (51 + side / 2).astype(int),
    ...     "bbox_right_px": (61 + side / 2).astype(int),
    ... })
    >>> frames = pd.DataFrame({"frame": np.arange(12), "time_s": time, "segmented": True})
    >>> pits, summary = follow_pits(openings, frames)
    >>> summary[["born_frame", "born_s", "exponent", "kind"]].round(2).values.tolist()
    [[3, 2.5, 1.0, 'stable']]
    """
    _check(openings, frames, lasting_s, lasting_share, least_area_px)
    course = Timeline(frames)
    known = openings[course.usable(openings["frame"].to_numpy(np.int64))]
    known = known[known["soft_area_px"] > 0].sort_values(
        ["frame", "opening"], ignore_index=True, kind="stable"
    )
    if len(known) == 0:
        return _tables([], [], course)
    spots = link_spots(known)
    rows = known.assign(spot=spots.spot, cut=_cut_off(known, shape))
    rows["area"] = rows["soft_area_px"] / depths_of(rows)
    grows, larger = find_growing(rows, spots.into, course, least_area_px)
    # Depths are those of what turned out to be pits, not of particles.
    rows["area"] = rows["soft_area_px"] / depths_of(rows, grows)
    grouped = group_spots(rows, grows, larger, spots.into, spots.swallowed)
    pits = [pit for pit in _pits(rows, grouped, course) if pit.area.max() >= least_area_px]
    laws = [_law(pit, course) for pit in pits]
    order = sorted(range(len(pits)), key=lambda k: (_birth(pits[k], laws[k], course), pits[k].main))
    lasting = lasting_s
    if lasting is None or not course.timed:
        lasting = lasting_share * course.length
    return _tables([pits[k] for k in order], [laws[k] for k in order], course, lasting)


def _check(
    openings: pd.DataFrame,
    frames: pd.DataFrame,
    lasting_s: float | None,
    lasting_share: float,
    least_area_px: float,
) -> None:
    if lasting_s is not None and not lasting_s > 0:
        raise SettingsError(f"lasting_s {lasting_s:g}: must be above 0")
    if not 0 < lasting_share <= 1:
        raise SettingsError(f"lasting_share {lasting_share:g}: must lie between 0 and 1")
    if not least_area_px > 0:
        raise SettingsError(f"least_area_px {least_area_px:g}: must be above 0")
    strange = set(openings["frame"].tolist()) - set(frames["frame"].tolist())
    if strange:
        raise SettingsError(
            f"an opening is in frame {min(strange)}, which is not in the table of frames; give "
            "both tables of one run"
        )


def _pits(rows: pd.DataFrame, grouped: Grouped, course: Timeline) -> list[_Pit]:
    """Areas of each pit through time, mergers undone."""
    rows = rows.assign(pit=grouped.pit_of[rows["spot"].to_numpy()])
    rows = rows[rows["pit"] >= 0]
    begun = rows.groupby("pit")["frame"].min()
    first: dict[int, int] = dict(
        zip(begun.index.to_numpy(np.int64).tolist(), begun.tolist(), strict=True)
    )
    # Who the opening that a main spot has become belongs to.
    owner = {main: main for main in first}
    merged: dict[int, tuple[int, int]] = {}
    until: dict[int, int] = {}
    for one, other, frame in sorted(grouped.mergers, key=lambda merger: merger[2]):
        a, b = owner[one], owner[other]
        older, younger = (a, b) if (first[a], a) <= (first[b], b) else (b, a)
        if a == b:
            continue
        if younger == b:
            later = (rows["pit"] == b) & (rows["frame"] >= frame)
            rows = rows.assign(pit=rows["pit"].where(~later, a))
        rows = rows[~((rows["pit"] == younger) & (rows["frame"] >= frame))]
        for main, now in owner.items():
            if now == younger:
                owner[main] = older
        merged[younger] = (older, frame)
        for pit in (a, b):
            until.setdefault(pit, frame)
    for name, frames in rows[rows["cut"]].groupby("pit")["frame"]:
        cut = int(frames.min())
        until[int(str(name))] = min(until.get(int(str(name)), cut), cut)
    pits = []
    for name, part in rows.groupby("pit"):
        main = int(str(name))
        area = part.groupby("frame")["area"].sum()
        # Where it was before another one grew into it.
        own = part[part["frame"] < until.get(main, int(course.number[-1]) + 1)]
        own = own if len(own) else part
        last = own[own["frame"] == own["frame"].max()]
        weight = last["area"].to_numpy(np.float64)
        into, when = merged.get(main, (-1, -1))
        pits.append(
            _Pit(
                main=main,
                frame=area.index.to_numpy(np.int64),
                area=area.to_numpy(np.float64),
                fitted_until=until.get(main, int(course.number[-1]) + 1),
                merged_into=into,
                merged=when,
                y=float(np.average(last["y_ref_px"], weights=weight)),
                x=float(np.average(last["x_ref_px"], weights=weight)),
            )
        )
    return pits


def _cut_off(rows: pd.DataFrame, shape: tuple[int, int] | None) -> NDArray[np.bool_]:
    """Whether openings reach the rim of what frame and reference both show."""
    cut = np.zeros(len(rows), bool)
    if shape is None:
        return cut
    for axis, low, high, size in (
        ("y", "top", "bottom", shape[0]),
        ("x", "left", "right", shape[1]),
    ):
        moved = (rows[f"{axis}_px"] - rows[f"{axis}_ref_px"]).to_numpy(np.float64)
        cut |= rows[f"bbox_{low}_px"].to_numpy() <= np.maximum(moved, 0) + RIM_PX
        cut |= rows[f"bbox_{high}_px"].to_numpy() >= size + np.minimum(moved, 0) - RIM_PX
    return cut


def _law(pit: _Pit, course: Timeline) -> Growth | None:
    own = pit.frame < pit.fitted_until
    return course.law(pit.frame[own], pit.area[own]) if own.any() else None


def _birth(pit: _Pit, law: Growth | None, course: Timeline) -> float:
    """Time of birth, or of the first sight where it is unknown."""
    first = float(course.clock[course.place(int(pit.frame[0]))])
    if law is None or _there_before(pit, course):
        return first
    return min(law.born, first)


def _there_before(pit: _Pit, course: Timeline) -> bool:
    """Whether it was open before anything was seen."""
    return not np.isfinite(course.absent(int(pit.frame[0])))


def _kind(
    pit: _Pit, law: Growth | None, born: float, there: bool, course: Timeline, lasting: float
) -> str:
    if law is None:
        return "undecided"
    if np.isfinite(law.died):
        if law.died - born >= lasting:
            return "dead"
        return "undecided" if there else "metastable"
    last = float(course.clock[course.place(int(pit.frame[-1]))])
    return "stable" if last - born >= lasting else "undecided"


def _tables(
    pits: list[_Pit], laws: list[Growth | None], course: Timeline, lasting: float = 0.0
) -> tuple[pd.DataFrame, pd.DataFrame]:
    number = {pit.main: place for place, pit in enumerate(pits, 1)}
    rows, summary = [], []
    for pit, law in zip(pits, laws, strict=True):
        there = _there_before(pit, course)
        born = _birth(pit, law, course)
        born_place = int(np.searchsorted(course.clock, born - 1e-9 * max(1.0, abs(born))))
        born_place = min(born_place, int(course.place(int(pit.frame[0]))))
        timed = course.timed and law is not None
        rows.append(_history(pit, law, born_place, course).assign(pit=number[pit.main]))
        died = law.died if law is not None else np.nan
        area = float(np.median(pit.area[-3:])) if np.isfinite(died) else float(pit.area[-1])
        unknown = not timed or there
        summary.append(
            {
                "pit": number[pit.main],
                "y_ref_px": pit.y,
                "x_ref_px": pit.x,
                "born_frame": int(course.number[born_place]),
                "born_s": np.nan if unknown or law is None else born,
                "born_low_s": np.nan if unknown or law is None else min(law.born_low, born),
                "born_high_s": np.nan if unknown or law is None else max(law.born_high, born),
                "died_s": died if timed else np.nan,
                "area_px": area,
                "equivalent_radius_px": np.sqrt(area / np.pi),
                "exponent": law.exponent if law is not None and timed else np.nan,
                "exponent_low": law.exponent_low if law is not None and timed else np.nan,
                "exponent_high": law.exponent_high if law is not None and timed else np.nan,
                "coefficient_px": law.coefficient if law is not None and timed else np.nan,
                "fitted": law.fitted if law is not None else 0,
                "kind": _kind(pit, law, born, there, course, lasting),
                "merged_into": number.get(pit.merged_into, 0),
                "merged_s": course.time_s[course.place(pit.merged)]
                if pit.merged >= 0 and course.timed else np.nan,
            }
        )  # fmt: skip
    return _typed(rows, FOLLOWED_PITS), _typed([pd.DataFrame(summary)], PIT_SUMMARY)


def _history(pit: _Pit, law: Growth | None, born_place: int, course: Timeline) -> pd.DataFrame:
    """Area in every frame from birth to merger or end; a guess where it was not seen."""
    end = len(course.number) if pit.merged < 0 else int(course.place(pit.merged))
    here = np.arange(born_place, max(end, born_place + 1))
    clock = course.clock[here]
    seen = course.clock[course.place(pit.frame)]
    measured = np.isin(course.number[here], pit.frame)
    area = np.interp(clock, seen, pit.area)
    if law is not None:
        early = clock < seen[0]
        area[early] = np.minimum(law.area(clock[early]), pit.area[0])
    area[measured] = pit.area[np.isin(pit.frame, course.number[here])]
    growing = np.ones(len(here), bool)
    if law is not None and np.isfinite(law.died):
        growing = clock < law.died
    return pd.DataFrame(
        {
            "frame": course.number[here],
            "time_s": course.time_s[here],
            "y_ref_px": pit.y,
            "x_ref_px": pit.x,
            "area_px": area,
            "growing": growing,
            "equivalent_radius_px": np.sqrt(area / np.pi),
            "measured": measured,
        }
    )


def _typed(pieces: list[pd.DataFrame], columns: tuple) -> pd.DataFrame:  # type: ignore[type-arg]
    types = {column.name: column.dtype for column in columns}
    filled = [piece for piece in pieces if len(piece)]
    table = pd.concat(filled, ignore_index=True) if filled else pd.DataFrame(columns=list(types))
    return table[list(types)].astype(types)
