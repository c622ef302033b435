"""Which patches show a common piece of metal, and splits that never divide one.

Scratches are the fingerprint of a surface. A network that has seen a patch in
training knows the scratches and the static specks of its neighbours as well, so a
random split, or one by file name, measures memory and not recognition.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components, reverse_cuthill_mckee

from corroscope.errors import DatasetError
from corroscope.learning.dataset import Patch
from corroscope.learning.overlaps import Overlap, find_overlaps


def shared_surface(
    patches: Sequence[Patch],
    overlaps: Sequence[Overlap] | None = None,
    *,
    doubtful: bool = True,
) -> NDArray[np.bool_]:
    """Which pairs of patches show a common piece of metal.

    The pixels decide, as `corroscope.learning.overlaps.find_overlaps` has it. What
    ``index.csv`` adds are overlaps too small to be seen, and surface groups, where a
    patch has no place in it: two patches of one group may share through a third.
    Overlaps that ``index.csv`` names and the pixels contradict are doubtful. For a split
    they count: one too many costs a patch of training, one too few makes a score a lie.

    Parameters
    ----------
    patches
        ``n`` patches.
    overlaps
        Their overlaps, if they have been found before.
    doubtful
        Whether overlaps count that ``index.csv`` names and the pixels contradict.

    Returns
    -------
    ndarray of bool
        ``(n, n)``, symmetric, true on the diagonal.

    Examples
    --------
    >>> metal = np.random.default_rng(0).integers(150, 250, (96, 160), dtype=np.uint8)
    >>> empty = np.zeros((96, 96), bool)
    >>> left, right = Patch("a", metal[:, :96], empty), Patch("b", metal[:, 64:], empty)
    >>> other = Patch("c", metal[::-1, :96], empty)
    >>> shared_surface([left, right, other]).astype(int).tolist()
    [[1, 1, 0], [1, 1, 0], [0, 0, 1]]
    """
    shared = np.eye(len(patches), dtype=bool)
    for overlap in find_overlaps(patches) if overlaps is None else overlaps:
        if overlap.shared or (doubtful and overlap.told):
            shared[overlap.first, overlap.second] = shared[overlap.second, overlap.first] = True
    groups = np.array([patch.surface_group or "" for patch in patches])
    placed = np.array([patch.corner_px is not None for patch in patches])
    same = (groups[:, None] == groups[None]) & (groups != "")
    shared |= same & ~(placed[:, None] & placed[None])
    return shared


def surface_groups(shared: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Number the pieces of surface that patches show, directly or through neighbours.

    Parameters
    ----------
    shared
        ``(n, n)``, what `shared_surface` returned.

    Returns
    -------
    ndarray of int64
        ``(n,)``, from 0 in order of the first patch.

    Examples
    --------
    >>> shared = np.eye(4, dtype=bool)
    >>> shared[0, 3] = shared[3, 0] = True
    >>> surface_groups(shared).tolist()
    [0, 1, 2, 0]
    """
    _, numbers = connected_components(sparse.csr_matrix(shared), directed=False)
    _, first, inverse = np.unique(numbers, return_index=True, return_inverse=True)
    return np.asarray(np.argsort(np.argsort(first))[inverse], np.int64)


def tainted(
    patches: Sequence[Patch],
    trained_on: Sequence[Patch],
    *,
    progress: Callable[[int, int], None] | None = None,
) -> NDArray[np.bool_]:
    """Which patches show surface of any that a network was trained on.

    Parameters
    ----------
    patches
        ``n`` patches under test.
    trained_on
        Patches of the training, of another dataset or of the same one.
    progress
        Called with the number of pairs done and of all.

    Returns
    -------
    ndarray of bool
        ``(n,)``; by the pixels alone, since places in two datasets do not compare.

    See Also
    --------
    tainted_through : when it is known which of the patches were trained on.

    Examples
    --------
    >>> metal = np.random.default_rng(0).integers(150, 250, (96, 160), dtype=np.uint8)
    >>> empty = np.zeros((96, 96), bool)
    >>> left, right = Patch("a", metal[:, :96], empty), Patch("b", metal[:, 64:], empty)
    >>> other = Patch("c", metal[::-1, :96], empty)
    >>> tainted([right, other], [left]).tolist()
    [True, False]
    """
    marked = np.zeros(len(patches), bool)
    if patches and trained_on:
        for overlap in find_overlaps(patches, trained_on, progress=progress):
            marked[overlap.first] = True
    return marked


def tainted_through(
    shared: NDArray[np.bool_], seen: Sequence[bool] | NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Which patches share surface with any of those that were trained on, themselves included.

    Parameters
    ----------
    shared
        ``(n, n)``, what `shared_surface` returned.
    seen
        ``(n,)``, which were trained on.

    Returns
    -------
    ndarray of bool
        ``(n,)``.

    Examples
    --------
    >>> shared = np.eye(3, dtype=bool)
    >>> shared[0, 2] = shared[2, 0] = True
    >>> tainted_through(shared, [True, False, False]).tolist()
    [True, False, True]
    """
    return np.asarray(shared[:, np.asarray(seen, bool)].any(axis=1))


def surface_folds(shared: NDArray[np.bool_], folds: int) -> list[tuple[list[int], list[int]]]:
    """Split patches into folds whose training and validation share no surface.

    Every patch is validated once. Patches are put in an order in which neighbours
    on the metal stand together (reverse Cuthill–McKee, surface by surface) and that
    order is cut into equal parts. A patch that shares surface with one under
    validation is left out of that fold's training.

    Parameters
    ----------
    shared
        ``(n, n)``, what `shared_surface` returned.
    folds
        Number of folds, at least 2.

    Returns
    -------
    list of (list of int, list of int)
        Indices for training and for validation, for each fold.

    Raises
    ------
    DatasetError
        If a fold would have nothing to train on, because the patches show too few
        separate pieces of surface.

    Examples
    --------
    >>> shared = np.eye(4, dtype=bool)
    >>> shared[0, 3] = shared[3, 0] = True
    >>> for training, validation in sorted(surface_folds(shared, 2)):
    ...     print(training, validation)
    [0, 3] [1, 2]
    [1, 2] [0, 3]
    """
    count = len(shared)
    if not 2 <= folds <= count:
        raise DatasetError(
            f"{folds} folds of {count} patches are not possible; ask for 2 or more, and "
            "annotate at least as many patches"
        )
    order = reverse_cuthill_mckee(sparse.csr_matrix(shared), symmetric_mode=True)
    splits = []
    for part in np.array_split(order, folds):
        neighbours = shared[part].any(axis=0)
        training = np.flatnonzero(~neighbours)
        if training.size == 0:
            raise DatasetError(
                f"all {count} patches share surface with those of one fold, nothing is left to "
                "train on; annotate patches from other places"
            )
        splits.append((training.tolist(), sorted(part.tolist())))
    return splits
