import asyncio
import os
import signal

import msgspec
import pytest

from chatapp.bench.cost import FREE, Budget, Price
from chatapp.bench.plan import Plan, carry_out, price_of, stopping_on_interrupt
from chatapp.bench.schedule import Load, sweep
from chatapp.config import Settings
from chatapp.errors import BackendError
from chatapp.stream.events import BackendInfo, Failed
from chatapp.stream.figures import Goodput
from chatapp.timer import PreciseClock
from tests.bench.conftest import ScriptedBackend


@pytest.fixture
def plan(workload):
    return Plan(
        backend=ScriptedBackend(PreciseClock(), ttft_ms=2, gap_ms=1, tokens=5),
        workload=workload,
        loads=sweep(Load(requests=3, warmup=0), (1, 2)),
        run_id="r",
        limits=Goodput(),
        budget=Budget(),
        price=FREE,
        cooldown_s=0.01,
    )


async def test_all_levels_are_run_and_the_backend_is_closed(plan):
    levels, progress = [], []
    runs = await carry_out(plan, on_level=levels.append, on_progress=progress.append)
    assert [run.load.concurrency for run in runs] == [1, 2]
    assert levels == runs
    assert all(len(run.good) == 3 for run in runs)
    assert progress
    assert plan.backend.closed


async def test_a_recording_keeps_every_arrival(plan, tmp_path):
    plan.record = tmp_path / "run.tokcast"
    await carry_out(plan)
    text = plan.record.read_text()
    assert "worker-1" in text
    assert "worker-2" in text
    assert text.count(" word") == 6 * 5


async def test_a_backend_that_cannot_be_used_is_closed_too(plan):
    plan.backend.failures = [Failed(at_ns=0, code="auth", message="no")]
    plan.loads = (Load(requests=3),)
    with pytest.raises(BackendError):
        await carry_out(plan)
    assert plan.backend.closed


async def test_ctrl_c_keeps_what_was_measured(plan):
    plan.loads = sweep(Load(requests=100_000, warmup=0), (1, 2))

    def interrupt(progress):
        if progress is not None and progress.done >= 2:
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    runs = await carry_out(plan, on_progress=interrupt)
    assert signal.getsignal(signal.SIGINT) is before
    assert len(runs) == 1
    assert runs[0].partial == "interrupted"
    assert len(runs[0].good) >= 2


async def test_a_ctrl_c_that_comes_twice_at_once_is_one(plan):
    plan.loads = (Load(requests=100_000, warmup=0),)

    def interrupt(progress):
        if progress is not None and progress.done >= 2:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    (run,) = await carry_out(plan, on_progress=interrupt)
    assert run.partial == "interrupted"
    assert len(run.good) >= 2


async def test_a_later_ctrl_c_interrupts_as_usual(monkeypatch):
    monkeypatch.setattr("chatapp.bench.plan.AGAIN_S", 0.0)
    heard = []
    before = signal.signal(signal.SIGINT, lambda number, _frame: heard.append(number))
    try:
        stop = asyncio.Event()
        with stopping_on_interrupt(stop):
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.wait_for(stop.wait(), 5)
            assert not heard
            os.kill(os.getpid(), signal.SIGINT)
            assert heard == [signal.SIGINT]
    finally:
        signal.signal(signal.SIGINT, before)


async def test_elsewhere_than_in_the_main_thread_interrupts_are_left_alone():
    async def inside():
        with stopping_on_interrupt(asyncio.Event()):
            return signal.getsignal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    assert await asyncio.to_thread(asyncio.run, inside()) is before


INFO = BackendInfo(name="cerebras/gpt-oss-120b", label="", kind="live", provider="", model="gpt-oss-120b")


def test_prices_are_the_catalogs_and_nothing_on_this_machine():
    settings = Settings()
    known = price_of(INFO, settings)
    assert known.input_usd > 0
    assert price_of(msgspec.structs.replace(INFO, model="unheard-of"), settings) == Price()
    assert price_of(msgspec.structs.replace(INFO, name="gone/x"), settings) == Price()
    assert price_of(msgspec.structs.replace(INFO, name="ollama/x"), settings) == FREE
    assert price_of(msgspec.structs.replace(INFO, kind="simulated"), settings) == FREE
    assert price_of(INFO, settings, base_url="http://127.0.0.1:8000/v1") == FREE
    assert price_of(INFO, settings, base_url="https://example.com/v1") == Price()
