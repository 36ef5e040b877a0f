import pytest

from chatapp.errors import FileFormatError
from chatapp.hardware.facts import load_facts
from chatapp.hardware.holdout import countable, held_out
from chatapp.hardware.measurements import load_measurements, shipped_prices

FACTS = load_facts(())
ROW = {
    "id": '"r1"', "metric": '"output_speed_tps"', "value": "91", "unit": '"tok/s"', "system_id": '"h200"',
    "model_id": '"kimi_k2_6"', "chips": "8", "precision": '"int4"', "batch": "4", "input_tokens": "8192",
    "output_tokens": "1024", "tokens_per_step": "1",
}  # fmt: skip


def read(tmp_path, *rows):
    path = tmp_path / "m.toml"
    path.write_text("".join("[[measurement]]\n" + "".join(f"{k} = {v}\n" for k, v in row.items()) for row in rows))
    return load_measurements(FACTS, path)


def test_at_least_sixty_shipped_rows_over_all_families():
    rows, unmapped = load_measurements(FACTS)
    assert not unmapped
    assert len(countable(rows)) >= 60
    assert {row.setup.system.family for row in rows} == {"wafer", "lpu", "ampere", "hopper", "blackwell", "cdna", "rdu"}
    assert all(row.source and row.date and row.unit and row.measured_by for row in rows)


def test_a_row_of_the_stated_form_is_placed_in_the_model(tmp_path):
    ([row], unmapped) = read(tmp_path, ROW)
    assert not unmapped
    assert (row.setup.system.name, row.setup.model.name, row.setup.chips) == ("h200", "kimi-k2.6", 8)
    assert (row.workload.batch, row.workload.input_tokens, row.workload.output_tokens) == (4, 8192, 1024)
    assert row.kind == "speed"
    assert not row.setup.endpoint


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"system_id": '"h300"'}, "unknown system 'h300'"),
        ({"model_id": '"kimi-k9"'}, "unknown model"),
        ({"precision": '"fp7"'}, "unknown precision"),
        ({"precision": None}, "precision is not stated"),
        ({"chips": None}, "chips is not stated"),
        ({"chips": "0.5"}, "chips must be a whole number"),
        ({"metric": '"joules"'}, "is not one that the model predicts"),
        ({"value": "0"}, "value must be a number above 0"),
        ({"value": '"fast"'}, "value must be a number above 0"),
        ({"input_tokens": None}, "input_tokens is not stated"),
        ({"output_tokens": "-3"}, "output_tokens must be a whole number"),
        ({"batch": "true"}, "batch must be a whole number"),
        ({"tokens_per_step": "99"}, "tokens_per_step must lie between"),
        ({"input_tokens": "900000"}, "beyond the model's window"),
        ({"metric": '"throughput_tps_system"', "unit": '"input tok/s"'}, "counts input tokens"),
        ({"system_id": '"groq-lpu"', "chips": None, "model_id": '"gpt-3-175b"', "input_tokens": "9000"}, "window"),
    ],
)
def test_a_row_that_cannot_be_mapped_is_listed_with_the_reason_and_its_line(tmp_path, change, reason):
    row = {key: value for key, value in (ROW | change).items() if value is not None}
    found, [unmapped] = read(tmp_path, row)
    assert not found
    assert unmapped.id == "r1"
    assert reason in unmapped.reason
    assert unmapped.line == 1


def test_what_is_no_table_or_no_list_is_said(tmp_path):
    path = tmp_path / "m.toml"
    path.write_text("measurement = [3]\n")
    assert load_measurements(FACTS, path)[1][0].reason == "is not a table"
    path.write_text("measurement = 3\n")
    with pytest.raises(FileFormatError, match="has no"):
        load_measurements(FACTS, path)


@pytest.mark.parametrize(
    ("unit", "kind"),
    [
        ("tok/s", "system"),
        ("output tok/s per GPU", "per_chip"),
        ("total tok/s per GPU (input+output; page says tok/s/GPU)", "total_per_chip"),
        ("total tok/s", "total"),
    ],
)
def test_conventions_of_throughput_are_told_apart_by_their_unit(tmp_path, unit, kind):
    [row], _ = read(tmp_path, ROW | {"metric": '"throughput_tps_system"', "unit": f'"{unit}"'})
    assert row.kind == kind


def test_a_wafer_row_without_chips_takes_the_smallest_number(tmp_path):
    row = {k: v for k, v in ROW.items() if k not in ("chips", "tokens_per_step")} | {"system_id": '"cs3"'}
    [found], _ = read(tmp_path, row)
    assert found.setup.chips == 15
    assert found.setup.endpoint  # published wafer rows are of hosted services,
    [research], _ = read(tmp_path, row | {"endpoint": "false"})  # unless they say that they are not
    assert not research.setup.endpoint


def test_at_least_a_third_is_held_out_whole_runs_and_no_claim():
    rows, _ = load_measurements(FACTS)
    held = held_out(rows)
    counted = countable(rows)
    assert len(held) >= len(counted) / 3
    assert not held & {row.id for row in rows if row.claim or row.faulty}
    runs = {}
    for row in counted:
        runs.setdefault(row.group, set()).add(row.id in held)
    assert all(len(sides) == 1 for sides in runs.values())
    assert held_out(reversed(rows)) == held  # the order of the file does not matter


def test_claims_are_marked_and_every_price_has_a_date():
    rows, _ = load_measurements(FACTS)
    claims = {row.claim for row in rows if row.claim}
    assert {"cerebras-kimi-k2.6-speed", "cerebras-gpt-oss-120b", "cerebras-llama-3.1-405b", "groq-kimi-k2"} <= claims
    assert all(price["date"] and price["source"] for price in shipped_prices())
