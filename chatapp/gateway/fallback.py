"""Another backend's answer in place of one that fails before its first token. Optional, and never silent.

A conference stage or a team would rather have an answer from somebody else than an error, as long as nobody takes the
figures for those of the backend that was asked. So a fallback answers only while nothing has been said yet, and says so
everywhere: in a notice before its first token, in the response's model and provenance, in the log and in `/metrics`.
Its figures are its own: they begin with its own request, and the time lost before is told apart.
"""

from __future__ import annotations

import logging
import time
from typing import NamedTuple

from chatapp.backends.base import Backend
from chatapp.errors import ChatappError
from chatapp.gateway.meter import Meter
from chatapp.gateway.pool import BackendPool
from chatapp.stream.events import BackendInfo, Failed, Finished, Notice

OURS_TO_MEND = frozenset({"bad_request", "not_found", "unsupported", "model_not_found"})
"""Failures of the request itself: whoever asked must hear of a wrong name, and a fallback would refuse it, too.

All others are the backend's or its operator's, a missing or refused key among them: a key that has expired during a
talk is what a fallback is for.
"""

_log = logging.getLogger(__name__)


class Substitution(NamedTuple):
    """Who answered for whom, and why."""

    asked: str
    answers: BackendInfo
    code: str
    reason: str
    lost_ns: int
    """From the request at the gateway until the asked backend had failed: in no figure of the answer."""

    @property
    def notice(self) -> Notice:
        """What the reader is told before the first token."""
        lost = f"{self.lost_ns / 1e9:.1f} s lost"
        return Notice(
            "fallback", f"{self.asked} did not answer ({self.code}: {self.reason}; {lost}): {self.answers.name} instead"
        )

    def marked(self, end: Finished | Failed) -> Finished | Failed:
        """Return the answer's end with what an auditor needs of it, or of both failures the codes."""
        if isinstance(end, Failed):
            said = f"{end.message}; {self.answers.name} was asked because {self.asked} had failed ({self.code})"
            return Failed(end.at_ns, end.code, said, end.hint, end.status, end.retryable, end.retry_after_s)
        told = {
            "asked_backend": self.asked,
            "answered_by": self.answers.name,
            "fallback_code": self.code,
            "fallback_reason": self.reason,
            "fallback_lost_ms": f"{self.lost_ns / 1e6:.3f}",
        }
        return Finished(end.at_ns, end.reason, {**end.provenance, **told})


class Fallback:
    """The backend that stands in for others.

    Args:
        name: of it.
        pool: opens it.
        meter: counts when it does.
    """

    def __init__(self, name: str, pool: BackendPool, meter: Meter) -> None:
        self.name = name
        self.meter = meter
        self._pool = pool

    async def open(self) -> Backend:
        """Return the backend.

        Raises:
            ChatappError: it cannot be had.
        """
        return await self._pool.open(self.name)


class Rescue:
    """One response's chance to be answered by the fallback, of which there is one.

    Args:
        asked: the backend that the client named.
        fallback: None where there is none for this client.
    """

    def __init__(self, asked: str, fallback: Fallback | None) -> None:
        self.substitution: Substitution | None = None
        """What became of the chance."""
        self._asked = asked
        self._fallback = fallback if fallback is not None and fallback.name != asked else None
        self._begun_ns = time.monotonic_ns()

    def helps(self, code: str) -> bool:
        """Whether the fallback may answer what the asked backend failed with."""
        return self._fallback is not None and code not in OURS_TO_MEND

    async def stand_in(self, code: str, reason: str) -> Backend | None:
        """Return the backend that answers instead; None where it cannot be had.

        Args:
            code: how the asked one failed.
            reason: the same in words.
        """
        asked, fallback = self._asked, self._fallback
        if fallback is None:
            return None
        self._fallback = None
        lost_ns = time.monotonic_ns() - self._begun_ns
        try:
            backend = await fallback.open()
        except ChatappError as exc:
            _log.error("%s failed (%s), and its fallback %s cannot be had: %s", asked, code, fallback.name, exc.message)
            return None
        except Exception:  # a bug, or no descriptors left: what the asked backend failed with is the answer then
            _log.exception("%s failed (%s), and its fallback %s cannot be opened", asked, code, fallback.name)
            return None
        self.substitution = Substitution(asked, backend.info, code, reason, lost_ns)
        _log.warning("fallback: %s", self.substitution.notice.message)
        fallback.meter.fell_back(asked, fallback.name, code)
        return backend
