import io

import pytest

from chatapp.cli import splash


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    screen = Terminal()
    monkeypatch.setattr(splash.sys, "__stdout__", screen)
    monkeypatch.setattr(splash.sys, "platform", "linux")
    monkeypatch.delenv("TEXTUAL_DRIVER", raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    return screen


def test_it_says_the_headline_at_once_and_leaves_the_screen_to_the_app(terminal):
    with splash.Splash():
        assert splash.HEADLINE in terminal.getvalue()
        assert terminal.getvalue().startswith("\x1b[?1049h")
    assert "\x1b[?1049l" not in terminal.getvalue()


def test_after_an_error_the_terminal_is_as_it_was(terminal):
    with pytest.raises(ValueError, match="x"), splash.Splash():
        raise ValueError("x")
    assert terminal.getvalue().endswith("\x1b[?1049l\x1b[?25h")


def test_without_colours_it_uses_none(terminal, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    with splash.Splash():
        assert "\x1b[33m" not in terminal.getvalue()


def test_in_a_browser_and_in_a_pipe_it_says_nothing(terminal, monkeypatch):
    monkeypatch.setenv("TEXTUAL_DRIVER", "web")
    with splash.Splash():
        pass
    assert terminal.getvalue() == ""
    monkeypatch.delenv("TEXTUAL_DRIVER")
    pipe = io.StringIO()
    monkeypatch.setattr(splash.sys, "__stdout__", pipe)
    with splash.Splash():
        pass
    assert pipe.getvalue() == ""
