"""What a host name says by itself, without asking anybody."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit


def is_loopback(host: str | None) -> bool:
    """Return whether a host is this machine: `localhost`, or an address of the loopback network.

    By value, not by its beginning: `127.example.com` is somebody else's.
    """
    if not host:
        return False
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def is_this_machine(url: str) -> bool:
    """Return whether a URL names this machine, whose monotonic clock is ours and which charges nothing."""
    return is_loopback(urlsplit(url).hostname)


def is_literal(host: str) -> bool:
    """Return whether a host is an address, which needs no look-up."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def host_and_port(url: str) -> tuple[str, int]:
    """Return where the server of a URL is; the port is the scheme's where the URL has none."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme in ("https", "wss") else 80)
