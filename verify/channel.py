"""Frames between the service and its parser process: a length, a JSON header, and the bytes that the header announces.

Nothing but JSON comes back from the process that reads hostile documents, and every length is checked before it is believed.
"""

from __future__ import annotations

import json
import struct
from typing import Any, BinaryIO

MAX_HEADER = 64 * 1024 * 1024
_LENGTHS = struct.Struct(">IQ")


class ChannelClosed(Exception):
    """The other side has gone."""


def send(stream: BinaryIO, header: dict[str, Any], body: bytes | memoryview = b"") -> None:
    """Write one frame. :raises ChannelClosed:"""
    encoded = json.dumps(header, ensure_ascii=False).encode("utf-8", "replace")
    try:
        stream.write(_LENGTHS.pack(len(encoded), len(body)))
        stream.write(encoded)
        stream.write(body)
        stream.flush()
    except (OSError, ValueError) as exc:
        raise ChannelClosed from exc


def receive(stream: BinaryIO, max_body: int) -> tuple[dict[str, Any], bytes]:
    """Read one frame. :raises ChannelClosed: the end, a length over the limits, or no JSON object"""
    size, body_size = _LENGTHS.unpack(_exactly(stream, _LENGTHS.size))
    if size > MAX_HEADER or body_size > max_body:
        raise ChannelClosed
    try:
        header = json.loads(_exactly(stream, size))
    except ValueError as exc:
        raise ChannelClosed from exc
    if not isinstance(header, dict):
        raise ChannelClosed
    return header, _exactly(stream, body_size)


def _exactly(stream: BinaryIO, size: int) -> bytes:
    try:
        data = stream.read(size)
    except (OSError, ValueError) as exc:
        raise ChannelClosed from exc
    if len(data) != size:
        raise ChannelClosed
    return data
