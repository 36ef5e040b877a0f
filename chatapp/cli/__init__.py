"""The command line. Each command lives in its own module and is imported only when called.

Start-up is part of the product: `chatapp --help` imports neither textual nor openai nor asyncio.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Any

import click
from click.shell_completion import CompletionItem

from chatapp import __version__
from chatapp.errors import ChatappError, UnknownNameError

COMMANDS: dict[str, tuple[str, str]] = {
    # name: (module:attribute, one line for --help)
    "chat": ("chatapp.cli.chat:chat", "Chat with a backend and see its speed (the default command)."),
    "compare": ("chatapp.cli.compare:compare", "One prompt, two to four backends, at once."),
    "bench": ("chatapp.cli.bench:bench", "Measure a backend: many requests, one report."),
    "verify": ("chatapp.cli.verify:verify", "Check a vendor's claim, with evidence."),
    "demo": ("chatapp.cli.demo:demo", "Play a scripted demo, or check it."),
    "record": ("chatapp.cli.record:record", "Record a live session, or write a demo script from it."),
    "replay": ("chatapp.cli.replay:replay", "Show a recorded run again, with its exact timing."),
    "recording": ("chatapp.cli.recording:recording", "Inspect, verify, redact or export a recording."),
    "hardware": ("chatapp.cli.hardware:hardware", "The sourced hardware model: systems, models, predictions."),
    "gateway": ("chatapp.cli.gateway:gateway", "Serve the Responses API's WebSocket mode for any backend."),
    "backends": ("chatapp.cli.backends:backends", "List the backends and what they need; check one."),
    "doctor": ("chatapp.cli.doctor:doctor", "Look at this installation and say what is missing."),
    "web": ("chatapp.cli.web:web", "The same app in a browser."),
    "completion": ("chatapp.cli.completion:completion", "Print the shell completion script."),
}


class LazyGroup(click.Group):
    """A group that knows its commands' names and help lines without importing them. No command means chat."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order in which people need them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return one command."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put `chat` in front where no command is named."""
        if ctx.resilient_parsing:  # completing a command line: an incomplete one is no error
            return super().parse_args(ctx, args)
        if not args or (args[0].startswith("-") and args[0] not in ("--help", "-h", "--version")):
            args = ["chat", *args]
        elif not args[0].startswith("-") and args[0] not in COMMANDS:
            raise UnknownNameError("command", args[0], COMMANDS, hint="chatapp --help lists the commands")
        return super().parse_args(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete command names from the table above, importing nothing."""
        found = [
            CompletionItem(name, help=line) for name, (_target, line) in COMMANDS.items() if name.startswith(incomplete)
        ]
        return found or super().shell_complete(ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the command list from the table above, importing nothing."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_target, line) in COMMANDS.items()])


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Without a command the options are chat's: chatapp --backend sim:cs3/kimi-k2.6",
)
@click.version_option(__version__, prog_name="chatapp")
def root() -> None:
    """Feel how fast an inference system is, and check what a vendor says about it."""


def main(args: list[str] | None = None) -> None:
    """Run the command line; every error becomes one clear line and an exit code."""
    sys.exit(run(args))


def run(args: list[str] | None = None) -> int:
    """Run the command line and return its exit code: 0 done, 1 failed, 2 wrong use, 130 interrupted."""
    try:
        result: Any = root.main(args=args, prog_name="chatapp", standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("interrupted", err=True)
        return 130
    except click.ClickException as exc:
        exc.show()
        return exc.exit_code
    except ChatappError as exc:
        return report(exc)
    except KeyboardInterrupt:
        click.echo("interrupted", err=True)
        return 130
    except BrokenPipeError:
        # The reader of our output has gone (`| head`): say nothing, and keep Python from saying it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as exc:  # a bug: the user gets a line, the log gets the traceback
        return report_bug(exc)
    return result if isinstance(result, int) else 0


def report(error: ChatappError) -> int:
    """Print an expected error to stderr, redacted and safe for a terminal, and return its exit code."""
    from chatapp.redaction import REDACTOR
    from chatapp.text.sanitize import sanitize_line

    click.echo(f"chatapp: {sanitize_line(REDACTOR.text(error.message))}", err=True)
    if error.hint:
        click.echo(f"  {sanitize_line(REDACTOR.text(error.hint))}", err=True)
    return error.exit_code


def report_bug(error: Exception) -> int:
    """Log an unexpected error with its traceback and tell the user where."""
    import logging

    from chatapp.log import log_path, start_logging
    from chatapp.redaction import REDACTOR
    from chatapp.text.sanitize import sanitize_line

    start_logging()
    logging.getLogger("chatapp").error("unexpected error", exc_info=error)
    line = sanitize_line(REDACTOR.text(f"{type(error).__name__}: {error}"))
    click.echo(f"chatapp: unexpected error: {line}", err=True)
    click.echo(f"  this is a bug; the details are in {log_path()}", err=True)
    return 1
