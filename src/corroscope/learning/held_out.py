"""Surface that is set aside before anything is chosen."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from corroscope.learning.surfaces import surface_folds


def hold_out(shared: NDArray[np.bool_], share: float) -> tuple[list[int], list[int]]:
    """Set patches aside that share no surface with those to develop on.

    Whole pieces of surface are taken, the smallest first: so there are many of them, which is
    what an interval over surfaces needs, and no patch is lost. Where that cannot be, since
    nearly all patches hang together, a part of them is cut off, and the patches at the cut are
    in neither set.

    Parameters
    ----------
    shared
        ``(n, n)``, what `corroscope.learning.surfaces.shared_surface` returned.
    share
        Share of the patches aimed at, above 0 and below 1.

    Returns
    -------
    develop, held_out : list of int
        Indices of patches.

    Raises
    ------
    DatasetError
        If nothing would be left to develop on.

    Examples
    --------
    >>> shared = np.eye(6, dtype=bool)
    >>> shared[:3, :3] = True
    >>> hold_out(shared, 0.3)
    ([0, 1, 2, 5], [3, 4])
    """
    count = len(shared)
    _, labels = connected_components(shared, directed=False)
    sizes = np.bincount(labels)
    taken: list[int] = []
    number = 0
    for surface in np.argsort(sizes, kind="stable"):
        if number >= share * count or number + sizes[surface] > 1.5 * share * count:
            break
        taken.append(int(surface))
        number += int(sizes[surface])
    if len(taken) > 1:
        held = np.isin(labels, taken)
        return np.flatnonzero(~held).tolist(), np.flatnonzero(held).tolist()
    return surface_folds(shared, max(2, round(1 / share)))[-1]
