from __future__ import annotations

import os

import pytest

from chatapp.errors import UsageError
from chatapp.gateway.account import Account
from chatapp.gateway.tokens import Grant, TokenFile, Tokens, read_tokens
from chatapp.protocol.responses import WireError
from chatapp.redaction import Secret

LONG = "abcdefgh-0123456789"

TABLE = f"""
[tokens.stage]
token = "{LONG}-stage"
connections = 2
streams = 3
requests_per_minute = 60
backends = ["sim:*", "local"]

[tokens.team]
token = "{LONG}-team"
"""


def test_a_bare_token_allows_everything(tmp_path):
    path = tmp_path / "token"
    path.write_text(LONG + "\n")

    (grant,) = read_tokens(path)

    assert grant.token.reveal() == LONG
    assert grant.allows("anything/at:all")
    assert (grant.connections, grant.streams, grant.requests_per_minute) == (None, None, None)


def test_named_tokens_have_limits_of_their_own(tmp_path):
    path = tmp_path / "tokens.toml"
    path.write_text(TABLE)

    stage, team = read_tokens(path)

    assert (stage.name, stage.connections, stage.streams, stage.requests_per_minute) == ("stage", 2, 3, 60)
    assert stage.allows("sim:cs3/kimi-k2.6")
    assert stage.allows("local")
    assert not stage.allows("openai/gpt-5")
    assert team.allows("openai/gpt-5")
    assert LONG not in repr(stage)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "at least 16"),
        ("short", "at least 16"),
        ("two tokens in one file here", "at least 16"),
        ("żółw-żółw-żółw-żółw", "at least 16"),
        ("[tokens.a]\ntoken = 5\n", "tokens.toml:2: tokens.a.token"),
        ("[tokens.a]\n", "tokens.toml:1: tokens.a.token"),
        (f'[tokens.a]\ntoken = "{LONG}"\nstreams = 0\n', "tokens.toml:3: tokens.a.streams"),
        (f'[tokens.a]\ntoken = "{LONG}"\nstreams = true\n', "tokens.toml:3: tokens.a.streams"),
        (f'[tokens.a]\ntoken = "{LONG}"\nbackends = []\n', "tokens.toml:3: tokens.a.backends"),
        (f'[tokens.a]\ntoken = "{LONG}"\nbackends = [1]\n', "tokens.toml:3: tokens.a.backends"),
        (f'[tokens.a]\ntoken = "{LONG}"\nstreems = 1\n', "tokens.toml:3: tokens.a.streems"),
        (f'other = 1\n[tokens.a]\ntoken = "{LONG}"\n', "nothing else"),
        (f'[tokens.a]\ntoken = "{LONG}"\n[tokens.b]\ntoken = "{LONG}"\n', "the same token"),
        ("[tokens.a\n", "not valid TOML"),
        ("[[tokens]]\n", "must hold tables"),
        ("tokens = {a = 1} # [tokens\n", "must be a table"),
    ],
)
def test_a_wrong_file_is_refused_with_its_line(tmp_path, text, says):
    path = tmp_path / "tokens.toml"
    path.write_text(text)

    with pytest.raises(UsageError) as caught:
        read_tokens(path)

    assert says in caught.value.message
    assert LONG not in caught.value.message


def test_a_file_that_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        TokenFile(tmp_path / "nothing")
    (tmp_path / "bytes").write_bytes(b"\xff" * 40)
    with pytest.raises(UsageError, match="not UTF-8"):
        TokenFile(tmp_path / "bytes")


def change(path, text):
    path.write_text(text)
    os.utime(path, ns=(1, path.stat().st_mtime_ns + 1_000_000))


def test_tokens_are_read_again_when_their_file_changes(tmp_path):
    path = tmp_path / "tokens.toml"
    path.write_text(TABLE)
    tokens = TokenFile(path)
    assert not tokens.refresh()

    change(path, f'[tokens.new]\ntoken = "{LONG}-new"\n')

    assert tokens.refresh()
    assert tokens.find(f"{LONG}-stage") is None
    assert tokens.find(f"{LONG}-new").name == "new"


def test_a_file_that_became_wrong_or_vanished_changes_nothing_and_is_logged(tmp_path, caplog):
    path = tmp_path / "tokens.toml"
    path.write_text(TABLE)
    tokens = TokenFile(path)

    change(path, "[tokens.broken\n")
    assert not tokens.refresh()
    path.unlink()
    assert not tokens.refresh()

    assert tokens.find(f"{LONG}-stage").name == "stage"
    assert caplog.text.count("the tokens stay as they were") == 2


def test_what_is_no_token_is_found_nowhere():
    tokens = Tokens.single(Secret("t", LONG))

    assert tokens.find(LONG).name == "gateway"
    for wrong in ("", LONG[:-1], LONG + "x", "\udcff", "żółw"):
        assert tokens.find(wrong) is None
    assert not tokens.refresh()


def account(**limits):
    return Account(Grant("stage", Secret("t", LONG), **limits))


def refused(of, backend="m", now_s=0.0):
    with pytest.raises(WireError) as caught:
        of.begin(backend, now_s)
    return caught.value.code, caught.value.status


def test_a_backend_that_is_not_allowed_is_refused_before_it_is_counted():
    stage = account(backends=("sim:*",))

    assert refused(stage, "openai/x") == ("forbidden_model", 403)
    stage.begin("sim:x", 0)
    assert stage.streams == 1


def test_streams_are_counted_over_all_connections():
    stage = account(streams=2)
    stage.begin("m", 0)
    stage.begin("m", 0)

    assert refused(stage) == ("too_many_streams", 429)
    stage.streams -= 1
    stage.begin("m", 0)


def test_requests_are_counted_by_the_minute():
    stage = account(requests_per_minute=2)
    stage.begin("m", 100.0)
    stage.begin("m", 100.0)

    assert refused(stage, now_s=101.0) == ("rate_limited", 429)
    stage.begin("m", 131.0)
    assert refused(stage, now_s=131.0) == ("rate_limited", 429)
    stage.begin("m", 1000.0)
    stage.begin("m", 1000.0)
    assert refused(stage, now_s=1000.0) == ("rate_limited", 429)
