"""What the applicant outside follows by a link: the state of an application in words, nothing personal. Prints as a receipt."""

from __future__ import annotations

import segno
from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response
from markupsafe import Markup

from api import render
from api.auth import CurrentSession, node_of
from crypto.errors import TooManyRequests, XinyinError

router = APIRouter(include_in_schema=False)

_TONES = {
    "approved": "good", "sealed": "good", "delivered": "good", "returned": "doubt", "replaced": "doubt", "refused": "bad",
    "voided": "bad",
}  # fmt: skip


@router.get("/t")
def ask(request: Request, session: CurrentSession, code: str = "") -> Response:
    """The form for a code that was read out or printed; it leads to that code's page."""
    typed = "".join(c for c in code[:100].upper() if c.isalnum() and c.isascii())[:40]
    return RedirectResponse(f"/t/{typed}", 303) if typed else _ask(request)


@router.get("/t/{code}")
def track(request: Request, session: CurrentSession, code: str) -> Response:
    """The state of an application. :raises TooManyRequests: guessed at from one place"""
    try:
        found = node_of(request).seals.applications.track(code)
    except XinyinError as exc:
        if not request.app.state.track_limit.allow(request.client.host if request.client else "?"):
            raise TooManyRequests("Too many attempts from here; wait a little.", "尝试次数过多，请稍候再试。") from exc
        return _ask(request, 404, code=code[:40], unknown=True)
    address = f"{request.base_url}t/{found['code']}"
    return render.page(
        request,
        "track.html",
        here="track",
        a=found,
        tone=_TONES.get(found["status"], "none"),
        address=address,
        code=" ".join(found["code"][i : i + 4] for i in range(0, len(found["code"]), 4)),
        qr=Markup(segno.make(address, error="m").svg_inline(omitsize=True, border=2)),  # noqa: S704 - made here
    )


def _ask(request: Request, status: int = 200, *, code: str = "", unknown: bool = False) -> Response:
    return render.page(request, "track-ask.html", status, here="track", code=code, unknown=unknown)
