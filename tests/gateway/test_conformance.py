"""RFC 6455 as Autobahn's cases have it, groups 1 to 7 and 10; all of them in tests/benchmarks/conformance.py."""

from __future__ import annotations

import asyncio
import inspect

import pytest

from tests.gateway.echoing import echoing

kosoku = pytest.importorskip("kosoku", reason="Autobahn's cases as a package: pip install kosoku")

EXPLAINED = {
    "7.1.5": "a close in the middle of a fragmented message is answered with 1002, as websockets documents",
}


@pytest.mark.timeout(110)
async def test_the_cases_of_autobahn_pass():
    groups = [f"{number}.*" for number in (1, 2, 3, 4, 5, 6, 7, 10)]
    async with echoing() as url:
        try:
            results = kosoku.run_fuzzingclient(url, cases=groups)
            if inspect.isawaitable(results):
                results = await results
        except kosoku.FailureError as failures:
            results = failures.results
        await asyncio.sleep(0)
    failed = {result.case_id for result in results if not result.passed}

    assert len(results) >= 247
    assert failed == set(EXPLAINED)
