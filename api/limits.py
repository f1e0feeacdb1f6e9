"""Limits on what comes in: bytes by address, and requests by caller."""

from __future__ import annotations

import re
import threading
import time

from policies.limits import DOCUMENT_BYTES, REQUEST_BYTES

_FORM_OVERHEAD = 64 << 10
_WITH_FILES = re.compile(r"/api/v1/applications/[a-z0-9_]{1,64}/(amend|deliver)")
_RECEIPT_BYTES = 16 << 20
_DOCUMENTS = frozenset(
    {
        "/verify",
        "/desk/new",
        "/audit/trace",
        "/api/v1/applications",
        "/api/v1/audit/traces",
        "/api/v1/impressions",
        "/api/v1/verifications",
    }
)
"""Where documents are handed in."""


def body_limit(path: str) -> int:
    """Bytes that a request body to ``path`` may have."""
    if path in ("/ocsp", "/tsa"):
        return 64 << 10
    if path in _DOCUMENTS or _WITH_FILES.fullmatch(path):
        return DOCUMENT_BYTES + _FORM_OVERHEAD
    if path.startswith("/desk/application_"):  # a picture of a receipt comes with a delivery
        return _RECEIPT_BYTES + _FORM_OVERHEAD
    return REQUEST_BYTES


class RateLimit:
    """A token bucket per caller, in this process; callers unseen for long are forgotten."""

    def __init__(self, *, per_second: float, burst: int, callers: int = 10_000) -> None:
        self._rate = per_second
        self._burst = float(burst)
        self._callers = callers
        self._lock = threading.Lock()
        self._buckets: dict[str, tuple[float, float]] = {}

    def allow(self, caller: str, *, now: float | None = None) -> bool:
        """Take one token of ``caller``; False when none is left."""
        at = time.monotonic() if now is None else now
        with self._lock:
            tokens, seen = self._buckets.pop(caller, (self._burst, at))
            tokens = min(self._burst, tokens + (at - seen) * self._rate)
            allowed = tokens >= 1.0
            self._buckets[caller] = (tokens - 1.0 if allowed else tokens, at)
            while len(self._buckets) > self._callers:
                self._buckets.pop(next(iter(self._buckets)))
        return allowed
