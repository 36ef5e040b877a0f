"""A stage without an app: it keeps what a script does to it, and answers come from a virtual schedule."""

from __future__ import annotations

import asyncio
from pathlib import Path

from chatapp.client.connection import ResponseCreate
from chatapp.clock import VirtualClock
from chatapp.demo.parsing import parse_script
from chatapp.demo.runner import Runner
from chatapp.demo.stage import PresenterView
from chatapp.demo.watch import Watch, WatchedSpeaker
from chatapp.stream.events import BackendInfo, Delta, Failed, Finished, Message, Sent, Usage

MS = 1_000_000
S = 1_000_000_000


def info(name):
    return BackendInfo(name, name, "simulated" if name.startswith("sim:") else "live", "p", name)


class Known:
    def __init__(self, name):
        self.info = info(name)
        self.response_id = "r1"


class ScheduledSpeaker:
    """Answers with ten words, the first after `ttft`, one each 100 ms. `dead` backends never answer."""

    alive = True

    def __init__(self, clock):
        self.clock = clock
        self.ttft = {}
        self.dead = set()
        self.failing = set()
        self.closed = 0

    async def exchange(self, request):
        known = Known(request.model)
        start = self.clock.now_ns()
        try:
            yield Sent(start), known
            if request.model in self.dead:
                await self.clock.sleep_until(start + 3600 * S)
            await self.clock.sleep_until(start + self.ttft.get(request.model, 1000) * MS)
            if request.model in self.failing:
                yield Failed(self.clock.now_ns(), "server_error", "it broke"), known
                return
            for i in range(10):
                await self.clock.sleep_until(start + (self.ttft.get(request.model, 1000) + i * 100) * MS)
                yield Delta(f"word{i} ", self.clock.now_ns(), tokens=2), known
            yield Usage(3, 20), known
            yield Finished(self.clock.now_ns()), known
        finally:
            self.closed += 1

    async def models(self):
        return []

    async def aclose(self):
        pass


class ScriptedStage:
    """Keeps what was done; `enter` sends what was typed."""

    def __init__(self, clock, watch, speaker):
        self.clock, self.watch = clock, watch
        self.speaker = WatchedSpeaker(speaker, watch)
        self.done = []
        self.views = []
        self.typed = ""
        self.backends = ["default"]
        self.screen = "the screen"
        self.svg = "<svg>terminal-123</svg>"
        self.play_s = 2.0
        self.tasks = []

    async def press(self, key):
        self.done.append(("press", key, self.clock.now_ns() // MS))
        if key == "enter":
            prompt, self.typed = self.typed, ""
            await self.ask(prompt)
        elif key == "escape":
            for task in self.tasks:
                task.cancel()
            await asyncio.gather(*self.tasks, return_exceptions=True)
            self.tasks = []

    async def type_character(self, character):
        self.typed += character
        self.done.append(("type", character, self.clock.now_ns() // MS))

    async def settle(self):
        await asyncio.sleep(0)

    async def open_chat(self, backend):
        self.done.append(("chat", backend))
        self.backends = [backend]

    async def open_compare(self, backends):
        self.done.append(("compare", tuple(backends)))
        self.backends = list(backends)

    async def play(self, recording, speed):
        self.done.append(("play", Path(recording.name).name, speed, recording.streams))
        await self.clock.sleep_until(self.clock.now_ns() + round(self.play_s * S))

    async def ask(self, prompt):
        self.done.append(("ask", prompt))
        for backend in self.backends:
            self.tasks.append(asyncio.create_task(self._answer(backend, prompt)))

    async def _answer(self, backend, prompt):
        stream = self.speaker.exchange(ResponseCreate(model=backend, input=(Message("user", prompt),)))
        try:
            async for _event, _known in stream:
                pass
        finally:
            await stream.aclose()

    async def reset(self):
        self.done.append(("reset",))
        await self.press("escape")

    def show(self, view: PresenterView):
        self.views.append(view)

    def visible_text(self):
        return self.screen

    def picture(self):
        return self.svg


def make(clock):
    watch = Watch(clock, info=info)
    speaker = ScheduledSpeaker(clock)
    return ScriptedStage(clock, watch, speaker), watch, speaker


def script(steps, settings="{typing: 50ms, jitter: 0, seed: 1}", path="x/demo.yaml"):
    text = f"version: 1\ntitle: T\nset: {settings}\nsteps:\n" + "".join(f"  - {step}\n" for step in steps)
    return parse_script(text, Path(path))


async def play(steps, *, prepare=None, **options):
    clock = VirtualClock(autojump=True)
    stage, watch, speaker = make(clock)
    if prepare:
        prepare(stage, speaker)
    path = options.pop("path", "x/demo.yaml")
    runner = Runner(script(steps, path=path), stage, watch, clock, live=False, **options)
    report = await runner.run()
    for task in stage.tasks:
        task.cancel()
    await asyncio.gather(*stage.tasks, return_exceptions=True)
    return report, stage, runner
