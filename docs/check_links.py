"""Check that every relative link between the project's documents leads somewhere; list the documents."""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")


def main() -> int:
    """Exit status 1 where a link is broken."""
    documents = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
    broken = 0
    for document in documents:
        text = document.read_text(encoding="utf-8")
        title = next((line.lstrip("# ") for line in text.splitlines() if line.startswith("# ")), "")
        print(f"{document.relative_to(ROOT)!s:44} {title}")  # noqa: T201
        for target in LINK.findall(text):
            if "://" not in target and not (document.parent / target).exists():
                print(f"  broken link: {target}", file=sys.stderr)  # noqa: T201
                broken += 1
    return 1 if broken else 0


if __name__ == "__main__":
    raise SystemExit(main())
