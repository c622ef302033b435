"""The current of a run, laid beside what was seen."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from corroscope.current.alloys import Alloy
from corroscope.current.association import associate
from corroscope.current.clocks import clock_offset
from corroscope.current.faraday import compare_volumes, passive_current
from corroscope.current.growth import volume_growth
from corroscope.current.offset import Offset, find_offset
from corroscope.current.record import Current
from corroscope.current.transients import TRANSIENTS, find_transients
from corroscope.errors import CurrentError
from corroscope.frames.sequence import FrameSequence
from corroscope.pipeline.follow import Followed
from corroscope.tables import Column
from corroscope.tabulation import write_table

CURRENT: Final = (
    Column("time_s", "float64", "s", "time from the first frame"),
    Column("current_ua", "float64", "µA", "current, with the sign of its record"),
)
"""The record on the camera's clock."""

CELL_FILES: Final = ("current.csv", "current.parquet")
"""What a run with a record writes besides."""

LIMIT_S: Final = 120.0
"""By how much wall clocks may differ: computers of a laboratory that nobody sets drift apart by
minutes, not hours."""

WINDOW_FRAMES: Final = 30
"""Width of the baseline of transients, in frames."""

SEED: Final = 0
"""Of all that is drawn at random: the same run gives the same figures."""


@dataclass(frozen=True, eq=False)
class Cell:
    """What the current tells of a run.

    Attributes
    ----------
    time_s, current_ua
        ``(samples,)``, on the camera's clock; empty where the two clocks could not be brought
        together.
    offset_s, low_s, high_s
        What was added to the record's times, and its 95 % interval; NaN where unknown.
    transients
        As from `corroscope.current.transients.find_transients`, on the camera's clock.
    association
        For births and for ejections, how often they come with a transient.
    faraday
        Charge and volumes, by name; None where they could not be compared.
    facts
        For the manifest: file, hash, what was found of the offset.
    remarks
        What is to be known, one sentence each.
    """

    time_s: NDArray[np.float64]
    current_ua: NDArray[np.float64]
    offset_s: float
    low_s: float
    high_s: float
    transients: pd.DataFrame
    association: dict[str, dict[str, Any]]
    faraday: dict[str, Any] | None
    facts: dict[str, Any]
    remarks: list[str]

    def write(self, folder: Path) -> None:
        """Write the current on the camera's clock.

        Parameters
        ----------
        folder
            Of the result.

        Raises
        ------
        OutputError
            If a file cannot be written.
        """
        rows = pd.DataFrame({"time_s": self.time_s, "current_ua": self.current_ua})
        write_table(folder / "current", rows, CURRENT)


def check_overlap(record: Current, frames: FrameSequence) -> None:
    """Refuse a record of another time, as far as wall clocks tell.

    Parameters
    ----------
    record
        What the potentiostat wrote.
    frames
        The sequence.

    Raises
    ------
    CurrentError
        If it does not overlap the frames.
    """
    known = frames.time_s[np.isfinite(frames.time_s)]
    lasts_s = float(known[-1]) if known.size else 0.0
    clock_offset(record, lasts_s, frames.start_clock_s, frames.start_date, limit_s=LIMIT_S)


def compare_current(
    record: Current,
    frames: FrameSequence,
    followed: Followed,
    pixel_size_um: float | None,
    alloy: Alloy | None,
) -> Cell:
    """Bring the record onto the camera's clock and lay it beside births, ejections and volumes.

    Parameters
    ----------
    record
        What the potentiostat wrote.
    frames
        The sequence.
    followed
        What was seen.
    pixel_size_um
        Side of a pixel; None where unknown.
    alloy
        Of which metal; None where unknown.

    Returns
    -------
    Cell
        What could be told; what could not is among the remarks.

    Raises
    ------
    CurrentError
        If the record does not overlap the frames.
    """
    rng = np.random.default_rng(SEED)
    remarks = list(record.remarks)
    time_s = frames.time_s
    # A clock of whole seconds may give several frames one time.
    moments = np.unique(time_s[np.isfinite(time_s)])
    growth = volume_growth(followed.pits, time_s)
    found = find_offset(
        record, time_s, growth, rng,
        clock_s=frames.start_clock_s, day=frames.start_date, limit_s=LIMIT_S,
    )  # fmt: skip
    facts = {
        "file": record.source.file,
        "format": record.source.format,
        "technique": record.source.technique,
        "unit": record.source.current_unit,
        "started": None if record.started is None else str(record.started),
        "samples": int(record.time_s.size),
        "offset": _offset_facts(found),
    }
    offset_s, low_s, high_s = found.offset_s, found.low_s, found.high_s
    if not found.believed:
        if not np.isfinite(found.clock_s) or moments.size < 2:
            remarks.append(
                "The clocks of potentiostat and camera could not be brought together: "
                f"{found.reason}; the current is left out."
            )
            none = np.zeros(0)
            unplaced = pd.DataFrame(columns=list(TRANSIENTS), dtype=np.float64)
            return Cell(none, none, np.nan, np.nan, np.nan, unplaced, {}, None, facts, remarks)
        offset_s = found.clock_s
        remarks.append(
            "The current lies where the wall clocks put it, which was not confirmed: "
            f"{found.reason}. Events are not tested against transients, and the comparison of "
            "charge and volume holds only if the clocks are right."
        )
    step_s = float(np.median(np.diff(moments)))
    transients = find_transients(record, window_s=WINDOW_FRAMES * step_s)
    for name in ("start_s", "peak_s", "end_s"):
        transients[name] += offset_s
    volumes = _volumes(record, offset_s, time_s, followed, pixel_size_um, alloy, step_s, remarks)
    doubt_s = (high_s - low_s) / 2
    watched = (
        max(float(moments[0]), float(record.time_s[0]) + offset_s),
        min(float(moments[-1]), float(record.time_s[-1]) + offset_s),
    )
    association = {}
    for kind in ("nucleation", "ejection"):
        events = followed.events
        at = events.loc[events["event"] == kind, "time_s"].to_numpy(np.float64)
        if found.believed and watched[1] > watched[0]:
            starts = transients["start_s"].to_numpy(np.float64)
            found_together = associate(at, starts, watched, step_s + doubt_s, rng)
            association[kind] = found_together._asdict()
    return Cell(
        record.time_s + offset_s,
        record.current_ua,
        offset_s,
        low_s,
        high_s,
        transients,
        association,
        volumes,
        facts,
        remarks,
    )


def _offset_facts(found: Offset) -> dict[str, Any]:
    numbers = {
        "offset_s": found.offset_s,
        "low_s": found.low_s,
        "high_s": found.high_s,
        "by_wall_clocks_s": found.clock_s,
        "correlation": found.correlation,
        "p_value": found.p_value,
    }
    plain: dict[str, Any] = {
        name: float(value) if np.isfinite(value) else None for name, value in numbers.items()
    }
    return plain | {"believed": found.believed, "reason": found.reason}


def _volumes(
    record: Current,
    offset_s: float,
    time_s: NDArray[np.float64],
    followed: Followed,
    pixel_size_um: float | None,
    alloy: Alloy | None,
    step_s: float,
    remarks: list[str],
) -> dict[str, Any] | None:
    """Faraday's volume beside the optical one, where all that it needs is known."""
    births = followed.pit_summary["born_s"].dropna()
    if not len(births):
        remarks.append("Without a pit whose birth is known, charge and volume are not compared.")
        return None
    known = followed.pit_summary
    seen_s = time_s[known["born_frame"].to_numpy(np.int64)]
    if (known["born_s"].isna().to_numpy() & (seen_s <= float(births.min()))).any():
        remarks.append(
            "Charge and volume are not compared: a pit whose birth is not known was open before "
            "the first that is, so that there is no passive current."
        )
        return None
    try:
        passive = passive_current(record, offset_s, float(births.min()), guard_s=step_s)
        found = compare_volumes(
            record, offset_s, time_s, followed.pits, passive,
            pixel_size_um=pixel_size_um, alloy=alloy,
        )  # fmt: skip
    except CurrentError as error:
        remarks.append(f"Charge and volume are not compared: {error}.")
        return None
    return {
        "alloy": found.alloy.name,
        "equivalent weight, g/mol": found.alloy.equivalent_weight(),
        "density, g/cm³": found.alloy.density_g_cm3,
        "passive current, µA": passive.current_ua,
        "standard error of it, µA": passive.sigma_ua,
        "taken from": passive.source,
        "charge over it, µC": float(found.charge_uc[-1]),
        "volume that it dissolves, µm³": float(found.dissolved_um3[-1]),
        "volume of the pits as half spheres, µm³": float(found.seen_um3[-1]),
        "seen over dissolved": found.ratio,
        "95 % interval of it": [found.ratio_low, found.ratio_high],
    }
