"""Code colours, line by line."""

import re
from itertools import pairwise

import pytest

from chatapp.text.highlight import Colours, LineHighlighter, _change, _run, _style, find_lexer


def colours(language, *lines):
    highlighter = LineHighlighter(find_lexer(language))
    out = []
    for line in lines:
        marks = highlighter.line(line)
        assert all(a.end <= b.start for a, b in pairwise(marks))
        assert all(0 <= mark.start < mark.end <= len(line) for mark in marks)
        out.append({line[mark.start : mark.end]: mark.style.removeprefix("code.") for mark in marks})
    return out


def test_keywords_strings_numbers_comments():
    (line,) = colours("python", "def f(x: int): return 'a' + str(1.5)  # why")
    assert line["def"] == "keyword"
    assert line["f"] == "function"
    assert line["'a'"] == "string"
    assert line["1.5"] == "number"
    assert line["# why"] == "comment"


def test_a_string_over_lines_goes_on():
    lines = colours("python", 'x = """one', "  two", 'three""" + y', "if z: pass")
    assert lines[1] == {"  two": "string"}
    assert lines[2]['three"""'] == "string"
    assert lines[3]["if"] == "keyword"


@pytest.mark.parametrize(
    ("language", "begin", "end"), [("c", "/*", "*/"), ("javascript", "/*", "*/"), ("html", "<!--", "-->")]
)
def test_a_comment_over_lines_goes_on(language, begin, end):
    lines = colours(language, f"{begin} a", "", "b", f"c {end} ", f"x {begin} d {end} y")
    assert lines.pop(1) == {}
    assert lines[0] == {f"{begin} a": "comment"}
    assert lines[1] == {"b": "comment"}
    assert lines[2] == {f"c {end}": "comment"}
    assert lines[3][f"{begin} d {end}"] == "comment"


def test_a_comment_that_begins_behind_code():
    lines = colours("javascript", "const a = 1; /* why", "so */ return 2")
    assert lines[0]["const"] == "keyword"
    assert lines[0]["/* why"] == "comment"
    assert lines[1]["return"] == "keyword"


def test_a_comment_sign_in_a_string_is_none():
    lines = colours("javascript", "const a = 'http://x/*'; // b /* c", "return 1")
    assert lines[1]["return"] == "keyword"


def test_a_language_nobody_knows_is_plain():
    assert colours("nosuch", "x = 1") == [{}]
    assert colours("text", "x = 1") == [{}]
    assert find_lexer("nosuch") is None


def test_lexers_without_states_colour_each_line():
    assert colours("pycon", ">>> x = 1")[0]
    assert colours("yaml", "a: 1")[0]


def test_a_line_too_long_is_data():
    assert colours("python", "x = " + "1 + " * 1000) == [{}]


def test_peeking_does_not_go_on():
    highlighter = LineHighlighter(find_lexer("python"))
    assert highlighter.peek('"""open')
    assert next(mark.style for mark in highlighter.line("if x: pass")) == "code.keyword"


def test_a_lexer_that_fails_gives_no_colours():
    class Failing:
        name = "C"

        def get_tokens_unprocessed(self, text):
            raise ValueError(text)

    highlighter = LineHighlighter(Failing())
    assert highlighter.line("x") == []
    assert highlighter.line("y") == []


def test_an_empty_line():
    assert colours("python", "") == [{}]


SOURCES = {
    "python": "@d\nclass A(B):\n    def f(self):\n        '''doc\n        more'''\n        return f'{x!r}'\n",
    "rust": 'fn main() {\n    let x: u32 = 5; // c\n    println!("{}", x);\n}\n',
    "sql": "SELECT a, COUNT(*)\nFROM t -- c\nWHERE x = 'y';\n",
    "bash": 'for i in 1 2; do\n  echo "$i"\ndone\n',
    "json": '{"a": [1, true,\n null]}\n',
    "toml": 'a = "x"\n[b]\nc = 1\n',
    "go": 'func main() {\n\tx := "a" // b\n}\n',
    "cpp": "#include <x>\nint main() { return 0; }\n",
    "java": "class A {\n  int x = 1; // c\n}\n",
    "ruby": 'def f(x)\n  puts "a#{x}"\nend\n',
    "diff": "--- a\n+++ b\n-x\n+y\n",
    "css": "a { color: red; }\n",
}


@pytest.mark.parametrize("language", SOURCES)
def test_line_by_line_agrees_with_the_whole(language):
    source = SOURCES[language]

    expected = []
    for _index, token, value in find_lexer(language).get_tokens_unprocessed(source):
        expected += [(character, _style(token)) for character in value]
    highlighter = LineHighlighter(find_lexer(language))
    found = []
    for line in source.splitlines():
        styles = [""] * len(line)
        for mark in highlighter.line(line):
            styles[mark.start : mark.end] = [mark.style] * (mark.end - mark.start)
        found += [*zip(line, styles, strict=True), ("\n", "")]
    visible = [(a, b) for a, b in zip(expected, found, strict=True) if not a[0].isspace()]
    assert [a for a, _b in visible] == [b for _a, b in visible]


def test_all_colours_at_once():
    assert Colours().may_colour("python")
    assert Colours().lexer("python").name == "Python"


def test_the_stack_of_states_changes_as_pygments_changes_it():
    stack = ["root"]
    for change, expected in (
        (("a", "b"), ["root", "a", "b"]),
        ("#push", ["root", "a", "b", "b"]),
        (("#pop", "#push"), ["root", "a", "b", "b"]),
        (-2, ["root", "a"]),
        ("c", ["root", "a", "c"]),
        (-9, ["root"]),
        (("#pop",), ["root"]),
    ):
        _change(stack, change)
        assert stack == expected


def test_a_line_end_that_no_rule_takes_ends_every_state():
    word = re.compile("a")
    states = {"root": [(word.match, ("Token",), ("inner",))], "inner": [(word.match, None, None)]}
    stack = ["root"]
    assert _run(None, states, "a?a\n", stack) == [(0, ("Token",), "a")]
    assert stack == ["root"]
