import asyncio
import json

import pytest

from chatapp.errors import GatewayError, UsageError
from chatapp.stream.events import Failed, Notice
from chatapp.ui.app import ChatApp
from chatapp.ui.screens.compare import open_compare
from chatapp.ui.widgets.lane import Lane
from chatapp.ui.widgets.race_plot import RacePlot
from chatapp.ui.widgets.standings import StandingsPanel
from tests.ui.scripted import paced

FAST, SLOW = "sim:cs3/kimi-k2.6", "sim:h100x16/kimi-k2.6"
TEXT = "The same text for both of them, told at the pace of each, with **one** word strong."


def race(clock, *, ends=True):
    start = clock.now
    return [
        paced(TEXT, start_ns=start, ttft_ms=80, tps=900),
        paced(TEXT, start_ns=start + 300_000, ttft_ms=100, tps=120, end=ends),
    ]


@pytest.fixture
def compare(make_session, clock):
    def make(scripts=None, *, backends=(FAST, SLOW), prompt="", **options):
        session = make_session(scripts or race(clock), **options)
        return ChatApp(session, first=lambda s: open_compare(s, list(backends), prompt))

    return make


async def settled(pilot):
    await pilot.app.workers.wait_for_complete()
    await pilot.pause()


def shown(app):
    return app.screen.query_one(StandingsPanel).render().plain


async def test_one_prompt_goes_to_all_and_the_standings_say_who_won(compare):
    app = compare()
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        await pilot.press(*"hello", "enter")
        await settled(pilot)
        app.screen.refresh_figures()
        assert [r.model for r in app.session.link.connections[0].requests] == [FAST, SLOW]
        assert {r.input[0].content for r in app.session.link.connections[0].requests} == {"hello"}
        lanes = list(app.screen.query(Lane))
        assert [lane.answer.text for lane in lanes] == [TEXT, TEXT]
        assert "CS-3 finished in" in shown(app)
        assert "had" in shown(app)
        assert shown(app).splitlines()[1].startswith("1 ◆ CS-3")


async def test_a_prompt_given_at_the_start_is_asked_at_once(compare):
    app = compare(prompt="now")
    async with app.run_test(size=(80, 24)) as pilot:
        await settled(pilot)
        assert len(app.session.link.connections[0].requests) == 2


async def test_the_spread_of_the_departures_is_shown(compare):
    app = compare(prompt="now", hold=True)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        await pilot.pause()
        app.screen.refresh_figures()
        assert "starts within 0.30 ms" in shown(app)
        app.session.link.connections[0].gate.set()


async def test_a_failed_backend_leaves_the_others_running(compare, clock):
    scripts = [[Failed(clock.now, "auth", "the key was refused", hint="check it")], race(clock)[1]]
    app = compare(scripts, prompt="now")
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot)
        app.screen.refresh_figures()
        first, second = app.screen.query(Lane)
        assert first.answer.outcome == "failed"
        assert second.answer.outcome == "done"
        assert "failed" in shown(app)


async def test_a_fallback_is_not_raced_under_the_name_of_the_backend_that_failed(compare, clock):
    notice = Notice("fallback", "x did not answer (auth: no key; 0.1 s lost): sim:a/b instead")
    scripts = [[notice, *race(clock)[0]], race(clock)[1]]
    app = compare(scripts, prompt="now")
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot)
        app.screen.refresh_figures()
        first, second = app.screen.query(Lane)
        assert (first.answer.outcome, first.answer.text) == ("failed", "")
        assert first.answer.failure.message == f"not raced: {notice.message}"
        assert second.answer.outcome == "done"
        assert app.session.link.connections[0].cancelled == 1, "nobody waits for an answer that is not raced"
        assert shown(app).splitlines()[1].startswith("·")


async def test_escape_cancels_all_and_keeps_what_came(compare):
    app = compare(prompt="now", hold=True)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        await pilot.pause()
        await pilot.press("escape")
        await settled(pilot)
        assert [lane.answer.outcome for lane in app.screen.query(Lane)] == ["cancelled", "cancelled"]
        assert all(lane.answer.text == TEXT for lane in app.screen.query(Lane))
        assert app.session.link.connections[0].cancelled == 2


async def test_with_nothing_running_escape_leaves(compare):
    app = compare()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        await pilot.press("escape")
        await pilot.pause()
    assert app.return_value is None
    assert not app.is_running


async def test_a_gateway_that_cannot_be_reached_is_said_in_every_lane(compare, clock):
    app = compare(prompt="now", connections=[GatewayError("no gateway", hint="start one")])
    async with app.run_test(size=(80, 24)) as pilot:
        await settled(pilot)
        assert [lane.answer.failure.code for lane in app.screen.query(Lane)] == ["gateway_lost"] * 2


async def test_a_lane_can_be_asked_again_alone_zoomed_and_cancelled(compare):
    app = compare(prompt="now")
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot)
        first, second = app.screen.query(Lane)
        first.pane.focus()
        await pilot.press("a")
        await settled(pilot)
        assert [r.model for r in app.session.link.connections[0].requests] == [FAST, SLOW, FAST]
        await pilot.press("z")
        assert not second.display
        await pilot.press("z")
        assert second.display
        await pilot.press("x")
        await pilot.press("ctrl+e")
        assert not second.display


async def test_the_bars_switch_between_text_and_time(compare):
    app = compare(prompt="now")
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot)
        before = shown(app)
        await pilot.press("ctrl+b")
        await pilot.pause()
        assert shown(app) != before
        assert app.screen.measure == "time"


async def test_asking_again_goes_to_all(compare):
    app = compare(prompt="now")
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot)
        await pilot.press("f5")
        await settled(pilot)
        assert len(app.session.link.connections[0].requests) == 4


async def test_while_it_runs_no_second_prompt_is_sent(compare):
    app = compare(prompt="now", hold=True)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        await pilot.press(*"more", "enter")
        await pilot.pause()
        assert len(app.session.link.connections[0].requests) == 2
        assert app.screen.query_one("#prompt").text == "more"
        app.session.link.connections[0].gate.set()


async def test_a_lanes_backend_can_be_changed(compare):
    app = compare(prompt="now")
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot)
        first, _second = app.screen.query(Lane)
        first.pane.focus()
        await pilot.press("b")
        await pilot.pause(0.1)
        await pilot.press(*"b200", "enter")
        await settled(pilot)
        assert first.backend == "sim:b200x8/kimi-k2.6"
        assert "B200" in first.info.label


async def test_the_same_backend_twice_is_told_apart(compare):
    app = compare(backends=(FAST, FAST), prompt="now")
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot)
        assert [lane.info.label for lane in app.screen.query(Lane)] == ["CS-3 · Kimi K2.6 (1)", "CS-3 · Kimi K2.6 (2)"]


@pytest.mark.parametrize("count", [0, 1, 5])
def test_two_to_four_backends(make_session, count):
    with pytest.raises(UsageError, match="two to four"):
        open_compare(make_session(), [FAST] * count)


async def slash(pilot, text):
    await pilot.pause()
    pilot.app.screen.prompt_box.text = text
    await pilot.press("enter")
    await pilot.pause(0.1)
    await pilot.pause()


def said(app):
    return "\n".join(notification.message for notification in app._notifications)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("/retry", "nothing has been asked yet"),
        ("/edit", "nothing has been asked yet"),
        ("/detail", "no answer has been measured yet"),
        ("/sessions", "/sessions is not available here\nit belongs to the chat; /compare goes back there"),
        ("/export talk.md", "/export is not available here"),
        ("/helpp", "no command /helpp; nearest: /help"),
        ("/theme nothing", "unknown theme"),
        ("/backend nothing", "unknown backend"),
        ("/find something", "not found: something"),
    ],
)
async def test_a_slash_command_is_never_sent_and_says_why_it_cannot_run(compare, text, words):
    app = compare()
    async with app.run_test(size=(120, 40)) as pilot:
        await slash(pilot, text)
        assert words in said(app)
        assert not app.session.link.connections[0].requests


async def test_slash_commands_do_what_they_do_in_the_chat(compare, tmp_path):
    app = compare(prompt="now")
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot)
        screen = app.screen
        requests = app.session.link.connections[0].requests
        await slash(pilot, "/retry")
        await settled(pilot)
        assert len(requests) == 4
        await slash(pilot, "/edit")
        assert screen.prompt_box.text == "now"
        await slash(pilot, "/backend sim:b200x8/kimi-k2.6")
        assert screen.lanes[0].backend == "sim:b200x8/kimi-k2.6"
        await slash(pilot, "/theme chatapp-light")
        assert app.theme == "chatapp-light"
        await slash(pilot, "/record " + str(tmp_path / "race.tokcast"))
        await slash(pilot, "/record")
        assert "recording sealed" in said(app)
        screen.lanes[1].pane.focus()
        await pilot.press("alt+c")
        await settled(pilot)
        assert app.clipboard == TEXT
        assert len(requests) == 4
        await slash(pilot, "/quit")
    assert not app.is_running


@pytest.mark.parametrize(
    ("text", "screen"), [("/detail", "DetailScreen"), ("/why", "WhyScreen"), ("/help", "HelpScreen")]
)
async def test_pages_open_over_the_comparison(compare, text, screen):
    app = compare(prompt="now")
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot)
        await slash(pilot, text)
        assert type(app.screen).__name__ == screen
        await pilot.press("escape")
        await pilot.pause()
        assert type(app.screen).__name__ == "CompareScreen"


async def test_the_comparisons_help_and_hints_name_its_own_keys(compare):
    app = compare(keymap={"retry": "f8"})
    async with app.run_test(size=(160, 50)) as pilot:
        await pilot.pause()
        hints = str(app.screen.query_one("#hints").render())
        assert "F8 again" in hints
        assert "F6 plots" in hints
        assert "F4 chat" in hints
        await pilot.press("f1")
        await pilot.pause(0.1)
        page = str(app.screen.query_one("#sheet-text").render())
        assert "F6        Texts, or plots" in page
        assert "F6        Where" not in page
        assert "/sessions" not in page


async def test_a_half_typed_command_shows_what_is_available_here(compare):
    app = compare()
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        await pilot.press("/", "e")
        await pilot.pause()
        hints = str(app.screen.query_one("#hints").render())
        assert "/edit" in hints
        assert "/export" not in hints


async def test_a_file_is_taken_into_the_prompt_of_a_race(compare, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("remember")
    app = compare()
    async with app.run_test(size=(120, 40)) as pilot:
        await slash(pilot, "see @notes.txt")
        assert "@notes.txt 8 B" in str(app.screen.query_one("#hints").render())
        await pilot.press("enter")
        await settled(pilot)
        assert "remember" in app.session.link.connections[0].requests[0].input[0].content


@pytest.mark.parametrize(
    ("size", "lanes"), [((80, 24), 2), ((120, 40), 2), ((80, 24), 4), ((250, 60), 4), ((200, 50), 3)]
)
def test_how_it_looks(compare, clock, snap_compare, size, lanes):
    names = (FAST, SLOW, "sim:b200x8/kimi-k2.6", "local")[:lanes]
    scripts = [paced(TEXT, start_ns=clock.now, ttft_ms=80 + 20 * i, tps=900 / (i + 1)) for i in range(lanes)]

    async def finished(pilot):
        await settled(pilot)
        pilot.app.screen.refresh_figures()
        pilot.app.screen.query_one("#prompt").cursor_blink = False
        await pilot.pause()

    assert snap_compare(compare(scripts, backends=names, prompt="now"), terminal_size=size, run_before=finished)


@pytest.mark.parametrize("size", [(80, 24), (250, 60)])
async def test_a_key_shows_plots_in_the_place_of_the_texts(compare, size):
    app = compare(prompt="now")
    async with app.run_test(size=size) as pilot:
        await settled(pilot)
        await pilot.press("f6")
        await pilot.pause()
        plots = app.screen.query_one(RacePlot)
        assert plots.display
        assert not app.screen.query_one("#lanes").display
        text = plots.render().plain
        assert "simulated  TTFT 80 ms" in text
        assert "tok/s over" in text
        await pilot.press("f6")
        await pilot.pause()
        assert app.screen.query_one("#lanes").display
        assert not plots.display


@pytest.mark.parametrize("text", ["", "/compare"])
async def test_the_key_of_the_comparison_leaves_it_while_a_race_runs(compare, text):
    app = compare(prompt="now", hold=True)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        await pilot.pause()
        screen = app.screen
        if text:
            screen.prompt_box.text = text
        await pilot.press("enter" if text else "f4")
        await pilot.pause(0.05)
        assert not screen.running
    assert app.session.link.connections[0].cancelled == 2
    assert not app.is_running


async def test_what_has_to_wait_for_the_race_is_told_the_key_that_cancels_it(compare):
    app = compare(prompt="now", hold=True, keymap={"cancel": "f9"})
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        await slash(pilot, "/retry")
        assert "Esc cancels it" in said(app)
        app.session.link.connections[0].gate.set()


@pytest.fixture
def opening(compare, monkeypatch):
    """Return a comparison whose connection opens when the test says so, and the event for that."""

    async def make(pilot):
        session, opened = pilot.app.session, asyncio.Event()
        speaker = session.speaker

        async def wait_to_open():
            await opened.wait()
            return await speaker()

        monkeypatch.setattr(session, "speaker", wait_to_open)
        return opened

    return make


async def test_escape_cancels_a_race_whose_connection_is_being_opened(compare, opening):
    app = compare()
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot)
        opened = await opening(pilot)
        await pilot.press(*"now", "enter")
        await pilot.pause()
        assert app.screen.running
        await pilot.press("escape")
        await pilot.pause()
        opened.set()
        await settled(pilot)
        assert not app.screen.running
        assert [lane.answer.outcome for lane in app.screen.query(Lane)] == ["cancelled", "cancelled"]
        assert not app.session.link.connections[0].requests


async def test_a_lane_asked_again_is_cancelled_while_its_connection_is_being_opened(compare, opening):
    app = compare(prompt="now")
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot)
        opened = await opening(pilot)
        first, second = app.screen.query(Lane)
        first.pane.focus()
        await pilot.press("a", "x")
        await pilot.pause()
        assert not first.running
        opened.set()
        await settled(pilot)
        assert (first.answer.outcome, second.answer.outcome) == ("cancelled", "done")
        assert len(app.session.link.connections[0].requests) == 2


async def test_one_lane_cancelled_before_the_start_leaves_the_race_to_the_other(compare, opening):
    app = compare()
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot)
        opened = await opening(pilot)
        await pilot.press(*"now", "enter")
        first, second = app.screen.query(Lane)
        first.pane.focus()
        await pilot.press("x")
        opened.set()
        await settled(pilot)
        assert (first.answer.outcome, second.answer.outcome) == ("cancelled", "done")
        assert [request.model for request in app.session.link.connections[0].requests] == [SLOW]


async def test_cancelling_waits_for_a_race_that_has_not_started(compare, opening):
    app = compare()
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot)
        await opening(pilot)
        await pilot.press(*"now", "enter")
        await app.screen.cancel_answer()
        assert not app.screen.running


async def test_a_race_cancelled_before_its_first_step_ends(compare):
    app = compare()
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot)
        app.screen.start("now")
        app.screen.cancel_lanes()
        await pilot.pause()
        await pilot.pause()
        assert [lane.answer.outcome for lane in app.screen.query(Lane)] == ["cancelled", "cancelled"]
        assert not app.session.link.connections[0].requests


async def test_an_error_nobody_foresaw_while_connecting_ends_every_lane(compare, monkeypatch):
    async def broken():
        raise RuntimeError("odd")

    app = compare()
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot)
        monkeypatch.setattr(app.session, "speaker", broken)
        await pilot.press(*"now", "enter")
        await settled(pilot)
        messages = [lane.answer.failure.message for lane in app.screen.query(Lane)]
        assert messages == ["unexpected error: RuntimeError: odd"] * 2


async def test_an_error_nobody_foresaw_ends_its_lane_only(compare, clock):
    app = compare([[*race(clock)[0][:3], RuntimeError("odd")], race(clock)[1]], prompt="now")
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot)
        first, second = app.screen.query(Lane)
        assert first.answer.failure.message == "unexpected error: RuntimeError: odd"
        assert second.answer.outcome == "done"


@pytest.mark.parametrize(("lost", "codes"), [(False, ["c", "c"]), (True, ["c", "e"])])
async def test_a_recording_holds_the_end_of_a_cancelled_and_of_a_lost_lane(compare, clock, tmp_path, lost, codes):
    path = tmp_path / "race.tokcast"
    scripts = race(clock)
    if lost:
        scripts[1] = [*scripts[1][:3], GatewayError("the gateway went away", hint="again")]
    app = compare(scripts, hold=True)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        await slash(pilot, f"/record {path}")
        await pilot.press(*"now", "enter")
        await pilot.pause(0.05)
        await pilot.press("escape")
        await settled(pilot)
        await slash(pilot, "/record")
    lines = [json.loads(line) for line in path.read_text().splitlines()[1:]]
    ends = {data["s"]: code for _interval, code, data in lines if code in ("c", "d", "e")}
    assert [ends.get("lane 1"), ends.get("lane 2")] == codes
