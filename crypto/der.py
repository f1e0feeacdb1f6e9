"""DER by hand (ITU-T X.690 §10): the few encoders and one strict reader that signing and verification need fast.

Whole documents are parsed with asn1crypto; this module is for what is written thousands of times a second (signed
attributes, signatures, TBS_Sign) and for the places where "nearly DER" must not pass.
"""

from __future__ import annotations

from typing import NamedTuple

from crypto.errors import BadInput

INTEGER, BIT_STRING, OCTET_STRING, NULL, OID = 0x02, 0x03, 0x04, 0x05, 0x06
UTF8_STRING, PRINTABLE_STRING, IA5_STRING, UTC_TIME, GENERALIZED_TIME = 0x0C, 0x13, 0x16, 0x17, 0x18
SEQUENCE, SET = 0x30, 0x31


class NotDer(BadInput):
    """Bytes that are not the DER that was expected there."""

    code = "not-der"

    def __init__(self, what: str) -> None:
        super().__init__(
            f"The data is not valid DER: {what}. Ask the sender for the original file.",
            f"数据不是有效的 DER 编码（{what}），请向提供方索取原始文件。",
        )


class Tlv(NamedTuple):
    """One element of a buffer: ``buffer[start:end]`` is the whole element, ``buffer[body:end]`` its content."""

    tag: int
    start: int
    body: int
    end: int


def read(buffer: bytes, start: int = 0, end: int | None = None) -> Tlv:
    """The element at ``start``, which must end by ``end``; definite, minimal lengths and one-byte tags only.

    :raises NotDer: truncated, indefinite or non-minimal length, high tag number
    """
    limit = len(buffer) if end is None else end
    if start + 2 > limit:
        raise NotDer("it ends too early")
    tag, length, body = buffer[start], buffer[start + 1], start + 2
    if tag & 0x1F == 0x1F:
        raise NotDer("a tag number above 30")
    if length >= 0x80:
        count = length & 0x7F
        if count == 0:
            raise NotDer("an indefinite length")
        if count > 4 or body + count > limit:
            raise NotDer("a length that goes beyond the data")
        length = int.from_bytes(buffer[body : body + count], "big")
        if length < 0x80 or length >> (8 * (count - 1)) == 0:
            raise NotDer("a length that is not minimal")
        body += count
    if body + length > limit:
        raise NotDer("a length that goes beyond the data")
    return Tlv(tag, start, body, body + length)


def expect(buffer: bytes, tag: int, start: int = 0, end: int | None = None) -> Tlv:
    """:func:`read`, and the tag must be ``tag``."""
    element = read(buffer, start, end)
    if element.tag != tag:
        raise NotDer(f"tag {element.tag:#04x} where {tag:#04x} belongs")
    return element


def children(buffer: bytes, element: Tlv, limit: int = 10_000) -> list[Tlv]:
    """The elements inside a constructed one.

    :raises NotDer: also when there are more than ``limit``
    """
    found: list[Tlv] = []
    position = element.body
    while position < element.end:
        child = read(buffer, position, element.end)
        found.append(child)
        if len(found) > limit:
            raise NotDer(f"more than {limit} elements")
        position = child.end
    return found


def read_unsigned(buffer: bytes, element: Tlv) -> int:
    """A non-negative INTEGER in minimal encoding (X.690 §8.3.2), of at most 128 bytes (longer ones cannot even be printed).

    :raises NotDer: another tag, empty, negative, padded, or too long
    """
    content = buffer[element.body : element.end]
    if element.tag != INTEGER or not 1 <= len(content) <= 128:
        raise NotDer("no INTEGER where one belongs")
    if content[0] & 0x80:
        raise NotDer("a negative INTEGER")
    if len(content) > 1 and content[0] == 0 and not content[1] & 0x80:
        raise NotDer("a padded INTEGER")
    return int.from_bytes(content, "big")


def tlv(tag: int, content: bytes) -> bytes:
    """Tag, minimal length, content."""
    length = len(content)
    if length < 0x80:
        return bytes((tag, length)) + content
    if length < 0x100:
        return bytes((tag, 0x81, length)) + content
    if length < 0x10000:
        return bytes((tag, 0x82, length >> 8, length & 0xFF)) + content
    size = (length.bit_length() + 7) // 8
    return bytes((tag, 0x80 | size)) + length.to_bytes(size, "big") + content


def sequence(*parts: bytes) -> bytes:
    return tlv(SEQUENCE, b"".join(parts))


def set_of(*parts: bytes) -> bytes:
    """SET OF with its elements in DER order (X.690 §11.6)."""
    return tlv(SET, b"".join(sorted(parts)))


def integer(value: int) -> bytes:
    """INTEGER, also negative ones."""
    return tlv(INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))


def octet_string(value: bytes) -> bytes:
    return tlv(OCTET_STRING, value)


def bit_string(value: bytes) -> bytes:
    """BIT STRING of whole octets."""
    return tlv(BIT_STRING, b"\x00" + value)


def oid(dotted: str) -> bytes:
    """OBJECT IDENTIFIER from dotted decimals."""
    arcs = [int(arc) for arc in dotted.split(".")]
    content = bytearray()
    for arc in (arcs[0] * 40 + arcs[1], *arcs[2:]):
        septets = [arc & 0x7F]
        while arc := arc >> 7:
            septets.append(0x80 | (arc & 0x7F))
        content += bytes(reversed(septets))
    return tlv(OID, bytes(content))


def read_oid(buffer: bytes, element: Tlv) -> str:
    """Dotted decimals of an OBJECT IDENTIFIER.

    :raises NotDer: another tag, or a malformed or absurdly long one
    """
    content = buffer[element.body : element.end]
    if element.tag != OID or not content or content[-1] & 0x80 or len(content) > 128:
        raise NotDer("no OBJECT IDENTIFIER where one belongs")
    values: list[int] = []
    value = 0
    for octet in content:
        value = value << 7 | octet & 0x7F
        if not octet & 0x80:
            values.append(value)
            value = 0
    first = min(values[0] // 40, 2)
    return ".".join(map(str, (first, values[0] - 40 * first, *values[1:])))
