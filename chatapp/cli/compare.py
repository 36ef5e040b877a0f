"""`chatapp compare`: one prompt, two to four backends, at once; on a screen, or headless with a report."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from chatapp.cli import opening
from chatapp.config import Settings, load_settings
from chatapp.errors import UsageError

if TYPE_CHECKING:
    from textual.screen import Screen

    from chatapp.client.session import Session

FEWEST, MOST = 2, 4
LARGEST_PROMPT = 5_000_000
"""Bytes of a prompt file; more is no prompt."""

DEFAULT = ("sim:cs3/kimi-k2.6", "sim:h100x16/kimi-k2.6")


@click.command()
@click.option(
    "--backend", "backends", multiple=True, metavar="NAME", help="Two to four; the same one twice is allowed."
)
@click.option("--prompt", metavar="TEXT", help="Ask this at once; - reads standard input.")
@click.option("--prompt-file", metavar="F", help="Ask what a text file holds.")
@click.option("--system", metavar="NAME", help="System prompt, a file in prompts/systems.")
@click.option("--gateway", metavar="URL", help="A gateway that runs already: ws://HOST:PORT/v1/responses")
@click.option("--record", metavar="FILE", help="Keep every arrival in a recording.")
@click.option("--pace", type=click.Choice(["model", "claimed"]), help="What simulated systems take their pace from.")
@click.option("--load", type=click.IntRange(1), metavar="N", help="Concurrent users that simulated systems serve.")
@click.option("--seed", type=int, metavar="N", help="Seed of simulated timing.")
@click.option("--headless", is_flag=True, help="No screen: progress on stderr, a table on stdout.")
@click.option("--runs", type=click.IntRange(1, 10_000), default=1, show_default=True, metavar="N", help="Runs of each.")
@click.option(
    "--warmup", type=click.IntRange(0, 100), default=1, show_default=True, metavar="N", help="Unmeasured runs."
)
@click.option("--cooldown", type=float, default=0.5, show_default=True, metavar="S", help="Pause between runs.")
@click.option("--timeout", type=float, default=300.0, show_default=True, metavar="S", help="Longest a run may take.")
@click.option(
    "--json", "json_file", metavar="F", help="Report as JSON; - is stdout. Implies --headless, as those below."
)
@click.option("--csv", "csv_file", metavar="F", help="One row a response.")
@click.option("--markdown", "markdown_file", metavar="F", help="Report as Markdown.")
@click.option("--html", "html_file", metavar="F", help="Report as one self-contained page.")
@click.option("--max-cost", type=float, metavar="USD", help="Refuse, or stop, above this cost.")
@click.option("--max-tokens", type=click.IntRange(1), metavar="N", help="Longest answer, in tokens.")
@click.option("--yes", is_flag=True, help="Do not ask before a run that costs money.")
def compare(backends: tuple[str, ...], prompt: str | None, prompt_file: str | None, **options: Any) -> int:
    """Ask several backends the same at the same moment.

    Without --backend the simulated CS-3 races 16 simulated H100.
    """
    settings = load_settings()
    names = list(backends) or list(DEFAULT)
    if not FEWEST <= len(names) <= MOST:
        raise UsageError(
            f"compare takes two to four backends, not {len(names)}",
            hint="chatapp compare --backend sim:cs3/kimi-k2.6 --backend sim:h100x16/kimi-k2.6",
        )
    text = read_prompt(prompt, prompt_file)
    outputs = [options[f"{kind}_file"] for kind in ("json", "csv", "markdown", "html")]
    if options["headless"] or any(outputs) or options["runs"] > 1 or not sys.stdout.isatty():
        from chatapp.cli.contest import run_headless

        if not text:
            raise UsageError("nothing to ask: headless needs --prompt or --prompt-file")
        return run_headless(settings, names, text, options)
    return _on_screen(settings, names, text, options)


def _on_screen(settings: Settings, names: list[str], prompt: str, options: dict[str, Any]) -> int:
    from chatapp.cli.chat import check_backend
    from chatapp.cli.output import check_recording

    opening.require_terminal()
    check_recording(options["record"])
    seed = options["seed"] if options["seed"] is not None else settings.seed
    link = opening.start_link(options["gateway"], pace=options["pace"], load=options["load"], seed=seed)
    if options["gateway"] is None:
        for name in dict.fromkeys(names):
            check_backend(name, settings, ask_servers=True)
    system = options["system"] if options["system"] is not None else settings.system
    session = opening.open_session(link(), settings, backend=names[0], system=system)
    if options["record"] is not None:
        session.start_recording(Path(options["record"]))

    def first(session: Session) -> Screen[None]:
        from chatapp.ui.screens.compare import open_compare

        return open_compare(session, names, prompt)

    return opening.run_app(session, first)


def read_prompt(prompt: str | None, prompt_file: str | None) -> str:
    """Return what is to be asked; empty where nothing was given.

    Raises:
        UsageError: both were given, or the file is missing, empty, binary or too large.
    """
    if prompt is not None and prompt_file is not None:
        raise UsageError("--prompt and --prompt-file exclude each other")
    if prompt_file is None and prompt != "-":
        if prompt is not None and not prompt.strip():
            raise UsageError("the prompt is empty")
        return (prompt or "").strip()
    where = "standard input" if prompt == "-" else str(prompt_file)
    try:
        with sys.stdin.buffer if prompt == "-" else Path(str(prompt_file)).open("rb") as file:
            data = file.read(LARGEST_PROMPT + 1)
    except OSError as exc:
        raise UsageError(f"{where}: cannot be read: {exc.strerror or exc}") from None
    if len(data) > LARGEST_PROMPT:
        raise UsageError(f"{where}: larger than {LARGEST_PROMPT:,} bytes: no prompt")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise UsageError(f"{where}: not UTF-8 text (byte {exc.start})") from None
    if "\0" in text:
        raise UsageError(f"{where}: a binary file, not text")
    if not text.strip():
        raise UsageError(f"{where}: is empty")
    return text.strip()
