"""Units of a report: seconds or frames, micrometres or pixels."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray


class Course(NamedTuple):
    """The axis of time of a run.

    Attributes
    ----------
    axis
        ``(frames,)``, seconds from the first frame, or numbers of frames.
    numbers
        ``(frames,)``, numbers of frames.
    timed
        Whether they are seconds. They are only if the time of every frame is known.
    """

    axis: NDArray[np.float64]
    numbers: NDArray[np.int64]
    timed: bool

    @classmethod
    def of(cls, frames: pd.DataFrame) -> "Course":
        """Take the axis from a table of frames.

        Parameters
        ----------
        frames
            With ``frame`` and ``time_s``.

        Returns
        -------
        Course
            In seconds if all are known.

        Examples
        --------
        >>> Course.of(pd.DataFrame({"frame": [0, 1], "time_s": [0.0, np.nan]})).label
        'frame'
        """
        numbers = frames["frame"].to_numpy(np.int64)
        time_s = frames["time_s"].to_numpy(np.float64)
        timed = bool(np.isfinite(time_s).all())
        return cls(time_s if timed else numbers.astype(np.float64), numbers, timed)

    @property
    def label(self) -> str:
        """Of an axis."""
        return "time / s" if self.timed else "frame"

    @property
    def column(self) -> str:
        """Of a table."""
        return "time_s" if self.timed else "frame"

    @property
    def unit(self) -> str:
        """For a sentence."""
        return "s" if self.timed else "frames"

    @property
    def span(self) -> tuple[float, float]:
        """First and last; 0 and 1 where there is no frame."""
        if not self.axis.size:
            return 0.0, 1.0
        return float(self.axis.min()), float(self.axis.max())

    @property
    def limits(self) -> tuple[float, float]:
        """Ends of an axis, with a little room."""
        low, high = self.span
        room = 0.02 * (high - low) or 0.5
        return low - room, high + room

    def at(self, frame: ArrayLike) -> NDArray[np.float64]:
        """When frames were taken.

        Parameters
        ----------
        frame
            Their numbers.

        Returns
        -------
        ndarray of float64
            On this axis; NaN for a frame that the run does not have.
        """
        known = pd.Series(self.axis, index=self.numbers)
        return np.asarray(known.reindex(np.asarray(frame, np.int64)), np.float64)

    def of_rows(self, rows: pd.DataFrame, time: str = "time_s", frame: str = "frame") -> (
        NDArray[np.float64]
    ):  # fmt: skip
        """When what stands in the rows of a table happened.

        Parameters
        ----------
        rows
            The table.
        time, frame
            Its columns.

        Returns
        -------
        ndarray of float64
            The time where there is one, else that of the frame.
        """
        by_frame = self.at(rows[frame])
        if not self.timed:
            return by_frame
        exact = rows[time].to_numpy(np.float64)
        return np.where(np.isfinite(exact), exact, by_frame)


class Lengths(NamedTuple):
    """The unit of length of a report.

    Attributes
    ----------
    pixel_size_um
        Side of a pixel; None leaves lengths in pixels.

    Examples
    --------
    >>> Lengths(0.5).area([4.0]).tolist(), Lengths(0.5).area_unit
    ([1.0], 'µm²')
    """

    pixel_size_um: float | None

    @property
    def unit(self) -> str:
        """Of lengths."""
        return "px" if self.pixel_size_um is None else "µm"

    @property
    def area_unit(self) -> str:
        """Of areas."""
        return self.unit + "²"

    @property
    def factor(self) -> float:
        """Lengths in this unit for one pixel."""
        return 1.0 if self.pixel_size_um is None else self.pixel_size_um

    def column(self, name: str, power: int = 1, rest: str = "") -> str:
        """Name a column of a table.

        Parameters
        ----------
        name
            What it holds.
        power
            2 for areas.
        rest
            What follows the unit.

        Returns
        -------
        str
            The name with the unit, as the project writes units.

        Examples
        --------
        >>> Lengths(None).column("area", 2), Lengths(1.0).column("area", 2)
        ('area_px', 'area_um2')
        """
        unit = "px" if self.pixel_size_um is None else "um" + ("2" if power == 2 else "")
        return f"{name}_{unit}{rest}"

    def length(self, px: ArrayLike) -> NDArray[np.float64]:
        """Turn pixels into this unit.

        Parameters
        ----------
        px
            Lengths.

        Returns
        -------
        ndarray of float64
            The same in this unit.
        """
        return np.asarray(px, np.float64) * self.factor

    def area(self, px: ArrayLike) -> NDArray[np.float64]:
        """Turn square pixels into this unit's square.

        Parameters
        ----------
        px
            Areas.

        Returns
        -------
        ndarray of float64
            The same in this unit.
        """
        return np.asarray(px, np.float64) * self.factor**2
