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
        self._listeners: dict[asyncio.Queue[str | None], asyncio.AbstractEventLoop] = {}

    def tell(self, kind: str, content: dict[str, Any]) -> None:
        """Tell all pages; from any thread.

        Parameters
        ----------
        kind
            Name of the event.
        content
            What JSON can hold.
        """
        self._put(f"event: {kind}\ndata: {json.dumps(content)}\n\n")

    def end(self) -> None:
        """Let go of all pages; from any thread. They try to come back."""
        self._put(None)

    def _put(self, text: str | None) -> None:
        for queue, loop in list(self._listeners.items()):
            loop.call_soon_threadsafe(queue.put_nowait, text)

    async def listen(self) -> AsyncIterator[str]:
        """Hear what is told from now on.

        Yields
        ------
        str
            Server-sent events.
        """
        queue: asyncio.Queue[str | None] = asyncio.Queue()
        self._listeners[queue] = asyncio.get_running_loop()
        try:
            yield "event: hello\ndata: {}\n\n"
            while True:
                try:
                    text = await asyncio.wait_for(queue.get(), HEARTBEAT_S)
                except TimeoutError:
                    text = ": still here\n\n"
                if text is None:
                    return
                yield text
        finally:
            del self._listeners[queue]
