"""The structure of one PDF: objects by number, catalog, pages. Sizes, depths and counts are bounded, cycles survived."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from formats.pdf.errors import NoSuchPage, NotAPdf, OutsideCommonCase
from formats.pdf.objects import Budget, Buffer, Parser, Ref, Stream, TopDict
from formats.pdf.xref import CrossReferences, Entry, decode, object_header, read_chain

MAX_PAGES = 100_000
MAX_TREE_DEPTH = 64
MAX_IN_CONTAINER = 100_000
_STARTXREF = re.compile(rb"startxref[\x00\t\n\x0c\r ]+(\d{1,19})")
_TAIL = 2048
INHERITED = (b"/MediaBox", b"/CropBox", b"/Rotate", b"/Resources")


@dataclass(frozen=True, slots=True)
class Page:
    """A page and what it shows.

    :param number: from 1
    :param box: the visible box (crop box within media box) in user space: left, bottom, right, top
    :param rotate: degrees clockwise at which it is displayed: 0, 90, 180, 270
    :param user_unit: length of a unit of user space in 1/72 inch
    """

    number: int
    ref: Ref
    box: tuple[float, float, float, float]
    rotate: int
    user_unit: float


class PdfFile:
    """A PDF opened for reading and for appending.

    :param data: the whole file: bytes or a memory map
    :raises NotAPdf: no header
    :raises OutsideCommonCase: encrypted, damaged or built in a way that this reader leaves to a library
    """

    def __init__(self, data: Buffer) -> None:
        if data.find(b"%PDF-", 0, 1024) < 0:
            raise NotAPdf
        if data[:5] != b"%PDF-":
            raise OutsideCommonCase("something stands before its header")
        self.data = data
        self.budget = Budget()
        self.startxref = self._find_startxref()
        self.references: CrossReferences = read_chain(data, self.startxref, self.budget)
        if self.references.encrypted:
            raise OutsideCommonCase("it is encrypted")
        self.size = self.references.size
        #: Objects that later updates put over the file: number to (generation, text of the object).
        self.overlay: dict[int, tuple[int, bytes]] = {}
        self._containers: dict[int, tuple[bytes, list[int]]] = {}
        self._resolving: set[int] = set()
        root = self.references.trailer.value.get(b"/Root")
        if not isinstance(root, Ref):
            raise OutsideCommonCase("its catalog is missing")
        self.root: Ref = root

    def _find_startxref(self) -> int:
        tail = bytes(self.data[max(0, len(self.data) - _TAIL) :])
        at = tail.rfind(b"startxref")
        match = _STARTXREF.match(tail, at) if at >= 0 else None
        offset = int(match.group(1)) if match else 0
        if not 0 < offset < len(self.data):
            raise OutsideCommonCase("its cross-references cannot be found")
        return offset

    # -- objects

    def _locate(self, number: int) -> tuple[Buffer, int, int] | None:
        """(buffer, offset of the object, generation), or None where there is no such object (which stands for null)."""
        self.budget.spend(1 + (self.references.subsections >> 4))
        if number in self.overlay:
            generation, body = self.overlay[number]
            return body, 0, generation
        for section in self.references.sections:
            entry = section.lookup(number)
            if entry is False:
                return None
            if isinstance(entry, Entry):
                return self._at(number, entry)
        return None

    def _at(self, number: int, entry: Entry) -> tuple[Buffer, int, int]:
        if entry.container:
            data, offsets = self._container(entry.container)
            start = self._index(number, entry.position, offsets)
            return data, start, 0
        found, generation, pos = object_header(self.data, entry.offset)
        if found != number or generation != entry.generation:
            raise OutsideCommonCase("a cross-reference points to another object")
        return self.data, pos, generation

    @staticmethod
    def _index(number: int, index: int, offsets: list[int]) -> int:
        if index * 2 + 1 >= len(offsets) or offsets[index * 2] != number:
            raise OutsideCommonCase("an object stream lacks an object")
        return offsets[index * 2 + 1]

    def _container(self, number: int) -> tuple[bytes, list[int]]:
        """Decoded object stream and its header as number, absolute offset, number, … (ISO 32000-2 §7.5.7)."""
        if number not in self._containers:
            if number in self._resolving or len(self._containers) > 256:
                raise OutsideCommonCase("its object streams contain one another, or are too many")
            self._resolving.add(number)
            stream = self.get(number)
            self._resolving.discard(number)
            if not isinstance(stream, Stream) or stream.dictionary.get(b"/Type") != b"/ObjStm":
                raise OutsideCommonCase("an object stream is missing")
            self._containers[number] = _object_stream(stream, self.budget)
        return self._containers[number]

    def get(self, number: int) -> Any:
        """The object with this number, parsed; None where it is missing or free."""
        located = self._locate(number)
        if located is None:
            return None
        data, start, _ = located
        parser = Parser(data, self.budget)
        value, end = parser.object(start)
        if isinstance(value, dict):
            body = parser.stream_start(end)
            if body is not None:
                return self._stream(value, data, body)
        return value

    def _stream(self, dictionary: dict[bytes, Any], data: Buffer, start: int) -> Stream:
        length = self.resolve(dictionary.get(b"/Length"))
        if not isinstance(length, int) or length < 0 or start + length > len(data):
            raise OutsideCommonCase("a stream's length is wrong")
        if data[start + length : start + length + 12].find(b"endstream") < 0:
            raise OutsideCommonCase("a stream's length is wrong")
        return Stream(dictionary, data, start, length)

    def resolve(self, value: Any) -> Any:
        """Follow references until a value that is none."""
        for _ in range(16):
            if not isinstance(value, Ref):
                return value
            value = self.get(value.num)
        raise OutsideCommonCase("references lead in a circle")

    def top_dict(self, ref: Ref) -> tuple[TopDict, int]:
        """An indirect dictionary with its text, and its generation, ready to be edited."""
        located = self._locate(ref.num)
        if located is None:
            raise OutsideCommonCase("a dictionary is missing where one must be")
        data, start, generation = located
        if generation != ref.gen:
            raise OutsideCommonCase("a reference names another generation")
        parser = Parser(data, self.budget)
        top, end = parser.top_dict(start)
        if parser.stream_start(end) is not None:
            raise OutsideCommonCase("a stream stands where a dictionary must be")
        return top, generation

    # -- catalog and pages

    def catalog(self) -> dict[bytes, Any]:
        return self._dict(self.root, "its catalog is missing")

    def _dict(self, value: Any, otherwise: str) -> dict[bytes, Any]:
        value = self.resolve(value)
        if not isinstance(value, dict):
            raise OutsideCommonCase(otherwise)
        return value

    def page_count(self) -> int:
        """Pages by the tree's own count."""
        count = self.resolve(self._dict(self.catalog().get(b"/Pages"), "it has no pages").get(b"/Count"))
        if not isinstance(count, int) or not 0 <= count <= MAX_PAGES:
            raise OutsideCommonCase("its page count is missing or absurd")
        return count

    def page(self, number: int) -> Page:
        """Page ``number``, from 1.

        :raises NoSuchPage: beyond the last
        """
        root = self.catalog().get(b"/Pages")
        node = self._dict(root, "it has no pages")
        count = self.resolve(node.get(b"/Count"))
        if not isinstance(count, int) or not 0 <= count <= MAX_PAGES:
            raise OutsideCommonCase("its page count is missing or absurd")
        if not 1 <= number <= count:
            raise NoSuchPage(number, count)
        inherited: dict[bytes, Any] = {}
        found = self._descend(root, node, number, inherited)
        return self._page(number, *found, inherited)

    def _descend(
        self, ref: Any, node: dict[bytes, Any], wanted: int, inherited: dict[bytes, Any]
    ) -> tuple[Ref, dict[bytes, Any]]:
        """Walk to the ``wanted``-th leaf below ``node``, gathering inheritable attributes on the way down."""
        for _ in range(MAX_TREE_DEPTH):
            kids = self.resolve(node.get(b"/Kids"))
            if not isinstance(kids, list):
                if wanted == 1 and isinstance(ref, Ref) and node.get(b"/Type") == b"/Page":
                    return ref, node
                raise OutsideCommonCase("its page tree is malformed")
            inherited.update({key: node[key] for key in INHERITED if key in node})
            ref, node, wanted = self._child(node, kids, wanted)
        raise OutsideCommonCase("its page tree is too deep, or circular")

    def _child(self, node: dict[bytes, Any], kids: list[Any], wanted: int) -> tuple[Any, dict[bytes, Any], int]:
        """The kid that holds the ``wanted``-th leaf, and that leaf's position within it."""
        if node.get(b"/Count") == len(kids) and self._all_leaves(kids[:wanted]):
            return kids[wanted - 1], self._dict(kids[wanted - 1], "its page tree is malformed"), 1
        for kid in kids:
            child = self._dict(kid, "its page tree is malformed")
            leaves = self.resolve(child.get(b"/Count", 0)) if b"/Kids" in child else 1
            if not isinstance(leaves, int) or leaves < 0:
                raise OutsideCommonCase("its page tree is malformed")
            if wanted <= leaves:
                return kid, child, wanted
            wanted -= leaves
        raise OutsideCommonCase("its page tree is malformed")

    def _all_leaves(self, kids: list[Any]) -> bool:
        """Whether these kids are plainly pages, told from their text without parsing them."""
        for kid in kids:
            located = self._locate(kid.num) if isinstance(kid, Ref) else None
            if located is None:
                return False
            data, start, _ = located
            if data is not self.data:
                return False
            end = data.find(b"endobj", start, start + 16384)
            self.budget.spend(1)
            if end < 0 or data.find(b"/Kids", start, end) >= 0:
                return False
        return True

    def _page(self, number: int, ref: Ref, node: dict[bytes, Any], inherited: dict[bytes, Any]) -> Page:
        attributes = {**inherited, **{key: node[key] for key in INHERITED if key in node}}
        media = self._box(attributes.get(b"/MediaBox"))
        if media is None:
            raise OutsideCommonCase("a page has no size")
        crop = self._box(attributes.get(b"/CropBox")) or media
        box = (max(media[0], crop[0]), max(media[1], crop[1]), min(media[2], crop[2]), min(media[3], crop[3]))
        if box[2] - box[0] <= 0 or box[3] - box[1] <= 0:
            box = media
        rotate = self.resolve(attributes.get(b"/Rotate", 0))
        unit = self.resolve(node.get(b"/UserUnit", 1))
        if not isinstance(rotate, int) or rotate % 90:
            rotate = 0
        if not isinstance(unit, (int, float)) or not 0.001 <= unit <= 10_000:
            unit = 1
        return Page(number, ref, box, rotate % 360, float(unit))

    def _box(self, value: Any) -> tuple[float, float, float, float] | None:
        value = self.resolve(value)
        if not isinstance(value, list) or len(value) != 4:
            return None
        numbers = [self.resolve(item) for item in value]
        if not all(isinstance(n, (int, float)) and abs(n) < 1e7 for n in numbers):
            return None
        x0, y0, x1, y1 = (float(n) for n in numbers)
        box = (min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))
        return box if box[2] > box[0] and box[3] > box[1] else None


def _object_stream(stream: Stream, budget: Budget) -> tuple[bytes, list[int]]:
    count, first = stream.dictionary.get(b"/N"), stream.dictionary.get(b"/First")
    data = decode(stream, budget)
    if (
        not isinstance(count, int)
        or not isinstance(first, int)
        or not 0 <= first <= len(data)
        or not 0 <= count <= min(first, MAX_IN_CONTAINER)
    ):
        raise OutsideCommonCase("an object stream is malformed")
    try:
        header = [int(word) for word in data[:first].split(None, 2 * count)[: 2 * count]]
    except ValueError as exc:
        raise OutsideCommonCase("an object stream is malformed") from exc
    if len(header) != 2 * count or any(not 0 <= at <= len(data) for at in header[1::2]):
        raise OutsideCommonCase("an object stream is malformed")
    header[1::2] = [first + at for at in header[1::2]]
    return data, header
