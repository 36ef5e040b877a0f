"""What one token has in use at the moment, over all its connections."""

from __future__ import annotations

from chatapp.gateway.tokens import Grant
from chatapp.protocol.responses import WireError


class Account:
    """The use of one token, held against what it allows.

    Args:
        grant: what it allows; replaced when the tokens are read again.
    """

    def __init__(self, grant: Grant) -> None:
        self.grant = grant
        self.connections = 0
        self.streams = 0
        self._credit = float(grant.requests_per_minute or 0)
        self._credit_at_s = 0.0

    def begin(self, backend: str, now_s: float) -> None:
        """Count a request.

        Raises:
            WireError: it is more than the token allows.
        """
        grant = self.grant
        if not grant.allows(backend):
            allowed = ", ".join(grant.backends)
            raise WireError(
                "forbidden_model", f"the token {grant.name!r} may ask {allowed} only", status=403, param="model"
            )
        if grant.streams is not None and self.streams >= grant.streams:
            raise WireError(
                "too_many_streams", f"the token {grant.name!r} may have {grant.streams} answers in flight", status=429
            )
        if grant.requests_per_minute is not None:
            self._spend(grant.requests_per_minute, now_s)
        self.streams += 1

    def _spend(self, per_minute: int, now_s: float) -> None:
        """Take one from a bucket that a minute fills."""
        self._credit = min(per_minute, self._credit + (now_s - self._credit_at_s) * per_minute / 60)
        self._credit_at_s = now_s
        if self._credit < 1:
            wait_s = (1 - self._credit) * 60 / per_minute
            raise WireError(
                "rate_limited",
                f"the token {self.grant.name!r} may ask {per_minute} times a minute: wait {wait_s:.0f} s",
                status=429,
            )
        self._credit -= 1
