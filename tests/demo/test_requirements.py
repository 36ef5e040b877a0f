from pathlib import Path

import pytest

from chatapp.config import Settings
from chatapp.demo.parsing import parse_script
from chatapp.demo.requirements import check_requirements
from chatapp.errors import FileFormatError


def check(text, folder=Path("x")):
    check_requirements(parse_script(f"version: 1\n{text}", folder / "demo.yaml"), Settings())


def test_what_is_there_is_enough(tmp_path):
    (tmp_path / "a.txt").write_text("")
    check('require: ["backend:sim:cs3/kimi-k2.6", "file:a.txt"]\nsteps: [enter]', tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('require: ["backend:sim:cs9/kimi-k2.6"]\nsteps: [enter]', r"demo.yaml:2:11: .*cs9"),
        ('require: ["file:none.txt"]\nsteps: [enter]', r"demo.yaml:2:11: .*none.txt: no such file"),
        ("steps: [{backend: nowhere/x}]", r"demo.yaml:2:9: unknown backend 'nowhere/x'"),
        ("steps: [{compare: [sim:cs3/kimi-k2.6, nowhere/x]}]", r"demo.yaml:2:9: unknown backend"),
        ("steps: [{play: none.tokcast}]", r"demo.yaml:2:9: .*none.tokcast: no such file"),
        ("steps: [{backend: {use: nowhere/x, fallback: 'recording:none.tokcast'}}]", r"none.tokcast: cannot be read"),
    ],
)
def test_what_is_missing_is_said_where_it_is_asked_for(text, message):
    with pytest.raises(FileFormatError, match=message):
        check(text)
