"""The commands: by key, by slash, by palette."""

import json

import pytest
from textual.widgets import Input

from chatapp.errors import GatewayError
from chatapp.recording.reader import Recording
from chatapp.ui.screens.chat import ChatScreen
from chatapp.ui.screens.detail import DetailScreen
from chatapp.ui.screens.help import HelpScreen
from chatapp.ui.screens.picker import Picker
from chatapp.ui.screens.sessions import SessionsScreen
from chatapp.ui.screens.settings import SettingsScreen
from chatapp.ui.screens.switcher import Switcher
from chatapp.ui.screens.why import WhyScreen
from tests.ui.conftest import TEXT
from tests.ui.scripted import ScriptedConnection, paced

SIZE = (100, 30)


def chat(app) -> ChatScreen:
    return next(screen for screen in app.screen_stack if isinstance(screen, ChatScreen))


async def settle(pilot) -> ChatScreen:
    await pilot.pause(0.1)
    await pilot.pause()
    return chat(pilot.app)


async def send(pilot, text: str) -> ChatScreen:
    await pilot.pause()
    chat(pilot.app).prompt_box.text = text
    await pilot.press("enter")
    return await settle(pilot)


def shown(screen: ChatScreen) -> str:
    """Return all rows that are painted."""
    return "\n".join("".join(segment.text for segment in line) for line in screen._compositor.render_strips())


def said(app) -> str:
    return "\n".join(notification.message for notification in app._notifications)


async def choose(pilot, *keys: str) -> ChatScreen:
    """Press keys in a chooser that is open, then Enter."""
    await pilot.pause(0.05)
    await pilot.press(*keys, "enter")
    return await settle(pilot)


async def test_the_switcher_changes_what_answers_in_mid_conversation(make_app):
    app = make_app()
    async with app.run_test(size=SIZE) as pilot:
        await send(pilot, "one")
        await pilot.press("f2")
        await pilot.pause(0.1)
        assert isinstance(app.screen, Switcher)
        await choose(pilot, *"h100")
        assert app.session.backend == "sim:h100x16/kimi-k2.6"
        await send(pilot, "two")
        assert app.session.link.connections[0].requests[-1].model == "sim:h100x16/kimi-k2.6"
        assert len(app.session.conversation.path) == 2


async def test_what_is_not_ready_cannot_be_chosen_and_says_why(make_app):
    app = make_app()
    async with app.run_test(size=SIZE) as pilot:
        await settle(pilot)
        await pilot.press("f2")
        await pilot.pause(0.1)
        screen = app.screen
        await pilot.press(*"groq")
        await pilot.pause()
        assert screen.highlighted is None
        item = next(item for item in screen.items if item.value.startswith("groq"))
        assert "GROQ_API_KEY is not set" in item.title.plain


async def test_a_name_that_is_not_listed_can_be_typed(make_app):
    app = make_app()
    async with app.run_test(size=SIZE) as pilot:
        await settle(pilot)
        await pilot.press("f2")
        await pilot.pause(0.1)
        app.screen.query_one(Input).value = "recording:run.tokcast"
        await choose(pilot)
        assert app.session.backend == "recording:run.tokcast"


async def test_slash_commands_do_what_keys_do(make_app):
    app = make_app()
    async with app.run_test(size=SIZE) as pilot:
        await send(pilot, "/backend local")
        assert app.session.backend == "local"
        await send(pilot, "/backend gemna")
        assert "nearest: Gemma" in said(app) or "unknown backend" in said(app)
        screen = await send(pilot, "/retrry")
        assert "no command /retrry; nearest: /retry" in said(app)
        assert screen.prompt_box.text == "/retrry"  # to be mended
        await send(pilot, "/BACKEND sim:cs3/kimi-k2.6")
        assert app.session.backend == "sim:cs3/kimi-k2.6"
        assert not app.session.conversation.turns


async def test_half_a_slash_command_shows_what_it_may_become_and_tab_completes(make_app):
    app = make_app()
    async with app.run_test(size=SIZE) as pilot:
        await settle(pilot)
        await pilot.press("/", "e", "x")
        await pilot.pause()
        screen = chat(app)
        assert "/export FILE" in str(screen.query_one("#hints").render())
        await pilot.press("tab")
        assert screen.prompt_box.text == "/export"


async def test_the_palette_runs_commands(make_app):
    app = make_app()
    async with app.run_test(size=SIZE) as pilot:
        await settle(pilot)
        await pilot.press("ctrl+p")
        await pilot.pause(0.1)
        assert isinstance(app.screen, Picker)
        await choose(pilot, *"keys")
        assert isinstance(app.screen, HelpScreen)
        await pilot.press("escape")
        await settle(pilot)
        assert isinstance(app.screen, ChatScreen)


async def test_asking_again_is_a_branch_and_branches_can_be_walked(make_app, clock):
    scripts = [paced(f"answer {n}", start_ns=clock.now, ttft_ms=10, tps=100) for n in (1, 2)]
    app = make_app(scripts)
    async with app.run_test(size=SIZE) as pilot:
        await send(pilot, "one")
        await pilot.press("f5")
        screen = await settle(pilot)
        assert screen.pane.answers == ["answer 2"]
        await pilot.press("alt+left")
        await settle(pilot)
        assert app.session.conversation.last.text == "answer 1"
        assert [turn.text for turn in app.session.saver.load().turns.values()] == ["answer 1", "answer 2"]


async def test_an_earlier_prompt_is_edited(make_app):
    app = make_app()
    async with app.run_test(size=SIZE) as pilot:
        await send(pilot, "first")
        await send(pilot, "second")
        await pilot.press("ctrl+up")
        await choose(pilot, *"first")
        assert chat(app).prompt_box.text == "first"
        assert app.session.conversation.path == []
        await send(pilot, "first, better")
        assert [turn.prompt for turn in app.session.conversation.path] == ["first, better"]
        assert len(app.session.conversation.turns) == 3


async def test_a_new_conversation_and_back_to_the_old_one(make_app):
    app = make_app()
    async with app.run_test(size=SIZE) as pilot:
        await send(pilot, "about cats")
        await pilot.press("ctrl+n")
        await settle(pilot)
        assert app.session.conversation.path == []
        await send(pilot, "about dogs")
        await pilot.press("ctrl+o")
        await pilot.pause(0.2)
        assert isinstance(app.screen, SessionsScreen)
        await pilot.press(*"cats")
        await pilot.pause(0.3)
        await choose(pilot)
        assert app.session.conversation.title == "about cats"
        assert chat(app).pane.answers == [TEXT]


async def test_conversations_are_deleted_brought_back_and_renamed(make_app):
    app = make_app()
    async with app.run_test(size=SIZE) as pilot:
        await send(pilot, "about cats")
        await pilot.press("ctrl+o")
        await pilot.pause(0.2)
        await pilot.press("ctrl+d")
        await pilot.pause(0.3)
        assert app.screen.items == []
        await pilot.press("ctrl+z")
        await pilot.pause(0.3)
        assert len(app.screen.items) == 1
        await pilot.press("ctrl+e")
        await pilot.pause()
        app.screen.query_one(Input).value = "Felines"
        await pilot.press("enter")
        await pilot.pause(0.3)
        assert app.screen.items[0].search == "Felines"
        await pilot.press("escape")
        await settle(pilot)
        assert isinstance(app.screen, ChatScreen)
        assert "Felines" in app.screen._top_line().plain
        await send(pilot, "more")
        assert [entry.title for entry in app.session.saver.entries()] == ["Felines"]


async def test_export_and_import(make_app, tmp_path):
    app = make_app()
    path = tmp_path / "talk.json"
    async with app.run_test(size=SIZE) as pilot:
        await send(pilot, "hello")
        await send(pilot, "/title Greetings")
        await send(pilot, f"/export {path}")
        assert json.loads(path.read_text())["title"] == "Greetings"
        await send(pilot, "/new")
        await send(pilot, f"/import {path}")
        assert app.session.conversation.title == "Greetings"
        assert len(app.session.saver.entries()) == 2
        await send(pilot, "/import nothing.json")


async def test_system_prompts_travel_with_the_request(make_app, tmp_path):
    folder = tmp_path / "config" / "prompts" / "systems"
    folder.mkdir(parents=True)
    (folder / "terse.md").write_text("---\ndescription: Says little.\n---\nAnswer in one word.\n")
    app = make_app()
    async with app.run_test(size=SIZE) as pilot:
        await send(pilot, "/system terse")
        await send(pilot, "hello")
        assert app.session.link.connections[0].requests[0].instructions == "Answer in one word."
        await send(pilot, "/system ters")


async def test_the_menu_of_system_prompts_shows_what_they_say_of_themselves(make_app, tmp_path):
    folder = tmp_path / "config" / "prompts" / "systems"
    folder.mkdir(parents=True)
    (folder / "terse.md").write_text("---\ndescription: Says little.\n---\nAnswer in one word.\n")
    (folder / "torn.md").write_text("---\ndescription: Says nothing.\n")
    app = make_app()
    async with app.run_test(size=SIZE) as pilot:
        await settle(pilot)
        await pilot.press("ctrl+s")
        await pilot.pause(0.1)
        titles = {item.value: item.title.plain for item in app.screen.items}
        assert "Says little." in titles["terse"]
        assert "---" not in titles["terse"]
        assert "torn.md:1" in titles["torn"]


async def test_a_template_selects_its_blanks_one_after_another(make_app, tmp_path):
    folder = tmp_path / "config" / "prompts" / "templates"
    folder.mkdir(parents=True)
    (folder / "mine.md").write_text("Explain {{thing}}\nto {{ a person }}.")
    app = make_app()
    async with app.run_test(size=SIZE) as pilot:
        await settle(pilot)
        await pilot.press("ctrl+l")
        screen = await choose(pilot, *"mine")
        assert screen.prompt_box.selected_text == "{{thing}}"
        await pilot.press(*"light", "tab")
        assert screen.prompt_box.selected_text == "{{ a person }}"
        await pilot.press(*"me")
        assert screen.prompt_box.text == "Explain light\nto me."


async def test_earlier_prompts_are_found_by_key_and_by_search(make_app):
    app = make_app()
    async with app.run_test(size=SIZE) as pilot:
        await send(pilot, "about cats")
        screen = await send(pilot, "about dogs")
        await pilot.press("up")
        assert screen.prompt_box.text == "about dogs"
        await pilot.press("up", "up")
        assert screen.prompt_box.text == "about cats"
        await pilot.press("down", "down")
        assert screen.prompt_box.text == ""
        await pilot.press("ctrl+r")
        await choose(pilot, *"cat")
        assert screen.prompt_box.text == "about cats"


async def test_the_editor_writes_the_prompt(make_app, tmp_path, monkeypatch):
    script = tmp_path / "editor.sh"
    script.write_text('#!/bin/sh\nprintf "from the editor\\n" >> "$1"\n')
    script.chmod(0o755)
    monkeypatch.setenv("EDITOR", str(script))
    monkeypatch.delenv("VISUAL", raising=False)
    app = make_app()
    async with app.run_test(size=SIZE) as pilot:
        screen = await settle(pilot)
        monkeypatch.setattr(type(app), "suspend", lambda self: __import__("contextlib").nullcontext())
        screen.prompt_box.text = "begun, "
        await pilot.press("ctrl+g")
        await settle(pilot)
        assert screen.prompt_box.text == "begun,from the editor"


async def test_details_and_reasons_open_and_close(make_app):
    app = make_app()
    async with app.run_test(size=SIZE) as pilot:
        await settle(pilot)
        await pilot.press("f6")
        await settle(pilot)
        assert "no answer has been measured yet" in said(app)
        await send(pilot, "hello")
        await pilot.press("f6")
        await settle(pilot)
        assert isinstance(app.screen, DetailScreen)
        await pilot.press("escape")
        await settle(pilot)
        await pilot.press("f7")
        await settle(pilot)
        assert isinstance(app.screen, WhyScreen)
        await pilot.press("q")
        await settle(pilot)
        assert isinstance(app.screen, ChatScreen)


async def test_settings_are_written_and_take_effect(make_app, tmp_path):
    app = make_app()
    async with app.run_test(size=SIZE) as pilot:
        await settle(pilot)
        await pilot.press("f10")
        await pilot.pause(0.1)
        assert isinstance(app.screen, SettingsScreen)
        app.screen.query_one("#set-theme").value = "chatapp-light"
        app.screen.query_one("#set-fps").value = "many"
        await pilot.press("ctrl+s")
        await pilot.pause()
        assert "fps must be a whole number" in str(app.screen.query_one("#settings-problem").render())
        app.screen.query_one("#set-fps").value = "30"
        await pilot.press("ctrl+s")
        await settle(pilot)
        assert app.theme == "chatapp-light"
        text = (tmp_path / "config" / "config.toml").read_text()
        assert text == 'theme = "chatapp-light"\nfps = 30\n'


async def test_a_box_that_is_off_is_empty_in_every_palette(make_app):
    app = make_app(theme="ansi")
    async with app.run_test(size=SIZE) as pilot:
        await settle(pilot)
        await pilot.press("f10")
        await pilot.pause(0.1)
        box = app.screen.query_one("#set-panel")
        assert "X" in box.render().plain
        box.value = False
        await pilot.pause()
        assert "X" not in box.render().plain
        assert "X" not in app.screen.query_one("#set-reduced_motion").render().plain


async def test_recording_writes_a_sealed_file(make_app, tmp_path):
    path = tmp_path / "talk.tokcast"
    app = make_app()
    async with app.run_test(size=SIZE) as pilot:
        await send(pilot, f"/record {path}")
        await send(pilot, "hello")
        assert "recording talk.tokcast" in str(chat(app).query_one("#top").render())
        await send(pilot, "/record")
        assert app.session.recorder is None
    with Recording.open(path) as recording:
        assert recording.seal == "sealed"


async def test_commands_that_change_the_conversation_wait_for_the_answer(make_app, clock):
    app = make_app([paced("half", start_ns=clock.now, ttft_ms=1, tps=9, end=False)], hold=True)
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause()
        chat(app).prompt_box.text = "hello"
        await pilot.press("enter")
        await pilot.pause(0.05)
        await pilot.press("ctrl+n")
        await pilot.pause()
        assert "Esc cancels it" in said(app)
        assert app.session.conversation.turns
        await chat(app).cancel_answer()


async def test_a_rebound_key_works_and_a_clash_is_reported(make_app):
    app = make_app(keymap={"help": "f12", "retry": "f2"})
    async with app.run_test(size=SIZE) as pilot:
        await settle(pilot)
        await pilot.press("f12")
        await settle(pilot)
        assert isinstance(app.screen, HelpScreen)
        assert "key f2 is bound to retry and backend" in said(app)


@pytest.mark.parametrize(
    ("keymap", "key", "screen"),
    [
        ({"detail": "f7"}, "f7", DetailScreen),
        ({"why": "f6"}, "f6", WhyScreen),
        ({"why": "f12", "detail": "f12"}, "f12", DetailScreen),
        ({"detail": "f11, f12"}, "f12", DetailScreen),
    ],
)
async def test_a_key_of_two_commands_goes_to_the_one_that_is_named_first(make_app, keymap, key, screen):
    app = make_app(keymap=keymap)
    async with app.run_test(size=SIZE) as pilot:
        await send(pilot, "hello")
        await pilot.press(key)
        await settle(pilot)
        assert isinstance(app.screen, screen)


async def test_hints_help_palette_and_messages_show_the_keys_that_work(make_app):
    app = make_app(keymap={"detail": "f7", "retell": "ctrl+k", "theme": "alt+t", "retry": ""})
    async with app.run_test(size=(140, 50)) as pilot:
        screen = await send(pilot, "hello")
        hints = str(screen.query_one("#hints").render())
        assert "F7 detail" in hints
        assert "^K retell" in hints
        assert "why" not in hints  # its key is gone
        assert "retry" not in hints
        await send(pilot, "/retell")
        assert "then ^K" in shown(screen)
        await pilot.press("f1")
        await settle(pilot)
        page = str(app.screen.query_one("#sheet-text").render())
        assert "F7        Where the time went" in page
        assert "          Why it is this fast" in page
        assert "Alt+T     Change the colours" in page
        await pilot.press("f1", "ctrl+p")
        await settle(pilot)
        await pilot.press(*"colours")
        await pilot.pause()
        assert "Alt+T" in app.screen.query_one("#picker-list").render_line(1).text
        await pilot.press("escape", "alt+t")
        await settle(pilot)
        assert isinstance(app.screen, Picker)
        await pilot.press("escape", "f5")
        await settle(pilot)
        assert len(app.session.conversation.turns) == 1  # F5 was taken away


@pytest.mark.parametrize("argument", ["chatapp-light", "ansi"])
async def test_themes_by_name(make_app, argument):
    app = make_app()
    async with app.run_test(size=SIZE) as pilot:
        await send(pilot, f"/theme {argument}")
        assert app.theme == argument
        await send(pilot, "/theme nothing")
        assert "unknown theme" in said(app)


async def test_copying_says_how_much_and_where(make_app, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    app = make_app()
    async with app.run_test(size=SIZE) as pilot:
        await send(pilot, "hello")
        await pilot.press("alt+c")
        await settle(pilot)
        assert "Copied" in said(app)
        assert (tmp_path / "state" / "copied.txt").read_text() == TEXT
        assert app.clipboard == TEXT


async def test_the_race_starter_opens_the_comparison(make_app, clock):
    connection = ScriptedConnection([paced(TEXT, start_ns=clock.now, ttft_ms=10, tps=100)], clock)
    app = make_app(connections=[connection])
    async with app.run_test(size=SIZE) as pilot:
        await settle(pilot)
        await pilot.press("4")
        await pilot.pause(0.2)
        assert type(app.screen).__name__ == "CompareScreen"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("/retry", "nothing has been asked yet"),
        ("/retell", "no real answer to tell again yet"),
        ("/branch-next", "there are no branches here"),
        ("/title", "a title is needed"),
        ("/export talk.md", "nothing has been asked yet"),
        ("/import", "name the file to open"),
        ("/import /nowhere/talk.json", "cannot be read"),
        ("/record", "name a file to record to"),
        ("/system nobody", "unknown system prompt"),
        ("/template nothing", "unknown template"),
        ("/theme nothing", "unknown theme"),
        ("/backend nothing", "unknown backend"),
        ("/detail", "no answer has been measured yet"),
        ("/editor", "no editor is set"),
    ],
)
async def test_a_command_that_cannot_run_says_why_and_what_to_do(make_app, monkeypatch, text, words):
    monkeypatch.delenv("EDITOR", raising=False)
    monkeypatch.delenv("VISUAL", raising=False)
    app = make_app()
    async with app.run_test(size=SIZE) as pilot:
        await send(pilot, text)
        assert words in said(app)
        assert app.is_running


async def test_a_bug_in_a_command_is_one_line_and_in_the_log(make_app, monkeypatch, caplog):
    def broken(self, _argument: str) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(ChatScreen, "command_panel", broken)
    app = make_app()
    async with app.run_test(size=SIZE) as pilot:
        await send(pilot, "/panel")
        assert "unexpected error: ZeroDivisionError: oops" in said(app)
    assert "command failed" in caplog.text


async def test_searching_copying_code_and_reasoning_reach_the_pane(make_app, clock, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    text = "Before.\n\n```python\nprint('found me')\n```\n"
    app = make_app([paced(text, start_ns=clock.now, ttft_ms=10, tps=100)])
    async with app.run_test(size=SIZE) as pilot:
        await send(pilot, "hello")
        await send(pilot, "/find found")
        await pilot.press("ctrl+f")
        await choose(pilot, *"me")
        await send(pilot, "/reasoning")
        await pilot.press("alt+b")
        await settle(pilot)
        assert app.clipboard.strip() == "print('found me')"


async def test_a_bare_server_name_becomes_its_model_or_a_choice(make_app, clock):
    from chatapp.protocol.responses import ModelListing

    one = (ModelListing("ollama/a", kind="live"),)
    connection = ScriptedConnection([[]], clock, listings=one)
    app = make_app(connections=[connection], backend="ollama")
    async with app.run_test(size=SIZE) as pilot:
        await settle(pilot)
        assert app.session.backend == "ollama/a"
    two = (*one, ModelListing("ollama/b", kind="live"))
    app = make_app(connections=[ScriptedConnection([[]], clock, listings=two)], backend="ollama")
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause(0.2)
        assert isinstance(app.screen, Switcher)


async def test_a_prompt_of_the_command_line_is_asked_at_once(make_app):
    app = make_app()
    app.session.first_prompt = "from the command line"
    async with app.run_test(size=SIZE) as pilot:
        await settle(pilot)
        assert app.session.conversation.path[0].prompt == "from the command line"


async def test_the_switcher_says_when_the_gateway_is_gone(make_app, clock):
    connection = ScriptedConnection([[]], clock)
    app = make_app(connections=[connection, GatewayError("gateway gone", hint="see the log")])
    async with app.run_test(size=SIZE) as pilot:
        await settle(pilot)
        connection.closed = True
        await pilot.press("f2")
        await pilot.pause(0.2)
        assert "gateway gone" in str(app.screen.query_one("#picker-hint").render())


async def test_nothing_matches_is_said_and_clicks_choose(make_app):
    app = make_app()
    async with app.run_test(size=SIZE) as pilot:
        await settle(pilot)
        await pilot.press("f2")
        await pilot.pause(0.1)
        await pilot.press(*"zzz")
        await pilot.pause()
        assert app.screen.highlighted is None
        await pilot.press("backspace", "backspace", "backspace", "down", "pagedown", "up", "pageup")
        row = app.screen.query_one("#picker-list").region.y + 1
        await pilot.click(offset=(40, row))
        await settle(pilot)
        assert app.session.backend == "local"


async def test_a_hint_can_be_clicked(make_app):
    app = make_app()
    async with app.run_test(size=SIZE) as pilot:
        await settle(pilot)
        await pilot.click(offset=(2, SIZE[1] - 1))
        await pilot.pause(0.1)
        assert isinstance(app.screen, Switcher)
