"""The backends of one gateway: opened by name when first asked for, kept warm, closed together."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager

from chatapp.backends.base import Backend, Remote
from chatapp.stream.events import Event, Request

MOST_OPEN = 64
"""Backends kept open; the longest unused one beyond that is closed.

One that answers is not closed, whoever asks for however many others: more are open only as long as they answer, and
how many answers there are at once is bounded by the connections.
"""


class _Kept:
    """A backend that knows whether anybody uses it.

    Args:
        backend: does the work.
        left: called whenever the last of its users has gone.
    """

    def __init__(self, backend: Backend, left: Callable[[], None]) -> None:
        self.info = backend.info
        self.users = 0
        self._backend = backend
        self._left = left

    async def stream(self, request: Request) -> AsyncGenerator[Event, None]:
        """Yield the events of one answer."""
        with self._using():
            async with aclosing(self._backend.stream(request)) as events:
                async for event in events:
                    yield event

    async def warm(self) -> None:
        """Take start-up costs out of the first measurement."""
        with self._using():
            await self._backend.warm()

    async def aclose(self) -> None:
        """Release connections and processes."""
        await self._backend.aclose()

    @contextmanager
    def _using(self) -> Iterator[None]:
        self.users += 1
        try:
            yield
        finally:
            self.users -= 1
            if not self.users:
                self._left()


class _KeptRemote(_Kept):
    """The same of one that asks a server. A class of its own: whether there is an address is asked of the class."""

    def __init__(self, backend: Remote, kept: Backend, left: Callable[[], None]) -> None:
        super().__init__(kept, left)
        self._remote = backend

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the server."""
        return self._remote.address


class BackendPool:
    """Opens each backend once.

    Args:
        resolve: from a name to a backend; raises `ChatappError`s.
    """

    def __init__(self, resolve: Callable[[str], Backend]) -> None:
        self._resolve = resolve
        self._open: OrderedDict[str, _Kept] = OrderedDict()
        self._closing: set[asyncio.Task[None]] = set()

    async def open(self, name: str) -> Backend:
        """Return the backend of a name. It is safe from being closed once it streams: begin before you wait.

        Raises:
            ChatappError: as the name's kind says.
        """
        if name not in self._open:
            # In a thread: a name may mean reading files, or asking a server which models it has.
            found = await asyncio.to_thread(self._resolve, name)
            if name in self._open:  # somebody else asked for the same meanwhile
                self._close(found)
            else:
                self._open[name] = self._keep(found)
        self._open.move_to_end(name)
        self._trim()
        return self._open[name]

    def _keep(self, backend: Backend) -> _Kept:
        if isinstance(backend, Remote):
            return _KeptRemote(backend, backend, self._trim)
        return _Kept(backend, self._trim)

    def _trim(self) -> None:
        """Close what is too many and unused; the last one that was asked for is about to be used."""
        excess = len(self._open) - MOST_OPEN
        if excess <= 0:
            return
        last = next(reversed(self._open))
        idle = [name for name, kept in self._open.items() if not kept.users and name != last]
        for name in idle[:excess]:
            self._close(self._open.pop(name))

    def _close(self, backend: Backend) -> None:
        task = asyncio.ensure_future(backend.aclose())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def aclose(self) -> None:
        """Close all backends."""
        backends = list(self._open.values())
        self._open.clear()
        await asyncio.gather(*(backend.aclose() for backend in backends), *self._closing, return_exceptions=True)
