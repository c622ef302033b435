"""From which pit each particle came, and when, told in the table of tracks."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from corroscope.tracking.origins import Belief, weigh_origins

Floats = NDArray[np.float64]


def find_mothers(
    tracks: pd.DataFrame,
    summary: pd.DataFrame,
    pits: pd.DataFrame,
    pit_summary: pd.DataFrame,
    frames: pd.DataFrame,
) -> pd.DataFrame:
    """Find for each track the pit that ejected its particle, with the probability.

    A track begins because a pit has ejected a particle, because one that was lost has been
    found again, or for another reason: a false detection, or a particle from outside. Each of
    these is a Poisson process in space and time, and the track is weighed against all. A pit's
    is learnt by expectation maximisation over all tracks: how often each pit ejects, how fast
    particles leave (`corroscope.tracking.flight`), and how much an ejection is followed by
    others of the same pit at the same time and in the same direction
    (`corroscope.tracking.companions`). A pit ejects nothing before its birth, and hardly after
    its death.

    A particle that was lost and found has the mother that it had before. Where no pit is
    more likely than none, the pit is 0, with the probability of that.

    Parameters
    ----------
    tracks
        Columns of `corroscope.tables.TRACKS`.
    summary
        Columns of `corroscope.tables.TRACK_SUMMARY`; pits are ignored.
    pits, pit_summary
        Columns of `corroscope.tables.FOLLOWED_PITS` and `corroscope.tables.PIT_SUMMARY`.
    frames
        Columns of `corroscope.tables.SEGMENTED_FRAMES`; times may be unknown, frames then
        count as seconds apart.

    Returns
    -------
    DataFrame
        ``summary`` with ``pit``, ``pit_probability``, ``pit_distance_px``, and with
        ``ejected_probability``, that this pit ejected it when it was first seen (where none is
        named, that any did), and
        ``ejected_s``, the median time of that, but not before its mother's birth; empty where
        times are unknown or no pit is named.

    References
    ----------
    A. P. Dempster, N. M. Laird, D. B. Rubin, *Maximum likelihood from incomplete data via the
    EM algorithm*, J. R. Stat. Soc. B 39, 1977. A. Veen, F. P. Schoenberg, *Estimation of
    space-time branching process models in seismology using an EM-type algorithm*, J. Am. Stat.
    Assoc. 103, 2008, doi:10.1198/016214508000000148.

    Examples
    --------
    Without any pit, no track has a mother.

    >>> from corroscope.tables import FOLLOWED_PITS, PIT_SUMMARY, TRACK_SUMMARY, TRACKS
    >>> tracks, summary, pits, known = (
    ...     pd.DataFrame(columns=[c.name for c in table])
    ...     for table in (TRACKS, TRACK_SUMMARY, FOLLOWED_PITS, PIT_SUMMARY))
    >>> frames = pd.DataFrame({"frame": [0], "time_s": [0.0], "segmented": [True]})
    >>> len(find_mothers(tracks, summary, pits, known, frames))
    0
    """
    told = summary.copy()
    belief = weigh_origins(tracks, summary, pits, pit_summary, frames)
    numbers, chance = _inherited(belief, summary)
    mothers = np.zeros(len(summary), np.int64)
    none = 1 - chance.sum(axis=1)
    told["pit_probability"] = none
    if numbers.size:
        best = chance.argmax(axis=1)
        highest = chance[np.arange(len(chance)), best]
        mothers = np.where(highest >= none, numbers[best], 0)
        told["pit_probability"] = np.where(mothers > 0, highest, none)
    told["pit"] = mothers
    ejected = belief.ejected.sum(axis=1)
    age = np.where(belief.pit == mothers[:, None], belief.age_s, 0).sum(axis=1)
    mother = pit_summary.set_index("pit")[["y_ref_px", "x_ref_px", "born_s"]].reindex(mothers)
    apart = mother[["y_ref_px", "x_ref_px"]].to_numpy(float) - summary[
        ["y_last_px", "x_last_px"]
    ].to_numpy(float)
    told["pit_distance_px"] = np.hypot(apart[:, 0], apart[:, 1])
    own = np.where(belief.pit == mothers[:, None], belief.ejected, 0).sum(axis=1)
    told["ejected_probability"] = np.where(mothers > 0, own, ejected)
    known = frames["time_s"].notna().all()
    seen = summary["first_s"].to_numpy(float) if known else np.full(len(summary), np.nan)
    # Pits are born by the law of their growth, a little late at times: tables that hold both times
    # are not to contradict each other. A birth that is not known bounds nothing.
    left = np.fmin(np.fmax(seen - age, mother["born_s"].to_numpy(float)), seen)
    # Of one that was lost and found, nothing tells when it left.
    told["ejected_s"] = np.where((mothers > 0) & (own >= 0.5) & np.isfinite(seen), left, np.nan)
    return told


def _inherited(belief: Belief, summary: pd.DataFrame) -> tuple[NDArray[np.int64], Floats]:
    """Probability of each mother ``(n, pits)``, with what came before a track that went on."""
    numbers = np.unique(belief.pit[belief.pit > 0])
    chance = np.zeros((len(summary), len(numbers)))
    rows, columns = np.nonzero(belief.pit)
    at = np.searchsorted(numbers, belief.pit[rows, columns])
    np.add.at(chance, (rows, at), belief.ejected[rows, columns])
    pairs = belief.returns
    order = np.argsort(summary["first_frame"].to_numpy()[pairs.later], kind="stable")
    later, earlier, density = pairs.later[order], pairs.earlier[order], pairs.density[order]
    whole = np.bincount(later, density, len(summary))
    # In order of time, so that what is handed on is complete.
    for one, before, share in zip(later, earlier, density, strict=True):
        chance[one] += belief.returned[one] * share / whole[one] * chance[before]
    return numbers, chance
