"""From an exchange to what the panel shows of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chatapp.client import wording
from chatapp.ui.widgets.metrics_panel import PanelView

if TYPE_CHECKING:
    from chatapp.client.exchange import Exchange


def panel_view(exchange: Exchange) -> PanelView:
    """Return what the panel shows of an exchange now."""
    answer = exchange.answer
    info = answer.info
    now = exchange.session.clock.now_ns()
    snapshot = answer.snapshot(now)
    waiting = answer.outcome is None and snapshot.ttft_ms is None
    note = exchange.progress or exchange.note or ("on this machine" if info.kind == "local" else info.provider)
    return PanelView(
        label=info.label,
        kind=info.kind,
        note=note,
        snapshot=snapshot,
        stopwatch_ms=(now - exchange.entered_ns) / 1e6 if waiting else None,
        extra=panel_details(info.detail),
        usd=exchange.session.price(exchange.answered_by, snapshot.input_tokens, snapshot.output_tokens),
    )


def panel_details(detail: dict[str, str | float]) -> tuple[tuple[str, str], ...]:
    """Return what a backend says of itself that belongs beside the figures: its physical limit and what bounds it."""
    rows: list[tuple[str, str]] = []
    if detail.get("pace", "model") != "model":
        rows.append(
            ("pace", "claim played back")
        )  # as wide as the narrowest panel: the figure is the vendor's, not ours
    limit = detail.get("limit_tps")
    if isinstance(limit, (int, float)):
        rows.append(("limit", f"{wording.rounded_speed(float(limit))} tok/s"))
    bound = detail.get("dominant")
    if isinstance(bound, str) and bound:
        rows.append(("bound by", bound))
    claim = detail.get("claim")
    if claim is not None:
        # The model's figure stands beside a claim it has not seen; F7 says so in a sentence.
        rows.append(("claim", str(claim).partition(";")[0] + " tok/s"))
    figures = [detail.get(f"predicted{part}_tps") for part in ("", "_low", "_high")]
    if all(isinstance(figure, (int, float)) for figure in figures):
        middle, low, high = (wording.speed(float(figure)) for figure in figures if figure is not None)
        rows.append(("model", f"{middle} ({low}–{high})"))
    return tuple(rows)
