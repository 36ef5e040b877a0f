"""The models that an OpenAI-compatible server lists."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request

from chatapp.addresses import is_this_machine
from chatapp.errors import BackendError
from chatapp.protocol.failures import HINTS, as_error, clean, failure_from_body
from chatapp.redaction import Secret
from chatapp.text.sanitize import sanitize_line

LIST_TIMEOUT_S = 5.0
MAX_BODY = 1 << 20
MAX_MODELS = 200


def list_models(base_url: str, key: Secret | None, *, label: str = "", timeout_s: float = LIST_TIMEOUT_S) -> list[str]:
    """Return the models that a server lists, at most 200. Blocks; to be called where that is known.

    Args:
        base_url: the server's.
        key: sent if given.
        label: of the server, for errors.
        timeout_s: for each step of the exchange.

    Raises:
        BackendError: the server does not answer, refuses, or answers something else.
    """
    where = label or base_url
    request = urllib.request.Request(f"{base_url.rstrip('/')}/models")
    if key is not None:
        # Unredirected: the key goes to this server and to nobody it points at.
        request.add_unredirected_header("Authorization", f"Bearer {key.reveal()}")
    handlers = [urllib.request.ProxyHandler({})] if is_this_machine(base_url) else []
    try:
        with urllib.request.build_opener(*handlers).open(request, timeout=timeout_s) as response:
            body = response.read(MAX_BODY)
        listed = json.loads(body)
        models = [entry["id"] for entry in listed["data"] if isinstance(entry, dict) and isinstance(entry["id"], str)]
    except urllib.error.HTTPError as exc:
        failure = failure_from_body(exc.read(MAX_BODY), at_ns=0, status=exc.code, where=where)
        raise as_error(failure) from exc
    except (OSError, http.client.HTTPException) as exc:
        reason = getattr(exc, "reason", exc)
        said = getattr(reason, "strerror", None) or reason
        message = clean(f"{where} does not answer at {base_url}: {said}", limit=400)
        raise BackendError("unreachable", message, hint="start the server, or name another backend") from exc
    except (ValueError, KeyError, TypeError) as exc:
        message = clean(f"{where}: {base_url}/models is no list of models", limit=400)
        raise BackendError("bad_stream", message, hint=HINTS["bad_stream"]) from exc
    return [model for model in models if sanitize_line(model) == model][:MAX_MODELS]
