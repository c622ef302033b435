"""Which dark spots are pits: they grow by a law, and are as dark as holes."""

from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from corroscope.tracking.growth import FEWEST
from corroscope.tracking.satellites import GROWN
from corroscope.tracking.steps import steps_bic
from corroscope.tracking.timeline import Timeline

RESOLVED_PX: Final = 50.0
"""From this area on, a pit's darkest quarter is as dark as the pit, whatever the optics."""


DARK: Final = 0.85
"""Share of the usual depth of a run's pits that each reaches: holes are about equally dark. The
thin rings of bubbles and most particles are not."""


CLOSED: Final = 3
"""Usable frames at the end in which a pit may not be seen, for particles that lie on it."""


def depths_of(rows: pd.DataFrame, grows: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
    """How dark each row's spot is where it is resolved; else as the others are, or as it gets."""
    wide = rows[rows["area_px"] >= RESOLVED_PX]
    own = wide.groupby("spot")["depth"].median().reindex(rows["spot"]).to_numpy(np.float64)
    if grows is not None:
        wide = wide[grows[wide["spot"].to_numpy()]]
    typical = float(wide.groupby("spot")["depth"].median().median()) if len(wide) else np.nan
    darkest = rows.groupby("spot")["depth"].transform("max").to_numpy(np.float64)
    typical_or = np.where(np.isfinite(typical), np.maximum(typical, darkest), darkest)
    return np.asarray(np.where(np.isfinite(own), own, typical_or))


def find_growing(
    rows: pd.DataFrame, into: NDArray[np.int64], timeline: Timeline, least_area_px: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which spots grow by a law, not by jumps; and which become larger, if by no certain one."""
    count = int(rows["spot"].max()) + 1
    grows, larger = np.zeros(count, bool), np.zeros(count, bool)
    wide = rows[rows["area_px"] >= RESOLVED_PX]
    usual = _usual_depth(wide)
    stays = _stays(rows, into, timeline)
    usable = timeline.number[timeline.shown]
    for name, part in rows.groupby("spot", sort=False):
        spot = int(str(name))
        area = part["area"].to_numpy(np.float64)
        frame = part["frame"].to_numpy(np.int64)
        if len(area) < 2 or not stays[spot]:
            continue
        late = float(np.median(area[-max(1, len(area) // 3) :]))
        if late < GROWN * area[0] and late < GROWN * float(np.median(area[:2])):
            continue
        if float(part["depth"].max()) < DARK * usual:
            continue
        larger[spot] = True
        if area.max() < least_area_px:
            continue
        if len(area) < FEWEST:
            # Few areas: each larger than the one before, darker than particles are, and seen in
            # half of the frames: particles that come to one place look like growth, with gaps.
            dark = float(part["depth"].max()) >= 0.75
            until = frame[-1] if into[spot] >= 0 else timeline.number[-1]
            could = ((usable >= frame[0]) & (usable <= until)).sum()
            lasts = 2 * len(area) >= could
            grows[spot] = dark and lasts and bool((np.diff(area) > 0.1 * area[:-1]).all())
            continue
        grows[spot] = _follows_a_law(frame, area, timeline)
    # What takes others in grows by jumps; together with them it need not.
    for spot in np.unique(into[into >= 0]).tolist():
        own = rows[rows["spot"] == spot]
        if grows[spot] or float(own["depth"].max()) < DARK * usual or len(own) < FEWEST:
            continue
        family = rows[np.isin(rows["spot"], _swallowed_by(spot, into))]
        together = family.groupby("frame")["area"].sum()
        area = together.to_numpy(np.float64)
        if area[-1] >= max(least_area_px, GROWN * area[0]):
            grows[spot] = _follows_a_law(together.index.to_numpy(np.int64), area, timeline)
    return grows, larger


def _usual_depth(wide: pd.DataFrame) -> float:
    """Depth that a quarter of all dark area exceeds: where pits are few, bubbles outnumber them."""
    if not len(wide):
        return 0.0
    spots = wide.groupby("spot").agg(depth=("depth", "median"), area=("area", "max"))
    spots = spots.sort_values("depth", kind="stable")
    share = spots["area"].cumsum() / spots["area"].sum()
    return float(spots["depth"].to_numpy()[int(np.searchsorted(share, 0.75))])


def _stays(rows: pd.DataFrame, into: NDArray[np.int64], timeline: Timeline) -> NDArray[np.bool_]:
    """Which spots are seen to the end or go into another: a hole does not close."""
    usable = timeline.number[timeline.shown]
    last = rows.groupby("spot")["frame"].max().reindex(range(len(into))).to_numpy(np.int64)
    after = len(usable) - np.searchsorted(usable, last, side="right")
    return np.asarray((into >= 0) | (after <= CLOSED))


def _follows_a_law(frame: NDArray[np.int64], area: NDArray[np.float64], timeline: Timeline) -> bool:
    """Whether areas are better told by a law than by jumps, and the law is a certain one."""
    law = timeline.law(frame, area)
    # A speck to which others have stuck follows some law too, but no certain one.
    certain = law is not None and (law.bounded or area.max() >= RESOLVED_PX)
    return law is not None and certain and law.bic < steps_bic(area)


def _swallowed_by(spot: int, into: NDArray[np.int64]) -> NDArray[np.int64]:
    """A spot and all that went into it, be it by way of others."""
    family, size = {spot}, 0
    while len(family) > size:
        size = len(family)
        family |= set(np.flatnonzero(np.isin(into, list(family))).tolist())
    return np.array(sorted(family), np.int64)
