import datetime

import pytest

from chatapp.errors import FileFormatError, SourceError, UnknownNameError
from chatapp.hardware.facts import SHIPPED, is_stale, load_facts, squeeze, where
from chatapp.hardware.models import find_model
from chatapp.hardware.systems import find_system

FACT = '{ value = %s, unit = "bytes", source = "https://example.org", date = "2026-01", confidence = "high" }'
RATE, PEAK, COUNT = (FACT.replace("bytes", unit) for unit in ("bytes/s", "FLOP/s", "count"))


def write(tmp_path, text):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return path


@pytest.fixture
def facts():
    return load_facts(())


def test_every_shipped_value_has_unit_source_date_and_confidence(facts):
    count = 0
    for record in (*facts.systems.values(), *facts.models.values(), *facts.sections.values()):
        for key, fact in record.facts.items():
            assert fact.unit, where(record, key)
            assert fact.source, where(record, key)
            assert fact.date, where(record, key)
            count += 1
    assert count > 400


def test_the_systems_and_models_of_the_announcement_are_there(facts):
    for name in ("cs2", "cs3", "a100", "h100", "h200", "b200", "gb200", "mi300x", "mi355x", "groq-lpu", "sn40l"):
        assert find_system(facts, name).memory_bandwidth > 0
    for name in ("kimi-k2.6", "kimi-k2", "gpt-3-175b", "gpt-oss-120b", "deepseek-v3", "deepseek-r1", "qwen3-32b"):
        assert find_model(facts, name).layers > 0
    kinds = {find_model(facts, name).kind for name in facts.models}
    assert {"distilled", "quantized", "small", "full"} <= kinds


@pytest.mark.parametrize("name", ["kimi_k2_6", "Kimi K2.6", "kimi-k2.6", "KIMIK26"])
def test_names_match_however_people_write_them(facts, name):
    assert facts.model(name).name == "kimi-k2.6"


@pytest.mark.parametrize(("kind", "name", "near"), [("system", "h10", "h100"), ("model", "kimi-k26x", "kimi-k2.6")])
def test_an_unknown_name_offers_the_nearest(facts, kind, name, near):
    with pytest.raises(UnknownNameError) as caught:
        getattr(facts, kind)(name)
    assert near in caught.value.message


def test_a_user_adds_a_system_and_replaces_a_shipped_one(tmp_path):
    path = write(
        tmp_path,
        "[systems.box]\nlabel = 'My box'\nfamily = 'hopper'\n"
        f"memory_bytes = {FACT % '1e11'}\nmemory_bandwidth = {RATE % '1e12'}\npeak_16bit = {PEAK % '1e15'}\n"
        f"[systems.h100]\nfamily = 'hopper'\nmemory_bytes = {FACT % '2e11'}\n"
        f"memory_bandwidth = {RATE % '1e12'}\npeak_16bit = {PEAK % '1e15'}\n",
    )
    facts = load_facts([path])
    assert find_system(facts, "box").label == "My box"
    assert find_system(facts, "h100").memory_bytes == 2e11
    assert "mine.toml" in where(facts.systems["h100"], "memory_bytes")


def test_the_config_folder_is_read(tmp_path, monkeypatch):
    monkeypatch.setenv("CHATAPP_CONFIG_DIR", str(tmp_path))
    assert "box" not in load_facts().systems
    (tmp_path / "hardware").mkdir()
    (tmp_path / "hardware" / "a.toml").write_text(f"[systems.box]\nmemory_bytes = {FACT % '1'}\n")
    assert "box" in load_facts().systems


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("[systems.x]\nmemory_bytes = {value = 1}\n", 2, "systems.x.memory_bytes: has no unit"),
        (f"[systems.x]\na = {(FACT % '1').replace('high', 'sure')}\n", 2, "confidence must be one of"),
        (f"[systems.x]\n\na = {(FACT % '1').replace('2026-01', 'yesterday')}\n", 3, "date must be"),
        (f"[systems.x]\na = {(FACT % '1').replace(', unit', ', sauce = 1, unit')}\n", 2, "unknown part of a fact"),
        (f"[systems.x]\na = {FACT % '[1]'}\n", 2, "value must be a number or a text"),
        (f"[systems.x]\na = {FACT % 'true'}\n", 2, "value must be a number or a text"),
        (f"[systems.x]\na = {(FACT % '5').replace(' }', ', low = 6, high = 9 }')}\n", 2, "outside its own range"),
        (f"[systems.x]\na = {(FACT % '5').replace(' }', ', low = true }')}\n", 2, "low must be a number"),
        (f"[systems.x]\na = {(FACT % '5').replace('high', 'assumption')}\n", 2, "an assumption needs a range"),
        ("[systems.x]\na = " + (FACT % "5").replace('"bytes"', "7") + "\n", 2, "unit must be a text"),
        ("[systems.my-box]\n[systems.my_box]\n", 2, "is the same name as 'my-box'"),
        ("[physics]\na = 1\n", 1, "only systems and models can be added"),
        ("[systems]\nx = 3\n", 2, "systems.x: must be a table"),
        ("speed = 3\n", 1, "is not a table of facts"),
        (
            "[systems.x]\nmemory_bytes = " + (FACT % "80").replace('"bytes"', '"GB"') + "\n",
            2,
            "systems.x.memory_bytes: unit must be bytes, not 'GB'",
        ),
        ("[systems.x\n", 1, "not valid TOML"),
    ],
)
def test_a_broken_fact_is_reported_with_file_line_and_key(tmp_path, text, line, message):
    path = write(tmp_path, text)
    with pytest.raises(FileFormatError) as caught:
        load_facts([path])
    assert f"{path}:{line}" in caught.value.message
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("family = 'hopper'", "family = 'hoper'"), "family: must be one of"),
        ((RATE % "1e12", RATE % "0"), "must be above 0"),
        ((RATE % "1e12", RATE % "'fast'"), "must be a number"),
        (("peak_16bit", "peak_17bit"), "peak_16bit is missing"),
        (("label = 'B'", "label = 3"), "label must be a text"),
        (("label = 'B'", f"peak_8bit = {PEAK % '1'}"), "is below peak_16bit"),
        (("label = 'B'", f"reserved_bytes = {FACT % '1e12'}"), "must lie between 0 and memory_bytes"),
        (("label = 'B'", f"link_domain = {COUNT % '0'}"), "must be 1 or more"),
        (("label = 'B'", f"link_domain = {COUNT % '1.5'}"), "must be a whole number"),
    ],
)
def test_a_system_that_contradicts_itself_is_reported_where(tmp_path, change, message):
    text = (
        f"[systems.b]\nlabel = 'B'\nfamily = 'hopper'\nmemory_bytes = {FACT % '1e11'}\n"
        f"memory_bandwidth = {RATE % '1e12'}\npeak_16bit = {PEAK % '1e15'}\n"
    ).replace(*change)
    facts = load_facts([write(tmp_path, text)])
    with pytest.raises(SourceError, match=r"mine\.toml:") as caught:
        find_system(facts, "b")
    assert message in caught.value.message


def test_aliases_must_be_texts(tmp_path):
    facts = load_facts([write(tmp_path, "[systems.b]\naliases = [1]\n")])
    with pytest.raises(SourceError, match="must be a list of texts"):
        facts.system("b")


@pytest.mark.parametrize(
    ("when", "stale"),
    [("2026-11", False), ("2026-04-01", True), ("2026", False), ("2025", True), ("soon", True), ("2026-06-01", False)],
)
def test_facts_older_than_180_days_are_stale(when, stale):
    assert is_stale(when, datetime.date(2026, 11, 24)) is stale


def test_the_shipped_file_stands_beside_the_module():
    assert SHIPPED.is_file()
    assert squeeze("Kimi-K2.6 _x") == "kimik26x"
