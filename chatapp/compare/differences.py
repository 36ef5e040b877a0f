"""How a run differs from the way in which a claim was measured: what a verdict must not be read without."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator, Sequence

from chatapp.bench.workloads import Workload
from chatapp.compare.claims import Claim
from chatapp.compare.sample import Sample
from chatapp.errors import UnknownNameError
from chatapp.hardware.facts import load_facts, squeeze
from chatapp.stream.metrics import Figures
from chatapp.stream.statistics import defined, median

OLD_DAYS = 180
OFF_LENGTH = 0.05
"""Lengths that differ from the workload's by more than this share are said."""


def differences(claim: Claim, samples: Sequence[Sample], workload: Workload, today: datetime.date) -> Iterator[str]:
    """Yield each difference as one sentence, what weighs most first."""
    for sample in samples[:1] if claim.kind != "ratio" else samples:
        if not same_model(claim.model, sample.info.model):
            yield (
                f"ANOTHER MODEL: the claim is of {claim.model}, {sample.info.label} serves {sample.info.model!r}: "
                "the verdict is of this backend, not of what was claimed"
            )
        others = [name for name in sample.served if not same_model(sample.info.model, name)]
        if others:
            yield f"{sample.info.label} was asked for {sample.info.model!r}, its answers say {', '.join(others)}"
        if sample.info.kind == "local":
            yield f"{sample.info.label} runs on this machine, which measures at the same time"
    if claim.kind == "ratio" and len(samples) > 1:
        yield f"the claim compares with {claim.baseline}; this run with {samples[1].info.label}"
    simulated = [sample.info.label for sample in samples if sample.info.simulated]
    if simulated:
        yield f"simulated, not measured: {', '.join(simulated)}"
    else:
        yield f"no answer shows what hardware wrote it: {claim.system!r} is taken on trust"
    for sample in samples:
        yield from _lengths(sample, workload)
    age = claim.age_days(today)
    if age:
        yield f"the claim was made {age:,} days ago" + ("; systems and models have changed since" * (age > OLD_DAYS))
    yield f"asked here: {workload.title}, one request at a time, every prompt unlike any other, so that no cache helps"
    if len(simulated) < len(samples):
        yield "measured from here, now: network and load included; TTFT from the request's last byte"


def _lengths(sample: Sample, workload: Workload) -> Iterator[str]:
    label, good = sample.info.label, sample.good
    if not good:
        return
    told, asked = _median(good, "input_tokens"), workload.input_tokens
    if told is not None and asked and abs(told / asked - 1) > OFF_LENGTH:
        yield f"{label}: prompts of {told:,.0f} tokens by its own count, {asked:,} by the workload's (cl100k)"
    written, wanted = _median(good, "output_tokens"), workload.output_tokens
    if written is not None and wanted and abs(written / wanted - 1) > OFF_LENGTH:
        yield f"{label}: answers of {written:,.0f} tokens, the workload's limit is {wanted:,}"
    reasoning = _median(good, "reasoning_tokens")
    if reasoning:
        yield f"{label}: {reasoning:,.0f} tokens of reasoning are part of the output; the claim may not count them"
    if any(figures.hidden_tokens for figures in good):
        yield f"{label}: some reasoning was counted by the server and not streamed"
    if any(figures.token_count_source == "estimate" for figures in good):
        yield f"{label}: tokens counted here by cl100k, because its server did not count them"
    sources = sorted({figures.arrival_source for figures in good} - {"kernel", "schedule"})
    if sources:
        yield f"{label}: arrivals stamped by the {' and '.join(sources)}, not by the kernel"


def _median(figures: Sequence[Figures], name: str) -> float | None:
    return median(defined(getattr(one, name) for one in figures))


def same_model(claimed: str, served: str) -> bool:
    """Whether two names mean the same model, as far as names can say: `moonshotai/Kimi-K2.6` is `kimi-k2.6`."""
    wanted = _bare(claimed)
    names = {wanted}
    try:
        record = load_facts().model(claimed)
        names |= {_bare(record.name), *(_bare(alias) for alias in record.names("aliases"))}
    except UnknownNameError:
        pass
    found = _bare(served)
    return bool(found) and any(found == name or _continues(found, name) for name in names)


def _bare(name: str) -> str:
    """Return a model's name without vendor, case and punctuation; `k2p6`, as Fireworks writes it, is `k2.6`."""
    last = re.sub(r"(?<=\d)p(?=\d)", ".", name.rpartition("/")[2].lower())
    return squeeze(last)


_SUFFIXES = re.compile(r"(instruct|chat|it|latest|fp8|fp4|nvfp4|int4|bf16|turbo|thinking|preview|versatile|\d{4,})+")


def _continues(found: str, name: str) -> bool:
    """Whether what follows the name says only how the same model is served."""
    return found.startswith(name) and _SUFFIXES.fullmatch(found[len(name) :]) is not None
