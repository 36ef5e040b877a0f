import pytest

from chatapp.ui.starters import RACE, load_starters


def test_the_shipped_library_has_all_four():
    starters = load_starters()
    assert [starter.number for starter in starters] == [1, 2, 3, RACE]
    assert [starter.kind for starter in starters] == ["conversation", "code", "science", "race"]
    assert all(starter.title and starter.prompt for starter in starters)


def test_a_users_own_starter_replaces_ours(tmp_path, monkeypatch):
    monkeypatch.setenv("CHATAPP_CONFIG_DIR", str(tmp_path))
    folder = tmp_path / "prompts" / "library"
    folder.mkdir(parents=True)
    (folder / "zz-mine.md").write_text(
        '---\ntitle: "My \\x1b[31mown"\ndomain: code\nstarter: 2\nprompts: [Do it]\n---\nText\n'
    )
    (folder / "zz-broken.md").write_text("---\nstarter: [\n---\nText\n")
    (folder / "zz-plain.md").write_text("no front matter")
    starters = load_starters()
    assert (starters[1].prompt, starters[0].number) == ("Do it", 1)
    assert "\x1b" not in starters[1].title


@pytest.mark.parametrize("content", ["---\nstarter: two\nprompts: [x]\n---\n", "---\nstarter: 9\nprompts: [x]\n---\n"])
def test_a_starter_without_a_place_is_left_out(tmp_path, monkeypatch, content):
    monkeypatch.setenv("CHATAPP_CONFIG_DIR", str(tmp_path))
    (tmp_path / "prompts" / "library").mkdir(parents=True)
    (tmp_path / "prompts" / "library" / "mine.md").write_text(content)
    assert len(load_starters()) == 4
