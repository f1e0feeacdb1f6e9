"""One client that seals over HTTP until its standard input ends: ``python -m bench.loadclient URL SEAL SUITE PDF OUT``.

The bearer token comes in ``XINYIN_TOKEN``. Each line of OUT is ``{"began", "ended", "status", "generation", "document"}``,
times from the machine's monotonic clock, which all processes share.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path

import httpx


def main() -> None:
    """Seal the same document again and again, one after another, each time as a request of its own."""
    url, seal, suite, document, out = sys.argv[1:]
    ended = threading.Event()
    threading.Thread(target=_wait, args=(ended,), daemon=True).start()
    data = Path(document).read_bytes()
    headers = {"Authorization": f"Bearer {os.environ['XINYIN_TOKEN']}"}
    form = {"seal": seal, "suite": suite, "page": "1", "x_mm": "120", "y_mm": "230"}
    with httpx.Client(base_url=url, headers=headers, timeout=60) as client, Path(out).open("w", encoding="utf-8") as file:
        while not ended.is_set():
            began = time.monotonic()
            try:
                answer = client.post("/api/v1/impressions", data=form, files={"file": ("a.pdf", data, "application/pdf")})
                status, said = answer.status_code, answer.json()
            except httpx.HTTPError as exc:
                status, said = 0, {"error": type(exc).__name__}
            line = {
                "began": began,
                "ended": time.monotonic(),
                "status": status,
                "generation": said.get("generation"),
                "document": said.get("document_sha256"),
                "problem": None if status == 201 else said,
            }
            file.write(json.dumps(line) + "\n")


def _wait(ended: threading.Event) -> None:
    sys.stdin.buffer.read()
    ended.set()


if __name__ == "__main__":
    main()
