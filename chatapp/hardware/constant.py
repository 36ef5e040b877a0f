"""FIRST, SIMPLE TABLE, to be replaced by the sourced model: constant rates for the systems of the design.

Rounded from the collected measurements; no row is a prediction.
"""

from __future__ import annotations

from chatapp.errors import UnknownNameError
from chatapp.hardware.names import SimulationName
from chatapp.hardware.schedule import Pace

SYSTEMS = {"cs3": "CS-3", "cs2": "CS-2", "h100": "H100", "h200": "H200", "b200": "B200"}
MODELS = {"kimi-k2.6": "Kimi K2.6", "gpt-3-175b": "GPT-3 175B", "gpt-oss-120b": "gpt-oss-120b"}
THINKING = {"kimi-k2.6", "gpt-oss-120b"}

_RATES = {"cs3": 900.0, "cs2": 700.0, "h100": 45.0, "h200": 90.0, "b200": 120.0}  # tok/s, one user
_PREFILL = {"cs3": 20_000.0, "cs2": 12_000.0, "h100": 8_000.0, "h200": 10_000.0, "b200": 20_000.0}  # input tok/s


def constant_pace(name: SimulationName, input_tokens: int) -> Pace:
    """Return a pace from the constant table.

    Raises:
        UnknownNameError: the system or the model is not in the table.
    """
    if name.system.system not in SYSTEMS:
        raise UnknownNameError("system", name.system.system, SYSTEMS, hint="chatapp hardware systems lists them")
    if name.model not in MODELS:
        raise UnknownNameError("model", name.model, MODELS, hint="chatapp hardware models lists them")
    step = 1 / _RATES[name.system.system]
    prefill = input_tokens / _PREFILL[name.system.system] + 3 * step
    return Pace(prefill_s=prefill, step_s=step, network_s=0.03, jitter=0.08)
