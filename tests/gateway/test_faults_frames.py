"""Cases 13 to 24: frames that break the protocol, and what they cost us."""

from __future__ import annotations

import asyncio
import json
import tracemalloc
import zlib

import pytest

from chatapp.gateway.peer import Limits
from tests.gateway.raw import BINARY, CLOSE, CONT, PING, PONG, TEXT, connected, event, frame
from tests.gateway.scripted import ScriptedBackend, echo, endless, serving, until

pytestmark = pytest.mark.timeout(20)


async def code_after(data, **limits):
    async with serving(ScriptedBackend(echo), limits=Limits(**limits)) as (_gateway, url), connected(url) as client:
        await client.send(data)
        async with asyncio.timeout(10):
            return await client.close_code()


async def test_case_13_an_unmasked_frame_is_1002():
    assert await code_after(frame("{}", masked=False)) == 1002


@pytest.mark.parametrize("opcode", [3, 7, 11, 15])
async def test_case_14_a_reserved_opcode_is_1002(opcode):
    assert await code_after(frame("{}", opcode)) == 1002


@pytest.mark.parametrize("rsv", [0x40, 0x20, 0x10])
async def test_case_14_a_reserved_bit_is_1002(rsv):
    assert await code_after(frame("{}", rsv=rsv)) == 1002


@pytest.mark.parametrize("text", [b"\xff", b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80", b"\xc0\xaf"])
async def test_case_15_text_that_is_no_utf8_is_1007(text):
    assert await code_after(frame(text)) == 1007


async def test_case_15_a_character_cut_by_a_fragment_is_whole_again():
    text = event(model="scripted", input="żółw").encode()
    cut = text.index("ż".encode()) + 1 if "ż".encode() in text else len(text) // 2
    raw = json.dumps({"type": "response.create", "model": "scripted", "input": "żółw"}, ensure_ascii=False).encode()
    cut = raw.index("ż".encode()) + 1
    async with serving(ScriptedBackend(echo)) as (_gateway, url), connected(url) as client:
        await client.send(frame(raw[:cut], fin=False) + frame(b"", PING) + frame(raw[cut:], CONT))
        (opcode, _payload) = await client.read()
        assert opcode == PONG
        events = await client.until("response.completed")

    assert events[-1]["response"]["output"][0]["content"][0]["text"] == "1 messages: żółw"


@pytest.mark.parametrize(("size", "opcode", "fin"), [(1, PING, False), (126, PING, True), (126, CLOSE, True)])
async def test_case_16_a_control_frame_in_pieces_or_too_long_is_1002(size, opcode, fin):
    assert await code_after(frame(b"x" * size, opcode, fin=fin)) == 1002


@pytest.mark.parametrize("payload", [b"\x03", b"\x03\xed", b"\x00\x00", b"\x03\xe7"])
async def test_case_17_a_close_that_may_not_be_sent_is_1002(payload):
    assert await code_after(frame(payload, CLOSE)) == 1002


@pytest.mark.parametrize("length", [2**63 - 1, (4 << 20) + 1])
async def test_case_18_a_length_beyond_the_limit_is_1009_at_once_and_allocates_nothing(length):
    tracemalloc.start()
    try:
        assert await code_after(frame(b"x", length=length)) == 1009
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


async def test_case_18_a_length_with_the_top_bit_is_refused():
    assert await code_after(b"\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff") in (1002, 1009)


async def test_case_19_thousands_of_fragments_are_1009():
    pieces = frame(b"x", fin=False) + b"".join(frame(b"x", CONT, fin=False) for _ in range(5000))

    assert await code_after(pieces) == 1009


async def test_case_20_an_unfinished_message_is_closed_at_the_deadline():
    assert await code_after(frame(b"{", fin=False), message_s=0.1) == 1008


async def test_case_20_an_unfinished_frame_is_closed_at_the_deadline():
    assert await code_after(frame(b"{}", length=1000), message_s=0.1) == 1008


def deflated(size):
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(b"x" * size) + packer.flush(zlib.Z_SYNC_FLUSH)


async def test_case_21_a_deflate_bomb_is_no_frame_here():
    # Compression is never agreed to, so whatever is marked as compressed breaks the protocol before it is unpacked.
    assert await code_after(frame(deflated(50 << 20)[:-4], rsv=0x40)) == 1002


async def test_case_22_garbage_deflate_is_no_frame_here():
    assert await code_after(frame(b"\xde\xad\xbe\xef", rsv=0x40)) == 1002


async def test_case_23_a_flood_of_pings_is_1008():
    assert await code_after(b"".join(frame(b"", PING) for _ in range(10_000))) == 1008


async def test_case_23_some_pings_are_answered():
    async with serving(ScriptedBackend(echo)) as (_gateway, url), connected(url) as client:
        for number in range(20):
            await client.send(frame(str(number), PING))
            assert await client.read() == (PONG, str(number).encode())


async def test_case_24_a_binary_frame_is_an_error_and_the_connection_lives():
    async with serving(ScriptedBackend(echo)) as (_gateway, url), connected(url) as client:
        await client.send(frame(b"\x00\x01", BINARY))
        error = await client.event()
        await client.say(model="scripted", input="still here")
        await client.until("response.completed")

    assert (error["type"], error["error"]["code"]) == ("error", "bad_message")


async def test_a_client_may_say_goodbye():
    async with serving(ScriptedBackend(echo)) as (gateway, url), connected(url) as client:
        await client.send(frame(b"\x03\xe8bye", CLOSE))
        assert await client.close_code() == 1000
        assert await client.reader.read() == b""
        client.writer.close()
        await until(lambda: not gateway.connections)


async def test_a_pong_and_a_close_in_one_read_are_no_accident(caplog):
    async with serving(ScriptedBackend(endless)) as (gateway, url), connected(url, pongs=False) as client:
        await client.say(model="scripted", input="hi")
        first, _second = await client.reader.readexactly(2)
        assert first == 0x80 | PING
        payload = await client.reader.readexactly(4)
        await client.until("response.output_text.delta")
        for _ in range(5):  # enough that the pong is a reason to ask again
            await client.event()
        await client.send(frame(payload, PONG) + frame(b"\x03\xe8", CLOSE))
        assert await client.close_code() == 1000
        client.writer.close()
        await until(lambda: not gateway.connections)

    assert "Fatal" not in caplog.text


async def test_a_close_that_is_not_answered_ends_all_the_same(monkeypatch):
    monkeypatch.setattr("chatapp.gateway.peer.CLOSE_S", 0.1)
    async with serving(ScriptedBackend(echo)) as (gateway, url), connected(url) as client:
        await client.send(frame("{}", TEXT, masked=False))
        assert await client.close_code() == 1002
        await until(lambda: not gateway.connections)  # the client keeps its side open
