import pytest

from chatapp.client.inclusion import LIMIT_BYTES, include_files
from chatapp.errors import UsageError


def test_a_text_file_is_appended_with_its_size_said(tmp_path):
    (tmp_path / "notes.py").write_text("print(1)\n")
    prompt, files = include_files("Explain @notes.py, please", tmp_path)
    assert prompt == "Explain @notes.py, please\n\nnotes.py:\n```py\nprint(1)\n```"
    assert files[0].summary == "@notes.py 9 B, ~2 tokens"


def test_fences_in_the_file_do_not_end_the_block(tmp_path):
    (tmp_path / "a.md").write_text("```\ncode\n```")
    prompt, _files = include_files("@a.md", tmp_path)
    assert prompt.count("````") == 2


def test_a_quoted_name_may_hold_spaces_and_a_file_is_taken_once(tmp_path):
    (tmp_path / "my notes.txt").write_text("x")
    _prompt, files = include_files('@"my notes.txt" and @"my notes.txt"', tmp_path)
    assert len(files) == 1


def test_names_that_are_no_files_stay_prompts(tmp_path):
    assert include_files("ask @someone, mail me@home.org", tmp_path) == ("ask @someone, mail me@home.org", [])


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.bin", b"\x7fELF\0\0", "binary"),
        ("a.txt", b"caf\xe9", "UTF-8"),
        ("a.log", b"x" * (LIMIT_BYTES + 1), "too large"),
    ],
)
def test_what_is_no_text_is_refused(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=words):
        include_files(f"@{name}", tmp_path)


def test_folders_and_missing_paths_are_refused(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(UsageError, match="folder"):
        include_files("@folder", tmp_path)
    with pytest.raises(UsageError, match="no such file"):
        include_files("@./nothing.txt", tmp_path)


def test_a_prompt_that_is_edited_takes_its_file_in_once(tmp_path):
    (tmp_path / "a.py").write_text("print(1)\n")
    prompt, _files = include_files("explain @a.py", tmp_path)
    assert include_files(prompt, tmp_path) == (prompt, [])
    (tmp_path / "a.py").write_text("print(2)\n")
    again, files = include_files(prompt, tmp_path)
    assert again.endswith("print(2)\n```")
    assert len(files) == 1


@pytest.mark.parametrize("fence", ["```", "~~~~"])
def test_code_in_a_fence_mentions_nothing(tmp_path, fence):
    (tmp_path / "a.py").write_text("print(1)\n")
    prompt = f"why?\n{fence}ts\n @types/node @a.py\n{fence}\nand @bob"
    assert include_files(prompt, tmp_path) == (prompt, [])
    assert include_files(f"{prompt} @a.py", tmp_path)[1]
