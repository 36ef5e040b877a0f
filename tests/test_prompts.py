"""The shipped contents of `prompts/`: they parse, they are true to their form, and the code they show runs."""

import datetime
import re
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from importlib.util import find_spec

import pytest
import yaml

from chatapp.backends.library import load_library
from chatapp.bench.workloads import read_workload
from chatapp.compare.claims import read_claim
from chatapp.config import bundled_prompts
from chatapp.demo.parsing import read_script
from chatapp.demo.script import Backend, Compare, Expect, Play, Say, Type
from chatapp.hardware.facts import load_facts
from chatapp.hardware.memory import kv_bytes_per_token, weight_bytes
from chatapp.hardware.models import find_model
from chatapp.hardware.names import parse_name
from chatapp.hardware.systems import find_system
from chatapp.stream.tokens import count_tokens

PROMPTS = bundled_prompts()
LIBRARY = load_library(PROMPTS.joinpath("library").glob("*.md"))
ENTRIES = {entry.name: entry for entry in LIBRARY.entries}
FACTS = load_facts(())
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

LEAST = {"conversation": 8, "code": 9, "science": 8, "hardware": 5, "inference": 6}
STARTERS = {1: "conversation", 2: "code", 3: "science", 4: "hardware"}
CLAIMS = {
    "cerebras-kimi-k2.6-speed": 981,
    "cerebras-kimi-k2.6-ratio": 6.7,
    "cerebras-kimi-k2.6-10k-500": 5600,
    "cerebras-gpt-oss-120b": 3000,
    "cerebras-llama-3.1-405b": 969,
    "baseten-kimi-k2.5": 341,
    "nvidia-llama-4-maverick": 1038,
    "together-kimi-k2": 460,
    "groq-kimi-k2": 200,
    "seed-sub-second": 1000,
    "seed-no-splitting": 1,
    "seed-single-cs2": 1,
    "seed-record": 1,
    "seed-gpu-dozens": 24,
}


def shipped(kind, pattern):
    return sorted(PROMPTS.joinpath(kind).glob(pattern))


def by_stem(path):
    return path.stem


def blocks(entry):
    return FENCE.findall(entry.text)


def having(language):
    return sorted(name for name, entry in ENTRIES.items() if any(lang == language for lang, _ in blocks(entry)))


def output_after(entry, language):
    """The text block that follows the last block of a language: what the code is said to print."""
    languages = [lang for lang, _ in blocks(entry)]
    last = len(languages) - 1 - languages[::-1].index(language)
    following = blocks(entry)[last + 1 : last + 2]
    return following[0][1] if following and following[0][0] == "text" else None


def without_padding(text):
    return [line.rstrip() for line in text.rstrip().splitlines()]


class TestLibrary:
    def test_covers_the_domains(self):
        counts = Counter(entry.domain for entry in LIBRARY.entries)
        assert len(LIBRARY.entries) >= 34
        assert {domain: count for domain, count in LEAST.items() if counts[domain] < count} == {}

    def test_the_four_starters_take_long_enough_to_be_felt(self):
        assert {entry.starter: entry.domain for entry in LIBRARY.starters} == STARTERS
        for entry in LIBRARY.starters:
            assert 800 <= len(entry.text.split()) <= 1500, entry.name
            assert count_tokens(entry.text) > 1000, entry.name
            assert entry.reasoning, entry.name

    @pytest.mark.parametrize("name", ENTRIES)
    def test_length_and_form(self, name):
        entry = ENTRIES[name]
        assert 150 <= len(entry.text.split()) <= 1500
        assert entry.text.startswith("# ")
        assert entry.keywords
        assert 2 <= len(entry.prompts) <= 5
        assert not entry.reasoning or 80 <= len(entry.reasoning.split()) <= 400

    @pytest.mark.parametrize("name", ENTRIES)
    def test_fences_are_closed_and_named(self, name):
        marks = re.findall(r"^```.*$", ENTRIES[name].text, re.MULTILINE)
        assert len(marks) % 2 == 0
        assert all(re.fullmatch(r"```\w+", mark) for mark in marks[::2])
        assert all(mark == "```" for mark in marks[1::2])

    @pytest.mark.parametrize("name", ENTRIES)
    def test_code_fits_beside_the_panel_of_a_wide_terminal(self, name):
        assert [line for _, text in blocks(ENTRIES[name]) for line in text.splitlines() if len(line) > 96] == []

    @pytest.mark.parametrize("name", ENTRIES)
    def test_formulas_can_be_read_in_a_terminal(self, name):
        prose = re.sub(r"`[^`\n]*`", "", FENCE.sub("", ENTRIES[name].text))
        assert "$" not in prose
        assert "\\" not in prose

    @pytest.mark.parametrize("name", ENTRIES)
    def test_tables_have_equal_columns(self, name):
        prose = FENCE.sub("", ENTRIES[name].text)
        for table in re.findall(r"(?:^\|.*\n)+", prose, re.MULTILINE):
            assert len({re.sub(r"`[^`]*`", "", row).count("|") for row in table.splitlines()}) == 1, table

    def test_every_prompt_is_unique_and_finds_its_own_answer(self):
        asked = [(prompt, entry.name) for entry in LIBRARY.entries for prompt in entry.prompts]
        assert len({prompt.casefold() for prompt, _ in asked}) == len(asked)
        strayed = {}
        for prompt, name in asked:
            best = LIBRARY.search(prompt, limit=1)
            if best and (best[0].entry.name != name or not best[0].fits):
                strayed[prompt] = (best[0].entry.name, best[0].score)
        assert strayed == {}

    def test_reasoning_belongs_to_an_answer(self):
        names = {path.name.removesuffix(".reasoning.md") for path in shipped("library", "*.reasoning.md")}
        assert len(names) >= 14
        assert names <= set(ENTRIES)


class TestCodeInAnswers:
    @pytest.mark.parametrize("name", having("python"))
    def test_python_runs_and_prints_what_is_said(self, name):
        entry = ENTRIES[name]
        program = "\n".join(text for language, text in blocks(entry) if language == "python")
        compile(program, name, "exec")
        if "import numpy" in program and find_spec("numpy") is None:
            pytest.skip("numpy is not installed; the program compiles")
        run = subprocess.run(
            [sys.executable, "-I", "-c", program], capture_output=True, text=True, timeout=60, check=False
        )
        assert run.returncode == 0, run.stderr
        said = output_after(entry, "python")
        if said is not None:
            assert without_padding(run.stdout) == without_padding(said)

    @pytest.mark.parametrize("name", having("sql"))
    def test_sql_runs_and_returns_what_is_said(self, name):
        found = blocks(ENTRIES[name])
        with sqlite3.connect(":memory:") as database:
            for (language, script), (_, said) in zip(found, [*found[1:], ("", "")], strict=True):
                if language != "sql":
                    continue
                rows = run_script(database, script)
                assert rows
                if "EXPLAIN" not in script:  # the words of a plan differ between versions of SQLite
                    assert [cells(row) for row in rows] == [line.split() for line in said.splitlines()[2:]]

    @pytest.mark.parametrize("name", having("rust"))
    @pytest.mark.skipif(shutil.which("rustc") is None, reason="no Rust compiler")
    def test_rust_compiles_and_prints_what_is_said(self, name, tmp_path):
        entry = ENTRIES[name]
        source = next(text for language, text in blocks(entry) if language == "rust")
        tested = "#[cfg(test)]" in source
        program = tmp_path / "program"
        (tmp_path / "main.rs").write_text(source)
        options = ["--edition", "2021", "-D", "warnings", "-C", "opt-level=1", *(["--test"] if tested else [])]
        compiler = shutil.which("rustc")
        assert compiler
        subprocess.run([compiler, *options, "-o", program, tmp_path / "main.rs"], check=True)
        run = subprocess.run([program], capture_output=True, text=True, timeout=60, check=True)
        said = output_after(entry, "rust")
        if said is not None:
            assert without_padding(run.stdout) == without_padding(said)


def run_script(database, script):
    rows = []
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            rows += database.execute(statement).fetchall()
            statement = ""
    assert not statement.strip()
    return rows


def cells(row):
    """A row as the shell shows it, cut at spaces; NULL shows as nothing."""
    return [word for value in row if value is not None for word in str(value).split()]


class TestFiguresInAnswers:
    """What answers say of hardware is what the sourced facts say."""

    @pytest.mark.parametrize(
        ("name", "model"),
        [("llama-3.1-8b", "Llama 3.1 8B"), ("llama-3.1-70b", "Llama 3.1 70B"), ("gpt-3-175b", "GPT-3 175B")],
    )
    def test_cache_per_token(self, name, model):
        row = row_with(ENTRIES["kv-cache"].text, model)
        found = find_model(FACTS, name)
        assert f"{kv_bytes_per_token(found, found.precision()):,.0f}" in row

    def test_weights_and_cache_of_kimi(self):
        kimi = find_model(FACTS, "kimi-k2.6")
        weights = f"{weight_bytes(kimi, kimi.precision()) / 1e9:.0f} GB"
        for name in ("does-it-fit", "mixture-of-experts", "race-cs3-h100", "cs2-cs3"):
            assert weights in ENTRIES[name].text
        assert f"{kv_bytes_per_token(kimi, kimi.precision()):,.0f}" in row_with(ENTRIES["kv-cache"].text, "Kimi K2.6")

    @pytest.mark.parametrize(
        ("system", "count", "row"),
        [("h100", 16, "16 H100"), ("h200", 8, "8 H200"), ("b200", 8, "8 B200"), ("h100", 8, "8 H100")],
    )
    def test_room_for_conversations(self, system, count, row):
        chip = find_system(FACTS, system)
        kimi = find_model(FACTS, "kimi-k2.6")
        left = count * (chip.memory_bytes - chip.reserved_bytes) - weight_bytes(kimi, kimi.precision())
        line = row_with(ENTRIES["does-it-fit"].text, f"| {row} |", f"| **{row}** |")
        assert f"| {count * chip.memory_bytes / 1e9:,.0f} GB | {left / 1e9:.0f} GB |" in line

    @pytest.mark.parametrize("system", ["h100", "h200", "mi300x", "b200", "mi355x"])
    def test_table_of_accelerators(self, system):
        chip = find_system(FACTS, system)
        line = row_with(ENTRIES["gpu-generations"].text, f"| {chip.label} ")
        said = [float(figure.replace(",", "")) for figure in re.findall(r"\d[\d.,]*", line)]
        for value in (chip.memory_bytes / 1e9, chip.memory_bandwidth / 1e12, chip.peak_for(16) / 1e15, chip.power):
            assert any(figure == pytest.approx(value, rel=0.005) for figure in said), value

    def test_wafers(self):
        for system, label in (("cs3", "44 GB"), ("cs2", "40 GB")):
            chip = find_system(FACTS, system)
            assert f"{chip.memory_bytes / 1e9:.0f} GB" == label
            assert f"{chip.memory_bandwidth / 1e15:.0f} PB/s" in ENTRIES["cs2-cs3"].text
            assert f"{chip.peak_for(16) / 1e15:.3g} PFLOP/s" in ENTRIES["cs2-cs3"].text


def row_with(text, *starts):
    """The table row that holds one of these."""
    return next(line for line in text.splitlines() if line.startswith("|") and any(start in line for start in starts))


class TestClaims:
    def test_the_announced_ones_are_there(self):
        values = {path.stem: read_claim(path).value for path in shipped("claims", "*.toml")}
        assert {name: values.get(name) for name in CLAIMS} == CLAIMS

    @pytest.mark.parametrize("path", shipped("claims", "*.toml"), ids=by_stem)
    def test_says_who_when_where_and_how(self, path):
        claim = read_claim(path)
        assert claim.id == path.stem
        assert claim.source.startswith("https://")
        assert claim.age_days(datetime.date.today()) > 0
        assert claim.title
        assert all(len(text.split()) >= 5 for text in (claim.statement, claim.method, claim.notes))
        assert not claim.workload or PROMPTS.joinpath("workloads", f"{claim.workload}.toml").exists()


class TestWorkloads:
    def test_the_common_ones_are_there(self):
        wanted = {"short-chat", "code", "aa-100-300", "aa-1000-1000", "aa-10000-1500", "aa-100000-2000"}
        assert wanted | {"cerebras-10000-500"} <= {path.stem for path in shipped("workloads", "*.toml")}

    @pytest.mark.parametrize("path", shipped("workloads", "*.toml"), ids=by_stem)
    def test_asks_at_its_length_and_never_twice_the_same(self, path):
        workload = read_workload(path)
        first, second = (workload.request(i, run="r") for i in range(2))
        texts = [f"{request.instructions or ''}\n{request.messages[0].content}" for request in (first, second)]
        assert texts[0][:20] != texts[1][:20]
        assert first.max_output_tokens
        if workload.input_tokens:
            assert count_tokens(texts[0]) == pytest.approx(workload.input_tokens, rel=0.1)
            assert str(workload.input_tokens) in path.stem
            assert str(workload.output_tokens) in path.stem

    @pytest.mark.parametrize("path", shipped("workloads", "*.txt"), ids=by_stem)
    def test_filler_is_prose_of_distinct_sentences(self, path):
        lines = path.read_text(encoding="utf-8").splitlines()
        assert len(set(lines)) == len(lines)
        assert sum(len(line.split()) for line in lines) >= 3000
        assert all(line.endswith(".") and line[0].isupper() for line in lines)


class TestSystems:
    @pytest.mark.parametrize("path", shipped("systems", "*.md"), ids=by_stem)
    def test_has_a_name_and_a_body(self, path):
        _, front, body = path.read_text(encoding="utf-8").split("---\n", 2)
        head = yaml.safe_load(front)
        assert head["name"] == path.stem
        assert head["title"]
        assert head["description"]
        assert 50 <= len(body.split()) <= 300

    def test_there_are_enough(self):
        assert len(shipped("systems", "*.md")) >= 6


class TestDemos:
    """That they play is checked by `chatapp demo check`, in tests/demo."""

    @pytest.mark.parametrize("path", shipped("demos", "*.yaml"), ids=by_stem)
    def test_requires_what_it_uses(self, path):
        script = read_script(path)
        used = {name for step in script.steps for name in backends_of(step)}
        required = {name for name, _ in script.require if not name.startswith("file:")}
        assert {name.removeprefix("backend:") for name in required} == used
        for name in used:
            parse_name(name)

    @pytest.mark.parametrize("path", shipped("demos", "*.yaml"), ids=by_stem)
    def test_says_what_it_is_about_in_captions_that_fit(self, path):
        script = read_script(path)
        assert script.summary
        assert len(script.chapters) >= 2
        assert [step.text for step in script.steps if isinstance(step, Say) and len(step.text) > 76] == []

    @pytest.mark.parametrize("path", shipped("demos", "*.yaml"), ids=by_stem)
    def test_what_it_asks_has_an_answer_that_holds_what_it_expects(self, path):
        answer = ""
        for step in read_script(path).steps:
            if isinstance(step, Type):
                best = LIBRARY.search(step.text, limit=1)[0]
                assert best.fits, step.text
                answer = best.entry.text
            elif isinstance(step, Expect):
                for wanted in step.expectations:
                    assert wanted.comparison != "matches" or re.search(str(wanted.value), answer), wanted
        plays = any(isinstance(step, Play) for step in read_script(path).steps)
        assert answer or plays

    def test_the_story_is_told_in_full_and_in_a_minute(self):
        wanted = {"feel-the-difference", "feel-the-difference-60s", "code", "science", "verify-a-claim", "backend-dies"}
        assert wanted <= {path.stem for path in shipped("demos", "*.yaml")}


def backends_of(step):
    if isinstance(step, Backend):
        return [step.name]
    if isinstance(step, Play):
        return [step.repace] if step.repace else []
    return step.backends if isinstance(step, Compare) else []
