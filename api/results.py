"""Verdicts kept for a short while, so that a result page can be reloaded, switched to the other language and printed.

Only the verdict is kept, never the document, in the memory of this process, under a random address that the sender alone knows.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from typing import Any

KEEP_SECONDS = 1800
KEEP_COUNT = 500


class Results:
    """A bounded store of ``(time, verdict)``; the oldest leave first."""

    def __init__(self, *, seconds: float = KEEP_SECONDS, count: int = KEEP_COUNT) -> None:
        self._seconds = seconds
        self._count = count
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[float, str, dict[str, Any]]] = OrderedDict()
        self._receipts: dict[tuple[str, str], str] = {}

    def put(self, verdict: dict[str, Any], at: str) -> str:
        """Keep ``verdict``, found at ``at`` (RFC 3339); returns its name (128 random bits)."""
        name = secrets.token_urlsafe(16)
        with self._lock:
            self._drop()
            self._kept[name] = (time.monotonic(), at, verdict)
            while len(self._kept) > self._count:
                self._kept.popitem(last=False)
        return name

    def get(self, name: str) -> tuple[str, dict[str, Any]] | None:
        """``(at, verdict)``, or None when it was never kept or has been dropped."""
        with self._lock:
            self._drop()
            found = self._kept.get(name)
        return (found[1], found[2]) if found else None

    def receipt(self, name: str, account: str, made: str | None = None) -> str | None:
        """Which receipt an account got for a result; with ``made``, remember it: a second click gives no second receipt."""
        with self._lock:
            if made is not None and name in self._kept:
                self._receipts[name, account] = made
            return self._receipts.get((name, account))

    def _drop(self) -> None:
        limit = time.monotonic() - self._seconds
        while self._kept and next(iter(self._kept.values()))[0] < limit:
            self._kept.popitem(last=False)
        if len(self._receipts) > 2 * self._count:
            self._receipts = {key: made for key, made in self._receipts.items() if key[0] in self._kept}
