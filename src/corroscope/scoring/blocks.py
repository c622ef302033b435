"""Blocks of images that are nearly independent, where whole pieces of surface are too few."""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components, reverse_cuthill_mckee

SMALLEST_BLOCK = 12
"""Images in a block at least: of smaller ones too many have neighbours in another block."""


def surface_blocks(shared: NDArray[np.bool_], smallest: int = SMALLEST_BLOCK) -> NDArray[np.int64]:
    """Labels of blocks of images that show neighbouring surface.

    Images that overlap in a chain are one piece of surface, although the first may have nothing
    in common with the last. Each piece is put in an order in which neighbours stand together
    (reverse Cuthill–McKee) and cut into blocks of equal size. Pieces with less than
    two times `smallest` images stay whole.

    Parameters
    ----------
    shared
        ``(n, n)``, symmetric: which images show common surface.
    smallest
        Images that a block has at least, unless its piece of surface has fewer.

    Returns
    -------
    ndarray of int
        ``(n,)``, from 0, for `corroscope.scoring.bootstrap.intervals`.

    Raises
    ------
    ValueError
        If `smallest` is below 1.

    Notes
    -----
    Neighbours on either side of a cut still depend on one another, and so do all images of one
    piece of surface if it is lit, focused or corroded unlike others. Of both the blocks know
    nothing, and intervals over them are then too narrow: take whole pieces where there are
    enough.

    References
    ----------
    S. N. Lahiri, *Resampling Methods for Dependent Data*, 2003, chapter 12, on spatial blocks.

    Examples
    --------
    >>> place = np.array([0, 1, 2, 3, 4, 5, 9])
    >>> labels = surface_blocks(np.abs(place[:, None] - place) <= 1, 3)
    >>> sorted(np.flatnonzero(labels == label).tolist() for label in range(3))
    [[0, 1, 2], [3, 4, 5], [6]]
    """
    if smallest < 1:
        raise ValueError(f"blocks of {smallest} images are not possible")
    graph = sparse.csr_matrix(shared)
    order = reverse_cuthill_mckee(graph, symmetric_mode=True)
    pieces = connected_components(graph, directed=False)[1][order]
    labels = np.empty(len(shared), np.int64)
    used = 0
    for piece in dict.fromkeys(pieces.tolist()):
        members = order[pieces == piece]
        for block in np.array_split(members, max(1, len(members) // smallest)):
            labels[block] = used
            used += 1
    return labels
