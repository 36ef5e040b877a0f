import pytest

from chatapp.cli import run
from chatapp.config import prompt_files

SHIPPED = [path.stem for path in prompt_files("demos", "*.yaml")]


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    for name in ("STATE", "DATA", "CONFIG"):
        monkeypatch.setenv(f"CHATAPP_{name}_DIR", str(tmp_path / name.lower()))


def test_the_demos_tell_the_mission():
    assert {
        "feel-the-difference",
        "feel-the-difference-60s",
        "code",
        "science",
        "verify-a-claim",
        "backend-dies",
    } <= set(SHIPPED)


def test_list(capsys):
    assert run(["demo", "list", "--names"]) == 0
    assert capsys.readouterr().out.split() == SHIPPED
    assert run(["demo", "list"]) == 0
    assert "Feel the difference" in capsys.readouterr().out


@pytest.mark.parametrize("size", [[], ["--size", "80x24"]], ids=["own size", "80x24"])
@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_demo_is_as_its_script_says(name, size, capsys):
    assert run(["demo", "check", name, *size]) == 0, capsys.readouterr().err


def test_ones_own_demo_is_found_by_name_and_by_path(tmp_path, capsys):
    folder = tmp_path / "config" / "prompts" / "demos"
    folder.mkdir(parents=True)
    mine = folder / "mine.yaml"
    mine.write_text('version: 1\ntitle: "Mine\x07"\nsteps:\n  - say: hi\n'.replace("\x07", "\\e[2J"))
    assert run(["demo", "list"]) == 0
    assert "Mine␛[2J" in capsys.readouterr().out
    assert run(["demo", "check", "mine"]) == 0
    assert run(["demo", "check", str(mine)]) == 0
    assert "mine: 1 steps" in capsys.readouterr().out


def test_a_missed_expectation_fails_with_its_place(tmp_path, capsys):
    path = tmp_path / "miss.yaml"
    path.write_text(
        "version: 1\nset: {typing: 1ms}\nsteps:\n  - backend: sim:cs3/kimi-k2.6\n  - type: What is the KV cache?\n"
        "  - enter\n  - wait: {event: done, within: 60s}\n  - expect: {tps: {gt: 1000000}}\n"
    )
    assert run(["demo", "check", str(path)]) == 1
    assert f"{path}:8:5: expected tps gt 1000000.0, and it is" in capsys.readouterr().err


def test_a_changed_screen_fails_with_the_row_and_is_kept_on_request(tmp_path, capsys):
    path = tmp_path / "talk.yaml"
    path.write_text("version: 1\nsteps:\n  - say: first words\n  - screen: {golden: golden/talk.txt}\n")
    golden = tmp_path / "golden" / "talk.txt"
    assert run(["demo", "check", str(path)]) == 1
    assert f"{path}:4:5: {golden}: the golden picture is missing; make it: chatapp" in capsys.readouterr().err
    assert run(["demo", "check", str(path), "--update"]) == 0
    assert f"talk: wrote {golden}" in capsys.readouterr().out
    assert " first words" in golden.read_text().splitlines()
    assert run(["demo", "check", str(path)]) == 0

    path.write_text(path.read_text().replace("first", "other"))
    assert run(["demo", "check", str(path)]) == 1
    said = capsys.readouterr().err
    assert "reads ' other words', not ' first words'; all of it is in talk.new.txt; where that is right" in said
    assert run(["demo", "check", str(path), "--size", "80x24"]) == 0  # another size looks different: not compared


def test_wrong_scripts_names_and_sizes(tmp_path, capsys):
    path = tmp_path / "wrong.yaml"
    path.write_text("version: 1\nsteps:\n  - tpye: hi\n")
    assert run(["demo", "check", str(path)]) == 2
    assert f"{path}:3:5: unknown verb 'tpye'; nearest: type" in capsys.readouterr().err
    assert run(["demo", "check", "feel-the-diference"]) == 2
    assert "nearest: feel-the-difference" in capsys.readouterr().err
    assert run(["demo", "check", "code", "--size", "wide"]) == 2
    assert run(["demo", "play", "code", "--idle-reset", "soon"]) == 2
    assert "not a time" in capsys.readouterr().err
    assert run(["demo", "play", "code", "--loop", "--idle-reset", "2m"]) == 2
    assert "no terminal" in capsys.readouterr().err
