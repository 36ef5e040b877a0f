"""The page that sets smaller models on GPUs against the full one on wafers."""

import datetime
import re

import pytest
from textual.widgets import Static

from chatapp.errors import UsageError
from chatapp.hardware.small_or_fast import tradeoff
from chatapp.ui.screens.chat import ChatScreen
from chatapp.ui.screens.small_or_fast import SmallOrFastScreen, tradeoff_lines
from tests.ui.screens.test_chat import send, settle

TODAY = datetime.date(2026, 11, 24)


def page(app) -> str:
    return str(app.screen.query_one("#sheet-text", Static).render())


async def open_page(pilot):
    await send(pilot, "/small-or-fast")
    assert isinstance(pilot.app.screen, SmallOrFastScreen)
    await pilot.app.workers.wait_for_complete()
    await pilot.pause()


async def test_the_page_opens_by_its_command_and_closes(make_app):
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await open_page(pilot)
        text = page(app)
        assert "15 × CS-3  Kimi K2.6" in text
        assert "The bar for size" in text
        await pilot.press("escape")
        assert isinstance(await settle(pilot), ChatScreen)
        assert isinstance(app.screen, ChatScreen)


async def test_facts_of_the_users_own_that_make_it_impossible_are_told(make_app, monkeypatch):
    def broken():
        raise UsageError("the model does not fit", hint="own.toml says so")

    monkeypatch.setattr("chatapp.hardware.small_or_fast.tradeoff", broken)
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await open_page(pilot)
        assert "the model does not fit own.toml says so" in page(app)


@pytest.mark.parametrize("width", [40, 70, 140])
def test_every_line_fits_and_every_row_stands_with_speed_quality_price_and_date(width):
    found = tradeoff()
    lines = [line.plain for line in tradeoff_lines(found, width, TODAY)]
    assert max(len(line) for line in lines) <= width
    text = " ".join(" ".join(lines).split())
    for kind in ("small", "distilled", "quantized", "full"):
        assert f"{kind} · " in text
    assert "SWE-bench Verified 80.2 % (2026-04 †)" in text
    assert "GPQA Diamond –" in text
    assert "M tokens out –" in text
    assert "CUDA: " in text
    assert "graph compiler" in text
    assert "† older than 180 days" in text


def test_bars_are_to_scale():
    found = tradeoff()
    plain = [line.plain for line in tradeoff_lines(found, 120, TODAY)]
    bars = [line.count("█") for line in plain if re.search(r"^\d+ × .* tok/s ", line)]
    speeds = [row.prediction.speed.value for row in found.rows]
    full = max(bars)
    assert full > 30
    assert bars == pytest.approx([full * speed / max(speeds) for speed in speeds], abs=1)
