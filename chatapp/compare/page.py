"""A comparison as one HTML page: whole in itself, safe to open, readable without scripts as far as text goes.

The template is `page.html`, its script `page.js`; charts are drawn by Observable Plot and d3, shipped in `vendor/` (ISC
licence). The page's content security policy forbids every request and every script but these three, by their hashes:
should a prompt or an answer ever escape its quoting, the browser would still not run it.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from html import escape
from importlib.resources import files
from typing import Any

import msgspec

from chatapp import __version__
from chatapp.bench.table import number
from chatapp.compare.report import DASH, csv_of
from chatapp.text.sanitize import sanitize

SHOWN_PROMPT = 3000
"""Characters of the prompt that the page shows; its data hold all of it."""

SCRIPTS = {"d3": "vendor/d3.min.js", "plot": "vendor/plot.umd.min.js", "script": "page.js"}

TERMS = (
    ("TTFT", "Time to first token: from the send of the request's last byte to the first text, reasoning included."),
    ("TTFA", "Time to first answer: the same to the first text outside reasoning."),
    (
        "output speed",
        "(N − k₁) / (aₘ − a₁): tokens after the first chunk over the time after it, in the backend's own "
        "tokens as its server counts them; where it does not, in ours, and marked as an estimate.",
    ),
    (
        "cl100k tok/s",
        "The same in one tokenizer for all, because models cut text differently. Speeds are compared in it.",
    ),
    ("E2E", "End to end: from the request to the last text."),
    ("gaps", "Inter-chunk latency: between chunks, not between tokens."),
    (
        "95 % interval",
        "Percentile bootstrap of the median, 2,000 resamples; of a ratio, both sides resampled. With few "
        "runs it is narrower than the truth: two runs can show no more than their range.",
    ),
)


def to_html(report: Mapping[str, Any]) -> str:
    """Return the page of a `chatapp.compare/1` report."""
    scripts = {name: _asset(path) for name, path in SCRIPTS.items()}
    hashes = " ".join(f"'sha256-{_digest(text)}'" for text in scripts.values())
    policy = f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data:; base-uri 'none'"
    headline, lede = _headline(report)
    parts = {
        **scripts,
        "csp": policy,
        "version": escape(__version__),
        "title": _text(headline),
        "kicker": _text(f"chatapp compare · {str(report['created'])[:10]} · {report['order']}"),
        "headline": _text(headline).replace(" × ", "\u00a0×\u00a0").replace(" · ", "\u00a0· "),
        "lede": _text(lede),
        "prompt": _prompt(report["prompt"]),
        "notices": _notices(report),
        "table": _table(report),
        "remarks": _remarks(report),
        "race": "" if report["order"] == "all at once" else "Asked one after the other, shown with one start.",
        "method": _method(report),
        "environment": _definitions(_environment(report)),
        "responses": _responses(report["responses"]),
        "created": escape(str(report["created"])),
        "data": _embedded(report),
        "csv": _embedded(csv_of(report["responses"])),
    }
    # One pass: what was put in is never looked at again, so that no text can name a place of the template.
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], _asset("page.html"))


@cache
def _asset(path: str) -> str:
    return (files("chatapp.compare") / path).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _embedded(value: Any) -> str:
    """Return JSON that is safe inside a script element, whatever it holds."""
    text = msgspec.json.encode(value).decode()
    return (
        text.replace("<", "\\u003c").replace(">", "\\u003e").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    )


def _text(value: Any) -> str:
    return escape(sanitize(str(value)))


def _prompt(prompt: str) -> str:
    more = len(prompt) - SHOWN_PROMPT
    return _text(prompt[:SHOWN_PROMPT]) + (f" … <em>and {more:,} characters more</em>" if more > 0 else "")


def _named(row: Mapping[str, Any]) -> str:
    return str(row["label"]) + ("" if row["kind"] == "live" else f" ({row['kind']})")


def _headline(report: Mapping[str, Any]) -> tuple[str, str]:
    ranked = [row for row in report["standings"] if row["common_tps"]]
    if not ranked:
        return "No backend gave a whole answer", "What came is in the raw data below, and in no figure."
    fastest, slowest = ranked[0], ranked[-1]
    if len(ranked) == 1:
        speed = number(fastest["common_tps"])
        return (
            f"Only {_named(fastest)} gave a whole answer",
            f"{speed} tokens a second (cl100k); nothing to compare with.",
        )
    ratio = next(
        row
        for row in report["ratios"]
        if row["figure"] == "common_tps" and {row["of"], row["to"]} == {fastest["backend"], slowest["backend"]}
    )
    turned = ratio["of"] != fastest["backend"]
    factor = 1 / ratio["ratio"] if turned else ratio["ratio"]
    speeds = f"{number(fastest['common_tps'])} against {number(slowest['common_tps'])} tokens a second (cl100k)"
    low, high = ratio["ci95"]
    if low is None:
        lede = f"{speeds}. One run each: no interval, so part of the difference may be chance."
    else:
        if turned:
            low, high = 1 / high, 1 / low
        lede = f"{speeds}. 95 % interval of the ratio: {low:.2f} to {high:.2f}."
        if not ratio["distinguishable"]:
            return f"{_named(fastest)} and {_named(slowest)} cannot be told apart in speed", lede
    return f"{_named(fastest)} wrote {_factor(factor)} times as fast as {_named(slowest)}", lede


def _factor(value: float) -> str:
    return f"{value:.2f}" if value < 2 else f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def _notices(report: Mapping[str, Any]) -> str:
    simulated = [backend["label"] for backend in report["backends"] if backend["simulated"]]
    said = []
    if simulated:
        whose = "All of it is" if len(simulated) == len(report["backends"]) else f"{', '.join(simulated)}:"
        said.append(f"{whose} simulated: timing from a hardware model, not from a machine. It verifies nothing.")
    if report["partial"]:
        said.append(f"Partial: {report['partial']}. What had been measured by then is shown.")
    return "".join(f'<p class="notice" role="note">{_text(line)}</p>' for line in said)


_COLUMNS = ("", "backend", "tok/s", "cl100k tok/s", "×", "TTFT ms", "TTFA ms", "E2E ms", "whole", "failed")
_PAID = ("$ / answer", "$ / M out", "tok/s per $")


def _table(report: Mapping[str, Any]) -> str:
    by_name = {backend["name"]: (index, backend) for index, backend in enumerate(report["backends"])}
    paid = any(backend["output_usd_per_million"] for backend in report["backends"])
    columns = _COLUMNS + (_PAID if paid else ())
    head = "".join(f'<th scope="col"{" class=name" if name == "backend" else ""}>{name}</th>' for name in columns)
    rows = []
    for standing in report["standings"]:
        index, backend = by_name[standing["backend"]]
        summary = backend["summary"]
        badge = "" if backend["kind"] == "live" else f' <span class="badge {backend["kind"]}">{backend["kind"]}</span>'
        note = f"<small>{_text(backend['note'])}</small>" if backend["note"] else ""
        swatch = '<span class="swatch"></span>'
        failed = backend["requests"] - backend["succeeded"]
        cells = [
            f'<td class="place">{standing["place"] or DASH}</td>',
            f'<td class="name">{swatch}<strong>{_text(backend["label"])}</strong>{badge}{note}</td>',
            *(
                _cell(columns[column], summary[figure])
                for column, figure in ((2, "output_speed_tps"), (3, "common_tps"))
            ),
            _plain("×", f"{standing['speedup']:.1f}" if standing["speedup"] else DASH),
            *(_cell(columns[c], summary[figure]) for c, figure in ((5, "ttft_ms"), (6, "ttfa_ms"), (7, "e2e_ms"))),
            _plain("whole", backend["succeeded"]),
            _plain("failed", f'<span class="failed">{failed}</span>' if failed else "0"),
        ]
        if paid:
            answer, million = backend["usd_per_answer"], backend["output_usd_per_million"]
            cells += [
                _plain(_PAID[0], DASH if answer is None else f"{answer:.4f}"),
                _plain(_PAID[1], DASH if million is None else f"{million:.2f}"),
                _plain(_PAID[2], number(backend["common_tps_per_usd"])),
            ]
        simulated = " sim" if backend["simulated"] else ""
        rows.append(f'<tr class="k{index % 4}{simulated}">{"".join(cells)}</tr>')
    return f'<table class="cards"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'


def _plain(label: str, content: Any) -> str:
    return f'<td data-label="{label}"><span>{content}</span></td>'


def _cell(label: str, summary: Mapping[str, Any] | None) -> str:
    if summary is None:
        return _plain(label, DASH)
    low, high = summary["ci95"]
    interval = "" if low is None else f"<small>{number(low)} … {number(high)}</small>"
    return _plain(label, f"{number(summary['median'])}{interval}")


def _remarks(report: Mapping[str, Any]) -> str:
    said = []
    if report["departure_spread_ms"] is not None:
        said.append(f"The requests left within {report['departure_spread_ms']:.2f} ms of each other.")
    for backend in report["backends"]:
        if backend["failure"]:
            said.append(f"{backend['label']} took no further part: {backend['failure']}")
        if backend["errors"]:
            kinds = ", ".join(f"{code} ×{count}" for code, count in backend["errors"].items())
            said.append(f"{backend['label']}: {kinds}. Failed answers are in no figure.")
        if backend["waited_s"]:
            said.append(f"{backend['label']}: waited {backend['waited_s']:.1f} s because the server asked for it.")
        if backend["kind"] == "simulated" and "claim" in backend["detail"]:
            said.append(f"{backend['label']}, published claim in tok/s: {backend['detail']['claim']}")
    doubtful = sum(bool(response["doubtful"]) for response in report["responses"])
    if doubtful:
        said.append(f"{doubtful} answers have stamps or counts less certain than the limits; their warnings are below.")
    return f'<ul class="remarks">{"".join(f"<li>{_text(line)}</li>" for line in said)}</ul>' if said else ""


def _method(report: Mapping[str, Any]) -> str:
    order = report["order"]
    how = (
        "All requests left at the same moment; each backend answered once."
        if order == "all at once"
        else f"{report['runs']} runs of each, one at a time, {order}: neither drift nor what ran before favours one."
    )
    unique = "Each request begins with a line of its own, so that no provider's prefix cache answers it."
    terms = "".join(f"<dt>{escape(name)}</dt><dd>{escape(meaning)}</dd>" for name, meaning in TERMS)
    return f'<p>{_text(how)} {unique}</p><dl class="terms">{terms}</dl>'


def _environment(report: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    yield from report["environment"].items()
    yield "run", report["run"]
    yield "workload", f"{report['workload']['name']}, SHA-256 {report['workload']['sha256']}"
    for backend in report["backends"]:
        yield backend["label"], f"{backend['name']} ({backend['kind']}, {backend['provider']}, {backend['model']})"
    sources = sorted({response["arrival_source"] for response in report["responses"]})
    yield "arrivals stamped by", ", ".join(sources) or DASH


def _definitions(pairs: Iterable[tuple[str, Any]]) -> str:
    return f"<dl>{''.join(f'<dt>{_text(name)}</dt><dd>{_text(value)}</dd>' for name, value in pairs)}</dl>"


_RESPONSE = ("backend", "run", "ttft_ms", "output_speed_tps", "common_tps", "e2e_ms", "input_tokens", "output_tokens")


def _responses(responses: Sequence[Mapping[str, Any]]) -> str:
    head = "".join(f'<th scope="col"{" class=name" if n == "backend" else ""}>{n}</th>' for n in (*_RESPONSE, "ended"))
    rows = []
    for response in responses:
        cells = [f'<td class="name">{_text(response["backend"])}</td>']
        cells += [f"<td>{_figure(response[name])}</td>" for name in _RESPONSE[1:]]
        ended = response["error"] or response["outcome"]
        warned = "".join(f"<small>{_text(warning)}</small>" for warning in response["warnings"])
        cells.append(f'<td class="name">{_text(ended)}{warned}</td>')
        rows.append(f"<tr>{''.join(cells)}</tr>")
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _figure(value: float | None) -> str:
    return str(value) if isinstance(value, int) else number(value)
