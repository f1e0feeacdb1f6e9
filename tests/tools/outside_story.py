"""``python -m tests.tools.outside_story``: tells the story of :mod:`tests.outside_story` and says where its pictures are."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.browser import SCREENSHOTS
from tests.npm_packages import phone_codes
from tests.outside_story import FOLDER, told


def main() -> int:
    """Tell it, chapter by chapter."""
    phone_codes()
    began = time.monotonic()
    with TemporaryDirectory() as folder, told(Path(folder)) as story:
        print(f"{time.monotonic() - began:6.1f} s  two regions and a browser")
        for chapter in story.chapters:
            chapter()
            print(f"{time.monotonic() - began:6.1f} s  {chapter.__name__.replace('_', ' ')}", flush=True)
        story.close()
    print(SCREENSHOTS / FOLDER)
    return 0


if __name__ == "__main__":
    sys.exit(main())
