"""From BER to DER lengths (ITU-T X.690 §8.1.3, §10.1): old signers write indefinite or padded lengths; everything
behind this reads DER.

Only lengths change; tags, order and primitive contents stay. Bounded in size, depth and number of elements.
"""

from __future__ import annotations

from crypto import der

MAX_BYTES = 16 << 20
MAX_DEPTH = 40
MAX_ELEMENTS = 200_000


def first_element(data: bytes) -> tuple[bytes, int]:
    """The first element of ``data`` with definite, minimal lengths throughout, and how many bytes it took up in ``data``.

    :raises crypto.der.NotDer: no BER, or beyond the limits
    """
    if len(data) > MAX_BYTES:
        raise der.NotDer(f"more than {MAX_BYTES} bytes")
    encoded, end = _Transcoder(data).element(0, len(data), 0)
    return encoded, end


class _Transcoder:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.count = 0

    def element(self, start: int, limit: int, depth: int) -> tuple[bytes, int]:
        self.count += 1
        if depth > MAX_DEPTH or self.count > MAX_ELEMENTS:
            raise der.NotDer("too deep or too many elements")
        data = self.data
        if start + 2 > limit:
            raise der.NotDer("it ends too early")
        tag, length, body = data[start], data[start + 1], start + 2
        if tag & 0x1F == 0x1F:
            raise der.NotDer("a tag number above 30")
        if length == 0x80:
            if not tag & 0x20:
                raise der.NotDer("an indefinite length of a primitive element")
            return self._indefinite(tag, body, limit, depth)
        if length > 0x80:
            count = length & 0x7F
            if count > 8 or body + count > limit:
                raise der.NotDer("a length that goes beyond the data")
            length = int.from_bytes(data[body : body + count], "big")
            body += count
        end = body + length
        if end > limit:
            raise der.NotDer("a length that goes beyond the data")
        if not tag & 0x20:
            return der.tlv(tag, data[body:end]), end
        parts: list[bytes] = []
        position = body
        while position < end:
            part, position = self.element(position, end, depth + 1)
            parts.append(part)
        return der.tlv(tag, b"".join(parts)), end

    def _indefinite(self, tag: int, position: int, limit: int, depth: int) -> tuple[bytes, int]:
        parts: list[bytes] = []
        while self.data[position : position + 2] != b"\0\0":
            part, position = self.element(position, limit, depth + 1)
            parts.append(part)
        if position + 2 > limit:
            raise der.NotDer("no end of an indefinite length")
        return der.tlv(tag, b"".join(parts)), position + 2
