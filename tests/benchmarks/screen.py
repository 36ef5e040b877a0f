"""What it costs to show streamed answers: our StreamPane beside Textual's MarkdownStream, in the same run.

    python tests/benchmarks/screen.py [--quick] [--json FILE]

Each case runs in a process of its own: an app of 200x50 with header, panes, side panel and footer, on a driver that
takes the terminal's output and drops it. The output is really built (Textual's headless test driver never does).
Text arrives as the client hands it on, one delta per stream every 5 ms. CPU time is that of the whole process and all
panes, divided by the frames painted; a stall is how late a timer of 2 ms comes.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any, ClassVar

os.environ.setdefault("TEXTUAL_COLOR_SYSTEM", "truecolor")
os.environ.setdefault("COLORTERM", "truecolor")
for _name in ("SSH_CONNECTION", "SSH_TTY", "SSH_CLIENT", "NO_COLOR"):
    os.environ.pop(_name, None)

from textual.app import App, ComposeResult  # noqa: E402
from textual.containers import Grid, Horizontal, VerticalScroll  # noqa: E402
from textual.drivers.headless_driver import HeadlessDriver  # noqa: E402
from textual.widgets import Footer, Header, Input, Markdown, Static  # noqa: E402

from chatapp.ui.widgets.stream_pane import StreamPane  # noqa: E402 - the environment above comes first

SCHEMA = "chatapp.benchmark.screen/1"
SIZE = (200, 50)
DELTA_PERIOD_S = 0.005

_PROSE = (
    "The speed of decoding is set by how fast the **active weights** can be read, so a chip that keeps them in "
    "memory beside its cores has nothing to wait for. A *mixture of experts* reads a part of them for each token; "
    "`bandwidth / bytes` is a bound that no schedule beats, see [the derivation](https://example.com/bound) for it."
)
_CODE = '''def decode(model: Model, prompt: list[int], *, limit: int = 512) -> Iterator[int]:
    """Yield tokens until the model stops."""
    cache = model.prefill(prompt)  # one pass over the whole prompt
    for step in range(limit):
        token, cache = model.step(cache, temperature=0.7 if step else 0.0)
        if token == model.stop:
            return
        yield token
'''
_LIST_ITEMS = (
    "- **Weights** are read once for each token\n",
    "- The cache grows with the context, about `70 kB` a token with latent attention, and must be read too\n",
    "  - nested: communication between chips adds a microsecond for each hop\n",
    "- Sampling is cheap\n",
)
_TABLE_ROW = "| system {n} | {n} TB/s | **{n}** tok/s | holds the weights in SRAM, one wafer for each slice |\n"
_CJK = (
    "晶圆级芯片把权重放在计算核心旁边的存储器里，所以**解码**时不需要等待。"
    "每个词元都要读取全部激活的权重，`带宽`就是上限。"
)


def text_of(kind: str) -> Iterator[str]:
    """Yield an endless text of one kind, in sections."""
    number = 0
    while True:
        number += 1
        if kind == "list":
            yield _LIST_ITEMS[number % 4]
        elif kind == "fence":
            yield ("```python\n" if number == 1 else "") + _CODE
        elif kind == "table":
            head = "| System | Bandwidth | Speed | Note |\n|:--|--:|--:|---|\n" if number == 1 else ""
            yield head + _TABLE_ROW.format(n=number)
        elif kind == "paragraph":
            yield _PROSE + " "
        elif kind == "cjk":
            yield _CJK * 3 + "\n\n"
        else:
            yield f"## Section {number}\n\n{_PROSE}\n\n{_PROSE[:160]}\n\n" + "".join(_LIST_ITEMS)
            yield f"\n```python\n{_CODE}```\n\n"
            if number % 3 == 0:
                rows = "".join(_TABLE_ROW.format(n=n) for n in range(4))
                yield f"| System | Bandwidth | Speed | Note |\n|:--|--:|--:|---|\n{rows}\n"


_TOKEN = re.compile(r"\s*[A-Za-z_]{1,6}|\s*\d{1,3}|\s*[^\w\s]{1,2}|\s*\w|\s+")


class Source:
    """Tokens of an endless text: about 3.9 characters each, CJK 1 to 2."""

    def __init__(self, kind: str) -> None:
        self._sections = text_of(kind)
        self._tokens: list[str] = []
        self._at = 0

    def prepare(self, count: int) -> None:
        """Make tokens ahead, so that making them is not measured."""
        while len(self._tokens) - self._at < count:
            self._tokens += _TOKEN.findall(next(self._sections))

    def take(self, count: int) -> str:
        """Return the next tokens, joined."""
        self.prepare(count)
        self._at += count
        return "".join(self._tokens[self._at - count : self._at])


class NullDriver(HeadlessDriver):
    """Takes what would go to the terminal and counts it."""

    frames: ClassVar[int] = 0
    sent: ClassVar[int] = 0

    @property
    def is_headless(self) -> bool:
        """False: the output must be built."""
        return False

    def write(self, data: str) -> None:
        """Count a frame; single control sequences are none."""
        NullDriver.sent += len(data)
        if len(data) > 40:
            NullDriver.frames += 1


class Bench(App[None]):
    """One case."""

    CSS = """
    Grid { grid-size: 2; width: 1fr; }
    Grid.one { grid-size: 1; }
    #side { width: 28; border-left: solid $panel; }
    """
    BINDINGS: ClassVar[list[Any]] = [("q", "quit", "Quit"), ("f1", "help", "Help")]

    def __init__(self, case: dict[str, Any]) -> None:
        super().__init__(driver_class=NullDriver)
        self.case = case
        self.row: dict[str, Any] = {}

    def compose(self) -> ComposeResult:
        """An app like ours around the panes."""
        yield Header()
        with Horizontal():
            with Grid(classes="one" if self.case["panes"] == 1 else ""):
                for _ in range(self.case["panes"]):
                    if self.case["widget"] == "StreamPane":
                        yield StreamPane()
                    else:
                        with VerticalScroll():
                            yield Markdown()
            yield Static("1,204 tok/s\n\nTTFT 41 ms", id="side")
        yield Input(placeholder="Ask anything")
        yield Footer()

    async def on_ready(self) -> None:
        """Start the case once the screen stands."""
        self.run_worker(self.run_case(), exit_on_error=True)

    async def run_case(self) -> None:
        """Fill the panes, stream into them, and measure."""
        case = self.case
        sources = [Source(case["text"]) for _ in range(case["panes"])]
        before = case["tokens_on_screen"]
        if case["widget"] == "StreamPane":
            panes = list(self.query(StreamPane))
            for pane, source in zip(panes, sources, strict=True):
                pane.begin_answer("CS-3 · Kimi K2.6", simulated=True)
                for _ in range(0, before, 500):
                    pane.write(source.take(500))
            while any(pane.busy for pane in panes):  # noqa: ASYNC110 - outside what is measured
                await asyncio.sleep(0.05)
            writers: list[Any] = [pane.write for pane in panes]
        else:
            markdowns = list(self.query(Markdown))
            for markdown in markdowns:
                markdown.parent.anchor()
            for markdown, source in zip(markdowns, sources, strict=True):
                for _ in range(0, before, 500):
                    await markdown.append(source.take(500))
            streams = [Markdown.get_stream(markdown) for markdown in markdowns]
            writers = [stream.write for stream in streams]
        await asyncio.sleep(0.5)
        written = 0
        wanted = round(case["seconds"] * case["tokens_per_s"])
        for source in sources:
            source.prepare(wanted)
        collections = gc.get_stats()[2]["collections"]
        lag = asyncio.ensure_future(watch_lag())
        NullDriver.frames = NullDriver.sent = 0
        cpu, start = time.process_time(), time.monotonic()
        limit = start + 3 * case["seconds"]
        while written < wanted and time.monotonic() < limit:
            await asyncio.sleep(DELTA_PERIOD_S)
            due = min(wanted, int((time.monotonic() - start) * case["tokens_per_s"]))
            if due > written:
                for write, source in zip(writers, sources, strict=True):
                    result = write(source.take(due - written))
                    if result is not None:
                        await result
                written = due
        took = time.monotonic() - start
        cpu = time.process_time() - cpu
        lag.cancel()
        frames = max(1, NullDriver.frames)
        self.row = {
            **{key: case[key] for key in ("widget", "panes", "tokens_per_s", "tokens_on_screen", "text")},
            "cpu_ms_per_frame": round(cpu / frames * 1000, 2),
            "fps": round(frames / took, 1),
            "core_percent": round(cpu / took * 100, 1),
            "worst_stall_ms": round(max(LAGS, default=0.0) * 1000, 1),
            "p99_stall_ms": round(sorted(LAGS)[int(len(LAGS) * 0.99)] * 1000, 1) if LAGS else 0.0,
            "bytes_per_frame": round(NullDriver.sent / frames),
            "sustained_tokens_per_s": round(written / took),
            "gen2_collections": gc.get_stats()[2]["collections"] - collections,
        }
        self.exit()


LAGS: list[float] = []


async def watch_lag() -> None:
    """Note how late a short timer comes."""
    while True:
        before = time.monotonic()
        await asyncio.sleep(0.002)
        LAGS.append(time.monotonic() - before - 0.002)


def cases(*, quick: bool) -> Iterator[dict[str, Any]]:
    """Yield what to run."""

    def case(widget: str, panes: int, speed: int, length: int, text: str = "mixed") -> dict[str, Any]:
        return {
            "widget": widget,
            "panes": panes,
            "tokens_per_s": speed,
            "tokens_on_screen": length,
            "text": text,
            "seconds": 2.5 if quick else 5.0,
        }

    if quick:
        yield case("StreamPane", 1, 1000, 2_000)
        yield case("StreamPane", 1, 1000, 50_000)
        yield case("StreamPane", 4, 1000, 2_000)
        yield case("StreamPane", 4, 20_000, 2_000)
        yield case("MarkdownStream", 1, 1000, 2_000)
        return
    for speed in (100, 1000, 5000, 20_000):
        yield case("StreamPane", 1, speed, 2_000)
        yield case("StreamPane", 4, speed, 2_000)
    for length in (0, 2_000, 10_000, 50_000, 200_000):
        yield case("StreamPane", 1, 1000, length)
    for text in ("list", "fence", "table", "paragraph", "cjk"):
        for length in (2_000, 50_000):
            yield case("StreamPane", 1, 1000, length, text)
    for panes, speed, length in ((1, 100, 2_000), (1, 1000, 2_000), (1, 1000, 10_000), (4, 100, 2_000)):
        yield case("MarkdownStream", panes, speed, length)
    yield case("MarkdownStream", 1, 1000, 2_000, "list")


def run_one(case: dict[str, Any]) -> dict[str, Any]:
    """Run a case in a process of its own."""
    command = [sys.executable, __file__, "--case", json.dumps(case)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
    if done.returncode:
        raise SystemExit(f"case failed: {case}\n{done.stderr[-3000:]}")
    row: dict[str, Any] = json.loads(done.stdout)
    return row


def main() -> None:
    """Run all cases and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--quick", action="store_true", help="a few cases, under 40 s")
    parser.add_argument("--json", metavar="FILE", help="write JSON, - for standard output")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        app = Bench(json.loads(options.case))
        app.run(size=SIZE)
        print(json.dumps(app.row))
        return
    rows = []
    for case in cases(quick=options.quick):
        row = run_one(case)
        rows.append(row)
        print(
            f"{row['widget']:14} {row['panes']} x {row['tokens_per_s']:>6} tok/s "
            f"{row['tokens_on_screen']:>7} on screen "
            f"{row['text']:9} {row['cpu_ms_per_frame']:8.2f} ms/frame {row['fps']:5.1f} fps "
            f"{row['core_percent']:5.1f} % stall {row['worst_stall_ms']:7.1f} ms {row['bytes_per_frame']:6} B/frame",
            file=sys.stderr,
        )
    environment = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "load_average": os.getloadavg(),
        "size": SIZE,
        "frame_rate": 60,
        "textual": version("textual"),
        "rich": version("rich"),
    }
    if options.json:
        text = json.dumps({"schema": SCHEMA, "environment": environment, "rows": rows}, indent=1)
        if options.json == "-":
            print(text)
        else:
            with open(options.json, "w", encoding="utf-8") as file:
                file.write(text + "\n")


if __name__ == "__main__":
    main()
