"""The official JavaScript SDK holds a conversation through our gateway, where node and its packages are installed."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

import pytest

from tests.gateway.scripted import TOKEN, ScriptedBackend, echo, serving

FOLDER = Path(__file__).parent / "node"


@pytest.mark.timeout(60)
async def test_two_turns_and_an_error_through_responses_ws():
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    if not (FOLDER / "node_modules" / "openai").is_dir():
        pytest.skip("run `npm install` in tests/integration/node")
    async with serving(ScriptedBackend(echo)) as (_gateway, url):
        base_url = url.replace("ws://", "http://").removesuffix("/responses")
        process = await asyncio.create_subprocess_exec(
            node,
            "conversation.mjs",
            base_url,
            TOKEN.reveal(),
            cwd=FOLDER,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()

    assert process.returncode == 0, err.decode()
    said = json.loads(out)
    assert said["turns"] == ["1 messages: first", "3 messages: second"]
    assert said["kinds"][:2] == ["response.created", "response.in_progress"]
    assert said["kinds"][-1] == "response.completed"
    assert said["code"] == "model_not_found"
