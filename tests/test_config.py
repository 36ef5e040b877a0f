import os
from pathlib import Path

import pytest

from chatapp import config
from chatapp.config import Settings, load_key, load_settings
from chatapp.errors import ConfigError, ExtraMissingError


def settings_of(tmp_path: Path, text: str) -> Settings:
    path = tmp_path / "config.toml"
    path.write_text(text)
    return load_settings(path)


def test_no_file_is_the_defaults(tmp_path):
    assert load_settings(tmp_path / "config.toml") == Settings()


def test_a_full_file(tmp_path):
    settings = settings_of(
        tmp_path,
        'backend = "local"\nmax_cost_usd = 2\n[keys]\nGROQ_API_KEY = "env:MY_GROQ"\n[backends.mine]\nbase_url = "http://x"\n'
        '[keymap]\n"session.cancel" = "ctrl+x"\n[redaction]\npatterns = ["user-[0-9]+"]\n',
    )
    assert settings.backend == "local"
    assert settings.max_cost_usd == 2.0
    assert settings.keys == {"GROQ_API_KEY": "env:MY_GROQ"}
    assert settings.backends == {"mine": {"base_url": "http://x"}}
    assert settings.keymap == {"session.cancel": "ctrl+x"}
    assert settings.redaction[0].pattern == "user-[0-9]+"


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("bakend = 'x'", 1, "nearest: backend"),
        ("\nfps = 'x'", 2, "must be a whole number"),
        ("fps = true", 1, "must be a whole number"),
        ("fps = 500", 1, "between 0 and 120"),
        ("theme = 'chatapp-drak'", 1, "chatapp-dark"),
        ("[keys]\nA = 'sk-123'", 2, "does not belong in a file"),
        ("[keys]\nA = 1", 2, "must be a string"),
        ("keys = 1", 1, "must be a table"),
        ("backends = 1", 1, "must be tables"),
        ("[backends]\nx = 1", 1, "must be tables"),
        ("redaction = 1", 1, "list of regular expressions"),
        ("[redaction]\npatterns = ['(']", 2, "not a regular expression"),
        ("[redaction]\npatterns = [1]", 2, "not a regular expression"),
        ("a = ", 1, "not valid TOML"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path, text, line, words):
    with pytest.raises(ConfigError) as caught:
        settings_of(tmp_path, text)
    assert caught.value.line == line
    assert words in f"{caught.value.message} {caught.value.hint}"
    assert "sk-123" not in caught.value.message


def test_the_value_of_a_misplaced_key_is_not_repeated(tmp_path):
    with pytest.raises(ConfigError) as caught:
        settings_of(tmp_path, "[keys]\nA = 'sk-very-secret-value'")
    assert "secret" not in caught.value.message + caught.value.hint


def test_keys_come_from_the_environment_and_can_be_redirected(monkeypatch):
    monkeypatch.setenv("X_API_KEY", " value-of-x ")
    monkeypatch.setenv("OTHER", "value-of-other")
    assert load_key(Settings(), "X_API_KEY").reveal() == "value-of-x"
    assert load_key(Settings(keys={"X_API_KEY": "env:OTHER"}), "X_API_KEY").reveal() == "value-of-other"
    assert load_key(Settings(), "MISSING_API_KEY") is None
    monkeypatch.setenv("X_API_KEY", "  ")
    assert load_key(Settings(), "X_API_KEY") is None


def test_a_keyring_reference_without_the_package_says_which_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "keyring", None)
    with pytest.raises(ExtraMissingError, match="keyring"):
        load_key(Settings(keys={"K": "keyring:chatapp/me"}), "K")


def test_a_keyring_reference_asks_for_service_and_user(monkeypatch):
    class Ring:
        @staticmethod
        def get_password(service, user):
            return f"{service}+{user}"

    monkeypatch.setitem(__import__("sys").modules, "keyring", Ring)
    assert load_key(Settings(keys={"K": "keyring:svc/me"}), "K").reveal() == "svc+me"


@pytest.mark.parametrize("kind", ["config", "data", "state", "cache"])
def test_folders_can_be_moved_by_environment(monkeypatch, tmp_path, kind):
    monkeypatch.setenv(f"CHATAPP_{kind.upper()}_DIR", str(tmp_path))
    folder = getattr(config, f"{kind}_folder")
    assert folder() == tmp_path
    monkeypatch.delenv(f"CHATAPP_{kind.upper()}_DIR")
    assert "chatapp" in str(folder())


def test_a_users_prompt_file_replaces_the_shipped_one(monkeypatch, tmp_path):
    monkeypatch.setenv("CHATAPP_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setattr(config, "bundled_prompts", lambda: tmp_path / "bundled")
    for folder in ("bundled/systems", "config/prompts/systems"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "a.md").write_text(folder)
    (tmp_path / "bundled/systems/b.md").write_text("b")
    files = config.prompt_files("systems", "*.md")
    assert [f.name for f in files] == ["a.md", "b.md"]
    assert files[0].read_text() == "config/prompts/systems"
    assert config.prompt_files("nothing", "*.md") == []


def test_an_unreadable_prompts_folder_is_one_clear_line(monkeypatch, tmp_path):
    (tmp_path / "systems").mkdir()
    monkeypatch.setattr(config, "bundled_prompts", lambda: tmp_path)

    def refuse(_path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "listdir", refuse)
    with pytest.raises(ConfigError, match="folder cannot be read: Permission denied"):
        config.prompt_files("systems", "*.md")


def test_the_shipped_prompts_are_found():
    assert config.bundled_prompts().is_dir()
