"""Programs of others that Columba is tested against. They are fetched when a test first wants one.

Where one can't be had its tests are skipped by name on a developer's machine, and fail in CI.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import NoReturn

import pytest

HERE = Path(__file__).parent


class Missing(Exception):
    """A peer can't be had here; the text says why."""


@cache
def npm_packages() -> Path:
    """The folder whose node_modules has just what package-lock.json names."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        raise Missing("node and npm are not installed")
    wanted = hashlib.sha256((HERE / "package-lock.json").read_bytes()).hexdigest()
    stamp = HERE / "node_modules" / ".installed"
    with (HERE / ".lock").open("w") as lock:  # several processes may run tests
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text() != wanted:
            command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
            try:
                done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, timeout=180)
            except subprocess.TimeoutExpired:
                raise Missing("npm ci did not end within 180 s") from None
            if done.returncode:
                raise Missing(f"npm ci failed: {done.stderr.strip()[-500:]}")
            stamp.write_text(wanted)
    return HERE


def do_without(peer: str, why: Missing) -> NoReturn:
    """Skip the test, but not where everything has to be there."""
    words = f"{peer} can't be had: {why}"
    if os.environ.get("CI", "").lower() in ("1", "true"):
        pytest.fail(words)
    pytest.skip(words)
