"""Install what the tests need and run them all: `python3 -m tests` in a checkout, on a fresh machine.

Options after it go to pytest. Debian's tmux, chromium and haproxy are installed where we are root and they are missing:
without them the tests that need a real terminal, browser or load balancer are skipped, and say so.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from chatapp.start import prepare

PEERS = {"tmux": "tmux", "chromium": "chromium", "haproxy": "haproxy", "asciinema": "asciinema"}
FLOORS = {"chatapp/stream/*,chatapp/text/*,chatapp/protocol/*": 100, "chatapp/*": 90}
"""Branch coverage: the pure rooms have no excuse."""


def main(arguments: list[str]) -> int:
    """Run the suite; without arguments also hold the coverage floors."""
    install_peers()
    python = str(prepare(("dev", "speed"), optional="local"))
    root = Path(__file__).resolve().parent.parent
    os.chdir(root)
    if arguments:
        return subprocess.run([python, "-m", "pytest", *arguments], check=False).returncode
    code = subprocess.run(
        [python, "-m", "pytest", "-n", "2", "--dist", "loadfile", "--cov", "-q"], check=False
    ).returncode
    for include, floor in FLOORS.items():
        report = [python, "-m", "coverage", "report", f"--include={include}", f"--fail-under={floor}"]
        print(f"branch coverage of {include}, at least {floor} %:", flush=True)
        held = subprocess.run(report, check=False).returncode
        code = code or held
    return code


def install_peers() -> None:
    """Install the real programs that tests drive, where that is possible."""
    missing = [package for program, package in PEERS.items() if not shutil.which(program)]
    if not missing or not shutil.which("apt-get") or os.geteuid() != 0:
        return
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "update", "-qq"], check=False, env=environment, stdout=subprocess.DEVNULL)
    install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing]
    subprocess.run(install, check=False, env=environment, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
