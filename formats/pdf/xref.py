"""Cross-reference tables and streams, looked up lazily (ISO 32000-2 §7.5.4, §7.5.8)."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from typing import Any, NamedTuple

from formats.pdf.errors import OutsideCommonCase
from formats.pdf.objects import Budget, Buffer, Parser, Ref, Stream, TopDict

MAX_SECTIONS = 1024
MAX_SUBSECTIONS = 50_000
MAX_OBJECTS = 8_388_607
MAX_DECODED = 64 * 1024 * 1024

_TABLE = re.compile(rb"[\x00\t\n\x0c\r ]{0,1024}+xref[\x00\t\n\x0c\r ]{1,1024}+")
_SUBSECTION = re.compile(rb"(\d{1,10})[ \t]+(\d{1,10})[ \t]*(?:\r\n|\r|\n)")
_TRAILER = re.compile(rb"[\x00\t\n\x0c\r ]{0,1024}+trailer")
_ENTRY = re.compile(rb"(\d{10}) (\d{5}) ([nf])(?: \r| \n|\r\n)")
_ENTRIES = re.compile(rb"(?:\d{10} \d{5} [nf](?: \r| \n|\r\n))*+")
_OBJECT = re.compile(rb"[\x00\t\n\x0c\r ]{0,1024}+(\d{1,10})[\x00\t\n\x0c\r ]{1,64}+(\d{1,5})[\x00\t\n\x0c\r ]{1,64}+obj")


class Entry(NamedTuple):
    """Where an object is: at ``offset`` of the file, or as number ``position`` in object stream ``container``."""

    offset: int
    generation: int
    container: int
    position: int


@dataclass(frozen=True, slots=True)
class Table:
    """A classic section: (first number, count, offset of the first 20-byte entry) per subsection."""

    data: Buffer
    subsections: list[tuple[int, int, int]]

    @property
    def size(self) -> int:
        return max((first + count for first, count, _ in self.subsections), default=0)

    def is_tidy(self) -> bool:
        """Whether every entry is written as the standard says; other readers stumble over one that they do not even need."""
        return all(_ENTRIES.fullmatch(self.data, offset, offset + 20 * count) for _, count, offset in self.subsections)

    def lookup(self, number: int) -> Entry | bool | None:
        """The entry; False where the object is free; None where this section says nothing of it."""
        for first, count, offset in self.subsections:
            if first <= number < first + count:
                match = _ENTRY.match(self.data, offset + 20 * (number - first))
                if match is None:
                    raise OutsideCommonCase("a cross-reference entry is malformed")
                if match.group(3) == b"f":
                    return False
                return Entry(int(match.group(1)), int(match.group(2)), 0, 0)
        return None


@dataclass(frozen=True, slots=True)
class StreamSection:
    """A cross-reference stream, decoded: (first number, count, offset of the first row) per subsection."""

    rows: bytes
    widths: tuple[int, int, int]
    subsections: list[tuple[int, int, int]]

    @property
    def size(self) -> int:
        return max((first + count for first, count, _ in self.subsections), default=0)

    def lookup(self, number: int) -> Entry | bool | None:
        """As :meth:`Table.lookup`."""
        for first, count, offset in self.subsections:
            if first <= number < first + count:
                return self._row(offset + sum(self.widths) * (number - first))
        return None

    def _row(self, at: int) -> Entry | bool | None:
        w0, w1, w2 = self.widths
        kind = int.from_bytes(self.rows[at : at + w0], "big") if w0 else 1
        second = int.from_bytes(self.rows[at + w0 : at + w0 + w1], "big")
        third = int.from_bytes(self.rows[at + w0 + w1 : at + w0 + w1 + w2], "big")
        if kind == 0:
            return False
        if kind == 1:
            return Entry(second, third, 0, 0)
        return Entry(0, 0, second, third) if kind == 2 else None


Section = Table | StreamSection


@dataclass(frozen=True, slots=True)
class CrossReferences:
    """The whole chain, newest section first, and the newest trailer."""

    sections: list[Section]
    trailer: TopDict
    is_stream: bool
    encrypted: bool
    subsections: int

    def is_tidy(self) -> bool:
        """See :meth:`Table.is_tidy`."""
        return all(section.is_tidy() for section in self.sections if isinstance(section, Table))

    @property
    def size(self) -> int:
        """One more than the highest object number in use."""
        declared = self.trailer.value.get(b"/Size")
        if not isinstance(declared, int) or not 0 < declared <= MAX_OBJECTS:
            raise OutsideCommonCase("its object count is missing or absurd")
        size = max(declared, max(section.size for section in self.sections))
        if size > MAX_OBJECTS:
            raise OutsideCommonCase("its object count is absurd")
        return size


def read_chain(data: Buffer, start: int, budget: Budget) -> CrossReferences:
    """Follow the chain of sections from ``start`` (the newest).

    :raises OutsideCommonCase: broken, circular or endless
    """
    sections: list[Section] = []
    newest: tuple[TopDict, bool] | None = None
    seen: set[int] = set()
    encrypted = False
    offset: int | None = start
    while offset is not None:
        section, trailer, is_stream = _section(data, _unseen(offset, seen), budget)
        hidden = None if is_stream else _link(trailer, b"/XRefStm", data)
        if hidden is not None:
            # A hybrid section: its stream tells of objects that its table calls free (ISO 32000-2 §7.5.8.4).
            sections.append(_stream_section(data, _unseen(hidden, seen), budget)[0])
        sections.append(section)
        newest = newest or (trailer, is_stream)
        encrypted = encrypted or b"/Encrypt" in trailer.value
        offset = _link(trailer, b"/Prev", data)
    subsections = sum(len(section.subsections) for section in sections)
    if subsections > MAX_SUBSECTIONS:
        raise OutsideCommonCase("its cross-references are in too many pieces")
    assert newest is not None
    return CrossReferences(sections, newest[0], newest[1], encrypted, subsections)


def _unseen(offset: int, seen: set[int]) -> int:
    if offset in seen or len(seen) >= MAX_SECTIONS:
        raise OutsideCommonCase("its cross-reference chain does not end")
    seen.add(offset)
    return offset


def _link(trailer: TopDict, key: bytes, data: Buffer) -> int | None:
    link = trailer.value.get(key)
    if link is None:
        return None
    if not isinstance(link, int) or not 0 < link < len(data):
        raise OutsideCommonCase("its cross-reference chain is broken")
    return link


def _section(data: Buffer, offset: int, budget: Budget) -> tuple[Section, TopDict, bool]:
    match = _TABLE.match(data, offset)
    if match:
        table, end = _table(data, match.end(), budget)
        trailer, _ = Parser(data, budget).top_dict(end)
        return table, trailer, False
    return _stream_section(data, offset, budget)


def _table(data: Buffer, pos: int, budget: Budget) -> tuple[Table, int]:
    subsections: list[tuple[int, int, int]] = []
    while match := _SUBSECTION.match(data, pos):
        budget.spend(1)
        first, count = int(match.group(1)), int(match.group(2))
        pos = match.end() + 20 * count
        if pos > len(data) or len(subsections) > MAX_SUBSECTIONS:
            raise OutsideCommonCase("its cross-reference table is longer than the file")
        subsections.append((first, count, match.end()))
    end = _TRAILER.match(data, pos)
    if end is None:
        raise OutsideCommonCase("its cross-reference table is malformed")
    return Table(data, subsections), end.end()


def object_header(data: Buffer, offset: int) -> tuple[int, int, int]:
    """``N G obj`` at ``offset``: (number, generation, offset after it)."""
    match = _OBJECT.match(data, offset)
    if match is None:
        raise OutsideCommonCase("a cross-reference points to no object")
    return int(match.group(1)), int(match.group(2)), match.end()


def _stream_section(data: Buffer, offset: int, budget: Budget) -> tuple[StreamSection, TopDict, bool]:
    _, _, pos = object_header(data, offset)
    parser = Parser(data, budget)
    trailer, end = parser.top_dict(pos)
    start = parser.stream_start(end)
    length = trailer.value.get(b"/Length")
    if trailer.value.get(b"/Type") != b"/XRef" or start is None or not isinstance(length, int) or length < 0:
        raise OutsideCommonCase("its cross-references cannot be found")
    rows = decode(Stream(trailer.value, data, start, length), budget)
    widths = trailer.value.get(b"/W")
    if not isinstance(widths, list) or len(widths) != 3 or not all(isinstance(w, int) and 0 <= w <= 8 for w in widths):
        raise OutsideCommonCase("its cross-reference stream is malformed")
    index = trailer.value.get(b"/Index", [0, trailer.value.get(b"/Size")])
    return StreamSection(rows, (widths[0], widths[1], widths[2]), _index(index, sum(widths), len(rows))), trailer, True


def _index(index: Any, width: int, length: int) -> list[tuple[int, int, int]]:
    if not isinstance(index, list) or len(index) % 2 or not all(isinstance(n, int) and n >= 0 for n in index) or not width:
        raise OutsideCommonCase("its cross-reference stream is malformed")
    subsections, at = [], 0
    for first, count in zip(index[::2], index[1::2], strict=True):
        subsections.append((first, count, at))
        at += count * width
        if at > length:
            raise OutsideCommonCase("its cross-reference stream is too short")
    return subsections


def decode(stream: Stream, budget: Budget | None = None) -> bytes:
    """Decoded bytes of a stream that has no filter, or FlateDecode with or without a PNG predictor.

    :raises OutsideCommonCase: another filter, damaged data, or more than :data:`MAX_DECODED` bytes
    """
    filters = stream.dictionary.get(b"/Filter")
    parameters = stream.dictionary.get(b"/DecodeParms")
    if isinstance(filters, list):
        if len(filters) > 1:
            raise OutsideCommonCase("a structural stream has several filters")
        filters = filters[0] if filters else None
        parameters = parameters[0] if isinstance(parameters, list) and parameters else None
    budget = budget or Budget()
    budget.spend(stream.length >> 6)
    if filters is None:
        return stream.raw()
    if filters != b"/FlateDecode" or isinstance(filters, Ref):
        raise OutsideCommonCase("a structural stream has an unusual filter")
    try:
        inflater = zlib.decompressobj()
        decoded = inflater.decompress(stream.raw(), MAX_DECODED)
    except zlib.error as exc:
        raise OutsideCommonCase("a structural stream is damaged") from exc
    if inflater.unconsumed_tail or not inflater.eof:
        raise OutsideCommonCase("a structural stream is damaged or too large")
    budget.spend(len(decoded) >> 6)
    return _unpredict(decoded, parameters, budget) if isinstance(parameters, dict) else decoded


def _unpredict(data: bytes, parameters: dict[bytes, Any], budget: Budget) -> bytes:
    """Undo a PNG predictor on rows of bytes (types None, Sub and Up are what writers use for these streams)."""
    predictor = parameters.get(b"/Predictor", 1)
    if predictor == 1:
        return data
    columns = parameters.get(b"/Columns", 1)
    simple = parameters.get(b"/Colors", 1) == 1 and parameters.get(b"/BitsPerComponent", 8) == 8
    if not simple or not isinstance(predictor, int) or predictor < 10 or not isinstance(columns, int) or not 0 < columns <= 64:
        raise OutsideCommonCase("a structural stream has an unusual predictor")
    budget.spend(len(data) // (columns + 1))
    out = bytearray()
    previous = bytes(columns)
    for at in range(0, len(data) - columns, columns + 1):
        row = data[at + 1 : at + 1 + columns]
        kind = data[at]
        if kind == 2:
            row = bytes([(a + b) & 0xFF for a, b in zip(row, previous, strict=True)])
        elif kind == 1:
            line, left = bytearray(), 0
            for byte in row:
                left = (byte + left) & 0xFF
                line.append(left)
            row = bytes(line)
        elif kind:
            raise OutsideCommonCase("a structural stream has an unusual predictor")
        out += row
        previous = row
    return bytes(out)
