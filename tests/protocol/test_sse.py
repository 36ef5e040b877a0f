"""The decoder against the grammar, and against itself: any split of the bytes gives the same events."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatapp.protocol.sse import SseDecoder, SseEvent, SseOverflowError


def decode(data: bytes, *cuts: int) -> list[SseEvent]:
    decoder, events, start = SseDecoder(), [], 0
    for cut in [*sorted(cuts), len(data)]:
        events += decoder.feed(data[start:cut])
        start = cut
    return events


def datas(data: bytes) -> list[bytes]:
    return [event.data for event in decode(data)]


@pytest.mark.parametrize("newline", [b"\n", b"\r", b"\r\n"])
def test_each_line_ending_dispatches(newline):
    assert datas(newline.join([b"data: a", b"", b"data: b", b"", b""])) == [b"a", b"b"]


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"data: a\ndata: b\n\n", [b"a\nb"]),  # several data lines are joined by LF
        (b"data:a\n\n", [b"a"]),  # the space after the colon is optional
        (b"data:  a\n\n", [b" a"]),  # and only one is dropped
        (b"data\n\n", [b""]),  # a field without a colon has an empty value
        (b": ping\n\ndata: a\n\n", [b"a"]),
        (b"id: 7\nretry: 10\nunknown: x\ndata: a\n\n", [b"a"]),
        (b"\n\n\n", []),
        (b"data: unfinished", []),  # an event without its blank line never happened
        (b"data: unfinished\n", []),
        (b"\xef\xbb\xbfdata: a\n\n", [b"a"]),
        (b"data: \xef\xbb\xbf\n\n", [b"\xef\xbb\xbf"]),  # only the first one is a mark
        (b"data: \xc3\xa9\x0b\x0c\x1c\xc2\x85\xe2\x80\xa8\n\n", [b"\xc3\xa9\x0b\x0c\x1c\xc2\x85\xe2\x80\xa8"]),
        (b"", []),
        (b"\xef\xbb", []),
    ],
)
def test_grammar(stream, expected):
    assert datas(stream) == expected


def test_event_type_belongs_to_one_event():
    assert [(e.type, e.data) for e in decode(b"event: error\ndata: a\n\nevent: gone\n\ndata: b\n\n")] == [
        ("error", b"a"),
        ("", b"b"),
    ]


def test_comments_are_counted():
    decoder = SseDecoder()
    decoder.feed(b": OPENROUTER PROCESSING\n\n: again\n\n")
    assert decoder.comments == 2


def test_event_is_returned_by_the_feed_that_completes_it():
    decoder = SseDecoder()
    assert decoder.feed(b"data: a\n") == []
    assert decoder.feed(b"\ndata: b\n\nda") == [SseEvent(b"a", "", 9), SseEvent(b"b", "", 18)]
    assert decoder.feed(b"ta: c\r\r") == [SseEvent(b"c", "", 27)]  # a lone CR is enough: no waiting for a LF
    assert decoder.feed(b"") == []
    assert decoder.feed(b"\n") == []
    assert decoder.feed(b"data: d\n\n") == [SseEvent(b"d", "", 37)]


def test_a_megabyte_in_one_event():
    token = b"x" * 1_000_000
    assert datas(b"data: " + token + b"\n\n") == [token]


@pytest.mark.parametrize("stream", [b"data: " + b"x" * 100, b": " + b"x" * 100, b"data: x\n" * 100, b"data\n" * 200])
def test_what_is_held_is_bounded(stream):
    decoder = SseDecoder(max_event_bytes=64)
    pieces = (decoder.feed(stream[start : start + 7]) for start in range(0, len(stream), 7))
    with pytest.raises(SseOverflowError, match="more than 64 bytes"):
        list(pieces)


def test_the_bound_is_per_event():
    decoder = SseDecoder(max_event_bytes=64)
    assert len([e for _ in range(50) for e in decoder.feed(b"data: " + b"x" * 40 + b"\n\n")]) == 50


LINES = st.sampled_from(
    [b"data: a", "data: é€😀".encode(), b"data", b"data:", b": c", b"event: error", b"id: 1", b"", b"", b"\xef\xbb\xbf"]
)
STREAMS = st.tuples(
    st.sampled_from([b"", b"\xef\xbb\xbf", b"\xef"]),
    st.lists(st.tuples(LINES, st.sampled_from([b"\n", b"\r", b"\r\n"])), max_size=12),
).map(lambda parts: parts[0] + b"".join(line + end for line, end in parts[1]))


@given(stream=STREAMS, cuts=st.lists(st.integers(0, 200), max_size=20))
def test_any_split_gives_the_same_events(stream, cuts):
    assert decode(stream, *(min(cut, len(stream)) for cut in cuts)) == decode(stream)


@given(stream=STREAMS)
def test_byte_by_byte_gives_the_same_events(stream):
    assert decode(stream, *range(len(stream))) == decode(stream)


@given(st.binary(max_size=300))
def test_no_bytes_break_it(data):
    assert decode(data, *range(len(data))) == decode(data)
