"""``/api/v1/licences``: the catalogue, issuing, and the life of a licence."""

from __future__ import annotations

from datetime import date
from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field

from api.auth import Caller, node_of
from api.routes.common import KNOWN, Cursor, IdempotencyKey, Limit, Moment, errors
from api.schemas import LicenceOut, LicenceTypeOut, Page
from ceremonies.plain import plain

router = APIRouter(prefix="/api/v1", tags=["licences"], responses=KNOWN)


class LicenceIssue(BaseModel):
    """A licence to issue; what ``data`` holds depends on the type (``GET /licence-types``)."""

    type: str = Field(max_length=64, examples=["business-licence"])
    data: dict[str, Any]
    seal: str | None = Field(None, max_length=100, description="The authority's seal, where several could issue")
    matter: str = Field("default", max_length=64)
    application: str | None = Field(None, max_length=64)


class LicenceChange(BaseModel):
    """The whole content of the changed licence (变更)."""

    data: dict[str, Any]
    matter: str = Field("default", max_length=64)
    application: str | None = Field(None, max_length=64)


class Basis(BaseModel):
    """On what ground a licence's state changes; kept on record."""

    basis: str = Field(min_length=1, max_length=2000)


class Revocation(Basis):
    """撤销 may act from the start, the others forward."""

    kind: Literal["撤销", "撤回", "吊销", "注销"]
    effective: date | None = None


@router.get("/licence-types", operation_id="licence_types", response_model=Page[LicenceTypeOut], summary="The catalogue")
def types(request: Request) -> Any:
    """Open to everyone."""
    return JSONResponse({"items": plain(node_of(request).licences.types()), "next": None})


@router.post(
    "/licences", operation_id="issue_licence", status_code=201, response_model=LicenceOut, responses=errors(400, 409, 422)
)
def issue(request: Request, actor: Caller, wish: LicenceIssue, idempotency_key: IdempotencyKey = None) -> Any:
    """Issue a licence; `document_url` of the answer gives the PDF."""
    node = node_of(request)
    licence, _ = node.licences.issue(
        actor,
        wish.type,
        wish.data,
        seal_id=wish.seal,
        matter=wish.matter,
        application=wish.application,
        idempotency_key=idempotency_key,
    )
    node.renew_trust()
    return JSONResponse(_with_document(plain(licence)), 201)


@router.post(
    "/licences/{licence_id}/change",
    operation_id="change_licence",
    status_code=201,
    response_model=LicenceOut,
    responses=errors(400, 404, 409, 422),
)
def change(
    request: Request, actor: Caller, licence_id: str, wish: LicenceChange, idempotency_key: IdempotencyKey = None
) -> Any:
    """变更: the next version under the same serial number; the old one is superseded."""
    licence, _ = node_of(request).licences.change(
        actor,
        licence_id,
        wish.data,
        matter=wish.matter,
        application=wish.application,
        idempotency_key=idempotency_key,
    )
    return JSONResponse(_with_document(plain(licence)), 201)


@router.get("/licences", operation_id="list_licences", response_model=Page[LicenceOut])
def list_licences(request: Request, actor: Caller, limit: Limit = 100, cursor: Cursor = None) -> Any:
    """The licences that the caller may see."""
    page = node_of(request).licences.list(actor, limit=limit, cursor=cursor)
    return JSONResponse({"items": plain(page.items), "next": page.next})


@router.get("/licences/{licence_id}", operation_id="show_licence", response_model=LicenceOut, responses=errors(404))
def show(request: Request, actor: Caller, licence_id: str, at: Moment | None = None) -> Any:
    """By ID or identifier; `at` gives the state as of that time."""
    return JSONResponse(_with_document(plain(node_of(request).licences.show(actor, licence_id, at=at))))


@router.get(
    "/licences/{licence_id}/document",
    operation_id="licence_document",
    response_class=Response,
    responses={200: {"content": {"application/pdf": {"schema": {"type": "string", "format": "binary"}}}}, **errors(404)},
)
def document(request: Request, actor: Caller, licence_id: str) -> Response:
    """The issued PDF."""
    node = node_of(request)
    found = plain(node.licences.show(actor, licence_id))
    headers = {"Content-Disposition": f'attachment; filename="{found["id"]}.pdf"'}
    return Response(node.blobs.get(found["blob"]), media_type="application/pdf", headers=headers)


@router.post(
    "/licences/{licence_id}/suspend", operation_id="suspend_licence", response_model=LicenceOut, responses=errors(404, 409)
)
def suspend(request: Request, actor: Caller, licence_id: str, why: Basis) -> Any:
    """暂扣."""
    return JSONResponse(plain(node_of(request).licences.suspend(actor, licence_id, basis=why.basis)))


@router.post(
    "/licences/{licence_id}/resume", operation_id="resume_licence", response_model=LicenceOut, responses=errors(404, 409)
)
def resume(request: Request, actor: Caller, licence_id: str, why: Basis) -> Any:
    """发还."""
    return JSONResponse(plain(node_of(request).licences.resume(actor, licence_id, basis=why.basis)))


@router.post(
    "/licences/{licence_id}/revoke", operation_id="revoke_licence", response_model=LicenceOut, responses=errors(404, 409)
)
def revoke(request: Request, actor: Caller, licence_id: str, why: Revocation) -> Any:
    """撤销, 撤回, 吊销 or 注销."""
    licence = node_of(request).licences.revoke(actor, licence_id, kind=why.kind, effective=why.effective, basis=why.basis)
    return JSONResponse(plain(licence))


def _with_document(licence: dict[str, Any]) -> dict[str, Any]:
    return {**licence, "document_url": f"/api/v1/licences/{licence['id']}/document"}
