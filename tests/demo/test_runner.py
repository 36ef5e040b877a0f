import asyncio
from contextlib import asynccontextmanager

import pytest

from chatapp.clock import VirtualClock
from chatapp.demo import conductor
from chatapp.demo.runner import Runner
from chatapp.recording.writer import Recorder
from chatapp.stream.events import Delta, Finished, Message, Request, Sent
from tests.demo.scripted_stage import MS, S, make, play, script


@pytest.fixture(autouse=True)
def no_grace(monkeypatch):
    monkeypatch.setattr(conductor, "GRACE_S", 0.0)


ASK = ["type: hi", "enter"]


async def test_a_question_and_its_answer():
    report, stage, _ = await play(
        ["chapter: One", *ASK, "wait: {event: first_token, within: 2s}", "wait: {event: done, within: 5s}",
         "expect: {ttft_ms: {eq: 1000}, tps: {ge: 20, le: 20}, tokens: {eq: 20}}",
         "expect: {text: {matches: word9}, outcome: {eq: done}}"]
    )  # fmt: skip
    assert report.misses == []
    assert report.steps == 7
    assert report.duration_ns == pytest.approx(2.0 * S, abs=0.2 * S)
    assert ("ask", "hi") in stage.done


async def test_typing_takes_its_time_and_is_the_same_each_time():
    def times(stage):
        return [entry[2] for entry in stage.done if entry[0] == "type"]

    runs = [await play(["type: 'a b. c'", "type: {text: xy, speed: 10ms}"]) for _ in range(2)]
    first, second = (times(stage) for _report, stage, _runner in runs)
    assert first == second == [0, 50, 125, 175, 375, 450, 500, 510]


async def test_waits_look_only_at_what_follows_the_last_key():
    steps = [*ASK, "wait: {event: done, within: 5s}", "wait: {event: done, within: 5s}"]
    report, _, _ = await play(steps)
    assert [miss.message for miss in report.misses] == ["waited 5 s in vain for done of stream a"]
    report, _, _ = await play([*ASK, "wait: {event: done, within: 5s}", *ASK, "wait: {event: done, within: 0.5s}"])
    assert len(report.misses) == 1


async def test_cancelling_ends_an_answer_even_before_the_wait_begins():
    report, _stage, runner = await play(
        [*ASK, "wait: {event: first_token, within: 3s}", "key: escape", "wait: {event: done, within: 1s}",
         "expect: {outcome: {eq: cancelled}}"]
    )  # fmt: skip
    assert report.misses == []
    assert runner.watch.answers["a"].outcome == "cancelled"


async def test_a_missed_wait_says_why_the_answer_failed():
    def fails(_stage, speaker):
        speaker.failing.add("default")

    report, _, _ = await play([*ASK, "wait: {event: done, within: 5s}"], prepare=fails)
    assert report.misses[0].message == "waited 5 s in vain for done of stream a (it broke)"
    assert report.misses[0].step.place == (7, 5)
    report, _, _ = await play([*ASK, "wait: {event: failed, within: 5s}"], prepare=fails)
    assert report.misses == []


async def test_lanes_of_a_comparison_are_told_apart():
    def paces(_stage, speaker):
        speaker.ttft = {"slow": 3000, "fast": 10}

    report, stage, runner = await play(
        ["compare: [slow, fast]", *ASK, "wait: {event: done, stream: b, within: 2s}",
         "wait: {event: first_token, stream: a, within: 5s}", "expect: {stream: b, ttft_ms: {eq: 10}}",
         "wait: {event: done, stream: a, within: 5s}"],
        prepare=paces,
    )  # fmt: skip
    assert report.misses == []
    assert runner.watch.answers["a"].info.name == "slow"
    assert ("compare", ("slow", "fast")) in stage.done


async def test_the_same_backend_twice_has_two_lanes():
    report, _, runner = await play(["compare: [x, x]", *ASK, "wait: {event: done, stream: b, within: 5s}"])
    assert report.misses == []
    assert set(runner.watch.answers) == {"a", "b"}


@pytest.mark.parametrize(
    ("expectation", "message"),
    [
        ("{ttft_ms: {lt: 1000}}", "expected ttft_ms lt 1000.0, and it is 1000.0"),
        ("{text: {matches: nothing}}", "expected text matches nothing, and it is its text"),
        ("{outcome: {eq: failed}}", "expected outcome eq failed, and it is done"),
        ("{tps: {gt: 5}, stream: b}", "nothing was asked on stream b"),
    ],
)
async def test_a_missed_expectation_ends_a_check(expectation, message):
    report, stage, _ = await play([*ASK, "wait: {event: done, within: 5s}", f"expect: {expectation}", "key: f1"])
    assert [miss.message for miss in report.misses] == [message]
    assert ("press", "f1") not in [entry[:2] for entry in stage.done]


async def test_waiting_for_the_screen():
    def changes(stage, _speaker):
        looks = []

        def text():
            looks.append(1)
            return "now" if len(looks) > 5 else f"not yet {len(looks)}"

        stage.visible_text = text

    report, _, _runner = await play(["wait: {screen: '^now$', within: 2s}"], prepare=changes)
    assert report.misses == []
    assert 0.2 * S <= report.duration_ns < 0.4 * S
    report, _, _ = await play(["wait: {screen: never, within: 1s}"])
    assert report.misses[0].message == "waited 1 s in vain for /never/ on the screen"
    report, _, _ = await play(["wait: {settled: 500ms, within: 2s}"], prepare=changes)
    assert report.misses == []
    assert report.duration_ns == pytest.approx(0.75 * S, abs=0.1 * S)

    def restless(stage, _speaker):
        stage.visible_text = lambda: str(stage.clock.now_ns())

    report, _, _ = await play(["wait: {settled: 500ms, within: 2s}"], prepare=restless)
    assert report.misses[0].message == "waited 2 s in vain for a settled screen"


@pytest.mark.parametrize("what", ["screen: never", "settled: 1s"])
async def test_a_long_wait_in_vain_looks_more_and_more_seldom(what):
    looks = []

    def restless(stage, _speaker):
        def text():
            looks.append(stage.clock.now_ns())
            return str(len(looks))

        stage.visible_text = text

    report, _, _ = await play([f"wait: {{{what}, within: 9m}}"], prepare=restless)
    assert "waited 540 s in vain" in report.misses[0].message
    assert len(looks) < 250
    assert looks[10] - looks[9] == 50 * MS


async def test_faults_happen_to_the_next_answer_only():
    report, _, _runner = await play(
        ["fault: {at: 4 tokens, kind: disconnect}", *ASK, "wait: {event: failed, within: 5s}",
         "expect: {text: {eq: 'word0 word1 '}}", *ASK, "wait: {event: done, within: 5s}"]
    )  # fmt: skip
    assert report.misses == []


@pytest.fixture
def cassette(tmp_path):
    with Recorder.open(tmp_path / "a.tokcast", clock=VirtualClock()) as recorder:
        recorder.begin("chat", Request((Message("user", "hi"),)))
        recorder.record("chat", Sent(0))
        recorder.record("chat", Delta("hello", S))
        recorder.record("chat", Finished(S))
    return tmp_path / "demo.yaml"


async def test_a_recording_is_played_to_its_end(cassette):
    report, stage, runner = await play(["play: {cassette: a.tokcast, speed: 2}"], path=cassette)
    assert ("play", "a.tokcast", 2.0, ["chat"]) in stage.done
    assert report.duration_ns == 2 * S
    runner.close_recordings()


async def test_a_recording_is_played_beside_what_another_system_would_make_of_it(cassette):
    steps = ["play: {cassette: a.tokcast, as: sim:cs3/kimi-k2.6}", "backend: local"]
    report, stage, _ = await play(steps, path=cassette)
    assert report.misses == []
    assert ("play", "a.tokcast", 1.0, ["original", "modelled"]) in stage.done


async def test_a_recording_that_cannot_be_read_is_a_miss(tmp_path):
    report, _, _ = await play(["play: none.tokcast"], path=tmp_path / "demo.yaml")
    assert "none.tokcast: cannot be read" in report.misses[0].message


async def test_settings_change_on_the_way():
    report, _, _ = await play(["set: {speed: 2}", "wait: 4s"])
    assert report.duration_ns == 2 * S


async def test_a_backend_that_does_not_answer_in_time_falls_back_and_says_so():
    def dead(_stage, speaker):
        speaker.dead.add("live")

    report, stage, _ = await play(
        ["chapter: One", "backend: {use: live, fallback: 'recording:a.tokcast', within: 2s}", *ASK,
         "wait: {event: done, within: 5s}", "expect: {ttft_ms: {eq: 1000}}"],
        prepare=dead,
    )  # fmt: skip
    assert report.misses == []
    assert ("chat", "recording:x/a.tokcast") in stage.done
    assert [entry for entry in stage.done if entry[0] == "ask"] == [("ask", "hi"), ("ask", "hi")]
    assert stage.views[-1].mark == "live did not answer: recording:a.tokcast instead"


async def test_a_backend_that_answers_needs_no_fallback():
    report, stage, _ = await play(
        ["backend: {use: live, fallback: sim:a/b, within: 2s}", *ASK, "wait: {event: done, within: 5s}"]
    )
    assert report.misses == []
    assert stage.views[-1].mark == ""


# ---------------------------------------------------------------- with a presenter


@asynccontextmanager
async def presented(steps, path="x/demo.yaml", **options):
    clock = VirtualClock()
    stage, watch, _speaker = make(clock)
    runner = Runner(script(steps, path=path), stage, watch, clock, live=True, **options)
    task = asyncio.create_task(runner.run())
    await clock.advance(0)
    try:
        yield runner, stage, clock, task
    finally:
        runner.close_recordings()
        task.cancel()
        for answer in stage.tasks:
            answer.cancel()
        await asyncio.gather(task, *stage.tasks, return_exceptions=True)


async def test_pause_waits_for_the_presenter():
    async with presented(["say: one", "pause", "say: two", "pause"]) as (runner, stage, clock, task):
        await clock.advance(100 * S)
        assert (runner.state, stage.views[-1].caption) == ("waiting", "one")
        runner.toggle()
        await clock.advance(0)
        assert (runner.state, stage.views[-1].caption) == ("waiting", "two")
        runner.next_step()
        await clock.advance(0)
        assert task.done()
        assert stage.views[-1].state == "ended"


async def test_a_paused_rest_goes_on_where_it_stood():
    async with presented(["wait: 10s", "say: over"]) as (runner, stage, clock, _task):
        await clock.advance(4 * S)
        runner.toggle()
        await clock.advance(0)
        await clock.advance(100 * S)
        assert stage.views[-1].state == "paused"
        runner.toggle()
        await clock.advance(0)
        await clock.advance(5 * S)
        assert stage.views[-1].caption == ""
        await clock.advance(1 * S)
        assert stage.views[-1].caption == "over"


async def test_next_ends_a_step_at_once():
    async with presented(["wait: 100s", "wait: {event: done, within: 100s}", "type: hello", "say: over"]) as (
        runner,
        stage,
        clock,
        task,
    ):
        for _ in range(3):
            runner.next_step()
            await clock.advance(0)
        assert task.done()
        assert stage.typed == "hello"
        assert runner.report.misses == []


async def test_a_presenters_own_keys_type_the_scripts_text():
    async with presented(["type: hello", "say: over", "wait: 1s"], hands=True) as (runner, stage, clock, _task):
        await clock.advance(100 * S)
        assert (stage.typed, runner.typing) == ("", True)
        for _ in range(3):
            runner.stroke()
            await clock.advance(0)
        assert stage.typed == "hel"
        runner.next_step()
        await clock.advance(0)
        assert (stage.typed, runner.typing) == ("hello", False)
        assert stage.views[-1].caption == "over"


async def test_chapters_both_ways():
    steps = [
        f"{verb}"
        for number in (1, 2, 3)
        for verb in (f"chapter: C{number}", f"say: s{number}", "wait: 10s", "wait: 10s")
    ]
    async with presented(steps) as (runner, stage, clock, task):
        assert stage.views[-1].chapter == "C1"
        runner.move_chapter(1)
        await clock.advance(0)
        assert (stage.views[-1].chapter, stage.views[-1].number, stage.views[-1].chapters) == ("C2", 2, 3)
        await clock.advance(15 * S)
        runner.move_chapter(-1)  # begins this one again
        await clock.advance(0)
        assert stage.views[-1].chapter == "C2"
        runner.move_chapter(-1)
        await clock.advance(0)
        assert stage.views[-1].chapter == "C1"
        assert ("reset",) in stage.done
        runner.restart()
        await clock.advance(0)
        for _ in range(3):
            runner.move_chapter(1)
            await clock.advance(0)
        assert task.done()


async def test_by_hand_and_back():
    async with presented(["wait: 10s", "say: over"]) as (runner, stage, clock, _task):
        runner.take_over()
        await clock.advance(100 * S)
        assert stage.views[-1].state == "by hand"
        runner.take_over()
        await clock.advance(0)
        await clock.advance(10 * S)
        assert stage.views[-1].caption == "over"


async def test_a_miss_is_shown_and_the_show_goes_on():
    async with presented(["expect: {tps: {gt: 1}}", "say: over", "wait: 1s"]) as (_runner, stage, clock, task):
        await clock.advance(1 * S)
        assert task.done()
        assert stage.views[-1].mark == "✗ nothing was asked on stream a"
        assert stage.views[-1].caption == "over"


async def test_the_presenter_is_told_what_comes_next():
    steps = ["chapter: One", "say: a", "type: hello", "compare: [a, b]", "play: x.tokcast", "pause"]
    async with presented(steps) as (runner, _stage, _clock, _task):
        runner._index = 0
        assert runner.view().next_step == "types “hello”"
        runner._index = 2
        assert runner.view().next_step == "compares a and b"
        runner._index = 3
        assert runner.view().next_step == "plays x.tokcast"
        runner._index = 5
        assert runner.view().next_step == "end"


async def test_speed_and_fallback_keys():
    async with presented(["backend: {use: live, fallback: sim:a/b}", "wait: 10s"]) as (runner, stage, _clock, _task):
        runner.change_speed(2)
        assert runner.pace.speed == 2.0
        await runner.fall_back()
        assert ("chat", "sim:a/b") in stage.done
        assert stage.views[-1].mark == "live did not answer: sim:a/b instead"
        await runner.fall_back()
        assert stage.views[-1].mark == "no fallback in this chapter"


async def test_a_recording_can_be_left(cassette):
    async with presented(["play: a.tokcast", "say: over"], path=cassette) as (runner, _stage, clock, task):
        runner.next_step()
        await clock.advance(0)
        assert task.done()
        assert clock.now_ns() < 1 * MS
