"""How long a server is waited for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for a server, and how often to try."""

    connect_s: float = 10.0
    first_s: float = 120.0
    """From the request to the first text."""
    idle_s: float = 60.0
    """Between two texts."""
    load_s: float = 300.0
    """For a server to load a model."""
    retries: int = 2
    """Further attempts before the first token."""
    backoff_s: float = 0.5
    """Wait before the first retry; doubles with each."""
