"""The backend switcher: what it offers, in which order, and one server's models alone."""

import pytest
from textual.color import Color

from chatapp.protocol.responses import ModelListing
from chatapp.ui.screens.switcher import Switcher, listing_items
from tests.ui.screens.test_chat import chat, choose, send, settle
from tests.ui.scripted import ScriptedConnection
from tests.ui.test_theme import contrast

MACHINE = "On this machine"
LISTINGS = (
    ModelListing("local", "Local", kind="local", group=MACHINE),
    ModelListing("sim:cs3/kimi-k2.6", "CS-3", kind="simulated", group="Simulated hardware"),
    ModelListing("groq/x", "Groq", kind="live", ready=False, why_not="GROQ_API_KEY is not set", group="Providers"),
    ModelListing("ollama/a", "Ollama · a", kind="live", group=MACHINE),
    ModelListing("ollama/b", "Ollama · b", kind="live", group=MACHINE),
)


@pytest.fixture
def make_switching_app(make_app, clock):
    def make(backend: str):
        return make_app(connections=[ScriptedConnection([[]], clock, listings=LISTINGS)], backend=backend)

    return make


def offered(app) -> list[str]:
    assert isinstance(app.screen, Switcher)
    return [item.value for item in app.screen.items]


def test_servers_found_on_this_machine_stand_with_its_own_model():
    items = listing_items(LISTINGS)
    assert [item.value for item in items] == ["local", "ollama/a", "ollama/b", "sim:cs3/kimi-k2.6", "groq/x"]
    groups = [item.group for item in items]
    assert groups == sorted(groups, key=groups.index)  # each group once, in one piece


async def test_a_bare_server_name_at_the_start_offers_its_models_alone(make_switching_app):
    app = make_switching_app("ollama")
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.pause(0.2)
        assert offered(app) == ["ollama/a", "ollama/b"]
        assert app.screen.heading == "Which model of ollama?"
        await choose(pilot, "down")
        assert app.session.backend == "ollama/b"


async def test_a_bare_server_name_by_command_offers_its_models_or_is_completed(make_switching_app):
    app = make_switching_app("local")
    async with app.run_test(size=(100, 30)) as pilot:
        await settle(pilot)
        await send(pilot, "/backend ollama")
        assert offered(app) == ["ollama/a", "ollama/b"]
        await pilot.press("escape")
        await settle(pilot)
        assert app.session.backend == "local"
        await send(pilot, "/backend groq")
        assert app.screen is chat(app)
        assert app.session.backend == "groq/x"


@pytest.mark.parametrize("theme", ["chatapp-dark", "chatapp-light", "chatapp-contrast"])
async def test_the_chosen_row_can_be_read(make_app, theme):
    app = make_app(theme=theme)
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.pause(0.1)
        await pilot.press("f2")
        await pilot.pause(0.2)
        style = app.screen.query_one("#picker-list").get_visual_style("option-list--option-highlighted")
        text = Color.parse(app.theme_variables["foreground"])  # what the rows' own spans use
        assert contrast(text, style.background) >= 4.5


async def test_the_chosen_row_is_told_apart_without_colours(make_app, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    app = make_app()
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.pause(0.1)
        await pilot.press("f2")
        await pilot.pause(0.2)
        chosen = app.screen.query_one("#picker-list")
        style = chosen.get_visual_style("option-list--option-highlighted")
        assert style.underline
        assert not chosen.get_visual_style("option-list--option").underline
