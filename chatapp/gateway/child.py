"""The child gateway's own main: reads its token from standard input, says on standard output where it listens.

Started by `chatapp.gateway.process`; not a command for people.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import signal
import sys
from collections.abc import Coroutine
from typing import Any, TypeVar

from chatapp.config import Settings, load_settings
from chatapp.errors import ChatappError
from chatapp.gateway.access import Access
from chatapp.gateway.arenas import use_one_arena
from chatapp.gateway.process import ChildOptions, die_with_parent
from chatapp.gateway.server import Gateway
from chatapp.gateway.service import make_models, make_resolve
from chatapp.log import start_logging
from chatapp.protocol.responses import PATH
from chatapp.redaction import Secret
from chatapp.scheduling import ask_for_short_slices

PATIENCE_S = 24 * 3600.0

T = TypeVar("T")


def main() -> None:
    """Serve on a free loopback port until the parent is gone."""
    die_with_parent()
    start_logging("gateway")
    told: dict[str, Any] = json.loads(sys.stdin.buffer.readline())
    token = Secret("gateway token", told.pop("token"))
    try:
        settings = load_settings()
        run(serve(settings, ChildOptions(**told), token))
    except ChatappError as exc:
        print(json.dumps({"error": exc.message}), flush=True)
        sys.exit(exc.exit_code)
    except Exception as exc:  # a bug: nobody reads our standard error, so the log must have it
        logging.getLogger("chatapp.gateway.child").exception("unexpected error")
        print(json.dumps({"error": f"{type(exc).__name__}: {exc}"}), flush=True)
        sys.exit(1)


def run(main_task: Coroutine[Any, Any, T]) -> T:
    """Run the event loop of a process that serves, uvloop where it is installed, and return what the task returns."""
    use_one_arena()
    ask_for_short_slices()  # the screen that is measured for is the nearest rival for the processor
    try:
        import uvloop
    except ImportError:
        return asyncio.run(main_task)
    result: T = uvloop.run(main_task)
    return result


async def serve(settings: Settings, options: ChildOptions, token: Secret) -> None:
    """Listen, say where, and serve until standard input ends."""
    resolve = make_resolve(settings, own=options.own, pace=options.pace, load=options.load, seed=options.seed)
    gateway = Gateway(
        resolve,
        make_models(settings, own=options.own, pace=options.pace),
        Access(token.reveal(), loopback=True),
        # A screen that is suspended (Ctrl-Z, a closed lid) reads nothing for long and must find its answer afterwards;
        # what is held for it is bounded, and the lifeline tells when it is gone.
        send_deadline_s=PATIENCE_S,
    )
    loop = asyncio.get_running_loop()
    gone = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, gone.set)
    await loop.connect_read_pipe(lambda: _Lifeline(gone), sys.stdin)
    await gateway.listen("127.0.0.1", 0)
    print(json.dumps({"url": f"ws://127.0.0.1:{gateway.port}{PATH}"}), flush=True)
    warming = asyncio.create_task(gateway.warm())
    gc.collect()
    gc.freeze()  # what is loaded stays: collections then cost what streams leave behind
    await gone.wait()
    warming.cancel()
    logging.getLogger(__name__).info("the parent is gone, leaving")
    await gateway.aclose()


class _Lifeline(asyncio.Protocol):
    """Standard input, of which only the end matters."""

    def __init__(self, gone: asyncio.Event) -> None:
        self._gone = gone

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone.set()


if __name__ == "__main__":
    main()
