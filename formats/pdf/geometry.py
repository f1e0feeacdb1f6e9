"""From millimetres on the displayed page to user space, and back."""

from __future__ import annotations

from formats.pdf.errors import OffThePage
from formats.pdf.reader import Page

POINTS_PER_MM = 72 / 25.4
Box = tuple[float, float, float, float]


def units_per_mm(page: Page) -> float:
    """User-space units in a millimetre of the page (ISO 32000-2 §8.3.2.3)."""
    return POINTS_PER_MM / page.user_unit


def displayed_size_mm(page: Page) -> tuple[float, float]:
    """Width and height of the page as displayed, in mm."""
    left, bottom, right, top = page.box
    scale = units_per_mm(page)
    width, height = (right - left) / scale, (top - bottom) / scale
    return (height, width) if page.rotate % 180 else (width, height)


def to_user_space(page: Page, x_mm: float, y_mm: float) -> tuple[float, float]:
    """A point given from the top-left corner of the displayed page, in user space."""
    left, bottom, right, top = page.box
    x, y = x_mm * units_per_mm(page), y_mm * units_per_mm(page)
    return {0: (left + x, top - y), 90: (left + y, bottom + x), 180: (right - x, bottom + y), 270: (right - y, top - x)}[
        page.rotate
    ]


def centred_box(page: Page, x_mm: float, y_mm: float, width_mm: float, height_mm: float) -> Box:
    """The rectangle in user space of something ``width_mm`` by ``height_mm`` as displayed, centred on a displayed point."""
    return box_around(page, *to_user_space(page, x_mm, y_mm), width_mm, height_mm)


def box_around(page: Page, x: float, y: float, width_mm: float, height_mm: float) -> Box:
    """The same, centred on a point of user space."""
    scale = units_per_mm(page)
    half_w, half_h = width_mm * scale / 2, height_mm * scale / 2
    if page.rotate % 180:
        half_w, half_h = half_h, half_w
    return x - half_w, y - half_h, x + half_w, y + half_h


def check_on_page(page: Page, x_mm: float, y_mm: float) -> None:
    """:raises OffThePage: the point is not on the displayed page"""
    width, height = displayed_size_mm(page)
    if not (0 <= x_mm <= width and 0 <= y_mm <= height):
        raise OffThePage(page.number, (x_mm, y_mm), (width, height))
