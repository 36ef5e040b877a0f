import json
from types import SimpleNamespace

import pytest

from chatapp import cli, doctor


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    for name in ("CONFIG", "DATA", "STATE", "CACHE"):
        monkeypatch.setenv(f"CHATAPP_{name}_DIR", str(tmp_path / name.lower()))
    monkeypatch.delenv("NO_COLOR", raising=False)


async def checks():
    return {check.name: check async for check in doctor.examine()}


async def test_a_sound_machine(monkeypatch):
    monkeypatch.setenv("GROQ_API_KEY", "gsk_canary-of-the-doctor-test")
    found = await checks()
    assert found["chatapp"].status == "ok"
    assert found["tiktoken vocabulary"].status == "ok"
    assert found["round trip"].status == "ok", found["round trip"]
    assert "GROQ_API_KEY" in found["set"].detail
    assert "GROQ_API_KEY" not in found["not set"].detail
    assert not any("canary" in check.detail + check.hint for check in found.values())
    assert found["kernel arrival times"].status in ("ok", "note")


async def test_what_is_wrong_is_named(monkeypatch, tmp_path):
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "config.toml").write_text("bakend = 1")
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("CHATAPP_CACHE_DIR", str(blocked / "cache"))
    monkeypatch.setattr(doctor.locale, "getpreferredencoding", lambda _all: "ANSI_X3.4-1968")
    monkeypatch.setattr(doctor, "PACKAGES", ("no-such-package",))

    async def no_round_trip():
        return doctor.Check("gateway", "round trip", "problem", "nothing answered")

    monkeypatch.setattr(doctor, "_round_trip", no_round_trip)
    found = await checks()
    assert found["no-such-package"].status == "problem"
    assert found["config.toml"].status == "problem"
    assert "nearest: backend" in found["config.toml"].detail
    assert found["cache"].status == "problem"
    assert "CHATAPP_CACHE_DIR" in found["cache"].hint
    assert found["encoding"].status == "problem"


@pytest.mark.parametrize(
    ("environment", "status", "words"),
    [
        ({"COLORTERM": "truecolor", "TERM": "xterm"}, "ok", "16 million"),
        ({"COLORTERM": "", "TERM": "xterm-256color"}, "note", "256"),
        ({"COLORTERM": "", "TERM": ""}, "note", "unset"),
        ({"NO_COLOR": "1"}, "note", "sixteen"),
    ],
)
def test_colours_as_the_terminal_announces_them(monkeypatch, environment, status, words):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    colours = next(check for check in doctor._terminal() if check.name == "colours")
    assert colours.status == status
    assert words in colours.detail


def test_a_small_terminal_and_what_stands_between(monkeypatch):
    monkeypatch.setattr(doctor.sys, "stdout", SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr(doctor.shutil, "get_terminal_size", lambda: SimpleNamespace(columns=60, lines=20))
    monkeypatch.setenv("TMUX", "1")
    found = {check.name: check for check in doctor._terminal()}
    assert found["size"].status == "note"
    assert "TMUX" in found["between"].detail


def test_a_check_that_breaks_is_a_finding():
    def broken():
        raise RuntimeError("no")

    assert doctor._guarded(broken).status == "problem"


def test_without_kernel_stamps_it_says_what_is_used_instead(monkeypatch):
    monkeypatch.setattr("chatapp.backends.arrival_clock.supports_kernel_stamps", lambda: False)
    check = doctor._kernel_stamps()
    assert check.status == "note"
    assert "arrival_source" in check.hint


def fake(monkeypatch, *found):
    async def examine():
        for check in found:
            yield check

    monkeypatch.setattr(doctor, "examine", examine)


def test_the_command_prints_groups_marks_and_hints(monkeypatch, capsys):
    fake(monkeypatch, doctor.Check("a", "x", "ok", "fine"), doctor.Check("b", "y", "problem", "bad", "do this"))
    assert cli.run(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "✓ x" in out
    assert "✗ y" in out
    assert "do this" in out
    assert "1 problems" in out


def test_the_command_as_json(monkeypatch, capsys):
    fake(monkeypatch, doctor.Check("a", "x", "ok", "fine"))
    assert cli.run(["doctor", "--json", "-"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["schema"] == "chatapp.doctor/1"
    assert report["checks"][0] == {"group": "a", "name": "x", "status": "ok", "detail": "fine", "hint": ""}


def test_an_extra_is_there_only_with_the_package_it_is_for():
    assert doctor._is_installed("chatapp.doctor")
    assert not doctor._is_installed("chatapp.no_such_module")
    assert not doctor._is_installed("no_such_package.module")
    extras = {check.name: check for check in doctor._versions() if check.group == "extras"}
    assert extras["otel"].status == "ok"
    assert "OpenTelemetry" in extras["otel"].detail
