"""`chatapp record`: a live session into a recording, and a demo script from it."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("file", required=False)
@click.option("--backend", metavar="NAME", help="What answers at first; chatapp backends list shows the names.")
@click.option("--script", "script_file", metavar="FILE", help="Afterwards, draft a demo script of what was asked.")
@click.option("--from", "source", metavar="RECORDING", help="Draft the script from a recording instead of a session.")
def record(file: str | None, backend: str | None, script_file: str | None, source: str | None) -> int:
    """Chat, and keep every arrival in FILE (default: a new file in the data folder)."""
    from chatapp.cli.opening import default_backend, open_session, require_terminal, run_app, start_link
    from chatapp.cli.output import check_output, check_recording
    from chatapp.config import load_settings
    from chatapp.errors import UsageError

    check_output(script_file)
    if source is not None:
        if script_file is None or file is not None:
            raise UsageError("--from drafts a script: name it with --script", hint="record --from A.tokcast --script F")
        return _draft(Path(source), script_file)
    require_terminal()
    settings = load_settings()
    if file is not None:
        check_recording(file)
    target = Path(file) if file else _new_file()
    link = start_link(None, seed=settings.seed)
    session = open_session(link(), settings, backend=backend or default_backend(settings))
    session.start_recording(target)
    code = run_app(session)
    click.echo(f"recorded: {target}")
    if script_file is not None:
        return _draft(target, script_file) or code
    return code


def _new_file() -> Path:
    from datetime import datetime

    from chatapp.config import data_folder

    folder = data_folder() / "recordings"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{datetime.now():%Y-%m-%d-%H%M%S}.tokcast"


def _draft(source: Path, script_file: str) -> int:
    from chatapp.cli.output import write_output
    from chatapp.demo.drafting import draft_script
    from chatapp.demo.parsing import parse_script
    from chatapp.errors import UsageError
    from chatapp.recording.reader import Recording

    with Recording.open(source) as recording:
        if not recording.starts:
            raise UsageError(f"{source}: nothing was asked in it, so there is no script to draft")
        text = draft_script(recording)
    parse_script(text, Path(script_file))  # a draft that does not play would be worse than none
    write_output(script_file, text)
    if script_file != "-":
        click.echo(f"drafted: {script_file}   try it: chatapp demo check {script_file}")
    return 0
