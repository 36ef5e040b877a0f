"""The inside of paragraphs: what is read, and what shows while it is still coming."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatapp.text.inline import Inline

PIECES = (
    *("*", "**", "***", "_", "__", "`", "``", "[", "]", "(", ")", "](", "](http://a.b)", "![", "!", "<", ">", "<b>"),
    *("<br>", "<!--", "-->", "&amp;", "&#27;", "&", "$", "$$", "~~", "~", "\\", "\\(", "\\)", "\\[", "\\]", "\n"),
    *("  \n", "\\\n", " ", "  ", "a", "word ", "é", "http://x.y", "https://x.y/(z)", "h", "ht", ".", '"', "5"),
)
SOURCES = st.lists(st.sampled_from(PIECES), max_size=16).map("".join).filter(lambda s: not re.search(r"\n *\n", s))


def read(source):
    inline = Inline()
    inline.append(source)
    inline.close()
    inline.settle()
    return styled(inline.plain, inline.marks)


def styled(text, marks):
    out, at = [], 0
    for mark in marks:
        out += [text[at : mark.start], f"<{mark.style}|{text[mark.start : mark.end]}>"]
        at = mark.end
    return "".join(out) + text[at:]


def shown(source):
    """What is on the screen while `source` is all that has come."""
    inline = Inline()
    inline.append(source)
    inline.settle()
    text, marks = inline.tail()
    base = len(inline.plain)
    shifted = [mark._replace(start=mark.start + base, end=mark.end + base) for mark in marks]
    return styled(inline.plain + text, [*inline.marks, *shifted])


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a **bold** b", "a <strong|bold> b"),
        ("*em* and _em_", "<em|em> and <em|em>"),
        ("***both***", "<strong em|both>"),
        ("**a *b* c**", "<strong|a ><strong em|b><strong| c>"),
        ("~~gone~~ ~x~", "<strike|gone> ~x~"),
        ("2 * 3 * 4", "2 * 3 * 4"),
        ("snake_case_name", "snake_case_name"),
        ("`a*b*`", "<code|a*b*>"),
        ("`` a`b ``", "<code|a`b>"),
        ("`open", "`open"),
        ("[t](http://a.b)", "<link|t>"),
        ('[t](<http://a.b> "title")', "<link|t>"),
        ("[a [b](x) c](y)", "[a <link|b> c](y)"),
        ("*a [b* c](u)", "*a <link|b* c>"),
        ("![alt](x.png)", "<image|alt>"),
        ("[not a link] (x)", "[not a link] (x)"),
        ("<http://a.b/c>", "<link|http://a.b/c>"),
        ("see http://a.b/c. ok", "see <link|http://a.b/c>. ok"),
        ("xhttp://a.b", "xhttp://a.b"),
        ("\\*no\\*", "*no*"),
        ("a\\", "a\\"),
        ("a \\b", "a \\b"),
        ("&lt;&nosuch;&", "<&nosuch;&"),
        ("one\ntwo", "one two"),
        ("one  \ntwo", "one\ntwo"),
        ("one\\\ntwo", "one\ntwo"),
        ("a<br>b<br/> c", "a\nb\nc"),
        ("<b>x</b>", "<html|<b>>x<html|</b>>"),
        ("a < b > c", "a < b > c"),
        ("$x_1 * y$ and $5 or $6", "<math|$x_1 * y$> and $5 or $6"),
        ("$$a_b$$", "<math|$$a_b$$>"),
        ("$$open", "$$open"),
        ("\\(a_1\\) \\[b\\]", "<math|\\(a_1\\)> <math|\\[b\\]>"),
        ("\\(open", "(open"),
        ("trailing  ", "trailing"),
        ("wow!", "wow!"),
        ("price: $", "price: $"),
        ("*a b_ c_", "*a b_ c_"),
        ("*foo**bar*", "<em|foo**bar>"),
        ("<b><i>x", "<html|<b><i>>x"),
    ],
)
def test_reading(source, expected):
    assert read(source) == expected


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("**", ""),
        ("**bo", "<strong|bo>"),
        ("**bold*", "<strong|bold>"),
        ("a *b", "a <em|b>"),
        ("5*x", "5*x"),
        ("`co", "<code|co>"),
        ("`code`", "<code|code>"),
        ("~~str", "<strike|str>"),
        ("see [lab", "see "),
        ("see [label]", "see "),
        ("[label](http", "<link|label>"),
        ("wow!", "wow"),
        ("a &am", "a "),
        ("a <sp", "a "),
        ("a \\", "a "),
        ("line\n", "line"),
        ("http://a.b/c", "<link|http://a.b/c>"),
        ("\\(x", "<math|\\(x>"),
        ("a $", "a "),
        ("a $x", "a $x"),
        ("[a](b c d", "[a](b c d"),
    ],
)
def test_what_is_forming_does_not_flash(source, expected):
    assert shown(source) == expected


def test_what_stays_open_for_long_is_text_after_all():
    assert shown("*" + "a" * 500).startswith("*a")
    assert shown("[" + "a" * 200).startswith("[a")
    assert read("**" + "a" * 2100 + "**").startswith("**a")
    assert read("`" + "a" * 2100 + "`").startswith("`a")
    assert read("[" + "a" * 2100 + "](http://x.y)").startswith("[a")
    for opening in ("`", "\\(", "$$", "http://x.y/("):
        inline = Inline()
        inline.append(opening + "a " * 1100)
        inline.settle()
        inline.append("a")
        inline.settle()
        assert len(inline.plain) > 2000, opening


def test_only_web_addresses_can_be_opened():
    for target in ("javascript:alert(1)", "file:///etc/passwd", "data:text/html,x", "a b", "../x", "\x1b]8;;x"):
        inline = Inline()
        inline.append(f"[t](<{target}>)")
        inline.close()
        inline.settle()
        assert not any(mark.href for mark in inline.marks), target


def test_a_link_that_shows_another_address_tells_its_own():
    assert read("[google.com](https://evil.com)") == "<link|google.com><html| (https://evil.com)>"
    assert read("[x.com/a](https://x.com/b)") == "<link|x.com/a>"
    assert read("[the paper](https://x.com)") == "<link|the paper>"


def test_an_entity_is_no_way_to_a_control_character():
    for source in ("&#27;[31m", "&#x9b;1m", "&#8238;x", "[x](http://a.b/&#27;)", "<http://a.b/\u202e>"):
        inline = Inline()
        inline.append(source)
        inline.close()
        inline.settle()
        text = inline.plain + "".join(mark.href for mark in inline.marks)
        assert not set(text) & {"\x1b", "\x9b", "\u202e"}, source


def test_an_append_costs_the_same_however_long_the_paragraph():
    inline = Inline()
    for _ in range(3000):
        inline.append("some *emphasised* words and `code`, ")
        inline.settle()
        assert len(inline.tail()[0]) < 100


def test_what_hangs_together_is_one_range_however_it_came():
    inline = Inline()
    for tag in ("<b>", "<i>", "<u>"):
        inline.append(tag)
        inline.settle()
    inline.append("x")
    inline.settle()
    assert [(mark.start, mark.end) for mark in inline.marks] == [(0, 9)]


def test_nothing_to_read():
    inline = Inline()
    inline.settle()
    assert inline.plain == ""
    assert inline.tail() == ("", [])


@settings(max_examples=400)
@given(SOURCES, st.data())
def test_any_split_comes_to_the_same(source, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(source)), max_size=6)))
    inline = Inline()
    for start, end in zip([0, *cuts], [*cuts, len(source)], strict=True):
        inline.append(source[start:end])
        inline.settle()
        before = styled(inline.plain, inline.marks) if not inline.tail()[0] else None
        assert before is None or before == shown(source[:end])
    inline.close()
    inline.settle()
    assert styled(inline.plain, inline.marks) == read(source)


def test_emphasis_over_an_open_bracket_waits_for_it():
    inline = Inline()
    for character in "*a [b* c](u) *d*":
        inline.append(character)
        inline.settle()
    inline.close()
    inline.settle()
    assert styled(inline.plain, inline.marks) == "*a <link|b* c> <em|d>"


def test_emphasis_out_of_reach_of_its_opener_is_text():
    assert read("*a " + "b" * 2100 + " *c* d*") == "*a " + "b" * 2100 + " <em|c> d*"


def test_a_longer_run_of_backticks_does_not_close_a_code_span():
    assert shown("a `b``c` d") == "a <code|b``c> d"
