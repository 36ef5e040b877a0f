"""What is known of each parameter before any measurement is fitted: a middle, how far it may be off, and its source."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Prior:
    """What is known of a parameter before any measurement: a sourced or assumed middle, and how far it may be off."""

    middle: float
    spread: float
    """Standard deviation of the logarithm."""
    unit: str
    meaning: str
    source: str

    @property
    def most(self) -> float:
        """The largest value that makes sense: a share of a peak stays below it."""
        return 0.95 if self.unit == "fraction" else float("inf")


_KERNEL_TABLES = "github ai-dynamo/aiconfigurator systems/*.yaml and measured tables"
_COMMON = {
    "bandwidth_16bit": Prior(0.72, 0.20, "fraction", "share of peak memory bandwidth, 16-bit weights", _KERNEL_TABLES),
    "bandwidth_8bit": Prior(0.60, 0.20, "fraction", "share of peak memory bandwidth, 8-bit weights", _KERNEL_TABLES),
    "bandwidth_4bit": Prior(0.40, 0.25, "fraction", "share of peak memory bandwidth, 4-bit weights", _KERNEL_TABLES),
    "bandwidth_unpacked": Prior(
        0.40, 0.30, "fraction", "the same, 4-bit weights that cores widen first", _KERNEL_TABLES
    ),
    "expert_s": Prior(2e-7, 0.8, "s", "touching one more expert of a layer, beside its bytes", "assumption"),
    "bunching": Prior(1.5, 0.5, "x", "how much longer prefills wait than for arrivals at random", "assumption"),
    "kernel_s": Prior(4e-6, 0.5, "s", "floor of one kernel", _KERNEL_TABLES),
    "prefill_share": Prior(
        0.55, 0.35, "fraction", "share of peak arithmetic in prefill, wide matrices", _KERNEL_TABLES
    ),
    "half_width": Prior(
        250, 0.7, "count", "width of a matrix slice that reaches half of it", "assumption: tiles are 64 to 256 wide"
    ),
    "request_s": Prior(0.015, 0.7, "s", "fixed part of TTFT: parsing, scheduling, first sampling", "assumption"),
    "sequence_s": Prior(
        2e-5, 0.8, "s", "what each more conversation adds to a step: sampling, bookkeeping", "assumption"
    ),
    "interference": Prior(0.9, 0.25, "fraction", "share of neighbours' prefill that delays decode", "assumption"),
    "routing_skew": Prior(
        0.75,
        0.25,
        "exponent",
        "tokens in a batch count as batch^this in expert activation",
        "assumption: real routing touches fewer experts than the uniform formula says",
    ),
    "draft_share": Prior(
        0.06,
        0.5,
        "fraction",
        "what proposing one draft token costs, of a step without it",
        "NVIDIA, DeepSeek-R1 on B200: 9.0 ms a step without drafts, 9.7 with one, 12.6 with five",
    ),
    "unstated_gain": Prior(
        2.2,
        0.4,
        "tokens/step",
        "tokens a step where a hosted endpoint does not state its speculation",
        "assumption: range 1 to 5",
    ),
}
_SPATIAL = {
    "layer_s": Prior(
        8e-6,
        0.5,
        "s",
        "floor of one layer, whatever its width",
        "WaferLLM on WSE-2: 11.6 us (4096 wide) and 14.9 us (8192 wide)",
    ),
    "width_s": Prior(3.3e-6, 0.5, "s", "what every 4,096 of width add to a layer", "WaferLLM, as above"),
    "hop_s": Prior(1e-4, 1.0, "s", "passing from one wafer to the next", "none published: fitted"),
    "prefill_share": Prior(
        0.25, 0.6, "fraction", "share of peak arithmetic in prefill", "assumption: range 0.1 to 0.6"
    ),
    "request_s": Prior(0.05, 0.7, "s", "fixed part of TTFT", "assumption"),
    "unstated_gain": Prior(
        2.5, 0.4, "tokens/step", "tokens a step, and later kernels, where not stated", "assumption: range 1 to 5"
    ),
    "token_s": Prior(
        1.8e-4,
        0.7,
        "s",
        "what a hosted service adds to every step: host loop, sampling",
        "first services against research kernels: 555 us against 371 us (Llama 8B)",
    ),
}

_LPU = {name: prior for name, prior in _SPATIAL.items() if name != "hop_s"} | {
    "layer_s": Prior(2e-5, 0.8, "s", "floor of one layer, shared by many chips", "none published: fitted"),
    "width_s": Prior(5e-6, 0.8, "s", "what every 4,096 of width add to a layer", "none published: fitted"),
}

SHARED = ("draft_share", "expert_s", "bunching", "half_width", "sequence_s", "interference", "routing_skew")
"""What belongs to serving software and to routing, not to the silicon: one value for all families that read weights
from stacked memory. Everything else is each family's own."""

STACKED = ("ampere", "hopper", "blackwell", "cdna", "rdu")

_FLOORS = "facts.toml physics.tiny_gemm_floor_h100: 3.2 us on H100, 2.6 us on B200"

PRIORS: dict[str, dict[str, Prior]] = {
    "wafer": _SPATIAL,
    "lpu": _LPU,
    **dict.fromkeys(STACKED, _COMMON),
    "hopper": _COMMON | {"kernel_s": Prior(3.2e-6, 0.2, "s", "floor of one kernel", _FLOORS)},
    "blackwell": _COMMON | {"kernel_s": Prior(2.6e-6, 0.2, "s", "floor of one kernel", _FLOORS)},
}
