import pytest

from chatapp.errors import SourceError, UnknownNameError
from chatapp.hardware.facts import load_facts
from chatapp.hardware.models import find_model, read_model

FACT = '{ value = %s, unit = "count", source = "me", date = "2026", confidence = "low" }'


@pytest.mark.parametrize(
    ("name", "total", "active"),
    [  # parameters, thousand millions, of the model cards and configs in the facts
        ("kimi-k2.6", 1026.4, 31.7),
        ("deepseek-v3", 671.0, 36.6),
        ("gpt-oss-120b", 116.8, 5.13),
        ("llama-3.1-8b", 8.03, 7.5),
        ("llama-3.1-405b", 405.85, 403.7),
        ("gpt-3-175b", 174.6, 174.6),
        ("qwen3-235b", 235.1, 21.6),
        ("llama-4-maverick", 400.7, 16.1),
    ],
)
def test_parameters_follow_from_the_shape(name, total, active):
    model = find_model(load_facts(()), name)
    assert model.total_params / 1e9 == pytest.approx(total, rel=0.002)
    assert model.active_params / 1e9 == pytest.approx(active, rel=0.01)


def test_the_published_attention_size_of_kimi_is_met():
    facts = load_facts(())
    model = find_model(facts, "kimi-k2")
    assert model.attention_params == 101_122_048
    assert model.expert_params == 44_040_192
    assert model.latent
    assert model.moe_layers == 60


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("layers = %4", ""), "layers is missing"),
        (("heads = %8", "heads = %0"), "must be 1 or more"),
        (("kv_heads = %2", "kv_heads = %3"), "must divide heads"),
        (("head_dim = %16", ""), "head_dim: is missing"),
        (("intermediate = %64", ""), "intermediate: is missing"),
        (("precision = 'bf16'", "precision = 'bf17'"), "unknown precision 'bf17'"),
        (("layers = %4", "layers = %4\ndense_layers = %5"), "is more than layers"),
        (("layers = %4", "layers = %4\ndense_layers = %3"), "experts: is missing"),
        (("layers = %4", "layers = %4\nexperts = %8"), "must lie between 1 and experts"),
        (("layers = %4", "layers = %4\nexperts = %8\nexperts_per_token = %2"), "moe_intermediate: is missing"),
        (("layers = %4", "layers = %4.5"), "must be a whole number"),
    ],
)
def test_a_contradictory_model_is_reported_where(tmp_path, change, message):
    text = (
        "[models.tiny]\nprecision = 'bf16'\nlayers = %4\nhidden = %128\nheads = %8\nkv_heads = %2\nhead_dim = %16\n"
        "intermediate = %64\nvocab = %100\ncontext = %64\n"
    )
    assert change[0] in text
    lines = text.replace(*change).splitlines()
    lines = [line.split("%")[0] + FACT % line.split("%")[1] if "%" in line else line for line in lines]
    path = tmp_path / "mine.toml"
    path.write_text("\n".join(lines))
    facts = load_facts([path])
    with pytest.raises(SourceError, match=r"mine\.toml:") as caught:
        find_model(facts, "tiny")
    assert message in caught.value.message


def test_a_models_own_precision_is_its_default():
    facts = load_facts(())
    kimi = find_model(facts, "kimi-k2.6")
    assert kimi.precision().name == "int4"
    assert kimi.precision("fp8").name == "fp8"
    assert (kimi.precision().expert_bits, kimi.precision().other_bits) == (4.5, 16)
    with pytest.raises(UnknownNameError):
        kimi.precision("fp7")
    dense = read_model(facts.model("llama-3.1-8b"))
    assert dense.precision("int4").other_bits == 4.5


def test_precisions_have_the_names_people_use():
    dense = find_model(load_facts(()), "llama-3.1-8b")
    for written, meant in (
        ("FP16", "bf16"),
        ("16-bit", "bf16"),
        ("fp4", "nvfp4"),
        ("w4a16", "int4"),
        ("8-bit", "fp8"),
        ("INT4 weights, FP8 KV", "int4"),
    ):
        assert dense.precision(written).name == meant
