import base64
import hashlib
import json
import re

import pytest

from chatapp.bench.cost import FREE, Price
from chatapp.bench.workloads import Workload
from chatapp.clock import VirtualClock
from chatapp.compare import page, report
from chatapp.compare.contest import Contest, Contestant
from chatapp.stream.events import BackendInfo, Failed
from tests.bench.conftest import ScriptedBackend

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)> {{data}} \u2028 <!-- \x1b[2J & \"'"


async def made(*backends, runs=3, prompt="why?", price=FREE, failures=None):
    clock = VirtualClock(autojump=True)
    for backend in backends:
        backend.clock = clock
    contestants = [Contestant(b.info.name, b.info.label, b, price) for b in backends]
    workload = Workload(name="prompt", title="one prompt", source="own", prompts=(prompt,))
    contest = Contest(contestants, workload, clock, run_id="r")
    await contest.run(runs, warmup=0)
    return report.to_json(contest, prompt)


def live(**options):
    return ScriptedBackend(None, **{"name": "slow/m", "label": "Slow", "gap_ms": 20, **options})


def simulated(**options):
    options = {"name": "sim:f/m", "label": "Fast", "gap_ms": 5, "kind": "simulated", "note": "from a model", **options}
    return ScriptedBackend(None, **options)


def headline(html):
    return re.search(r"<h1>(.*?)</h1>", html, re.DOTALL)[1].replace("\u00a0", " ")


def embedded(html, identifier="report"):
    pattern = rf'<script type="application/json" id="{identifier}">(.*?)</script>'
    return json.loads(re.search(pattern, html, re.DOTALL)[1])


async def test_the_page_says_it_all_and_holds_all_data():
    data = await made(live(), simulated())
    html = page.to_html(data)
    assert headline(html) == "Fast (simulated) wrote 4.0 times as fast as Slow"
    assert "95 % interval of the ratio: 4.00 to 4.00" in html
    assert "Fast: simulated: timing from a hardware model" in html
    assert html.count('class="badge simulated"') == 1
    assert embedded(html) == json.loads(json.dumps(data))
    assert embedded(html, "responses-csv").splitlines()[0].startswith("backend,kind,simulated,run,ttft_ms")
    assert "{{" not in html.replace("{{data}}", "")
    assert len(html) < 2_000_000 / 2


async def test_nothing_but_its_own_scripts_may_run_and_nothing_may_be_fetched():
    html = page.to_html(await made(live(), simulated()))
    policy = re.search(r'Content-Security-Policy" content="(.*?)"', html)[1]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-inline'; script" not in policy
    scripts = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    assert len(scripts) == 3
    for script in scripts:
        assert f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" in policy
    assert re.findall(r'<(?:link|img|script|iframe)[^>]+(?:src|href)="(.*?)"', html) == ["data:,"]


async def test_hostile_text_is_text_wherever_it_stands():
    backend = live(label=HOSTILE, name=HOSTILE, failures=[Failed(0, "server_error", HOSTILE)])
    html = page.to_html(await made(backend, simulated(note=HOSTILE), prompt=HOSTILE))
    assert html.count("</script>") == 5
    assert "<img" not in html
    assert "<script>alert" not in html
    assert "\x1b" not in html
    assert embedded(html)["prompt"] == HOSTILE


async def test_headlines_say_no_more_than_was_found():
    one_run = page.to_html(await made(live(), simulated(), runs=1))
    assert "One run each: no interval" in one_run
    assert "requests left within" in one_run
    same = page.to_html(await made(live(), live(name="b/m", label="Other")))
    assert "cannot be told apart in speed" in headline(same)
    dead = live(name="b/m", label="Dead", failures=[Failed(0, "auth", "no key")])
    assert headline(page.to_html(await made(live(), dead))) == "Only Slow gave a whole answer"
    dead = [live(name=f"{name}/m", label="Dead", failures=[Failed(0, "auth", "no key")]) for name in "ab"]
    html = page.to_html(await made(*dead, runs=1))
    assert headline(html) == "No backend gave a whole answer"
    assert "took no further part: auth: no key" in html


async def test_when_the_faster_one_stands_second_the_interval_is_turned_too():
    data = await made(live(), simulated())
    ratio = next(row for row in data["ratios"] if row["figure"] == "common_tps")
    ratio["ci95"] = [0.2, 0.5]
    assert "95 % interval of the ratio: 2.00 to 5.00" in page.to_html(data)
    data["ratios"] = [{**ratio, "of": ratio["to"], "to": ratio["of"], "ratio": 123.4, "ci95": [100.0, 200.0]}]
    assert "123 times" in headline(page.to_html(data))


async def test_costs_are_shown_where_something_is_paid_for():
    html = page.to_html(await made(live(), simulated(), price=Price(1.0, 100.0)))
    assert 'data-label="$ / answer"><span>0.0011' in html
    assert 'data-label="$ / M out"><span>100.00' in html
    assert 'data-label="$ / answer"><span>–' in html  # the simulated one costs nothing that could be compared
    assert "$ / answer" not in page.to_html(await made(live(), simulated()))


async def test_what_must_be_said_is_said():
    data = await made(live(), simulated(), prompt="x" * 5000)
    data["partial"] = "interrupted"
    data["backends"][0]["waited_s"] = 3.0
    data["backends"][1]["detail"] = {"claim": "981; model, not having seen it, 845 (546 to 1,307)"}
    data["responses"][0]["doubtful"] = True
    html = page.to_html(data)
    for words in (
        "Partial: interrupted",
        "waited 3.0 s",
        "981; model, not having seen it",
        "less certain",
        "and 2,000",
    ):
        assert words in html
    assert "All of it is simulated" in page.to_html(await made(simulated(), simulated(name="sim:g/m")))


@pytest.mark.parametrize("kind", ["local", "recorded"])
async def test_other_kinds_than_live_are_named(kind):
    html = page.to_html(await made(live(), live(name="b/m", label="B", kind=kind, gap_ms=1)))
    assert f"B ({kind}) wrote" in headline(html)
    assert BackendInfo("b/m", "B", kind, "", "").kind == kind


def test_the_charting_library_is_the_one_that_was_looked_at():
    found = {name: hashlib.sha256(page._asset(f"vendor/{name}").encode()).hexdigest() for name in VENDORED}
    assert found == VENDORED


VENDORED = {
    "d3.min.js": "912111098ea99503a6f4967361d2bbdc9dbf58cf9c678c8e27e5b02d1a07f0c1",
    "plot.umd.min.js": "4358086467740777dd788d6b27a95cebdbaefdd50c730a3060117073bd7134cb",
}
