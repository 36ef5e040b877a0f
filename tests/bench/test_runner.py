import asyncio
import gc

import pytest

from chatapp.bench import runner as runner_module
from chatapp.bench.cost import Budget, Price
from chatapp.bench.runner import Runner, quiet_collector
from chatapp.bench.schedule import Load
from chatapp.errors import BackendError
from chatapp.stream.events import Failed
from tests.bench.conftest import MS, ScriptedBackend


def failed(code):
    return Failed(at_ns=0, code=code, message=f"{code} happened", hint="do this")


async def test_one_after_the_other(clock, workload):
    backend = ScriptedBackend(clock)
    run = await Runner(backend, workload, clock).run(Load(requests=5, warmup=2))
    assert backend.warmed == 1
    assert len(backend.requests) == 7
    assert backend.most_running == 1
    assert [response.number for response in run.responses] == [0, 1, 2, 3, 4]
    assert {response.figures.ttft_ms for response in run.good} == {100}
    assert {response.figures.output_speed_tps for response in run.good} == {100}
    assert run.lasted_s == pytest.approx(5 * 0.2)
    assert (run.partial, run.doubt.fitness) == (None, "fit")
    assert run.responses[1].begun_s == pytest.approx(0.2)


async def test_no_two_requests_are_alike_not_even_the_warmup(clock, workload):
    backend = ScriptedBackend(clock)
    runner = Runner(backend, workload, clock)
    await runner.run(Load(requests=4, concurrency=2))
    await runner.run(Load(requests=4))
    prompts = [request.prompt for request in backend.requests]
    assert len(set(prompts)) == len(prompts) == 10


async def test_so_many_at_once_and_no_more(clock, workload):
    backend = ScriptedBackend(clock)
    run = await Runner(backend, workload, clock).run(Load(requests=10, concurrency=4, warmup=0))
    assert backend.most_running == 4
    assert len(run.good) == 10
    assert run.lasted_s == pytest.approx(3 * 0.2)


async def test_a_duration_bounds_when_requests_begin_not_when_they_end(clock, workload):
    run = await Runner(ScriptedBackend(clock), workload, clock).run(Load(duration_s=0.5, warmup=0))
    assert len(run.good) == 3
    assert run.lasted_s == pytest.approx(0.6)


async def test_an_open_load_sends_at_its_rate_whatever_is_running(clock, workload):
    backend = ScriptedBackend(clock)
    load = Load(requests=8, rate=20, arrivals="constant", concurrency=0, warmup=0)
    run = await Runner(backend, workload, clock).run(load)
    assert backend.asked_ns == [i * 50 * MS for i in range(8)]
    assert backend.most_running == 4
    assert {response.late_s for response in run.responses} == {0}
    assert run.health.late_p99_ms == 0


async def test_an_open_load_that_is_held_back_says_how_late_it_was(clock, workload):
    load = Load(requests=8, rate=20, arrivals="constant", concurrency=1, warmup=0)
    run = await Runner(ScriptedBackend(clock), workload, clock).run(load)
    assert run.responses[-1].late_s == pytest.approx(7 * 0.15)
    assert run.doubt.fitness == "doubtful"
    assert "the stated rate was not offered" in run.doubt.reasons[0]


async def test_errors_are_counted_and_not_measured(clock, workload):
    backend = ScriptedBackend(clock, failures=[failed("server_error"), failed("timeout")])
    run = await Runner(backend, workload, clock).run(Load(requests=5, warmup=0))
    assert [response.kind_of_error for response in run.responses] == ["server_error", "timeout", None, None, None]
    assert len(run.good) == 3


async def test_a_failure_that_would_repeat_ends_the_run(clock, workload):
    backend = ScriptedBackend(clock, failures=[failed("bad_request")])
    run = await Runner(backend, workload, clock).run(Load(requests=50, warmup=0))
    assert len(run.responses) == 1
    assert run.partial == "bad_request: every further request would fail alike"


async def test_a_backend_that_cannot_be_used_is_told_before_anything_is_measured(clock, workload):
    backend = ScriptedBackend(clock, failures=[failed("auth")])
    with pytest.raises(BackendError, match="auth happened") as caught:
        await Runner(backend, workload, clock).run(Load(requests=5))
    assert caught.value.hint == "do this"
    assert len(backend.requests) == 1


async def test_stopping_keeps_what_was_measured_and_marks_it(clock, workload):
    stop = asyncio.Event()
    backend = ScriptedBackend(clock)
    runner = Runner(backend, workload, clock, stop=stop)

    async def stop_later():
        await clock.sleep_until(500 * MS)
        stop.set()

    later = asyncio.create_task(stop_later())
    run = await runner.run(Load(requests=50, concurrency=2, warmup=0))
    await later
    assert run.partial == "interrupted"
    assert len(run.good) == 4
    assert [response.kind_of_error for response in run.responses] == [None] * 4 + ["cancelled"] * 2
    assert backend.closed_early == 2
    assert run.responses[-1].figures.ttft_ms == 100  # what came of a cut-off answer is kept


async def test_stopping_during_the_warmup_measures_nothing(clock, workload):
    stop = asyncio.Event()
    stop.set()
    run = await Runner(ScriptedBackend(clock), workload, clock, stop=stop).run(Load(requests=5, warmup=3))
    assert (run.responses, run.partial) == ((), "interrupted")


async def test_the_budget_ends_the_run(clock, workload):
    runner = Runner(ScriptedBackend(clock), workload, clock, budget=Budget(tokens=60), price=Price())
    run = await runner.run(Load(requests=50, warmup=1))
    assert run.partial == "--max-tokens 60 reached"
    assert len(run.good) == 3  # 18 tokens each, and the warm-up's count too


async def test_input_tokens_come_from_the_workload_where_the_server_says_none(clock, workload):
    import msgspec

    workload = msgspec.structs.replace(workload, input_tokens=1_000)
    backend = ScriptedBackend(clock, failures=[failed("server_error")])
    run = await Runner(backend, workload, clock).run(Load(requests=2, warmup=0))
    assert [response.figures.input_tokens for response in run.responses] == [1_000, 7]
    assert [response.figures.input_estimated for response in run.responses] == [True, False]


async def test_progress_tells_how_the_level_stands(clock, workload):
    backend = ScriptedBackend(clock, failures=[failed("server_error")])
    runner = Runner(backend, workload, clock)
    assert runner.progress() is None
    seen = []

    async def look():
        for at_ms in (5, 50, 155, 450):
            await clock.sleep_until(at_ms * MS)
            seen.append(runner.progress())

    looking = asyncio.create_task(look())
    await runner.run(Load(requests=3, warmup=0))
    await looking
    assert [(p.done, p.errors, p.running) for p in seen[:3]] == [(1, 1, 1)] * 3
    assert seen[1].characters_per_s is None
    assert seen[2].characters_per_s == pytest.approx(500)
    assert seen[2].elapsed_s == pytest.approx(0.155)
    assert seen[3] is None


async def test_only_so_many_requests_and_answers_are_held(clock, workload, monkeypatch):
    monkeypatch.setattr(runner_module, "MAX_PREPARED", 10)
    monkeypatch.setattr(runner_module, "MAX_ROWS_KEPT", 20)
    run = await Runner(ScriptedBackend(clock), workload, clock).run(Load(requests=8, concurrency=4))
    assert len(run.good) == 8


def test_the_collector_is_as_before_after_a_measurement():
    before = gc.get_threshold()
    with quiet_collector():
        assert gc.get_threshold() != before
        assert gc.get_freeze_count() > 0
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0
