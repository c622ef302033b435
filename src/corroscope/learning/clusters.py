"""What an interval is taken over: pieces of surface, or blocks where these are too few."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from corroscope.learning.surfaces import surface_groups
from corroscope.scoring.blocks import surface_blocks

FEWEST_SURFACES: Final = 6
"""With fewer clusters an interval of 95 % has no meaning."""


class Clusters(NamedTuple):
    """Patches that depend on each other.

    Attributes
    ----------
    labels
        ``(n,)`` int64, for each patch the number of its cluster.
    words
        What the clusters are.
    """

    labels: NDArray[np.int64]
    words: str


def clusters_of(shared: NDArray[np.bool_]) -> Clusters:
    """Group patches for intervals.

    Parameters
    ----------
    shared
        ``(n, n)``, what `corroscope.learning.surfaces.shared_surface` returned.

    Returns
    -------
    Clusters
        Separate pieces of surface; where there are fewer than `FEWEST_SURFACES`, the large ones
        are cut into blocks, as in `corroscope.scoring.blocks.surface_blocks`.

    Examples
    --------
    >>> clusters_of(np.eye(7, dtype=bool)).words
    '7 separate pieces of surface'
    >>> clusters_of(np.ones((3, 3), bool)).words
    '1 blocks of neighbouring patches'
    """
    surfaces = surface_groups(shared)
    number = len(set(surfaces.tolist()))
    if number >= FEWEST_SURFACES:
        return Clusters(surfaces, f"{number} separate pieces of surface")
    blocks = surface_blocks(shared)
    return Clusters(blocks, f"{len(set(blocks.tolist()))} blocks of neighbouring patches")
