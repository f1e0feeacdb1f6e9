"""The seal desk in its smallest form: a signed-in person seals a PDF (applications come later)."""

from __future__ import annotations

import secrets
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, Request, UploadFile
from fastapi.responses import RedirectResponse, Response

from api import render
from api.auth import CurrentSession, node_of
from api.routes.seals import impression_document, placement
from api.sessions import Session, demand
from ceremonies.plain import plain
from crypto.errors import BadInput, Unauthenticated, XinyinError
from policies.limits import DOCUMENT_BYTES

router = APIRouter(include_in_schema=False)


@router.get("/desk")
def desk(request: Request, session: CurrentSession) -> Response:
    """The form to seal a PDF, and what was sealed lately."""
    if session is None:
        return RedirectResponse("/signin", 303)
    return _desk(request, session)


@router.post("/desk/seal")
def seal(
    request: Request,
    session: CurrentSession,
    seal: Annotated[str, Form(max_length=100)],
    file: UploadFile | None = None,
    csrf: Annotated[str, Form(max_length=200)] = "",
    once: Annotated[str, Form(max_length=64)] = "",
    page: Annotated[str, Form(max_length=6)] = "",
    x_mm: Annotated[str, Form(max_length=8)] = "",
    y_mm: Annotated[str, Form(max_length=8)] = "",
    suite: Annotated[Literal["rsa", "p256", "sm2"], Form()] = "rsa",
) -> Response:
    """Seal the posted PDF. ``once`` makes a form that is sent twice one use of the seal."""
    if session is None:
        raise Unauthenticated("Sign in first.", "请先登录。")
    demand(session.csrf, csrf)
    try:
        if file is None or not file.filename:
            raise BadInput("Choose a PDF first.", "请先选择一个 PDF 文件。")
        impression, _ = node_of(request).seals.apply(
            session.account,
            file.file.read(),
            seal_id=seal,
            format="gm" if suite == "sm2" else "pades",
            suite=suite,
            level="LTA",
            placement=placement(*_place(page, x_mm, y_mm), None),
            idempotency_key=once or None,
        )
    except XinyinError as exc:
        return _desk(request, session, exc.status, problem=exc.to_dict())
    return RedirectResponse(f"/desk?done={plain(impression)['id']}", 303)


@router.get("/desk/{impression_id}.pdf")
def document(request: Request, session: CurrentSession, impression_id: str) -> Response:
    """The sealed document."""
    if session is None:
        return RedirectResponse("/signin", 303)
    return impression_document(request, session.account, impression_id)


def _place(page: str, x_mm: str, y_mm: str) -> tuple[int, float, float]:
    try:
        return int(page), float(x_mm), float(y_mm)
    except ValueError as exc:
        raise BadInput("Page and millimetres are numbers.", "页码和毫米数须为数字。") from exc


def _desk(request: Request, session: Session, status: int = 200, **values: Any) -> Response:
    node = node_of(request)
    seals = [s for s in plain(node.seals.list(session.account, limit=1000, cursor=None).items) if s["status"] == "in-force"]
    impressions = plain(node.seals.list_impressions(session.account, seal_id=None, limit=20, cursor=None).items)
    done = request.query_params.get("done", "")
    return render.page(
        request,
        "desk.html",
        status,
        here="desk",
        seals=seals,
        seal_names={s["id"]: s["name"] for s in seals},
        impressions=impressions,
        done=done if any(i["id"] == done for i in impressions) else "",
        once=secrets.token_hex(16),
        limit_text=render.size_text(DOCUMENT_BYTES),
        **values,
    )
