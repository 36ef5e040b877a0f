"""What a measurement measured, asked of the model in the same unit."""

from __future__ import annotations

from chatapp.hardware.measurements import Kind, Measurement
from chatapp.hardware.model import Timing, serve
from chatapp.hardware.parameters import Parameters

WIDTH_OF: dict[Kind, str] = {
    "speed": "speed", "tpot": "speed", "ttft": "ttft", "e2e": "throughput",
    "system": "throughput", "per_chip": "throughput", "total_per_chip": "throughput", "total": "throughput",
}  # fmt: skip
"""Which of a family's three intervals a kind of figure has."""


def quantity(kind: Kind, timing: Timing, *, batch: int, chips: int, network_s: float = 0.0) -> float:
    """Return a figure of a timing in the unit that measurements of its kind have."""
    total = (timing.input_tokens + timing.output_tokens) / timing.output_tokens
    throughput = timing.throughput_tps(batch)
    return {
        "speed": timing.speed_tps,
        "tpot": timing.tpot_s * 1e3,
        "ttft": (timing.ttft_s + network_s) * 1e3,
        "e2e": timing.e2e_s + network_s,
        "system": throughput,
        "per_chip": throughput / chips,
        "total": throughput * total,
        "total_per_chip": throughput * total / chips,
    }[kind]


def predicted(row: Measurement, p: Parameters, network_s: float) -> float:
    """Return the model's figure for a measurement. The network is added where the measurement went over one."""
    timing = serve(row.setup, row.workload, p)
    over_network = network_s if row.setup.endpoint else 0.0
    return quantity(row.kind, timing, batch=row.workload.batch, chips=row.setup.chips, network_s=over_network)
