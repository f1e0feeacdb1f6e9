"""Canonical JSON: the one byte sequence that stands for a JSON value when it is digested (RFC 8785, without floats)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from crypto.errors import BadInput

_SAFE_INTEGER = 2**53


class NotCanonical(BadInput):
    """A value that has no canonical JSON: a float, a key that is no string, a lone surrogate, an object of our own."""

    code = "not-canonical"


def canonical_json(value: Any) -> str:
    """``value`` as canonical JSON text.

    Keys are sorted by UTF-16 code units, nothing is escaped that need not be, no white space (RFC 8785 §3.2). Integers beyond
    ±2^53 and floats are refused: two implementations could print them differently. Aware datetimes become RFC 3339 in UTC.

    :raises NotCanonical: a value outside that subset
    """
    text = json.dumps(_plain(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as exc:
        raise _refused("text with a lone surrogate") from exc
    return text


def canonical_digest(value: Any) -> str:
    """SHA-256 of the canonical JSON of ``value`` in lower-case hex."""
    return hashlib.sha256(canonical_json(value).encode("utf-8")).hexdigest()


def rfc3339(moment: datetime) -> str:
    """An aware datetime as RFC 3339 in UTC with ``Z``; fractions only where there are any."""
    if moment.tzinfo is None:
        raise _refused("a time without a zone")
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        if not -_SAFE_INTEGER < value < _SAFE_INTEGER:
            raise _refused("an integer beyond 2^53")
        return int(value)
    if isinstance(value, datetime):
        return rfc3339(value)
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise _refused("a key that is no string")
        return {key: _plain(value[key]) for key in sorted(value, key=lambda k: k.encode("utf-16-be", "surrogatepass"))}
    if isinstance(value, (set, frozenset)):
        raise _refused("a set, which has no order")
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray)):
        return [_plain(item) for item in value]
    raise _refused(f"a {type(value).__name__}")


def _refused(what: str) -> NotCanonical:
    return NotCanonical(
        f"This cannot be written as canonical JSON because it contains {what}; use text, whole numbers, lists and objects.",
        "该数据无法写成规范 JSON；请只使用文本、整数、列表与对象。",
        what=what,
    )
