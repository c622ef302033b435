"""The frames of a run and their times, as laws of growth see them."""

from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from corroscope.tracking.growth import Growth, fit_growth

SEEN_AREA_PX: Final = 3.0
"""A pit of this area would have been found: three pixels at the depth of a pit."""


class Timeline:
    """The frames of a run, and their times; in frames where a time is unknown."""

    def __init__(self, frames: pd.DataFrame) -> None:
        table = frames.sort_values("frame", kind="stable")
        self.number = table["frame"].to_numpy(np.int64)
        self.time_s = table["time_s"].to_numpy(np.float64)
        self.shown = table["segmented"].to_numpy(bool)
        self.timed = bool(np.isfinite(self.time_s).all()) and bool(
            (np.diff(self.time_s) >= 0).all()
        )
        self.clock = self.time_s if self.timed else self.number.astype(np.float64)

    @property
    def length(self) -> float:
        """Of the run."""
        return float(self.clock[-1] - self.clock[0]) if len(self.clock) else 0.0

    def place(self, frame: NDArray[np.int64] | int) -> NDArray[np.int64]:
        """Rows of given frames."""
        return np.asarray(np.searchsorted(self.number, frame), np.int64)

    def usable(self, frame: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of some frames are no gaps."""
        return np.asarray(self.shown[self.place(frame)], bool)

    def absent(self, frame: int) -> float:
        """Time of the last usable frame before one; −inf if there is none."""
        before = self.clock[(self.number < frame) & self.shown]
        return float(before[-1]) if len(before) else -np.inf

    def law(
        self, frame: NDArray[np.int64], area: NDArray[np.float64], deaths: bool = True
    ) -> Growth | None:
        """Law of growth of what was seen in given frames."""
        time = self.clock[self.place(frame)]
        distinct = np.diff(time, prepend=-np.inf) > 0
        absent = self.absent(int(frame[0]))
        if absent >= time[0]:  # two frames of one time
            absent = -np.inf
        return fit_growth(time[distinct], area[distinct], absent, SEEN_AREA_PX, deaths)
