"""The Responses API's WebSocket mode: what both sides share.

One JSON object a text frame. The client sends `response.create` (the body of the HTTP call without `stream`) and, as an
extension, `response.cancel`; the server answers with the ordered events of a response, numbered from 0. Sources:
developers.openai.com/api/docs/guides/websocket-mode, docs.x.ai/developers/advanced-api-usage/websocket-mode.

Extensions, which other clients ignore:

* `response.created` carries `backend`, the fields of `BackendInfo`.
* `response.in_progress` carries `sent`: `at_us` (t_req on the gateway's monotonic clock, microseconds),
  `arrival_source`, `connect_us` (by phase), `reused`, `request_id`; a `response.sent` says the same of another attempt.
* a delta may join several upstream chunks: `arrivals` is `[[offset_us, characters, tokens], ...]`, offsets since t_req,
  characters summing to `len(delta)`; `uncertainty_us` beside it, one number each, where any is known.
* `response.notice`: `kind`, `message`, `progress`. One of the kind `fallback` carries `backend`: who answers instead.
* the final event says when the backend ended: `ended_us`, since t_req.
* the final event's `response.metadata` (string to string) holds `chatapp.server_timing` and `chatapp.provenance` as
  JSON; an error in `response.failed` also has `hint`, `status`, `retryable`, `retry_after_s`.
* `response.ending`: the answer has ended with `outcome`; text of it still waits for a slow reader and comes before the
  final event.
* `response.create` may carry `retell`: `{text, source, reasoning}`, and `seed`; and `compact`, by a client that keeps
  the deltas: events and fields that would repeat their text are left out.
"""

from __future__ import annotations

from typing import Any

import msgspec

from chatapp.stream.events import BackendInfo, BackendKind

PATH = "/v1/responses"
MODELS_PATH = "/v1/models"
TIMING = "chatapp.server_timing"
PROVENANCE = "chatapp.provenance"


class WireError(Exception):
    """A request that is refused; travels as an `error` event.

    Args:
        code: stable, e.g. `invalid_json`, `model_not_found`.
        message: what was wrong.
        hint: what to do; also in brackets behind the message, which is all that other clients show.
        status: the HTTP status it would have had.
        param: the path of the field at fault.
    """

    def __init__(self, code: str, message: str, *, hint: str = "", status: int = 400, param: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.status = status
        self.param = param

    def to_frame(self, stream_id: str | None = None) -> bytes:
        """Return the error event."""
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        error = {"type": kind, "code": self.code, "message": self.message, "param": self.param}
        if self.hint:
            error |= {"message": f"{self.message} ({self.hint})", "hint": self.hint}
        event: dict[str, Any] = {"type": "error", "status": self.status, "error": error}
        if stream_id is not None:
            event["stream_id"] = stream_id
        return msgspec.json.encode(event)


class ModelListing(msgspec.Struct, frozen=True):
    """One backend as `GET /v1/models` lists it: OpenAI's fields, and ours."""

    id: str
    label: str = ""
    provider: str = ""
    model: str = ""
    kind: BackendKind = "live"
    ready: bool = True
    why_not: str = ""
    group: str = ""
    input_usd: float | None = None
    output_usd: float | None = None
    price_source: str = ""
    note: str = ""
    detail: dict[str, str | float] = {}
    object: str = "model"
    created: int = 0
    owned_by: str = ""

    @property
    def name(self) -> str:
        """The name a user types."""
        return self.id

    @property
    def simulated(self) -> bool:
        """Whether the timing comes from a model."""
        return self.kind == "simulated"

    @property
    def info(self) -> BackendInfo:
        """What a viewer must know of it."""
        label = self.label or self.id
        return BackendInfo(
            self.id, label, self.kind, self.provider or self.owned_by, self.model, self.note, self.detail
        )
