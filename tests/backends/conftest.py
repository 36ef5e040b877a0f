"""Connected loopback sockets, and certificates made in memory."""

from __future__ import annotations

import socket
import ssl

import pytest
import trustme


@pytest.fixture
def socket_pair():
    """Two connected TCP sockets: the non-blocking one under test, and its blocking peer."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        peer, _address = listener.accept()
    ours.setblocking(False)
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    yield ours, peer
    ours.close()
    peer.close()


@pytest.fixture(scope="session")
def authority():
    """A certificate authority of the test's own."""
    return trustme.CA()


@pytest.fixture
def server_tls(authority):
    """The context of a server on localhost."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1", "provider.test").configure_cert(context)
    return context


@pytest.fixture
def client_tls(authority):
    """The context of a client that trusts it."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context
