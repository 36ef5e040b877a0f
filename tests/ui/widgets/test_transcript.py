"""Rows of a conversation, laid out where they are looked at."""

from chatapp.text.blocks import TextBlock
from chatapp.text.highlight import Colours
from chatapp.ui.widgets.transcript import MEASURE, Section, Transcript


def section(transcript, source):
    made = Section()
    made.stream.feed(source)
    transcript.sync(made)
    return made


def texts(transcript):
    return [row.text for _y, row in transcript.rows(0, transcript.total + 10)]


def settle(transcript):
    while not transcript.settled:
        transcript.settle()


def test_blocks_become_rows():
    transcript = Transcript(20)
    section(transcript, "# Title\n\ntext that wraps in two rows")
    settle(transcript)
    assert texts(transcript) == ["Title", "━" * 20, "", "text that wraps in", "two rows"]
    assert transcript.total == 5


def test_only_what_is_looked_at_is_laid_out():
    transcript = Transcript(40)
    section(transcript, "\n\n".join(f"paragraph {number}" for number in range(100)))
    transcript.ensure_end(5)
    laid_out = [entry for entry in transcript.entries if entry.exact]
    assert 2 <= len(laid_out) <= 4
    transcript.ensure_rows(0, 4)
    assert transcript.entries[0].exact
    assert not transcript.settled


def test_estimates_are_made_exact_a_little_at_a_time():
    transcript = Transcript(20)
    section(transcript, "\n\n".join("word " * 30 for _ in range(50)))
    steps = 0
    while not transcript.settled:
        transcript.settle(budget_s=0)
        steps += 1
    assert steps == 50
    assert transcript.total == len(texts(transcript)) == 50 * 9 - 1


def test_growing_says_where_a_change_began():
    transcript = Transcript(20)
    made = section(transcript, "first paragraph here\n\nsecond")
    settle(transcript)
    assert transcript.take_change() == 0
    assert transcript.take_change() is None
    made.stream.feed(" goes on and on and on")
    transcript.sync(made)
    assert transcript.take_change() == 2
    made.stream.feed(" to the end of it")
    transcript.sync(made)
    assert transcript.take_change() == 3


def test_a_block_that_turns_out_to_be_another_is_replaced():
    transcript = Transcript(40)
    made = section(transcript, "a | b")
    settle(transcript)
    made.stream.feed("\n--|--\n1 | 2\n")
    transcript.sync(made)
    settle(transcript)
    assert texts(transcript) == ["a │ b", "──┼──", "1 │ 2"]


def test_a_new_width_lays_out_anew():
    transcript = Transcript(40)
    section(transcript, "text that wraps in two rows")
    settle(transcript)
    revision = transcript.revision(0)
    transcript.resize(20)
    settle(transcript)
    assert texts(transcript) == ["text that wraps in", "two rows"]
    assert transcript.revision(0) > revision
    transcript.resize(0)
    assert transcript.width == 1


def test_text_keeps_to_a_readable_measure_but_tables_do_not():
    transcript = Transcript(180)
    section(transcript, "word " * 60 + "\n\n| a |\n|---|\n| " + "cell " * 30 + " |\n")
    settle(transcript)
    lengths = [len(text.rstrip()) for text in texts(transcript)]
    assert max(lengths[:4]) <= MEASURE
    assert max(lengths) > MEASURE
    assert (transcript.width_of(0), transcript.width_of(1)) == (MEASURE, 180)


def test_folding():
    transcript = Transcript(40)
    first = transcript.add(TextBlock.of("a"), hidden=True)
    transcript.add(TextBlock.of("b"))
    settle(transcript)
    assert texts(transcript) == ["b"]
    transcript.hide(first, 1, hidden=False)
    assert texts(transcript) == ["a", "b"]
    transcript.hide(first, 1, hidden=True)
    assert texts(transcript) == ["b"]


def test_hidden_blocks_grow_unseen():
    transcript = Transcript(40)
    made = Section(hidden=True)
    transcript.sync(made)
    made.stream.feed("a\n\nb")
    transcript.sync(made)
    made.stream.feed(" more\n\nc")
    transcript.sync(made)
    settle(transcript)
    assert transcript.total == 0
    transcript.hide(made.first, made.synced, hidden=False)
    assert texts(transcript) == ["a", "", "b more", "", "c"]


def test_behind_the_end():
    transcript = Transcript(40, Colours())
    assert transcript.row(0, 0) is None
    assert transcript.revision(0) == -1
    assert not transcript.is_final(0, 0)
    transcript.add(TextBlock.of("a"))
    assert not transcript.is_final(0, 0)
    assert transcript.row(0, 5) is None
    assert transcript.row(0, 0).text == "a"
    assert transcript.is_final(0, 0)


def test_growth_before_it_is_laid_out_is_estimated():
    transcript = Transcript(10)
    made = section(transcript, "word ")
    made.stream.feed("word " * 20)
    transcript.sync(made)
    assert transcript.total == 11
