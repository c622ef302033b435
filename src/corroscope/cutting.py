"""Cutting frames into patches to annotate, and telling in which something has changed."""

import math
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from corroscope.errors import SettingsError

LEAST_SIZE_PX: Final = 32
"""Smaller patches are refused: too little around a particle to judge it by."""

LEAST_ENTROPY_BITS: Final = 0.002
"""Entropy of the difference from which a patch is worth looking at: six of 40,000 pixels changed.
Measured with benchmarks/patches.py."""

TIMES: Final = (0.25, 0.5, 0.75, 0.95)
"""When frames are cut, as shares of the run."""

LEVEL_NOISES: Final = 10.0
"""Width of a level of the difference's histogram, in standard deviations of its noise: noise
falls into the middle level, so that entropy is about what has changed alone."""

DARKER_NOISES: Final = 5.0
"""Standard deviations of noise by which a pixel that has changed is darker than the reference."""

_MOST_LEVELS: Final = 1000
_LEAST_STEP: Final = 1e-6
"""Where there is no noise at all: less than any frame's grey levels are apart."""


class Cut(NamedTuple):
    """Where a patch lies in its frame.

    Attributes
    ----------
    row, column
        Its place in the grid.
    y0_px, x0_px
        Its first row and column in the frame.
    size_px
        Its side.
    """

    row: int
    column: int
    y0_px: int
    x0_px: int
    size_px: int

    @property
    def box(self) -> tuple[slice, slice]:
        """Rows and columns of the frame."""
        return (
            slice(self.y0_px, self.y0_px + self.size_px),
            slice(self.x0_px, self.x0_px + self.size_px),
        )

    def name(self, stem: str) -> str:
        """Name of the patch, without ending.

        Parameters
        ----------
        stem
            Name of the frame, without ending.

        Returns
        -------
        str
            ``<stem>_r<row>_c<column>``.

        Examples
        --------
        >>> Cut(0, 12, 0, 1200, 200).name("late")
        'late_r00_c12'
        """
        return f"{stem}_r{self.row:02d}_c{self.column:02d}"


class Grid(NamedTuple):
    """How frames are cut.

    Attributes
    ----------
    size_px
        Side of a patch.
    stride_px
        From the corner of one patch to that of the next.
    """

    size_px: int
    stride_px: int

    @classmethod
    def parse(cls, text: str) -> "Grid":
        """Read ``SIZE/STRIDE``.

        Parameters
        ----------
        text
            As ``"200/100"``.

        Returns
        -------
        Grid
            The grid.

        Raises
        ------
        SettingsError
            If it is not two whole numbers, the size is less than `LEAST_SIZE_PX`, or the stride
            less than 1 or more than the size.

        Examples
        --------
        >>> Grid.parse("200/100")
        Grid(size_px=200, stride_px=100)
        """
        size, slash, stride = text.partition("/")
        if not (slash and size.isascii() and stride.isascii()) or not (
            size.isdigit() and stride.isdigit()
        ):
            raise SettingsError(f"patches: {text!r}; give SIZE/STRIDE in pixels, as 200/100")
        grid = cls(int(size), int(stride))
        if grid.size_px < LEAST_SIZE_PX:
            raise SettingsError(
                f"patches: size {grid.size_px} px (allowed: {LEAST_SIZE_PX} or more)"
            )
        if not 1 <= grid.stride_px <= grid.size_px:
            raise SettingsError(
                f"patches: stride {grid.stride_px} px (allowed: 1 to the size, {grid.size_px})"
            )
        return grid

    def corners(self, length_px: int) -> list[int]:
        """Where patches begin along one side of a frame.

        The last one is moved in so that it ends with the frame: no pixel is left out, and the
        last two patches may overlap by more than others do.

        Parameters
        ----------
        length_px
            Length of the side.

        Returns
        -------
        list of int
            First pixels.

        Raises
        ------
        SettingsError
            If the frame is smaller than a patch.

        Examples
        --------
        >>> Grid(200, 100).corners(450)
        [0, 100, 200, 250]
        """
        if length_px < self.size_px:
            raise SettingsError(
                f"patches: {self.size_px} px, but the frames have a side of {length_px} px; "
                "choose smaller patches"
            )
        last = length_px - self.size_px
        return [*range(0, last, self.stride_px), last]

    def cuts(self, shape: tuple[int, ...]) -> Iterator[Cut]:
        """All patches of a frame.

        Parameters
        ----------
        shape
            Height and width of the frame.

        Yields
        ------
        Cut
            Row by row.

        Raises
        ------
        SettingsError
            If the frame is smaller than a patch.

        Examples
        --------
        >>> [(cut.y0_px, cut.x0_px) for cut in Grid(64, 32).cuts((64, 100))]
        [(0, 0), (0, 32), (0, 36)]
        """
        height, width = shape
        columns = self.corners(width)
        for row, y0 in enumerate(self.corners(height)):
            for column, x0 in enumerate(columns):
                yield Cut(row, column, y0, x0, self.size_px)


def entropy_bits(
    difference: NDArray[np.floating], covered: NDArray[np.bool_], noise: float
) -> float:
    """Shannon entropy of how much the pixels of a patch have changed.

    The histogram's levels are `LEVEL_NOISES` standard deviations of the noise wide. Noise alone
    has next to none; a share ``p`` of pixels that are darker adds about ``p log2(1 / p)``.

    Parameters
    ----------
    difference
        ``(height, width)``, frame minus reference.
    covered
        ``(height, width)`` bool, where there is a reference. Other pixels do not count.
    noise
        Standard deviation of the difference where nothing has changed, as `noise_of` finds it.

    Returns
    -------
    float
        Bits; 0 where nothing is covered.

    References
    ----------
    C. E. Shannon, *A mathematical theory of communication*, Bell System Technical Journal 27,
    1948, doi:10.1002/j.1538-7305.1948.tb01338.x.

    Examples
    --------
    >>> difference = np.zeros((4, 4))
    >>> difference[0, :2] = -60
    >>> round(entropy_bits(difference, np.ones((4, 4), bool), noise=2), 2)
    0.54
    """
    if not covered.any():
        return 0.0
    step = max(LEVEL_NOISES * noise, _LEAST_STEP)
    levels = np.clip(np.rint(difference[covered] / step), -_MOST_LEVELS, _MOST_LEVELS)
    counts = np.bincount(levels.astype(int) + _MOST_LEVELS)
    share = counts[counts > 0] / levels.size
    return abs(float((share * np.log2(share)).sum()))


def changed_fraction(
    difference: NDArray[np.floating], covered: NDArray[np.bool_], noise: float
) -> float:
    """Share of pixels that are clearly darker than the reference.

    Parameters
    ----------
    difference, covered, noise
        As for `entropy_bits`.

    Returns
    -------
    float
        0 to 1, of the covered pixels; 0 where nothing is covered.

    Examples
    --------
    >>> difference = np.zeros((4, 4))
    >>> difference[0] = -60, -11, -9, 60
    >>> changed_fraction(difference, np.ones((4, 4), bool), noise=2)
    0.125
    """
    if not covered.any():
        return 0.0
    return float((difference[covered] < -DARKER_NOISES * noise).mean())


def noise_of(difference: NDArray[np.floating], covered: NDArray[np.bool_]) -> float:
    """Standard deviation of a difference where nothing has changed.

    Parameters
    ----------
    difference, covered
        ``(height, width)``, of the whole frame, as in `corroscope.preparation.Treated`.

    Returns
    -------
    float
        1.4826 times the median absolute deviation; 0 where nothing is covered.

    Examples
    --------
    >>> difference = np.random.default_rng(0).normal(0, 3, (100, 100))
    >>> difference[:20] = -100
    >>> round(noise_of(difference, np.ones((100, 100), bool)))
    4
    """
    if not covered.any():
        return 0.0
    values = difference[covered]
    return 1.4826 * float(np.median(np.abs(values - np.median(values))))


class Cutting(NamedTuple):
    """Which frames are cut, how, and what is kept.

    Attributes
    ----------
    grid
        Size and stride.
    times
        Shares of the run, 0 to 1.
    least_entropy_bits
        Patches with less are left out; 0 keeps all.
    """

    grid: Grid
    times: tuple[float, ...] = TIMES
    least_entropy_bits: float = LEAST_ENTROPY_BITS

    @classmethod
    def of(
        cls, patches: str, times: Sequence[float] | None, least_entropy_bits: float | None
    ) -> "Cutting":
        """Check what was asked for.

        Parameters
        ----------
        patches
            ``SIZE/STRIDE``, as for `Grid.parse`.
        times, least_entropy_bits
            As the attributes; None for what is usual.

        Returns
        -------
        Cutting
            The same.

        Raises
        ------
        SettingsError
            If anything is outside its range, or there is no time.

        Examples
        --------
        >>> Cutting.of("200/100", [0.5], None).times
        (0.5,)
        """
        times = TIMES if times is None else tuple(times)
        least = LEAST_ENTROPY_BITS if least_entropy_bits is None else least_entropy_bits
        if not times or not all(0 <= time <= 1 for time in times):
            told = ", ".join(f"{time:g}" for time in times) or "none"
            raise SettingsError(f"times: {told} (allowed: shares of the run, 0 to 1)")
        if not 0 <= least < math.inf:
            raise SettingsError(f"patch entropy: {least:g} bits (allowed: 0 or more)")
        return cls(Grid.parse(patches), times, least)

    def frames(self, time_s: NDArray[np.float64], usable: Sequence[int]) -> list[int]:
        """Which frames to cut: those nearest to the times.

        Parameters
        ----------
        time_s
            ``(frames,)``, ascending; where any is NaN, frames are taken to be evenly spaced.
        usable
            Numbers of the frames that there is a difference of.

        Returns
        -------
        list of int
            Ascending, each once.

        Examples
        --------
        >>> Cutting(Grid(200, 100)).frames(np.arange(101.0), range(90))
        [25, 50, 75, 89]
        """
        if not len(usable):
            return []
        clock = time_s if np.isfinite(time_s).all() else np.arange(time_s.size, dtype=float)
        wanted = clock[0] + np.array(self.times) * (clock[-1] - clock[0])
        away = np.abs(clock[list(usable)] - wanted[:, None])
        return sorted({usable[int(place)] for place in away.argmin(axis=1)})

    def check(self, shape: tuple[int, int], stems: Sequence[str]) -> None:
        """See that frames can be cut, and that no patch would be taken for a mask.

        Parameters
        ----------
        shape
            Height and width of the frames.
        stems
            Their names, without ending.

        Raises
        ------
        SettingsError
            If they are smaller than a patch, or a name has ``mask`` in it.

        Examples
        --------
        >>> Cutting(Grid(200, 100)).check((200, 300), ["frame_1", "frame_2"])
        """
        for length_px in shape:
            self.grid.corners(length_px)
        for stem in stems:
            if "mask" in stem:
                raise SettingsError(
                    f"patches: those of {stem} would be taken for masks; rename the frames"
                )

    def record(self) -> dict[str, Any]:
        """What a manifest says of it."""
        least = self.least_entropy_bits
        return {**self.grid._asdict(), "times": list(self.times), "least_entropy_bits": least}
