"""Reading the few kinds of CBOR that codes and status lists use (RFC 8949), bounded.

General readers turn some tags into numbers of any size (a few bytes ask for gigabytes); this one knows integers, byte and text
strings, arrays, maps, true, false, null and bare tags, of definite length, :data:`MAX_DEPTH` levels deep. What it returns is no
larger than what it was given. Writing is ``cbor2``'s (canonical: shortest integers, keys in order).
"""

from __future__ import annotations

from typing import Any

import cbor2

MAX_DEPTH = 6
_SIMPLE = {20: False, 21: True, 22: None}


class Malformed(ValueError):
    """Bytes that are no CBOR, or CBOR of a kind that nothing here uses."""


def write(value: Any) -> bytes:
    """The value as canonical CBOR (RFC 8949 §4.2.1)."""
    return cbor2.dumps(value, canonical=True)


def read(data: bytes) -> Any:
    """One item and nothing behind it; tags come as :class:`cbor2.CBORTag`. :raises Malformed: anything else"""
    value, end = _item(data, 0, 0)
    if end != len(data):
        raise Malformed("something follows the item")
    return value


def _item(data: bytes, at: int, depth: int) -> tuple[Any, int]:
    if depth > MAX_DEPTH or at >= len(data):
        raise Malformed("too deep, or cut off")
    major, size = data[at] >> 5, data[at] & 31
    at += 1
    if major == 7:
        if size not in _SIMPLE:
            raise Malformed("a simple value or a number of another kind")
        return _SIMPLE[size], at
    number, at = _argument(data, at, size)
    if major == 0:
        return number, at
    if major == 1:
        return -1 - number, at
    if number > len(data) - at and major != 6:
        # Every element takes at least a byte, so no honest count is larger than what is left.
        raise Malformed("more is announced than there is")
    if major in (2, 3):
        return _string(data[at : at + number], major), at + number
    if major == 4:
        items = []
        for _ in range(number):
            value, at = _item(data, at, depth + 1)
            items.append(value)
        return items, at
    if major == 5:
        return _map(data, at, number, depth)
    value, at = _item(data, at, depth + 1)
    return cbor2.CBORTag(number, value), at


def _argument(data: bytes, at: int, size: int) -> tuple[int, int]:
    """The number in an item's head: itself below 24, else in the next 1, 2, 4 or 8 bytes."""
    if size < 24:
        return size, at
    if size > 27:
        raise Malformed("indefinite length")
    width = 1 << (size - 24)
    if at + width > len(data):
        raise Malformed("cut off")
    return int.from_bytes(data[at : at + width], "big"), at + width


def _string(raw: bytes, major: int) -> bytes | str:
    try:
        return raw if major == 2 else raw.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise Malformed("text that is not UTF-8") from exc


def _map(data: bytes, at: int, count: int, depth: int) -> tuple[dict[int | str, Any], int]:
    out: dict[int | str, Any] = {}
    for _ in range(count):
        key, at = _item(data, at, depth + 1)
        value, at = _item(data, at, depth + 1)
        # True equals 1 as a key: only real integers and texts are keys, each once.
        if type(key) not in (int, str) or key in out:
            raise Malformed("a key of another kind, or one twice")
        out[key] = value
    return out, at
