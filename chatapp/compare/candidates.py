"""What could test a claim: the backends that serve its model, whether they are ready, and what a run would cost."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from chatapp.backends.registry import Listing
from chatapp.bench.cost import OUTPUT_UNLIMITED, Price
from chatapp.bench.workloads import Workload
from chatapp.compare.claims import Claim
from chatapp.compare.differences import same_model
from chatapp.stream.events import BackendKind
from chatapp.stream.tokens import count_tokens
from chatapp.text.sanitize import sanitize_line


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """One backend that could test a claim."""

    name: str
    label: str
    kind: BackendKind
    ready: bool
    why_not: str
    """What is missing; empty where it is ready."""
    usd: float | None
    """Estimated cost of the run; None where the price is not known."""
    price_source: str


def candidates(claim: Claim, workload: Workload, listings: Iterable[Listing], *, requests: int) -> list[Candidate]:
    """Return the backends of the claim's model, the ready ones first, simulated ones last.

    The vendor's own service is among them even where its catalog entry does not name the model: it is what the claim is
    about, and any model can be asked for.

    Args:
        claim: its model is looked for.
        workload: for the cost.
        listings: of all backends.
        requests: how many would be sent, warm-up included.
    """
    request = workload.request(0, run="estimate")
    tokens_in = (count_tokens(request.prompt) + count_tokens(request.instructions or "")) * requests
    tokens_out = (workload.output_tokens or OUTPUT_UNLIMITED) * requests
    known = list(listings)
    serving = [listing for listing in known if same_model(claim.model, listing.model)]
    vendor = next((one for one in known if one.kind == "live" and one.provider == claim.vendor), None)
    label = f"{claim.vendor} · {claim.model}"
    if vendor is not None and all(listing.provider != claim.vendor for listing in serving):
        name = f"{vendor.name.partition('/')[0]}/{claim.model}"
        serving.append(
            msgspec.structs.replace(
                vendor, name=name, label=label, model=claim.model, input_usd=None, output_usd=None, price_source=""
            )
        )
    found = [
        Candidate(
            name=listing.name,
            label=listing.label,
            kind=listing.kind,
            ready=listing.ready,
            why_not=listing.why_not,
            usd=Price(listing.input_usd, listing.output_usd).of(tokens_in, tokens_out)
            if listing.kind == "live"
            else 0.0,
            price_source=listing.price_source,
        )
        for listing in serving
    ]
    return sorted(found, key=lambda one: (one.kind == "simulated", not one.ready, one.label != label, one.name))


def candidate_lines(found: Iterable[Candidate], *, runs: int) -> list[str]:
    """Return the list for a terminal."""
    rows = [
        (
            one.name,
            "ready" if one.ready else one.why_not,
            "verifies nothing" if one.kind == "simulated" else "unknown cost" if one.usd is None else f"${one.usd:.2f}",
        )
        for one in found
    ]
    if not rows:
        return ["no backend here serves this model: add one under [backends.NAME] in config.toml"]
    width = max(len(row[0]) for row in rows)
    middle = max(len(row[1]) for row in rows)
    lines = [f"what could test it, and the estimated cost of {runs} runs:"]
    lines += [sanitize_line(f"  {name.ljust(width)}  {state.ljust(middle)}  {cost}") for name, state, cost in rows]
    return lines
