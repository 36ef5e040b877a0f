"""Chat without a screen: answers to standard output, everything about them to standard error.

One prompt in, one answer out, for pipes and screen readers; or, on a terminal without a prompt, line after line.
Nothing here moves the cursor or needs colours.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Literal, TextIO

from chatapp.client import wording
from chatapp.client.exchange import PARTIAL, Exchange
from chatapp.client.session import Session
from chatapp.errors import ChatappError
from chatapp.protocol.responses import ModelListing
from chatapp.stream.events import Channel, Retell
from chatapp.text.sanitize import sanitize, sanitize_line

HELP = (
    "Enter sends. /backend NAME changes what answers, /retell NAME tells the last answer again, /new, /quit or ^D ends."
)


class PlainPane:
    """Writes an answer's text to one stream and what is said about it to another.

    Args:
        out: where the answer goes, unbuffered.
        err: where notices go.
        reasoning: write reasoning too, to `err`.
    """

    def __init__(self, out: TextIO, err: TextIO, *, reasoning: bool = False) -> None:
        self._out = out
        self._err = err
        self._reasoning = reasoning
        self._line_open = False

    def add_notice(self, text: str, *, kind: Literal["info", "warning", "error"] = "info", hint: str = "") -> None:
        """Write a remark on a line of its own."""
        self._finish_line()
        mark = "" if kind == "info" else f"{kind}: "
        print(f"chatapp: {mark}{sanitize_line(text)}", file=self._err, flush=True)
        if hint:
            print(f"  {sanitize_line(hint)}", file=self._err, flush=True)

    def begin_answer(self, label: str, *, simulated: bool = False) -> None:
        """An answer needs no heading where there is only one."""

    def write(self, text: str, channel: Channel = "answer") -> None:
        """Write text as it comes."""
        if channel == "reasoning":
            if self._reasoning:
                self._err.write(sanitize(text))
                self._err.flush()
            return
        self._out.write(sanitize(text))
        self._out.flush()
        self._line_open = not text.endswith("\n")

    def end_answer(self, footer: str, *, state: Literal["done", "cancelled", "failed", "truncated"] = "done") -> None:
        """End the answer's last line; the summary follows from `summary`."""
        self._finish_line()

    def _finish_line(self) -> None:
        if self._line_open:
            self._out.write("\n")
            self._out.flush()
            self._line_open = False


def summary(exchange: Exchange) -> str:
    """Return the one line of figures that follows an answer."""
    figures = exchange.figures
    parts = [exchange.answer.info.name, exchange.turn.footer]
    if figures is not None and figures.e2e_ms is not None:
        parts.append(wording.limit_tag(figures.e2e_ms))
    if exchange.turn.partial:
        parts.append(f"{exchange.turn.outcome}: {PARTIAL if exchange.turn.text else 'no answer'}")
    return "[" + " · ".join(part for part in parts if part) + "]"


async def ask(session: Session, prompt: str, out: TextIO, err: TextIO, *, retell: Retell | None = None) -> bool:
    """Ask once and write the answer and its figures; return whether the whole answer came."""
    conversation = session.conversation
    told = retell or conversation.retell(prompt, session.backend)
    turn = conversation.add(prompt, session.backend, told=told.source if told else "")
    session.saver.begin(conversation, turn)
    pane = PlainPane(out, err, reasoning=session.settings.reasoning)
    exchange = Exchange(session, turn, pane, retell=told, keys=False)
    try:
        await exchange.run()
    except asyncio.CancelledError:  # Ctrl-C: what came is on the screen already, and its figures are due too
        print(sanitize_line(summary(exchange)), file=err, flush=True)
        raise
    print(sanitize_line(summary(exchange)), file=err, flush=True)
    return exchange.complete


async def ask_once(session: Session, prompt: str) -> int:
    """Answer one prompt on standard output and return the exit code."""
    try:
        with suppress(ChatappError):  # what is wrong with the gateway is said by the request itself
            await session.refresh_listings()
        return 0 if await ask(session, prompt, sys.stdout, sys.stderr) else 1
    finally:
        await session.aclose()


async def converse(session: Session, read: Callable[[str], str] = input) -> int:
    """Read prompts line by line until the end of input and answer each."""
    try:
        with suppress(ChatappError):
            await session.refresh_listings()
        print(f"chatapp: {sanitize_line(session.info().label)}. {HELP}", file=sys.stderr, flush=True)
        while True:
            try:
                line = (await asyncio.to_thread(read, "> ")).strip()
            except EOFError:
                return 0
            if line in ("/quit", "/exit"):
                return 0
            if line:
                await _line(session, line)
    finally:
        await session.aclose()


async def _line(session: Session, line: str) -> None:
    try:
        if line == "/new":
            session.conversation = session.fresh_conversation()
        elif line == "/help":
            _say(HELP)
        elif line.startswith("/backend"):
            name = line.removeprefix("/backend").strip()
            if name:
                session.backend = name
            _say(f"backend: {sanitize_line(session.backend)}")
        elif line.startswith("/retell"):
            await _retell(session, line.removeprefix("/retell").strip())
        else:
            await ask(session, line, sys.stdout, sys.stderr)
    except ChatappError as exc:
        _say(sanitize_line(f"{exc.message}  {exc.hint}"))


async def _retell(session: Session, backend: str) -> None:
    real = session.conversation.last_real()
    if real is None:
        _say("no real answer to tell again yet")
        return
    before, session.backend = session.backend, backend or "sim:cs3/kimi-k2.6"
    try:
        retell = Retell(real.text, real.label or real.backend, real.reasoning)
        await ask(session, real.prompt, sys.stdout, sys.stderr, retell=retell)
    finally:
        session.backend = before


def _say(text: str) -> None:
    print(f"chatapp: {text}", file=sys.stderr, flush=True)


def list_choices(listings: Sequence[ModelListing]) -> None:
    """Write what a bare server name may be completed to."""
    for listing in listings:
        state = "" if listing.ready else f"   ({sanitize_line(listing.why_not)})"
        print(f"{sanitize_line(listing.name)}{state}")
