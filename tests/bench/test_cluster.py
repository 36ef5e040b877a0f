"""A benchmark on several workers, each a process: as on one machine, and nothing lost when one of them is."""

import asyncio
import gc
import json
import os
import signal
import socket
import sys
import time
from pathlib import Path

import pytest

from chatapp.backends.registry import resolve
from chatapp.bench import cluster, workforce
from chatapp.bench.cluster import Target, carry_out_together
from chatapp.bench.cost import FREE, Budget
from chatapp.bench.plan import Plan
from chatapp.bench.report import to_csv, to_json
from chatapp.bench.schedule import Load
from chatapp.bench.table import table
from chatapp.bench.workforce import Member, open_workforce
from chatapp.bench.workloads import single_prompt
from chatapp.config import Settings
from chatapp.errors import ChatappError, UsageError
from chatapp.recording.answers import load_answers
from chatapp.recording.reader import Recording
from chatapp.stream.answer import Answer
from chatapp.stream.metrics import Goodput

pytest.importorskip("distributed", reason="needs the extra `cluster`")

pytestmark = [
    pytest.mark.timeout(110),
    pytest.mark.skipif(sys.platform != "linux", reason="finds its processes in /proc"),
    # Dask's own connections to workers that have gone are closed by the garbage collector, after their loop.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

SIMULATED = "sim:h100x16/kimi-k2.6"


@pytest.fixture(autouse=True, scope="module")
def tidy():
    """Collect what Dask leaves behind before another module's tests begin."""
    yield
    for _ in range(3):
        gc.collect()


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    for name in ("CONFIG", "DATA", "STATE", "CACHE"):
        monkeypatch.setenv(f"CHATAPP_{name}_DIR", str(tmp_path / name.lower()))
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # what a killed worker cannot remove stays in the test's own folder
    yield tmp_path
    gc.collect()  # what Dask leaves behind is collected here, and not in the middle of somebody else's test


def plan_of(*loads, record=None, backend=SIMULATED, tokens=60):
    return Plan(
        backend=resolve(backend, Settings()),
        workload=single_prompt("What is a token?", output_tokens=tokens),
        loads=loads,
        run_id="seed",
        limits=Goodput(),
        budget=Budget(),
        price=FREE,
        record=record,
    )


def workers():
    """Return the process ids of our workers."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == os.getpid() and b"dask_worker" in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except (OSError, ValueError, IndexError):
            continue
    return sorted(found)


async def test_two_workers_measure_as_one_machine_does(folders):
    said, seen = [], []
    record = folders / "run.tokcast"
    plan = plan_of(Load(requests=6, concurrency=4), record=record)
    target = Target(backend=SIMULATED)
    runs = await carry_out_together(plan, target, "local:2", on_progress=seen.append, on_problem=said.append)
    assert workers() == []
    assert said == []

    (run,) = runs
    assert run.partial is None
    assert len(run.good) == 6
    assert {response.worker for response in run.responses} == {"worker-1", "worker-2"}
    for part in run.parts:
        assert 0 < part.clock_error_ms < 1000
        assert abs(part.clock_offset_ms) <= part.clock_error_ms, "both read one clock here: the truth is 0"
        assert part.requests == 3
        assert part.start_late_ms >= -part.clock_error_ms
    assert max(progress.running for progress in seen if progress) > 2, "progress is that of all workers"

    report = json.loads(json.dumps(to_json(runs, plan.workload, run_id="seed")))
    assert {response["worker"] for response in report["responses"]} == {"worker-1", "worker-2"}
    assert report["levels"][0]["workers"][0]["address"].startswith("tls://127.0.0.1:")
    assert report["summary"]["ttft_ms"]["n"] == 6
    assert "worker" in to_csv(runs).splitlines()[0].split(",")
    assert "worker-2 at tls://" in table([cluster_level(run)])

    with Recording.open(record) as recording:
        recorded = [figures(answer) for answer in load_answers(recording)]
    measured = [response.figures for response in run.responses]
    assert sorted(f.ttft_ms for f in recorded) == sorted(f.ttft_ms for f in measured), "arrivals came whole"
    assert sorted(f.output_speed_tps for f in recorded) == sorted(f.output_speed_tps for f in measured)


def cluster_level(run):
    from chatapp.bench.report import assess

    return assess(run)


def figures(recorded):
    answer = Answer(recorded.info, recorded.request)
    for event in recorded.events:
        answer.feed(event)
    return answer.final()


async def test_a_worker_that_is_killed_is_reported_and_the_rest_is_kept(folders):
    said, killed = [], []

    def kill_one(progress):
        if progress is not None and progress.done >= 2 and not killed:
            killed.append(workers()[0])
            os.kill(killed[0], signal.SIGKILL)

    plan = plan_of(Load(requests=12, concurrency=4), Load(requests=2, concurrency=2), tokens=100)
    runs = await carry_out_together(
        plan, Target(backend=SIMULATED), "local:2", on_progress=kill_one, on_problem=said.append
    )
    first, second = runs
    assert "was lost: its share of about 6 requests is missing" in first.partial
    assert len(first.good) == 6
    (lost,) = (part for part in first.parts if part.lost)
    assert any(f"{lost.worker} at {lost.address} was lost" in line for line in said)
    assert second.partial is None, "the next level is divided among those that are left"
    assert [len(second.good), len(second.parts)] == [2, 1]
    assert workers() == []


async def test_a_worker_lost_before_the_start_costs_nothing(folders):
    said, killed = [], []

    def kill_one(progress):
        if progress is None and not killed:
            killed.append(workers()[0])
            os.kill(killed[0], signal.SIGKILL)

    plan = plan_of(Load(requests=4, concurrency=2), record=folders / "run.tokcast")
    (run,) = await carry_out_together(
        plan, Target(backend=SIMULATED), "local:2", on_progress=kill_one, on_problem=said.append
    )
    assert (run.partial, len(run.good)) == (None, 4)
    with Recording.open(plan.record) as recording:
        assert len(recording.starts) == 4
    assert "a worker was lost before the start: its share is divided among the others" in said


async def test_ctrl_c_stops_all_and_keeps_what_was_measured(folders):
    sent = []

    def interrupt(progress):
        if progress is not None and progress.done >= 2 and not sent:
            sent.append(True)
            os.kill(os.getpid(), signal.SIGINT)

    plan = plan_of(Load(requests=400, concurrency=4), Load(requests=2), tokens=60)
    runs = await carry_out_together(plan, Target(backend=SIMULATED), "local:2", on_progress=interrupt)
    (run,) = runs
    assert run.partial == "interrupted"
    assert 2 <= len(run.good) < 400
    assert any(response.figures.outcome == "cancelled" for response in run.responses), "those on their way, marked"
    assert workers() == []


async def test_keys_come_from_the_worker_and_versions_must_be_the_same(monkeypatch):
    monkeypatch.delenv("CEREBRAS_API_KEY", raising=False)
    async with open_workforce("local:1") as force:
        (member,) = await force.muster()
        monkeypatch.setenv("CEREBRAS_API_KEY", "csk-" + "k" * 40)  # ours: the worker was started without it
        level = cluster.Level(
            force,
            plan_of(Load(requests=1)),
            Target(backend="cerebras/gpt-oss-120b"),
            Load(requests=1),
            "seed",
            asyncio.Event(),
            None,
            print,
        )
        with pytest.raises(ChatappError, match=r"worker-1 at tls://.*CEREBRAS_API_KEY is not set"):
            await level.run([member])
        monkeypatch.setattr(workforce, "__version__", "9.9.9")
        with pytest.raises(ChatappError, match=r"worker tls://\S+ has chatapp \d\S+, this is 9\.9\.9"):
            await force.muster()
    assert workers() == []


@pytest.mark.parametrize("address", ["local:0", "local:10000", "local:", "local:x", "nonsense", "http://a:1/x", ""])
async def test_an_address_that_is_none_is_wrong_use(address):
    with pytest.raises(UsageError):
        async with open_workforce(address):
            pass


async def test_an_unreachable_scheduler_is_a_clear_error_within_seconds(monkeypatch):
    monkeypatch.setattr(workforce, "REACH_S", 0.5)
    with socket.socket() as bound:  # reserved, and nobody listens
        bound.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{bound.getsockname()[1]}"
        with pytest.raises(ChatappError, match=r"the scheduler at .* cannot be reached"):
            async with open_workforce(address):
                pass


async def test_a_scheduler_without_workers_is_a_clear_error(monkeypatch):
    from distributed import Scheduler

    monkeypatch.setattr(workforce, "REACH_S", 1.0)
    async with Scheduler(host="127.0.0.1", dashboard_address="127.0.0.1:0") as scheduler:
        with pytest.raises(ChatappError, match="has no workers"):
            async with open_workforce(scheduler.address):
                pass


async def test_without_the_extra_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ChatappError, match="needs the extra 'cluster'"):
        async with open_workforce("local:1"):
            pass


def member(name, **changed):
    return Member(name=name, address=f"tcp://{name}:1", host=name, **changed)


async def test_a_worker_that_joins_late_takes_no_part():
    class Force:
        async def muster(self):
            return [member("worker-1", offset_ns=5), member("worker-2")]

    said = []
    still = await workforce.still_there(Force(), [member("worker-1"), member("worker-3")], said.append)
    assert still == [member("worker-1", offset_ns=5)], "with its clock compared anew"
    assert said == ["worker-2 at tcp://worker-2:1 joined late: it takes no part in this run"]


def test_a_clock_that_is_off_by_seconds_is_said():
    said = []
    workforce.remark_clocks(
        [member("worker-1", wall_offset_s=-3.25), member("worker-2", wall_offset_s=0.2)], said.append
    )
    assert said == ["worker-1 (worker-1): its wall clock is off by -3.2 s; in no figure"]


async def test_clocks_are_compared_by_the_shortest_round_trip():
    class Client:
        """A worker whose monotonic clock is an hour ahead, behind a line of uneven speed."""

        delays = iter([0.03, 0.001, *[0.02] * 20])

        async def run(self, function, *arguments, workers=None, on_error="raise"):
            delay = next(self.delays)
            await asyncio.sleep(delay)
            answer = (time.monotonic_ns() + 3_600 * 10**9, time.time_ns() + 2 * 10**9)
            await asyncio.sleep(delay)
            return dict.fromkeys(workers, answer)

    one = await workforce.Workforce(Client())._compare_clocks(member("worker-1"))
    assert abs(one.offset_ns - 3_600 * 10**9) <= one.error_ns
    assert one.error_ns < 20_000_000, "the second round was the quick one"
    assert one.wall_offset_s == pytest.approx(2.0, abs=one.error_ns / 1e9 + 0.01)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (ModuleNotFoundError("No module named 'chatapp'"), "worker tcp://a:1 has no chatapp"),
        (RuntimeError("odd \x1b[2J"), r"worker tcp://a:1 cannot be used: RuntimeError: odd [^\x1b]*$"),
        ("0.0.1", r"worker tcp://a:1 has chatapp 0\.0\.1, this is "),
    ],
)
async def test_a_worker_that_cannot_take_part_is_named(found, said):
    class Client:
        async def run(self, function, *arguments, workers=None, on_error="raise"):
            return {"tcp://a:1": found}

    with pytest.raises(ChatappError, match=said):
        await workforce.Workforce(Client()).muster()


async def test_a_worker_that_is_gone_answers_with_the_reason():
    class Client:
        async def run(self, function, *arguments, workers=None, on_error="raise"):
            raise OSError("gone")

    force = workforce.Workforce(Client())
    assert str(await force.ask(time.time, member=member("worker-1"))) == "gone"
    assert await force.look(time.time) is None


async def test_no_worker_left_is_an_error():
    load = Load(requests=1)
    target = Target(backend=SIMULATED)
    level = cluster.Level(None, plan_of(load), target, load, "seed", asyncio.Event(), None, print)
    with pytest.raises(ChatappError, match="every worker was lost before the start"):
        await level.run([])
