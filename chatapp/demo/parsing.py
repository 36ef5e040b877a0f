"""Reading demo scripts: YAML that is checked node by node, so that every error names its line and column.

Only PyYAML's `compose` is used, which builds no objects: tags and anchors cannot do anything.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn, get_args

import yaml

from chatapp.demo import script as s
from chatapp.demo.pictures import GOLDEN_KINDS
from chatapp.errors import FileFormatError, nearest_names

VERSION = 1
MAX_BYTES = 1 << 20
_UNITS_NS = {"ms": 1_000_000, "s": 1_000_000_000, "m": 60_000_000_000, "": 1_000_000_000}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|)")
_TOKENS = re.compile(r"(\d+)(?:\s*tokens?)?")
TOP = ("version", "title", "require", "set", "steps")
SETTINGS = ("typing", "jitter", "seed", "speed", "cols", "rows")
_LONGEST_WAIT_NS = 600 * 1_000_000_000


def read_script(path: Path) -> s.Script:
    """Read a demo script.

    Raises:
        FileFormatError: it cannot be read or is wrong; with line and column, and the nearest word where one is unknown.
    """
    try:
        data = path.read_bytes()
    except OSError as exc:
        raise FileFormatError(path, f"cannot be read: {exc.strerror or exc}") from None
    if len(data) > MAX_BYTES:
        raise FileFormatError(path, f"longer than {MAX_BYTES} bytes")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise FileFormatError(path, f"not UTF-8 text (byte {exc.start})") from None
    return parse_script(text, path)


def parse_script(text: str, path: Path) -> s.Script:
    """Read a demo script from text.

    Raises:
        FileFormatError: as `read_script` says.
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (None, None)
        raise FileFormatError(path, f"not YAML: {exc.problem}", line=line, column=column) from None
    except (yaml.YAMLError, RecursionError) as exc:
        raise FileFormatError(path, f"not YAML: {str(exc)[:100]}") from None
    return _Reader(path, text).script(root)


class _Reader:
    """Turns nodes into values, failing where they stand."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self.text = text

    # ------------------------------------------------------------------ the file

    def script(self, root: Any) -> s.Script:
        if not isinstance(root, yaml.MappingNode):
            raise FileFormatError(self.path, "a demo script is a mapping with title and steps", line=1)
        top = self.mapping(root, TOP, what="name")
        if "version" not in top:
            self.fail(root, f"version is missing: write version: {VERSION}")
        version = self.integer(top["version"], 0, 10**9)
        if version != VERSION:
            self.fail(top["version"], f"script of version {version}; this chatapp reads version {VERSION}")
        if "steps" not in top:
            self.fail(root, "steps are missing")
        steps = tuple(self.step(node) for node in self.items(top["steps"]))
        if not steps:
            self.fail(top["steps"], "there are no steps")
        return s.Script(
            path=self.path,
            title=self.string(top["title"]) if "title" in top else self.path.stem,
            steps=steps,
            pace=s.Pace(**self.settings(top["set"])) if "set" in top else s.Pace(),
            require=tuple((self.requirement(node), self.place(node)) for node in self.items(top.get("require"))),
            summary=self.summary(),
            chapters=tuple(i for i, step in enumerate(steps) if isinstance(step, s.Chapter)),
        )

    def summary(self) -> str:
        """Return the comment that the file begins with."""
        lines = []
        for line in self.text.splitlines():
            if not line.startswith("#"):
                break
            if not line.startswith("# yaml-language-server"):
                lines.append(line.lstrip("# ").strip())
        return " ".join(lines)

    def requirement(self, node: Any) -> str:
        text = self.string(node)
        kind, _, name = text.partition(":")
        if kind not in ("backend", "file") or not name:
            self.fail(node, f"unknown requirement {text!r}: write backend:NAME or file:PATH")
        return text

    def settings(self, node: Any) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name, value in self.mapping(node, SETTINGS, what="setting").items():
            if name == "typing":
                values["typing_ns"] = self.duration(value)
            elif name == "jitter":
                values[name] = self.number(value, 0, 2)
            elif name == "speed":
                values[name] = self.number(value, 0.1, 100)
            elif name == "seed":
                values[name] = self.integer(value, 0, 2**31)
            else:
                values[name] = self.integer(value, 20 if name == "cols" else 8, 500)
        return values

    # ------------------------------------------------------------------ steps

    def step(self, node: Any) -> s.Step:
        place = self.place(node)
        if isinstance(node, yaml.ScalarNode):
            verb, value = self.string(node), None
            if verb not in ("enter", "pause"):
                if verb in _VERBS:
                    self.fail(node, f"{verb!r} needs a value: {verb}: …")
                self.unknown(node, "verb", verb, VERBS)
        else:
            pairs = self.pairs(node, "a step is a verb, or a verb with a value")
            if len(pairs) != 1:
                self.fail(node, "a step has one verb; put a dash before each")
            key, value = pairs[0]
            verb = self.string(key)
            if verb not in VERBS:
                self.unknown(key, "verb", verb, VERBS)
            if verb in ("enter", "pause"):
                self.fail(key, f"{verb!r} takes no value: write - {verb}")
        if verb == "enter":
            return s.Key(name="enter", place=place)
        if verb == "pause":
            return s.Pause(place=place)
        return _VERBS[verb](self, value, place)

    def chapter(self, node: Any, place: s.Place) -> s.Step:
        return s.Chapter(title=self.string(node), place=place)

    def say(self, node: Any, place: s.Place) -> s.Step:
        return s.Say(text=self.string(node, empty=True), place=place)

    def type(self, node: Any, place: s.Place) -> s.Step:
        if isinstance(node, yaml.ScalarNode):
            return s.Type(text=self.string(node), place=place)
        values = self.mapping(node, ("text", "speed"), need=("text",))
        speed = self.duration(values["speed"]) if "speed" in values else None
        return s.Type(text=self.string(values["text"]), speed_ns=speed, place=place)

    def key(self, node: Any, place: s.Place) -> s.Step:
        name = self.string(node)
        if not re.fullmatch(r"(?:(?:ctrl|alt|shift)\+)*[a-z0-9_]+|[^\s]", name):
            self.fail(node, f"not a key: {name!r}; for example escape, f2, ctrl+e, tab")
        return s.Key(name=name, place=place)

    def wait(self, node: Any, place: s.Place) -> s.Step:
        if isinstance(node, yaml.ScalarNode):
            return s.Rest(duration_ns=self.duration(node), place=place)
        values = self.mapping(node, ("event", "stream", "screen", "settled", "within"))
        if "within" not in values:
            self.fail(node, "a wait needs a limit, or it might never end: within: 10s")
        subjects = [name for name in ("event", "screen", "settled") if name in values]
        if len(subjects) != 1:
            self.fail(node, "a wait is for one of event, screen or settled")
        within = self.duration(values["within"])
        if within > _LONGEST_WAIT_NS:
            self.fail(values["within"], "longer than 10 minutes")
        return s.Wait(
            within_ns=within,
            event=self.choice(values["event"], "event", get_args(s.EventName)) if "event" in values else None,
            stream=self.stream(values),
            screen=self.pattern(values["screen"]) if "screen" in values else None,
            settled_ns=self.duration(values["settled"]) if "settled" in values else None,
            place=place,
        )

    def sleep(self, node: Any, place: s.Place) -> s.Step:
        return s.Rest(duration_ns=self.duration(node), place=place)

    def expect(self, node: Any, place: s.Place) -> s.Step:
        values = self.mapping(node, (*s.FIGURES, "stream"), what="figure")
        expectations = []
        for figure, wanted in values.items():
            if figure == "stream":
                continue
            for comparison, value in self.mapping(wanted, s.COMPARISONS, what="comparison").items():
                if comparison == "matches":
                    self.pattern(value)
                    expectations.append(s.Expectation(figure, comparison, self.string(value)))
                elif figure in ("text", "outcome"):
                    if comparison != "eq":
                        self.fail(value, f"{figure} can be compared by matches or eq only")
                    expectations.append(s.Expectation(figure, comparison, self.string(value)))
                else:
                    expectations.append(s.Expectation(figure, comparison, self.number(value, -1e12, 1e12)))
        if not expectations:
            self.fail(node, "nothing is expected")
        return s.Expect(expectations=tuple(expectations), stream=self.stream(values), place=place)

    def backend(self, node: Any, place: s.Place) -> s.Step:
        if isinstance(node, yaml.ScalarNode):
            return s.Backend(name=self.string(node), place=place)
        values = self.mapping(node, ("use", "fallback", "within"), need=("use",))
        options: dict[str, Any] = {}
        if "fallback" in values:
            options["fallback"] = self.string(values["fallback"])
        if "within" in values:
            options["within_ns"] = self.duration(values["within"])
        return s.Backend(name=self.string(values["use"]), place=place, **options)

    def compare(self, node: Any, place: s.Place) -> s.Step:
        names = tuple(self.string(item) for item in self.items(node))
        if not 2 <= len(names) <= len(s.STREAMS):
            self.fail(node, f"compare takes two to four backends, not {len(names)}")
        return s.Compare(backends=names, place=place)

    def play(self, node: Any, place: s.Place) -> s.Step:
        if isinstance(node, yaml.ScalarNode):
            return s.Play(cassette=self.file(node), place=place)
        values = self.mapping(node, ("cassette", "speed", "as"), need=("cassette",))
        speed: float | None = 1.0
        if "speed" in values:
            is_max = isinstance(values["speed"], yaml.ScalarNode) and values["speed"].value == "max"
            speed = None if is_max else self.number(values["speed"], 0.01, 1000)
        repace = self.string(values["as"]) if "as" in values else ""
        if repace and not repace.startswith("sim:"):
            self.fail(values["as"], "as takes a simulated system: as: sim:cs3/kimi-k2.6")
        return s.Play(cassette=self.file(values["cassette"]), speed=speed, repace=repace, place=place)

    def fault(self, node: Any, place: s.Place) -> s.Step:
        values = self.mapping(node, ("stream", "at", "kind", "for", "status"), need=("kind",))
        kind = self.choice(values["kind"], "fault", get_args(s.FaultKind))
        if kind in ("latency", "stall") and "for" not in values:
            self.fail(node, f"a {kind} needs its length: for: 4s")
        at = 0
        if "at" in values:
            found = _TOKENS.fullmatch(self.string(values["at"]))
            if found is None:
                self.fail(values["at"], "at is a number of tokens: at: 40 tokens")
            at = int(found[1])
        return s.Fault(
            kind=kind,
            stream=self.stream(values),
            at_tokens=at,
            duration_ns=self.duration(values["for"]) if "for" in values else 0,
            status=self.integer(values["status"], 400, 599) if "status" in values else 500,
            place=place,
        )

    def screen(self, node: Any, place: s.Place) -> s.Step:
        values = self.mapping(node, ("golden",), need=("golden",))
        golden = self.file(values["golden"])
        if golden.suffix not in GOLDEN_KINDS:
            self.fail(values["golden"], "a golden picture ends in .svg (as it looks) or .txt (what it says)")
        return s.Screen(golden=golden, place=place)

    def set(self, node: Any, place: s.Place) -> s.Step:
        return s.Adjust(settings=self.settings(node), place=place)

    # ------------------------------------------------------------------ values

    def stream(self, values: Mapping[str, Any]) -> str:
        return self.choice(values["stream"], "stream", tuple(s.STREAMS)) if "stream" in values else "a"

    def file(self, node: Any) -> Path:
        """Return a path, relative ones to the script's folder."""
        return self.path.parent / Path(self.string(node)).expanduser()

    def string(self, node: Any, *, empty: bool = False) -> str:
        if not isinstance(node, yaml.ScalarNode):
            self.fail(node, "must be a text")
        text: str = node.value
        if not text and not empty:
            self.fail(node, "must not be empty")
        return text

    def duration(self, node: Any) -> int:
        found = _DURATION.fullmatch(self.string(node))
        if found is None:
            self.fail(node, f"not a duration: {node.value!r}; for example 500ms, 2s, 1m")
        return round(float(found[1]) * _UNITS_NS[found[2]])

    def number(self, node: Any, low: float, high: float) -> float:
        try:
            value = float(self.string(node))
        except ValueError:
            self.fail(node, f"must be a number, not {node.value!r}")
        if not low <= value <= high:
            self.fail(node, f"must lie between {low:g} and {high:g}, not {node.value}")
        return value

    def integer(self, node: Any, low: int, high: int) -> int:
        value = self.number(node, low, high)
        if value != int(value):
            self.fail(node, f"must be a whole number, not {node.value}")
        return int(value)

    def choice(self, node: Any, what: str, known: tuple[str, ...]) -> Any:
        value = self.string(node)
        if value not in known:
            self.unknown(node, what, value, known)
        return value

    def pattern(self, node: Any) -> re.Pattern[str]:
        try:
            return re.compile(self.string(node), re.MULTILINE)
        except re.error as exc:
            self.fail(node, f"not a regular expression: {exc}")

    def mapping(
        self, node: Any, known: tuple[str, ...], *, what: str = "value", need: tuple[str, ...] = ()
    ) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key, value in self.pairs(node, f"must be a mapping: {{{known[0]}: …}}"):
            name = self.string(key)
            if name not in known:
                self.unknown(key, what, name, known)
            if name in values:
                self.fail(key, f"{name!r} is given twice")
            values[name] = value
        for name in need:
            if name not in values:
                self.fail(node, f"{name!r} is missing")
        return values

    def pairs(self, node: Any, message: str) -> list[tuple[Any, Any]]:
        if not isinstance(node, yaml.MappingNode):
            self.fail(node, message)
        pairs: list[tuple[Any, Any]] = node.value
        return pairs

    def items(self, node: Any) -> list[Any]:
        if node is None:
            return []
        if not isinstance(node, yaml.SequenceNode):
            self.fail(node, "must be a list")
        items: list[Any] = node.value
        return items

    # ------------------------------------------------------------------ what is wrong

    def place(self, node: Any) -> s.Place:
        return s.Place(node.start_mark.line + 1, node.start_mark.column + 1)

    def fail(self, node: Any, message: str) -> NoReturn:
        place = self.place(node)
        raise FileFormatError(self.path, message, line=place.line, column=place.column)

    def unknown(self, node: Any, what: str, name: str, known: tuple[str, ...]) -> NoReturn:
        near = nearest_names(name, known)
        tail = f"; nearest: {', '.join(near)}" if near else f"; known: {', '.join(known)}"
        self.fail(node, f"unknown {what} {name[:60]!r}{tail}")


_VERBS: dict[str, Callable[[_Reader, Any, s.Place], s.Step]] = {
    "chapter": _Reader.chapter,
    "say": _Reader.say,
    "type": _Reader.type,
    "key": _Reader.key,
    "wait": _Reader.wait,
    "sleep": _Reader.sleep,
    "expect": _Reader.expect,
    "backend": _Reader.backend,
    "compare": _Reader.compare,
    "play": _Reader.play,
    "fault": _Reader.fault,
    "screen": _Reader.screen,
    "set": _Reader.set,
}
VERBS = ("enter", "pause", *_VERBS)
