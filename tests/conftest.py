"""Shared fixtures: where the files from elsewhere are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# A busy machine must not fail a test: how long one example takes is nobody's promise here.
# Continuous integration draws the same examples every time; other runs keep looking for new ones.
settings.register_profile(
    "xinyin", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=bool(os.environ.get("CI"))
)
settings.load_profile("xinyin")

ROOT = Path(__file__).resolve().parent.parent


def corpus_dir() -> Path:
    """The folder of files from elsewhere: ``XINYIN_CORPUS``, else ``../shared/data`` beside the checkout."""
    return Path(os.environ.get("XINYIN_CORPUS", ROOT.parent / "shared" / "data"))


@pytest.fixture(scope="session")
def corpus() -> Path:
    """The corpus folder; skips, with the reason, where it is absent."""
    path = corpus_dir()
    if not path.is_dir():
        pytest.skip(f"no corpus of outside files at {path} (set XINYIN_CORPUS)")
    return path
