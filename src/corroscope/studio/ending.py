"""Ends that come from outside: the terminal is closed, or the process is asked to end."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

Handler = Callable[[int, FrameType | None], Any]


@contextlib.contextmanager
def handled(handler: Handler, *names: str) -> Iterator[None]:
    """Have signals handled meanwhile.

    Parameters
    ----------
    handler
        Is called in the main thread. Elsewhere, nothing is handled.
    names
        Of the signals. Those that this machine does not know are left out, and those that are to
        be ignored, as ``nohup`` has it.

    Yields
    ------
    None
        Afterwards, all is as before.
    """
    before = {}
    if threading.current_thread() is threading.main_thread():
        for name in names:
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) != signal.SIG_IGN:
                before[number] = signal.signal(number, handler)
    try:
        yield
    finally:
        for number, was in before.items():
            signal.signal(number, was)


def end(number: int, _: FrameType | None) -> None:
    """Leave as by Ctrl-C, so that all that is open is closed.

    Parameters
    ----------
    number
        Of the signal.

    Raises
    ------
    SystemExit
        With the code that shells have for it.

    Examples
    --------
    >>> end(15, None)
    Traceback (most recent call last):
    SystemExit: 143
    """
    raise SystemExit(128 + number)
