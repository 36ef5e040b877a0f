"""How many tokens an answer has: the source's count of each chunk, our own, and the server's `usage`, reconciled.

`usage` is authoritative for totals. It says nothing of when tokens came, so the per-chunk counts (the source's own, or
ours) are scaled until they sum to it. Tokens that were never seen as text, hidden reasoning, are kept apart: dividing
them by the time of the visible text is how a tool came to show 23,609 tok/s for 76.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from chatapp.stream.events import Usage

TokenCountSource = Literal["usage", "estimate"]

PLAUSIBLE_RATIO = 3.0
"""Native tokens per cl100k token beyond which a count is not a difference of vocabularies.

Vocabularies in use differ by up to 2.3 in characters per token (measured over 24 models)."""

SLACK_ABOVE = 8
"""Tokens by which usage may exceed a short answer whatever the ratio: stop tokens, channel markers."""

SLACK_BELOW = 3
"""Tokens by which usage may fall short of a short answer whatever the ratio: one rare word in another vocabulary."""


class TokenCounts(msgspec.Struct, frozen=True):
    """The counts of one answer."""

    output: int | None
    """All output tokens, hidden ones included; None where nothing was written and nothing was said."""
    reasoning: int | None
    """Reasoning tokens, hidden ones included; None where unknown."""
    hidden: int
    """Output tokens of which no text was seen."""
    source: TokenCountSource
    scale_answer: float = 1.0
    """By what the per-chunk counts of the answer are multiplied so that they sum to the stated total."""
    scale_reasoning: float = 1.0
    estimate_error: float | None = None
    """Visible tokens by cl100k over those by usage, minus 1; None without a usable usage."""
    warnings: tuple[str, ...] = ()

    @property
    def estimated(self) -> bool:
        """Whether the totals are ours instead of the server's."""
        return self.source == "estimate"


def clean_usage(usage: Usage) -> tuple[Usage, tuple[str, ...]]:
    """Return the usage with impossible values (negative, fractional, not a number) removed, and what was removed."""
    warnings = []
    values: dict[str, int | None] = {}
    for name in usage.__struct_fields__:
        value = getattr(usage, name)
        if value is not None and (type(value) is not int or value < 0):
            warnings.append(f"usage_invalid: the server's {name} is {value!r}; ignored")
            value = None
        values[name] = value
    return Usage(**values), tuple(warnings)


def reconcile(
    answer: int, reasoning: int, usage: Usage | None, *, stated: bool = False, common: int | None = None
) -> TokenCounts:
    """Reconcile counted tokens with the server's usage.

    Args:
        answer: tokens counted in answer text.
        reasoning: tokens counted in reasoning text.
        usage: the server's, cleaned.
        stated: the counts come from the source itself, chunk by chunk, and not from our tokenizer.
        common: visible tokens by cl100k, for the estimate's error; by default the sum of the two counts.
    """
    seen = answer + reasoning
    common = seen if common is None else common
    own = TokenCounts(
        output=seen if seen or usage is not None else None,
        reasoning=reasoning or None,
        hidden=0,
        source="usage" if stated else "estimate",
    )
    if usage is None or usage.output_tokens is None:
        return own
    output = usage.output_tokens
    if output == 0 and seen:
        return _with(own, "usage_empty: the server counted 0 output tokens, yet text came; counted here")
    thought = usage.reasoning_tokens
    if thought is not None and thought > output:
        own = _with(own, f"usage_inconsistent: {thought} reasoning tokens of {output} output tokens; split ignored")
        thought = None
    if thought is None:
        return _whole(own, seen, output, common)
    return _split(own, answer, reasoning, output, thought, common)


def _with(counts: TokenCounts, *warnings: str, **changes: object) -> TokenCounts:
    return msgspec.structs.replace(counts, warnings=(*counts.warnings, *warnings), **changes)


def _whole(own: TokenCounts, seen: int, output: int, common: int) -> TokenCounts:
    """Reconcile where the server gave one total only."""
    if output < seen and not _plausible(output, seen):
        return _with(own, f"usage_too_small: the server counted {output} tokens where about {seen} were seen")
    if not _plausible(output, seen):
        unseen = output - seen
        message = f"hidden_tokens: the server counted {output} tokens, text of about {seen} came; speed is of the text"
        return _with(own, message, output=output, hidden=unseen, source="estimate")
    scale = _scale(output, seen)
    return _with(
        own,
        output=output,
        source="usage",
        scale_answer=scale,
        scale_reasoning=scale,
        reasoning=round(own.reasoning * scale) if own.reasoning else own.reasoning,
        estimate_error=common / output - 1 if seen and output else None,
    )


def _split(own: TokenCounts, answer: int, reasoning: int, output: int, thought: int, common: int) -> TokenCounts:
    """Reconcile where the server counted reasoning apart."""
    said = output - thought
    if not _plausible(said, answer):
        # Either direction: an answer count that no vocabulary explains. What was seen is the better count.
        message = f"usage_implausible: the server counted {said} answer tokens where about {answer} were seen"
        return _with(own, message, output=max(output, answer + reasoning), hidden=0, source="estimate")
    hidden = 0
    scale_reasoning = 1.0
    warnings: tuple[str, ...] = ()
    if not _plausible(thought, reasoning):
        if thought < reasoning:
            warnings = (f"usage_too_small: {thought} reasoning tokens counted where about {reasoning} were seen",)
        else:  # a summary, or nothing, was shown of the reasoning
            hidden = thought - reasoning
            warnings = (f"hidden_reasoning: {hidden} tokens were thought unseen; speed is of the visible text",)
    elif reasoning:
        scale_reasoning = _scale(thought, reasoning)
    elif thought:
        hidden = thought
    visible = output - hidden
    return _with(
        own,
        *warnings,
        output=output,
        reasoning=thought,
        hidden=hidden,
        source="usage",
        scale_answer=_scale(said, answer),
        scale_reasoning=scale_reasoning,
        estimate_error=common / visible - 1 if visible > 0 and common else None,
    )


def _within_ratio(said: int, seen: int) -> bool:
    return bool(said and seen) and 1 / PLAUSIBLE_RATIO <= said / seen <= PLAUSIBLE_RATIO


def _plausible(said: int, seen: int) -> bool:
    """Whether two counts of the same text can be explained by different vocabularies."""
    return seen - SLACK_BELOW <= said <= seen + SLACK_ABOVE or _within_ratio(said, seen)


def _scale(said: int, seen: int) -> float:
    """By what to multiply per-chunk counts; 1 where the difference is not one of vocabularies."""
    return said / seen if _within_ratio(said, seen) else 1.0
