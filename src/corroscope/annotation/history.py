"""What has been done to one image's objects, and undone, without limit. No file is touched here."""

from collections.abc import Mapping
from typing import NamedTuple

from corroscope.annotation.instances import Instance

Objects = dict[int, Instance]
"""Objects by their number."""

Change = Mapping[int, Instance | None]
"""What objects become by an action: new or altered ones, and None for removed ones."""


class _Deed(NamedTuple):
    before: Change
    after: Change
    declared: bool
    """Whether somebody said thereby that the image is finished."""


class History:
    """The objects of an image and the actions that led to them.

    Examples
    --------
    >>> import numpy as np
    >>> speck = Instance.of(np.ones((2, 2), bool))
    >>> history = History()
    >>> history.apply({1: speck})
    >>> history.apply({1: None})
    >>> history.undo(), list(history.objects)
    (True, [1])
    """

    def __init__(self) -> None:
        self.objects: Objects = {}
        self.next_number = 1
        """Of the next new object; numbers are never used twice."""
        self._begun = False
        self._done: list[_Deed] = []
        self._undone: list[_Deed] = []

    @property
    def ever(self) -> bool:
        """Whether anything has ever been done, even if it is undone."""
        return self._begun or bool(self._done or self._undone)

    @property
    def annotated(self) -> bool:
        """Whether somebody has annotated the image, be it without any object."""
        return self._begun or bool(self._done)

    @property
    def done(self) -> bool:
        """Whether the image was declared finished, or found so, and nothing was done since."""
        return self._done[-1].declared if self._done else self._begun

    @property
    def can_undo(self) -> bool:
        """Whether anything has been done that is not undone."""
        return bool(self._done)

    @property
    def can_redo(self) -> bool:
        """Whether anything is undone that can be done again."""
        return bool(self._undone)

    def begin(self, objects: Change) -> None:
        """Start from objects that were there before anything was done; it cannot be undone.

        Parameters
        ----------
        objects
            The objects; may be none, of an image that was annotated as empty.
        """
        self._begun = True
        self._become(objects)

    def apply(self, change: Change, *, declared: bool = False) -> None:
        """Do something new; what was undone before can no longer be redone.

        Parameters
        ----------
        change
            What objects become; may be empty, for an image that was looked at and is in order.
        declared
            Whether somebody says thereby that the image is finished.
        """
        before = {number: self.objects.get(number) for number in change}
        self._done.append(_Deed(before, dict(change), declared))
        self._undone.clear()
        self._become(change)

    def undo(self) -> bool:
        """Take the last action back.

        Returns
        -------
        bool
            False where there is none.
        """
        if not self._done:
            return False
        self._undone.append(self._done.pop())
        self._become(self._undone[-1].before)
        return True

    def redo(self) -> bool:
        """Do again what was taken back last.

        Returns
        -------
        bool
            False where there is nothing.
        """
        if not self._undone:
            return False
        self._done.append(self._undone.pop())
        self._become(self._done[-1].after)
        return True

    def take(self, action: str, change: Change) -> None:
        """Take a step by its name in the journal.

        Parameters
        ----------
        action
            ``"begin"``, ``"undo"``, ``"redo"``; anything else is something new, which declares
            the image finished if it is ``"done"``.
        change
            What objects become; nothing for undo and redo, which know.
        """
        if action == "undo":
            self.undo()
        elif action == "redo":
            self.redo()
        elif action == "begin":
            self.begin(change)
        else:
            self.apply(change, declared=action == "done")

    def _become(self, change: Change) -> None:
        self.next_number = max([self.next_number, *(number + 1 for number in change)])
        kept = {number: old for number, old in self.objects.items() if number not in change}
        kept.update((number, new) for number, new in change.items() if new is not None)
        self.objects = kept
