"""A look at a document before it is sealed: its pages as pictures, where the seal belongs, and what should be seen to first.

The document is read by a process of its own with limits of its own (:mod:`seals.inspection_child`); one process a document, so
that what one document does to its reader never shows in the picture of another. Pictures and findings are kept by digest.
"""

from __future__ import annotations

import atexit
import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Literal, cast

from crypto.errors import BadInput, Unavailable, Unprocessable, XinyinError
from formats.pdf.errors import DamagedBeyondRepair, NoSuchPage, NotAPdf, PasswordNeeded, PdfTooLarge
from seals.placement import (
    AnyPlacement,
    CentrePlacement,
    KeywordPlacement,
    Placement,
    StraddlePlacement,
    find_keyword,
)
from seals.reading import Box
from verify import confined
from verify.channel import ChannelClosed, receive, send

WALL_SECONDS = 40.0
CPU_SECONDS = 20
MEMORY_BYTES = 3 << 29
MAX_DOCUMENT = 256 << 20
MAX_PICTURE = 32 << 20
KEPT_BYTES = 96 << 20
"""Of page pictures in memory."""

WIDTHS = {"thumb": 180, "page": 1000, "large": 1900}
"""Pixels across of the pictures that are made; no other sizes, so that they are found again."""

_EDGE_MM = 3.0
_LOW = 0.06  # of the seal's height: how far organ and date lie below its middle (GB/T 9704: slightly)
_NAMED: dict[str, Callable[[], XinyinError]] = {k.__name__: k for k in (NotAPdf, PasswordNeeded, DamagedBeyondRepair)}

Level = Literal["stop", "warn", "note"]
Load = Callable[[], bytes]


class CannotBeShown(Unprocessable):
    """The process that draws a document crashed on it or took too long."""

    code = "document-cannot-be-shown"

    def __init__(self) -> None:
        super().__init__(
            "The pages of this PDF cannot be drawn, so nobody could see what is sealed; export it again or print it to PDF.",
            "该 PDF 的页面无法显示，无法看到将要盖章的内容；请重新导出，或打印为 PDF 后再提交。",
        )


@dataclass(frozen=True)
class PageFacts:
    """One page as displayed, in mm; ``number`` from 1."""

    number: int
    width_mm: float
    height_mm: float
    blank: bool


@dataclass(frozen=True)
class Finding:
    """Something a clerk should look at. ``stop``: it cannot be sealed like this; ``warn``: look before sealing; ``note``.

    :param box: left, top, width, height in mm on the displayed page
    """

    code: str
    level: Level
    message: str
    message_zh: str
    page: int | None = None
    box: Box | None = None


@dataclass(frozen=True)
class Place:
    """A spot that waits for a seal: see :class:`seals.reading.Spot`."""

    page: int
    kind: str
    name: str
    x_mm: float
    y_mm: float


@dataclass(frozen=True)
class Found:
    """An occurrence of a text."""

    page: int
    box: Box

    @property
    def middle(self) -> tuple[float, float]:
        return self.box[0] + self.box[2] / 2, self.box[1] + self.box[3] / 2


@dataclass(frozen=True)
class Inspection:
    """What is known of a document.

    :ivar pages: those that are shown; ``count`` is how many there are
    :ivar places: where seals are expected, in the order of the document
    """

    sha256: str
    count: int
    pages: tuple[PageFacts, ...]
    findings: tuple[Finding, ...]
    places: tuple[Place, ...]
    signatures: int

    @property
    def sealable(self) -> bool:
        """Whether nothing forbids a seal."""
        return all(f.level != "stop" for f in self.findings)

    def page(self, number: int) -> PageFacts:
        """:raises NoSuchPage: not one of those that are shown"""
        if not 1 <= number <= len(self.pages):
            raise NoSuchPage(number, self.count)
        return self.pages[number - 1]

    def expected_place(self, seal_name: str) -> Place | None:
        """The place that fits a seal: organ and date with its name, else the last such, else the last other spot."""
        own = [p for p in self.places if p.name and _same(p.name, seal_name)]
        signed = [p for p in self.places if p.kind == "signature-line"]
        return next((found[-1] for found in (own, signed, list(self.places)) if found), None)

    def default_placement(self, seal_name: str, width_mm: float, height_mm: float) -> Placement:
        """Over the signature line and date; where there is none, low on the right of the last page with something on it."""
        place = self.expected_place(seal_name)
        if place is not None:
            return self.kept_on_page(Placement(place.page, place.x_mm, place.y_mm - _LOW * height_mm), width_mm, height_mm)
        page = next((p for p in reversed(self.pages) if not p.blank), self.pages[-1])
        wanted = Placement(page.number, page.width_mm * 0.70, page.height_mm * 0.78)
        return self.kept_on_page(wanted, width_mm, height_mm)

    def kept_on_page(self, wanted: Placement, width_mm: float, height_mm: float) -> Placement:
        """The nearest place where the whole seal is on the page, in tenths of a millimetre."""
        page = self.page(wanted.page)
        x = _clamped(wanted.x_mm, width_mm / 2, page.width_mm)
        y = _clamped(wanted.y_mm, height_mm / 2, page.height_mm)
        return Placement(wanted.page, round(x, 1), round(y, 1))

    def about_seal(self, seal_name: str, place: Placement | None) -> list[Finding]:
        """What only a chosen seal shows: another organ's name where it goes, a page that is blank."""
        found = []
        line = self.expected_place(seal_name)
        if line is not None and line.name and not _same(line.name, seal_name):
            found.append(
                Finding(
                    "other-organ",
                    "warn",
                    f"The document is signed “{line.name}”, the seal is that of “{seal_name}”.",
                    f"落款单位为“{line.name}”，所选印章为“{seal_name}”，请核对。",
                    line.page,
                )
            )
        if place is not None and 1 <= place.page <= len(self.pages) and self.pages[place.page - 1].blank:
            found.append(
                Finding(
                    "seal-on-blank-page", "warn", "The seal stands on a blank page.", "印章落在空白页上，请核对。", place.page
                )
            )
        return found


def _clamped(wanted: float, half: float, length: float) -> float:
    """Keeps a margin to the edge where the page is large enough for it."""
    least = min(half + _EDGE_MM, length / 2)
    return min(max(wanted, least), length - least)


def _same(one: str, other: str) -> bool:
    """The same organ, whatever blanks stand between the characters."""
    return "".join(one.split()) == "".join(other.split())


# -- the processes


class _Process:
    """The process of one document."""

    def __init__(self, memory_bytes: int) -> None:
        self.process = confined.start("seals.inspection_child", memory_bytes)
        self.lock = threading.Lock()

    def ask(self, question: dict[str, Any], wall_seconds: float) -> tuple[dict[str, Any], bytes]:
        """:raises ChannelClosed: it ended, was stopped, or talked nonsense"""
        timer = threading.Timer(wall_seconds, self.process.kill)
        timer.daemon = True
        timer.start()
        try:
            send(cast(BinaryIO, self.process.stdin), question)
            return receive(cast(BinaryIO, self.process.stdout), MAX_PICTURE)
        finally:
            timer.cancel()

    def end(self) -> None:
        confined.end(self.process)


@dataclass
class _Lane:
    """Documents whose digests share a lane are looked at one after another."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    held: OrderedDict[str, _Process] = field(default_factory=OrderedDict)


class Inspector:
    """Looks at documents. Safe to use from many threads.

    :param lanes: how many documents at most are worked on at once
    :param held: documents that stay open in each lane
    """

    def __init__(
        self,
        lanes: int = 2,
        held: int = 2,
        *,
        wall_seconds: float = WALL_SECONDS,
        cpu_seconds: int = CPU_SECONDS,
        memory_bytes: int = MEMORY_BYTES,
    ) -> None:
        self.wall_seconds = wall_seconds
        self.cpu_seconds = cpu_seconds
        self.memory_bytes = memory_bytes
        self._held = held
        self._lanes = [_Lane() for _ in range(lanes)]
        self._inspections: OrderedDict[str, Inspection] = OrderedDict()
        self._pictures = _Kept(KEPT_BYTES)
        atexit.register(self.close)

    def inspect(self, sha256: str, load: Load) -> Inspection:
        """What is to be known of a document.

        :param load: gives its bytes; asked only where they are needed
        :raises NotAPdf, PasswordNeeded, DamagedBeyondRepair, CannotBeShown, PdfTooLarge: by name, why it cannot be shown
        """
        known = self._inspections.get(sha256)
        if known is None:
            answer, _ = self._ask(sha256, load, {"job": "inspect"})
            try:
                known = _inspection(sha256, answer)
            except (KeyError, TypeError, ValueError) as exc:  # the process may have been taken over
                raise CannotBeShown from exc
            self._inspections[sha256] = known
            while len(self._inspections) > 200:
                self._inspections.popitem(last=False)
        return known

    def draw(self, sha256: str, load: Load, page: int, size: str) -> bytes:
        """A page as PNG; ``size`` is one of :data:`WIDTHS`.

        :raises NoSuchPage: :raises BadInput: no such size; and as :meth:`inspect`
        """
        if size not in WIDTHS:
            raise BadInput("Pictures come in thumb, page and large.", "图片尺寸须为 thumb、page 或 large。")
        self.inspect(sha256, load).page(page)
        key = f"{sha256}/{page}/{size}"
        drawn = self._pictures.get(key)
        if drawn is None:
            _, drawn = self._ask(sha256, load, {"job": "draw", "page": page, "width": WIDTHS[size]})
            if not drawn.startswith(b"\x89PNG\r\n\x1a\n"):
                raise CannotBeShown
            self._pictures.put(key, drawn)
        return drawn

    def find(self, sha256: str, load: Load, text: str) -> list[Found]:
        """Where a text stands in the document; raises as :meth:`inspect`."""
        if not text.strip():
            return []
        answer, _ = self._ask(sha256, load, {"job": "find", "text": text[:200]})
        try:
            return [Found(int(hit["page"]), _box(hit["box"])) for hit in answer["hits"]]
        except (KeyError, TypeError, ValueError) as exc:
            raise CannotBeShown from exc

    def locate(self, sha256: str, load: Load, placement: AnyPlacement) -> Placement | StraddlePlacement:
        """Where a seal will really stand: a text is looked up as sealing looks it up, and its place given as displayed.

        :raises KeywordNotFound: the text is nowhere; :raises NoSuchPage: and as :meth:`inspect`
        """
        if isinstance(placement, StraddlePlacement | Placement):
            return placement
        page = self.inspect(sha256, load).page
        if isinstance(placement, CentrePlacement):
            facts = page(placement.page)
            return Placement(placement.page, facts.width_mm / 2, facts.height_mm / 2)
        point = find_keyword(load(), placement) if isinstance(placement, KeywordPlacement) else placement
        page(point.page)
        answer, _ = self._ask(sha256, load, {"job": "point", "page": point.page, "x": point.x, "y": point.y})
        try:
            x, y = float(answer["x_mm"]), float(answer["y_mm"])
        except (KeyError, TypeError, ValueError) as exc:
            raise CannotBeShown from exc
        return Placement(point.page, x, y)

    def close(self) -> None:
        """End all processes."""
        atexit.unregister(self.close)
        for lane in self._lanes:
            for process in list(lane.held.values()):
                process.process.kill()
            with lane.lock:
                while lane.held:
                    lane.held.popitem()[1].end()

    def _ask(self, sha256: str, load: Load, question: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        lane = self._lanes[int(sha256[:8], 16) % len(self._lanes)]
        if not lane.lock.acquire(timeout=self.wall_seconds):
            raise Unavailable(
                "Many documents are being opened right now; try again shortly.", "当前打开的文件较多，请稍后再试。"
            )
        try:
            process = lane.held.pop(sha256, None) or self._opened(load)
            try:
                answer, body = process.ask(question, self.wall_seconds)
            except ChannelClosed as exc:
                process.end()
                raise CannotBeShown from exc
            except BaseException:
                process.end()
                raise
            lane.held[sha256] = process
            while len(lane.held) > self._held:
                lane.held.popitem(last=False)[1].end()
        finally:
            lane.lock.release()
        if "error" in answer:
            raise _NAMED.get(str(answer["error"]), DamagedBeyondRepair)()
        return answer, body

    def _opened(self, load: Load) -> _Process:
        data = load()
        if len(data) > MAX_DOCUMENT:
            raise PdfTooLarge("size in bytes", MAX_DOCUMENT)
        process = _Process(self.memory_bytes + 2 * len(data))
        try:
            send(cast(BinaryIO, process.process.stdin), {"cpu_seconds": self.cpu_seconds}, data)
        except ChannelClosed as exc:
            process.end()
            raise CannotBeShown from exc
        return process


class _Kept:
    """The most recently used pictures, up to so many bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._bytes = 0
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, bytes] = OrderedDict()

    def get(self, key: str) -> bytes | None:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def put(self, key: str, data: bytes) -> None:
        with self._lock:
            self._bytes += len(data) - len(self._kept.pop(key, b""))
            self._kept[key] = data
            while self._bytes > self._limit and self._kept:
                self._bytes -= len(self._kept.popitem(last=False)[1])


# -- from the process's answer to words


def _inspection(sha256: str, answer: dict[str, Any]) -> Inspection:
    """The answer, checked: a process that was taken over must not get further than its own document's findings."""
    pages = tuple(
        PageFacts(number, _length(one["width_mm"]), _length(one["height_mm"]), bool(one["blank"]))
        for number, one in enumerate(answer["pages"], 1)
    )
    if not pages:
        raise ValueError
    places = tuple(
        Place(int(p["page"]), str(p["kind"]), str(p["name"])[:80], float(p["x_mm"]), float(p["y_mm"]))
        for p in answer["spots"]
        if 1 <= int(p["page"]) <= len(pages)
    )
    signatures = int(answer["signatures"])
    return Inspection(sha256, int(answer["count"]), pages, tuple(_findings(answer, pages, places)), places, signatures)


def _length(value: Any) -> float:
    length = float(value)
    if not (math.isfinite(length) and 0 < length < 1e6):
        raise ValueError
    return length


def _box(value: Any) -> Box:
    x, y, width, height = (float(n) for n in value)
    if not all(map(math.isfinite, (x, y, width, height))):
        raise ValueError
    return x, y, width, height


def _findings(answer: dict[str, Any], pages: Sequence[PageFacts], places: Sequence[Place]) -> list[Finding]:
    found: list[Finding] = []
    refused = answer["refused"]
    if refused:
        found.append(Finding(str(refused["code"]), "stop", str(refused["message"]), str(refused["message_zh"])))
    for first, last in _runs([page.number for page in pages if page.blank]):
        en = f"Page {first} is blank." if first == last else f"Pages {first} to {last} are blank."
        zh = f"第 {first} 页是空白页。" if first == last else f"第 {first} 至 {last} 页是空白页。"
        found.append(Finding("blank-page", "warn", en, zh, first))
    found += [_left_open(one) for one in answer["open"]]
    found += [_empty_field(one) for one in answer["fields"]]
    for n in answer["comments"]:
        en, zh = f"Page {int(n)} carries comments; finish the draft first.", f"第 {int(n)} 页带有批注，请确认是否为定稿。"
        found.append(Finding("comments", "warn", en, zh, int(n)))
    return found + _notes(answer, pages, places)


def _runs(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """Ascending numbers as runs: first and last of each."""
    runs: list[tuple[int, int]] = []
    for n in numbers:
        if runs and runs[-1][1] == n - 1:
            runs[-1] = runs[-1][0], n
        else:
            runs.append((n, n))
    return runs


_OPEN = {
    "blank": ("On page {n} something is left blank: “{text}”.", "第 {n} 页有空白待填：“{text}”。"),
    "empty-date": ("On page {n} a date has no figures.", "第 {n} 页有日期未填写。"),
    "placeholder": ("On page {n} a placeholder was left in: “{text}”.", "第 {n} 页残留占位内容：“{text}”。"),
}


def _left_open(one: dict[str, Any]) -> Finding:
    en, zh = _OPEN[one["kind"]]
    n, text = int(one["page"]), str(one["text"])[:20]
    box = _box(one["box"]) if one["box"] else None
    return Finding(one["kind"], "warn", en.format(n=n, text=text), zh.format(n=n, text=text), n, box)


def _empty_field(one: dict[str, Any]) -> Finding:
    n, name = int(one["page"]), str(one["name"])[:40]
    en = f"On page {n} the form field “{name}” is not filled in." if name else f"On page {n} a form field is not filled in."
    zh = f"第 {n} 页的表单项“{name}”未填写。" if name else f"第 {n} 页有表单项未填写。"
    return Finding("empty-field", "warn", en, zh, n, _box(one["box"]) if one["box"] else None)


def _notes(answer: dict[str, Any], pages: Sequence[PageFacts], places: Sequence[Place]) -> list[Finding]:
    found: list[Finding] = []
    signatures = int(answer["signatures"])
    if signatures:
        found.append(
            Finding(
                "signed-already",
                "note",
                f"The document carries {signatures} signature(s); they stay valid under a further seal.",
                f"文件已有 {signatures} 个签章；再次盖章不影响其效力。",
            )
        )
    if not int(answer["letters"]):
        found.append(
            Finding(
                "no-text",
                "note",
                "The pages are pictures without text (a scan?): nothing could be read, place the seal by hand.",
                "页面为图片（扫描件），无法识别文字；请自行放置印章并核对内容。",
            )
        )
    elif not places:
        found.append(
            Finding(
                "no-signature-line",
                "note",
                "No organ with a date under it was found; place the seal by hand.",
                "未找到落款单位和日期，请自行放置印章。",
            )
        )
    if int(answer["read"]) < int(answer["count"]):
        read, count = int(answer["read"]), int(answer["count"])
        en, zh = f"Only {read} of {count} pages were read for blanks.", f"文件共 {count} 页，仅检查了其中 {read} 页。"
        found.append(Finding("not-all-read", "note", en, zh))
    return found
