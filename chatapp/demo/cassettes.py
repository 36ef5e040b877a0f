"""The recordings that a script plays, as they are or beside what another system would make of them."""

from __future__ import annotations

from chatapp.config import Settings
from chatapp.demo.script import Play
from chatapp.recording.reader import Recording
from chatapp.recording.repacing import ScheduleClock, repace


async def open_cassette(step: Play) -> Recording:
    """Return the recording of a step.

    Raises:
        FileFormatError: it cannot be read, or is broken.
        UsageError: there is nothing in it that another system could tell, or no such system.
    """
    recording = Recording.open(step.cassette)
    if not step.repace:
        return recording
    from chatapp.backends.simulated import open_simulated

    clock = ScheduleClock()
    with recording:
        backend = open_simulated(step.repace, Settings(), clock=clock)
        return await repace(recording, backend.info, backend.stream, clock)
