import pytest

from chatapp.compare.race import FreezeFrame, standings
from chatapp.ui.widgets.standings import StandingsView, bar, cut_cells, headline, lane_line, short_labels
from tests.compare.test_race import ended, running, snapshot

LABELS = ("CS-3 · Kimi K2.6", "16× H100 · Kimi K2.6")
KINDS = ("simulated", "simulated")


def view(*snapshots, **options):
    return StandingsView(LABELS, KINDS, standings(snapshots, same_text=True), same_text=True, **options)


def test_before_the_start_it_says_what_is_compared():
    waiting = StandingsView(LABELS, KINDS)
    assert "ranked by speed in cl100k" in headline(waiting, 100).plain
    assert "–" in lane_line(waiting, 0, 100).plain
    assert "only time differs" in headline(view(running(10, 5.0), running(10, 5.0)), 100).plain


def test_the_spread_of_the_starts_is_said():
    assert "starts within 0.12 ms" in headline(view(running(1, 1.0), running(1, 1.0), spread_ms=0.12), 100).plain


def test_when_the_winner_is_done_the_headline_says_what_the_other_lacks():
    frozen = FreezeFrame(0, 1200.0, (1.0, 0.15), (1000, 150))
    still = view(ended(1000, 900.0, 1200.0), running(150, 125.0), frozen=frozen)
    assert (
        headline(still, 200).plain == "CS-3 finished in 1.20 s; 16× H100 had 15% of it by then, and needs 1.70 s more"
    )
    over = view(ended(1000, 900.0, 1200.0), ended(1000, 125.0, 8000.0), frozen=frozen)
    assert headline(over, 200).plain.endswith("and took 8.00 s")
    own_texts = StandingsView(LABELS, KINDS, over.standings, frozen)
    assert "had written 150 characters" in headline(own_texts, 200).plain
    alone = view(ended(1000, 900.0, 1200.0), snapshot("failed"), frozen=frozen)
    assert headline(alone, 200).plain == "CS-3 finished in 1.20 s"


def test_the_headline_is_said_shorter_before_it_is_cut():
    frozen = FreezeFrame(0, 1200.0, (1.0, 0.15), (1000, 150))
    still = view(ended(1000, 900.0, 1200.0), running(150, 125.0), frozen=frozen)
    assert headline(still, 70).plain == "CS-3 finished in 1.20 s; 16× H100 had 15%, needs 1.70 s more"
    own_texts = StandingsView(LABELS, KINDS, still.standings, frozen)
    assert headline(own_texts, 60).plain == "CS-3 finished in 1.20 s; 16× H100 had 150 characters"


def test_a_lanes_row_has_place_speed_first_token_and_what_is_missing():
    both = view(ended(1000, 900.0, 1200.0), running(150, 125.0))
    first, second = (lane_line(both, lane, 120).plain for lane in (0, 1))
    assert first.startswith("1 ◆ CS-3 · Kimi K2.6")
    assert "900 tok/s" in first
    assert "7.2×" in first
    assert "15%" in second
    assert "+1.70s" in second
    assert "#1" in first


@pytest.mark.parametrize("width", [20, 40, 72, 80, 120, 240])
def test_a_row_never_exceeds_a_sensible_width(width):
    both = view(ended(1000, 900.0, 1200.0), running(150, 125.0))
    for lane in (0, 1):
        assert lane_line(both, lane, width).cell_length <= max(width, 60)


def test_bars_by_time_run_to_the_projected_end():
    both = view(ended(1000, 900.0, 1200.0), running(150, 125.0), measure="time")
    assert "1.20 s" in lane_line(both, 0, 120).plain


def test_what_failed_or_was_cancelled_is_said_in_its_bar():
    both = view(snapshot("failed"), snapshot("cancelled", 5, characters_per_s=1.0))
    assert "failed" in lane_line(both, 0, 120).plain
    assert "cancelled" in lane_line(view(snapshot("cancelled", 5), running(900, 1.0)), 0, 120).plain


@pytest.mark.parametrize(("share", "cells"), [(0.0, 0), (0.5, 5), (1.0, 10), (7.0, 10), (-1.0, 0)])
def test_a_bar_is_as_long_as_its_share(share, cells):
    (body, _style), (rest, _quiet) = bar(share, 10, "$live")
    assert body.count("█") == cells
    assert len(body) + len(rest) == 10


def test_a_bar_shows_eighths_and_its_text_only_where_there_is_room():
    (body, _style), (rest, _quiet) = bar(0.55, 10, "$live", "55%")
    assert body == "█████▌"
    assert rest == " 55%"
    assert bar(0.95, 10, "$live", "95%")[1][0] == ""


def test_names_that_share_their_model_lose_it():
    assert short_labels(LABELS) == ["CS-3", "16× H100"]
    assert short_labels(("a · x", "b · y")) == ["a · x", "b · y"]
    assert short_labels(("a", "b")) == ["a", "b"]


def test_cutting_counts_cells():
    assert cut_cells("abc", 3) == "abc"
    assert cut_cells("abcd", 3) == "ab…"
    assert cut_cells("日本語", 5) == "日本…"
