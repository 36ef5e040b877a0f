"""The terms of the model: each a function with its formula and where it comes from. Seconds, bytes, FLOP/s.

Two ways to build a machine. *GPUs and RDUs* keep weights in stacked memory and read them for every step, with a floor
for each kernel launched. *Wafers and LPUs* keep weights in SRAM, spread over chips layer by layer, and are bound by the
time a token takes to pass through the layers and from chip to chip.
"""

from __future__ import annotations

from dataclasses import dataclass

from chatapp.hardware.memory import kv_bytes, kv_copies, weight_bytes
from chatapp.hardware.models import Model
from chatapp.hardware.parameters import Parameters
from chatapp.hardware.precision import Precision
from chatapp.hardware.systems import System

ALLREDUCE_S = {1: 0.0, 2: 2.8e-6, 4: 3.3e-6, 8: 4.5e-6, 16: 6.0e-6}
"""Latency of one small all-reduce by chips in the group. 2, 4: H100 with TensorRT-LLM; 8: between H100 (3.6) and vLLM
graphs or B200 (5.3, 5.9); 16: extrapolated. From aiconfigurator's measured tables, facts.toml [physics]."""
ALLREDUCES_PER_LAYER = 2
"""One after attention, one after the feed-forward part: what tensor parallelism needs."""
PIPELINE_HOP_S = 1e-5
"""From one node's GPUs to the next (facts.toml physics.p2p_latency)."""

KERNELS_DENSE = 10
"""Kernels of a dense layer: 2 norms, qkv, rotary + cache, attention, output, gate + up, activation, down, residual. A
count of operations, not a measurement; what a kernel costs is fitted."""
KERNELS_LATENT = 6
"""More of them with MLA: two low-rank projections of the query, the latent, two absorbed products, one more norm."""
KERNELS_EXPERTS = 10
"""More of them with experts: router, top-k, permute, two grouped products, activation, combine, shared expert."""

SERIAL_DENSE = 5
"""Products of a dense layer that wait for one another: qkv, attention, output, gate + up, down. On a machine laid out
in space each is one more passage over the fabric."""
SERIAL_LATENT = 2
"""More of them with MLA: the query's low-rank product, and the absorbed one."""
SERIAL_EXPERTS = 2
"""More of them with experts: the router, and gathering what the experts give."""

ARITHMETIC_SHARE = {16: 1.0, 8: 0.80, 4: 0.60}
"""How much less of its peak narrow arithmetic reaches in prefill: FP8 0.62 of 0.78, NVFP4 0.39 of 0.65 (facts.toml
[physics], kernel medians of aiconfigurator)."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What is predicted: a model in a precision on so many chips, and how it is served."""

    system: System
    model: Model
    precision: Precision
    chips: int
    endpoint: bool = False
    """Whether it is a hosted service, with what that adds."""
    inside: bool = False
    """Whether it is timed within the engine: no HTTP, no scheduler."""

    @property
    def group(self) -> int:
        """Chips that work on one layer together (tensor parallel)."""
        return 1 if self.system.spatial else min(self.chips, self.system.link_domain)

    @property
    def arithmetic_bits(self) -> int:
        """What the matrix units compute in. MXFP4 weights meet 8-bit activations on chips with 4-bit units, else 16."""
        if self.precision.name == "mxfp4" and 4 in self.system.peak:
            return 8
        return self.precision.arithmetic_bits

    @property
    def stages(self) -> int:
        """Pipeline stages a token passes one after the other: wafers, or groups of GPUs. LPUs share every layer."""
        if self.system.family == "lpu":
            return 1
        return self.chips if self.system.spatial else -(-self.chips // self.system.link_domain)


def experts_touched(model: Model, tokens: float, skew: float) -> float:
    """Return how many experts of a layer a batch of tokens activates.

    Formula: E (1 - (1 - k/E)^(tokens^skew)). With skew 1 it is the expectation for independent uniform routing, an
    upper bound: real routing prefers some experts (facts.toml physics.expert_activation_formula).
    """
    if not model.experts:
        return 0.0
    share = model.experts_per_token / model.experts
    left_alone: float = (1 - share) ** (max(1.0, tokens) ** skew)
    return model.experts * (1 - left_alone)


def width_of(setup: Setup, bits: float) -> str:
    """Return which bandwidth share belongs to a weight of that many bits.

    `unpacked` are 4-bit weights on units that cannot multiply them: cores widen them first, at a cost of its own.
    """
    if bits < 8:
        return "4bit" if setup.precision.name != "int4" and 4 in setup.system.peak else "unpacked"
    return "8bit" if bits < 16 else "16bit"


def read_bytes(setup: Setup, tokens: float, skew: float) -> dict[str, float]:
    """Return the weight bytes that one step reads, by width of weight.

    Formula: attention, shared and dense parts and the head once; of the experts those that the step's tokens activate.
    """
    model, precision = setup.model, setup.precision
    share = experts_touched(model, tokens, skew) / model.experts if model.experts else 1.0
    parts = (
        (model.ffn_params * share, precision.expert_bits),
        (model.other_params, precision.other_bits),
        (model.head_params, precision.head_bits),
    )
    found: dict[str, float] = {}
    for params, bits in parts:
        width = width_of(setup, bits)
        found[width] = found.get(width, 0.0) + params * bits / 8
    return found


def weight_time(setup: Setup, tokens: float, p: Parameters) -> float:
    """Return the time to read one step's weights: bytes / (chips in the group x bandwidth x share reached)."""
    by_width = read_bytes(setup, tokens, p["routing_skew"])
    speed = setup.group * setup.system.memory_bandwidth
    return sum(size / (speed * p[f"bandwidth_{width}"]) for width, size in by_width.items())


def expert_time(setup: Setup, tokens: float, p: Parameters) -> float:
    """Return what touching each further expert costs beside its bytes: half-filled tiles, one more pointer to follow.

    Formula: layers with experts x experts touched x a fixed time.
    """
    model = setup.model
    if not model.experts:
        return 0.0
    return model.moe_layers * experts_touched(model, tokens, p["routing_skew"]) * p["expert_s"]


def cache_time(setup: Setup, sequences: float, context: float, p: Parameters) -> float:
    """Return the time to read the KV cache of all conversations in one step.

    Formula: sequences x cache bytes x copies / (group x bandwidth x share). MLA's latent is copied to every chip of the
    group, so that each reads all of it.
    """
    size = sequences * kv_bytes(setup.model, setup.precision, context)
    copies = kv_copies(setup.system, setup.model, setup.chips)
    return size * copies / (setup.group * setup.system.memory_bandwidth * p["bandwidth_16bit"])


def arithmetic_time(setup: Setup, tokens: float, context: float, p: Parameters) -> float:
    """Return the time to multiply: FLOPs / (chips x peak x share of the peak reached).

    Formula: 2 x active parameters x tokens, plus 2 x layers x heads x (key size + value size) x tokens x context for
    attention; layers with a sliding window see no more than it.
    """
    model = setup.model
    pair = model.qk_nope_head_dim + model.qk_rope_head_dim + model.v_head_dim if model.latent else 2 * model.head_dim
    seen = context
    if model.sliding_window:
        seen = (context + min(context, model.sliding_window)) / 2
    flops = 2 * model.active_params * tokens + 2 * model.layers * model.heads * pair * tokens * seen
    bits = setup.arithmetic_bits
    chips = setup.chips if setup.system.spatial else setup.group
    return flops / (chips * setup.system.peak_for(bits) * arithmetic_share(setup, p) * ARITHMETIC_SHARE[bits])


def arithmetic_share(setup: Setup, p: Parameters) -> float:
    """Return the share of peak arithmetic that a prefill reaches.

    Formula: prefill_share x w / (w + half_width), w being the width of the feed-forward matrices' slice on one chip: an
    expert cut into eighths leaves tiles half empty.
    """
    if setup.system.spatial:
        return p["prefill_share"]
    width = (setup.model.moe_intermediate or setup.model.intermediate) / setup.group
    return p["prefill_share"] * width / (width + p["half_width"])


def kernel_time(setup: Setup, p: Parameters) -> float:
    """Return the floor of launching a step's kernels: their number x the time that the smallest one takes."""
    model = setup.model
    kernels = model.layers * (KERNELS_DENSE + (KERNELS_LATENT if model.latent else 0))
    kernels += model.moe_layers * KERNELS_EXPERTS if model.experts else 0
    return kernels * p["kernel_s"]


def exchange_time(setup: Setup, tokens: float) -> float:
    """Return the time of the chips of a group to exchange activations, and to hand them to the next group.

    Formula: 2 all-reduces a layer, each a latency and 2 (n-1)/n x tokens x hidden x 2 bytes over the link; and 10 us a
    pipeline stage.
    """
    group = setup.group
    nearest = min(ALLREDUCE_S, key=lambda n: (n < group, n))
    latency = ALLREDUCE_S[min(16, nearest)]
    carried = 0.0
    if group > 1 and setup.system.link_bandwidth > 0:
        carried = 2 * (group - 1) / group * tokens * setup.model.hidden * 2 / setup.system.link_bandwidth
    return ALLREDUCES_PER_LAYER * setup.model.layers * (latency + carried) + (setup.stages - 1) * PIPELINE_HOP_S


def sequence_time(sequences: float, p: Parameters) -> float:
    """Return what each further conversation adds to a step: sampling and bookkeeping."""
    return (sequences - 1) * p["sequence_s"]


def serial_depth(model: Model) -> float:
    """Return how many products in all layers wait for one another, in dense layers' worth."""
    products = model.layers * (SERIAL_DENSE + (SERIAL_LATENT if model.latent else 0))
    products += model.moe_layers * SERIAL_EXPERTS if model.experts else 0
    return products / SERIAL_DENSE


def layer_time(setup: Setup, p: Parameters) -> float:
    """Return the time a token takes through all layers laid out in space.

    Formula: serial depth x (floor + width x per-width), the form that WaferLLM's two published rates have.
    """
    return serial_depth(setup.model) * (p["layer_s"] + p["width_s"] * setup.model.hidden / 4096)


def hop_time(setup: Setup, p: Parameters) -> float:
    """Return the time to pass from chip to chip and back to the first: chips x hop; one chip needs none."""
    return setup.stages * p["hop_s"] if setup.stages > 1 else 0.0


def sram_time(setup: Setup, sequences: float, context: float) -> float:
    """Return the time to read the active weights and the cache from SRAM, each chip its own part in turn.

    Formula: bytes / one chip's bandwidth, for one conversation uses one chip at a time.
    """
    size = sum(read_bytes(setup, 1, 1.0).values()) + sequences * kv_bytes(setup.model, setup.precision, context)
    return size / setup.system.memory_bandwidth


def physical_limit(setup: Setup, context: float) -> float:
    """Return the least time of one step that memory bandwidth allows: bytes of one token over all chips' bandwidth.

    The usual spreadsheet formula. The distance from it to the prediction is latency, not bandwidth.
    """
    size = sum(read_bytes(setup, 1, 1.0).values()) + kv_bytes(setup.model, setup.precision, context)
    return size / (setup.chips * setup.system.memory_bandwidth)


def load_time(setup: Setup, p: Parameters) -> float:
    """Return the time to read all weights once, which a prefill of more than some hundred tokens does."""
    if setup.system.spatial:
        return 0.0
    width = width_of(setup, setup.precision.expert_bits)
    speed = setup.group * setup.system.memory_bandwidth * p[f"bandwidth_{width}"]
    return weight_bytes(setup.model, setup.precision) / speed
