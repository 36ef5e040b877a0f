import json
from contextlib import suppress
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from chatapp.config import prompt_files
from chatapp.demo import script as s
from chatapp.demo.parsing import VERBS, parse_script, read_script
from chatapp.errors import FileFormatError

PATH = Path("folder/demo.yaml")
EVERYTHING = """\
# What it is about,
# in two lines.
version: 1
title: Everything
require: ["backend:sim:cs3/kimi-k2.6", "file:two.tokcast"]
set: {typing: 40ms, jitter: 0.5, seed: 3, speed: 2, cols: 120, rows: 40}
steps:
  - chapter: One
  - say: "A caption"
  - type: "Hello"
  - type: {text: "Quick", speed: 8ms}
  - enter
  - key: ctrl+e
  - wait: 1.5s
  - sleep: 2
  - wait: {event: first_token, within: 3s}
  - wait: {event: done, stream: b, within: 1m}
  - wait: {screen: "tok/s", within: 2s}
  - wait: {settled: 500ms, within: 2s}
  - expect: {ttft_ms: {lt: 800}, text: {matches: "socket"}, outcome: {eq: done}, stream: b}
  - pause
  - play: {cassette: two.tokcast, speed: max}
  - play: three.tokcast
  - play: {cassette: four.tokcast, as: sim:cs3/kimi-k2.6}
  - backend: local
  - backend: {use: groq/x, fallback: "recording:a.tokcast", within: 2s}
  - compare: [sim:a/b, sim:c/d]
  - fault: {stream: b, at: 40 tokens, kind: stall, for: 4s}
  - fault: {kind: status, status: 429}
  - screen: {golden: golden/a.svg}
  - set: {typing: 10ms}
"""


def parse(text):
    return parse_script(text, PATH)


def one(step):
    return parse(f"version: 1\nsteps:\n  - {step}\n").steps[0]


def test_a_script_with_every_verb():
    script = parse(EVERYTHING)
    assert script.title == "Everything"
    assert script.name == "demo"
    assert script.summary == "What it is about, in two lines."
    assert script.pace == s.Pace(40_000_000, 0.5, 3, 2.0, 120, 40)
    assert [name for name, _place in script.require] == ["backend:sim:cs3/kimi-k2.6", "file:two.tokcast"]
    steps = script.steps
    assert steps[0] == s.Chapter(title="One", place=s.Place(8, 5))
    assert steps[3] == s.Type(text="Quick", speed_ns=8_000_000, place=s.Place(11, 5))
    assert steps[4] == s.Key(name="enter", place=s.Place(12, 5))
    assert steps[6].duration_ns == 1_500_000_000
    assert steps[7].duration_ns == 2_000_000_000
    assert (steps[9].event, steps[9].stream, steps[9].within_ns) == ("done", "b", 60_000_000_000)
    assert steps[10].screen.pattern == "tok/s"
    assert steps[11].settled_ns == 500_000_000
    assert steps[12].stream == "b"
    assert s.Expectation("ttft_ms", "lt", 800.0) in steps[12].expectations
    assert steps[14].cassette == Path("folder/two.tokcast")
    assert steps[14].speed is None
    assert steps[15].speed == 1.0
    assert steps[16].repace == "sim:cs3/kimi-k2.6"
    assert steps[18].fallback == "recording:a.tokcast"
    assert steps[19].backends == ("sim:a/b", "sim:c/d")
    assert steps[20] == s.Fault(kind="stall", stream="b", at_tokens=40, duration_ns=4_000_000_000, place=s.Place(28, 5))
    assert steps[21].status == 429
    assert steps[23].settings == {"typing_ns": 10_000_000}
    assert script.chapters == (0,)
    verbs = {next(iter(x)) if isinstance(x, dict) else x for x in yaml.safe_load(EVERYTHING)["steps"]}
    assert verbs == set(VERBS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("version: 1\nsteps: [{tpye: hi}]", "demo.yaml:2:10: unknown verb 'tpye'; nearest: type"),
        ("version: 1\nsteps: [entr]", "demo.yaml:2:9: unknown verb 'entr'; nearest: enter"),
        ("version: 1\nsteps:\n  - wait: {event: first_tokn, within: 1s}", "3:19: unknown event 'first_tokn'; nearest"),
        ("version: 1\nsteps:\n  - wait: {event: done}", "3:11: a wait needs a limit"),
        ("version: 1\nsteps:\n  - wait: {within: 1s}", "3:11: a wait is for one of"),
        ("version: 1\nsteps:\n  - wait: {event: done, within: 11m}", "3:33: longer than 10 minutes"),
        ("version: 1\nsteps:\n  - wait: soon", "3:11: not a duration: 'soon'"),
        ("version: 1\nsteps:\n  - wait: {screen: '(', within: 1s}", "3:20: not a regular expression"),
        ("version: 1\nsteps:\n  - enter: now", "3:5: 'enter' takes no value"),
        ("version: 1\nsteps:\n  - say", "3:5: 'say' needs a value"),
        ("version: 1\nsteps:\n  - {say: a, type: b}", "3:5: a step has one verb"),
        ("version: 1\nsteps:\n  - [a]", "3:5: a step is a verb"),
        ("version: 1\nsteps:\n  - type: ''", "3:11: must not be empty"),
        ("version: 1\nsteps:\n  - type: {speed: 1ms}", "3:11: 'text' is missing"),
        ("version: 1\nsteps:\n  - type: [a]", "3:11: must be a mapping"),
        ("version: 1\nsteps:\n  - key: 'not a key'", "3:10: not a key"),
        ("version: 1\nsteps:\n  - expect: {tsp: {gt: 1}}", "3:14: unknown figure 'tsp'; nearest: tps"),
        ("version: 1\nsteps:\n  - expect: {tps: {over: 1}}", "3:20: unknown comparison 'over'"),
        ("version: 1\nsteps:\n  - expect: {tps: {gt: fast}}", "3:24: must be a number"),
        ("version: 1\nsteps:\n  - expect: {text: {gt: 1}}", "3:25: text can be compared by matches or eq only"),
        ("version: 1\nsteps:\n  - play: {cassette: a, as: local}", "3:29: as takes a simulated system"),
        ("version: 1\nsteps:\n  - expect: {}", "3:13: nothing is expected"),
        ("version: 1\nsteps:\n  - compare: [a]", "3:14: compare takes two to four backends"),
        ("version: 1\nsteps:\n  - fault: {kind: stal}", "3:19: unknown fault 'stal'; nearest: stall"),
        ("version: 1\nsteps:\n  - fault: {kind: stall}", "3:12: a stall needs its length"),
        ("version: 1\nsteps:\n  - fault: {kind: limit, at: soon}", "3:30: at is a number of tokens"),
        ("version: 1\nsteps:\n  - fault: {kind: limit, stream: z}", "3:34: unknown stream 'z'"),
        ("version: 1\nsteps:\n  - set: {tying: 1s}", "3:11: unknown setting 'tying'; nearest: typing"),
        ("version: 1\nset: {seed: 1.5}\nsteps: [enter]", "2:13: must be a whole number"),
        ("version: 1\nset: {cols: 5}\nsteps: [enter]", "2:13: must lie between 20 and 500"),
        ("version: 1\nset: {cols: 50, cols: 60}\nsteps: [enter]", "2:17: 'cols' is given twice"),
        ("version: 1\nrequire: [thing]\nsteps: [enter]", "2:11: unknown requirement 'thing'"),
        ("version: 1\nrequire: a\nsteps: [enter]", "2:10: must be a list"),
        ("version: 1\nsteps: []", "2:8: there are no steps"),
        ("version: 1\ntitle: [a]\nsteps: [enter]", "2:8: must be a text"),
        ("version: 1", "1:1: steps are missing"),
        ("steps: [enter]", "1:1: version is missing"),
        ("version: 0\nsteps: [enter]", "1:10: script of version 0"),
        ("version: 99\nsteps: [enter]", "1:10: script of version 99"),
        ("verson: 1", "1:1: unknown name 'verson'; nearest: version"),
        ("[1]", ":1: a demo script is a mapping"),
        ("", ":1: a demo script is a mapping"),
        ("a: [", ":1:5: not YAML"),
        ("a: \x07", "not YAML"),
        ("!!python/object:os.system {}", "1:1: version is missing"),
    ],
)
def test_what_is_wrong_is_said_where_it_stands(text, message):
    with pytest.raises(FileFormatError) as caught:
        parse(text)
    assert message in caught.value.message


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(FileFormatError, match="cannot be read"):
        read_script(tmp_path / "none.yaml")
    path = tmp_path / "a.yaml"
    path.write_bytes(b"\xff")
    with pytest.raises(FileFormatError, match="not UTF-8"):
        read_script(path)
    path.write_bytes(b"#" * (2 << 20))
    with pytest.raises(FileFormatError, match="longer than"):
        read_script(path)


@given(st.text(max_size=60) | st.lists(st.sampled_from(EVERYTHING.splitlines()), max_size=12).map("\n".join))
def test_no_text_raises_anything_but_the_one_error(text):
    with suppress(FileFormatError):
        parse(text)


def test_deep_nesting_is_no_crash():
    with pytest.raises(FileFormatError, match=r"not YAML|mapping"):
        parse("[" * 20_000)


def schema():
    return json.loads(files("chatapp.demo").joinpath("demo.schema.json").read_text("utf-8"))


def test_the_shipped_schema_knows_what_the_parser_knows():
    validator = jsonschema.Draft202012Validator(schema())
    validator.validate(yaml.safe_load(EVERYTHING))
    steps = schema()["$defs"]["step"]["oneOf"]
    verbs = {next(iter(x["properties"])) for x in steps if "properties" in x} | {
        verb for x in steps for verb in x.get("enum", ())
    }
    assert verbs == set(VERBS)
    for wrong in (
        "[{tpye: hi}]",
        "[{wait: {event: done}}]",
        "[entr]",
        "[{fault: {kind: stal}}]",
        "[{say: a, type: b}]",
    ):
        assert not validator.is_valid(yaml.safe_load(f"version: 1\nsteps: {wrong}")), wrong


@pytest.mark.parametrize("path", prompt_files("demos", "*.yaml"), ids=lambda path: path.stem)
def test_shipped_demos_fit_the_schema(path):
    jsonschema.Draft202012Validator(schema()).validate(yaml.safe_load(path.read_text("utf-8")))
    assert read_script(path).summary
