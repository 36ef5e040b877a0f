"""Any OpenAI-compatible chat-completions server, through the official SDK, with arrival times of our own.

The SDK builds the request, authenticates and raises its errors. What comes back is decoded by `answer_stream` from
stamped bytes: the SDK's parsed events cost 105 us each and 0.4 s at the first (measured on openai 3.54).
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, field
from typing import Any

import httpx2
import openai

from chatapp.addresses import host_and_port
from chatapp.backends.answer_stream import read_answer
from chatapp.backends.patience import Patience
from chatapp.backends.refusals import explain
from chatapp.backends.transport import TimedTransport
from chatapp.clock import NS_PER_S, Clock, MonotonicClock
from chatapp.protocol.failures import as_error, failed
from chatapp.redaction import Secret
from chatapp.stream.events import BackendInfo, Event, Failed, Notice, Request

LONGEST_WAIT_S = 30.0
"""A server that asks to wait longer is not waited for: the reader is told how long instead."""


@dataclass(frozen=True, slots=True)
class ChatServer:
    """Where a chat-completions server is and what is particular about it."""

    base_url: str
    key: Secret | None = None
    provider: str = ""
    """As a person calls it; host and port where empty."""
    key_variable: str = ""
    dialect: str = ""
    """Whose timing fields to expect, where the chunks do not say: cerebras, groq, ..."""
    max_tokens_field: str = "max_tokens"
    developer_role: bool = False
    """Whether the server knows the role `developer`; else it is sent as `system`."""
    loads_on_demand: bool = False
    """The server loads a model at its first request: it is asked for one token before anything is measured."""
    extra_body: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


class ChatBackend:
    """One model of one server.

    Args:
        info: what a viewer is told.
        server: where it is.
        patience: how long to wait and how often to try.
        transport: of the HTTP client; made where it is not given.
        clock: waits between attempts.
    """

    def __init__(
        self,
        info: BackendInfo,
        server: ChatServer,
        *,
        patience: Patience | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.info = info
        self._server = server
        self._patience = patience or Patience()
        self._transport = transport
        self._clock = clock or MonotonicClock()
        self._client: openai.AsyncOpenAI | None = None
        self._loaded = not server.loads_on_demand
        self._without_stream_options = False
        self._where = server.provider or httpx2.URL(server.base_url).netloc.decode("ascii", "replace")

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of the server."""
        return host_and_port(self._server.base_url)

    async def stream(self, request: Request) -> AsyncGenerator[Event, None]:
        """Yield the events of one answer. Tries again before the first token only, at most as often as configured."""
        if not self._loaded:
            async with aclosing(self._load()) as events:
                async for event in events:
                    yield event
                    if isinstance(event, Failed):
                        return
        attempt = 0
        while True:
            async with AsyncExitStack() as stack:
                opened = await self._open(request, stack)
                if not isinstance(opened, Failed):
                    answer = read_answer(
                        opened, patience=self._patience, dialect=self._server.dialect, where=self._where
                    )
                    async with aclosing(answer) as events:
                        async for event in events:
                            yield event
                    return
            attempt += 1
            wait_s = self._wait_s(opened, attempt)
            if wait_s is None:
                yield opened
                return
            yield Notice(
                "retry",
                f"{opened.message}; trying again in {wait_s:.1f} s ({attempt} of {self._patience.retries})",
            )
            await self._clock.sleep_until(self._clock.now_ns() + int(wait_s * NS_PER_S))

    def _wait_s(self, failure: Failed, attempt: int) -> float | None:
        """Return how long to wait before attempt number `attempt` + 1, None where there is to be none."""
        if not failure.retryable or attempt > self._patience.retries:
            return None
        if failure.retry_after_s is not None:
            return failure.retry_after_s if failure.retry_after_s <= LONGEST_WAIT_S else None
        # Jitter keeps clients that failed together from coming back together.
        longest: float = min(8.0, self._patience.backoff_s * 2 ** (attempt - 1))
        return longest * random.uniform(0.5, 1.0)

    async def _open(self, request: Request, stack: AsyncExitStack) -> httpx2.Response | Failed:
        """Send the request and return its response, which `stack` closes, or why there is none."""
        body = self._body(request)
        if self._without_stream_options:
            del body["stream_options"]
        sending = self._connected().chat.completions.with_streaming_response.create(**body)
        try:
            async with asyncio.timeout(self._patience.first_s):
                response = await stack.enter_async_context(sending)
        except TimeoutError:
            return failed(
                "timeout",
                f"{self._where}: no answer within {self._patience.first_s:g} s",
                at_ns=time.monotonic_ns(),
                retryable=False,
            )
        except Exception as exc:
            failure = self._explain(exc)
            if failure.code == "bad_request" and "stream_options" in failure.message and "stream_options" in body:
                self._without_stream_options = True  # an old server: then tokens are estimated
                return await self._open(request, stack)
            return failure
        http_response: httpx2.Response = response.http_response
        return http_response

    def _body(self, request: Request) -> dict[str, Any]:
        messages = [{"role": m.role, "content": m.content} for m in request.messages]
        if request.instructions:
            messages.insert(0, {"role": "system", "content": request.instructions})
        if not self._server.developer_role:
            for message in messages:
                if message["role"] == "developer":
                    message["role"] = "system"
        body: dict[str, Any] = {
            "model": self.info.model,
            "messages": messages,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if request.max_output_tokens is not None:
            if self._server.max_tokens_field == "max_completion_tokens":
                body["max_completion_tokens"] = request.max_output_tokens
            else:
                body["max_tokens"] = request.max_output_tokens
        if request.temperature is not None:
            body["temperature"] = request.temperature
        if request.seed is not None:
            body["seed"] = request.seed
        if request.reasoning_effort is not None:
            body["reasoning_effort"] = request.reasoning_effort
        if self._server.extra_body:
            body["extra_body"] = dict(self._server.extra_body)
        return {**body, **_keyless(self._server)}

    def _connected(self) -> openai.AsyncOpenAI:
        if self._client is None:
            self._client = make_client(self._server, self._patience, self._transport)
        return self._client

    async def warm(self) -> None:
        """Open the connection, have the key checked, load the model, and get the SDK's lazy start over with.

        Raises:
            BackendError: the server cannot be reached, refuses the key, or does not have the model.
        """
        await warm_sdk()
        try:
            async with asyncio.timeout(self._patience.connect_s + 5):
                await self._connected().models.with_raw_response.list(**_keyless(self._server))
        except openai.APIStatusError as exc:
            # A server without a list of models is warm all the same: the connection stands.
            if exc.status_code not in (404, 405, 501):
                raise as_error(self._explained(exc)) from exc
        except Exception as exc:
            raise as_error(self._explained(exc)) from exc
        if not self._loaded:
            async with aclosing(self._load()) as events:
                async for event in events:
                    if isinstance(event, Failed):
                        raise as_error(event)

    async def _load(self) -> AsyncGenerator[Event, None]:
        """Ask for one token, so that the model is in memory when the measured request comes."""
        yield Notice("progress", f"loading model {self.info.model} on {self._where}")
        body = {**self._body(Request(messages=())), "messages": [{"role": "user", "content": "Hi"}], "stream": False}
        del body["stream_options"]
        body["max_tokens"] = 1
        try:
            async with asyncio.timeout(self._patience.load_s):
                await self._connected().chat.completions.with_raw_response.create(**body)
        except Exception as exc:
            yield self._explained(exc)
        else:
            self._loaded = True

    def _explained(self, exc: Exception) -> Failed:
        return self._explain(exc)

    def _explain(self, exc: Exception) -> Failed:
        server = self._server
        return explain(exc, where=self._where, key_variable=server.key_variable, key_sent=server.key is not None)

    async def aclose(self) -> None:
        """Close the connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()


def make_client(
    server: ChatServer, patience: Patience, transport: httpx2.AsyncBaseTransport | None = None
) -> openai.AsyncOpenAI:
    """Return the SDK's client over a timed transport, telling the server no more than it must know."""
    omitted: dict[str, Any] = {}
    if not server.base_url.startswith("https://api.openai.com"):
        # The SDK takes these from the environment and would send them to anybody.
        omitted = {"OpenAI-Organization": openai.Omit(), "OpenAI-Project": openai.Omit()}
    http_client = httpx2.AsyncClient(
        transport=transport or TimedTransport(),
        timeout=httpx2.Timeout(connect=patience.connect_s, read=patience.first_s, write=30.0, pool=10.0),
        follow_redirects=False,
    )
    return openai.AsyncOpenAI(
        base_url=server.base_url,
        api_key=server.key.reveal() if server.key is not None else "none",
        # Compressed streams arrive in bursts of the compressor's making.
        default_headers={"Accept-Encoding": "identity", **server.headers, **omitted},
        max_retries=0,  # retries are ours: shown, bounded, and outside every figure
        http_client=http_client,
    )


def _keyless(server: ChatServer) -> dict[str, Any]:
    """Return the arguments that keep the SDK from inventing a key for a server that wants none."""
    return {} if server.key is not None else {"extra_headers": {"Authorization": openai.Omit()}}


_sdk_is_warm = False


async def warm_sdk() -> None:
    """Make one request to nobody: the SDK builds its types at the first, which takes up to 0.4 s."""
    global _sdk_is_warm  # noqa: PLW0603 - what is warm is the process
    if _sdk_is_warm:
        return
    _sdk_is_warm = True
    nobody = httpx2.MockTransport(
        lambda _request: httpx2.Response(
            200, headers={"content-type": "text/event-stream"}, content=b"data: [DONE]\n\n"
        )
    )
    client = make_client(ChatServer("http://nobody.invalid/v1"), Patience(), nobody)
    async with client.chat.completions.with_streaming_response.create(
        model="none", messages=[{"role": "user", "content": "Hi"}], stream=True, stream_options={"include_usage": True}
    ):
        pass
    await client.close()
