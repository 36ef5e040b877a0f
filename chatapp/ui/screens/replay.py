"""A recorded run on the same screen as a live one, with the keys of a player. It never ends by itself."""

from __future__ import annotations

from typing import ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Grid, Horizontal, Vertical
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from chatapp.compare.race import departure_spread_ms, freeze, standings
from chatapp.errors import FileFormatError, UsageError
from chatapp.recording.player import Batch, Player
from chatapp.stream.answer import Answer
from chatapp.stream.events import BackendInfo
from chatapp.text.sanitize import sanitize_line
from chatapp.ui.clipboard import copy_selection
from chatapp.ui.playback import Playback
from chatapp.ui.widgets.lane import LaneMeter, MeterView
from chatapp.ui.widgets.metrics_panel import MetricsPanel
from chatapp.ui.widgets.scoreboard import Scoreboard
from chatapp.ui.widgets.standings import StandingsPanel, StandingsView
from chatapp.ui.widgets.stream_pane import StreamPane
from chatapp.ui.widgets.transport import Transport, TransportView, marks_of

METER_HZ = 8
SKIP_S = 5.0
MOST_LANES = 4

_HINTS = (
    ("Space", "pause"),
    (".", "step"),
    ("←→", "5 s"),
    ("[ ]", "chapter"),
    ("+ -", "speed"),
    ("r", "restart"),
    ("F6", "detail"),
    ("q", "leave"),
)


class PlayerClock:
    """The player's position as a clock, for figures that are asked at a time of the recording."""

    def __init__(self, player: Player) -> None:
        self._player = player

    def now_ns(self) -> int:
        """Return where the recording stands."""
        return self._player.position_ns

    async def sleep_until(self, deadline_ns: int) -> None:
        """Nobody waits on a replay's clock."""
        raise NotImplementedError


class ReplayScreen(Screen[None]):
    """Plays one recording: one stream as a chat, several side by side."""

    CSS_PATH = "replay.tcss"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (72, "-normal"), (112, "-wide")]  # noqa: RUF012 - as Textual declares it
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "pause", "Pause", priority=True),
        Binding("full_stop", "step", "Step", priority=True),
        Binding("left", "skip(-1)", "Back", priority=True),
        Binding("right", "skip(1)", "Forward", priority=True),
        Binding("left_square_bracket", "chapter(-1)", "Chapter before", priority=True),
        Binding("right_square_bracket", "chapter(1)", "Next chapter", priority=True),
        Binding("plus,equals_sign", "speed(1)", "Faster", priority=True),
        Binding("minus", "speed(-1)", "Slower", priority=True),
        Binding("r,0", "restart", "Restart", priority=True),
        Binding("f6", "detail", "Where the time went", priority=True),
        Binding("f9", "reasoning", "Reasoning", priority=True),
        Binding("alt+c", "copy", "Copy", priority=True),
        Binding("alt+b", "code", "Copy code", priority=True),
        Binding("q,escape", "leave", "Leave", priority=True),
    ]

    def __init__(self, player: Player) -> None:
        super().__init__()
        self.player = player
        recording = player.recording
        self.streams = recording.streams[:MOST_LANES] or ["chat"]
        self.left_out = max(0, len(recording.streams) - MOST_LANES)
        self.playbacks = {
            stream: Playback(recording, stream, StreamPane(), on_end=self._answer_ended) for stream in self.streams
        }
        self.problem = ""

    @property
    def side_by_side(self) -> bool:
        """Whether several streams are shown."""
        return len(self.streams) > 1

    @property
    def current(self) -> Playback:
        """The stream that has the focus, or the first."""
        return next((p for p in self.playbacks.values() if p.pane.has_focus), next(iter(self.playbacks.values())))

    def action_copy_text(self) -> None:
        """Copy what is selected by mouse."""
        copy_selection(self)

    # Layout.

    def compose(self) -> ComposeResult:
        """Say that it is a replay; the panes; the player's line; the keys."""
        yield Static(self._top_line(), id="top", markup=False)
        if self.side_by_side:
            with Grid(id="lanes", classes=f"-lanes-{len(self.streams)}"):
                for playback in self.playbacks.values():
                    yield Vertical(
                        LaneMeter(MeterView(playback.info.label, playback.info.kind, playback.note)),
                        playback.pane,
                        classes="lane",
                    )
            yield StandingsPanel(self._standings(), id="standings")
        else:
            with Horizontal(id="body"):
                yield self.current.pane
                with Vertical(id="side"):
                    yield MetricsPanel(id="metrics")
                    yield Scoreboard(id="scores")
        yield Transport(self._transport(), id="transport")
        yield Static(self._hints(), id="hints", markup=False)

    def on_mount(self) -> None:
        """Begin to play."""
        self.set_interval(1 / METER_HZ, self.refresh_figures)
        self._play()
        self.current.pane.focus()

    def _top_line(self) -> Content:
        header = self.player.recording.header
        title = sanitize_line(header.title or self.player.recording.name.rpartition("/")[2], limit=60)
        line = Content.assemble(
            ("▌", "$speed"), ("chatapp", "$foreground bold"), ("   ▶ REPLAY", "$person bold"), (f"   {title}", "$quiet")
        )
        if header.created:
            line += Content.styled(f"   recorded {sanitize_line(header.created[:10])}", "$quiet")
        if self.player.recording.seal == "broken":
            line += Content.styled("   ! changed after it was sealed", "$error")
        elif self.player.recording.seal == "unsealed":
            line += Content.styled("   not sealed", "$warning")
        if self.left_out:
            line += Content.styled(f"   {self.left_out} more streams are not shown", "$warning")
        return line

    def _hints(self) -> Content:
        return Content("   ").join(
            [Content.assemble((key, "$footer-key-foreground bold"), (f" {does}", "$quiet")) for key, does in _HINTS]
        )

    # Playing.

    @work(exclusive=True, group="player", exit_on_error=False)
    async def _play(self) -> None:
        try:
            async for batch in self.player.play():
                self._take(batch)
        except FileFormatError as exc:
            self.problem = exc.message
            self.current.pane.add_notice(sanitize_line(exc.message), kind="error")

    def _take(self, batch: Batch) -> None:
        if batch.reset:
            for playback in self.playbacks.values():
                playback.reset()
        for entry in batch.entries:
            playback_of_entry = self.playbacks.get(entry.stream)
            if playback_of_entry is None and not self.player.recording.streams:
                playback_of_entry = self.current  # text without a request
            if playback_of_entry is not None:
                playback_of_entry.take(entry)
        if batch.reset or not batch.entries:
            self.refresh_figures()

    def _answer_ended(self, info: BackendInfo, answer: Answer) -> None:
        if not self.side_by_side:
            board = self.query_one(Scoreboard)
            score = board.scores.get(info.name)
            figures = answer.final()
            if score is None or figures not in score.figures:  # seen already, before a jump back
                board.add(info.name, info.label, info.kind, figures)

    # What is shown.

    def refresh_figures(self) -> None:
        """Repaint figures and the player's line from one moment."""
        if not self.is_mounted:
            return
        now = self.player.position_ns
        if self.side_by_side:
            for meter, playback in zip(self.query(LaneMeter), self.playbacks.values(), strict=True):
                snapshot = playback.answer.snapshot(now) if playback.answer is not None else None
                meter.show(MeterView(playback.info.label, playback.info.kind, playback.note, snapshot))
            self.query_one(StandingsPanel).show(self._standings())
        else:
            self.query_one(MetricsPanel).show(self.current.view(now))
        self.query_one(Transport).show(self._transport())

    def _transport(self) -> TransportView:
        player = self.player
        return TransportView(
            player.state,
            player.position_ns,
            player.duration_ns,
            player.speed,
            player.chapter,
            marks_of(player.chapters) if len(player.chapters) <= 200 else (),
        )

    def _standings(self) -> StandingsView:
        playbacks = list(self.playbacks.values())
        labels = tuple(p.info.label for p in playbacks)
        kinds = tuple(p.info.kind for p in playbacks)
        answers = [p.answer for p in playbacks if p.answer is not None]
        if len(answers) < len(playbacks):
            return StandingsView(labels, kinds)
        same = _same_text(answers)
        now = self.player.position_ns
        return StandingsView(
            labels,
            kinds,
            standings([answer.snapshot(now) for answer in answers], same_text=same),
            freeze([(a.timeline, a.request_ns, a.outcome in ("done", "length")) for a in answers]),
            departure_spread_ms([a.request_ns for a in answers]),
            same,
            "text",
        )

    # Keys.

    def action_pause(self) -> None:
        """Pause or go on."""
        self.player.toggle()
        self.refresh_figures()

    def action_step(self) -> None:
        """Show the next chunk."""
        self.player.step()
        self.refresh_figures()

    def action_skip(self, direction: int) -> None:
        """Jump some seconds."""
        self.player.skip(direction * SKIP_S)

    def action_chapter(self, direction: int) -> None:
        """Jump to another chapter."""
        if direction > 0:
            self.player.next_chapter()
        else:
            self.player.previous_chapter()

    def action_speed(self, steps: int) -> None:
        """Play faster or slower."""
        self.player.faster(steps)
        self.refresh_figures()

    def action_restart(self) -> None:
        """Play from the start."""
        self.player.seek(0)

    def action_detail(self) -> None:
        """Show where the time of the current answer went."""
        from chatapp.ui.screens.detail import DetailScreen

        answer = self.current.answer
        if answer is not None:
            self.app.push_screen(DetailScreen(answer, PlayerClock(self.player)))

    def action_reasoning(self) -> None:
        """Fold or open the reasoning."""
        self.current.pane.toggle_reasoning()

    def action_copy(self) -> None:
        """Copy the last answer."""
        self.current.pane.copy_answer()

    def action_code(self) -> None:
        """Copy the last code block."""
        self.current.pane.copy_code_block()

    def action_leave(self) -> None:
        """Go back, or end the app where the replay was all that was asked for."""
        if len(self.app.screen_stack) > 2:
            self.dismiss(None)
        else:
            self.app.exit()


def open_replay(player: Player) -> ReplayScreen:
    """Return the screen for a player.

    Raises:
        UsageError: the recording holds nothing that could be shown.
    """
    if not player.recording.events:
        raise UsageError(f"{player.recording.name}: holds no events", hint="chatapp recording info says what is in it")
    return ReplayScreen(player)


def _same_text(answers: list[Answer]) -> bool:
    """Whether all tell one text, so that shares of it can be compared while they run."""
    shortest = min(answers, key=lambda a: len(a.text))
    return all(a.text.startswith(shortest.text) for a in answers)
