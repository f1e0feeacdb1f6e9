"""Pages of documents as pictures with seals on them, for templates: everything in millimetres of the displayed page.

``templates/sheets.html`` draws them as SVG with the page as its view box: a seal has its true size and place in any zoom,
without a script and without a style attribute.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastapi import Request
from fastapi.responses import Response

from seals.inspection import Finding, Inspection, Inspector, PageFacts
from seals.placement import Placement, StraddlePlacement, share

THUMBS = 60
"""Pages shown small at each end of a long document; the others are reached by their number."""


@dataclass(frozen=True)
class Stamp:
    """A seal, or a slice of one, on a page: its box, which part of the picture shows, how large the whole is (mm)."""

    x: float
    y: float
    width: float
    height: float
    part: tuple[float, float, float, float]
    full: tuple[float, float]


def inspector_of(request: Request) -> Inspector:
    """The one that this application looks with."""
    inspector: Inspector = request.app.state.inspector
    return inspector


def stamps(inspection: Inspection, page: PageFacts, where: Placement | StraddlePlacement, seal: dict[str, Any]) -> list[Stamp]:
    """What of a seal placed ``where`` shows on ``page``."""
    width, height = seal["picture"]["width_mm"], seal["picture"]["height_mm"]
    if isinstance(where, Placement):
        if where.page != page.number:
            return []
        return [Stamp(where.x_mm - width / 2, where.y_mm - height / 2, width, height, (0, 0, width, height), (width, height))]
    if inspection.count < 2:
        return []
    position, slices = share(where.edge, page.number, inspection.count)
    if where.edge in ("right", "left"):
        part = width / slices
        x = page.width_mm - part if where.edge == "right" else 0.0
        return [Stamp(x, (page.height_mm - height) / 2, part, height, (position * part, 0, part, height), (width, height))]
    part = height / slices
    y = page.height_mm - part if where.edge == "bottom" else 0.0
    return [Stamp((page.width_mm - width) / 2, y, width, part, (0, position * part, width, part), (width, height))]


def thumbs(inspection: Inspection, shown: int | None = None) -> list[PageFacts]:
    """The pages that are shown small: all, or both ends and the one that is looked at."""
    pages = inspection.pages
    if len(pages) <= 2 * THUMBS:
        return list(pages)
    return [p for p in pages if p.number <= THUMBS or p.number > len(pages) - THUMBS or p.number == shown]


def marks(findings: list[Finding], page: int) -> list[Finding]:
    """Findings with a place on a page."""
    return [one for one in findings if one.page == page and one.box is not None]


def picture(data: bytes, media_type: str = "image/png") -> Response:
    """A picture of a document or seal. No browser keeps it: the next person at that desk may not be let in."""
    return Response(data, media_type=media_type)
