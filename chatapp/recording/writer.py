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
from chatapp.clock import NS_PER_S, Clock, MonotonicClock
from chatapp.recording import codec
from chatapp.recording.format import FORMAT, VERSION, Header, Quantizer, Seal, format_line, seal_line, utc_now
from chatapp.recording.rewriting import redact_pieces
from chatapp.recording.sink import Sink, open_sink
from chatapp.redaction import REDACTOR, Redactor
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
        self._on_problem = on_problem
        self._lanes: dict[str, _Lane] = {}
        self._quantizer = Quantizer(self._clock.now_ns())
        self._next_sync_ns = self._quantizer.start_ns + _SYNC_NS
        self._closed = False
        self.events = 0
        self.problem = ""
        """Why capture stopped; empty while all is well."""
        header = header or Header(FORMAT, VERSION, created=utc_now(), app={"name": "chatapp", "version": __version__})
        self._write(_encode(self._redacted(header)) + b"\n")

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
        self._line("q", codec.request_data(stream, request, response_id=response_id), self._clock.now_ns())
        if info is not None:
            self.record(stream, info)

    def record(self, stream: str, event: Event | BackendInfo) -> None:
        """Write one event of a stream; a joined delta becomes one line for each upstream chunk in it."""
        if self._closed or self.problem:
            return
        if type(event) is Delta:
            self._delta(self._lane(stream), event)
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
        reason = self.problem
        if self.problem:
            # Space may have come back: then the file says itself that it is not whole, and is sealed.
            self._on_problem = None
            self.problem = ""
            self._put(0, "g", _encode({"reason": reason}))
        self._write(seal_line(Seal(self.events, self._redactor.hits, self._sink.digest())))
        self._sink.close()
        self.problem = self.problem or reason

    # ------------------------------------------------------------------ text, the hot path

    def _delta(self, lane: _Lane, delta: Delta) -> None:
        if lane.channel != delta.channel:
            self._flush(lane)
            lane.channel = delta.channel
        if not delta.arrivals:
            self._chunk(lane, delta.text, delta.at_ns, delta.tokens, delta.uncertainty_ns)
        else:
            start = 0
            for arrival in delta.arrivals:
                end = start + arrival.characters
                self._chunk(lane, delta.text[start:end], arrival.at_ns, arrival.tokens, arrival.uncertainty_ns)
                start = end
        if delta.at_ns >= self._next_sync_ns:
            self._sync()

    def _chunk(self, lane: _Lane, text: str, at_ns: int, tokens: int, uncertainty_ns: int) -> None:
        redactor = self._redactor
        if redactor.secrets or lane.held:
            joined = "".join(chunk.text for chunk in lane.held) + text
            if redactor.unfinished(joined):
                lane.held.append(_Chunk(text, at_ns, tokens, uncertainty_ns))
                return
            if lane.held:
                lane.held.append(_Chunk(text, at_ns, tokens, uncertainty_ns))
                self._flush(lane)
                return
        if redactor.may_hold_secret(text):
            text = redactor.text(text)
        self._text_line(lane, text, at_ns, tokens, uncertainty_ns)

    def _flush(self, lane: _Lane) -> None:
        """Write what a lane held back."""
        if not lane.held:
            return
        held, lane.held = lane.held, []
        texts = redact_pieces([chunk.text for chunk in held], self._redactor)
        for chunk, text in zip(held, texts, strict=True):
            self._text_line(lane, text, chunk.at_ns, chunk.tokens, chunk.uncertainty_ns)

    def _text_line(self, lane: _Lane, text: str, at_ns: int, tokens: int, uncertainty_ns: int) -> None:
        micros, rest = self._quantizer.step(at_ns)
        answer, reasoning = (text, None) if lane.channel == "answer" else (None, text)
        data = codec.TextData(lane.name, lane.index, answer, reasoning, tokens, rest, uncertainty_ns)
        lane.index += 1
        try:
            encoded = _encode(data)
        except UnicodeEncodeError:  # a lone surrogate, from half an emoji: JSON text cannot hold it
            data = msgspec.structs.replace(data, x=_encodable(answer), r=_encodable(reasoning))
            encoded = _encode(data)
        self._put(micros, "t", encoded)

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

    def _redacted(self, data: Any) -> Any:
        return self._redactor.value(_encodable(msgspec.to_builtins(data)))

    def _line(self, code: str, data: Any, at_ns: int) -> None:
        if not self._closed and not self.problem:
            self._put(self._quantizer.step(at_ns)[0], code, _encode(self._redacted(data)))

    def _put(self, micros: int, code: str, data: bytes) -> None:
        if self._write(format_line(micros, code, data)):
            self.events += 1

    def _write(self, line: bytes) -> bool:
        if self.problem:
            return False
        try:
            self._sink.write(line)
        except OSError as exc:
            self._fail(exc)
            return False
        return True

    def _sync(self) -> None:
        self._next_sync_ns = self._clock.now_ns() + _SYNC_NS
        if self.problem:
            return
        try:
            self._sink.sync()
        except OSError as exc:
            self._fail(exc)

    def _fail(self, exc: OSError) -> None:
        reason = "the disk is full" if exc.errno in (errno.ENOSPC, errno.EDQUOT) else exc.strerror or str(exc)
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
