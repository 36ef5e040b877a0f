from chatapp.client.prompt_history import KEPT, LINE_LIMIT, PromptHistory


def test_prompts_come_back_in_order_without_repeats(tmp_path):
    history = PromptHistory(tmp_path)
    for prompt in ("one", "two\nlines", "two\nlines", "three"):
        history.add(prompt)
    assert PromptHistory(tmp_path).load() == ["one", "two\nlines", "three"]


def test_the_draft_lasts_until_something_is_sent(tmp_path):
    history = PromptHistory(tmp_path)
    history.keep_draft("half a tho")
    assert PromptHistory(tmp_path).draft() == "half a tho"
    history.add("a thought")
    assert history.draft() == ""


def test_broken_lines_and_huge_prompts_are_left_out(tmp_path):
    history = PromptHistory(tmp_path)
    history.add("x" * (LINE_LIMIT + 1))
    history.add("good")
    history.path.write_text(history.path.read_text() + "{broken\n5\n\n")
    assert history.load() == ["good"]


def test_the_file_is_shortened_when_it_has_doubled(tmp_path):
    history = PromptHistory(tmp_path)
    history.path.write_text("".join(f'"prompt {n}"\n' for n in range(2 * KEPT + 1)))
    assert len(history.load()) == KEPT
    assert len(history.path.read_text().splitlines()) == KEPT


def test_a_folder_that_cannot_be_used_costs_only_the_memory(tmp_path):
    (tmp_path / "file").write_text("")
    history = PromptHistory(tmp_path / "file")
    history.add("one")
    history.keep_draft("draft")
    assert history.load() == []
    assert history.draft() == ""
