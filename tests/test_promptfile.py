"""Prompt files: what is for people, and what is sent."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatapp.errors import FileFormatError
from chatapp.promptfile import PromptFile, read_prompt_file


def written(tmp_path, text: str | bytes):
    path = tmp_path / "mine.md"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_front_matter_is_no_part_of_the_text(tmp_path):
    file = read_prompt_file(written(tmp_path, "---\ntitle: Mine\ndescription: Kind.\n---\nBe kind.\n---\nAlways.\n"))
    assert file.text == "Be kind.\n---\nAlways.\n"
    assert file.head == {"title": "Mine", "description": "Kind."}
    assert (file.has_head, file.line) == (True, 5)


def test_a_file_without_front_matter_is_all_text(tmp_path):
    assert read_prompt_file(written(tmp_path, "Be kind.\n---\n")) == PromptFile("Be kind.\n---\n")
    assert read_prompt_file(written(tmp_path, "")) == PromptFile("")


def test_line_ends_of_windows_are_read_alike(tmp_path):
    file = read_prompt_file(written(tmp_path, "---\r\ntitle: Mine\r\n---\r\nBe\r\nkind.\r\n"))
    assert (file.text, file.head) == ("Be\nkind.\n", {"title": "Mine"})


def test_empty_front_matter_is_front_matter(tmp_path):
    assert read_prompt_file(written(tmp_path, "---\n---\nText\n")) == PromptFile("Text\n", {}, True, 3)


@pytest.mark.parametrize(
    ("head", "description"),
    [
        ("description: Kind.\ntitle: Mine", "Kind."),
        ("title: Mine", "Mine"),
        ("name: mine", "Be kind.\n"),
        ("description: [1, 2]", "Be kind.\n"),
    ],
)
def test_a_menu_shows_the_description_else_the_title_else_the_beginning(tmp_path, head, description):
    assert read_prompt_file(written(tmp_path, f"---\n{head}\n---\nBe kind.\n")).description == description


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("---\ntitle: Mine\n", "mine.md:1: the front matter is not closed"),
        ("---\na: b\ntitle: [\n---\nx\n", "mine.md:4: front matter is not YAML"),
        ("---\na: \x07\n---\nx\n", "mine.md:1: front matter is not YAML"),
        ("---\n- a\n---\nx\n", "mine.md:2: front matter must be a list of `name: value` lines"),
        (b"\xff\xfe", "mine.md: not UTF-8 text (byte 0)"),
    ],
)
def test_a_broken_file_is_named_with_its_line(tmp_path, text, words):
    with pytest.raises(FileFormatError, match=r"mine\.md") as failure:
        read_prompt_file(written(tmp_path, text))
    assert words in failure.value.message


def test_an_unreadable_file_is_named(tmp_path):
    with pytest.raises(FileFormatError, match=r"gone\.md: cannot be read: No such file"):
        read_prompt_file(tmp_path / "gone.md")


@given(st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\r")))
def test_text_is_kept_as_it_is(tmp_path_factory, text):
    path = written(tmp_path_factory.mktemp("any"), f"---\ntitle: any\n---\n{text}")
    assert read_prompt_file(path).text == text
