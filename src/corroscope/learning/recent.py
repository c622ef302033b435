"""A sequence that is made as it is asked for, of which only the latest items are kept."""

from collections.abc import Callable, Sequence
from typing import Final, Generic, SupportsIndex, TypeVar, overload

import numpy as np

KEPT_BYTES: Final = 32 * 2**20
"""What is kept: the contrast of 200 patches of 200×200 px."""

Item = TypeVar("Item")


class Recent(Sequence[Item], Generic[Item]):
    """Items that are made when they are asked for; those asked for last are kept.

    So a dataset ten times as large does not take ten times the memory. An item is the same
    whenever it is made, so that nothing but time depends on what is kept.

    Parameters
    ----------
    count
        Number of items.
    make
        Makes the item of a number. It must always make the same, and can be pickled where the
        sequence is to be.
    kept_bytes
        How much is kept at most, in bytes of arrays; a single item may be larger, and is not kept.

    Examples
    --------
    >>> made = []
    >>> def zeros(number):
    ...     made.append(number)
    ...     return np.zeros(10, np.uint8)
    >>> items = Recent(3, zeros, kept_bytes=20)
    >>> [items[n].size for n in (0, 1, 0, 2, 0, 1)], made
    ([10, 10, 10, 10, 10, 10], [0, 1, 2, 1])
    """

    def __init__(
        self, count: int, make: Callable[[int], Item], kept_bytes: int = KEPT_BYTES
    ) -> None:
        self._count = count
        self._make = make
        self._kept_bytes = kept_bytes
        self._kept: dict[int, Item] = {}  # in order of use, the latest last
        self._bytes = 0

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: SupportsIndex) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> list[Item]: ...
    def __getitem__(self, index: SupportsIndex | slice) -> Item | list[Item]:
        if isinstance(index, slice):
            return [self[number] for number in range(self._count)[index]]
        number = range(self._count)[index]
        if number in self._kept:
            item = self._kept.pop(number)
        else:
            item = self._make(number)
            size = _size_bytes(item)
            if size > self._kept_bytes:
                return item
            self._bytes += size
            while self._bytes > self._kept_bytes:
                self._bytes -= _size_bytes(self._kept.pop(next(iter(self._kept))))
        self._kept[number] = item
        return item

    def __getstate__(self) -> dict[str, object]:
        """Without what is kept: another process makes its own."""
        return {**self.__dict__, "_kept": {}, "_bytes": 0}


def _size_bytes(item: object) -> int:
    """Of an array, or of the arrays in a tuple."""
    arrays = item if isinstance(item, tuple) else (item,)
    return sum(one.nbytes for one in arrays if isinstance(one, np.ndarray))
