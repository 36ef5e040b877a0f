import pytest

from chatapp.errors import (
    BackendError,
    ChatappError,
    ConfigError,
    ExtraMissingError,
    FileFormatError,
    MissingKeyError,
    UnknownNameError,
    UsageError,
)


def test_wrong_use_exits_with_2_and_failure_with_1():
    wrong_use = (
        UsageError("x"),
        UnknownNameError("demo", "x", []),
        ConfigError("config.toml", "x"),
        FileFormatError("a.tokcast", "x"),
        MissingKeyError("groq/x", "GROQ_API_KEY"),
    )
    failures = (ChatappError("x"), BackendError("dns", "x"), ExtraMissingError("local", "local"))
    assert {e.exit_code for e in wrong_use} == {2}
    assert {e.exit_code for e in failures} == {1}


@pytest.mark.parametrize(
    ("typed", "nearest"),
    [
        ("sim:cs3/kimi-k2", "sim:cs3/kimi-k2.6"),
        ("cerebas/kimi", "cerebras/kimi-k2.6"),
        ("SIM:H100", "sim:h100x16/kimi-k2.6"),
    ],
)
def test_an_unknown_name_offers_the_nearest(typed, nearest):
    known = ["sim:cs3/kimi-k2.6", "sim:h100x16/kimi-k2.6", "cerebras/kimi-k2.6", "local"]
    error = UnknownNameError("backend", typed, known)
    assert error.nearest[0] == nearest
    assert nearest in error.message


def test_a_name_like_nothing_offers_nothing():
    assert UnknownNameError("backend", "qqqq", ["local"]).message == "unknown backend 'qqqq'"


def test_a_source_error_names_file_line_and_column():
    assert ConfigError("c.toml", "bad", line=3, column=7).message == "c.toml:3:7: bad"
    assert ConfigError("c.toml", "bad", line=3).message == "c.toml:3: bad"
    assert ConfigError("c.toml", "bad").message == "c.toml: bad"


def test_a_missing_key_names_the_variable_and_what_to_do():
    error = MissingKeyError("groq/kimi", "GROQ_API_KEY")
    assert "GROQ_API_KEY" in error.message
    assert "export GROQ_API_KEY" in error.hint
