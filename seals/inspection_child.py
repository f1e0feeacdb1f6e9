"""The process that looks at one document for :mod:`seals.inspection`: limits on itself first, then PDFium and QPDF.

It gets one document and answers questions about it until it is ended; no other document ever comes here, so one that takes
the process over can lie about nothing but itself. It holds no secret and opens no connection.
"""

from __future__ import annotations

import ctypes
import math
import os
import re
import struct
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from io import BytesIO
from typing import Any, BinaryIO

import pikepdf
import pypdfium2 as pdfium

from crypto.errors import XinyinError
from formats.pdf.errors import DamagedBeyondRepair, NotAPdf, OutsideCommonCase, PasswordNeeded
from formats.pdf.reader import PdfFile
from formats.pdf.signing import existing_signatures
from seals.reading import MAX_HITS, Box, Hit, Line, left_open, only_a_page_number, spots
from verify.channel import ChannelClosed, receive, send
from verify.confined import allow_cpu, limit

MAX_DOCUMENT = 256 << 20
MAX_PAGES_SHOWN = 2_000
READ_FROM_START = 200
READ_FROM_END = 100
MAX_PIXELS = 6_000_000
MM = 25.4 / 72
_FINE = 100_000  # device units across a page when a point is asked for: rounding is then far below a micrometre's worth
_COMMENTS = {"/Text", "/FreeText", "/Highlight", "/Underline", "/Squiggly", "/StrikeOut", "/Ink", "/Caret", "/Stamp"}

Answer = tuple[dict[str, Any], bytes]


class Looker:
    """One opened document."""

    def __init__(self, data: bytes) -> None:
        """:raises NotAPdf, PasswordNeeded, DamagedBeyondRepair: it cannot be shown"""
        if data.find(b"%PDF-", 0, 1024) < 0:
            raise NotAPdf
        self.data = data
        try:
            self.document = pdfium.PdfDocument(data)
            self.count = len(self.document)
        except pdfium.PdfiumError as exc:
            if pdfium.raw.FPDF_GetLastError() == pdfium.raw.FPDF_ERR_PASSWORD:
                raise PasswordNeeded from exc
            raise DamagedBeyondRepair(str(exc)) from exc
        if self.count == 0:
            raise DamagedBeyondRepair("no pages")
        with suppress(pdfium.PdfiumError):
            self.document.init_forms()  # without it PDFium leaves out what form fields and earlier seals show
        self.qpdf = self._opened_by_qpdf()

    def _opened_by_qpdf(self) -> pikepdf.Pdf | None:
        try:
            return pikepdf.open(BytesIO(self.data))
        except (pikepdf.PdfError, pikepdf.PasswordError, ValueError, RuntimeError):
            return None

    # -- the questions

    def draw(self, page: int, width: int) -> Answer:
        """A page as PNG, ``width`` pixels across (fewer where the page is very long)."""
        sheet = self.document[page - 1]
        across, down = sheet.get_size()
        scale = min(width / across, math.sqrt(MAX_PIXELS / max(1.0, across * down)))
        bitmap = sheet.render(scale=scale, rev_byteorder=True, draw_annots=True, may_draw_forms=True)
        drawn = _png(bitmap)
        bitmap.close()
        sheet.close()
        return {}, drawn

    def find(self, text: str) -> Answer:
        """Where a text stands: page and box of each occurrence (its first line), at most :data:`MAX_HITS`."""
        hits: list[dict[str, Any]] = []
        for number in self._read_pages():
            sheet = self.document[number - 1]
            content = sheet.get_textpage()
            searcher = content.search(text, match_case=True)
            while len(hits) < MAX_HITS and (hit := searcher.get_next()) is not None:
                place = self._box(sheet, number, content, hit[0], hit[0] + hit[1])
                if place is not None:
                    hits.append({"page": number, "box": place})
            content.close()
            sheet.close()
        return {"hits": hits}, b""

    def point(self, page: int, x: float, y: float) -> Answer:
        """A point of user space in mm from the top-left corner of the page as displayed."""
        across, down, _, _ = self.displayed(self.document[page - 1], page, x, y, x, y)
        return {"x_mm": across, "y_mm": down}, b""

    def inspect(self) -> Answer:
        """Pages, and everything worth pointing out."""
        pages, found, places = [], [], []
        letters = 0
        read = set(self._read_pages())
        for number in range(1, min(self.count, MAX_PAGES_SHOWN) + 1):
            width, height = self._size_mm(number)
            facts: dict[str, Any] = {"width_mm": width, "height_mm": height, "blank": False}
            if number in read:
                lines, characters, blank = self._page(number)
                letters += characters
                facts["blank"] = blank
                found += [_finding(hit, number) for hit in left_open(lines)]
                places += [{"page": number, **vars(spot)} for spot in spots(lines)]
            pages.append(facts)
        return {
            "pages": pages,
            "count": self.count,
            "read": len(read),
            "letters": letters,
            "open": _few(found),
            "spots": places[-MAX_HITS:],
            "fields": self._empty_fields(),
            "comments": self._comments(),
            **self._signed(),
        }, b""

    # -- text and ink

    def _read_pages(self) -> Iterator[int]:
        """The pages whose text is read: all of a usual document, both ends of a very long one."""
        shown = min(self.count, MAX_PAGES_SHOWN)
        for number in range(1, shown + 1):
            if number <= READ_FROM_START or number > shown - READ_FROM_END:
                yield number

    def _page(self, number: int) -> tuple[list[Line], int, bool]:
        """The lines of a page, how many characters they have, and whether there is nothing on it."""
        sheet = self.document[number - 1]
        content = sheet.get_textpage()
        text = _text(content)
        lines = []
        for found in re.finditer(r"[^\r\n]+", text):
            lines.append(Line(found.group(), self._boxes(number, sheet, content, found.start())))
        blank = only_a_page_number(text) and self._without_ink(sheet, numbered=bool(text.strip()))
        return lines, len(text.strip()), blank

    def _boxes(self, number: int, sheet: Any, content: Any, offset: int) -> Callable[[int, int], Box | None]:
        return lambda start, end: self._box(sheet, number, content, offset + start, offset + end)

    @staticmethod
    def _without_ink(sheet: Any, *, numbered: bool) -> bool:
        """Whether the page drawn small is white; under a page number the outer eighth of it does not count."""
        across, down = sheet.get_size()
        bitmap = sheet.render(scale=min(0.3, 600 / max(1.0, across, down)), grayscale=True)
        rows = [bytes(bitmap.buffer)[y * bitmap.stride : y * bitmap.stride + bitmap.width] for y in range(bitmap.height)]
        bitmap.close()
        edge = len(rows) // 8 if numbered else 0
        return all(min(row, default=255) >= 250 for row in rows[edge : len(rows) - edge])

    # -- places

    def _unit(self, number: int) -> float:
        """Length of a unit of user space in 1/72 inch, which PDFium leaves out (ISO 32000-2 §8.3.2.3)."""
        try:
            unit = float(self.qpdf.pages[number - 1].obj.get("/UserUnit", 1)) if self.qpdf is not None else 1.0
        except (pikepdf.PdfError, ValueError, TypeError, IndexError, RuntimeError):
            return 1.0
        return unit if 0.001 <= unit <= 10_000 else 1.0

    def _size_mm(self, number: int) -> tuple[float, float]:
        width, height = self.document.get_page_size(number - 1)
        scale = MM * self._unit(number)
        return width * scale, height * scale

    def _box(self, sheet: Any, number: int, content: Any, start: int, end: int) -> Box | None:
        """The displayed box of characters; a text that runs on to the next line counts with its first line."""
        boxes = [b for b in (content.get_charbox(i) for i in range(start, min(end, start + 200))) if b[2] > b[0] or b[3] > b[1]]
        if not boxes:
            return None
        first = boxes[0]
        line = [b for b in boxes if abs(b[1] - first[1]) <= max(1.0, 1.5 * abs(first[3] - first[1]))]
        return self.displayed(
            sheet, number, min(b[0] for b in line), min(b[1] for b in line), max(b[2] for b in line), max(b[3] for b in line)
        )

    def displayed(self, sheet: Any, number: int, left: float, bottom: float, right: float, top: float) -> Box:
        """A rectangle of user space as a box on the displayed page; PDFium knows rotation, crop box and inheritance."""
        width, height = self._size_mm(number)
        points = []
        for x, y in ((left, bottom), (right, top)):
            across, down = ctypes.c_int(), ctypes.c_int()
            pdfium.raw.FPDF_PageToDevice(sheet.raw, 0, 0, _FINE, _FINE, 0, x, y, across, down)
            points.append((across.value * width / _FINE, down.value * height / _FINE))
        (x0, y0), (x1, y1) = points
        return min(x0, x1), min(y0, y1), abs(x1 - x0), abs(y1 - y0)

    # -- forms, comments, signatures

    def _annotations(self) -> Iterator[tuple[int, Any]]:
        """Page number and annotation, a bounded number of them."""
        left = 20_000
        for number, page in enumerate(self.qpdf.pages if self.qpdf is not None else (), 1):
            annotations = page.obj.get("/Annots")
            for one in annotations if isinstance(annotations, pikepdf.Array) else ():
                if isinstance(one, pikepdf.Dictionary):
                    yield number, one
                left -= 1
                if left <= 0:
                    return

    def _empty_fields(self) -> list[dict[str, Any]]:
        """Text and choice fields without a value: page, name, box."""
        empty: list[dict[str, Any]] = []
        try:
            for number, widget in self._annotations():
                if widget.get("/Subtype") == "/Widget" and _is_empty(widget) and len(empty) < MAX_HITS:
                    empty.append({"page": number, "name": _title(widget)[:60], "box": self._rectangle(number, widget)})
        except (pikepdf.PdfError, ValueError, TypeError, RuntimeError):
            return empty
        return empty

    def _rectangle(self, number: int, widget: Any) -> Box | None:
        try:
            x0, y0, x1, y1 = (float(n) for n in widget["/Rect"])
            return self.displayed(self.document[number - 1], number, min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))
        except (KeyError, TypeError, ValueError, pdfium.PdfiumError):
            return None

    def _comments(self) -> list[int]:
        """Pages that carry reviewers' comments."""
        try:
            return sorted({number for number, one in self._annotations() if str(one.get("/Subtype", "")) in _COMMENTS})[
                :MAX_HITS
            ]
        except (pikepdf.PdfError, ValueError, TypeError, RuntimeError):
            return []

    def _signed(self) -> dict[str, Any]:
        """How many signatures there are, and the named refusal where they allow no further one."""
        try:
            return {"signatures": existing_signatures(PdfFile(self.data)).signatures, "refused": None}
        except OutsideCommonCase:
            return self._signed_by_the_library()
        except XinyinError as exc:
            return {"signatures": 0, "refused": {"code": exc.code, "message": exc.message, "message_zh": exc.message_zh}}

    def _signed_by_the_library(self) -> dict[str, Any]:
        """The same as pyHanko sees it, which would write the seal into such a file."""
        from seals import pyhanko_worker

        try:
            prev = pyhanko_worker._opened(self.data).prev
            pyhanko_worker._respect_earlier_signatures(prev)
            return {"signatures": len(prev.embedded_signatures), "refused": None}
        except XinyinError as exc:
            return {"signatures": 0, "refused": {"code": exc.code, "message": exc.message, "message_zh": exc.message_zh}}
        except Exception:  # noqa: BLE001 - that library fails in many ways on damaged files; sealing repairs or names them
            return {"signatures": 0, "refused": None}


def _text(content: Any) -> str:
    """All text of a page, one Python character to a character index of PDFium."""
    count = content.count_chars()
    text: str = content.get_text_range() if count else ""
    if len(text) == count:
        return text
    points = (pdfium.raw.FPDFText_GetUnicode(content.raw, index) for index in range(count))
    return "".join(chr(point) if point < 0x110000 and not 0xD800 <= point < 0xE000 else "\ufffd" for point in points)


def _finding(hit: Hit, page: int) -> dict[str, Any]:
    return {"kind": hit.kind, "text": hit.text, "page": page, "box": hit.box}


def _few(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """At most :data:`MAX_HITS` of a kind."""
    kept: dict[str, int] = {}
    few = []
    for one in found:
        kept[one["kind"]] = kept.get(one["kind"], 0) + 1
        if kept[one["kind"]] <= MAX_HITS:
            few.append(one)
    return few


def _inherited(field: Any, key: str) -> Any:
    for _ in range(16):
        if key in field:
            return field[key]
        parent = field.get("/Parent")
        if not isinstance(parent, pikepdf.Dictionary):
            return None
        field = parent
    return None


def _title(widget: Any) -> str:
    return str(_inherited(widget, "/TU") or _inherited(widget, "/T") or "")


def _is_empty(widget: Any) -> bool:
    """A text or choice field that people fill in and nobody did; hidden and read-only ones do not count."""
    if (
        _inherited(widget, "/FT") not in ("/Tx", "/Ch")
        or int(widget.get("/F", 0)) & 2
        or int(_inherited(widget, "/Ff") or 0) & 1
    ):
        return False
    value = _inherited(widget, "/V")
    return value is None or (isinstance(value, (str, pikepdf.String)) and not str(value).strip())


def _png(bitmap: Any) -> bytes:
    """A PNG (ISO/IEC 15948) of a bitmap in RGB, by zlib alone."""
    width, height, stride = bitmap.width, bitmap.height, bitmap.stride
    pixels = bytes(bitmap.buffer)
    rows = b"".join(b"\x00" + pixels[y * stride : y * stride + width * 3] for y in range(height))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(rows, 6)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in parts)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def serve(incoming: BinaryIO, outgoing: BinaryIO) -> None:
    """Take the document, then answer questions about it until the parent closes the pipe."""
    head, data = receive(incoming, MAX_DOCUMENT)
    allow_cpu(int(head["cpu_seconds"]))
    looker: Looker | None = None
    while True:
        question, _ = receive(incoming, 0)
        allow_cpu(int(head["cpu_seconds"]))
        try:
            looker = looker or Looker(data)
            answer, body = _asked(looker, question)
        except XinyinError as exc:
            answer, body = {"error": type(exc).__name__}, b""
        except (pdfium.PdfiumError, ValueError, MemoryError, OverflowError) as exc:
            answer, body = {"error": "DamagedBeyondRepair", "reason": str(exc)[:200]}, b""
        send(outgoing, answer, body)


def _asked(looker: Looker, question: dict[str, Any]) -> Answer:
    if question["job"] == "draw":
        return looker.draw(int(question["page"]), int(question["width"]))
    if question["job"] == "find":
        return looker.find(str(question["text"]))
    if question["job"] == "point":
        return looker.point(int(question["page"]), float(question["x"]), float(question["y"]))
    return looker.inspect()


def main() -> None:
    """Entry point; the first argument is the address space in bytes. Standard output is for frames only."""
    limit(int(sys.argv[1]))
    outgoing = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a library that prints must not break the frames
    try:
        serve(sys.stdin.buffer, outgoing)
    except ChannelClosed:
        return
