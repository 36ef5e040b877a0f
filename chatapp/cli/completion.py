"""`chatapp completion`: the shell completion script."""

from __future__ import annotations

import os
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from chatapp.errors import UsageError

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", required=False, type=click.Choice(SHELLS))
def completion(shell: str | None) -> None:
    """Print the completion script of SHELL (default: the one in $SHELL).

    \b
    bash:  chatapp completion bash >> ~/.bashrc
    zsh:   chatapp completion zsh > "${fpath[1]}/_chatapp"
    fish:  chatapp completion fish > ~/.config/fish/completions/chatapp.fish
    """  # noqa: D301 - \b keeps click from wrapping the lines
    from chatapp.cli import root

    name = shell or Path(os.environ.get("SHELL", "")).name
    complete = get_completion_class(name)
    if name not in SHELLS or complete is None:
        raise UsageError(
            f"no completion for the shell {name or 'in $SHELL (unset)'!r}", hint=f"one of: {', '.join(SHELLS)}"
        )
    click.echo(complete(root, {}, "chatapp", "_CHATAPP_COMPLETE").source())
