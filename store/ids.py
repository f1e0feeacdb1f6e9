"""Identifiers of rows: a word and 26 characters that sort by time and cannot be guessed."""

from __future__ import annotations

import secrets
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32, lower case: no i, l, o, u
_TIME_BITS, _RANDOM_BITS = 48, 80


def new_id(prefix: str) -> str:
    """``prefix_`` and 26 characters: 48 bits of milliseconds since 1970, 80 random bits (the layout of a ULID).

    New rows land beside each other in an index, yet an identifier says nothing about how many there are.
    """
    value = (time.time_ns() // 1_000_000) << _RANDOM_BITS | secrets.randbits(_RANDOM_BITS)
    digits = (value >> shift & 31 for shift in range(125, -1, -5))
    return f"{prefix}_" + "".join(_ALPHABET[digit] for digit in digits)
