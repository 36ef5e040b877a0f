"""Does the model fit, and how many chips would hold it. Bytes throughout."""

from __future__ import annotations

import math
from dataclasses import dataclass

from chatapp.hardware.models import Model
from chatapp.hardware.names import MAX_COUNT
from chatapp.hardware.precision import Precision
from chatapp.hardware.systems import System


def weight_bytes(model: Model, precision: Precision) -> float:
    """Return the bytes of all weights.

    Formula: sum over parts of parameters x bits / 8; the head and the embedding are kept at `head_bits`.
    """
    heads = model.head_params * (1 if model.tied_embeddings else 2)
    return (
        model.ffn_params * precision.expert_bits
        + model.other_params * precision.other_bits
        + heads * precision.head_bits
    ) / 8


def kv_bytes_per_token(model: Model, precision: Precision) -> float:
    """Return the cache bytes that one token of context adds, over all layers that keep the whole context.

    MLA: layers x (kv_lora_rank + qk_rope_head_dim) values. Else layers x 2 x kv_heads x head_dim. With a sliding window
    every other layer keeps the window only (see `kv_bytes`).
    """
    if model.latent:
        values = model.layers * (model.kv_lora_rank + model.qk_rope_head_dim)
    else:
        values = model.layers * 2 * model.kv_heads * model.head_dim
    full = 0.5 if model.sliding_window else 1.0
    return values * full * precision.kv_bits / 8


def kv_bytes(model: Model, precision: Precision, context: float) -> float:
    """Return the cache bytes of one conversation of `context` tokens."""
    growing = kv_bytes_per_token(model, precision) * context
    if not model.sliding_window:
        return growing
    return growing + kv_bytes_per_token(model, precision) * min(context, model.sliding_window)


def kv_copies(system: System, model: Model, chips: int) -> int:
    """Return how many chips of a tensor-parallel group hold the same cache.

    Heads can be split over chips; the latent vector of MLA cannot, and each chip keeps all of it.
    """
    group = min(chips, system.link_domain)
    if system.spatial:
        return 1
    return group if model.latent else max(1, math.ceil(group / model.kv_heads))


SERVING_SHARE = 0.9
"""Of a GPU's memory that serving engines use: vLLM's default `gpu_memory_utilization`
(https://docs.vllm.ai/en/latest/configuration/engine_args.html). The rest is kept for activations and graphs."""


@dataclass(frozen=True, slots=True)
class Fit:
    """Whether a model fits a number of chips, with room for one conversation."""

    chips: int
    weight_bytes: float
    kv_bytes: float
    """Cache of one conversation of the stated length, copies included."""
    usable_bytes: float
    smallest: int
    """The smallest number of chips that holds both; 0 where none up to 8,192 does."""

    @property
    def fits(self) -> bool:
        """Whether weights and cache are within the usable memory."""
        return self.weight_bytes + self.kv_bytes <= self.usable_bytes

    @property
    def explanation(self) -> str:
        """The sum in one line."""
        need = f"{_gb(self.weight_bytes)} of weights and {_gb(self.kv_bytes)} of KV cache"
        have = f"{_gb(self.usable_bytes)} usable on {self.chips}"
        smallest = (
            f"the smallest number that holds it is {self.smallest}" if self.smallest else "no number here holds it"
        )
        return f"{need} {'fit into' if self.fits else 'do not fit into'} {have}; {smallest}"


def _gb(value: float) -> str:
    gigabytes = value / 1e9
    return f"{gigabytes:,.0f} GB" if gigabytes >= 10 else f"{gigabytes:.2f} GB"


def usable_bytes(system: System, chips: int) -> float:
    """Return memory less what the runtime reserves on each chip; of GPUs no more than engines use."""
    free = system.memory_bytes - system.reserved_bytes
    return chips * (free if system.spatial else min(free, SERVING_SHARE * system.memory_bytes))


def check_fit(system: System, model: Model, precision: Precision, chips: int, context: int) -> Fit:
    """Return whether the model fits, and the smallest number of chips that holds it."""
    return Fit(
        chips=chips,
        weight_bytes=weight_bytes(model, precision),
        kv_bytes=kv_bytes(model, precision, context) * kv_copies(system, model, chips),
        usable_bytes=usable_bytes(system, chips),
        smallest=smallest_count(system, model, precision, context),
    )


def smallest_count(system: System, model: Model, precision: Precision, context: int) -> int:
    """Return the smallest number of chips that holds weights and one conversation; 0 where none up to 8,192 does.

    On GPUs only numbers are considered that people build: powers of two up to the fast link's reach, then whole groups.
    """
    weights = weight_bytes(model, precision)
    cache = kv_bytes(model, precision, context)
    for chips in _buildable(system):
        if weights + cache * kv_copies(system, model, chips) <= usable_bytes(system, chips):
            return chips
    return 0


def _buildable(system: System) -> list[int]:
    if system.spatial:
        return list(range(1, MAX_COUNT + 1))
    domain = system.link_domain
    inside = [1 << i for i in range(domain.bit_length()) if 1 << i < domain]
    return inside + list(range(domain, MAX_COUNT + 1, domain))


def batch_limit(system: System, model: Model, precision: Precision, chips: int, context: float) -> int:
    """Return how many conversations of that length the memory beside the weights holds, at least 1."""
    room = usable_bytes(system, chips) - weight_bytes(model, precision)
    each = kv_bytes(model, precision, context) * kv_copies(system, model, chips)
    return max(1, int(room / each)) if each > 0 else 1_000_000
