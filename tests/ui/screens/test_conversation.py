"""The conversation screen by its keys: what a person types, sees, cancels, and keeps."""

import pytest

from chatapp.client.link import FixedLink
from chatapp.clock import MonotonicClock
from chatapp.errors import BackendError, GatewayError
from chatapp.stream.events import Delta, Failed, Finished, Notice, Sent
from chatapp.ui.screens.chat import ChatScreen
from chatapp.ui.widgets.hint_bar import HintBar
from chatapp.ui.widgets.metrics_panel import MetricsPanel
from chatapp.ui.widgets.scoreboard import Scoreboard
from chatapp.ui.widgets.stream_pane import StreamPane
from tests.gateway.scripted import TOKEN, ScriptedBackend, echo, now, serving
from tests.ui.conftest import TEXT
from tests.ui.scripted import MS, ScriptedConnection, paced

SIZE = (80, 24)


async def settle(pilot) -> ChatScreen:
    """Let workers and frames come to rest and return the chat screen."""
    await pilot.pause()
    await pilot.app.workers.wait_for_complete()
    await pilot.pause(0.05)
    await pilot.pause()
    return next(screen for screen in pilot.app.screen_stack if isinstance(screen, ChatScreen))


async def send(pilot, text: str) -> ChatScreen:
    screen = next(screen for screen in pilot.app.screen_stack if isinstance(screen, ChatScreen))
    screen.prompt_box.text = text
    await pilot.press("enter")
    return await settle(pilot)


def panel(screen: ChatScreen) -> str:
    return screen.query_one(MetricsPanel).render().plain


def shown(screen: ChatScreen) -> str:
    """Return all rows that are painted."""
    app = screen.app
    return "\n".join("".join(segment.text for segment in line) for line in app.screen._compositor.render_strips())


async def test_a_prompt_is_answered_measured_and_saved(make_app):
    app = make_app()
    async with app.run_test(size=SIZE) as pilot:
        screen = await send(pilot, "hello there")
        assert screen.pane.answers == [TEXT]
        assert "980" in panel(screen) or "979" in panel(screen)
        assert "420 ms" in panel(screen)
        assert "under 1 s" in panel(screen)
        assert screen.query_one(Scoreboard).display
        turn = app.session.conversation.last
        assert (turn.text, turn.outcome, turn.kind) == (TEXT, "done", "simulated")
        assert "TTFT 420 ms" in turn.footer
        assert screen.prompt_box.text == ""
        loaded = app.session.saver.load()
        assert loaded.turns[1].text == TEXT


async def test_the_second_prompt_carries_the_first(make_app):
    app = make_app()
    async with app.run_test(size=SIZE) as pilot:
        await send(pilot, "one")
        await send(pilot, "two")
        request = app.session.link.connections[0].requests[1]
        assert [message.content for message in request.input] == ["two"]
        assert request.previous_response_id == "resp_1"
        assert request.model == "sim:cs3/kimi-k2.6"


async def test_a_stopwatch_runs_from_enter_and_the_figures_stay_afterwards(make_app, clock):
    app = make_app([[Sent(clock.now)]], hold=True)
    async with app.run_test(size=SIZE) as pilot:
        screen = app.screen
        await pilot.pause()
        screen = next(s for s in app.screen_stack if isinstance(s, ChatScreen))
        screen.prompt_box.text = "hello"
        await pilot.press("enter")
        await pilot.pause()
        clock.now += 1234 * MS
        screen.refresh_figures()
        assert "1.23 s …" in panel(screen)
        assert "to the first token" in panel(screen)
        await pilot.press("escape")
        await settle(pilot)
        assert not screen.streaming


async def test_escape_cancels_and_keeps_the_partial_answer_marked(make_app, clock):
    script = paced("half an answer", start_ns=clock.now, ttft_ms=100, tps=100, end=False)
    app = make_app([script], hold=True)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause()
        screen = next(s for s in app.screen_stack if isinstance(s, ChatScreen))
        screen.prompt_box.text = "hello"
        await pilot.press("enter")
        await pilot.pause(0.05)
        assert screen.streaming
        assert "cancel" in str(screen.query_one(HintBar).render())
        await pilot.press("escape")
        screen = await settle(pilot)
        turn = app.session.conversation.last
        assert (turn.text, turn.outcome) == ("half an answer", "cancelled")
        assert app.session.link.connections[0].cancelled == 1
        assert "cancelled · partial answer" in shown(screen)
        assert not screen.query_one(Scoreboard).display


async def test_typing_goes_on_while_an_answer_comes_and_enter_keeps_the_prompt(make_app, clock):
    app = make_app([[Sent(clock.now)]], hold=True)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause()
        screen = next(s for s in app.screen_stack if isinstance(s, ChatScreen))
        screen.prompt_box.text = "one"
        await pilot.press("enter")
        await pilot.pause()
        await pilot.press("t", "w", "o", "enter")
        await pilot.pause()
        assert screen.prompt_box.text == "two"
        assert len(app.session.conversation.turns) == 1
        await screen.cancel_answer()


async def test_a_failure_is_a_message_with_what_to_do_and_the_prompt_comes_back(make_app, clock):
    failed = [Sent(clock.now), Failed(clock.now, "auth", "the key was refused \x1b[31m", hint="check CEREBRAS_API_KEY")]
    app = make_app([failed], backend="cerebras/gpt-oss-120b")
    async with app.run_test(size=(100, 30)) as pilot:
        screen = await send(pilot, "hello")
        assert "the key was refused" in shown(screen)
        assert "check CEREBRAS_API_KEY" in shown(screen)
        assert screen.prompt_box.text == "hello"
        assert app.session.conversation.last.outcome == "failed"


@pytest.mark.parametrize(
    "error", [GatewayError("the gateway ended", hint="see the log"), BackendError("unreachable", "refused")]
)
async def test_an_error_of_the_connection_is_told_like_a_failure(make_app, clock, error):
    app = make_app([[Sent(clock.now), Delta("some text", clock.now + MS), error]])
    async with app.run_test(size=(100, 30)) as pilot:
        screen = await send(pilot, "hello")
        assert app.session.conversation.last.text == "some text"
        assert app.session.conversation.last.outcome == "failed"
        assert "what came is kept" in shown(screen)


async def test_a_fallbacks_answer_is_shown_and_scored_under_its_own_name(make_app):
    async def fails(request):
        yield Sent(now())
        yield Failed(now(), "server_error", "out of order")

    asked, other = ScriptedBackend(fails, "asked"), ScriptedBackend(echo, "other")
    async with serving(asked, other, fallback="other") as (_gateway, url):
        app = make_app(backend="asked")
        app.session.link, app.session.clock = FixedLink(url, TOKEN), MonotonicClock()
        async with app.run_test(size=(120, 40)) as pilot:
            screen = await send(pilot, "hello")
            assert screen.pane.answers == ["1 messages: hello"]
            assert "asked did not answer (server_error: out of order;" in shown(screen)
            assert "fallback for asked" in shown(screen)
            assert "Other" in panel(screen)
            assert "fallback for asked" in panel(screen)
            assert "Other" in screen.query_one(Scoreboard).render().plain
            assert "fallback for asked" in app.session.conversation.last.footer


async def test_a_lost_gateway_is_said_and_the_next_prompt_starts_it_again(make_app, clock):
    lost = ScriptedConnection([[Sent(clock.now), Delta("before ", clock.now + MS), GatewayError("gone")]], clock)
    fresh = ScriptedConnection([paced(TEXT, start_ns=clock.now, ttft_ms=10, tps=100)], clock)
    app = make_app(connections=[lost, fresh])
    async with app.run_test(size=(100, 30)) as pilot:
        screen = await send(pilot, "one")
        assert "the next prompt starts the gateway again" in shown(screen)
        assert lost.closed
        screen = await send(pilot, "two")
        assert screen.pane.answers[-1] == TEXT
        assert app.session.link.opened == 2


async def test_a_gateway_that_cannot_be_started_is_said_at_once(make_app, clock):
    app = make_app(connections=[GatewayError("cannot start", hint="see the log")])
    async with app.run_test(size=(100, 30)) as pilot:
        await settle(pilot)
        assert any("cannot start" in notification.message for notification in app._notifications)


async def test_the_second_backend_tells_the_first_ones_answer_and_says_so(make_app, clock):
    told = [Sent(clock.now), Delta("as told", clock.now + MS, tokens=2), Finished(clock.now + 2 * MS)]
    app = make_app([paced(TEXT, start_ns=clock.now, ttft_ms=100, tps=55), told], backend="local")
    async with app.run_test(size=(100, 30)) as pilot:
        await send(pilot, "why?")
        await pilot.press("f3")
        screen = await settle(pilot)
        request = app.session.link.connections[0].requests[1]
        assert (request.retell.text, request.retell.source) == (TEXT, "Gemma 3 270M")
        assert request.model == "sim:cs3/kimi-k2.6"
        assert "text: Gemma 3 270M, timing: simulated" in app.session.conversation.last.footer
        assert "text: Gemma 3 270M" in panel(screen)
        assert "timing: simulated" in panel(screen)
        assert app.session.conversation.last.told == "Gemma 3 270M"
        app.session.backend = "sim:h100x16/kimi-k2.6"
        await send(pilot, "why?")
        assert app.session.link.connections[0].requests[2].retell.text == TEXT


async def test_the_screen_says_where_a_simulated_text_comes_from_and_when_none_fits(make_app, clock):
    notices = [
        Sent(clock.now),
        Notice("text_source", "nearest bundled answer: CS-2 and CS-3"),
        Notice("no_match", "no bundled answer fits"),
        Finished(clock.now + MS),
    ]
    app = make_app([notices])
    async with app.run_test(size=(120, 40)) as pilot:
        screen = await send(pilot, "hello")
        assert "nearest bundled answer" in shown(screen)
        assert "No bundled answer fits" in shown(screen)
        await pilot.press("1")
        await settle(pilot)
        assert app.session.conversation.last.prompt == screen.starters[0].prompt


async def test_progress_before_the_first_text_is_shown_in_the_panel(make_app, clock):
    app = make_app([[Notice("progress", "loading model", 0.4), Sent(clock.now)]], backend="local", hold=True)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause()
        screen = next(s for s in app.screen_stack if isinstance(s, ChatScreen))
        screen.prompt_box.text = "hello"
        await pilot.press("enter")
        await pilot.pause(0.05)
        screen.refresh_figures()
        assert "loading model 40%" in panel(screen)
        await screen.cancel_answer()


class TestEmptyChat:
    async def test_it_names_the_uses_and_what_is_behind(self, make_app):
        app = make_app()
        async with app.run_test(size=SIZE) as pilot:
            screen = await settle(pilot)
            text = shown(screen)
            for words in ("CS-3 · Kimi K2.6", "simulated", "compare", "demo", "Press 1 to 4"):
                assert words in text

    async def test_a_digit_begins_a_starter_only_while_the_prompt_is_empty(self, make_app):
        app = make_app()
        async with app.run_test(size=SIZE) as pilot:
            screen = await settle(pilot)
            await pilot.press("x", "2")
            assert screen.prompt_box.text == "x2"
            await pilot.press("backspace", "backspace", "2")
            await settle(pilot)
            assert app.session.conversation.path[0].prompt == screen.starters[1].prompt

    async def test_a_starter_can_be_clicked(self, make_app):
        app = make_app()
        async with app.run_test(size=SIZE) as pilot:
            screen = await settle(pilot)
            row = next(y for y, line in enumerate(shown(screen).split("\n")) if "science" in line)
            await pilot.click(offset=(10, row))
            await settle(pilot)
            assert app.session.conversation.path[0].prompt == screen.starters[2].prompt

    async def test_a_ready_service_is_mentioned_and_never_chosen_by_itself(self, make_app, clock):
        from chatapp.protocol.responses import ModelListing
        from tests.ui.scripted import LISTINGS

        ready = ModelListing("cerebras/x", "Cerebras · x", "Cerebras", "x", "live")
        connection = ScriptedConnection([[]], clock, listings=(*LISTINGS, ready))
        app = make_app(connections=[connection])
        async with app.run_test(size=SIZE) as pilot:
            screen = await settle(pilot)
            assert "Cerebras is ready too: F2" in shown(screen)
            assert app.session.backend == "sim:cs3/kimi-k2.6"


class TestLayout:
    @pytest.mark.parametrize(("width", "panel_width"), [(60, 0), (72, 24), (80, 24), (120, 32), (200, 38)])
    async def test_the_panel_is_there_from_72_columns(self, make_app, width, panel_width):
        app = make_app()
        async with app.run_test(size=(width, 24)) as pilot:
            screen = await settle(pilot)
            side = screen.query_one("#side")
            assert (side.outer_size.width if side.display else 0) == panel_width

    async def test_a_key_folds_it(self, make_app):
        app = make_app()
        async with app.run_test(size=SIZE) as pilot:
            screen = await settle(pilot)
            await pilot.press("f8")
            await settle(pilot)
            assert not screen.query_one("#side").display
            assert "CS-3" in shown(screen).split("\n")[0]

    @pytest.mark.parametrize("size", [(1, 1), (10, 3), (20, 60), (300, 80)])
    async def test_no_size_breaks_it(self, make_app, size):
        app = make_app()
        async with app.run_test(size=size) as pilot:
            await send(pilot, "hello")
            await pilot.resize_terminal(40, 10)
            await pilot.resize_terminal(*size)
            screen = await settle(pilot)
            assert screen.pane.answers == [TEXT]

    @pytest.mark.parametrize("theme", ["chatapp-dark", "chatapp-light", "chatapp-contrast", "ansi"])
    async def test_every_theme_can_be_worn(self, make_app, theme):
        app = make_app(theme=theme)
        async with app.run_test(size=SIZE) as pilot:
            await send(pilot, "hello")
            assert app.theme == theme

    async def test_no_color_means_the_terminals_own_colours(self, make_app, monkeypatch):
        monkeypatch.setenv("NO_COLOR", "1")
        app = make_app()
        async with app.run_test(size=SIZE) as pilot:
            screen = await send(pilot, "hello")
            assert app.theme == "ansi"
            assert TEXT.split()[0] in shown(screen)
            styles = [s.style for line in screen._compositor.render_strips() for s in line if s.style]
            assert {c.name for style in styles for c in (style.color, style.bgcolor) if c} <= {"default"}


async def test_a_draft_survives_the_end_of_the_app(make_app):
    app = make_app()
    async with app.run_test(size=SIZE) as pilot:
        screen = await settle(pilot)
        screen.prompt_box.text = "half a thought"
        await pilot.pause()
        screen._keep_draft()
    again = make_app()
    async with again.run_test(size=SIZE) as pilot:
        screen = await settle(pilot)
        assert screen.prompt_box.text == "half a thought"


async def test_a_file_is_taken_in_after_its_size_was_said(make_app, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("some notes")
    app = make_app()
    async with app.run_test(size=SIZE) as pilot:
        screen = await send(pilot, "read @notes.txt")
        assert "@notes.txt 10 B" in str(screen.query_one(HintBar).render())
        assert not app.session.conversation.turns
        await pilot.press("enter")
        await settle(pilot)
        assert "some notes" in app.session.conversation.last.prompt


async def test_a_binary_file_is_refused_and_the_prompt_kept(make_app, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.bin").write_bytes(b"\0\1")
    app = make_app()
    async with app.run_test(size=SIZE) as pilot:
        screen = await send(pilot, "read @a.bin")
        assert screen.prompt_box.text == "read @a.bin"
        assert any("binary" in notification.message for notification in app._notifications)


async def test_an_answer_at_20_000_tokens_per_second_costs_no_message_per_token(make_app, clock):
    messages: list[object] = []
    app = make_app([paced("word " * 20_000 + "end", start_ns=clock.now, ttft_ms=10, tps=20_000)])
    async with app.run_test(size=SIZE, message_hook=messages.append) as pilot:
        screen = await send(pilot, "go")
        assert len(screen.pane.answers[0].split()) == 20_001
    assert len(messages) < 2_000


async def test_leaving_stops_the_answer_and_saves(make_app, clock):
    app = make_app([paced("half", start_ns=clock.now, ttft_ms=1, tps=9, end=False)], hold=True)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause()
        screen = next(s for s in app.screen_stack if isinstance(s, ChatScreen))
        screen.prompt_box.text = "hello"
        await pilot.press("enter")
        await pilot.pause(0.05)
        await pilot.press("ctrl+q")
        await pilot.pause(0.1)
    assert app.session.saver.load().turns[1].outcome == "cancelled"


async def test_the_pane_is_the_one_made_for_speed(make_app):
    app = make_app()
    async with app.run_test(size=SIZE) as pilot:
        screen = await settle(pilot)
        assert isinstance(screen.pane, StreamPane)


async def test_what_keeps_a_chat_from_being_saved_is_said_after_the_answer_and_so_is_its_end(make_app, clock):
    app = make_app([paced(TEXT, start_ns=clock.now, ttft_ms=1, tps=900)], hold=True)
    app.session.saver.enabled = False  # what it says here is this test's
    async with app.run_test(size=(110, 40)) as pilot:
        await pilot.pause()
        screen = app.screen
        screen.prompt_box.text = "hello"
        await pilot.press("enter")
        await pilot.pause(0.1)
        app.session.saver.problem = "not saved: database or disk is full (make room)"
        screen.watch_saving()
        await pilot.pause()
        assert "not saved" in shown(screen).splitlines()[0]
        assert "database or disk is full" not in shown(screen)  # not in the middle of an answer
        app.session.link.connections[0].gate.set()
        await app.workers.wait_for_complete()
        await settle(pilot)
        text = " ".join(shown(screen).split())
        assert text.index("database or disk is full (make room)") > text.index("A short answer, told")
        app.session.saver.problem = ""
        screen.watch_saving()
        await settle(pilot)
        assert "not saved" not in shown(screen).splitlines()[0]
        assert "saved again: nothing is missing" in shown(screen)


async def test_the_list_of_conversations_says_when_the_file_was_damaged(make_app, tmp_path):
    app = make_app()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "conversations.db").write_bytes(b"\x7fgarbage" * 999)
    async with app.run_test(size=(100, 30)) as pilot:
        await settle(pilot)
        await pilot.press("ctrl+o")
        await pilot.pause(0.3)
        assert "was damaged; it is kept as" in str(app.screen.query_one("#picker-hint").render())
        await pilot.press("escape")
        await send(pilot, "hello")
        await app.workers.wait_for_complete()
        assert [entry.title for entry in app.session.saver.entries()] == ["hello"]
    assert len(list((tmp_path / "data").glob("*.broken-*"))) == 1


async def drag(pilot, start, end):
    """Select with the left button from one cell of the pane to another."""
    await pilot.mouse_down("#pane", offset=start)
    middle = ((start[0] + end[0]) // 2, (start[1] + end[1]) // 2)
    for place in (middle, end):
        await pilot.hover("#pane", offset=place)
        await pilot.pause()
    await pilot.mouse_up("#pane", offset=end)
    await pilot.pause()


NUMBERED = "\n\n".join(f"paragraph {number} of many" for number in range(100, 160))


async def test_a_selection_by_mouse_is_copied_by_key(make_app, clock, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    app = make_app([paced(NUMBERED, start_ns=clock.now, ttft_ms=1, tps=900)])
    async with app.run_test(size=SIZE) as pilot:
        screen = await send(pilot, "hello")
        rows = [line[4:].rstrip() for line in shown(screen).splitlines()]
        pane = screen.pane
        row = next(y for y in range(4, 9) if rows[pane.region.y + y].startswith("paragraph"))
        first = rows[pane.region.y + row].split("  ")[0]
        await drag(pilot, (4, row), (4 + 9, row + 2))
        await pilot.press("ctrl+c")
        await settle(pilot)
        assert app.clipboard.startswith(f"{first}\n\nparagraph")
        assert "Copied selection: " in "".join(note.message for note in app._notifications)
        assert (tmp_path / "state" / "copied.txt").read_text() == app.clipboard
        await pilot.press("pageup")  # over text that was scrolled to
        pane.scroll_page_up(animate=False)
        await settle(pilot)
        await drag(pilot, (4, row), (4 + 9, row + 2))
        await pilot.press("ctrl+c")
        await settle(pilot)
        assert app.clipboard.startswith("paragraph 1")
        assert not app.clipboard.startswith(first)


async def test_a_selection_stays_on_its_text_while_more_streams_in(make_app, clock):
    app = make_app([paced(NUMBERED, start_ns=clock.now, ttft_ms=1, tps=900)], hold=True)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause()
        screen = app.screen
        screen.prompt_box.text = "hello"
        await pilot.press("enter")
        await pilot.pause(0.2)
        screen.pane.scroll_page_up(animate=False)
        await pilot.pause(0.1)
        await drag(pilot, (4, 6), (20, 10))
        before = screen.get_selected_text()
        top = screen.pane.top
        assert before
        for number in range(50):
            screen.pane.write(f"\n\nmore {number}")
        await pilot.pause(0.2)
        assert screen.get_selected_text() == before
        assert screen.pane.top == top
        await pilot.press("ctrl+c")
        await pilot.pause()
        assert app.clipboard == before
        await screen.cancel_answer()
