"""What a page's text says to whoever is about to seal it: where organ and date stand, and what nobody filled in.

Pure: lines of text in, places and findings out; the process that reads the document (:mod:`seals.inspection_child`) gives the
lines. Places are millimetres from the top-left corner of the page as displayed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

Box = tuple[float, float, float, float]
"""Left, top, width, height in mm."""

_DIGIT = r"[\d０-９〇○零一二三四五六七八九十]"
_GAP = r"[\s\u3000_＿]*"
_DATE = re.compile(
    rf"{_GAP}(?:{_DIGIT}{{4}})?{_GAP}年{_GAP}(?:{_DIGIT}{{1,3}})?{_GAP}月{_GAP}(?:{_DIGIT}{{1,3}})?{_GAP}日{_GAP}"
)
_EMPTY_DATE = re.compile(r"(?<![\d０-９〇○零一二三四五六七八九十\w])[ \u3000_＿]*年[ \u3000_＿]+月[ \u3000_＿]+日")
_BLANK = re.compile(r"_{3,}|＿{2,}|﹍{2,}|\.{8,}|…{4,}(?!\d)")
_PLACEHOLDER = re.compile(
    r"[×✕]{2,}|(?<![A-Za-z\d*])[Xx]{3,}(?![A-Za-z\d])|[ＸＯ]{2,}|[〔【]\s*[〕】]|\{\{[^{}]{0,60}\}\}|<<[^<>]{1,40}>>"
)
_STAMP_MARK = re.compile(r"[（(]\s*(?:此处)?(?:加盖)?(?:盖\s*章|公\s*章|签\s*章|印\s*章)[^（）()]{0,6}[）)]|盖章处|加盖公章处")
_PAGE_NUMBER = re.compile(r"[\s\u3000\-—–－─·.第共页/\d]*(?:page\s*\d*\s*(?:of)?\s*\d*)?\s*", re.IGNORECASE)
_SENTENCE = re.compile(r"[，。；：、？！,;:?!]")

MAX_HITS = 20
"""Of one kind in one document: who has twenty blanks to fill does not need the twenty-first pointed out."""

_NAME_ABOVE_MM = 22.0
_NAME_ASIDE_MM = 35.0


@dataclass(frozen=True)
class Line:
    """A line of text and where its characters are; ``box(start, end)`` is asked only for what matters."""

    text: str
    box: Callable[[int, int], Box | None]

    def whole(self) -> Box | None:
        """The box of what is not blank in the line."""
        start = len(self.text) - len(self.text.lstrip())
        end = len(self.text.rstrip())
        return self.box(start, end) if end > start else None


@dataclass(frozen=True)
class Hit:
    """Something found: ``kind`` is ``blank``, ``empty-date`` or ``placeholder``; ``text`` as it stands there."""

    kind: str
    text: str
    box: Box | None


@dataclass(frozen=True)
class Spot:
    """A place that waits for a seal.

    :param kind: ``signature-line`` (organ above date), ``date`` (a date alone), or ``stamp-mark`` (such as “（盖章）”)
    :param name: the organ as written above the date; may be empty
    :param x_mm: middle of what the seal goes over, from the left; ``y_mm`` from the top
    """

    kind: str
    name: str
    x_mm: float
    y_mm: float


def only_a_page_number(text: str) -> bool:
    """Whether a page's text is nothing but its number."""
    return _PAGE_NUMBER.fullmatch(text) is not None


def left_open(lines: Sequence[Line]) -> Iterator[Hit]:
    """Blanks to be filled, dates without figures, and what templates leave behind."""
    for line in lines:
        for kind, pattern in (("empty-date", _EMPTY_DATE), ("blank", _BLANK), ("placeholder", _PLACEHOLDER)):
            found = pattern.search(line.text)
            if found is not None:
                start = found.start() + len(found.group()) - len(found.group().lstrip())
                yield Hit(kind, found.group().strip()[:40], line.box(start, found.end()))
                break


def spots(lines: Sequence[Line]) -> list[Spot]:
    """Where a seal is expected on this page, from top to bottom as the text runs."""
    found: list[Spot] = []
    boxes: list[tuple[Line, Box]] | None = None
    for line in lines:
        mark = _STAMP_MARK.search(line.text)
        if mark is not None and (box := line.box(*mark.span())) is not None:
            found.append(Spot("stamp-mark", "", *_middle(box)))
        elif len(line.text) <= 40 and _DATE.fullmatch(line.text) and (box := line.whole()) is not None:
            if boxes is None:
                boxes = [(other, place) for other in lines if (place := other.whole()) is not None]
            found.append(_over(box, _above(box, boxes)))
    return found


def _over(date: Box, above: tuple[Line, Box] | None) -> Spot:
    """Over organ and date: centred on the date, as GB/T 9704 has it, and half-way between the two lines."""
    x, y = _middle(date)
    if above is None:
        return Spot("date", "", x, y)
    line, box = above
    return Spot("signature-line", re.sub(r"\s+", "", line.text), x, (_middle(box)[1] + y) / 2)


def _above(date: Box, lines: Sequence[tuple[Line, Box]]) -> tuple[Line, Box] | None:
    """The line that names the organ: the nearest above the date, about over it, and no sentence."""
    x, y = _middle(date)
    near = [
        (y - _middle(box)[1], line, box)
        for line, box in lines
        if 0 < y - _middle(box)[1] <= _NAME_ABOVE_MM
        and abs(_middle(box)[0] - x) <= _NAME_ASIDE_MM
        and 2 <= len(line.text.strip()) <= 40
        and not _SENTENCE.search(line.text.strip())
    ]
    if not near:
        return None
    _, line, box = min(near, key=lambda one: one[0])
    return line, box


def _middle(box: Box) -> tuple[float, float]:
    return box[0] + box[2] / 2, box[1] + box[3] / 2
