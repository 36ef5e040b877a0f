"""Systems: what one chip (or wafer) has, from the facts."""

from __future__ import annotations

from dataclasses import dataclass

from chatapp.hardware.facts import FactBook, Record

SPATIAL = ("wafer", "lpu")
"""Families that lay the model out in space, weights in SRAM, and pass the activations on."""
FAMILIES = ("wafer", "ampere", "hopper", "blackwell", "cdna", "rdu", "lpu")


@dataclass(frozen=True, slots=True)
class System:
    """One chip, socket or wafer, and how many of them are closely joined. Bytes, bytes/s, FLOP/s, watts."""

    name: str
    label: str
    family: str
    memory_bytes: float
    reserved_bytes: float
    memory_bandwidth: float
    peak: dict[int, float]
    """FLOP/s (dense) by bits of arithmetic: 16 always, 8 and 4 where the chip has them."""
    link_bandwidth: float
    """Bytes/s in one direction to its neighbours; 0 where none is published."""
    link_domain: int
    """Chips on the fast link; more of them form pipeline stages."""
    power: float
    record: Record

    @property
    def spatial(self) -> bool:
        """Whether weights stay in SRAM and the model is spread over chips layer by layer."""
        return self.family in SPATIAL

    def peak_for(self, bits: int) -> float:
        """Return FLOP/s at this arithmetic, or at the next wider one that the chip has."""
        return next(self.peak[width] for width in (4, 8, 16) if width >= bits and width in self.peak)


def read_system(record: Record) -> System:
    """Build a system from its facts.

    Raises:
        SourceError: a value is missing, impossible, or contradicts another; with file and line.
    """
    family = record.text("family")
    if family not in FAMILIES:
        raise record.fail("family", f"must be one of {', '.join(FAMILIES)}, not {family!r}")
    memory, reserved = record.positive("memory_bytes"), record.number("reserved_bytes", 0)
    if not 0 <= reserved < memory:
        raise record.fail("reserved_bytes", f"must lie between 0 and memory_bytes ({memory:g})")
    peak = {16: record.positive("peak_16bit")}
    for bits in (8, 4):
        if f"peak_{bits}bit" in record.facts:
            peak[bits] = record.positive(f"peak_{bits}bit")
            if peak[bits] < peak[16]:
                raise record.fail(f"peak_{bits}bit", "is below peak_16bit: narrower arithmetic is never slower")
    domain = record.whole("link_domain", 1 if family in SPATIAL else 8)
    if domain < 1:
        raise record.fail("link_domain", "must be 1 or more")
    return System(
        name=record.name,
        label=record.text("label", record.name),
        family=family,
        memory_bytes=memory,
        reserved_bytes=reserved,
        memory_bandwidth=record.positive("memory_bandwidth"),
        peak=peak,
        link_bandwidth=record.number("link_bandwidth", 0),
        link_domain=domain,
        power=record.number("power", 0),
        record=record,
    )


def find_system(facts: FactBook, name: str) -> System:
    """Return a system by name or alias.

    Raises:
        UnknownNameError: there is none; names the nearest.
    """
    return read_system(facts.system(name))
