"""What ``index.csv`` says of two patches: nothing that the pixels may not contradict."""

from collections.abc import Sequence

from corroscope.learning.dataset import Patch
from corroscope.scoring.surface import overlap_px


def told_of(first: Patch, second: Patch, one_dataset: bool = True) -> bool | None:
    """What ``index.csv`` says of two patches: whether they show a common piece of metal.

    Parameters
    ----------
    first, second
        The patches.
    one_dataset
        Whether they are of one dataset; the places of two say nothing of each other.

    Returns
    -------
    bool or None
        By their places, which are of different frames where the surface groups differ, else
        by their surface groups; None where it has neither of both.

    Examples
    --------
    >>> import numpy as np
    >>> frame, mask = np.zeros((8, 8), np.uint8), np.zeros((8, 8), bool)
    >>> told_of(Patch("a", frame, mask, (0, 0)), Patch("b", frame, mask, (4, 7)))
    True
    >>> told_of(Patch("a", frame, mask), Patch("b", frame, mask)) is None
    True
    """
    if not one_dataset:
        return None
    if groups_differ(first, second):
        return False
    if first.corner_px is not None and second.corner_px is not None:
        place = told_place(first, second)
        return overlap_px(first.shape, second.shape, place) > 0
    if first.surface_group is not None and second.surface_group is not None:
        return True
    return None


def told_overlaps(patches: Sequence[Patch]) -> list[tuple[int, int]]:
    """Pairs whose places in ``index.csv`` overlap.

    Parameters
    ----------
    patches
        Of one dataset.

    Returns
    -------
    list of (int, int)
        Numbers of the patches, the lower first.

    Examples
    --------
    >>> import numpy as np
    >>> frame, mask = np.zeros((8, 8), np.uint8), np.zeros((8, 8), bool)
    >>> told_overlaps([Patch("a", frame, mask, (0, at)) for at in (0, 7, 14)])
    [(0, 1), (1, 2)]
    """
    placed = [i for i, patch in enumerate(patches) if patch.corner_px is not None]
    return [
        (i, j)
        for n, i in enumerate(placed)
        for j in placed[n + 1 :]
        if told_of(patches[i], patches[j])
    ]


def told_place(first: Patch, second: Patch) -> tuple[int, int]:
    """Where the second patch lies in the first, by their corners in ``index.csv``.

    Parameters
    ----------
    first, second
        The patches; both have a corner.

    Returns
    -------
    tuple of int
        Row and column of the second's top-left pixel in the first.

    Examples
    --------
    >>> import numpy as np
    >>> frame, mask = np.zeros((8, 8), np.uint8), np.zeros((8, 8), bool)
    >>> told_place(Patch("a", frame, mask, (1, 2)), Patch("b", frame, mask, (4, 7)))
    (3, 5)
    """
    (top, left), (other_top, other_left) = first.corner_px or (0, 0), second.corner_px or (0, 0)
    return other_top - top, other_left - left


def groups_differ(first: Patch, second: Patch) -> bool:
    """Whether ``index.csv`` puts two patches on different pieces of metal.

    Parameters
    ----------
    first, second
        The patches.

    Returns
    -------
    bool
        False where it does not name the surface group of both.

    Examples
    --------
    >>> import numpy as np
    >>> frame, mask = np.zeros((8, 8), np.uint8), np.zeros((8, 8), bool)
    >>> groups_differ(*(Patch("a", frame, mask, None, group) for group in "xy"))
    True
    """
    groups = (first.surface_group, second.surface_group)
    return None not in groups and groups[0] != groups[1]
