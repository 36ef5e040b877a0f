"""One answer, accumulated from its events: text, arrivals, counts, and the figures that follow.

Feeding costs a few microseconds whatever the length; tokens are counted and figures derived when a snapshot is asked
for. Events come from servers and files, so nothing here trusts their order or their numbers: what cannot be true is
left out of the figures and said in `warnings`.
"""

from __future__ import annotations

import math
from functools import cached_property

import msgspec

from chatapp.stream.assessment import final_figures, take_snapshot
from chatapp.stream.counts import clean_usage
from chatapp.stream.events import (
    ArrivalSource,
    BackendInfo,
    Delta,
    Event,
    Failed,
    Finished,
    Notice,
    Request,
    Sent,
    ServerTiming,
    Usage,
)
from chatapp.stream.figures import Figures, Outcome, Phase, Snapshot
from chatapp.stream.tally import Tally
from chatapp.stream.timeline import ANSWER, REASONING, Timeline
from chatapp.stream.tokens import Encoding, count_tokens

NS_PER_MS = 1_000_000

_OUTCOMES: dict[str, Outcome] = {
    "stop": "done",
    "length": "length",
    "content_filter": "truncated",
    "cancelled": "cancelled",
    "truncated": "truncated",
}


MESSAGE_OVERHEAD = 4
"""Tokens that a chat template adds to each message, by the common templates; part of an estimate that is marked."""


class Answer:
    """What has arrived of one answer.

    Args:
        info: what is behind it.
        request: what was asked; only to estimate the input tokens until the server counts them.
        encoding: the common tokenizer; by default the shared offline one.
    """

    def __init__(self, info: BackendInfo, request: Request | None = None, *, encoding: Encoding | None = None) -> None:
        self.info = info
        self.request = request
        self.timeline = Timeline()
        self.notices: list[Notice] = []
        self.sent: Sent | None = None
        self.usage: Usage | None = None
        self.server_timing: ServerTiming | None = None
        self.finished: Finished | None = None
        self.failure: Failed | None = None
        self.outcome: Outcome | None = None
        self.tally = Tally(self.timeline, encoding)
        self.characters = 0
        self._texts: tuple[list[str], list[str]] = ([], [])
        self.first_rows: list[int | None] = [None, None]
        """The row of the first text of each channel, by channel code."""
        self._carried = 0
        self._warnings: dict[str, str] = {}

    # What came in

    def feed(self, event: Event) -> None:
        """Take the next event."""
        if isinstance(event, Delta):
            self._feed_delta(event)
        elif isinstance(event, Notice):
            self.notices.append(event)
            if event.kind == "warning":  # a file of figures has no other place for it
                self._warnings.setdefault(event.message, f"notice: {event.message}")
            elif event.kind == "fallback":
                self.warn(f"fallback: {event.message}")
        elif isinstance(event, Sent):
            self._feed_sent(event)
        elif isinstance(event, Usage):
            self._feed_usage(event)
        elif isinstance(event, ServerTiming):
            self.server_timing = self._clean_timing(event)
        else:
            self._feed_end(event)

    def _feed_sent(self, sent: Sent) -> None:
        if len(self.timeline):
            self.warn("late_request: a request was stamped after its text had begun; the stamp is ignored")
        else:
            self.sent = sent  # of several, after a retry, the last one before the text counts

    def _feed_delta(self, delta: Delta) -> None:
        if self.outcome is not None:
            self.warn("late_text: text came after the end of the answer; left out")
            return
        channel = REASONING if delta.channel == "reasoning" else ANSWER
        if not delta.arrivals:
            self._append(delta.at_ns, len(delta.text), delta.tokens, channel, delta.uncertainty_ns)
        elif sum(arrival.characters for arrival in delta.arrivals) == len(delta.text) and all(
            arrival.characters >= 0 for arrival in delta.arrivals
        ):
            for arrival in delta.arrivals:
                self._append(arrival.at_ns, arrival.characters, arrival.tokens, channel, arrival.uncertainty_ns)
        else:
            self.warn("arrivals_mismatch: the arrivals of a joined delta do not sum to its text; taken as one chunk")
            since = max(0, delta.at_ns - delta.arrivals[0].at_ns)
            self._append(delta.at_ns, len(delta.text), delta.tokens, channel, since + delta.uncertainty_ns)
        if delta.text:
            self._texts[channel].append(delta.text)
            self.tally.feed_text(delta.text, channel)

    def _append(self, at_ns: int, characters: int, tokens: int, channel: int, uncertainty_ns: int) -> None:
        tokens = max(tokens, 0) + self._carried
        if not characters:  # a role, or a part of a character: no arrival of text
            self._carried = tokens
            return
        self._carried = 0
        self.timeline.append(at_ns, characters, tokens=tokens, channel=channel, uncertainty_ns=uncertainty_ns)
        self.characters += characters
        if tokens:
            self.tally.feed_stated(tokens, channel)
        if self.first_rows[channel] is None:
            self.first_rows[channel] = len(self.timeline) - 1

    def _feed_usage(self, usage: Usage) -> None:
        usage, warnings = clean_usage(usage)
        for warning in warnings:
            self.warn(warning)
        if self.usage is not None:  # counts that come with every chunk: the newest of each
            old = self.usage
            usage = Usage(
                **{
                    name: getattr(old, name) if getattr(usage, name) is None else getattr(usage, name)
                    for name in Usage.__struct_fields__
                }
            )
        self.usage = usage

    def _clean_timing(self, timing: ServerTiming) -> ServerTiming:
        changes: dict[str, None] = {}
        for name in ServerTiming.__struct_fields__[1:]:
            value = getattr(timing, name)
            if value is not None and not (isinstance(value, (int, float)) and math.isfinite(value) and value >= 0):
                self.warn(f"server_timing_invalid: the server's {name} is {value!r}; ignored")
                changes[name] = None
        return msgspec.structs.replace(timing, **changes) if changes else timing

    def _feed_end(self, event: Finished | Failed) -> None:
        if self.outcome is not None:
            self.warn("second_end: the answer ended twice; the first end counts")
            return
        if isinstance(event, Failed):
            self.failure = event
            self.outcome = "failed"
        else:
            self.finished = event
            self.outcome = _OUTCOMES[event.reason]
            if event.reason == "content_filter":
                self.warn("content_filter: the server's content filter ended the answer")
        self.tally.finish()
        if len(self.timeline) and event.at_ns < self.timeline.at_ns[-1]:
            self.warn("clock_step: the end is stamped before the last text; figures use the text's stamps")

    def warn(self, warning: str) -> None:
        """Add a warning, `code: sentence`; the first of a code counts."""
        self._warnings.setdefault(warning.partition(":")[0], warning)

    # What is there

    @property
    def text(self) -> str:
        """The answer's text so far."""
        return self._joined(ANSWER)

    @property
    def reasoning(self) -> str:
        """The reasoning's text so far."""
        return self._joined(REASONING)

    def _joined(self, channel: int) -> str:
        pieces = self._texts[channel]
        if len(pieces) > 1:
            pieces[:] = ["".join(pieces)]
        return pieces[0] if pieces else ""

    @property
    def arrival_source(self) -> ArrivalSource:
        """Who stamped the arrivals."""
        return self.sent.source if self.sent else "process"

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was wrong with the events, each as `code: sentence`."""
        timeline = self.timeline
        found = list(self._warnings.values())
        if timeline.disorder:
            found.append(
                f"clock_step: {timeline.disorder} arrivals are stamped before their predecessor, "
                f"by up to {timeline.disorder_ns / NS_PER_MS:.3f} ms; raised to it"
            )
        if timeline.folded:
            found.append(f"folded: {timeline.folded} arrivals beyond {timeline.capacity} rows joined the last one")
        if len(timeline):
            if self.sent is None:
                found.append("no_request_stamp: when the request left is unknown; no latencies")
            elif timeline.at_ns[0] < self.sent.at_ns:
                found.append("clock_step: text is stamped before its request; no latencies")
        elif self.outcome in ("done", "length"):
            found.append("no_text: the answer ended without any text; it has no figures")
        return tuple(dict.fromkeys(found))

    @property
    def phase(self) -> Phase:
        """Where the answer stands."""
        if self.outcome is not None:
            return self.outcome
        if len(self.timeline):
            return "streaming"
        return "sent" if self.sent else "waiting"

    def gap_histogram(self) -> list[tuple[float, int]]:
        """Inter-chunk latencies as (upper edge in ms, count), ascending, edges 2 % apart."""
        return [(edge / NS_PER_MS, count) for edge, count in self.tally.pace.gap_histogram()]

    # What follows

    @property
    def request_ns(self) -> int | None:
        """t_req: when the request left."""
        return self.sent.at_ns if self.sent else None

    @cached_property
    def prompt_estimate(self) -> int | None:
        """Input tokens by the common tokenizer, where the request is known."""
        if self.request is None:
            return None
        texts = [message.content for message in self.request.messages]
        texts += [self.request.instructions] if self.request.instructions else []
        return sum(count_tokens(text) + MESSAGE_OVERHEAD for text in texts)

    def snapshot(self, now_ns: int) -> Snapshot:
        """Return what the screen shows at `now_ns`, on the arrivals' clock."""
        return take_snapshot(self, now_ns)

    def final(self) -> Figures:
        """Return the figures of the whole answer; of a broken one, those of what came."""
        return final_figures(self)
