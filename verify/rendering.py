"""The second look: pages of the signed revision and of the current one drawn by PDFium and compared as pictures.

The comparison of objects trusts one parser. This one asks another, the same that draws pages in Chromium, what a person would
see, so a file that two programs read differently is found out, and so is what the first comparison takes for harmless.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pypdfium2 as pdfium

from policies.verification import VerificationPolicy

_MARGIN = 3.0  # points around a later seal that do not count: line ends and smoothing reach over its rectangle


@dataclass
class RenderedComparison:
    """Pages (from 1) that look different; ``compared`` is how many were looked at, ``failed`` that PDFium could not."""

    different: list[int] = field(default_factory=list)
    compared: int = 0
    failed: bool = False


def compare(before: bytes, after: bytes, areas: dict[int, list[list[float]]], policy: VerificationPolicy) -> RenderedComparison:
    """Draw both revisions page by page and compare every pixel outside of ``areas``.

    :param areas: page number → rectangles in points of default user space where later seals and fields may show
    """
    result = RenderedComparison()
    try:
        with pdfium.PdfDocument(before) as old, pdfium.PdfDocument(after) as new:
            for index in range(min(len(old), len(new), policy.limits.rendered_pages)):
                result.compared += 1
                if not _same_page(old, new, index, areas.get(index + 1, []), policy.limits.rendered_pixels):
                    result.different.append(index + 1)
    except (pdfium.PdfiumError, ValueError, OverflowError, MemoryError):
        result.failed = True
    return result


def _same_page(old: Any, new: Any, index: int, areas: list[list[float]], max_pixels: int) -> bool:
    """Whether one page looks the same in both, one pixel a point (fewer where the page is huge)."""
    first, second = old[index], new[index]
    try:
        size = first.get_size()
        if size != second.get_size():
            return False
        scale = min(1.0, math.sqrt(max_pixels / max(1.0, size[0] * size[1])))
        a, b = (_draw(page, scale) for page in (first, second))
        holes = [_to_pixels(second, rect, scale, a.width, a.height) for rect in areas]
        return not any(_differs(a, b, y, holes) for y in range(a.height))
    finally:
        first.close()
        second.close()


@dataclass
class _Picture:
    width: int
    height: int
    stride: int
    pixels: memoryview


def _draw(page: Any, scale: float) -> _Picture:
    bitmap = page.render(scale=scale, grayscale=False, draw_annots=True, may_draw_forms=False, rev_byteorder=False)
    return _Picture(bitmap.width, bitmap.height, bitmap.stride, memoryview(bytes(bitmap.buffer)))


def _differs(a: _Picture, b: _Picture, y: int, holes: list[tuple[int, int, int, int]]) -> bool:
    """Whether row ``y`` differs outside of the holes."""
    row_a, row_b = a.pixels[y * a.stride : (y + 1) * a.stride], b.pixels[y * b.stride : (y + 1) * b.stride]
    if row_a == row_b:
        return False
    depth = a.stride // a.width
    return any(row_a[x0 * depth : x1 * depth] != row_b[x0 * depth : x1 * depth] for x0, x1 in _outside(y, holes, a.width))


def _outside(y: int, holes: list[tuple[int, int, int, int]], width: int) -> Iterator[tuple[int, int]]:
    """Stretches of a row that no hole covers."""
    start = 0
    for left, right in sorted((h[0], h[2]) for h in holes if h[1] <= y < h[3]):
        if left > start:
            yield start, left
        start = max(start, right)
    if start < width:
        yield start, width


def _to_pixels(page: Any, rect: list[float], scale: float, width: int, height: int) -> tuple[int, int, int, int]:
    """Pixel box (left, top, right, bottom) of a rectangle in user space, rotation and crop box taken into account."""
    left, bottom, right, top = page.get_cropbox(fallback_ok=True)
    x0, x1 = sorted((rect[0], rect[2]))
    y0, y1 = sorted((rect[1], rect[3]))
    x0, x1, y0, y1 = x0 - left - _MARGIN, x1 - left + _MARGIN, y0 - bottom - _MARGIN, y1 - bottom + _MARGIN
    w, h = right - left, top - bottom
    turned = {
        0: (x0, h - y1, x1, h - y0),
        90: (y0, x0, y1, x1),
        180: (w - x1, y0, w - x0, y1),
        270: (h - y1, w - x1, h - y0, w - x0),
    }[page.get_rotation() % 360]
    a, b, c, d = (v * scale for v in turned)
    return max(0, math.floor(a)), max(0, math.floor(b)), min(width, math.ceil(c)), min(height, math.ceil(d))
