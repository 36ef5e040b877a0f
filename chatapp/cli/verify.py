"""`chatapp verify`: a vendor's claim, checked with the claim's own workload, and evidence that others can re-check."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from chatapp.config import Settings, load_settings
from chatapp.errors import UsageError

if TYPE_CHECKING:
    from chatapp.bench.workloads import Workload
    from chatapp.compare.claims import Claim
    from chatapp.compare.contest import Contest
    from chatapp.compare.verification import Verification

RUNS = 10


@click.command()
@click.argument("name", metavar="CLAIM", required=False)
@click.option("--backend", "backends", multiple=True, metavar="NAME", help="What to measure; of a ratio twice.")
@click.option("--runs", type=click.IntRange(1, 10_000), default=RUNS, show_default=True, metavar="N", help="Runs.")
@click.option("--warmup", type=click.IntRange(0, 100), default=1, show_default=True, metavar="N", help="Unmeasured.")
@click.option("--cooldown", type=float, default=0.5, show_default=True, metavar="S", help="Pause between runs.")
@click.option("--timeout", type=float, default=300.0, show_default=True, metavar="S", help="Longest a run may take.")
@click.option("--evidence", "folder", metavar="DIR", help="Keep every arrival and everything else, sealed.")
@click.option("--from", "source", metavar="DIR", help="Check such a folder and compute its verdict again, offline.")
@click.option("--json", "json_file", metavar="F", help="Write the result as JSON; - is stdout.")
@click.option("--pace", type=click.Choice(["model", "claimed"]), help="What simulated systems take their pace from.")
@click.option("--load", type=click.IntRange(1), metavar="N", help="Concurrent users that simulated systems serve.")
@click.option("--seed", type=int, metavar="N", help="Seed of simulated timing.")
@click.option("--max-cost", type=float, metavar="USD", help="Refuse, or stop, above this cost.")
@click.option("--max-tokens", type=click.IntRange(1), metavar="N", help="Refuse, or stop, above so many tokens in all.")
@click.option("--yes", is_flag=True, help="Do not ask before a run that costs money.")
def verify(name: str | None, backends: tuple[str, ...], folder: str | None, source: str | None, **options: Any) -> int:
    """Check a vendor's claim. Exit code 0 only where it holds: as claimed, or faster.

    Without --backend it says what could test the claim, what is missing for that, and the cost. Claims that are
    arithmetic (does the model fit?) are decided from sourced facts at once.
    """
    from chatapp.cli.output import check_output
    from chatapp.compare.claims import load_claim

    check_output(options["json_file"])
    if source is not None:
        if name is not None or backends or folder is not None:
            raise UsageError("--from takes a folder of evidence and nothing else")
        return _check_again(Path(source), options["json_file"])
    if name is None:
        raise UsageError("which claim?", hint=f"chatapp verify CLAIM, one of: {', '.join(_names())}")
    claim = load_claim(name)
    if claim.kind == "fit":
        if backends or folder is not None:
            raise UsageError(f"{claim.id} is arithmetic on sourced facts: no backend is asked", hint="leave it out")
        return _fit(claim, options["json_file"])
    settings = load_settings()
    if not backends:
        return _list_candidates(claim, settings, options)
    _check_backends(claim, backends)
    return _measure(claim, list(backends), settings, folder, options)


def _names() -> list[str]:
    from chatapp.compare.claims import claims

    return sorted(claims())


def _check_backends(claim: Claim, backends: tuple[str, ...]) -> None:
    if claim.kind == "ratio" and len(backends) != 2:
        raise UsageError(
            f"{claim.id} is a ratio: it takes two backends, not {len(backends)}",
            hint=f"--backend the claimed one, --backend {claim.baseline}",
        )
    if claim.kind != "ratio" and len(backends) != 1:
        raise UsageError(f"{claim.id} takes one backend, not {len(backends)}")


def _fit(claim: Claim, json_file: str | None) -> int:
    import msgspec

    from chatapp.compare.fit import decide_fit, fit_lines
    from chatapp.compare.verification import SCHEMA

    verdict = decide_fit(claim)
    lines = [claim.statement, "", verdict.sentence, *fit_lines(verdict), f"notes     {claim.notes}"]
    lines.append(f"source    {claim.source}")
    _print(lines, json_file)
    decided = {**msgspec.to_builtins(verdict), "confirmed": verdict.confirmed}
    _write_json(json_file, {"schema": SCHEMA, "claim": msgspec.to_builtins(claim), "verdict": decided})
    return 0 if verdict.confirmed else 1


def _list_candidates(claim: Claim, settings: Settings, options: dict[str, Any]) -> int:
    import msgspec

    from chatapp.backends.registry import listings
    from chatapp.bench.workloads import load_workload
    from chatapp.compare.candidates import candidate_lines, candidates
    from chatapp.compare.verification import SCHEMA, model_says

    workload = load_workload(claim.workload)
    found = candidates(claim, workload, listings(settings), requests=options["runs"] + options["warmup"])
    lines = [claim.statement]
    if says := model_says(claim, workload):
        lines.append(f"model     {says}")
    if claim.kind == "ratio":
        lines.append(f"a ratio: --backend twice, the claimed one and {claim.baseline}")
    lines += ["", *candidate_lines(found, runs=options["runs"]), "", "not verified: name one with --backend"]
    _print(lines, options["json_file"])
    made = {"schema": SCHEMA, "claim": msgspec.to_builtins(claim), "verdict": None, "model_says": says or None}
    _write_json(options["json_file"], {**made, "candidates": msgspec.to_builtins(found)})
    return 1


def _measure(claim: Claim, names: list[str], settings: Settings, folder: str | None, options: dict[str, Any]) -> int:
    import asyncio

    from chatapp.bench.workloads import load_workload
    from chatapp.cli.contest import agree_to_cost, carry_out, check_options, enter
    from chatapp.compare.sample import samples_of
    from chatapp.compare.verification import judge

    check_options(options)
    workload = load_workload(claim.workload)
    contestants = enter(settings, names, options)
    for contestant in contestants:
        if contestant.backend.info.kind == "recorded":
            raise UsageError(
                f"{contestant.name}: a recording answers nothing new, so that it verifies nothing",
                hint="chatapp verify --from DIR checks a folder of evidence",
            )
    _check_tokens(workload, len(names), options)
    agree_to_cost(contestants, workload, settings, options)
    if folder is not None:
        from chatapp.compare.evidence import prepare
        from chatapp.compare.manifest import RUNS as RECORDING

        prepare(Path(folder))
        options = {**options, "record": str(Path(folder) / RECORDING)}
    contest = asyncio.run(
        carry_out(contestants, workload, {"record": None, **options}, title=f"verify {claim.id}", budget_tokens=True)
    )
    found = judge(claim, samples_of(contest), workload, partial=contest.partial)
    return _report(found, contest, folder, options["json_file"])


def _check_tokens(workload: Workload, backends: int, options: dict[str, Any]) -> None:
    """Refuse a run that would use more tokens than allowed.

    Raises:
        UsageError: it would.
    """
    from chatapp.bench.cost import OUTPUT_UNLIMITED
    from chatapp.stream.tokens import count_tokens

    limit = options["max_tokens"]
    if limit is None:
        return
    request = workload.request(0, run="estimate")
    each = count_tokens(request.prompt) + count_tokens(request.instructions or "")
    each += workload.output_tokens or OUTPUT_UNLIMITED
    needed = each * (options["runs"] + options["warmup"]) * backends
    if needed > limit:
        raise UsageError(
            f"the run needs about {needed:,} tokens, more than --max-tokens {limit:,}", hint="fewer --runs"
        )


def _report(found: Verification, contest: Contest, folder: str | None, json_file: str | None) -> int:
    """Print the verdict, then write: what was found is seen even where a disk is full."""
    from chatapp.compare.verification import to_json, to_lines

    _print(to_lines(found), json_file)
    made = to_json(found)
    if folder is not None:
        from chatapp.compare.evidence import write_evidence

        digest = write_evidence(Path(folder), found, contest)
        _print(
            [
                "",
                f"evidence  {folder}, SHA-256 of its manifest: {digest}",
                "          publish that hash now: it shows later changes, not an honest tester; let others repeat it",
            ],
            json_file,
        )
        made["evidence"] = {"folder": folder, "manifest_sha256": digest}
    _write_json(json_file, made)
    if contest.stop.is_set():
        return 130
    return 0 if found.verdict.confirmed else 1


def _check_again(folder: Path, json_file: str | None) -> int:
    from chatapp.compare.evidence import read_evidence
    from chatapp.compare.verification import to_json, to_lines

    checked = read_evidence(folder)
    lines = [
        f"evidence of {checked.created}: every byte as it was sealed; the verdict, computed again from the arrivals:",
        f"SHA-256 of its manifest: {checked.manifest_sha256}",
        "a seal shows later changes, not an honest tester",
        "",
    ]
    _print([*lines, *to_lines(checked.verification)], json_file)
    made = to_json(checked.verification)
    made["evidence"] = {"folder": str(folder), "manifest_sha256": checked.manifest_sha256, "created": checked.created}
    _write_json(json_file, made)
    return 0 if checked.verification.verdict.confirmed else 1


def _print(lines: list[str], json_file: str | None) -> None:
    from chatapp.redaction import REDACTOR
    from chatapp.text.sanitize import sanitize

    click.echo(sanitize(REDACTOR.text("\n".join(lines))), err=json_file == "-")


def _write_json(target: str | None, made: dict[str, Any]) -> None:
    if target is None:
        return
    import msgspec

    from chatapp.cli.output import write_output
    from chatapp.redaction import REDACTOR

    write_output(target, msgspec.json.format(msgspec.json.encode(REDACTOR.value(made)), indent=2).decode() + "\n")
