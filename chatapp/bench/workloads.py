"""What is asked in a benchmark: files in `prompts/workloads/*.toml`, and prompts that no cache has seen.

The form, one workload a file, named by its stem:

    title = "Artificial Analysis, medium"        # required: shown in lists and reports
    source = "https://..."                       # required: where the shape comes from; "own" for none
    input_tokens = 1000                          # optional: the prompt is filled up to this many cl100k tokens
    output_tokens = 1000                         # optional: the limit sent with the request
    instructions = "..."                         # optional: the system prompt
    prompts = ["... {filler} ..."]               # required: asked in turn; {filler} once in each where it is filled
    filler = "filler.txt"                        # required with input_tokens: a file beside it, one sentence a line

Every request begins with a line of its own that names the run and the request, because a provider's prefix cache would
otherwise answer the second request from the first one's work. Filler sentences come in another order each time.
"""

from __future__ import annotations

import hashlib
import random
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from chatapp.config import prompt_files
from chatapp.errors import UnknownNameError
from chatapp.stream.events import Message, Request, Retell
from chatapp.stream.tokens import count_tokens
from chatapp.tomlfile import TomlFile

KIND = "workloads"
FILLER = "{filler}"

_FORM: dict[str, type | tuple[type, ...]] = {
    "title": str,
    "source": str,
    "input_tokens": int,
    "output_tokens": int,
    "instructions": str,
    "prompts": list,
    "filler": str,
}
_REQUIRED = ("title", "source", "prompts")


class Workload(msgspec.Struct, frozen=True, kw_only=True):
    """A shape of requests."""

    name: str
    title: str
    source: str
    prompts: tuple[str, ...]
    input_tokens: int | None = None
    output_tokens: int | None = None
    instructions: str | None = None
    sentences: tuple[str, ...] = ()
    """The filler's sentences; empty where prompts are asked as they stand."""

    @property
    def digest(self) -> str:
        """SHA-256 of everything that shapes a request, so that two reports can be known to have asked the same."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()

    def request(self, number: int, *, run: str, simulated: bool = False) -> Request:
        """Return request `number` of a run.

        The same run and number give the same request; any other gives one that shares no prefix with it.

        Args:
            number: from 0.
            run: identifies the run, and seeds the filler's order.
            simulated: the backend tells a text instead of making one: it is given filler of the output's length.
        """
        source = random.Random(f"{run} {number}")
        prompt = self.prompts[number % len(self.prompts)]
        head = unique_line(run, number)
        instructions = f"{head}\n{self.instructions}" if self.instructions else None
        if not instructions and simulated:
            instructions = head  # as long a request, and the prompt stays one by which a bundled answer is found
        elif not instructions:
            prompt = f"{head}\n\n{prompt}"
        if FILLER in prompt and self.input_tokens:
            around = count_tokens(prompt.replace(FILLER, "")) + count_tokens(instructions or "")
            prompt = prompt.replace(FILLER, fill(self.sentences, self.input_tokens - around, source))
        retell = None
        if simulated and self.output_tokens and self.sentences:
            retell = Retell(text=fill(self.sentences, self.output_tokens, source), source=f"workload {self.name}")
        return Request(
            messages=(Message(role="user", content=prompt),),
            instructions=instructions,
            max_output_tokens=self.output_tokens,
            retell=retell,
        )


def unique_line(run: str, number: int) -> str:
    """Return the line that makes a request unlike any other, from its first characters on."""
    mark = hashlib.sha256(f"{run} {number}".encode()).hexdigest()[:12]
    return f"[{mark}: a request's mark, to be ignored]"


def fill(sentences: tuple[str, ...], tokens: int, source: random.Random) -> str:
    """Return sentences in random order, about `tokens` cl100k tokens long (never above, at most a sentence below)."""
    lengths = _lengths(sentences)
    chosen: list[str] = []
    left = tokens
    while left >= min(lengths.values()):
        order = list(sentences)
        source.shuffle(order)
        before = left
        for sentence in order:
            if lengths[sentence] <= left:
                chosen.append(sentence)
                left -= lengths[sentence]
        if left == before:
            break
    return " ".join(chosen)


@cache
def _lengths(sentences: tuple[str, ...]) -> dict[str, int]:
    return {sentence: count_tokens(f" {sentence}") for sentence in sentences}


def single_prompt(prompt: str, *, output_tokens: int | None = None) -> Workload:
    """Return the workload of one prompt given on the command line."""
    return Workload(name="prompt", title="one prompt", source="own", prompts=(prompt,), output_tokens=output_tokens)


def workload_names() -> list[str]:
    """Return the names of all workloads, shipped and the user's."""
    return [path.stem for path in prompt_files(KIND, "*.toml")]


def load_workload(name: str) -> Workload:
    """Return a workload by name.

    Raises:
        UnknownNameError: there is none of that name.
        FileFormatError: its file is wrong; with file and line.
    """
    paths = {path.stem: path for path in prompt_files(KIND, "*.toml")}
    if name not in paths:
        raise UnknownNameError("workload", name, paths, hint=f"one of: {', '.join(paths)}")
    return read_workload(paths[name])


def read_workload(path: Path) -> Workload:
    """Read one workload file.

    Raises:
        FileFormatError: it is wrong; with file and line.
    """
    document = TomlFile.read(path)
    data = document.data
    for name, value in data.items():
        if name not in _FORM:
            raise document.fail((name,), UnknownNameError("key", name, _FORM).message)
        wanted = _FORM[name]
        if not isinstance(value, wanted) or isinstance(value, bool):
            raise document.fail((name,), f"must be a {_type_name(wanted)}, not {value!r}")
    for name in _REQUIRED:
        if not data.get(name):
            raise document.fail((name,), "is missing or empty")
    _check_counts(document, data)
    prompts = data["prompts"]
    for i, prompt in enumerate(prompts):
        if not isinstance(prompt, str) or not prompt.strip():
            raise document.fail(("prompts",), f"entry {i + 1} must be a text, not {prompt!r}")
        if ("filler" in data) != (prompt.count(FILLER) == 1):
            problem = "must hold {filler} once" if "filler" in data else "holds {filler}, but no filler is named"
            if "filler" in data or FILLER in prompt:
                raise document.fail(("prompts",), f"entry {i + 1} {problem}")
    return Workload(
        name=path.stem,
        title=data["title"],
        source=data["source"],
        prompts=tuple(prompts),
        input_tokens=data.get("input_tokens"),
        output_tokens=data.get("output_tokens"),
        instructions=data.get("instructions"),
        sentences=_read_filler(document, data["filler"]) if "filler" in data else (),
    )


def _check_counts(document: TomlFile, data: dict[str, Any]) -> None:
    for name in ("input_tokens", "output_tokens"):
        if name in data and not 1 <= data[name] <= 10_000_000:
            raise document.fail((name,), f"must be at least 1, not {data[name]!r}")
    if "filler" in data and "input_tokens" not in data:
        raise document.fail(("filler",), "needs input_tokens: how long the prompt is to be")


def _read_filler(document: TomlFile, name: str) -> tuple[str, ...]:
    path = Path(document.path).parent / name
    if not path.exists():  # a user's workload may use a shipped filler
        path = {p.name: p for p in prompt_files(KIND, "*.txt")}.get(name, path)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        raise document.fail(("filler",), f"{name!r} cannot be read: {exc}") from None
    sentences = tuple(line.strip() for line in lines if line.strip())
    if not sentences:
        raise document.fail(("filler",), f"{name!r} holds no sentences")
    return sentences


def _type_name(wanted: type | tuple[type, ...]) -> str:
    return {str: "text", int: "whole number", list: "list of texts"}[wanted]  # type: ignore[index]
