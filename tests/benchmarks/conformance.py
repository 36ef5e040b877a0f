"""All of Autobahn's cases against the gateway's socket layer.

    python -m tests.benchmarks.conformance [--json FILE]

Prints {"schema", "environment", "rows"}, one row a group: cases, passed, and those that did not pass with the reason.
Groups 12 and 13 are about compression, which the gateway never agrees to.
Needs `kosoku`; takes some minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import inspect
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

from chatapp.bench.report import environment
from tests.gateway.echoing import echoing

EXPLAINED = {
    "7.1.5": "answered with 1002, as websockets documents",
    "9.3.1": "65,536 fragments of one message: more than 4,096 are refused by design",
    "9.3.2": "16,384 fragments: as above",
    "9.4.1": "as 9.3.1, binary",
    "9.4.2": "as 9.3.2, binary",
}


async def measure() -> list[dict[str, Any]]:
    """Run everything and return a row for each group."""
    import kosoku

    async with echoing() as url:
        try:
            results = kosoku.run_fuzzingclient(url, exclude_cases=["12.*", "13.*"])
            if inspect.isawaitable(results):
                results = await results
        except kosoku.FailureError as failures:
            results = failures.results
    groups: dict[str, list[Any]] = defaultdict(list)
    for result in results:
        groups[result.case_id.partition(".")[0]].append(result)
    return [
        {
            "group": int(group),
            "cases": len(found),
            "passed": sum(result.passed for result in found),
            "not_passed": {
                result.case_id: EXPLAINED.get(result.case_id, result.result) for result in found if not result.passed
            },
        }
        for group, found in sorted(groups.items(), key=lambda item: int(item[0]))
    ]


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", default="-")
    options = parser.parse_args()
    report = {
        "schema": "chatapp.conformance/1",
        "environment": environment(),
        "rows": asyncio.run(measure()),
    }
    text = json.dumps(report, indent=1)
    if options.json == "-":
        print(text)
    else:
        Path(options.json).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
