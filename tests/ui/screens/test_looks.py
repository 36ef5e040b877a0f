"""Pictures of the chat, compared with those that were looked at: clock frozen, cursor still, answers scripted."""

import pytest

from chatapp.stream.events import Delta, Failed, Finished, Notice, Sent
from tests.ui.conftest import TEXT
from tests.ui.scripted import MS, ScriptedConnection, paced

ANSWER = """\
# Why the sky is blue

Air scatters **blue light** more than red, by the *fourth power* of the frequency.

1. Sunlight is a mixture.
2. Molecules send a little of it off in all directions.

```python
def scattered(wavelength_nm: float) -> float:
    return (450 / wavelength_nm) ** 4  # relative to blue
```

| colour | nm  | scattered |
|--------|----:|----------:|
| blue   | 450 |      1.00 |
| red    | 650 |      0.23 |
"""

SIZES = [(80, 24), (120, 40)]


async def still(pilot) -> None:
    """Stop what blinks, and let everything come to rest."""
    pilot.app.screen_stack[1].prompt_box.cursor_blink = False
    await rest(pilot)


async def rest(pilot) -> None:
    """Return when the screen has not changed for a while."""
    before, same = "", 0
    for _ in range(100):
        await pilot.pause(0.03)
        picture = pilot.app.export_screenshot()
        same = same + 1 if picture == before else 0
        before = picture
        if same == 5:
            return
    raise AssertionError("the screen never comes to rest")


def asking(prompt: str, *, waiting_ms: int = 0, clock=None):
    async def run(pilot) -> None:
        await still(pilot)
        screen = pilot.app.screen_stack[1]
        screen.prompt_box.text = prompt
        await pilot.press("enter")
        await rest(pilot)
        if clock is not None:
            clock.now += waiting_ms * MS
        screen.refresh_figures()
        screen._meter.pause()
        await rest(pilot)

    return run


@pytest.mark.parametrize("size", SIZES)
def test_idle(snap_compare, make_app, size):
    assert snap_compare(make_app(), terminal_size=size, run_before=still)


@pytest.mark.parametrize("size", SIZES)
def test_waiting_for_the_first_token(snap_compare, make_app, clock, size):
    app = make_app([[Sent(clock.now)]], hold=True)
    assert snap_compare(
        app, terminal_size=size, run_before=asking("Why is the sky blue?", waiting_ms=1700, clock=clock)
    )


@pytest.mark.parametrize("size", SIZES)
def test_streaming(snap_compare, make_app, clock, size):
    app = make_app([paced(ANSWER * 3, start_ns=clock.now, ttft_ms=420, tps=981, words=3, end=False)], hold=True)
    assert snap_compare(app, terminal_size=size, run_before=asking("Why is the sky blue?"))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("theme", ["chatapp-dark", "chatapp-light", "chatapp-contrast", "ansi"])
def test_finished(snap_compare, make_app, clock, size, theme):
    app = make_app([paced(ANSWER, start_ns=clock.now, ttft_ms=420, tps=98)], backend="local", theme=theme)
    assert snap_compare(app, terminal_size=size, run_before=asking("Why is the sky blue?"))


@pytest.mark.parametrize("size", SIZES)
def test_error(snap_compare, make_app, clock, size):
    failed = [Sent(clock.now), Failed(clock.now, "auth", "Cerebras refused the key", hint="check CEREBRAS_API_KEY")]
    app = make_app([failed], backend="cerebras/gpt-oss-120b")
    assert snap_compare(app, terminal_size=size, run_before=asking("Why is the sky blue?"))


def test_cancelled_and_lost(snap_compare, make_app, clock):
    lost = [Sent(clock.now), Delta("Half a", clock.now + MS), Failed(clock.now + 2 * MS, "gateway_lost", "it ended")]
    app = make_app([lost])
    assert snap_compare(app, terminal_size=(80, 24), run_before=asking("Why is the sky blue?"))


def test_narrow(snap_compare, make_app):
    assert snap_compare(make_app(), terminal_size=(60, 20), run_before=asking("Why is the sky blue?"))


def test_three_backends_on_the_scoreboard(snap_compare, make_app, clock):
    def script(tps: float, ttft_ms: float):
        return paced("word " * 300, start_ns=clock.now, ttft_ms=ttft_ms, tps=tps)

    connection = ScriptedConnection([script(55, 160), script(840, 84), script(146, 390)], clock)
    app = make_app(connections=[connection], backend="local")

    async def run(pilot) -> None:
        for backend in ("local", "sim:cs3/kimi-k2.6", "sim:h100x16/kimi-k2.6"):
            app.session.backend = backend
            await asking("Why is the sky blue?")(pilot)

    assert snap_compare(app, terminal_size=(80, 24), run_before=run)


def test_no_bundled_answer(snap_compare, make_app, clock):
    events = [Sent(clock.now), Notice("no_match", "no bundled answer fits"), Finished(clock.now + MS)]
    assert snap_compare(make_app([events]), terminal_size=(80, 24), run_before=asking("What is my name?"))


def pressed(*keys: str):
    async def run(pilot) -> None:
        await asking("Why is the sky blue?")(pilot)
        await pilot.press(*keys)
        await pilot.pause()
        for field in pilot.app.screen.query("Input"):
            field.cursor_blink = False
        await rest(pilot)

    return run


@pytest.mark.parametrize("key", ["f1", "f2", "f6", "f10", "ctrl+p"])
def test_sheets_and_choosers(snap_compare, make_app, clock, monkeypatch, key):
    monkeypatch.setenv("CHATAPP_CONFIG_DIR", "/home/you/.config/chatapp")  # shown on the settings screen
    app = make_app([paced(TEXT, start_ns=clock.now, ttft_ms=420, tps=98)])
    assert snap_compare(app, terminal_size=(80, 24), run_before=pressed(key))
