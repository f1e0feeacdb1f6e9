"""Identifiers of rows: a word and 26 characters that sort by time and cannot be guessed."""

from __future__ import annotations

import secrets
import threading
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32, lower case: no i, l, o, u
_RANDOM_BITS = 72

_lock = threading.Lock()
_last = 0


def new_id(prefix: str) -> str:
    """``prefix_`` and 26 characters: 58 bits of microseconds since 1970 and 72 random bits.

    New rows land beside each other in an index, yet an identifier says nothing about how many there are. Identifiers made one
    after another in a process sort in that order, whatever the clock does.
    """
    global _last
    with _lock:
        _last = moment = max(time.time_ns() // 1000, _last + 1)
    value = moment << _RANDOM_BITS | secrets.randbits(_RANDOM_BITS)
    digits = (value >> shift & 31 for shift in range(125, -1, -5))
    return f"{prefix}_" + "".join(_ALPHABET[digit] for digit in digits)
