import pytest

from chatapp.errors import FileFormatError
from chatapp.hardware import parameters


@pytest.fixture
def broken(tmp_path, monkeypatch):
    text = parameters.SHIPPED.read_text()

    def load(before, after):
        assert before in text
        path = tmp_path / "parameters.toml"
        path.write_text(text.replace(before, after, 1))
        monkeypatch.setattr(parameters, "SHIPPED", path)
        parameters.load_parameters.cache_clear()
        return parameters.load_parameters()

    yield load
    monkeypatch.undo()
    parameters.load_parameters.cache_clear()


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("[wafer]", "[waver]", "wafer: is missing"),
        ("layer_s = ", "layer_x = ", "wafer.layer_s: must be a number"),
        ("layer_s = ", "layer_s = -", "must be a number above 0"),
        ("half_width_90 = { speed", "half_width_90 = { sped", "must give speed, ttft, throughput"),
    ],
)
def test_a_broken_file_is_reported_where(broken, before, after, message):
    with pytest.raises(FileFormatError, match=r"parameters\.toml") as caught:
        broken(before, after)
    assert message in caught.value.message


def test_every_family_has_parameters_and_intervals():
    loaded = parameters.load_parameters()
    assert loaded.fitted >= "2026-11"
    for family in loaded.families.values():
        assert set(family.half_width) == set(parameters.KINDS)
        assert all(0 < width < 3 for width in family.half_width.values())
