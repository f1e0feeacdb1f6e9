"""A one-page vector PDF made into a form XObject once and written into many documents (ISO 32000-2 §8.10, §12.5.5)."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from formats.pdf.errors import OutsideCommonCase
from formats.pdf.objects import MAX_DEPTH, Ref, Stream, name, real, serialise
from formats.pdf.reader import PdfFile
from formats.pdf.writer import Appender
from formats.pdf.xref import decode

MAX_STREAMS = 256

#: Matrix of the form so that it stands upright on a page displayed at that rotation (clockwise).
MATRICES = {0: b"1 0 0 1 0 0", 90: b"0 1 -1 0 0 0", 180: b"-1 0 0 -1 0 0", 270: b"0 -1 1 0 0 0"}


@dataclass(frozen=True, slots=True)
class _Piece:
    """A stream to write: its dictionary as text with references to other pieces between the texts, and its data."""

    texts: tuple[bytes, ...]
    links: tuple[int, ...]
    data: bytes

    def head(self, numbers: list[int]) -> bytes:
        parts = [self.texts[0]]
        for link, text in zip(self.links, self.texts[1:], strict=True):
            parts.append(b"%d 0 R" % numbers[link])
            parts.append(text)
        return b"".join(parts)


@dataclass(frozen=True, slots=True)
class Appearance:
    """A form XObject ready to be written: pieces[0] is the form itself; ``width`` and ``height`` are its page's, in points."""

    pieces: tuple[_Piece, ...]
    width: float
    height: float

    def write(self, appender: Appender, rotate: int = 0) -> int:
        """Write the form (upright on a page displayed at ``rotate``) and what it uses; returns the form's object number."""
        numbers = [appender.number() for _ in self.pieces]
        for index, piece in enumerate(self.pieces):
            head = piece.head(numbers)
            if index == 0:
                head += b"/Matrix[%b]" % MATRICES[rotate]
            appender.put_stream(numbers[index], head, piece.data)
        return numbers[0]


def write_slice(appender: Appender, form: int, window: tuple[float, float, float, float], rotate: int) -> int:
    """A form that shows only ``window`` (left, bottom, right, top, in points) of the form with number ``form``."""
    number = appender.number()
    head = b"/Type/XObject/Subtype/Form/BBox%b/Matrix[%b]/Resources<</XObject<</S %d 0 R>>>>"
    appender.put_stream(number, head % (rectangle(window), MATRICES[rotate], form), b"/S Do")
    return number


class _Importer:
    """Turns references inside the resources into links between streams; everything that is no stream is written in place."""

    def __init__(self, pdf: PdfFile) -> None:
        self.pdf = pdf
        self.pieces: list[_Piece | None] = [None]
        self.links: dict[int, int] = {}

    def split(self, value: Any, depth: int = 0) -> tuple[list[bytes], list[int]]:
        """An object as texts with links between them."""
        if depth > MAX_DEPTH:
            raise OutsideCommonCase("the picture's resources are nested too deep")
        if isinstance(value, Ref):
            target = self.pdf.get(value.num)
            if isinstance(target, Stream):
                return [b"", b""], [self.stream(value.num, target)]
            return self.split(target, depth + 1)
        if isinstance(value, dict):
            return self._join(b"<<", b">>", [(name(key) + b" ", item) for key, item in value.items()], depth)
        if isinstance(value, list):
            return self._join(b"[", b"]", [(b" ", item) for item in value], depth)
        return [serialise(value)], []

    def _join(
        self, opening: bytes, closing: bytes, items: list[tuple[bytes, Any]], depth: int
    ) -> tuple[list[bytes], list[int]]:
        texts, links = [opening], []
        for prefix, item in items:
            inner, inner_links = self.split(item, depth + 1)
            texts[-1] += prefix + inner[0]
            texts += inner[1:]
            links += inner_links
        texts[-1] += closing
        return texts, links

    def stream(self, number: int, stream: Stream) -> int:
        """The index of the piece that carries this stream."""
        if number not in self.links:
            if len(self.pieces) >= MAX_STREAMS:
                raise OutsideCommonCase("the picture uses too many streams")
            index = self.links[number] = len(self.pieces)
            self.pieces.append(None)
            self.pieces[index] = self.piece({k: v for k, v in stream.dictionary.items() if k != b"/Length"}, stream.raw())
        return self.links[number]

    def piece(self, dictionary: dict[bytes, Any], data: bytes) -> _Piece:
        texts, links = self.split(dictionary)
        texts[0] = texts[0].removeprefix(b"<<")
        texts[-1] = texts[-1].removesuffix(b">>")
        return _Piece(tuple(texts), tuple(links), data)


@lru_cache(maxsize=256)
def from_pdf(document: bytes) -> Appearance:
    """The first page of ``document`` as an appearance; made once per picture and then reused.

    :raises OutsideCommonCase: the picture's PDF is not of the simple kind that Typst writes
    """
    pdf = PdfFile(document)
    page = pdf.page(1)
    node = pdf.get(page.ref.num)
    content = node.get(b"/Contents")
    target = pdf.resolve(content)
    streams = [pdf.resolve(item) for item in target] if isinstance(target, list) else [target]
    if not all(isinstance(stream, Stream) for stream in streams) or page.rotate:
        raise OutsideCommonCase("the picture's page has no plain content")
    data = zlib.compress(b"\n".join(decode(stream) for stream in streams), 9)
    left, bottom, right, top = page.box
    form: dict[bytes, Any] = {
        b"/Type": b"/XObject",
        b"/Subtype": b"/Form",
        b"/BBox": [left, bottom, right, top],
        b"/Resources": node.get(b"/Resources", {}),
        b"/Filter": b"/FlateDecode",
    }
    if b"/Group" in node:
        form[b"/Group"] = node[b"/Group"]
    importer = _Importer(pdf)
    importer.pieces[0] = importer.piece(form, data)
    return Appearance(tuple(p for p in importer.pieces if p is not None), right - left, top - bottom)


def rectangle(box: tuple[float, float, float, float]) -> bytes:
    """A rectangle as written."""
    return b"[" + b" ".join(real(n) for n in box) + b"]"
