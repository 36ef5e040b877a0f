import json

import pytest

from chatapp.cli import run


def test_systems_and_models_are_tables(capsys):
    assert run(["hardware", "systems", "--model", "gpt-oss-120b"]) == 0
    out = capsys.readouterr().out
    assert "CS-3" in out
    assert "gpt-oss-120b, one user" in out
    assert run(["hardware", "models"]) == 0
    assert "kimi-k2.6" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("command", "key"),
    [
        (["systems"], "systems"),
        (["models"], "models"),
        (["calibration"], "measurements"),
        (["small-or-fast"], "small_or_fast"),
        (["predict", "--system", "cs3", "--model", "kimi-k2.6"], "output_speed_tps"),
    ],
)
def test_json_on_standard_output_is_only_json(capsys, command, key):
    assert run(["hardware", *command, "--json", "-"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["schema"] == "chatapp.hardware/1"
    assert data[key]


@pytest.mark.parametrize("command", [["systems"], ["models"], ["calibration"], ["small-or-fast"]])
def test_json_in_a_file_leaves_the_text_on_the_screen(capsys, tmp_path, command):
    assert run(["hardware", *command, "--json", str(tmp_path / "a.json")]) == 0
    assert json.loads((tmp_path / "a.json").read_text())["schema"]
    assert capsys.readouterr().out


def test_a_prediction_breaks_down_and_says_what_would_double_it(capsys, tmp_path):
    options = ["--input-tokens", "8000", "--output-tokens", "500", "--batch", "8", "--precision", "nvfp4"]
    call = ["hardware", "predict", "--system", "b200x8", "--model", "kimi-k2.6", *options, "--tokens-per-step", "2.5"]
    assert run([*call, "--json", str(tmp_path / "p.json")]) == 0
    out = capsys.readouterr().out
    assert "Kimi K2.6 (nvfp4) on 8 × B200" in out
    assert "What would change it" in out
    assert json.loads((tmp_path / "p.json").read_text())["tokens_per_step"] == 2.5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--system", "h100x8", "--model", "kimi-k2.6"], "does not fit 8 × H100"),
        (["--system", "h1000", "--model", "kimi-k2.6"], "unknown system 'h1000'"),
        (["--system", "h100", "--model", "kimi"], "unknown model 'kimi'; nearest: kimi"),
        (["--system", "h100x0", "--model", "kimi-k2.6"], "between 1 and"),
        (["--system", "cs3", "--model", "kimi-k2.6", "--input-tokens", "300000"], "beyond the window"),
    ],
)
def test_bad_input_is_one_clear_line_and_exit_2(capsys, options, message):
    assert run(["hardware", "predict", *options]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert "Traceback" not in err


def test_contradictory_facts_of_the_user_name_file_line_and_key(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("CHATAPP_CONFIG_DIR", str(tmp_path))
    (tmp_path / "hardware").mkdir()
    path = tmp_path / "hardware" / "mine.toml"
    path.write_text("[systems.box]\nmemory_bytes = { value = 1 }\n")
    assert run(["hardware", "systems"]) == 2
    assert f"{path}:2: systems.box.memory_bytes: has no unit" in capsys.readouterr().err


def test_measurements_of_ones_own_are_reported_the_same_way(capsys, tmp_path):
    path = tmp_path / "m.toml"
    path.write_text(
        '[[measurement]]\nid = "mine"\nmetric = "output_speed_tps"\nvalue = 50\nunit = "tok/s"\nsystem_id = "h200"\n'
        'model_id = "kimi_k2_6"\nchips = 8\nprecision = "int4"\nbatch = 16\ninput_tokens = 8192\noutput_tokens = 1024\n'
        'tokens_per_step = 1\n[[measurement]]\nid = "vague"\nmetric = "output_speed_tps"\nvalue = 3\n'
    )
    assert run(["hardware", "calibration", "--against", str(path), "--json", str(tmp_path / "r.json")]) == 0
    out = capsys.readouterr().out
    assert "mine" in out
    assert "vague (line 14): system_id is not stated" in out
    data = json.loads((tmp_path / "r.json").read_text())
    assert [row["id"] for row in data["measurements"]] == ["mine"]
    assert data["unmapped"][0]["id"] == "vague"


def test_a_missing_file_of_measurements_is_named(capsys, tmp_path):
    assert run(["hardware", "calibration", "--against", str(tmp_path / "none.toml")]) == 2
    assert "cannot be read" in capsys.readouterr().err
