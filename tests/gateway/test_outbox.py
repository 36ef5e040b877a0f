from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatapp.gateway.outbox import LONGEST_FRAME, MOST_HELD, TICK_NS, Outbox, TextStream
from chatapp.protocol.responses_requests import Create
from chatapp.protocol.responses_server import ResponseEncoder
from chatapp.stream.events import BackendInfo, Delta, Finished, Sent

INFO = BackendInfo("m", "M", "live", "P", "m")


class Line:
    """A connection with as much room as a test gives it."""

    def __init__(self, room=1 << 20):
        self.room = room
        self.frames = []

    def send(self, frames):
        for frame in frames:
            self.frames.append(json.loads(frame))
            if self.frames[-1]["type"].endswith(".delta"):
                self.room -= len(frame)

    @property
    def deltas(self):
        return [frame for frame in self.frames if frame["type"].endswith(".delta")]

    @property
    def text(self):
        return "".join(frame["delta"] for frame in self.deltas)


class Ticker:
    """A tick that comes when a test says so, and the clock with it."""

    def __init__(self):
        self.watched = set()
        self.now = TICK_NS

    def watch(self, outbox):
        self.watched.add(outbox)

    def tick(self):
        self.now += TICK_NS
        watched, self.watched = self.watched, set()
        for outbox in watched:
            outbox.tick()


def made(room=1 << 20, stream_ids=("s",)):
    line, ticker = Line(room), Ticker()
    outbox = Outbox(line, ticker, now_ns=lambda: ticker.now)
    streams = []
    for stream_id in stream_ids:
        encoder = ResponseEncoder(f"resp_{stream_id}", Create(model="m", stream_id=stream_id), INFO, created_at=0)
        outbox.put(encoder.sent(Sent(0)))
        streams.append(TextStream(encoder))
    return line, ticker, outbox, *streams


def delta(text, at_us=1, channel="answer"):
    return Delta(text, at_us * 1000, channel, 1)


def end(stream):
    return lambda: stream.encoder.finished(Finished(0), None, None, {})


def test_the_first_text_goes_at_once_and_the_next_with_the_tick():
    line, ticker, outbox, stream = made()

    outbox.put_text(stream, delta("one"))
    assert line.text == "one"
    outbox.put_text(stream, delta(" two", 2))
    outbox.put_text(stream, delta(" three", 3))
    assert line.text == "one"
    ticker.tick()

    assert [frame["delta"] for frame in line.deltas] == ["one", " two three"]
    assert line.deltas[1]["arrivals"] == [[2, 4, 1], [3, 6, 1]]
    assert outbox.held == 0


def test_a_stream_that_was_silent_for_a_tick_sends_at_once_again():
    line, ticker, outbox, stream = made()
    outbox.put_text(stream, delta("one"))
    ticker.tick()
    assert not ticker.watched

    outbox.put_text(stream, delta(" two"))

    assert line.text == "one two"


def test_nothing_is_sent_beyond_the_room_and_nothing_is_lost():
    line, ticker, outbox, stream = made(room=0)
    words = [f"word{number} " for number in range(500)]
    for at, word in enumerate(words):
        outbox.put_text(stream, delta(word, at))
    assert line.text == ""
    while outbox.held:
        line.room = 400
        outbox.flush()
        ticker.tick()

    assert line.text == "".join(words)
    assert [row[0] for frame in line.deltas for row in frame["arrivals"]] == list(range(500))
    assert max(len(json.dumps(frame)) for frame in line.deltas) < 1500


def test_streams_take_turns_at_a_slow_reader():
    line, _ticker, outbox, left, right = made(room=0, stream_ids=("left", "right"))
    for _ in range(200):
        outbox.put_text(left, delta("left "))
        outbox.put_text(right, delta("right "))
    for _ in range(6):
        line.room = 500
        outbox.flush()

    assert {frame["stream_id"] for frame in line.deltas} == {"left", "right"}


def test_the_end_of_a_response_comes_behind_its_text():
    line, _ticker, outbox, stream = made(room=0)
    outbox.put_text(stream, delta("text"))
    outbox.finish(stream, end(stream))
    assert not line.deltas

    line.room = 1000
    outbox.flush()

    kinds = [frame["type"] for frame in line.frames]
    assert kinds.index("response.output_text.delta") < kinds.index("response.completed")
    assert [frame["sequence_number"] for frame in line.frames] == list(range(len(line.frames)))


def test_the_end_does_not_wait_for_the_tick():
    line, _ticker, outbox, stream = made()
    outbox.put_text(stream, delta("one"))
    outbox.put_text(stream, delta(" two"))
    outbox.finish(stream, end(stream))

    assert line.text == "one two"
    assert line.frames[-1]["type"] == "response.completed"


def test_after_a_cancel_the_end_overtakes_the_text():
    line, _ticker, outbox, stream = made(room=0)
    for _ in range(1000):
        outbox.put_text(stream, delta("text"))
    outbox.finish(stream, end(stream), drop_text=True)

    assert line.frames[-1]["type"] == "response.completed"
    assert outbox.held == 0
    line.room = 1000
    outbox.flush()
    assert not line.deltas


def test_control_frames_pass_all_text_that_waits():
    line, _ticker, outbox, stream = made(room=0)
    outbox.put_text(stream, delta("text"))
    outbox.put([b'{"type":"error"}'])

    assert line.frames[-1]["type"] == "error"


async def test_an_upstream_pauses_while_too_much_is_held():
    line, _ticker, outbox, stream = made(room=0)
    while not outbox.full:
        outbox.put_text(stream, delta("x" * 1000))
    assert outbox.held <= MOST_HELD + 2000

    line.room = 1 << 20
    outbox.flush()

    assert not outbox.full
    await outbox.space()
    assert outbox.held == 0


async def test_a_lost_connection_lets_go():
    _line, _ticker, outbox, stream = made(room=0)
    while not outbox.full:
        outbox.put_text(stream, delta("x" * 1000))

    outbox.close()

    await outbox.space()
    assert outbox.held == 0


def test_a_chunk_as_long_as_a_book_goes_in_pieces_of_one_arrival():
    line, ticker, outbox, stream = made()
    text = "x" * (5 * LONGEST_FRAME + 7)
    outbox.put_text(stream, Delta(text, 1000, tokens=9))
    ticker.tick()

    assert line.text == text
    rows = [row for frame in line.deltas for row in frame["arrivals"]]
    assert {row[0] for row in rows} == {1}
    assert sum(row[1] for row in rows) == len(text)
    assert sum(row[2] for row in rows) == 9
    assert max(len(frame["delta"]) for frame in line.deltas) <= LONGEST_FRAME


def test_channels_keep_their_order():
    line, ticker, outbox, stream = made()
    for text, channel in (("a", "reasoning"), ("b", "reasoning"), ("c", "answer"), ("d", "reasoning")):
        outbox.put_text(stream, delta(text, channel=channel))
    ticker.tick()

    assert [(frame["type"].split(".")[1], frame["delta"]) for frame in line.deltas] == [
        ("reasoning_text", "a"),
        ("reasoning_text", "b"),
        ("output_text", "c"),
        ("reasoning_text", "d"),
    ]


STEPS = st.lists(
    st.tuples(st.sampled_from(["text", "tick", "room"]), st.sampled_from("ab"), st.text(min_size=1, max_size=40)),
    max_size=60,
)


@given(STEPS)
def test_whatever_happens_each_stream_s_text_arrives_whole_in_order_and_numbered(steps):
    line, ticker, outbox, first, second = made(room=300, stream_ids=("a", "b"))
    streams = {"a": first, "b": second}
    said = {"a": "", "b": ""}
    for at, (what, which, text) in enumerate(steps):
        if what == "text":
            outbox.put_text(streams[which], delta(text, at))
            said[which] += text
        elif what == "tick":
            ticker.tick()
        else:
            line.room = 200
            outbox.flush()
    for stream in streams.values():
        outbox.finish(stream, end(stream))
    line.room = 1 << 20
    outbox.flush()

    for which, whole in said.items():
        mine = [frame for frame in line.frames if frame["stream_id"] == which]
        deltas = [frame for frame in mine if frame["type"].endswith(".delta")]
        assert "".join(frame["delta"] for frame in deltas) == whole
        assert all(sum(row[1] for row in frame["arrivals"]) == len(frame["delta"]) for frame in deltas)
        assert [frame["sequence_number"] for frame in mine] == list(range(len(mine)))
        assert mine[-1]["type"] == "response.completed"
    assert outbox.held == 0


@pytest.mark.parametrize("count", [1, 63, 64, 65, 1000])
def test_held_bytes_are_counted_to_nothing(count):
    line, ticker, outbox, stream = made(room=0)
    for _ in range(count):
        outbox.put_text(stream, delta("żółw "))
    line.room = 1 << 20
    outbox.flush()
    ticker.tick()

    assert (outbox.held, line.text) == (0, "żółw " * count)


def test_text_that_waits_for_the_tick_only_is_not_behind():
    line, _ticker, outbox, stream = made()
    outbox.put_text(stream, delta("one"))
    outbox.put_text(stream, delta(" two"))
    assert not outbox.behind(stream)

    line.room = 3
    assert outbox.behind(stream)
    line.room = -100
    assert outbox.behind(stream)
    outbox.finish(stream, end(stream), drop_text=True)
    assert not outbox.behind(stream)
