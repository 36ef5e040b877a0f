"""The recorder: every event becomes a line on disk as it happens.

A recorder never fails the stream that it records. Where a line cannot be written (disk full, folder gone) it cuts the
file back to its last whole line, says so once through `on_problem`, and ignores what follows.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from chatapp import __version__
from chatapp.clock import NS_PER_S, NS_PER_US, Clock, MonotonicClock
from chatapp.recording import codec
from chatapp.recording.format import FORMAT, VERSION, Header, Quantizer, Seal, format_line, seal_line, utc_now
from chatapp.recording.rewriting import redact_pieces
from chatapp.recording.sink import Sink, open_sink
from chatapp.redaction import REDACTOR, SHORTEST_SHAPE, Redactor
from chatapp.stream.events import BackendInfo, Channel, Delta, Event, Failed, Finished, Request, Sent

_encode = msgspec.json.Encoder().encode
_SYNC_NS = NS_PER_S
"""A power cut loses at most this much; a kill loses nothing that was written."""


class _Chunk(msgspec.Struct, gc=False):
    """One upstream chunk on its way to the file."""

    text: str
    at_ns: int
    tokens: int
    uncertainty_ns: int


class _Lane:
    """What the recorder knows of one stream."""

    __slots__ = ("channel", "held", "index", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.index = 0
        self.channel: Channel = "answer"
        self.held: list[_Chunk] = []
        """Chunks whose text may end in the beginning of a secret: they wait for the next one."""


class Recorder:
    """Writes one recording. Use `Recorder.open`; it is also a context manager.

    A stream is a lane on which one answer runs at a time: a pane, or one of a benchmark's workers. All streams share
    one clock. Instants in events must come from the clock's own monotonic time line.

    Args:
        sink: where lines go.
        clock: gives the time of lines whose event has none.
        redactor: what is replaced before the write.
        on_problem: called once, with one line for the reader, when capture has to stop.
        header: the first line; its `streams` may describe streams that are known at the start.
    """

    def __init__(
        self,
        sink: Sink,
        *,
        clock: Clock | None = None,
        redactor: Redactor | None = None,
        on_problem: Callable[[str], None] | None = None,
        header: Header | None = None,
    ) -> None:
        self._sink = sink
        self._clock = clock or MonotonicClock()
        self._base = redactor if redactor is not None else REDACTOR
        self._redactor = self._base.with_patterns(())
        self._known = len(self._base.secrets)
        self._careful = self._must_be_careful()
        self._on_problem = on_problem
        self._lanes: dict[str, _Lane] = {}
        self._quantizer = Quantizer(self._clock.now_ns())
        self._next_sync_ns = self._quantizer.start_ns + _SYNC_NS
        self._closed = False
        self._stopped = False
        self.events = 0
        self.problem = ""
        """Why capture stopped; empty while all is well."""
        header = header or Header(FORMAT, VERSION, created=utc_now(), app={"name": "chatapp", "version": __version__})
        self._write_lines(_encode(self._redacted(header)) + b"\n", 0)

    @classmethod
    def open(
        cls,
        path: Path | str,
        *,
        title: str = "",
        streams: dict[str, dict[str, Any]] | None = None,
        clock: Clock | None = None,
        redactor: Redactor | None = None,
        on_problem: Callable[[str], None] | None = None,
    ) -> Recorder:
        """Create a file and begin to record; a name that ends in `.gz` is compressed.

        Raises:
            UsageError: the file exists already, or cannot be created.
        """
        header = Header(
            FORMAT,
            VERSION,
            created=utc_now(),
            title=title,
            app={"name": "chatapp", "version": __version__},
            streams=streams or {},
        )
        return cls(open_sink(Path(path)), clock=clock, redactor=redactor, on_problem=on_problem, header=header)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # ------------------------------------------------------------------ what happens

    def begin(self, stream: str, request: Request, info: BackendInfo | None = None, *, response_id: str = "") -> None:
        """Write that a request is about to leave on a stream, and what is asked where that is known."""
        self._settle(stream)
        self._lane(stream).index = 0
        self._refresh_secrets()
        for message in request.messages:
            # A key pasted into a prompt tends to come back in the answer, token by token: know it by value from now on.
            self._redactor.learn(message.content)
        self._redactor.learn(request.instructions or "")
        self._careful = self._must_be_careful()
        self._line("q", codec.request_data(stream, request, response_id=response_id), self._clock.now_ns())
        if info is not None:
            self.record(stream, info)

    def record(self, stream: str, event: Event | BackendInfo) -> None:
        """Write one event of a stream; a joined delta becomes one line for each upstream chunk in it."""
        if self._stopped:
            return
        if type(event) is Delta:
            lane = self._lanes.get(stream) or self._lane(stream)
            text = event.text
            if event.arrivals or self._careful or len(text) >= SHORTEST_SHAPE or lane.channel != event.channel:
                self._delta(lane, event)
            else:  # one token that can be no secret
                line = self._text_line(lane, text, event.at_ns, event.tokens, event.uncertainty_ns)
                self._write_lines(line, 1)
            if event.at_ns >= self._next_sync_ns:
                self._sync(event.at_ns)
            return
        self._settle(stream)
        self._refresh_secrets()
        if isinstance(event, (Sent, Finished, Failed)):
            micros, rest = self._quantizer.step(event.at_ns)
            code, data = codec.event_data(stream, event, rest)
        else:
            micros, _rest = self._quantizer.step(self._clock.now_ns())
            code, data = codec.event_data(stream, event, 0)
        self._put(micros, code, _encode(self._redacted(data)))
        if isinstance(event, (Finished, Failed)):
            self._sync()

    def mark(self, label: str) -> None:
        """Write a chapter mark."""
        self._line("m", label, self._clock.now_ns())

    def key(self, name: str) -> None:
        """Write a key press of the app: its name, never a printable character of a prompt."""
        self._line("k", name, self._clock.now_ns())

    def typed(self, text: str) -> None:
        """Write a text that was typed and sent in the app."""
        self._line("i", text, self._clock.now_ns())

    def close(self) -> None:
        """Seal and close the file. Idempotent."""
        if self._closed:
            return
        for lane in list(self._lanes.values()):
            self._flush(lane)
        self._closed = True
        if self.problem:
            # Space may have come back: then the file says itself that it is not whole, and is sealed.
            self._stopped = False
            self._put(0, "g", _encode({"reason": self.problem}))
        self._write_lines(seal_line(Seal(self.events, self._redactor.hits, self._sink.digest())), 0)
        self._stopped = True
        self._sink.close()

    # ------------------------------------------------------------------ text, the hot path

    def _delta(self, lane: _Lane, delta: Delta) -> None:
        """Write a delta's chunks, a line each, with one write: the kernel's share is half of what a line costs."""
        if lane.channel != delta.channel:
            self._flush(lane)
            lane.channel = delta.channel
        lines: list[bytes] = []
        if not delta.arrivals:
            self._chunk(lane, lines, _Chunk(delta.text, delta.at_ns, delta.tokens, delta.uncertainty_ns))
        else:
            start = 0
            for arrival in delta.arrivals:
                end = start + arrival.characters
                text = delta.text[start:end]
                self._chunk(lane, lines, _Chunk(text, arrival.at_ns, arrival.tokens, arrival.uncertainty_ns))
                start = end
        if lines:
            self._write_lines(b"".join(lines), len(lines))

    def _chunk(self, lane: _Lane, lines: list[bytes], chunk: _Chunk) -> None:
        """Add a chunk's line, or hold the chunk back until it is known whether a secret goes on in the next."""
        redactor = self._redactor
        if redactor.secrets or lane.held:
            joined = "".join([held.text for held in lane.held]) + chunk.text
            unfinished = redactor.unfinished(joined)
            if unfinished or lane.held:
                lane.held.append(chunk)
                if not unfinished:
                    lines += self._held_lines(lane)
                return
        text = redactor.text(chunk.text) if redactor.may_hold_secret(chunk.text) else chunk.text
        lines.append(self._text_line(lane, text, chunk.at_ns, chunk.tokens, chunk.uncertainty_ns))

    def _held_lines(self, lane: _Lane) -> list[bytes]:
        """Return the lines of what a lane held back."""
        held, lane.held = lane.held, []
        texts = redact_pieces([chunk.text for chunk in held], self._redactor)
        return [
            self._text_line(lane, text, chunk.at_ns, chunk.tokens, chunk.uncertainty_ns)
            for chunk, text in zip(held, texts, strict=True)
        ]

    def _flush(self, lane: _Lane) -> None:
        """Write what a lane held back."""
        if lane.held:
            lines = self._held_lines(lane)
            self._write_lines(b"".join(lines), len(lines))

    def _text_line(self, lane: _Lane, text: str, at_ns: int, tokens: int, uncertainty_ns: int) -> bytes:
        # Quantizer.step and format_line, written out: a call costs 5 % of what a chunk may.
        quantizer = self._quantizer
        rest = at_ns - quantizer.start_ns - quantizer.written_ns
        micros = rest // NS_PER_US if rest > 0 else 0
        if micros:
            rest -= micros * NS_PER_US
            quantizer.written_ns += micros * NS_PER_US
        index = lane.index
        lane.index = index + 1
        answer, reasoning = (text, None) if lane.channel == "answer" else (None, text)
        try:
            data = _encode(codec.TextData(lane.name, index, answer, reasoning, tokens, rest, uncertainty_ns))
        except UnicodeEncodeError:  # a lone surrogate, from half an emoji: JSON text cannot hold it
            answer, reasoning = _encodable(answer), _encodable(reasoning)
            data = _encode(codec.TextData(lane.name, index, answer, reasoning, tokens, rest, uncertainty_ns))
        if micros < 1_000_000:
            return b'[0.%06d,"t",%b]\n' % (micros, data)
        return format_line(micros, "t", data)

    # ------------------------------------------------------------------ lines

    def _lane(self, stream: str) -> _Lane:
        lane = self._lanes.get(stream)
        if lane is None:
            lane = self._lanes[stream] = _Lane(stream)
        return lane

    def _settle(self, stream: str) -> None:
        lane = self._lanes.get(stream)
        if lane is not None and lane.held:
            self._flush(lane)

    def _refresh_secrets(self) -> None:
        if len(self._base.secrets) != self._known:
            self._known = len(self._base.secrets)
            for value, name in list(self._base.secrets.items()):
                self._redactor.add(name, value)

            self._careful = self._must_be_careful()

    def _must_be_careful(self) -> bool:
        """Whether secrets of any length may stand in a chunk: values that are known, patterns of the user's."""
        return bool(self._redactor.secrets) or self._redactor.may_hold_secret("")

    def _redacted(self, data: Any) -> Any:
        return self._redactor.value(_encodable(msgspec.to_builtins(data)))

    def _line(self, code: str, data: Any, at_ns: int) -> None:
        if not self._stopped:
            self._put(self._quantizer.step(at_ns)[0], code, _encode(self._redacted(data)))

    def _put(self, micros: int, code: str, data: bytes) -> None:
        self._write_lines(format_line(micros, code, data), 1)

    def _write_lines(self, lines: bytes, events: int) -> None:
        """Write whole lines at once; the header and the seal are no events."""
        if self._stopped:
            return
        try:
            self._sink.write(lines)
        except OSError as exc:
            self._fail(exc)
        else:
            self.events += events

    def _sync(self, at_ns: int = 0) -> None:
        self._next_sync_ns = max(at_ns, self._clock.now_ns()) + _SYNC_NS
        if self._stopped:
            return
        try:
            self._sink.sync()
        except OSError as exc:
            self._fail(exc)

    def _fail(self, exc: OSError) -> None:
        reason = "the disk is full" if exc.errno in (errno.ENOSPC, errno.EDQUOT) else exc.strerror or str(exc)
        self._stopped = True
        if self.problem:  # told already
            return
        self.problem = f"recording stopped: {reason} ({self._sink.name}, {self.events} events kept)"
        if self._on_problem is not None:
            self._on_problem(self.problem)


def _encodable(value: Any) -> Any:
    """Return a JSON-like value whose strings can be written as UTF-8."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, dict):
        return {_encodable(k): _encodable(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_encodable(v) for v in value]
    return value
