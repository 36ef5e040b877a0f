"""The app itself: what it refuses, and how it ends when something is wrong."""

import pytest
from textual.screen import Screen

from chatapp.cli import opening
from chatapp.config import load_settings
from chatapp.errors import SourceError
from chatapp.ui.app import ChatApp


class Broken(Screen[None]):
    def on_mount(self) -> None:
        raise ZeroDivisionError("a bug")


def test_a_keymap_with_an_unknown_command_is_refused_with_its_line(make_session, tmp_path):
    path = tmp_path / "config.toml"
    path.write_text('theme = "chatapp-dark"\n[keymap]\nretri = "f2"\n')
    session = make_session()
    session.settings = load_settings(path)
    with pytest.raises(SourceError, match="no such command; nearest: retry") as caught:
        ChatApp(session)
    assert f"{path}:3: keymap.retri" in caught.value.message


async def test_a_key_for_two_commands_is_said(make_app):
    app = make_app(keymap={"retry": "f2"})
    async with app.run_test() as pilot:
        await pilot.pause()
        assert any("key f2 is bound to" in note.message for note in app._notifications)


async def test_a_bug_ends_the_app_without_showing_its_variables(make_session, capsys):
    app = ChatApp(make_session(), first=lambda _session: Broken())
    with pytest.raises(ZeroDivisionError):
        async with app.run_test():
            pass
    assert isinstance(app.crash, ZeroDivisionError)
    assert "Traceback" not in "".join(capsys.readouterr())


async def test_an_app_that_was_left_has_no_crash(make_app):
    app = make_app()
    async with app.run_test() as pilot:
        await pilot.press("ctrl+q")
    assert app.crash is None


@pytest.mark.parametrize("key", ["f1", "f2", "f7", "f10"])
async def test_the_app_can_be_left_from_a_page_that_covers_it(make_app, key):
    app = make_app()
    async with app.run_test() as pilot:
        await pilot.pause(0.1)
        await pilot.press(key)
        await pilot.pause(0.1)
        assert len(app.screen_stack) == 3  # the app's own, the chat, and what covers it
        assert app.return_code is None
        await pilot.press("ctrl+q")
        await pilot.pause()
        assert app.return_code == 0


def test_the_command_line_reports_what_ended_the_app(make_session, monkeypatch):
    async def run_headless(self, **_options):
        await super(ChatApp, self).run_async(headless=True)

    monkeypatch.setattr(ChatApp, "run_async", run_headless)
    session = make_session()
    with pytest.raises(ZeroDivisionError, match="a bug"):
        opening.run_app(session, lambda _session: Broken())
    assert session.link.closed


@pytest.mark.parametrize(
    ("ssh", "following", "jumping"),
    [
        ("", "auto", False),
        ("10.0.0.1 1 10.0.0.2 22", "auto", True),
        ("10.0.0.1 1 10.0.0.2 22", "smooth", False),
        ("", "jumps", True),
    ],
)
async def test_panes_follow_by_jumps_over_ssh_or_where_it_is_wanted(make_app, monkeypatch, ssh, following, jumping):
    monkeypatch.setenv("SSH_CONNECTION", ssh)
    app = make_app(following=following)
    async with app.run_test() as pilot:
        await pilot.pause()
        assert app.screen.pane.jumping is jumping
