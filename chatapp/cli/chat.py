"""`chatapp chat`, the default command."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from chatapp.cli import opening
from chatapp.cli.output import check_recording
from chatapp.cli.splash import Splash
from chatapp.config import Settings, load_settings
from chatapp.errors import UnknownNameError, UsageError

if TYPE_CHECKING:
    from chatapp.client.session import Session

PROMPT_LIMIT = 5_000_000
"""Characters taken from standard input."""


@click.command()
@click.option("--backend", metavar="NAME", help="what answers: sim:SYSTEM/MODEL, local, PROVIDER/MODEL, recording:FILE")
@click.option("--base-url", metavar="URL", help="an OpenAI-compatible server that needs no entry")
@click.option("--model", metavar="ID", help="the model to ask of --base-url")
@click.option("--system", metavar="NAME", help="system prompt, a file in prompts/systems")
@click.option("--gateway", metavar="URL", help="a gateway that runs already: ws://HOST:PORT/v1/responses")
@click.option("--record", metavar="FILE", help="record what happens to FILE")
@click.option(
    "--resume", metavar="[ID]", is_flag=False, flag_value="", default=None, help="go on with a saved conversation"
)
@click.option("--pace", type=click.Choice(["model", "claimed"]), help="what simulated systems take their pace from")
@click.option("--load", metavar="N", type=click.IntRange(1), help="concurrent users a simulated system serves")
@click.option("--seed", metavar="N", type=int, help="seed of simulated timing")
@click.option("--plain", is_flag=True, help="no screen: text to standard output, figures to standard error")
@click.option("--prompt", metavar="TEXT", help="ask this; - reads standard input. With --plain: answer it and end")
@click.option("--no-save", is_flag=True, help="save nothing of this conversation")
def chat(  # noqa: PLR0913, PLR0917 - one argument for each option
    backend: str | None,
    base_url: str | None,
    model: str | None,
    system: str | None,
    gateway: str | None,
    record: str | None,
    resume: str | None,
    pace: str | None,
    load: int | None,
    seed: int | None,
    plain: bool,
    prompt: str | None,
    no_save: bool,
) -> int:
    """Chat with a backend and see its speed."""
    check_recording(record)
    settings = load_settings()
    if prompt is not None:
        prompt = _read_prompt(prompt)

    def start() -> int:
        name, own = _choose(settings, backend, base_url, model)
        if gateway is not None:
            _check_gateway(gateway, {"--base-url": base_url, "--pace": pace, "--load": load, "--seed": seed})
        # The gateway starts beside us from here on: checks and the screen's import take about as long as it does. It
        # ends with this process, however that ends.
        link = opening.start_link(
            gateway, own=own, pace=pace, load=load, seed=seed if seed is not None else settings.seed
        )
        try:
            if gateway is None and not own:
                check_backend(name, settings, ask_servers=plain, pace=pace, load=load)
            session = opening.open_session(
                link(),
                settings,
                backend=name,
                system=system if system is not None else settings.system,
                save=False if no_save else None,
            )
            if resume is not None:
                conversation = session.saver.load(resume)
                if conversation is None:
                    raise UsageError("there is no saved conversation yet")
                session.go_on_with(conversation, keep_backend=backend is not None or base_url is not None)
            if record is not None:
                session.start_recording(Path(record))
            if plain:
                return _plain(session, prompt)
            session.first_prompt = prompt or ""
            return opening.run_app(session)
        finally:
            link.stop()

    if plain:
        return start()
    opening.require_terminal()
    with Splash():
        return start()


def _plain(session: Session, prompt: str | None) -> int:
    import asyncio

    from chatapp.client.plain import ask_once, converse

    if prompt is None and not sys.stdin.isatty():
        prompt = _read_prompt("-")
    try:
        return asyncio.run(ask_once(session, prompt) if prompt is not None else converse(session))
    finally:
        if not session.saver.close() and session.saver.problem:  # the answer came all the same
            from chatapp.text.sanitize import sanitize_line

            click.echo(f"chatapp: warning: {sanitize_line(session.saver.problem)}", err=True)


def _read_prompt(text: str) -> str:
    if text == "-":
        data = sys.stdin.buffer.read(PROMPT_LIMIT + 1)
        if len(data) > PROMPT_LIMIT:
            raise UsageError(f"the prompt on standard input is larger than {PROMPT_LIMIT:,} bytes")
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError as exc:
            raise UsageError(f"the prompt on standard input is not UTF-8 text (byte {exc.start})") from None
    if not text.strip():
        raise UsageError("the prompt is empty", hint='--prompt "Why is the sky blue?"')
    return text.strip()


def _choose(
    settings: Settings, backend: str | None, base_url: str | None, model: str | None
) -> tuple[str, dict[str, dict[str, str]]]:
    """Return the backend's name and what is told of it on the command line."""
    if base_url is None:
        if model is not None:
            raise UsageError("--model belongs to --base-url", hint="name a model as --backend PROVIDER/MODEL")
        return backend or opening.default_backend(settings), {}
    from urllib.parse import urlsplit

    parts = urlsplit(base_url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"not the URL of a server: {base_url!r}", hint="for example http://127.0.0.1:8000/v1")
    if parts.username or parts.password:
        raise UsageError("a URL must not hold a password", hint="put the key into CHATAPP_API_KEY")
    name = backend or (f"{parts.netloc}/{model}" if model else parts.netloc)
    entry = {"base_url": base_url}
    if model:
        entry["model"] = model
    return name, {name: entry}


def _check_gateway(url: str, own: dict[str, object]) -> None:
    """Refuse what cannot be a gateway's address, and options that only a gateway of our own could follow."""
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    if parts.scheme not in ("ws", "wss") or not parts.hostname:
        raise UsageError(f"not the address of a gateway: {url!r}", hint="for example ws://127.0.0.1:8765/v1/responses")
    for option, value in own.items():
        if value is not None:
            raise UsageError(
                f"{option} has no effect on the gateway at {url}",
                hint=f"leave out --gateway, or {option}; --backend names one of that gateway's own backends",
            )


def check_backend(
    name: str, settings: Settings, *, ask_servers: bool, pace: str | None = None, load: int | None = None
) -> None:
    """Refuse a name that cannot answer before anything is started.

    Args:
        name: as typed.
        settings: with the user's own backends and keys.
        ask_servers: whether a bare server name is to be completed now, by asking the server for its models; the screen
            offers them instead.
        pace: where a simulated system takes its pace from.
        load: concurrent users of a simulated system.

    Raises:
        UsageError: as `chatapp.backends.registry.resolve`; a recording that is missing or broken.
    """
    scheme, colon, rest = name.partition(":")
    if colon and scheme == "recording":
        from chatapp.backends.recorded import open_recorded

        open_recorded(rest)
        return
    if name == opening.NEUTRAL_DEFAULT and not ask_servers and pace is None and load is None:
        return  # shipped, and known to answer: asking the hardware model would delay the first paint by 150 ms
    if colon and scheme == "sim":
        from chatapp.backends.simulated import open_simulated

        open_simulated(name, settings, pace=pace or "model", load=load or 1)
        return
    if scheme == "local":
        return
    from chatapp.backends.catalog import load_catalog
    from chatapp.backends.registry import resolve

    provider, slash, _model = name.partition("/")
    entry = load_catalog(settings).get(provider)
    if entry is not None and entry.local and not slash and not ask_servers:
        return
    if entry is None and not ask_servers and not slash:
        known = load_catalog(settings)
        raise UnknownNameError("backend", name, ["local", *known], hint="chatapp backends list shows them all")
    resolve(name, settings)
