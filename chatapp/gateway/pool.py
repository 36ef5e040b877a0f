"""The backends of one gateway: opened by name when first asked for, kept warm, closed together."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence

from chatapp.backends.base import Backend

MOST_OPEN = 64
"""Backends kept open; the longest unused one beyond that is closed."""


class BackendPool:
    """Opens each backend once.

    Args:
        resolve: from a name to a backend; raises `ChatappError`s.
    """

    def __init__(self, resolve: Callable[[str], Backend]) -> None:
        self._resolve = resolve
        self._open: OrderedDict[str, Backend] = OrderedDict()
        self._closing: set[asyncio.Task[None]] = set()

    async def open(self, name: str) -> Backend:
        """Return the backend of a name.

        Raises:
            ChatappError: as the name's kind says.
        """
        backend = self._open.get(name)
        if backend is None:
            # In a thread: a name may mean reading files, or asking a server which models it has.
            found = await asyncio.to_thread(self._resolve, name)
            backend = self._open.setdefault(name, found)
            if backend is not found:  # somebody else asked for the same meanwhile
                await found.aclose()
            if len(self._open) > MOST_OPEN:
                _name, oldest = self._open.popitem(last=False)
                task = asyncio.ensure_future(oldest.aclose())
                self._closing.add(task)
                task.add_done_callback(self._closing.discard)
        self._open.move_to_end(name)
        return backend

    async def aclose(self) -> None:
        """Close all backends."""
        backends: Sequence[Backend] = list(self._open.values())
        self._open.clear()
        await asyncio.gather(*(backend.aclose() for backend in backends), *self._closing, return_exceptions=True)
