import msgspec
import pytest

from chatapp.bench.health import Doubt
from chatapp.bench.report import assess
from chatapp.bench.runner import Progress, Runner
from chatapp.bench.schedule import Load
from chatapp.bench.table import number, plot, progress_line, table
from chatapp.stream.events import Failed
from chatapp.stream.figures import Goodput
from tests.bench.conftest import ScriptedBackend, busy


@pytest.fixture
async def levels(clock, workload):
    failures = [busy(2), Failed(at_ns=0, code="timeout", message="")]
    runner = Runner(ScriptedBackend(clock, failures=failures), workload, clock)
    limits = Goodput(ttft_ms=100)
    return [
        assess(await runner.run(Load(requests=6, concurrency=concurrency, warmup=0)), limits) for concurrency in (1, 2)
    ]


def test_one_level_is_a_row_for_each_figure(levels):
    lines = table(levels[:1]).splitlines()
    assert lines[0].split() == ["median", "95", "%", "interval", "p90", "p99", "n", "unit"]
    speed = next(line for line in lines if line.startswith("output speed"))
    assert speed.split()[2:] == ["100", "100", "…", "100", "100", "100", "5", "tok/s"]
    assert not any(line.startswith("TTFA") for line in lines)
    assert "1 of 6 requests failed: timeout ×1; in no figure" in lines
    assert "goodput: 83.3% of requests met every limit" in lines
    assert "waited 2.0 s because the server asked for it; in no figure" in lines


def test_a_sweep_is_a_row_for_each_level(levels):
    lines = table(levels).splitlines()
    assert lines[1].split()[:6] == ["×1", "5", "1", "100", "100", "100"]
    assert lines[2].split()[:3] == ["×2", "6", "0"]
    assert lines[2].split()[-1] == "100%"
    assert "×1: 1 of 6 requests failed: timeout ×1; in no figure" in lines


def test_a_request_that_was_cut_off_from_this_side_did_not_fail(levels):
    errors = {"cancelled": 2, "timeout": 1}
    level = msgspec.structs.replace(levels[0], succeeded=3, errors=errors)
    lines = table([level, level]).splitlines()
    assert lines[1].split()[1:3] == ["3", "1"]
    assert "×1: 1 of 6 requests failed: timeout ×1; in no figure" in lines
    assert "×1: 2 of 6 requests cut off from this side; in no figure" in lines


def test_doubt_and_an_early_end_stand_beside_the_figures(levels):
    doubt = Doubt(fitness="doubtful", latency_error_ms=3, speed_error=0, reasons=("3 ms",))
    level = msgspec.structs.replace(levels[1], doubt=doubt, partial="interrupted", waited_s=0.0, goodput=None)
    text = table([level])
    assert "doubtful: 3 ms" in text
    assert "partial: interrupted" in text
    refused = msgspec.structs.replace(level, summary=None, doubt=msgspec.structs.replace(doubt, fitness="refused"))
    text = table([refused])
    assert "NO FIGURES: this machine was the bottleneck: 3 ms" in text
    assert "–" in text
    assert table([refused, refused]).count("NO FIGURES") == 2


def test_the_plot_has_a_bar_for_each_level(levels):
    lines = plot(levels, width=10).splitlines()
    assert [line for line in lines if not line.startswith(" ")] == ["tok/s each", "tok/s all", "TTFT ms"]
    assert lines[1] == "  ×1 ██████████ 100"
    nothing = [msgspec.structs.replace(level, summary={}, total_output_tps=None) for level in levels]
    assert plot(nothing).splitlines()[1] == "  ×1  –"


@pytest.mark.parametrize(
    ("value", "shown"), [(None, "–"), (0.12345, "0.123"), (1.23456, "1.235"), (98.765, "98.77"), (12345.6, "12,346")]
)
def test_numbers_have_the_digits_they_deserve(value, shown):
    assert number(value) == shown


def test_the_progress_line():
    progress = Progress(
        load=Load(requests=4),
        elapsed_s=3,
        done=2,
        errors=1,
        running=1,
        ttft_ms=123.4,
        characters_per_s=456.7,
    )
    assert progress_line(progress, cells=4) == "×1 ██·· 2/4  1 running  TTFT 123.4 ms  456.7 char/s  1 errors"
    timed = Progress(
        load=Load(duration_s=10), elapsed_s=30, done=0, errors=0, running=1, ttft_ms=None, characters_per_s=None
    )
    assert progress_line(timed, cells=4) == "×1 ████ 30/10 s  1 running"
