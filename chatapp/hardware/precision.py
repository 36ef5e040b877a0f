"""Number formats: how many bits each part of a model takes in memory, and which arithmetic it runs on."""

from __future__ import annotations

import re
from dataclasses import dataclass

from chatapp.errors import UnknownNameError
from chatapp.hardware.facts import squeeze

_SCALED_4BIT = 4.5  # 4 bits and a 16-bit scale for every 32 weights; NVFP4: an 8-bit scale for every 16
_MXFP4 = 4.25  # 4 bits and an 8-bit scale for every 32 weights


@dataclass(frozen=True, slots=True)
class Precision:
    """Bits a weight of each part, and what multiplies them."""

    name: str
    expert_bits: float
    """Routed experts, or the feed-forward layers of a model without experts."""
    other_bits: float
    """Attention, shared experts, first dense layers."""
    head_bits: float
    """Embedding and output head: kept wide by every published recipe here."""
    kv_bits: float
    arithmetic_bits: int
    """What the matrix units compute in: 4-bit weights without 4-bit activations compute in 16."""


def _dense_and_moe(name: str, expert: float, kv: float, arithmetic: int) -> tuple[Precision, Precision]:
    """Of a dense model all layers are narrow; of a mixture of experts only the experts (facts: weight_format rows)."""
    dense = Precision(name, expert, expert, 16, kv, arithmetic)
    return dense, Precision(name, expert, 16, 16, kv, arithmetic)


_ALL_16 = Precision("bf16", 16, 16, 16, 16, 16)
_FP8 = Precision("fp8", 8, 8, 16, 8, 8)
_INT8 = Precision("int8", 8, 8, 16, 16, 16)

_KNOWN: dict[str, tuple[Precision, Precision]] = {
    "bf16": (_ALL_16, _ALL_16),
    "fp8": (_FP8, _FP8),
    "int8": (_INT8, _INT8),
    "int4": _dense_and_moe("int4", _SCALED_4BIT, 16, 16),
    "nvfp4": _dense_and_moe("nvfp4", _SCALED_4BIT, 8, 4),
    "mxfp4": _dense_and_moe("mxfp4", _MXFP4, 8, 16),  # FP8 cache: recipes of InferenceX (gptoss_fp4_*.sh)
}
_ALIASES = {
    "fp16": "bf16", "f16": "bf16", "16bit": "bf16", "bfloat16": "bf16", "base": "bf16",
    "fp8e4m3": "fp8", "8bit": "fp8", "w8a8": "fp8", "w8a16": "int8",
    "fp4": "nvfp4", "w4a4": "nvfp4", "4bit": "int4", "w4a16": "int4", "int4g32": "int4", "int4g64": "int4",
}  # fmt: skip

NAMES = tuple(_KNOWN)

_WRITTEN = re.compile(r"\b(?:bf16|fp16|16-bit|fp8|int8|8-bit|nvfp4|mxfp4|fp4|int4|4-bit)\b")


def precision(name: str, *, experts: bool) -> Precision:
    """Return a precision by name, for a model with or without experts.

    Raises:
        UnknownNameError: there is none of that name.
    """
    key = squeeze(name)
    key = _ALIASES.get(key, key)
    if key not in _KNOWN and (found := _WRITTEN.search(name.lower())):  # "INT4 weights, FP8 KV": weights come first
        key = squeeze(found[0])
        key = _ALIASES.get(key, key)
    if key not in _KNOWN:
        raise UnknownNameError("precision", name, [*NAMES, "fp16", "fp4"], hint=f"one of: {', '.join(NAMES)}")
    return _KNOWN[key][experts]
