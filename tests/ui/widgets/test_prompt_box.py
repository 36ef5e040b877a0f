import pytest
from textual import events
from textual.app import App, ComposeResult

from chatapp.ui.widgets.prompt_box import LARGE_PASTE, PromptBox


class Box(App[None]):
    def __init__(self) -> None:
        super().__init__()
        self.sent: list[PromptBox.Submitted] = []

    def compose(self) -> ComposeResult:
        yield PromptBox(id="prompt")

    def on_prompt_box_submitted(self, event: PromptBox.Submitted) -> None:
        self.sent.append(event)

    @property
    def box(self) -> PromptBox:
        return self.query_one(PromptBox)


async def paste(pilot, text: str) -> None:
    pilot.app.post_message(events.Paste(text))  # as the driver does: the app forwards it
    await pilot.pause()


async def test_enter_sends_and_ctrl_j_breaks_the_line():
    app = Box()
    async with app.run_test() as pilot:
        await pilot.press("a", "ctrl+j", "b", "shift+enter", "c", "enter")
        assert [event.text for event in app.sent] == ["a\nb\nc"]
        assert app.box.text == ""


async def test_nothing_is_not_sent():
    app = Box()
    async with app.run_test() as pilot:
        await pilot.press("space", "enter")
        assert app.sent == []


async def test_keys_typed_after_enter_belong_to_the_next_prompt():
    app = Box()
    async with app.run_test() as pilot:
        for key in ("o", "n", "e", "enter", "t", "w", "o"):
            app.simulate_key(key)
        await pilot.pause(0.1)
        assert [event.text for event in app.sent] == ["one"]
        assert app.box.text == "two"
        app.box.give_back(app.sent[0])
        assert app.box.text == "onetwo"


async def test_a_large_paste_is_a_mark_and_is_sent_in_full():
    app = Box()
    big = "x" * 100_000
    async with app.run_test() as pilot:
        await pilot.press("a")
        await paste(pilot, big + "\r\nend")
        assert len(app.box.text) < 100
        assert "100,004 characters" in app.box.text
        await pilot.press("enter")
        assert app.sent[0].text == f"a{big}\nend"
        app.box.give_back(app.sent[0])
        assert app.box.prompt == f"a{big}\nend"


async def test_a_small_paste_is_text():
    app = Box()
    async with app.run_test() as pilot:
        await paste(pilot, "y" * LARGE_PASTE)
        assert app.box.text == "y" * LARGE_PASTE


async def test_digits_choose_starters_only_where_they_are_offered():
    app = Box()
    async with app.run_test() as pilot:
        await pilot.press("1")
        assert app.box.text == "1"


async def test_history_keeps_the_draft():
    app = Box()
    async with app.run_test() as pilot:
        app.box.remember("first")
        app.box.remember("second")
        app.box.remember("second")
        assert app.box.prompts == ["first", "second"]
        await pilot.press("d", "up")
        assert app.box.text == "second"
        await pilot.press("up", "up")
        assert app.box.text == "first"
        await pilot.press("down", "down")
        assert app.box.text == "d"
        await pilot.press("down", "shift+up")
        assert app.box.text == "d"


async def test_up_moves_inside_a_text_of_several_lines_first():
    app = Box()
    async with app.run_test() as pilot:
        app.box.remember("old")
        await pilot.press("a", "ctrl+j", "b", "up", "c")
        assert "c" in app.box.text.split("\n")[0]


@pytest.mark.parametrize(("text", "blanks"), [("x {{a}} y\n{{b}}", ["{{a}}", "{{b}}", "{{a}}"]), ("none", [])])
async def test_tab_goes_round_the_blanks(text, blanks):
    app = Box()
    async with app.run_test() as pilot:
        app.box.set_prompt(text)
        seen = [app.box.selected_text] if app.box.selected_text else []
        for _ in blanks[1:]:
            await pilot.press("tab")
            seen.append(app.box.selected_text)
        assert seen == blanks


async def test_foreign_text_put_into_the_box_cannot_control_the_terminal():
    app = Box()
    async with app.run_test():
        app.box.set_prompt("a\x1b[2Jb")
        assert "\x1b" not in app.box.text
