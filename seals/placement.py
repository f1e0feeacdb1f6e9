"""Where a seal goes: a point of a page, a text, or the edges of all pages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, cast, get_args

from crypto.errors import BadInput
from formats.pdf.appearance import Appearance
from formats.pdf.geometry import Box, box_around, centred_box, check_on_page, displayed_size_mm
from formats.pdf.objects import Buffer
from formats.pdf.reader import Page, PdfFile
from formats.pdf.signing import Widget
from seals import pyhanko_path
from seals.picture import Picture

Edge = Literal["right", "left", "top", "bottom"]
MAX_STRADDLED = 2_000
MAX_SLICES = 20
"""Slices of one seal across pages: at 42 mm a slice is then 2 mm wide, about the least that can be told apart."""


class KeywordNotFound(BadInput):
    """The text to put the seal on is not in the document."""

    code = "keyword-not-found"


class StraddleImpossible(BadInput):
    """A seal across pages needs several, and a document that our own writer can handle."""

    code = "straddle-impossible"


@dataclass(frozen=True)
class Placement:
    """Where the seal's centre goes: page from 1; millimetres from the top-left corner of the page as displayed."""

    page: int
    x_mm: float
    y_mm: float


@dataclass(frozen=True)
class KeywordPlacement:
    """The seal's centre goes on the middle of a text.

    ``occurrence`` counts through the document: 0 the first, -1 the last; None is the last that stands alone on its line, as an
    organ's name does above the date, else the last.
    """

    keyword: str
    occurrence: int | None = None


@dataclass(frozen=True)
class CentrePlacement:
    """The middle of a page."""

    page: int


@dataclass(frozen=True)
class PointPlacement:
    """A point of the page's user space, as a text's place is known."""

    page: int
    x: float
    y: float


@dataclass(frozen=True)
class StraddlePlacement:
    """骑缝章: one seal cut over an edge of all pages, in the middle of that edge; read together, the pages show it whole."""

    edge: Edge

    @classmethod
    def at(cls, edge: str) -> StraddlePlacement:
        """:raises StraddleImpossible: no such edge"""
        if edge not in get_args(Edge):
            raise StraddleImpossible("Choose the edge right, left, top or bottom.", "骑缝边须为 right、left、top 或 bottom。")
        return cls(cast(Edge, edge))


PagePlacement = Placement | CentrePlacement | PointPlacement
AnyPlacement = PagePlacement | KeywordPlacement | StraddlePlacement


def find_keyword(data: Buffer, wanted: KeywordPlacement) -> PointPlacement:
    """Where a text stands in the document.

    :raises KeywordNotFound: nowhere, or not that often
    """
    found = pyhanko_path.find_text(data, wanted.keyword, wanted.occurrence) if wanted.keyword.strip() else None
    if found is None:
        raise KeywordNotFound(
            f"The text “{wanted.keyword}” is not in the document; choose another, or give the page and place.",
            f"文档中没有找到“{wanted.keyword}”；请更换关键字，或指定页码与位置。",
        )
    return PointPlacement(*found)


def place(page: Page, placement: PagePlacement, picture: Picture) -> Box:
    """The seal's rectangle in user space.

    :raises OffThePage: its centre is not on the page
    """
    width, height = displayed_size_mm(page)
    if isinstance(placement, PointPlacement):
        return box_around(page, placement.x, placement.y, picture.width_mm, picture.height_mm)
    if isinstance(placement, CentrePlacement):
        return centred_box(page, width / 2, height / 2, picture.width_mm, picture.height_mm)
    check_on_page(page, placement.x_mm, placement.y_mm)
    return centred_box(page, placement.x_mm, placement.y_mm, picture.width_mm, picture.height_mm)


def _pages_to_straddle(pdf: PdfFile) -> int:
    count = pdf.page_count()
    if not 2 <= count <= MAX_STRADDLED:
        raise StraddleImpossible(
            f"A seal across pages needs 2 to {MAX_STRADDLED} pages; this document has {count}.",
            f"骑缝章需要 2 至 {MAX_STRADDLED} 页；该文档共 {count} 页。",
            pages=count,
        )
    return count


def straddle(pdf: PdfFile, placement: StraddlePlacement, picture: Picture, drawn: Appearance) -> Iterator[Widget]:
    """A slice of the seal on each page. More pages than one seal can bear slices are shared out evenly over several seals.

    Pages that are fanned out to the right show their slices from left to right; fanned out to the left, the first page, which
    lies on top, has the rightmost slice; likewise downwards and upwards.

    :raises StraddleImpossible: one page, or very many
    """
    count = _pages_to_straddle(pdf)
    for index in range(count):
        position, slices = share(placement.edge, index + 1, count)
        yield _slice(pdf.page(index + 1), placement.edge, position, slices, picture, drawn)


def share(edge: str, page: int, count: int) -> tuple[int, int]:
    """Which slice of the seal page ``page`` of ``count`` bears: its position from the left or the top, and out of how many."""
    groups = -(-count // MAX_SLICES)
    per_group = -(-count // groups)
    position = (page - 1) % per_group
    slices = min(per_group, count - (page - 1 - position))
    return (slices - 1 - position if edge in ("left", "top") else position), slices


def _slice(page: Page, edge: str, position: int, slices: int, picture: Picture, drawn: Appearance) -> Widget:
    """Slice ``position`` of ``slices``, from the left or the top of the seal, at the middle of an edge of the page."""
    width, height = displayed_size_mm(page)
    if edge in ("right", "left"):
        part = picture.width_mm / slices
        x = width - part / 2 if edge == "right" else part / 2
        step = drawn.width / slices
        window = (position * step, 0.0, (position + 1) * step, drawn.height)
        return Widget(page, centred_box(page, x, height / 2, part, picture.height_mm), drawn, window)
    part = picture.height_mm / slices
    y = height - part / 2 if edge == "bottom" else part / 2
    step = drawn.height / slices
    window = (0.0, drawn.height - (position + 1) * step, drawn.width, drawn.height - position * step)
    return Widget(page, centred_box(page, width / 2, y, picture.width_mm, part), drawn, window)
