"""PDF objects: a bounded parser that keeps the spans of what it read, and a serialiser (ISO 32000-2 §7.3).

How objects look in Python: ``None``, ``bool``, ``int``, ``float``; a name is ``bytes`` with its slash (``b"/Type"``, escapes
resolved); a string is :class:`PdfString`; a reference is :class:`Ref`; arrays are lists, dictionaries are dicts keyed by names,
and a stream is :class:`Stream`. Positions are offsets into the buffer that was parsed.
"""

from __future__ import annotations

import mmap
import re
from dataclasses import dataclass
from typing import Any, NamedTuple

from formats.pdf.errors import OutsideCommonCase

Buffer = bytes | bytearray | mmap.mmap

MAX_DEPTH = 64
READING_BUDGET = 2_000_000
"""Units of work that reading one file may take: a unit is a token, or 64 bytes passed over; all of it takes some seconds."""

_SKIP = rb"[\x00\t\n\x0c\r ]*+(?:%[^\r\n]*+[\x00\t\n\x0c\r ]*+)*+"
_REGULAR = rb"[^\x00\t\n\x0c\r ()<>\[\]{}/%]"
# One token after white space and comments; possessive quantifiers keep it linear on hostile input. Groups: 1, 2 reference,
# 3 number, 4 name, 5 bracket, 6 hexadecimal string, 7 start of a literal string, 8 keyword.
_TOKEN = re.compile(
    _SKIP + rb"(?:(\d{1,10})[\x00\t\n\x0c\r ]++(\d{1,5})[\x00\t\n\x0c\r ]++R(?!" + _REGULAR + rb")"
    rb"|([+-]?(?:\d++\.?+\d*+|\.\d++))(?!" + _REGULAR + rb")"
    rb"|(/" + _REGULAR + rb"*+)"
    rb"|(<<|>>|\[|\])"
    rb"|<([0-9A-Fa-f\x00\t\n\x0c\r ]*+)>"
    rb"|(\()"
    rb"|(" + _REGULAR + rb"++))"
)
_PAREN = re.compile(rb"[()\\]")
_ESCAPE = re.compile(rb"\\([nrtbf()\\]|[0-7]{1,3}|\r\n|\r|\n|.)", re.S)
_NAME_ESCAPE = re.compile(rb"#([0-9A-Fa-f]{2})")
_STREAM = re.compile(_SKIP + rb"stream(\r\n|\n|\r)")
_KEYWORDS = {b"true": True, b"false": False, b"null": None}


class Ref(NamedTuple):
    """An indirect reference: object and generation number."""

    num: int
    gen: int


@dataclass(frozen=True, slots=True)
class PdfString:
    """A string object, kept as written: ``raw`` with its delimiters."""

    raw: bytes

    def value(self) -> bytes:
        """The bytes it stands for."""
        if self.raw[:1] == b"<":
            digits = re.sub(rb"[\x00\t\n\x0c\r ]", b"", self.raw[1:-1])
            return bytes.fromhex((digits + b"0" * (len(digits) % 2)).decode("ascii"))
        return _ESCAPE.sub(_unescape, self.raw[1:-1])

    def text(self) -> str:
        """The text it stands for (ISO 32000-2 §7.9.2.2)."""
        value = self.value()
        if value.startswith(b"\xfe\xff"):
            return value[2:].decode("utf-16-be", "replace")
        if value.startswith(b"\xef\xbb\xbf"):
            return value[3:].decode("utf-8", "replace")
        return value.decode("latin-1")


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream: its dictionary and where its raw (still encoded) bytes lie."""

    dictionary: dict[bytes, Any]
    data: Buffer
    start: int
    length: int

    def raw(self) -> bytes:
        return bytes(self.data[self.start : self.start + self.length])


@dataclass(frozen=True, slots=True)
class TopDict:
    """A dictionary with its text and the spans of its values, so that it can be changed without being rewritten.

    :param raw: from ``<<`` to ``>>`` inclusive
    :param spans: key to (start, end) of its value within ``raw``
    """

    raw: bytes
    value: dict[bytes, Any]
    spans: dict[bytes, tuple[int, int]]

    def edited(self, edits: dict[bytes, bytes]) -> bytes:
        """The text with some entries set to the given serialised values; everything else stays byte for byte."""
        raw = self.raw
        fresh = b"".join(b"%b %b" % (key, value) for key, value in edits.items() if key not in self.spans)
        if fresh:
            raw = raw[:-2] + b"\n" + fresh + b">>"
        for start, end, value in sorted(
            ((*self.spans[key], value) for key, value in edits.items() if key in self.spans), reverse=True
        ):
            raw = raw[:start] + b" " + value + raw[end:]
        return raw


def _unescape(match: re.Match[bytes]) -> bytes:
    token = match.group(1)
    simple = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"f": b"\f", b"\r\n": b"", b"\r": b"", b"\n": b""}
    if token in simple:
        return simple[token]
    if token[:1].isdigit() and token[0] < 0x38:
        return bytes([int(token, 8) & 0xFF])
    return token


class Budget:
    """What may still be spent on one file, so that overlapping or repeated structures cannot make reading it endless."""

    __slots__ = ("left",)

    def __init__(self, units: int = READING_BUDGET) -> None:
        self.left = units

    def spend(self, units: int) -> None:
        """:raises OutsideCommonCase: nothing is left"""
        self.left -= units
        if self.left < 0:
            raise OutsideCommonCase("it takes too much work to read")


class Parser:
    """Reads objects out of one buffer, bounded by :data:`MAX_DEPTH` and a :class:`Budget`."""

    def __init__(self, data: Buffer, budget: Budget | None = None) -> None:
        self.data = data
        self.budget = budget or Budget()

    def object(self, pos: int, depth: int = 0) -> tuple[Any, int]:
        """The object at ``pos`` and the offset after it.

        :raises OutsideCommonCase: no object there, or nested too deep, or too long
        """
        match = _TOKEN.match(self.data, pos)
        if match is None or depth > MAX_DEPTH:
            raise OutsideCommonCase("an object cannot be read, or is nested too deep")
        kind = match.lastindex
        end = match.end()
        self.budget.spend(1 + ((end - pos) >> 6))
        if kind == 4:
            return _name(match.group(4)), end
        if kind == 2:
            return Ref(int(match.group(1)), int(match.group(2))), end
        if kind == 3:
            return _number(match.group(3)), end
        if kind == 5:
            bracket = match.group(5)
            if bracket == b"<<":
                return self._dictionary(end, depth)
            if bracket == b"[":
                return self._array(end, depth)
        elif kind == 6:
            return PdfString(bytes(self.data[match.start(6) - 1 : end])), end
        elif kind == 7:
            return self._literal(match.start(7))
        elif match.group(8) in _KEYWORDS:
            return _KEYWORDS[match.group(8)], end
        raise OutsideCommonCase("an object cannot be read")

    def top_dict(self, pos: int) -> tuple[TopDict, int]:
        """The dictionary at ``pos`` with the spans of its values; a key that comes twice is refused."""
        match = _TOKEN.match(self.data, pos)
        if match is None or match.group(5) != b"<<":
            raise OutsideCommonCase("a dictionary is missing where one must be")
        base = match.start(5)
        value: dict[bytes, Any] = {}
        spans: dict[bytes, tuple[int, int]] = {}
        pos = match.end()
        while (key := self._key(pos)) is not None:
            item, end = self.object(key.end(), 1)
            name = _name(key.group(4))
            if name in value:
                raise OutsideCommonCase("a dictionary names one key twice")
            value[name] = item
            spans[name] = (key.end() - base, end - base)
            pos = end
        end = self._close(pos)
        return TopDict(bytes(self.data[base:end]), value, spans), end

    def _key(self, pos: int) -> re.Match[bytes] | None:
        self.budget.spend(1)
        match = _TOKEN.match(self.data, pos)
        if match is None or (match.lastindex != 4 and match.group(5) != b">>"):
            raise OutsideCommonCase("a dictionary's key is not a name")
        return match if match.lastindex == 4 else None

    def _close(self, pos: int) -> int:
        match = _TOKEN.match(self.data, pos)
        assert match is not None
        return match.end()

    def _dictionary(self, pos: int, depth: int) -> tuple[dict[bytes, Any], int]:
        result: dict[bytes, Any] = {}
        while True:
            match = _TOKEN.match(self.data, pos)
            if match is None:
                raise OutsideCommonCase("a dictionary does not end")
            if match.lastindex != 4:
                if match.group(5) == b">>":
                    return result, match.end()
                raise OutsideCommonCase("a dictionary's key is not a name")
            self.budget.spend(1 + ((match.end() - pos) >> 6))
            value, pos = self.object(match.end(), depth + 1)
            result[_name(match.group(4))] = value

    def _array(self, pos: int, depth: int) -> tuple[list[Any], int]:
        result: list[Any] = []
        while True:
            match = _TOKEN.match(self.data, pos)
            if match is not None and match.group(5) == b"]":
                return result, match.end()
            value, pos = self.object(pos, depth + 1)
            result.append(value)

    def _literal(self, start: int) -> tuple[PdfString, int]:
        level, pos = 1, start + 1
        while level:
            match = _PAREN.search(self.data, pos)
            if match is None:
                raise OutsideCommonCase("a string does not end")
            self.budget.spend(1 + ((match.end() - pos) >> 6))
            pos = match.end()
            sign = match.group()
            if sign == b"\\":
                pos += 1
            else:
                level += 1 if sign == b"(" else -1
        return PdfString(bytes(self.data[start:pos])), pos

    def stream_start(self, pos: int) -> int | None:
        """Offset of a stream's first byte when the keyword follows at ``pos``, else None."""
        match = _STREAM.match(self.data, pos)
        return match.end() if match else None


def _name(token: bytes) -> bytes:
    return _NAME_ESCAPE.sub(lambda m: bytes([int(m.group(1), 16)]), token) if b"#" in token else token


def _number(token: bytes) -> int | float:
    if b"." in token:
        return float(token) if token.strip(b"+-") != b"." else 0.0
    return int(token) if len(token) < 20 else float(token)


def name(token: bytes) -> bytes:
    """A name as written: irregular bytes escaped (ISO 32000-2 §7.3.5)."""
    return b"/" + re.sub(rb"[^!-~]|[#()<>\[\]{}/%]", lambda m: b"#%02x" % m.group()[0], token[1:])


def text_string(text: str) -> bytes:
    """A text string as written: a plain literal where ASCII suffices, else UTF-16BE in hexadecimal."""
    if text.isascii() and text.isprintable():
        return b"(" + re.sub(rb"([()\\])", rb"\\\1", text.encode("ascii")) + b")"
    return b"<FEFF" + text.encode("utf-16-be").hex().upper().encode("ascii") + b">"


def real(number: float) -> bytes:
    """A number as written: at most four decimals, no exponent."""
    return f"{number:.4f}".rstrip("0").rstrip(".").encode("ascii") if number % 1 else b"%d" % int(number)


def ref(number: int, generation: int = 0) -> bytes:
    """A reference as written."""
    return b"%d %d R" % (number, generation)


def serialise(value: Any, depth: int = 0) -> bytes:
    """An object as written; streams are not objects of their own here and are refused.

    :raises OutsideCommonCase: a stream, or nested too deep
    """
    if depth > MAX_DEPTH:
        raise OutsideCommonCase("an object is nested too deep")
    if isinstance(value, dict):
        return b"<<" + b"".join(name(k) + b" " + serialise(v, depth + 1) for k, v in value.items()) + b">>"
    if isinstance(value, list):
        return b"[" + b" ".join(serialise(v, depth + 1) for v in value) + b"]"
    if isinstance(value, Ref):
        return ref(*value)
    if isinstance(value, PdfString):
        return value.raw
    if isinstance(value, bytes):
        return name(value)
    if value is None or isinstance(value, bool):
        return {None: b"null", True: b"true", False: b"false"}[value]
    if isinstance(value, (int, float)):
        return real(value)
    raise OutsideCommonCase("an object cannot be written")
