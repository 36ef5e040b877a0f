import random

import pytest

from chatapp.bench import workloads
from chatapp.bench.workloads import (
    Workload,
    fill,
    load_workload,
    read_workload,
    single_prompt,
    unique_line,
    workload_names,
)
from chatapp.errors import FileFormatError, UnknownNameError
from chatapp.stream.tokens import count_tokens

SENTENCES = tuple(f"Sentence number {i} says something about {i * 7}." for i in range(40))
GOOD = 'title = "T"\nsource = "own"\nprompts = ["Hello"]\n'


def test_shipped_workloads_have_the_shapes_they_name():
    shapes = {name: load_workload(name) for name in workload_names()}
    sizes = {(w.input_tokens, w.output_tokens) for w in shapes.values()}
    assert sizes >= {(100, 300), (1_000, 1_000), (10_000, 1_500), (100_000, 2_000), (10_000, 500)}
    assert {"short-chat", "code"} <= shapes.keys()
    for name, workload in shapes.items():
        request = workload.request(0, run="test")
        asked = count_tokens(request.prompt) + count_tokens(request.instructions or "")
        if workload.input_tokens:
            assert asked == pytest.approx(workload.input_tokens, rel=0.1), name
        assert request.max_output_tokens == workload.output_tokens


def test_warm_cache_prompts():
    """No two requests share a prefix, whatever the run or the number: no cache can help."""
    workload = load_workload("aa-1000-1000")
    first, second = workload.request(0, run="a"), workload.request(1, run="a")
    other = workload.request(0, run="b")
    assert len({request.prompt[:12] for request in (first, second, other)}) == 3
    assert workload.request(0, run="a") == first
    half = len(first.prompt) // 2
    assert first.prompt[half : half + 200] not in second.prompt


def test_the_mark_stands_before_the_instructions_where_there_are_any():
    workload = Workload(name="w", title="", source="", prompts=("Hi",), instructions="Be brief.")
    request = workload.request(3, run="a")
    assert request.instructions.startswith("[")
    assert request.instructions.endswith("\nBe brief.")
    assert request.prompt == "Hi"


def test_prompts_are_asked_in_turn():
    workload = Workload(name="w", title="", source="", prompts=("one", "two"))
    assert [workload.request(i, run="r").prompt.split("\n")[-1] for i in range(3)] == ["one", "two", "one"]


def test_a_simulated_backend_is_given_a_text_of_the_outputs_length():
    workload = Workload(
        name="w", title="", source="", prompts=("{filler}",), input_tokens=200, output_tokens=150, sentences=SENTENCES
    )
    retell = workload.request(0, run="r", simulated=True).retell
    assert retell.source == "workload w"
    assert 130 <= count_tokens(retell.text) <= 150
    assert workload.request(0, run="r").retell is None
    assert single_prompt("x").request(0, run="r", simulated=True).retell is None


def test_a_simulated_backend_gets_the_prompt_itself_and_as_many_tokens():
    live, simulated = (single_prompt("Hello").request(0, run="r", simulated=told) for told in (False, True))
    assert simulated.prompt == "Hello"
    assert simulated.instructions == unique_line("r", 0)
    assert live.prompt == f"{simulated.instructions}\n\nHello"
    assert simulated != single_prompt("Hello").request(1, run="r", simulated=True)


@pytest.mark.parametrize("tokens", [0, 5, 50, 5_000])
def test_filler_is_never_longer_than_asked(tokens):
    text = fill(SENTENCES, tokens, random.Random(1))
    assert max(0, tokens - 15) <= count_tokens(text) <= tokens


def test_the_digest_is_of_everything_that_shapes_a_request():
    one = single_prompt("a", output_tokens=5)
    assert one.digest == single_prompt("a", output_tokens=5).digest
    assert one.digest != single_prompt("a", output_tokens=6).digest


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(UnknownNameError, match="short-chat"):
        load_workload("short-chatt")


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ('title = "T"\nsourze = "x"\n', 2, "unknown key"),
        ("title = 3\n", 1, "must be a text"),
        (GOOD + "output_tokens = true\n", 4, "must be a whole number"),
        (GOOD + "output_tokens = 0\n", 4, "at least 1"),
        ('title = "T"\nsource = "own"\n', None, "prompts: is missing"),
        ('title = "T"\nsource = "own"\nprompts = [" "]\n', 3, "entry 1 must be a text"),
        ('title = "T"\nsource = "own"\nprompts = ["a {filler}"]\n', 3, "no filler is named"),
        (GOOD + 'filler = "f.txt"\n', 4, "needs input_tokens"),
        (GOOD + 'filler = "f.txt"\ninput_tokens = 9\n', 3, "must hold {filler} once"),
        (GOOD.replace("Hello", "{filler}") + 'filler = "no.txt"\ninput_tokens = 9\n', 4, "cannot be read"),
        (GOOD.replace("Hello", "{filler}") + 'filler = "empty.txt"\ninput_tokens = 9\n', 4, "no sentences"),
    ],
)
def test_a_wrong_file_is_told_with_its_line(tmp_path, text, line, message):
    (tmp_path / "empty.txt").write_text("\n \n")
    path = tmp_path / "w.toml"
    path.write_text(text)
    with pytest.raises(FileFormatError, match=message) as caught:
        read_workload(path)
    assert caught.value.line == line


def test_a_users_workload_may_use_a_shipped_filler(tmp_path, monkeypatch):
    monkeypatch.setenv("CHATAPP_CONFIG_DIR", str(tmp_path))
    folder = tmp_path / "prompts" / workloads.KIND
    folder.mkdir(parents=True)
    shipped = load_workload("aa-1000-1000")
    filler = 'filler = "history-of-computing.txt"\ninput_tokens = 60\n'
    (folder / "mine.toml").write_text(GOOD.replace("Hello", "{filler}") + filler)
    assert load_workload("mine").sentences == shipped.sentences
    assert "mine" in workload_names()
