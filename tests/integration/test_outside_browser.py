"""The whole story of the licence outside, told by one script in a real browser: :mod:`tests.outside_story`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser import needs_chromium
from tests.npm_packages import phone_codes
from tests.outside_story import told

pytestmark = [needs_chromium, pytest.mark.timeout(900)]
"""One test is the whole story: under a minute on a machine of its own, several on one that does much else."""


def test_a_licence_is_downloaded_authorised_shown_scanned_and_refused_once_withdrawn(tmp_path: Path) -> None:
    phone_codes()
    with told(tmp_path) as story:
        for chapter in story.chapters:
            chapter()
        story.close()
