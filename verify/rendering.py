"""The second look: pages of the signed revision and of the current one drawn by PDFium and compared as pictures.

The comparison of objects trusts one parser. This one asks another, the same that draws pages in Chromium, what a person would
see, so a file that two programs read differently is found out, and so is what the first comparison takes for harmless.
"""

from __future__ import annotations

import ctypes
import math
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pypdfium2 as pdfium

from policies.verification import VerificationPolicy

_ONE_AT_A_TIME = threading.Lock()  # PDFium is not made for threads
_MAX_KEPT = 24  # pages of the current revision kept as pictures: 2 MB each for A4
_MARGIN = 3.0  # points around a later seal that do not count: line ends and smoothing reach over its rectangle


@dataclass
class RenderedComparison:
    """Pages (from 1) that look different; ``compared`` is how many were looked at, ``failed`` that PDFium could not."""

    different: list[int] = field(default_factory=list)
    compared: int = 0
    failed: bool = False


def compare(
    before: bytes,
    after: bytes,
    areas: dict[int, list[list[float]]],
    policy: VerificationPolicy,
    *,
    form: bool = True,
    drawn: dict[int, _Picture] | None = None,
) -> RenderedComparison:
    """Draw both revisions page by page and compare every pixel outside of ``areas``.

    :param areas: page number → rectangles in points of default user space where later seals and fields may show
    :param form: draw form fields too; a caller leaves them out where there are none but seals, whose pictures take longest to
        draw and whose objects it has compared one by one
    :param drawn: keeps pages of ``after`` between calls about the same ``after``, so that a file with many seals is drawn once
    """
    drawn = {} if drawn is None else drawn
    result = RenderedComparison()
    try:
        with _ONE_AT_A_TIME, pdfium.PdfDocument(before) as old, pdfium.PdfDocument(after) as new:
            for opened in (old, new) if form else ():
                opened.init_forms()  # without it PDFium leaves out what form fields show
            for index in range(min(len(old), len(new), policy.limits.rendered_pages)):
                result.compared += 1
                holes = areas.get(index + 1, [])
                if not _same_page(old, new, index, holes, policy.limits.rendered_pixels, form, drawn):
                    result.different.append(index + 1)
    except (pdfium.PdfiumError, ValueError, OverflowError, MemoryError):
        result.failed = True
    return result


def _same_page(
    old: Any, new: Any, index: int, areas: list[list[float]], max_pixels: int, form: bool, drawn: dict[int, _Picture]
) -> bool:
    """Whether one page looks the same in both, one pixel a point (fewer where the page is huge)."""
    first, second = old[index], new[index]
    try:
        size = first.get_size()
        if size != second.get_size():
            return False
        scale = min(1.0, math.sqrt(max_pixels / max(1.0, size[0] * size[1])))
        a, b = _draw(first, scale, form), drawn.get(index) or _draw(second, scale, form)
        if len(drawn) < _MAX_KEPT:
            drawn[index] = b
        if a.pixels == b.pixels:
            return True
        holes = [_to_pixels(second, rect, a.width, a.height) for rect in areas]
        return not any(_differs(a, b, y, holes) for y in range(a.height))
    finally:
        first.close()
        second.close()


@dataclass
class _Picture:
    width: int
    height: int
    stride: int
    pixels: bytes  # a memoryview would be compared element by element


def _draw(page: Any, scale: float, form: bool) -> _Picture:
    bitmap = page.render(scale=scale, grayscale=False, draw_annots=True, may_draw_forms=form, rev_byteorder=False)
    return _Picture(bitmap.width, bitmap.height, bitmap.stride, bytes(bitmap.buffer))


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


def _to_pixels(page: Any, rect: list[float], width: int, height: int) -> tuple[int, int, int, int]:
    """Pixel box (left, top, right, bottom) of a rectangle in user space; PDFium knows rotation, crop box and inheritance."""
    x0, x1 = sorted((rect[0], rect[2]))
    y0, y1 = sorted((rect[1], rect[3]))
    corners = [_device(page, x, y, width, height) for x in (x0 - _MARGIN, x1 + _MARGIN) for y in (y0 - _MARGIN, y1 + _MARGIN)]
    across, down = [c[0] for c in corners], [c[1] for c in corners]
    return max(0, min(across)), max(0, min(down)), min(width, max(across) + 1), min(height, max(down) + 1)


def _device(page: Any, x: float, y: float, width: int, height: int) -> tuple[int, int]:
    across, down = ctypes.c_int(), ctypes.c_int()
    pdfium.raw.FPDF_PageToDevice(page.raw, 0, 0, width, height, 0, x, y, across, down)
    return across.value, down.value
