import pytest

from chatapp.client.link import FixedLink
from chatapp.errors import GatewayError


async def test_an_address_where_nobody_listens_is_an_error(unused_tcp_port):
    link = FixedLink(f"ws://127.0.0.1:{unused_tcp_port}/v1/responses")
    with pytest.raises(GatewayError, match="cannot be reached: connection refused") as caught:
        await link.connect()
    assert caught.value.hint == "is it running, and is the address right?"
    await link.aclose()
