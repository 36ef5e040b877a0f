import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatapp.backends.library import MATCH_THRESHOLD, Library, LibraryEntry, load_library, read_entry
from chatapp.errors import FileFormatError

GOOD = """---
title: Sorting in Rust
domain: code
keywords: [rust, sort, 2]
prompts:
  - Sort a list of numbers in Rust
starter: 2
---

# Sorting

Use `sort_unstable`.
"""


def write(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_an_entry_is_front_matter_and_markdown(tmp_path):
    entry = read_entry(write(tmp_path, "sort.md", GOOD))
    assert (entry.name, entry.title, entry.domain, entry.starter) == ("sort", "Sorting in Rust", "code", 2)
    assert entry.keywords == ("rust", "sort", "2")
    assert entry.prompts == ("Sort a list of numbers in Rust",)
    assert entry.text == "# Sorting\n\nUse `sort_unstable`.\n"
    assert entry.reasoning == ""


def test_reasoning_stands_in_the_front_matter_or_in_a_file_beside(tmp_path):
    inline = write(tmp_path, "a.md", GOOD.replace("starter: 2", "reasoning: |\n  First think.\n"))
    assert read_entry(inline).reasoning == "First think.\n"
    beside = write(tmp_path, "sort.reasoning.md", "Think twice.\n\n")
    main = write(tmp_path, "sort.md", GOOD)
    assert read_entry(main, reasoning_file=beside).reasoning == "Think twice.\n"
    library = load_library([main, beside])
    assert [entry.name for entry in library.entries] == ["sort"]
    assert library.entries[0].reasoning == "Think twice.\n"


def test_readme_and_underscored_files_are_no_entries(tmp_path):
    files = [write(tmp_path, name, "no front matter") for name in ("README.md", "_draft.md")]
    assert load_library(files).entries == ()


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("", 1, "must begin with front matter"),
        ("# Title\n", 1, "must begin with front matter"),
        ("---\ntitle: x\n", 1, "is not closed"),
        ("---\ntitle: x\n---\n\n", 3, "has no text"),
        ("---\ntitle: [x\n---\ntext\n", 3, "front matter is not YAML"),
        ("---\n- a\n---\ntext\n", 2, "must be a list of"),
        ("---\ndomain: code\n---\ntext\n", 2, "title must be a text"),
        ("---\ntitle: x\nkeywords: code\n---\ntext\n", 2, "keywords must be a list"),
        ("---\ntitle: \x01\n---\ntext\n", 1, "front matter is not YAML"),
    ],
)
def test_a_broken_entry_is_reported_with_its_line(tmp_path, text, line, message):
    path = write(tmp_path, "a.md", text)
    with pytest.raises(FileFormatError) as caught:
        read_entry(path)
    assert caught.value.message.startswith(f"{path}:{line}")
    assert message in caught.value.message


@pytest.mark.parametrize("head", ["domain: sports", "starter: true", "starter: 0", "starter: two"])
def test_wrong_values_are_refused(tmp_path, head):
    with pytest.raises(FileFormatError):
        read_entry(write(tmp_path, "a.md", f"---\ntitle: x\n{head}\n---\ntext\n"))


def test_unreadable_files_are_named(tmp_path):
    with pytest.raises(FileFormatError, match="cannot be read"):
        load_library([tmp_path / "missing.md"])
    with pytest.raises(FileFormatError, match="cannot be read"):
        read_entry(tmp_path)
    path = tmp_path / "latin.md"
    path.write_bytes(b"---\ntitle: \xe9\n---\n")
    with pytest.raises(FileFormatError, match="not UTF-8"):
        read_entry(path)


@pytest.fixture(scope="module")
def shipped():
    return load_library()


def test_the_shipped_library_covers_all_domains_and_has_four_starters(shipped):
    assert len(shipped.entries) >= 30
    assert {entry.domain for entry in shipped.entries} == {"conversation", "code", "science", "hardware", "inference"}
    assert [entry.starter for entry in shipped.starters] == [1, 2, 3, 4]


def test_every_entrys_own_questions_find_it(shipped):
    for entry in shipped.entries:
        for prompt in entry.prompts:
            best = shipped.search(prompt, limit=1)[0]
            assert best.score >= 0.99, (entry.name, prompt, best.entry.name, best.score)


@pytest.mark.parametrize(
    ("prompt", "name"),
    [
        ("Explain how speculative decoding works", "speculative-decoding"),
        ("How big is the KV cache of a long conversation", "kv-cache"),
        ("parse json in python without a library", "json-parser-python"),
        ("count words in a file with rust", "rust-word-count"),
        ("SQL running total per customer", "sql-window-functions"),
        ("what's the difference between ttft and throughput", "ttft-and-throughput"),
        ("molecular dynamics of argon, write the code", "lennard-jones-md"),
        ("simulate an epidemic with SIR", "sir-epidemic"),
        ("I have to give a talk in five days and I'm nervous, help me", "talk-in-five-days"),
        ("race CS-3 against 16 H100", "race-cs3-h100"),
        ("how does mixture of experts pick experts", "mixture-of-experts"),
        ("hi", "hello"),
    ],
)
def test_paraphrases_find_their_answer(shipped, prompt, name):
    best = shipped.search(prompt, limit=1)[0]
    assert best.entry.name == name
    assert best.fits


@pytest.mark.parametrize(
    "prompt",
    [
        "what is the capital of france",
        "recipe for lasagna",
        "who won the world cup in 1998",
        "tell me a joke about cats",
        "translate 'good morning' into japanese",
        "what's the weather like in paris tomorrow",
        "fix my car's brakes",
        "write a poem about the sea",
        "explain the french revolution",
        "best restaurants in Rome",
        "how do I file my taxes in Germany?",
        "what is 17 * 23",
        "summarize the plot of hamlet",
        "help me write a cover letter for a nurse",
        "python",
        "why",
        "?!",
        "",
    ],
)
def test_what_the_library_does_not_know_is_below_the_threshold(shipped, prompt):
    assert all(match.score < MATCH_THRESHOLD for match in shipped.search(prompt))


@given(st.text(max_size=200))
def test_scores_lie_between_0_and_1_and_fall(prompt):
    library = Library(
        (
            LibraryEntry("a", "Sorting in Rust", "code", "text on sorting", prompts=("sort in rust",)),
            LibraryEntry("b", "Baking bread", "conversation", "flour and water"),
        )
    )
    scores = [match.score for match in library.search(prompt)]
    assert all(0 <= score <= 1 for score in scores)
    assert scores == sorted(scores, reverse=True)


def test_of_equal_scores_the_one_with_the_nearer_question_is_first():
    library = Library(
        (
            LibraryEntry("a", "Rust", "code", "text", keywords=("sort", "list", "tree", "heap")),
            LibraryEntry("b", "Sorting", "code", "text", prompts=("how do I sort a list in rust",)),
        )
    )
    first, second = library.search("rust list sort")
    assert (first.entry.name, second.entry.name) == ("b", "a")
    assert first.score == second.score == 1.0


def test_an_empty_library_finds_nothing():
    assert Library(()).search("anything") == []
    assert Library(()).starters == ()
