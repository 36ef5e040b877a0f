"""The transfer coding of RFC 9112, 7.1, under any split."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatapp.protocol.chunked import ChunkedDecoder, ChunkedError


def encode(*pieces: bytes, extension: bytes = b"", trailer: bytes = b"") -> bytes:
    return b"".join(b"%x%b\r\n%b\r\n" % (len(p), extension, p) for p in pieces) + b"0\r\n" + trailer + b"\r\n"


def decode(data: bytes, *cuts: int) -> tuple[bytes, bytes | None]:
    decoder, out, start = ChunkedDecoder(), b"", 0
    for cut in [*sorted(cuts), len(data)]:
        if decoder.rest is None:
            out += decoder.feed(data[start:cut])
        else:
            decoder.rest += data[start:cut]
        start = cut
    return out, decoder.rest


def test_the_last_chunk_is_left_to_the_http_library():
    assert decode(encode(b"hello ", b"world")) == (b"hello world", b"0\r\n\r\n")


def test_trailers_and_what_follows_are_left_too():
    data = encode(b"a", trailer=b"X-Sum: 1\r\n") + b"HTTP/1.1 200"
    assert decode(data) == (b"a", b"0\r\nX-Sum: 1\r\n\r\nHTTP/1.1 200")


@pytest.mark.parametrize("extension", [b";name=value", b' ; q="x"', b"  "])
def test_extensions_and_blanks_are_ignored(extension):
    assert decode(encode(b"a", extension=extension))[0] == b"a"


@pytest.mark.parametrize("size", [b"F", b"00f", b"f"])
def test_sizes_are_hexadecimal(size):
    assert decode(size + b"\r\n" + b"x" * 15 + b"\r\n0\r\n\r\n")[0] == b"x" * 15


@pytest.mark.parametrize(
    "line", [b"\r\n", b"-1\r\n", b"+1\r\n", b"0x1\r\n", b"1_0\r\n", b"zz\r\n", b"1" * 17 + b"\r\n"]
)
def test_what_is_no_size_is_refused(line):
    with pytest.raises(ChunkedError, match="not a chunk size"):
        decode(line)


@pytest.mark.parametrize("data", [b"1\r\nab\r\n", b"1\r\na\rb"])
def test_a_chunk_longer_than_its_size_is_refused_after_what_came_before(data):
    decoder = ChunkedDecoder()
    assert decoder.feed(data) == b"a"
    with pytest.raises(ChunkedError, match="longer than its size"):
        decoder.feed(b"more")


def test_a_size_line_is_bounded():
    decoder = ChunkedDecoder()
    with pytest.raises(ChunkedError, match="no size line"):
        list(map(decoder.feed, [b"1;" + b"x" * 1000] * 5))


@given(
    pieces=st.lists(st.binary(min_size=1, max_size=40), max_size=6),
    extension=st.sampled_from([b"", b";a=b"]),
    cuts=st.lists(st.integers(0, 300), max_size=12),
)
def test_any_split_gives_the_same_body(pieces, extension, cuts):
    data = encode(*pieces, extension=extension)
    assert decode(data, *(min(cut, len(data)) for cut in cuts)) == (
        b"".join(pieces),
        b"0" + extension * 0 + b"\r\n\r\n",
    )
