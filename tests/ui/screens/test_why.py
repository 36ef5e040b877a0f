import msgspec

from chatapp.hardware.explain import explain
from chatapp.stream.answer import Answer
from chatapp.ui.screens.sheet import bar, row, wrap
from chatapp.ui.screens.why import WhyScreen, explanation_lines
from tests.ui.screens.test_detail import INFO
from tests.ui.scripted import paced


def test_an_explanation_has_terms_limit_changes_and_claims():
    text = "\n".join(line.plain for line in explanation_lines(explain("sim:cs3/kimi-k2.6"), 70))
    for words in (
        "tok/s predicted",
        "One output token",
        "Until the first token",
        "The physical limit",
        "not having seen",
    ):
        assert words in text


async def test_a_simulated_backend_is_explained_and_an_unknown_one_is_said(make_app):
    for backend, words in (("sim:h100x16/kimi-k2.6", "One output token"), ("sim:cs9/kimi-k2.6", "cs9")):
        app = make_app()
        async with app.run_test(size=(100, 40)) as pilot:
            screen = WhyScreen(backend, None)
            await app.push_screen(screen)
            for _ in range(100):
                await pilot.pause(0.05)
                text = screen.query_one("#sheet-text").render().plain
                if words in text:
                    break
            assert words in text


async def test_a_real_machine_is_not_explained_but_set_in_scale(make_app):
    answer = Answer(INFO)
    for event in paced("word " * 50, start_ns=0, ttft_ms=100, tps=50):
        answer.feed(event)
    app = make_app()
    async with app.run_test(size=(100, 40)) as pilot:
        screen = WhyScreen("local", answer)
        await app.push_screen(screen)
        await pilot.pause(0.2)
        text = screen.query_one("#sheet-text").render().plain
        assert "a real machine" in text
        assert "as fast as people read" in text
        await pilot.press("down", "pagedown", "up", "pageup", "escape")
        await pilot.pause()
        assert app.screen is not screen


def test_bars_rows_and_paragraphs():
    assert bar(0.5, 4) == "██"
    assert bar(2.0, 2) == "██"
    assert bar(0.06, 2) == "▏"
    assert row("name", "value", "note").plain == "name            value   note"
    assert [line.plain for line in wrap("one two", 5)] == ["one two"]
    assert [line.plain for line in wrap("", 20)] == [""]


def test_the_page_tells_a_played_back_claim_from_the_models_pace():
    explanation = explain("sim:cs3/kimi-k2.6")
    own = " ".join(line.plain for line in explanation_lines(explanation, 70))
    assert "chatapp --pace claimed plays the vendor's figure back" in own
    played = " ".join(line.plain for line in explanation_lines(explanation, 70, played_back=True))
    assert "Started with --pace claimed" in played
    assert "the model's own prediction" in played
    unclaimed = " ".join(line.plain for line in explanation_lines(explain("sim:h100x16/kimi-k2.6"), 70))
    assert "--pace claimed" not in unclaimed


async def test_an_answer_at_a_claimed_pace_is_said_to_be_one(make_app):
    answer = Answer(msgspec.structs.replace(INFO, kind="simulated", detail={"pace": "vendor's figure played back"}))
    app = make_app()
    async with app.run_test(size=(100, 40)) as pilot:
        screen = WhyScreen("sim:cs3/kimi-k2.6", answer)
        await app.push_screen(screen)
        await app.workers.wait_for_complete()
        await pilot.pause()
        assert "Started with --pace claimed" in screen.query_one("#sheet-text").render().plain
