import json
import re

from chatapp.recording.webpage import to_page

SVG = "<svg><text>{{title}} 3 &lt; 4</text></svg>"


def test_a_page_holds_picture_length_and_chapters():
    page = to_page(SVG, title="A & B", duration_s=7.25, chapters=[(0.0, "one"), (2.5, "two")])
    assert page.startswith("<!doctype html>")
    assert "<title>A &amp; B</title>" in page
    assert SVG in page, "what is put in is not filled in itself"
    assert 'max="7.250"' in page
    assert json.loads(re.search(r'id="marks">(.*?)</script>', page)[1]) == [[0.0, "one"], [2.5, "two"]]


def test_nothing_of_a_recording_can_run_in_it():
    page = to_page(SVG, title="</title><script>x", duration_s=1, chapters=[(0.0, "</script><script>x\x1b[2J")])
    assert page.count("<script") == 2
    assert "\x1b" not in page
    assert "default-src 'none'" in page
