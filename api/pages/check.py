"""Where a 查验码 is typed: the twelve characters on an annotated copy, for whoever has the paper and nothing that scans."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from fastapi.responses import Response

from api import checking, render
from api.auth import CurrentSession
from crypto.errors import XinyinError
from policies.presenting import matters

router = APIRouter(include_in_schema=False)


@router.get("/check")
def ask(request: Request, session: CurrentSession) -> Response:
    """The form."""
    return _page(request)


@router.post("/check")
def look(
    request: Request,
    session: CurrentSession,
    code: Annotated[str, Form(max_length=200)] = "",
    matter: Annotated[str, Form(max_length=64)] = "",
) -> Response:
    """What the copy with this 查验码 says and how it stands: the same page as for its printed code."""
    try:
        verdict = checking.verdict_of(request, code, matter or None)
    except XinyinError as exc:
        problem = {"message": exc.message, "message_zh": exc.message_zh, "unknown": exc.status == 404}
        return _page(request, exc.status, code=code[:40], matter=matter, problem=problem)
    return checking.to_result(request, verdict)


def _page(request: Request, status: int = 200, **values: Any) -> Response:
    node = request.app.state.node
    offered = {"code": "", "matter": "", "problem": None, "matters": list(matters(node.home).values())}
    return render.page(request, "check.html", status, here="verify", **{**offered, **values})
