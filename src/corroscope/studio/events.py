"""Telling every open page what has happened."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

HEARTBEAT_S = 15.0
"""How often a silent connection is tried, so that a page that has gone is noticed."""


class Events:
    """Whom to tell: the pages that are open."""

    def __init__(self) -> None:
        self._listeners: dict[asyncio.Queue[str], asyncio.AbstractEventLoop] = {}

    def tell(self, kind: str, content: dict[str, Any]) -> None:
        """Tell all pages; from any thread.

        Parameters
        ----------
        kind
            Name of the event.
        content
            What JSON can hold.
        """
        text = f"event: {kind}\ndata: {json.dumps(content)}\n\n"
        for queue, loop in list(self._listeners.items()):
            loop.call_soon_threadsafe(queue.put_nowait, text)

    async def listen(self) -> AsyncIterator[str]:
        """Hear what is told from now on.

        Yields
        ------
        str
            Server-sent events.
        """
        queue: asyncio.Queue[str] = asyncio.Queue()
        self._listeners[queue] = asyncio.get_running_loop()
        try:
            yield "event: hello\ndata: {}\n\n"
            while True:
                try:
                    yield await asyncio.wait_for(queue.get(), HEARTBEAT_S)
                except TimeoutError:
                    yield ": still here\n\n"
        finally:
            del self._listeners[queue]
