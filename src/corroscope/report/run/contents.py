"""What the report of a run is made from."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from corroscope.report.run.scales import Course, Lengths


class RecordedCurrent(NamedTuple):
    """Current on the clock of the camera.

    Attributes
    ----------
    time_s
        ``(samples,)``, from the first frame.
    current_ua
        ``(samples,)``, in µA.
    offset_s
        What was added to the times of the potentiostat; None or NaN where nothing was.
    offset_low_s, offset_high_s
        Ends of its 95 % interval; None where it is not known.
    """

    time_s: NDArray[np.float64]
    current_ua: NDArray[np.float64]
    offset_s: float | None = None
    offset_low_s: float | None = None
    offset_high_s: float | None = None


class CorrectedCounts(NamedTuple):
    """Numbers of particles, corrected by what the network is known to miss.

    Attributes
    ----------
    bins
        ``lower_px`` and ``upper_px`` (area, px²), ``found``, ``corrected``, ``low``, ``high``.
    total
        ``found``, ``corrected``, ``low`` and ``high`` of all together.
    source
        What was counted, and where the recall comes from, in a sentence.
    """

    bins: pd.DataFrame
    total: tuple[float, float, float, float]
    source: str


@dataclass(frozen=True, eq=False)
class RunPage:
    """What the report of a run shows.

    Attributes
    ----------
    title
        Heading of the page.
    frames
        As `corroscope.tables.SEGMENTED_FRAMES`.
    particles
        As `corroscope.tables.PARTICLES`.
    tracks, track_summary
        As `corroscope.tables.TRACKS` and `corroscope.tables.TRACK_SUMMARY`.
    pits, pit_summary
        As `corroscope.tables.FOLLOWED_PITS` and `corroscope.tables.PIT_SUMMARY`.
    events
        As `corroscope.tables.FOLLOWED_EVENTS`.
    rates
        As `corroscope.tables.RATES`.
    pictures
        Of frames, in order: number of the frame, ``(height, width)`` uint8 on the reference's
        grid, and its pixels for one of the frame. All have one shape.
    first_seen
        ``(height, width)`` on the reference's grid, when a particle was first found at each
        pixel, in seconds, or numbers of frames where times are unknown; NaN where none was.
    msd
        Mean squared displacement: ``lag_s``, ``msd_px2``, ``pairs``; None where not computed.
    current
        None where there is none.
    transients
        Columns by name, at least ``start_s`` and ``end_s``; None where none were looked for.
    association
        How transients and events go together: figures by name for each kind of event, or figures
        by name; None where it was not tested.
    faraday
        Charge, and the volume it stands for beside the optical one; None where not computed.
    corrected
        None where the recall of the network is not known.
    pixel_size_um
        Side of a pixel; None where it is not known.
    smallest_area_px
        Smaller objects are no particles; None where there is no such limit.
    conditions
        Of the experiment, by name, such as ``concentration_mm``.
    manifest
        Settings, versions and hashes.
    warnings
        What must not be overlooked.
    files
        Tables beside the page by name (``pits``, ``events``), as paths from its folder.
    """

    title: str
    frames: pd.DataFrame
    particles: pd.DataFrame
    tracks: pd.DataFrame
    track_summary: pd.DataFrame
    pits: pd.DataFrame
    pit_summary: pd.DataFrame
    events: pd.DataFrame
    rates: pd.DataFrame
    pictures: Iterable[tuple[int, NDArray[np.uint8], float]]
    first_seen: NDArray[np.floating[Any]]
    msd: pd.DataFrame | None = None
    current: RecordedCurrent | None = None
    transients: Mapping[str, Any] | None = None
    association: Mapping[str, Any] | None = None
    faraday: Mapping[str, Any] | None = None
    corrected: CorrectedCounts | None = None
    pixel_size_um: float | None = None
    smallest_area_px: int | None = None
    conditions: Mapping[str, Any] = field(default_factory=dict)
    manifest: Mapping[str, Any] = field(default_factory=dict)
    warnings: Sequence[str] = ()
    files: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def course(self) -> Course:
        """The axis of time."""
        return Course.of(self.frames)

    @cached_property
    def lengths(self) -> Lengths:
        """The unit of length."""
        return Lengths(self.pixel_size_um)

    @cached_property
    def segmented(self) -> pd.DataFrame:
        """Rows of frames whose particles are known."""
        return self.frames[self.frames["segmented"].astype(bool)]

    @cached_property
    def recorded(self) -> RecordedCurrent | None:
        """The current, where it can be laid beside the frames and has a sample during them."""
        if self.current is None or not self.course.timed or self.frames.empty:
            return None
        low, high = self.course.span
        time_s = np.asarray(self.current.time_s, np.float64)
        inside = (time_s >= low) & (time_s <= high)
        if not inside.any():
            return None
        return self.current._replace(
            time_s=time_s[inside], current_ua=np.asarray(self.current.current_ua)[inside]
        )

    @cached_property
    def transient_rows(self) -> pd.DataFrame:
        """One row for each transient of current."""
        return pd.DataFrame({} if self.transients is None else dict(self.transients))

    @cached_property
    def found(self) -> NDArray[np.float64]:
        """Particles in each frame; NaN where it is not known."""
        counts = self.frames["particles"].astype("Float64").to_numpy(np.float64, na_value=np.nan)
        return np.where(self.frames["segmented"].astype(bool), counts, np.nan)

    def happened(self, event: str) -> pd.DataFrame:
        """Rows of one kind of event."""
        return self.events[self.events["event"] == event]
