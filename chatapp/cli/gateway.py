"""`chatapp gateway`: serve the Responses API's WebSocket mode for any backend, for a team or a stage."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from chatapp.errors import UsageError

if TYPE_CHECKING:
    import ssl

    from chatapp.config import Settings
    from chatapp.gateway.meter import Meter
    from chatapp.gateway.tokens import Tokens


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, metavar="H", help="Address to listen on.")
@click.option(
    "--port", default=8765, show_default=True, type=click.IntRange(0, 65535), metavar="P", help="0: a free one."
)
@click.option(
    "--token-file",
    metavar="F",
    help="A bearer token, or named ones with limits ([tokens.NAME] in TOML), read again when changed.",
)
@click.option("--tls-cert", metavar="F", help="Certificate chain, PEM.")
@click.option("--tls-key", metavar="F", help="Private key, PEM.")
@click.option(
    "--allow-origin", "origins", multiple=True, metavar="O", help="A web origin that may connect; repeatable."
)
@click.option(
    "--fallback",
    default="",
    metavar="NAME",
    help="Backend that answers where the asked one fails before its first token; always said.",
)
@click.option("--insecure-listen", is_flag=True, help="Allow clear text on an address other than loopback.")
@click.option("--metrics", is_flag=True, help="GET /metrics for Prometheus, with a token. Needs the extra `metrics`.")
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 64), metavar="N", help="Processes.")
@click.option("--share-port", is_flag=True, hidden=True, help="A worker of a supervisor that holds its standard input.")
@click.pass_context
def gateway(  # noqa: PLR0913, PLR0917 - one for each option
    context: click.Context,
    host: str,
    port: int,
    token_file: str | None,
    tls_cert: str | None,
    tls_key: str | None,
    origins: tuple[str, ...],
    fallback: str,
    insecure_listen: bool,
    metrics: bool,
    workers: int,
    share_port: bool,
) -> int:
    """Serve any backend over the Responses API's WebSocket mode.

    Clients send `Authorization: Bearer TOKEN`; the official SDKs do with `api_key=TOKEN` and
    `base_url=http://HOST:PORT/v1`. OTEL_EXPORTER_OTLP_ENDPOINT sends traces and metrics to an OpenTelemetry collector
    (extra `otel`).
    """
    from chatapp.addresses import is_loopback
    from chatapp.config import load_settings
    from chatapp.gateway import telemetry
    from chatapp.gateway.child import run
    from chatapp.log import start_logging

    settings = load_settings()
    tls = tls_context(tls_cert, tls_key)
    if tls is None and not is_loopback(host) and not insecure_listen:
        raise UsageError(
            f"refusing to listen in clear text on {host}: tokens and prompts could be read on the way",
            hint="--tls-cert and --tls-key, or --insecure-listen behind a proxy that ends TLS",
        )
    tokens, where = read_tokens(token_file) if token_file else make_token()
    if not share_port:
        for line in (*warnings_of(tokens, where, Path(tls_key) if tls_key else None, workers), *late(tls_cert)):
            click.echo(f"chatapp: warning: {line}", err=True)
    start_logging("gateway")
    page = make_page() if metrics else None
    if workers > 1:
        for line in telemetry.check(os.environ)[1]:
            click.echo(f"chatapp: warning: {line}", err=True)
        return run_workers(context, where, secure=tls is not None)
    meter = make_meter(page, worker=share_port)
    return run(_serve(settings, host, port, tokens, where, tls, origins, fallback, meter=meter, share_port=share_port))


def run_workers(context: click.Context, token_file: Path, *, secure: bool) -> int:
    """Run several gateways on one port: this command again, as often as was asked for."""
    from chatapp.gateway.child import run
    from chatapp.gateway.supervisor import reserved, shared_counts, supervise

    given = context.params
    host, workers = given["host"], given["workers"]
    with reserved(host, given["port"]) as port, shared_counts():
        own = {"port": port, "token_file": str(token_file), "workers": 1, "share_port": True}
        command = (sys.executable, "-m", "chatapp", "gateway", *as_arguments(context.command, given | own))

        def listening() -> None:
            print(f"listening on {address(host, port, secure=secure)}", flush=True)
            print(f"token in {token_file}", file=sys.stderr, flush=True)

        return run(supervise(command, workers, listening=listening, say=lambda line: click.echo(line, err=True)))


def as_arguments(command: click.Command, values: dict[str, Any]) -> list[str]:
    """Return the arguments that give a command these values."""
    arguments: list[str] = []
    for option in command.params:
        value = values[option.name or ""]
        if value is None or value is False:
            continue
        for each in value if option.multiple else (value,):
            arguments += [option.opts[0]] if value is True else [option.opts[0], str(each)]
    return arguments


def address(host: str, port: int, *, secure: bool) -> str:
    """Return the URL that clients connect to."""
    from chatapp.protocol.responses import PATH

    shown = f"[{host}]" if ":" in host else host
    return f"{'wss' if secure else 'ws'}://{shown}:{port}{PATH}"


async def _serve(  # noqa: PLR0913 - what the command line says
    settings: Settings,
    host: str,
    port: int,
    tokens: Tokens,
    where: Path,
    tls: ssl.SSLContext | None,
    origins: tuple[str, ...],
    fallback: str,
    *,
    meter: Meter | None,
    share_port: bool,
) -> int:
    import asyncio
    import gc
    import signal

    from chatapp.addresses import is_loopback
    from chatapp.gateway.access import Access
    from chatapp.gateway.server import Gateway
    from chatapp.gateway.service import make_models, make_resolve
    from chatapp.gateway.supervisor import Lifeline

    access = Access(tokens, loopback=is_loopback(host), origins=origins)
    served = Gateway(make_resolve(settings), make_models(settings), access, meter=meter, fallback=fallback)
    if fallback:
        await served.pool.open(fallback)  # a wrong name, or a missing key, is known now and not on the stage
    stop = asyncio.Event()
    signals: list[int] = []

    def asked(number: int) -> None:
        signals.append(number)
        stop.set()

    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, asked, name)
    if share_port:
        await loop.connect_read_pipe(lambda: Lifeline(lambda: asked(signal.SIGTERM)), sys.stdin)
    await served.listen(host, port, tls=tls, share_port=share_port)
    print(f"listening on {address(host, served.port, secure=tls is not None)}", flush=True)
    if not share_port:
        print(f"token in {where}", file=sys.stderr, flush=True)
    warming = asyncio.create_task(served.warm())
    gc.collect()
    gc.freeze()
    await stop.wait()
    warming.cancel()
    draining = asyncio.create_task(served.drain())
    print(
        f"stopping: {served.streams} streams in flight may finish; again to stop at once", file=sys.stderr, flush=True
    )
    stop.clear()
    again = asyncio.create_task(stop.wait())
    await asyncio.wait({draining, again}, return_when=asyncio.FIRST_COMPLETED)
    if not draining.done():
        draining.cancel()
        await asyncio.gather(draining, return_exceptions=True)
        await served.aclose()
    again.cancel()
    return 0


def tls_context(cert: str | None, key: str | None) -> ssl.SSLContext | None:
    """Return the TLS configuration (1.2 and newer), None for clear text.

    Raises:
        UsageError: one of the two files is missing or of no use.
    """
    if not cert and not key:
        return None
    if not cert or not key:
        raise UsageError("TLS needs both --tls-cert and --tls-key")
    from chatapp.gateway.certificates import load_certificate

    return load_certificate(Path(cert), Path(key))


def late(cert: str | None) -> list[str]:
    """Return what to know of the dates of the authorities that a certificate's file holds."""
    if not cert:
        return []
    from chatapp.gateway.certificates import late_certificates

    return late_certificates(Path(cert))


def warnings_of(tokens: Tokens, where: Path, key: Path | None, workers: int) -> list[str]:
    """Return what an operator should know of files and limits, though it stops nothing."""
    from chatapp.gateway.tokens import open_to_all

    files = [path for path in (where, key) if path is not None and open_to_all(path)]
    said = [f"{path} can be read by every user of this machine: chmod 600 {path}" for path in files]
    if workers > 1 and tokens.limited:
        names = ", ".join(tokens.limited)
        said.append(f"limits count in each of {workers} workers, so {workers} times as much may pass: {names}")
    return said


def read_tokens(path: str) -> tuple[Tokens, Path]:
    """Return the tokens that a file holds.

    Raises:
        UsageError: it cannot be read, or what it holds is no token.
    """
    from chatapp.gateway.tokens import TokenFile

    return TokenFile(Path(path)), Path(path)


def make_meter(page: Meter | None, *, worker: bool) -> Meter | None:
    """Return everybody who is to hear of what happens, OpenTelemetry where the environment asks for it.

    Args:
        page: what counts for Prometheus, where it is wanted.
        worker: this is one of several processes, whose supervisor has told the operator what cannot be had.
    """
    from chatapp.gateway.meter import Meters
    from chatapp.gateway.telemetry import open_telemetry

    opened, lines = open_telemetry(os.environ, worker=worker)
    if not worker:
        for line in lines:
            click.echo(f"chatapp: warning: {line}", err=True)
    meters = [meter for meter in (page, opened) if meter is not None]
    return Meters(*meters) if len(meters) > 1 else next(iter(meters), None)


def make_page() -> Meter:
    """Return what counts for Prometheus.

    Raises:
        ExtraMissingError: its package is not installed.
    """
    from chatapp.gateway.metrics import PrometheusMeter

    return PrometheusMeter()


def make_token() -> tuple[Tokens, Path]:
    """Make a token and keep it in a file of the state folder that only its owner can read.

    Raises:
        UsageError: the folder cannot be written.
    """
    import secrets

    from chatapp.config import state_folder
    from chatapp.gateway.tokens import Tokens
    from chatapp.redaction import Secret

    path = state_folder() / "gateway-token"
    token = secrets.token_urlsafe(32)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(token + "\n")
    except OSError as exc:
        raise UsageError(
            f"the token cannot be kept in {path}: {exc.strerror}", hint="--token-file names another"
        ) from None
    return Tokens.single(Secret("gateway token", token)), path
