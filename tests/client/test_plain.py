import asyncio
import io

import pytest

from chatapp.client import plain
from chatapp.client.exchange import Exchange
from chatapp.client.plain import PlainPane, ask, ask_once, converse
from chatapp.client.saver import Saver
from chatapp.client.session import Session
from chatapp.config import Settings
from chatapp.errors import GatewayError
from chatapp.stream.events import BackendInfo, Delta, Failed, Finished, Notice, Retell, Sent
from tests.ui.scripted import MS, ScriptedConnection, ScriptedLink, StandingClock, paced

START = 1_000 * MS


def make_session(tmp_path, *scripts, backend: str = "sim:cs3/kimi-k2.6", error: GatewayError | None = None) -> Session:
    clock = StandingClock()
    connection = error or ScriptedConnection(list(scripts), clock)
    saver = Saver(tmp_path / "conversations.db", enabled=False)
    return Session(ScriptedLink([connection]), backend=backend, saver=saver, settings=Settings(), clock=clock)


async def test_the_text_goes_to_one_stream_and_the_figures_to_the_other(tmp_path):
    session = make_session(tmp_path, paced("one two three", start_ns=START, ttft_ms=420, tps=100))
    out, err = io.StringIO(), io.StringIO()
    assert await ask(session, "count", out, err)
    assert out.getvalue() == "one two three\n"
    assert err.getvalue() == (
        "[sim:cs3/kimi-k2.6 · 100 tok/s · TTFT 420 ms · 440 ms · 3 tokens · simulated · under 1 s]\n"
    )


async def test_a_text_that_ends_its_line_gets_no_second_end(tmp_path):
    session = make_session(tmp_path, [Sent(START), Delta("line\n", START + MS), Finished(START + MS)])
    out = io.StringIO()
    await ask(session, "x", out, io.StringIO())
    assert out.getvalue() == "line\n"


async def test_foreign_text_cannot_control_the_terminal(tmp_path):
    events = [
        Sent(START),
        Notice("warning", "odd \x1b[2J"),
        Delta("a\x1b]0;x\x07b", START + MS),
        Failed(START + 2 * MS, "auth", "no \x9b31m", hint="do \x1b[1m"),
    ]
    out, err = io.StringIO(), io.StringIO()
    assert not await ask(make_session(tmp_path, events), "x", out, err)
    for text in (out.getvalue(), err.getvalue()):
        assert not {"\x1b", "\x9b", "\x07"} & set(text)
    assert "partial answer" in err.getvalue()
    assert "warning: odd" in err.getvalue()


async def test_an_interrupted_answer_is_marked_and_keeps_its_figures(tmp_path):
    clock = StandingClock()
    script = [Sent(clock.now), Delta("half an", clock.now + MS)]
    connection = ScriptedConnection([script], clock, hold=True)
    saver = Saver(tmp_path / "conversations.db", enabled=False)
    session = Session(
        ScriptedLink([connection]), backend="sim:cs3/kimi-k2.6", saver=saver, settings=Settings(), clock=clock
    )
    out, err = io.StringIO(), io.StringIO()
    task = asyncio.create_task(ask(session, "x", out, err))
    for _turn in range(50):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert out.getvalue() == "half an\n"
    assert "cancelled: partial answer" in err.getvalue()
    assert connection.cancelled == 1


async def test_a_played_back_claim_is_named_beside_its_figures(tmp_path):
    session = make_session(tmp_path)
    turn = session.conversation.add("x", session.backend)
    detail = {"pace": "vendor's figure played back"}
    for retell, note in (
        (None, "simulated, vendor's figure played back"),
        (Retell("text", "local"), "text: local, timing: simulated, vendor's figure played back"),
    ):
        exchange = Exchange(session, turn, PlainPane(io.StringIO(), io.StringIO()), retell=retell)
        exchange.answer.info = BackendInfo("sim:cs3/m", "CS-3", "simulated", "simulated", "m", detail=detail)
        assert exchange.note == note


async def test_once_means_exit_code_and_everything_closed(tmp_path, capsys):
    session = make_session(tmp_path, paced("yes", start_ns=START, ttft_ms=1, tps=10))
    assert await ask_once(session, "well?") == 0
    assert capsys.readouterr().out == "yes\n"
    assert session.link.closed
    assert session.link.connections[0].closed


async def test_a_gateway_that_cannot_be_started_is_one_line_and_code_1(tmp_path, capsys):
    session = make_session(tmp_path, error=GatewayError("cannot start", hint="see the log"))
    assert await ask_once(session, "well?") == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "error: cannot start\n  see the log\n" in captured.err
    assert "failed: no answer" in captured.err


@pytest.mark.parametrize(
    ("failure", "hint"),
    [
        (Failed(START, "bad_request", "no"), "chatapp backends list shows others"),
        (Failed(START, "server_error", "no", retryable=True), "ask again"),
        (Failed(START, "auth", "no", hint="check the key"), "check the key"),
    ],
)
async def test_what_to_do_names_no_keys_where_there_are_none(tmp_path, failure, hint):
    err = io.StringIO()
    await ask(make_session(tmp_path, [Sent(START), failure]), "x", io.StringIO(), err)
    assert err.getvalue().splitlines()[:2] == ["chatapp: error: no", f"  {hint}"]


async def test_line_after_line(tmp_path, capsys):
    scripts = [paced(f"answer {number}", start_ns=START, ttft_ms=1, tps=100) for number in (1, 2, 3)]
    session = make_session(tmp_path, *scripts, backend="local")
    lines = iter(
        [
            "one",
            "",
            "/help",
            "/retell",
            "/retell sim:h100x16/kimi-k2.6",
            "/backend local",
            "/backend",
            "/new",
            "two",
            "/quit",
        ]
    )
    assert await converse(session, lambda _prompt: next(lines)) == 0
    requests = session.link.connections[0].requests
    assert [request.model for request in requests] == [
        "local",
        "sim:cs3/kimi-k2.6",
        "sim:h100x16/kimi-k2.6",
        "local",
    ]
    assert [request.retell and request.retell.text for request in requests[:3]] == [None, "answer 1", "answer 1"]
    assert requests[3].previous_response_id is None
    assert "backend: local" in capsys.readouterr().err


async def test_the_end_of_input_ends_it(tmp_path):
    def read(_prompt: str) -> str:
        raise EOFError

    assert await converse(make_session(tmp_path, []), read) == 0


async def test_nothing_to_retell_is_said(tmp_path, capsys):
    lines = iter(["/retell", "/quit"])
    await converse(make_session(tmp_path, []), lambda _prompt: next(lines))
    assert "no real answer" in capsys.readouterr().err


@pytest.mark.parametrize(("shown", "expected"), [(True, "think"), (False, "")])
def test_reasoning_is_written_only_where_wanted(shown, expected):
    out, err = io.StringIO(), io.StringIO()
    pane = PlainPane(out, err, reasoning=shown)
    pane.begin_answer("x", simulated=True)
    pane.write("think", "reasoning")
    pane.write("say")
    pane.end_answer("figures")
    assert (out.getvalue(), err.getvalue()) == ("say\n", expected)


def test_choices_are_listed_with_what_they_lack(capsys):
    from chatapp.protocol.responses import ModelListing

    plain.list_choices([ModelListing("a/b"), ModelListing("a/c", ready=False, why_not="KEY is not set")])
    assert capsys.readouterr().out == "a/b\na/c   (KEY is not set)\n"
