"""Windows that cover a frame, as data: what is read, and what of it is kept.

A network sees only so far. Where a window's border is nearer than that, its output
is not what it would be on the whole frame; that rim is computed and thrown away. So
the windows put together are the whole frame's output, not an approximation.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Tile:
    """One window of a frame.

    Attributes
    ----------
    read
        Rows and columns that the network is shown.
    write
        Rows and columns of the frame that its output is kept for.
    """

    read: tuple[slice, slice]
    write: tuple[slice, slice]

    @property
    def keep(self) -> tuple[slice, slice]:
        """Rows and columns of the window's own output that are kept."""
        first, second = (
            slice(write.start - read.start, write.stop - read.start)
            for read, write in zip(self.read, self.write, strict=True)
        )
        return first, second


def plan_tiles(shape: tuple[int, int], tile_px: int, margin_px: int, grid_px: int) -> list[Tile]:
    """Cover a frame with windows of one size.

    Every pixel is written exactly once, every window starts on the pooling grid, and
    a pixel that is kept is at least ``margin_px`` away from a window's border unless
    that is the frame's border as well.

    Parameters
    ----------
    shape
        Height and width of the frame, multiples of ``grid_px``.
    tile_px
        Largest side of a window.
    margin_px
        Rim that is thrown away at each inner border.
    grid_px
        Pooling stride of the network.

    Returns
    -------
    list of Tile
        Row by row.

    Raises
    ------
    ValueError
        If the shape is not on the grid or the window is too small for its margins.

    Examples
    --------
    >>> [(t.read[1], t.write[1]) for t in plan_tiles((8, 80), 64, 8, 8)]
    [(slice(0, 48, None), slice(0, 40, None)), (slice(32, 80, None), slice(40, 80, None))]
    """
    rows, columns = (_plan_axis(length, tile_px, margin_px, grid_px) for length in shape)
    return [
        Tile(read=(row_read, column_read), write=(row_write, column_write))
        for row_read, row_write in rows
        for column_read, column_write in columns
    ]


def run_tiled(
    frame: NDArray[np.float32],
    predict: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    tile_px: int,
    margin_px: int,
    grid_px: int,
) -> NDArray[np.float32]:
    """Run a network over a frame of any size, window by window.

    Parameters
    ----------
    frame
        ``(channels, height, width)``.
    predict
        From a window with all channels to an output of its height and width.
    tile_px, margin_px, grid_px
        As in `plan_tiles`.

    Returns
    -------
    ndarray of float32
        ``(height, width)``.

    Examples
    --------
    >>> frame = np.arange(21 * 37, dtype=np.float32).reshape(1, 21, 37)
    >>> bool((run_tiled(frame, lambda window: 2 * window[0], 24, 4, 4) == 2 * frame[0]).all())
    True
    """
    _, height, width = frame.shape
    # Mirrored up to the next multiple of the grid; the surplus is cut off again.
    surplus = ((0, 0), (0, -height % grid_px), (0, -width % grid_px))
    padded = np.pad(frame, surplus, mode="symmetric")
    output = np.empty_like(padded[0])
    for tile in plan_tiles((padded.shape[1], padded.shape[2]), tile_px, margin_px, grid_px):
        output[tile.write] = predict(padded[:, *tile.read])[tile.keep]
    return np.asarray(output[:height, :width])


def _plan_axis(
    length: int, tile_px: int, margin_px: int, grid_px: int
) -> list[tuple[slice, slice]]:
    if length <= 0 or length % grid_px:
        raise ValueError(f"length {length} px is not a positive multiple of {grid_px} px")
    if length <= tile_px:
        return [(slice(0, length), slice(0, length))]
    margin = -(-margin_px // grid_px) * grid_px
    longest_step = (tile_px - 2 * margin) // grid_px * grid_px
    if longest_step <= 0:
        raise ValueError(f"tile of {tile_px} px is too small for margins of {margin} px")
    # No more windows than needed, and each no longer than needed.
    count = -(-(length - 2 * margin) // longest_step)
    step = -(-(length - 2 * margin) // (count * grid_px)) * grid_px
    tile = step + 2 * margin
    origins = [min(k * step, length - tile) for k in range(count)]
    seams = [0, *(origin + margin for origin in origins[1:]), length]
    return [
        (slice(origin, origin + tile), slice(start, stop))
        for origin, (start, stop) in zip(origins, pairwise(seams), strict=True)
    ]
