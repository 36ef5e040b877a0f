import datetime

import pytest

from chatapp.compare.claims import claims, load_claim, read_claim, to_json
from chatapp.errors import FileFormatError, UnknownNameError

GOOD = """\
vendor = "V"
model = "m"
system = "S"
kind = "speed"
metric = "output_speed_tps"
value = 981
unit = "tok/s"
workload = "short-chat"
measured_by = "X"
date = "2026-05-06"
source = "https://example.org/x"
statement = "It is fast."
method = "unknown"
"""


def claim_of(tmp_path, text):
    path = tmp_path / "my-claim.toml"
    path.write_text(text)
    return read_claim(path)


def test_a_good_file(tmp_path):
    claim = claim_of(tmp_path, GOOD)
    assert claim.id == "my-claim"
    assert claim.value == 981.0
    assert claim.higher_is_faster
    assert claim.age_days(datetime.date(2026, 5, 8)) == 2
    assert to_json(claim)["metric"] == "output_speed_tps"


def test_times_are_kept_in_milliseconds(tmp_path):
    text = (
        GOOD.replace("speed", "time", 1)
        .replace("output_speed_tps", "e2e_ms")
        .replace("981", "5.6")
        .replace("tok/s", "s")
    )
    claim = claim_of(tmp_path, text)
    assert (claim.value, claim.unit, claim.higher_is_faster) == (5600.0, "ms", False)


@pytest.mark.parametrize(
    ("before", "after", "line", "words"),
    [
        ("value = 981", "value = -1", 6, "finite positive"),
        ("value = 981", "value = nan", 6, "finite positive"),
        ("value = 981", "value = 0", 6, "finite positive"),
        ("value = 981", 'value = "fast"', 6, "value: Expected"),
        ("value = 981", "valeu = 981", 6, "nearest: value"),
        ('unit = "tok/s"', 'unit = "furlongs"', 7, "tok/s"),
        ('date = "2026-05-06"', 'date = "May"', 10, "2026-05-06"),
        ('source = "https://example.org/x"', 'source = "a friend"', 11, "address"),
        ('kind = "speed"', 'kind = "fit"', 5, "goes with"),
        ('kind = "speed"', 'kind = "ratio"', None, "compares with"),
        ('kind = "speed"', 'kind = "colour"', 4, "kind"),
        ('workload = "short-chat"', 'workload = ""', 8, "names the workload"),
        ('method = "unknown"', 'method = "unknown"\ntolerance = 2', 14, "tolerance"),
        ('vendor = "V"\n', "", None, "'vendor' is missing"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path, before, after, line, words):
    assert before in GOOD
    with pytest.raises(FileFormatError) as caught:
        claim_of(tmp_path, GOOD.replace(before, after))
    assert caught.value.line == line
    assert words in caught.value.message


FIT = GOOD.replace('kind = "speed"', 'kind = "fit"').replace('"output_speed_tps"', '"fit"')


def test_a_claim_that_something_fits_counts_systems_from_below_or_above(tmp_path):
    assert claim_of(tmp_path, FIT).bound == "at most"
    assert claim_of(tmp_path, FIT + 'bound = "at least"\n').bound == "at least"
    with pytest.raises(FileFormatError, match="counts systems") as caught:
        claim_of(tmp_path, FIT.replace("981", "1.5"))
    assert caught.value.line == 6
    with pytest.raises(FileFormatError) as caught:
        claim_of(tmp_path, FIT + 'bound = "about"\n')
    assert caught.value.line == 14


def test_claims_are_found_by_name_and_by_path(tmp_path):
    name = next(iter(claims()))
    assert load_claim(name).id == name
    claim_of(tmp_path, GOOD)
    assert load_claim(str(tmp_path / "my-claim.toml")).vendor == "V"


def test_an_unknown_claim_names_the_nearest():
    with pytest.raises(UnknownNameError) as caught:
        load_claim("cerebras-kimi-speed")
    assert "cerebras-kimi-k2.6-speed" in caught.value.nearest


@pytest.mark.parametrize("name", sorted(claims()))
def test_every_shipped_claim_is_sound(name):
    assert load_claim(name).id == name
