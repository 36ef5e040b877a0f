import asyncio

import pytest

from chatapp.bench.health import Health, Watch, judge
from chatapp.clock import VirtualClock
from chatapp.stream.figures import Figures


def figures(source="process", *, ttft=100.0, e2e=1100.0, simulated=False, **more):
    return [Figures(arrival_source=source, ttft_ms=ttft, e2e_ms=e2e, simulated=simulated, **more)] * 5


def test_a_quiet_machine_is_fit():
    doubt = judge(Health(cpu_share=0.2, lag_p50_ms=0.05, lag_p99_ms=0.5), figures())
    assert (doubt.fitness, doubt.reasons, doubt.latency_error_ms) == ("fit", (), 0.5)
    assert doubt.speed_error == pytest.approx(0.001)


def test_lag_marks_figures_that_the_process_stamped_and_says_by_how_much():
    doubt = judge(Health(lag_p50_ms=0.1, lag_p99_ms=30), figures())
    assert doubt.fitness == "doubtful"
    assert "30.0 ms too long (30% of the median)" in doubt.reasons[0]
    assert "off by up to 6.0%" in doubt.reasons[1]


def test_lag_that_spoils_even_the_median_is_refused():
    assert judge(Health(lag_p50_ms=30, lag_p99_ms=50), figures()).fitness == "refused"
    assert judge(Health(lag_p50_ms=15, lag_p99_ms=50), figures(e2e=200)).fitness == "refused"


def test_simulated_figures_are_marked_but_never_refused():
    assert judge(Health(lag_p50_ms=90, lag_p99_ms=90), figures("schedule", simulated=True)).fitness == "doubtful"


def test_lag_does_not_touch_what_the_kernel_stamped():
    lag = Health(lag_p50_ms=30, lag_p99_ms=50)
    assert judge(lag, figures("kernel", ttft_uncertainty_ms=0.05)).fitness == "fit"
    assert judge(lag, figures("kernel", ttft_uncertainty_ms=40, speed_uncertainty=0.01)).fitness == "refused"


def test_recorded_arrivals_are_as_good_as_they_were():
    assert judge(Health(lag_p50_ms=90, lag_p99_ms=90), figures("recording")).fitness == "fit"


def test_a_process_out_of_cpu_is_said():
    assert "97% of a core" in judge(Health(cpu_share=0.97), figures()).reasons[0]


def test_requests_sent_late_are_said():
    health = Health(late_p99_ms=5)
    assert judge(health, figures(), rate=10).fitness == "fit"
    assert "5.0 ms late" in judge(health, figures(), rate=100).reasons[0]


def test_nothing_measured_is_nothing_doubted():
    assert judge(Health(), []).fitness == "fit"
    assert judge(Health(lag_p99_ms=9), [Figures()]).reasons == ()


async def test_the_watch_samples_lag_and_cpu():
    clock = VirtualClock()
    async with Watch(clock) as watch:
        await asyncio.sleep(0)
        await clock.advance(100_000_000)
        sum(range(200_000))
    health = watch.health([1_000_000, 3_000_000])
    assert health.lag_p99_ms == 0
    assert health.cpu_share > 0
    assert health.late_p99_ms == pytest.approx(2.98)


async def test_a_watch_without_a_sample_knows_no_lag():
    async with Watch(VirtualClock()) as watch:
        pass
    assert watch.health().lag_max_ms is None
    assert Watch(VirtualClock()).health().cpu_share == 0
