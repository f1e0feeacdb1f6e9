"""The second look: pages of the signed revision and of the current one drawn by PDFium and compared as pictures.

The comparison of objects trusts one parser. This one asks another, the same that draws pages in Chromium, what a person would
see, so a file that two programs read differently is found out, and so is what the first comparison takes for harmless.
"""

from __future__ import annotations

import ctypes
import math
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pypdfium2 as pdfium

from policies.verification import VerificationPolicy

Areas = dict[int, list[list[float]]]
ONE_AT_A_TIME = threading.Lock()  # PDFium is not made for threads
_MAX_KEPT = 24  # pages of the current revision kept as pictures: 2 MB each for A4
_SCALE = 0.7  # of 72 dots an inch
_DRAWINGS = 10  # times the policy's pages, shared by all revisions
_MARGIN = 3.0  # points around a later seal that do not count: line ends and smoothing reach over its rectangle


@dataclass
class RenderedComparison:
    """Pages (from 1) that look different; ``compared`` is how many were looked at, ``failed`` that PDFium could not."""

    different: list[int] = field(default_factory=list)
    compared: int = 0
    failed: bool = False


def compare(
    revisions: Sequence[bytes],
    areas: Sequence[Areas],
    policy: VerificationPolicy,
    *,
    form: bool = True,
) -> list[RenderedComparison]:
    """Draw revisions page by page and compare each with the next one, every pixel outside of the step's areas.

    :param areas: for each step from one revision to the next: page number → rectangles in points of default user space where
        later seals and fields may show
    :param form: draw form fields too; a caller leaves them out where there are none but seals, whose pictures take longest to
        draw and whose objects it has compared one by one
    :returns: one result a step
    """
    results = [RenderedComparison() for _ in areas]
    limit = max(1, min(policy.limits.rendered_pages, _DRAWINGS * policy.limits.rendered_pages // len(revisions)))
    with ONE_AT_A_TIME, ExitStack() as opened:
        documents = [_open(data, opened, form) for data in revisions]
        for step, (one, other) in enumerate(pairwise(documents)):
            results[step].failed = one is None or other is None
        pages = min((len(d) for d in documents if d is not None), default=0)
        for index in range(min(pages, limit)):
            _compare_page(documents, index, areas, results, policy.limits.rendered_pixels, form)
    return results


def _open(data: bytes, opened: ExitStack, form: bool) -> Any | None:
    """The document as PDFium reads it, None where it does not."""
    try:
        document = opened.enter_context(pdfium.PdfDocument(data))
        if form:
            document.init_forms()  # without it PDFium leaves out what form fields show
        return document
    except (pdfium.PdfiumError, ValueError, OverflowError, MemoryError):
        return None


def _compare_page(
    documents: list[Any | None], index: int, areas: Sequence[Areas], results: list[RenderedComparison], pixels: int, form: bool
) -> None:
    """One page of every revision, each drawn once and held against the one before it."""
    before: tuple[_Picture | None, tuple[float, float]] | None = None
    for position, document in enumerate(documents):
        holes: list[tuple[int, int, int, int]] = []
        now: tuple[_Picture | None, tuple[float, float]] | None = None
        if document is not None:
            try:
                page = document[index]
                picture, size = _draw(page, pixels, form), page.get_size()
                rectangles = areas[position - 1].get(index + 1, []) if position else []
                holes = [_to_pixels(page, r, picture.width, picture.height) for r in rectangles]
                page.close()
                now = picture, size
            except (pdfium.PdfiumError, ValueError, OverflowError, MemoryError):
                now = None
        if position:
            result = results[position - 1]
            result.compared += 1
            if now is None or before is None:
                result.failed = True
            elif now[1] != before[1] or _differ(before[0], now[0], holes):
                result.different.append(index + 1)
        before = now


def _differ(a: _Picture | None, b: _Picture | None, holes: list[tuple[int, int, int, int]]) -> bool:
    if a is None or b is None or (a.width, a.height, a.stride) != (b.width, b.height, b.stride):
        return True
    if a.pixels == b.pixels:
        return False
    return any(_differs(a, b, y, holes) for y in range(a.height))


@dataclass
class _Picture:
    width: int
    height: int
    stride: int
    pixels: bytes  # a memoryview would be compared element by element


def _draw(page: Any, max_pixels: int, form: bool) -> _Picture:
    """Fifty dots an inch, in colour: enough for a changed figure to change a pixel; fewer where the page is huge."""
    width, height = page.get_size()
    scale = min(_SCALE, math.sqrt(max_pixels / max(1.0, width * height)))
    bitmap = page.render(scale=scale, grayscale=False, draw_annots=True, may_draw_forms=form, rev_byteorder=False)
    picture = _Picture(bitmap.width, bitmap.height, bitmap.stride, bytes(bitmap.buffer))
    bitmap.close()
    return picture


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
