"""What goes over the signer's socket: frames of a four-byte big-endian length and one CBOR map (RFC 8949).

Request: ``{"op": …, …}``. Answer: ``{"ok": true, "value": …}`` or ``{"ok": false, "error": {code, message, message_zh,
detail}}``.
"""

from __future__ import annotations

import io
import socket
import struct
from typing import Any

import cbor2

from crypto.errors import XinyinError
from hsm.custody import MAX_MESSAGE
from hsm.errors import FrameRefused
from hsm.schemas import Use
from store.intents import Attempt

MAX_FRAME = MAX_MESSAGE + 65536
_LENGTH = struct.Struct(">I")


def send(connection: socket.socket, value: dict[str, Any]) -> None:
    """:raises FrameRefused: over the limit"""
    body = cbor2.dumps(value)
    if len(body) > MAX_FRAME:
        raise _refused("it is over 16 MiB")
    connection.sendall(_LENGTH.pack(len(body)) + body)


def receive(connection: socket.socket) -> dict[str, Any] | None:
    """The next frame; None where the other side has closed between frames.

    :raises FrameRefused: too long, or no CBOR map
    :raises ConnectionError: the other side closed within a frame
    """
    head = _exactly(connection, _LENGTH.size, may_end=True)
    if not head:
        return None
    (length,) = _LENGTH.unpack(head)
    if length > MAX_FRAME:
        raise _refused("it is over 16 MiB")
    body = _exactly(connection, length)
    try:
        stream = io.BytesIO(body)
        value = cbor2.load(stream)
    except (cbor2.CBORDecodeError, ValueError, OverflowError, RecursionError) as exc:
        raise _refused("it is not CBOR") from exc
    if not isinstance(value, dict) or stream.tell() != length:
        raise _refused("it is not one CBOR map")
    return value


def _exactly(connection: socket.socket, count: int, *, may_end: bool = False) -> bytes:
    parts: list[bytes] = []
    missing = count
    while missing:
        part = connection.recv(min(missing, 1 << 20))
        if not part:
            if may_end and missing == count:
                return b""
            raise ConnectionError("the connection ended within a frame")
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def pack_use(use: Use) -> Any:
    """An attempt as a map, a routine word as it is."""
    if isinstance(use, Attempt):
        return {"intent": use.intent_id, "attempt": use.number, "lease": use.token}
    return use


def unpack_use(value: object) -> Use:
    """:raises FrameRefused: neither"""
    if isinstance(value, str) and 0 < len(value) <= 32:
        return value
    if isinstance(value, dict):
        intent, number, token = value.get("intent"), value.get("attempt"), value.get("lease")
        if isinstance(intent, str) and isinstance(number, int) and isinstance(token, str):
            return Attempt(intent, number, token)
    raise _refused("its use is neither a word nor an attempt")


class RemoteRefusal(XinyinError):
    """An error of the signer's that this process has no class for."""


def pack_error(exc: XinyinError) -> dict[str, Any]:
    return {"ok": False, "error": exc.to_dict()}


def unpack_error(error: dict[str, Any]) -> XinyinError:
    """The error as the class of its code, so that callers may catch it by name."""
    kind = _classes().get(str(error.get("code")), RemoteRefusal)
    detail = {str(key): value for key, value in (error.get("detail") or {}).items()}
    words = str(error.get("message")), str(error.get("message_zh"))
    try:
        return kind(*words, **detail)
    except TypeError:  # a class with a constructor of its own
        return RemoteRefusal(*words, **detail)


def _classes() -> dict[str, type[XinyinError]]:
    found: dict[str, type[XinyinError]] = {}
    waiting: list[type[XinyinError]] = [XinyinError]
    while waiting:
        kind = waiting.pop()
        found.setdefault(kind.code, kind)
        waiting.extend(kind.__subclasses__())
    return found


def _refused(why: str) -> FrameRefused:
    return FrameRefused(
        f"A message to or from the signer was refused: {why}.", "与签名进程之间的消息被拒绝：长度或格式不符合要求。", why=why
    )
