"""The pane in a running app: text comes in, the reader moves, selects, searches and copies."""

import sys
from itertools import pairwise

import pytest
from textual import events
from textual.app import App
from textual.geometry import Offset
from textual.selection import Selection

from chatapp.ui.frame import FrameTimer
from chatapp.ui.widgets.stream_pane import StreamPane

PARAGRAPHS = "\n\n".join(f"paragraph {number} with **bold** words that go on" for number in range(60))


class PaneApp(App):
    """An app of one pane that notes its messages."""

    CSS = "StreamPane { height: 1fr; }"

    def __init__(self, css_class=""):
        super().__init__()
        self.css_class = css_class
        self.follows = []
        self.copies = []
        self.opened = []

    def compose(self):
        yield StreamPane(classes=self.css_class)

    def on_mount(self):
        FrameTimer.configure(self, fps=120)

    def on_row_view_follow_changed(self, message):
        assert message.control is message.pane
        self.follows.append(message.following)

    def on_stream_pane_copied(self, message):
        assert message.control is message.pane
        self.copies.append((message.text, message.what))

    def open_url(self, url, *, new_tab=True):
        self.opened.append(url)


@pytest.fixture
async def pane():
    app = PaneApp()
    async with app.run_test(size=(60, 12)) as pilot:
        found = app.query_one(StreamPane)
        found.focus()
        found.pilot = pilot
        yield found


async def settle(pane):
    await pane.pilot.pause()
    while pane.busy:
        await pane.pilot.pause(0.01)
    await pane.pilot.pause()


def screen(pane):
    return [pane.render_line(y).text.rstrip() for y in range(pane.size.height)]


def text(pane):
    return "\n".join(row.text.rstrip() for _y, row in pane.transcript.rows(0, pane.transcript.total))


async def fill(pane):
    pane.add_prompt("ask")
    pane.begin_answer("CS-3 · Kimi K2.6", simulated=True)
    pane.write(PARAGRAPHS)
    pane.end_answer("1,204 tok/s")
    await settle(pane)


async def test_a_conversation(pane):
    pane.add_prompt("What is it?\nTell me.")
    pane.begin_answer("CS-3 · Kimi K2.6", simulated=True)
    pane.write("thinking hard", "reasoning")
    pane.write("# Title\n\nSome *text*.")
    pane.end_answer("41 tok/s · TTFT 3 ms", state="cancelled")
    pane.add_notice("It has stopped.", kind="error", hint="Press Enter.")
    await settle(pane)
    assert text(pane).split("\n") == [
        "▌ What is it?",
        "▌ Tell me.",
        "",
        "CS-3 · Kimi K2.6  simulated",
        "",
        "▸ thought ~3 tokens  r opens",
        "",
        "Title",
        "━" * 57,
        "",
        "Some text.",
        "",
        "cancelled · 41 tok/s · TTFT 3 ms",
        "",
        "✕ It has stopped.",
        "  Press Enter.",
    ]
    assert pane.answers == ["# Title\n\nSome *text*."]


async def test_text_shows_while_it_comes(pane):
    pane.begin_answer("x")
    for piece in ("one ", "**tw", "o** th", "ree"):
        pane.write(piece)
        await settle(pane)
    assert "one two three" in text(pane)
    assert screen(pane)[2] == " one two three"


async def test_reasoning_folds_and_opens(pane):
    pane.begin_answer("x")
    pane.write("first thought", "reasoning")
    await settle(pane)
    assert "thinking…" in text(pane)
    assert "first thought" not in text(pane)
    pane.toggle_reasoning()
    pane.write("\n\nsecond thought", "reasoning")
    await settle(pane)
    assert "▾ thinking…" in text(pane)
    assert "first thought\n\nsecond thought" in text(pane)
    pane.write("answer")
    pane.write("more thought", "reasoning")
    await settle(pane)
    await pane.pilot.press("r")
    assert text(pane).count("▸") == 2
    assert "thought\n" not in text(pane)


async def test_follows_until_the_reader_scrolls_up(pane):
    await fill(pane)
    assert pane.following
    assert screen(pane)[-1].startswith(" 1,204 tok/s")
    assert not pane.show_vertical_scrollbar
    width = pane.transcript.width
    await pane.pilot.press("pageup")
    await pane.pilot.pause(0.3)
    assert not pane.following
    assert pane.show_vertical_scrollbar
    assert pane.transcript.width == width  # the scrollbar comes where no text is: nothing is wrapped anew
    before = screen(pane)
    for number in range(20):
        pane.add_notice(f"later {number}")
    await settle(pane)
    assert screen(pane) == before
    await pane.pilot.press("end")
    await settle(pane)
    assert pane.following
    assert "later 19" in screen(pane)[-1]
    assert pane.app.follows == [False, True]


async def test_the_wheel_releases_and_the_bottom_takes_up_again(pane):
    await fill(pane)
    await pane.pilot._post_mouse_events([events.MouseScrollUp], widget=pane, button=0)
    await pane.pilot.pause()
    assert not pane.following
    for _ in range(6):
        await pane.pilot._post_mouse_events([events.MouseScrollDown], widget=pane, button=0)
    await pane.pilot.pause()
    assert pane.following


async def test_a_new_prompt_takes_up_following(pane):
    await fill(pane)
    await pane.pilot.press("home")
    await pane.pilot.pause(0.3)
    assert pane.top == 0
    assert not pane.following
    pane.add_prompt("again")
    await settle(pane)
    assert pane.following
    assert "again" in screen(pane)[-1]


async def test_resizing_keeps_the_readers_place(pane):
    await fill(pane)
    pane.find("paragraph 30 ")
    await settle(pane)
    top = next(line for line in screen(pane) if line).strip()
    for width in (40, 25, 90, 60):
        await pane.pilot.resize_terminal(width, 12)
        await settle(pane)
        assert any(top[:14] in line for line in screen(pane)), (width, screen(pane))
    assert not pane.following


async def test_resizing_does_not_stop_following(pane):
    await fill(pane)
    for size in ((30, 8), (90, 40), (60, 6), (1, 1), (60, 12)):
        await pane.pilot.resize_terminal(*size)
        await settle(pane)
        assert pane.following
    assert screen(pane)[-1].startswith(" 1,204 tok/s")


async def test_a_quarter_page_at_a_time(pane):
    pane.jumping = True
    pane.begin_answer("x")
    tops = []
    for number in range(40):
        pane.write(f"line {number}\n\n")
        await settle(pane)
        tops.append(pane.top)
    assert len(set(tops)) < 40
    assert all(b - a == 0 or b - a >= 3 for a, b in pairwise(tops))
    assert any("line 39" in line for line in screen(pane))


async def test_the_place_is_marked_while_following(pane):
    await fill(pane)
    assert pane.render_line(11).text[-1] == "▐"
    assert pane.render_line(0).text[-1] == " "


async def test_search(pane):
    await fill(pane)
    assert pane.find("PARAGRAPH 3") == 11
    assert pane.find_position == (11, 11)
    await pane.pilot.press("n")
    assert pane.find_position == (1, 11)
    await settle(pane)
    assert any("paragraph 3 " in line for line in screen(pane))
    await pane.pilot.press("N")
    assert pane.find_position == (11, 11)
    pane.toggle_reasoning()
    assert pane.find("nothing of that kind") == 0
    await pane.pilot.press("escape")
    assert pane.find_position == (0, 0)
    pane.find_next()
    assert pane.find("") == 0


async def test_copying_answers_and_code(pane):
    assert pane.copy_answer() == ""
    assert pane.copy_code_block() == ""
    pane.begin_answer("x")
    pane.write("Run:\n\n```sh\nls\n```\n\nand\n\n```py\n\tx = 1\n```\n\x1b[31m")
    await settle(pane)
    await pane.pilot.press("c")
    await pane.pilot.press("c")
    await pane.pilot.press("c")
    await pane.pilot.press("y")
    await pane.pilot.pause()
    assert [text for text, _what in pane.app.copies[:3]] == ["\tx = 1", "ls", "\tx = 1"]
    assert [what for _text, what in pane.app.copies] == [
        "code block 2 of 2",
        "code block 1 of 2",
        "code block 2 of 2",
        "answer",
    ]
    assert "\x1b" not in pane.app.copies[3][0]
    assert pane.app.clipboard == pane.app.copies[3][0]


async def test_selecting_with_the_mouse(pane):
    pane.begin_answer("x")
    pane.write("Alpha beta gamma, [a link](https://example.com/x).")
    await settle(pane)
    await pane.pilot.mouse_down(pane, offset=(1, 2))
    await pane.pilot.hover(pane, offset=(5, 2))
    await pane.pilot.mouse_up(pane, offset=(5, 2))
    await pane.pilot.pause()
    assert pane.screen.get_selected_text() == "Alpha"
    assert pane.copy_selection() == "Alpha"
    assert pane.render_line(2).text.startswith(" Alpha beta")
    await pane.pilot.click(pane, offset=(8, 2), times=2)
    await pane.pilot.pause()
    assert pane.copy_selection() == "beta"
    await pane.pilot.click(pane, offset=(8, 2), times=3)
    await pane.pilot.pause()
    assert pane.copy_selection() == "Alpha beta gamma, a link."
    await pane.pilot.click(pane, offset=(40, 5), times=2)
    await pane.pilot.press("escape")
    assert pane.copy_selection() == ""
    pane.screen.selections = {pane: Selection(Offset(1, 0), Offset(3, 2))}
    await pane.pilot.pause()
    assert pane.screen.get_selected_text() == "x\n\nAl"


async def test_links_open_with_a_click_and_tell_where_they_lead(pane):
    pane.begin_answer("x")
    pane.write("See [a link](https://example.com/x) or [bad](javascript:alert).")
    await settle(pane)
    await pane.pilot.hover(pane, offset=(7, 2))
    assert pane.tooltip == "https://example.com/x"
    await pane.pilot.click(pane, offset=(7, 2))
    await pane.pilot.hover(pane, offset=(17, 2))
    assert pane.tooltip is None
    await pane.pilot.click(pane, offset=(17, 2))
    assert pane.app.opened == ["https://example.com/x"]


async def test_clearing(pane):
    await fill(pane)
    pane.write("waiting")
    pane.clear()
    await settle(pane)
    assert text(pane) == ""
    assert pane.answers == []
    pane.write("without a beginning")
    pane.write("")
    pane.flush()
    assert "without a beginning" in text(pane)
    assert pane.answers == ["without a beginning"]


async def test_a_megabyte_at_once(pane):
    pane.begin_answer("x")
    pane.write("word " * 200_000)
    pane.write("\n\n" + "y" * 300_000)
    frames = 0
    while pane.busy:
        await pane.pilot.pause(0.01)
        frames += 1
    assert frames > 5
    assert "y" * 50 in screen(pane)[-2]


def count_calls(action):
    """How many functions an action calls: what it costs, but the same on every machine."""
    calls = 0

    def count(_frame, event, _argument):
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    try:
        action()
    finally:
        sys.setprofile(None)
    return calls


@pytest.mark.parametrize(
    "text", ["word **bold** ", "- item `code`\n", "```py\nx = 1\n", "para\n\n", "| a | b |\n|---|---|\n"]
)
async def test_a_frame_costs_the_same_however_long_the_conversation(pane, text):
    def frame():
        pane.write(text * 4)
        pane.on_frame()
        pane.render_lines(pane.region.reset_offset)

    costs = []
    for length in (2_000, 100_000):
        pane.write(text * (length // len(text)))
        await settle(pane)
        costs.append(sum(count_calls(frame) for _ in range(20)))
    assert costs[1] <= 1.3 * costs[0]


async def test_a_changed_theme_repaints(pane):
    await fill(pane)
    before = pane.render_line(11)._segments[1].style
    pane.app.theme = "textual-light"
    await settle(pane)
    assert pane.render_line(11)._segments[1].style != before


async def test_a_pane_with_a_border_is_painted_by_textual(pane):
    pane.styles.border = ("solid", "red")
    await fill(pane)
    strips = pane.render_lines(pane.region.reset_offset)
    assert strips[0].text.startswith("┌")
    assert "1,204 tok/s" in strips[-2].text


async def test_without_colour(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    app = PaneApp()
    async with app.run_test(size=(60, 12)) as pilot:
        pane = app.query_one(StreamPane)
        pane.pilot = pilot
        pane.write("## Title\n\n`code`")
        await settle(pane)
        colours = {segment.style.color for segment in pane.render_line(1) if segment.style}
        assert all(c is None or c.triplet is None or len(set(c.triplet)) == 1 for c in colours)
