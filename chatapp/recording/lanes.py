"""What a recorder keeps of each stream while it runs: where its lines stand, and the chunks that wait."""

from __future__ import annotations

from json.encoder import encode_basestring as quote

import msgspec

from chatapp.stream.events import Channel, Delta

__all__ = ["Chunk", "Lane", "chunks_of", "quote"]


class Chunk(msgspec.Struct, gc=False):
    """One upstream chunk on its way to the file."""

    text: str
    at_ns: int
    tokens: int
    uncertainty_ns: int


class Lane:
    """What the recorder knows of one stream."""

    __slots__ = ("channel", "head", "held", "index", "key")

    def __init__(self, name: str) -> None:
        self.head = f',"t",{{"s":{quote(name)},"i":'
        """How the lines of its chunks go on after the interval."""
        self.index = 0
        self.channel: Channel = "answer"
        self.key = ',"x":'
        self.held: list[Chunk] = []
        """Chunks whose text may end in the beginning of a secret: they wait for the next one."""


def chunks_of(delta: Delta) -> list[Chunk]:
    """Return the upstream chunks of a delta."""
    if not delta.arrivals:
        return [Chunk(delta.text, delta.at_ns, delta.tokens, delta.uncertainty_ns)]
    chunks: list[Chunk] = []
    start = 0
    for arrival in delta.arrivals:
        end = start + arrival.characters
        chunks.append(Chunk(delta.text[start:end], arrival.at_ns, arrival.tokens, arrival.uncertainty_ns))
        start = end
    return chunks
