from chatapp.ui.figures import panel_details
from chatapp.ui.fitting import columns, cut


def test_a_simulated_backend_shows_limit_bound_claim_and_model():
    detail = {
        "limit_tps": 21000.0,
        "dominant": "layers 50%",
        "claim": "981; model, not having seen it, 845 (546 to 1,307)",
        "predicted_tps": 845.0,
        "predicted_low_tps": 546.0,
        "predicted_high_tps": 1307.0,
    }
    assert panel_details(detail) == (
        ("limit", "21,000 tok/s"),
        ("bound by", "layers 50%"),
        ("claim", "981 tok/s"),
        ("model", "845 (546–1,307)"),
    )


def test_a_played_back_claim_says_so_first():
    assert panel_details({"pace": "vendor's figure played back"}) == (("pace", "claim played back"),)
    assert panel_details({"pace": "model"}) == ()


def test_details_of_another_shape_are_left_out():
    assert panel_details({"limit_tps": "fast", "dominant": 3.0}) == ()


def test_text_is_cut_by_columns_and_never_in_the_middle_of_a_wide_character():
    assert cut("short", 5) == "short"
    assert cut("longer", 5) == "long…"
    assert cut("日本語", 5) == "日本…"
    assert columns(cut("日本語", 4)) <= 4
    assert cut("anything", 0) == ""
