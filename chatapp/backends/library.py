"""The bundled answers of `prompts/library/*.md`, found by lexical search.

An entry is found by what people would ask (its `prompts`), its title and keywords, and its body. Words weigh by their
inverse document frequency over the library; a word the library has never seen weighs most, so that a question about
something else scores low instead of matching on its small words.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from chatapp.config import prompt_files
from chatapp.errors import FileFormatError
from chatapp.promptfile import read_prompt_file, read_text

DOMAINS = ("conversation", "code", "science", "hardware", "inference")

MATCH_THRESHOLD = 0.45
"""Below this score no answer is shown. Chosen on the questions of tests/backends/test_library.py: the lowest score of
a paraphrase that has an answer lies above it, the highest of one that has none below."""

_REASONING_SUFFIX = ".reasoning.md"
_WORD = re.compile(r"[a-z0-9]+(?:[+#]+)?")
_STOP_WORDS = frozenset(
    re.findall(
        r"\w+",
        """
        a about an and are as at be been but by can could did do does for from get give had has have he her his how
        i if in into is it its just like make me my no not of on or our please she so some tell than that the their
        them then there these they this to up us was we were what when where which who why will with would write you
        your explain show
        """,
    )
)


@dataclass(frozen=True, slots=True)
class LibraryEntry:
    """One bundled answer."""

    name: str
    title: str
    domain: str
    text: str
    keywords: tuple[str, ...] = ()
    prompts: tuple[str, ...] = ()
    """Questions it answers, as people would type them."""
    starter: int | None = None
    """Its number among the starters that the empty chat offers."""
    reasoning: str = ""
    """What a model that thinks writes before the answer; may be empty."""


@dataclass(frozen=True, slots=True)
class Match:
    """A search result."""

    entry: LibraryEntry
    score: float
    """0 to 1; 1 is one of the entry's own questions."""

    @property
    def fits(self) -> bool:
        """Whether the entry may be shown as the nearest bundled answer."""
        return self.score >= MATCH_THRESHOLD


@dataclass(slots=True)
class Library:
    """Answers with an index."""

    entries: tuple[LibraryEntry, ...]
    _weights: dict[str, float] = field(init=False, repr=False)
    _index: list[_Indexed] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        documents = [set(_words(_whole(entry))) for entry in self.entries]
        counts = Counter(word for document in documents for word in document)
        total = len(documents)
        self._weights = {word: math.log(1 + total / n) for word, n in counts.items()}
        self._index = [_Indexed.of(entry, self._length) for entry in self.entries]

    @property
    def starters(self) -> tuple[LibraryEntry, ...]:
        """The entries that the empty chat offers, in their order."""
        numbered = [entry for entry in self.entries if entry.starter is not None]
        return tuple(sorted(numbered, key=lambda entry: entry.starter or 0))

    def search(self, prompt: str, *, limit: int = 3) -> list[Match]:
        """Return the entries nearest to a prompt, the best first."""
        words = Counter(_words(prompt))
        whole = _whole_words(prompt)
        scored = [(*self._score(words, whole, item), item.entry) for item in self._index] if whole else []
        scored.sort(key=lambda found: (-found[0], -found[1], found[2].name))
        return [Match(entry, score) for score, _nearest, entry in scored[:limit]]

    def _score(self, words: Counter[str], whole: str, item: _Indexed) -> tuple[float, float]:
        """Return the score, and how near the entry's nearest question is, which decides between equal scores.

        Several entries may hold every word of a short prompt; the one that was written for such a question is meant.
        """
        if whole in item.verbatim:
            return 1.0, 1.0
        asked = self._length(words)
        nearest = max((self._shared(words, q) / (asked * n) for q, n in item.questions if n), default=0.0)
        certainty = min(1.0, 0.1 + 0.3 * len(words))  # one word says little about what is wanted
        return round(certainty * min(1.0, max(nearest, self._coverage(words, item))), 4), round(nearest, 4)

    def _weight(self, word: str) -> float:
        return self._weights.get(word, math.log(1 + len(self.entries)) + 1)

    def _shared(self, left: Iterable[str], right: frozenset[str]) -> float:
        """Return the squared weight of the words that two questions share."""
        return sum(self._weight(word) ** 2 for word in left if word in right)

    def _length(self, words: Iterable[str]) -> float:
        """Return the length of a question as a vector of weights; with `_shared` it gives the cosine of two."""
        return math.sqrt(sum(self._weight(word) ** 2 for word in words)) or 1.0

    def _coverage(self, words: Mapping[str, int], item: _Indexed) -> float:
        """Return the share of the prompt's weight that the entry's words cover, head words in full, body words less.

        A long prompt in which one word fits scores low; so does a prompt of one common word.
        """
        asked = sum(self._weight(word) for word in words)
        met = sum(
            self._weight(word) * (1.0 if word in item.head else 0.35 * item.body.get(word, 0.0)) for word in words
        )
        return met / asked if met else 0.0


@dataclass(frozen=True, slots=True)
class _Indexed:
    entry: LibraryEntry
    head: frozenset[str]
    """Words of title, keywords and questions."""
    body: dict[str, float]
    """Words of the text, by a saturating count (0 to 1): the third mention says less than the first."""
    questions: tuple[tuple[frozenset[str], float], ...]
    """The words of each question, and its length as a vector of weights."""
    verbatim: frozenset[str]
    """Its questions letter by letter, also those that consist of small words only."""

    @classmethod
    def of(cls, entry: LibraryEntry, length: Callable[[Iterable[str]], float]) -> _Indexed:
        body = Counter(_words(entry.text))
        questions = [frozenset(_words(question)) for question in (entry.title, *entry.prompts)]
        return cls(
            entry=entry,
            head=frozenset(_words(" ".join((entry.title, *entry.keywords, *entry.prompts)))),
            body={word: count / (count + 1.5) for word, count in body.items()},
            questions=tuple((words, length(words) if words else 0.0) for words in questions),
            verbatim=frozenset(_whole_words(question) for question in entry.prompts),
        )


def _whole(entry: LibraryEntry) -> str:
    return " ".join((entry.title, *entry.keywords, *entry.prompts, entry.text))


def _whole_words(text: str) -> str:
    return " ".join(_WORD.findall(text.lower()))


def _words(text: str) -> list[str]:
    return [_stem(word) for word in _WORD.findall(text.lower()) if word not in _STOP_WORDS]


def _stem(word: str) -> str:
    """Cut the plural and the commonest endings, so that `sorting` finds `sort` and `matrices` finds `matrix`."""
    for ending, replacement in (("ices", "ix"), ("ies", "y"), ("sses", "ss"), ("ing", ""), ("ed", ""), ("es", "e")):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word[: -len(ending)] + replacement
            break
    else:
        if word.endswith("s") and not word.endswith("ss") and len(word) > 3:
            word = word[:-1]
    return word[:-1] if len(word) > 4 and word[-1] == "e" else word


def load_library(files: Iterable[Path] | None = None) -> Library:
    """Read the library, shipped and the user's.

    Raises:
        FileFormatError: an entry is broken; with file and line.
        ConfigError: a folder cannot be read.
    """
    paths = sorted(files if files is not None else prompt_files("library", "*.md"))
    stamps = []
    for path in paths:
        try:
            stat = path.stat()
        except OSError as exc:
            raise FileFormatError(path, f"cannot be read: {exc.strerror or exc}") from None
        stamps.append((path, stat.st_mtime_ns, stat.st_size))
    return _load(tuple(stamps))


@lru_cache(maxsize=4)
def _load(stamps: tuple[tuple[Path, int, int], ...]) -> Library:
    paths = {path.name: path for path, _modified, _size in stamps}
    entries = []
    for name, path in paths.items():
        if name.endswith(_REASONING_SUFFIX) or name.upper().startswith(("README", "_")):
            continue
        beside = paths.get(path.stem + _REASONING_SUFFIX)
        entries.append(read_entry(path, reasoning_file=beside))
    return Library(tuple(entries))


def read_entry(path: Path, *, reasoning_file: Path | None = None) -> LibraryEntry:
    """Read one library file: front matter between `---` lines, then Markdown.

    Raises:
        FileFormatError: it has no such form; with file and line.
    """
    file = read_prompt_file(path)
    if not file.has_head:
        raise FileFormatError(path, "must begin with front matter between --- lines", line=1)
    head = file.head
    text = file.text.strip("\n") + "\n"
    if not text.strip():
        raise FileFormatError(path, "has no text after the front matter", line=file.line - 1)
    reasoning = _string(path, head, "reasoning", "")
    if reasoning_file is not None:
        reasoning = read_text(reasoning_file)
    starter = head.get("starter")
    if starter is not None and (not isinstance(starter, int) or isinstance(starter, bool) or starter < 1):
        raise FileFormatError(path, f"starter must be a whole number from 1, not {starter!r}")
    domain = _string(path, head, "domain", "conversation")
    if domain not in DOMAINS:
        raise FileFormatError(path, f"domain must be one of {', '.join(DOMAINS)}, not {domain!r}")
    return LibraryEntry(
        name=path.stem,
        title=_string(path, head, "title", None),
        domain=domain,
        text=text,
        keywords=_strings(path, head, "keywords"),
        prompts=_strings(path, head, "prompts"),
        starter=starter,
        reasoning=reasoning.strip() + "\n" if reasoning.strip() else "",
    )


def _string(path: Path, head: dict[str, Any], key: str, default: str | None) -> str:
    value = head.get(key, default)
    if not isinstance(value, str) or (default is None and not value.strip()):
        raise FileFormatError(path, f"{key} must be a text, not {value!r}", line=2)
    return value


def _strings(path: Path, head: dict[str, Any], key: str) -> tuple[str, ...]:
    value = head.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, str | int | float) for item in value):
        raise FileFormatError(path, f"{key} must be a list of texts, not {value!r}", line=2)
    return tuple(str(item) for item in value)
