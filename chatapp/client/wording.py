"""Figures in words: the one way in which times, speeds and counts are written on screen and in plain mode."""

from __future__ import annotations

from chatapp.stream.figures import Figures

DASH = "–"
"""Stands for a figure that is not defined."""

READING_TPS = 5.0
"""Tokens per second that people read: 238 words per minute silently in English (Brysbaert 2019, doi
10.1016/j.jml.2019.104047) at 0.75 words a token."""

LIMITS_S = (0.1, 1.0, 10.0)
"""Nielsen's three response-time limits (Usability Engineering, 1993, ch. 5): felt as instant, the flow of thought
uninterrupted, attention kept."""

_FELT = {0.1: "instant", 1.0: "in flow", 10.0: "attention kept"}


def seconds(ms: float | None) -> str:
    """Return a duration given in milliseconds, to three digits: `0.80 ms`, `420 ms`, `1.21 s`, `2:43 min`."""
    if ms is None:
        return DASH
    if ms < 9.995:
        return f"{ms:.2f} ms" if ms < 0.995 else f"{ms:.1f} ms"
    if ms < 999.5:
        return f"{ms:.0f} ms"
    if ms < 9_995:
        return f"{ms / 1e3:.2f} s"
    if ms < 99_950:
        return f"{ms / 1e3:.1f} s"
    whole = round(ms / 1e3)
    return f"{whole // 60}:{whole % 60:02d} min"


def short_seconds(ms: float | None) -> str:
    """Return a duration in at most five columns, for tables: `8.4ms`, `420ms`, `1.21s`, `12.3s`, `164s`."""
    if ms is None:
        return DASH
    if ms < 9.95:
        return f"{ms:.1f}ms"
    if ms < 999.5:
        return f"{ms:.0f}ms"
    for limit, places in ((9_995, 2), (99_950, 1)):
        if ms < limit:
            return f"{ms / 1e3:.{places}f}s"
    return f"{ms / 1e3:.0f}s"


def speed(tokens_per_s: float | None) -> str:
    """Return tokens per second without the unit: `9.87`, `98.7`, `1,983`."""
    if tokens_per_s is None:
        return DASH
    if tokens_per_s < 9.995:
        return f"{tokens_per_s:.2f}"
    return f"{tokens_per_s:.1f}" if tokens_per_s < 99.95 else f"{tokens_per_s:,.0f}"


def short_speed(tokens_per_s: float | None) -> str:
    """Return tokens per second in at most five columns, for tables: `9.87`, `1,983`, `12.3k`."""
    if tokens_per_s is None or tokens_per_s < 9_999.5:
        return speed(tokens_per_s)
    thousands = tokens_per_s / 1e3
    return f"{thousands:.1f}k" if thousands < 99.95 else f"{thousands:.0f}k"


def rounded_speed(tokens_per_s: float) -> str:
    """Return tokens per second where millions are an order of magnitude and not a measurement: `9.5M`."""
    return speed(tokens_per_s) if tokens_per_s < 999_500 else f"{tokens_per_s / 1e6:.1f}M"


def count(number: int | None, *, estimated: bool = False) -> str:
    """Return a token count, `~` in front where it is our estimate."""
    if number is None:
        return DASH
    return f"{'~' if estimated else ''}{number:,}"


def factor(ratio: float | None) -> str:
    """Return how many times faster: `6.7×`, `43×`."""
    if ratio is None:
        return DASH
    return f"{ratio:.1f}×" if ratio < 99.95 else f"{ratio:,.0f}×"


def cost(usd: float | None) -> str:
    """Return an amount in US dollars to two significant digits."""
    if usd is None:
        return DASH
    if usd == 0:
        return "$0"
    return f"${usd:.2f}" if usd >= 0.095 else f"${usd:.2g}" if usd >= 0.0001 else "<$0.0001"


def size(characters: int) -> str:
    """Return a size in bytes or characters: `812 B`, `12.3 kB`, `1.2 MB`."""
    if characters < 1000:
        return f"{characters} B"
    return f"{characters / 1e3:.1f} kB" if characters < 999_950 else f"{characters / 1e6:.1f} MB"


def limit_tag(e2e_ms: float | None, *, felt: bool = False) -> str:
    """Return which of the three response-time limits a whole answer met: `under 1 s`; nothing without a figure."""
    if e2e_ms is None:
        return ""
    for limit in LIMITS_S:
        if e2e_ms < limit * 1000:
            return f"under {limit:g} s" + (f" · {_FELT[limit]}" if felt else "")
    return "over 10 s" + (" · attention lost" if felt else "")


def footer(figures: Figures, *, simulated_note: str = "", usd: float | None = None) -> str:
    """Return the line that stands under an answer for good."""
    parts = []
    if figures.output_speed_tps is not None:
        parts.append(f"{speed(figures.output_speed_tps)} tok/s")
    if figures.ttft_ms is not None:
        parts.append(f"TTFT {seconds(figures.ttft_ms)}")
    if figures.e2e_ms is not None:
        parts.append(seconds(figures.e2e_ms))
    if figures.output_tokens is not None:
        tokens = count(figures.output_tokens, estimated=figures.token_count_source == "estimate")
        parts.append(f"{tokens} tokens")
    if usd is not None:
        parts.append(cost(usd))
    if simulated_note:
        parts.append(simulated_note)
    return " · ".join(parts)
