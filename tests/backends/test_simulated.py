import asyncio

import pytest

from chatapp.backends.library import LibraryEntry
from chatapp.backends.simulated import LISTED, SimulatedBackend, listings, open_simulated
from chatapp.backends.telling import GENERIC_REASONING, tell
from chatapp.clock import NS_PER_S, VirtualClock
from chatapp.config import Settings
from chatapp.errors import UnknownNameError, UsageError
from chatapp.hardware.predict import predict
from chatapp.stream.events import Delta, Failed, Finished, Message, Notice, Request, Retell, Sent, ServerTiming, Usage
from chatapp.stream.tokens import count_tokens

RETOLD = "A local model said this, word for word. " * 40


def request(prompt="a question", **fields):
    return Request(messages=(Message("user", prompt),), **fields)


def retell(reasoning="", text=RETOLD, **fields):
    return request(retell=Retell(text, "local", reasoning), **fields)


def opened(name="sim:cs3/kimi-k2.6", **options):
    return open_simulated(name, Settings(), clock=VirtualClock(autojump=True), **options)


async def told(backend, asked):
    return [event async for event in backend.stream(asked)]


def text_of(events, channel="answer"):
    return "".join(event.text for event in events if isinstance(event, Delta) and event.channel == channel)


async def test_the_events_come_in_the_stated_order():
    events = await told(opened(), retell())
    kinds = [type(event) for event in events]
    assert kinds[0] is Notice
    assert kinds[1] is Sent
    assert kinds[-3:] == [Usage, ServerTiming, Finished]
    assert set(kinds[2:-3]) == {Delta}
    assert events[1].source == "process"  # this process stamps what it sends; that it is simulated is said elsewhere


async def test_a_text_to_retell_is_told_whole_and_marked():
    events = await told(opened(), retell())
    assert text_of(events) == RETOLD
    assert text_of(events, "reasoning") == ""
    assert events[0].kind == "text_source"
    assert events[0].message.startswith("text: local, timing: simulated CS-3")
    assert "× 15, the smallest number that holds the model" in events[0].message


async def test_retold_reasoning_comes_first_and_can_be_switched_off():
    asked = retell(reasoning="I think. " * 20)
    events = await told(opened(), asked)
    channels = [event.channel for event in events if isinstance(event, Delta)]
    assert channels == sorted(channels, reverse=True)  # reasoning, then answer
    assert text_of(events, "reasoning") == "I think. " * 20
    off = SimulatedBackend(opened().name, Settings(sim_reasoning=False), clock=VirtualClock(autojump=True))
    assert text_of(await told(off, asked), "reasoning") == ""
    silent = await told(opened(), retell(reasoning="I think.", reasoning_effort="none"))
    assert text_of(silent, "reasoning") == ""
    dense = await told(opened("sim:h100x8/gpt-3-175b"), asked)
    assert text_of(dense, "reasoning") == ""  # a model that does not think


async def test_a_bundled_answer_stands_under_its_own_title():
    events = await told(opened(), request("Explain speculative decoding"))
    [notice] = [event for event in events if isinstance(event, Notice)]
    assert notice.kind == "text_source"
    assert "bundled answer “Speculative decoding” (match 0.70), timing: simulated CS-3" in notice.message
    assert len(text_of(events)) > 500
    assert text_of(events, "reasoning")


async def test_bundled_reasoning_says_how_much_longer_live_models_think():
    events = await told(opened(), request("Explain speculative decoding"))
    thought = sum(e.tokens for e in events if isinstance(e, Delta) and e.channel == "reasoning")
    assert events[0].message.endswith(f", reasoning: {thought} bundled tokens, 1,000 to 8,000 live (assumption)")
    unknown = await told(opened("sim:cs3/gpt-oss-120b"), request("Explain speculative decoding"))
    assert unknown[0].message.endswith("bundled tokens, live of unpublished length, often far longer")
    for silent in (
        await told(opened(), request("Explain speculative decoding", reasoning_effort="none")),
        await told(opened(), retell(reasoning="A real thought.")),  # as long as it really was
        await told(opened("sim:h100x8/gpt-3-175b"), request("Explain speculative decoding")),
    ):
        assert "reasoning" not in silent[0].message


async def test_a_prompt_that_nothing_fits_is_told_so():
    events = await told(opened(), request("what is the capital of france"))
    assert events[0].kind == "no_match"
    assert "0.45 is needed" in events[0].message
    answer = text_of(events)
    assert "no answer to show" in answer
    assert "1. " in answer
    assert "Paris" not in answer
    assert text_of(events, "reasoning") == ""


async def test_tokens_are_exact_and_usage_says_their_sum():
    events = await told(opened(), retell(reasoning="Hm. " * 10, instructions="Be brief."))
    deltas = [event for event in events if isinstance(event, Delta)]
    [usage] = [event for event in events if isinstance(event, Usage)]
    assert sum(delta.tokens for delta in deltas) == usage.output_tokens
    assert sum(d.tokens for d in deltas if d.channel == "reasoning") == usage.reasoning_tokens
    assert usage.output_tokens == count_tokens("Hm. " * 10) + count_tokens(RETOLD)
    assert usage.input_tokens == count_tokens("Be brief.") + count_tokens("a question")


async def test_the_timing_is_the_hardware_models():
    backend = opened("sim:h200x8/kimi-k2.6")
    plan = backend.plan(retell())
    tokens = sum(part.tokens for part in plan.parts)
    model = predict("h200x8", "kimi-k2.6", input_tokens=plan.usage.input_tokens, output_tokens=tokens)
    assert plan.parts[0].offset_ns / NS_PER_S == pytest.approx(model.ttft.value)
    seconds = (plan.parts[-1].offset_ns - plan.parts[0].offset_ns) / NS_PER_S
    assert (tokens - 1) / seconds == pytest.approx(model.speed.value, rel=0.03)


async def test_every_delta_leaves_at_its_deadline():
    backend = opened()
    plan = backend.plan(retell())
    events = await told(backend, retell())
    [sent] = [event for event in events if isinstance(event, Sent)]
    offsets = [event.at_ns - sent.at_ns for event in events if isinstance(event, Delta)]
    assert offsets == [part.offset_ns for part in plan.parts]


async def test_long_prompts_take_longer_to_the_first_token():
    backend = opened("sim:h100x16/kimi-k2.6")
    short = backend.plan(retell()).parts[0].offset_ns
    long = backend.plan(request("word " * 20_000, retell=Retell("ok", "local"))).parts[0].offset_ns
    assert long > 5 * short


async def test_the_same_seed_tells_the_same_timing():
    def offsets(**options):
        return [part.offset_ns for part in opened(**options).plan(retell()).parts]

    assert offsets(seed=3) == offsets(seed=3)
    assert offsets(seed=3) != offsets(seed=4)
    assert offsets() == offsets(seed=Settings().seed)
    own = opened(seed=3).plan(retell(seed=4))
    assert [part.offset_ns for part in own.parts] == offsets(seed=4)


async def test_load_slows_everything():
    alone, busy = opened("sim:h100x16/kimi-k2.6"), opened("sim:h100x16/kimi-k2.6", load=32)
    assert "simulated H100 (× 16; 32 users at once)" in busy.plan(retell()).notices[0].message
    asked = request("word " * 4000, retell=Retell(RETOLD, "local"))
    alone_plan, busy_plan = alone.plan(asked), busy.plan(asked)
    assert busy_plan.parts[0].offset_ns > alone_plan.parts[0].offset_ns
    assert busy_plan.parts[-1].offset_ns > 1.5 * alone_plan.parts[-1].offset_ns


async def test_a_claim_is_played_back_only_on_demand_and_called_that():
    claimed = opened(pace="claimed")
    plan = claimed.plan(retell())
    tokens = sum(part.tokens for part in plan.parts)
    seconds = (plan.parts[-1].offset_ns - plan.parts[0].offset_ns) / NS_PER_S
    assert (tokens - 1) / seconds == pytest.approx(981, rel=0.02)
    assert "a vendor's figure played back" in claimed.info.note
    assert "simulated CS-3 (× 15, the smallest number that holds the model), a vendor's figure played back" in (
        plan.notices[0].message
    )
    assert "timing from a model" in opened().info.note
    with pytest.raises(UsageError, match="no claim is shipped"):
        opened("sim:h100x16/kimi-k2.6", pace="claimed")
    with pytest.raises(UnknownNameError, match="unknown pace"):
        opened(pace="claim")


async def test_a_limit_cuts_the_answer_and_says_so():
    events = await told(opened(), retell(max_output_tokens=10))
    assert sum(event.tokens for event in events if isinstance(event, Delta)) == 10
    assert events[-1].reason == "length"
    nothing = await told(opened(), retell(max_output_tokens=0))
    assert not any(isinstance(event, Delta) for event in nothing)
    assert nothing[-1].reason == "length"


async def test_the_models_window_ends_the_answer():
    backend = opened("sim:h100x8/gpt-3-175b")  # a window of 2,048
    long = await told(backend, request("word " * 2000, retell=Retell(RETOLD, "local")))
    assert long[-1].reason == "length"
    over = await told(backend, request("word " * 3000, retell=Retell(RETOLD, "local")))
    [failed] = over
    assert isinstance(failed, Failed)
    assert failed.code == "bad_request"
    assert "the window of GPT-3 175B 2,048" in failed.message


async def test_it_can_be_cancelled_before_the_first_token():
    backend = open_simulated("sim:h100x16/kimi-k2.6", Settings(), clock=VirtualClock())
    stream = backend.stream(retell())
    events = [await anext(stream), await anext(stream)]
    assert isinstance(events[-1], Sent)
    waiting = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await stream.aclose()


async def test_the_real_clock_is_made_and_closed_for_each_answer():
    backend = open_simulated("sim:cs3/llama-3.1-8b", Settings())
    await backend.warm()
    events = await told(backend, retell(text="ok"))
    assert isinstance(events[-1], Finished)
    await backend.aclose()


def test_the_schedule_is_the_answer_on_a_clock_that_starts_at_0():
    events = opened().schedule(retell())
    [sent] = [event for event in events if isinstance(event, Sent)]
    assert sent.at_ns == 0
    assert text_of(events) == RETOLD
    last = [event for event in events if isinstance(event, Delta)][-1]
    assert events[-1].at_ns == last.at_ns


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("sim:h100x8/kimi-k2.6", "does not fit 8 × H100"),
        ("sim:cs4/kimi-k2.6", "unknown system"),
        ("sim:cs3/kimi-k9", "unknown model"),
        ("sim:cs3x0/kimi-k2.6", "between 1 and"),
        ("sim:cs3", "not a simulated backend's name"),
    ],
)
def test_a_wrong_name_fails_before_any_answer(name, message):
    with pytest.raises(UsageError) as caught:
        opened(name)
    assert message in caught.value.message


def test_what_the_switcher_lists_can_be_opened():
    found = listings()
    assert [info.name for info in found] == [f"sim:{name}" for name in LISTED]
    assert found[0].label == "CS-3 · Kimi K2.6"
    assert next(info.label for info in found if "h100x16" in info.name) == "16 × H100 · Kimi K2.6"
    assert all(info.simulated and info.detail["limit_tps"] > 0 and info.detail["dominant"] for info in found)


def test_models_that_think_think_also_where_a_text_has_no_reasoning_of_its_own():
    class OneAnswer:
        starters = ()

        def search(self, prompt, *, limit=3):
            from chatapp.backends.library import Match

            return [Match(LibraryEntry("a", "A", "code", "text"), 1.0)]

    telling = tell(request(), OneAnswer(), timing="simulated X")
    assert telling.reasoning == GENERIC_REASONING
    assert telling.reasoning.startswith("This is bundled text")


def test_without_starters_the_honest_text_stands_alone():
    class Nothing:
        starters = (LibraryEntry("a", "A title", "code", "text", starter=1),)

        def search(self, prompt, *, limit=3):
            return []

    telling = tell(request(), Nothing(), timing="simulated X")
    assert "1. A title" in telling.answer
    assert "there is nothing to match" in telling.notices[0].message
