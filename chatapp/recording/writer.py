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
from chatapp.recording.lanes import Chunk, Lane, chunks_of, quote
from chatapp.recording.rewriting import redact_pieces
from chatapp.recording.sink import Sink, open_sink
from chatapp.redaction import REDACTOR, SHORTEST_SHAPE, Redactor
from chatapp.stream.events import Arrival, BackendInfo, Channel, Delta, Event, Failed, Finished, Request, Sent

_encode = msgspec.json.Encoder().encode
_INTERVALS = tuple(f"0.{micros:06d}" for micros in range(1000))
"""Intervals under 1 ms ready-made: where chunks come so fast, 0.15 us for each count."""
_TOKEN, _VOCABULARY = 24, 8192
"""Longest text, and number of texts, whose suspicion is remembered: at most some 700 KiB."""
_SYNC_NS = NS_PER_S
"""A power cut loses at most this much; a kill loses nothing that was written."""


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
        self._begins_secret = self._redactor.find_beginning()
        self._suspects: dict[str, bool] = {}
        """Whether tokens that came before may belong to a secret: text is made of the same few thousand tokens."""
        self._shortest = 0 if self._redactor.patterns else SHORTEST_SHAPE
        """Characters of a text that may hold a secret of a shape, or what a pattern of the user's finds."""
        self._on_problem = on_problem
        self._lanes: dict[str, Lane] = {}
        self.zero_ns = self._clock.now_ns()
        """The instant that is 0.0 in the file: of the first request, mark or key. Nothing that was not recorded, such
        as a warm-up, is waited for in a replay."""
        self._quantizer = Quantizer(self.zero_ns)
        self._started = False
        self._next_sync_ns = self._quantizer.line_ns + _SYNC_NS
        self._last = b""
        """A chunk's line that goes out with the next: a kill may lose one line, and a write for two is half a write."""
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
        self._start_clock()
        self._settle(stream)
        self._lane(stream).index = 0
        self._refresh_secrets()
        for message in request.messages:
            # A key pasted into a prompt tends to come back in the answer, token by token: know it by value from now on.
            self._redactor.learn(message.content)
        self._redactor.learn(request.instructions or "")
        self._know_secrets()
        self._line("q", codec.request_data(stream, request, response_id=response_id), self._clock.now_ns())
        if info is not None:
            self.record(stream, info)

    def record(self, stream: str, event: Event | BackendInfo) -> None:
        """Write one event of a stream; a joined delta becomes one line for each upstream chunk in it."""
        if self._stopped:
            return
        if type(event) is Delta:
            lane = self._lanes.get(stream) or self._lane(stream)
            if lane.channel != event.channel:
                self._turn(lane, event.channel)
            text = event.text
            suspect = self._suspects.get(text)
            if suspect is None:
                suspect = self._suspect(text)
            if suspect or lane.held:
                self._write_carefully(lane, event)
            elif event.arrivals:
                self._write_chunks(lane, event)
            else:
                line = self._text_line(lane, text, event)
                if self._last:
                    self._write_lines(line, 1)
                else:
                    self._last = line
            if event.at_ns >= self._next_sync_ns:
                self._sync(event.at_ns)
            return
        self._started = True
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
        self._write_lines(b"", 0)  # before the seal, whose hash is over it
        try:
            self._write_lines(seal_line(Seal(self.events, self._redactor.hits, self._sink.digest())), 0)
        except OSError as exc:  # lines that are compressed many at a time reach the disk here at the latest
            self._fail(exc)
        finally:
            self._stopped = True
            self._sink.close()

    # ------------------------------------------------------------------ text, the hot path

    def _suspect(self, text: str) -> bool:
        """Return False where a text neither holds a secret nor ends in the beginning of one; remember short ones."""
        begins = self._begins_secret
        found = (begins is not None and begins(text) is not None) or (
            len(text) >= self._shortest and self._redactor.may_hold_secret(text)
        )
        if len(text) <= _TOKEN:
            if len(self._suspects) >= _VOCABULARY:
                self._suspects.clear()
            self._suspects[text] = found
        return found

    def _turn(self, lane: Lane, channel: Channel) -> None:
        """Go from reasoning to the answer, or back."""
        self._flush(lane)
        lane.channel = channel
        lane.key = ',"x":' if channel == "answer" else ',"r":'

    def _write_chunks(self, lane: Lane, delta: Delta) -> None:
        """Write a joined delta's chunks, a line each, with one write: the kernel's share is half of a line's cost."""
        lines: list[bytes] = []
        text, start = delta.text, 0
        for arrival in delta.arrivals:
            end = start + arrival.characters
            lines.append(self._text_line(lane, text[start:end], arrival))
            start = end
        self._write_lines(b"".join(lines), len(lines))

    def _write_carefully(self, lane: Lane, delta: Delta) -> None:
        """Write a delta's chunks, but for what may be in the middle of a secret."""
        lines: list[bytes] = []
        chunks = chunks_of(delta)
        if len(chunks) > 1 and self._redactor.may_hold_secret("".join(held.text for held in lane.held) + delta.text):
            # The whole text is here: what only its shape tells is found over the chunks, too.
            chunks, lane.held = lane.held + chunks, []
            texts = redact_pieces([chunk.text for chunk in chunks], self._redactor)
            chunks = [msgspec.structs.replace(chunk, text=text) for chunk, text in zip(chunks, texts, strict=True)]
        for chunk in chunks:
            self._chunk(lane, lines, chunk)
        if lines:
            self._write_lines(b"".join(lines), len(lines))

    def _chunk(self, lane: Lane, lines: list[bytes], chunk: Chunk) -> None:
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
        lines.append(self._text_line(lane, text, chunk))

    def _held_lines(self, lane: Lane) -> list[bytes]:
        """Return the lines of what a lane held back."""
        held, lane.held = lane.held, []
        texts = redact_pieces([chunk.text for chunk in held], self._redactor)
        return [self._text_line(lane, text, chunk) for chunk, text in zip(held, texts, strict=True)]

    def _flush(self, lane: Lane) -> None:
        """Write what a lane held back."""
        if lane.held:
            lines = self._held_lines(lane)
            self._write_lines(b"".join(lines), len(lines))

    def _text_line(self, lane: Lane, text: str, chunk: Delta | Arrival | Chunk) -> bytes:
        """Return a chunk's line: what `codec.TextData` and `Quantizer.step` say, in one go, as it is the hot path."""
        quantizer = self._quantizer
        at_ns = chunk.at_ns
        rest = at_ns - quantizer.line_ns
        if rest >= NS_PER_US:
            micros, rest = divmod(rest, NS_PER_US)
            quantizer.line_ns = at_ns - rest
            if micros < 1000:
                interval = _INTERVALS[micros]
            elif micros < 1_000_000:
                interval = f"0.{str(micros + 1_000_000)[1:]}"  # "%06d" takes twice as long
            else:
                interval = f"{micros // 1_000_000}.{micros % 1_000_000:06d}"
        else:
            interval = "0.000000"
        index = lane.index
        lane.index = index + 1
        tokens = chunk.tokens
        uncertainty_ns = chunk.uncertainty_ns
        if tokens and rest and not uncertainty_ns:
            line = f'[{interval}{lane.head}{index}{lane.key}{quote(text)},"n":{tokens},"ns":{rest}}}]\n'
        else:
            n = f',"n":{tokens}' if tokens else ""
            ns = f',"ns":{rest}' if rest else ""
            un = f',"un":{uncertainty_ns}' if uncertainty_ns else ""
            line = f"[{interval}{lane.head}{index}{lane.key}{quote(text)}{n}{ns}{un}}}]\n"
        try:
            return line.encode()
        except UnicodeEncodeError:  # a lone surrogate, from half an emoji: JSON text cannot hold it
            return line.encode("utf-8", "replace")

    # ------------------------------------------------------------------ lines

    def _start_clock(self) -> None:
        """Let the file begin now, where it has not begun."""
        if not self._started:
            self._started = True
            self.zero_ns = self._quantizer.line_ns = self._clock.now_ns()

    def _lane(self, stream: str) -> Lane:
        lane = self._lanes.get(stream)
        if lane is None:
            self._started = True
            lane = self._lanes[stream] = Lane(stream)
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
            self._know_secrets()

    def _know_secrets(self) -> None:
        """Look for all secrets that are known now, from here on."""
        begins = self._redactor.find_beginning()
        if begins != self._begins_secret:
            self._begins_secret = begins
            self._suspects.clear()

    def _redacted(self, data: Any) -> Any:
        return self._redactor.value(codec.encodable(msgspec.to_builtins(data)))

    def _line(self, code: str, data: Any, at_ns: int) -> None:
        if not self._stopped:
            self._start_clock()
            self._put(self._quantizer.step(at_ns)[0], code, _encode(self._redacted(data)))

    def _put(self, micros: int, code: str, data: bytes) -> None:
        self._write_lines(format_line(micros, code, data), 1)

    def _write_lines(self, lines: bytes, events: int) -> None:
        """Write whole lines at once, after the one that waits; the header and the seal are no events."""
        if self._stopped:
            return
        if self._last:
            lines = self._last + lines
            events += 1
            self._last = b""
        if not lines:
            return
        try:
            self._sink.write(lines)
        except OSError as exc:
            self._fail(exc)
        else:
            self.events += events

    def _sync(self, at_ns: int = 0) -> None:
        self._next_sync_ns = max(at_ns, self._clock.now_ns()) + _SYNC_NS
        self._write_lines(b"", 0)
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
