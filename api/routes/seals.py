"""``/api/v1/seals`` and ``/api/v1/impressions``: the register of seals, sealing, and the register of use."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, Request, UploadFile
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field

from api.auth import Caller, node_of
from api.routes.common import KNOWN, Cursor, IdempotencyKey, Limit, errors
from api.schemas import ImpressionOut, Page, SealOut
from ceremonies.plain import plain
from crypto.errors import BadInput
from seals.placement import AnyPlacement, KeywordPlacement, Placement, StraddlePlacement

router = APIRouter(prefix="/api/v1", tags=["seals"], responses=KNOWN)


class SealCreate(BaseModel):
    """A seal to make. Without ``sample`` it needs an approved application."""

    owner_name: str = Field(min_length=1, max_length=200)
    owner_uscc: str = Field(min_length=18, max_length=18, description="Unified social credit code (GB 32100)")
    name: str | None = Field(None, max_length=200)
    kind: str = "statutory"
    label: str | None = Field(None, max_length=60)
    suites: list[Literal["rsa", "p256", "sm2"]] = ["rsa", "p256", "sm2"]
    sample: bool = True
    application: str | None = None


class Because(BaseModel):
    """Why a state is changed; kept on record."""

    reason: str = Field(min_length=1, max_length=2000)


class Voiding(Because):
    """Why a sealed document no longer stands, and what replaces it."""

    replaced_by: str | None = None


def _seal(found: Any) -> JSONResponse:
    return JSONResponse(plain(found))


@router.post(
    "/seals", operation_id="create_seal", response_model=SealOut, status_code=201, responses=errors(422), summary="Make a seal"
)
def create(request: Request, actor: Caller, wish: SealCreate, idempotency_key: IdempotencyKey = None) -> Any:
    """Makes the keys in the token, the certificates, the picture and the signed seal."""
    seal = node_of(request).seals.create(
        actor,
        owner_name=wish.owner_name,
        owner_uscc=wish.owner_uscc,
        name=wish.name,
        kind=wish.kind,
        label=wish.label,
        suites=tuple(wish.suites),
        sample=wish.sample,
        approved_application=wish.application,
        idempotency_key=idempotency_key,
    )
    return JSONResponse(plain(seal), 201)


@router.get("/seals", operation_id="list_seals", response_model=Page[SealOut], summary="The register of seals")
def list_seals(request: Request, actor: Caller, limit: Limit = 100, cursor: Cursor = None) -> Any:
    """The seals that the caller may see."""
    page = node_of(request).seals.list(actor, limit=limit, cursor=cursor)
    return JSONResponse({"items": plain(page.items), "next": page.next})


@router.get("/seals/{seal_id}", operation_id="show_seal", response_model=SealOut, responses=errors(404), summary="One seal")
def show(request: Request, actor: Caller, seal_id: str) -> Any:
    """By its ID or its esID."""
    return _seal(node_of(request).seals.show(actor, seal_id))


@router.post("/seals/{seal_id}/suspend", operation_id="suspend_seal", response_model=SealOut, responses=errors(404, 409))
def suspend(request: Request, actor: Caller, seal_id: str, why: Because) -> Any:
    """Suspend a seal; its certificates go on hold. Can be resumed."""
    return _seal(node_of(request).seals.suspend(actor, seal_id, reason=why.reason))


@router.post("/seals/{seal_id}/resume", operation_id="resume_seal", response_model=SealOut, responses=errors(404, 409))
def resume(request: Request, actor: Caller, seal_id: str, why: Because) -> Any:
    """Resume a suspended seal."""
    return _seal(node_of(request).seals.resume(actor, seal_id, reason=why.reason))


@router.post("/seals/{seal_id}/revoke", operation_id="revoke_seal", response_model=SealOut, responses=errors(404, 409))
def revoke(request: Request, actor: Caller, seal_id: str, why: Because) -> Any:
    """Revoke a seal and every certificate of it, for good."""
    return _seal(node_of(request).seals.revoke(actor, seal_id, reason=why.reason))


@router.post(
    "/impressions",
    operation_id="apply_seal",
    status_code=201,
    response_model=ImpressionOut,
    responses=errors(400, 404, 409, 413, 422),
    summary="Seal a document",
)
def apply(
    request: Request,
    actor: Caller,
    file: UploadFile,
    seal: Annotated[str, Form(max_length=100, description="ID or esID of the seal")],
    page: Annotated[int | None, Form(ge=1, description="Page, from 1")] = None,
    x_mm: Annotated[float | None, Form(description="Centre of the seal, from the left edge of the displayed page")] = None,
    y_mm: Annotated[float | None, Form(description="Centre of the seal, from the top edge of the displayed page")] = None,
    keyword: Annotated[str | None, Form(max_length=200, description="Seal over this text instead of at a place")] = None,
    straddle: Annotated[
        Literal["right", "left", "top", "bottom"] | None, Form(description="One seal cut over this edge of all pages")
    ] = None,
    format: Annotated[Literal["pades", "gm", "gm35275"] | None, Form()] = None,
    suite: Annotated[Literal["rsa", "p256", "sm2"] | None, Form()] = None,
    level: Annotated[Literal["B", "T", "LT", "LTA"], Form()] = "B",
    matter: Annotated[str, Form(max_length=64)] = "default",
    application: Annotated[str | None, Form(max_length=64)] = None,
    idempotency_key: IdempotencyKey = None,
) -> Any:
    """Applies the seal to the PDF; `document_url` of the answer gives the sealed document."""
    impression, _ = node_of(request).seals.apply(
        actor,
        file.file.read(),
        seal_id=seal,
        format=format,
        suite=suite,
        level=level,
        placement=placement(page, x_mm, y_mm, keyword, straddle),
        matter=matter,
        application=application,
        idempotency_key=idempotency_key,
    )
    found = plain(impression)
    return JSONResponse({**found, "document_url": f"/api/v1/impressions/{found['id']}/document"}, 201)


def placement(
    page: int | None, x_mm: float | None, y_mm: float | None, keyword: str | None, straddle: str | None = None
) -> AnyPlacement:
    """What a form says of the place.

    :raises BadInput: no whole place, or more than one
    """
    spot = any(number is not None for number in (page, x_mm, y_mm))
    if sum((spot, bool(keyword), bool(straddle))) > 1:
        raise BadInput(
            "Give one place: page, x_mm and y_mm, or a keyword, or an edge to straddle.",
            "盖章位置只能给一种：page、x_mm、y_mm，或关键字 keyword，或骑缝边 straddle。",
        )
    if straddle:
        return StraddlePlacement.at(straddle)
    if keyword:
        return KeywordPlacement(keyword)
    if page is None or x_mm is None or y_mm is None:
        raise BadInput(
            "Say where the seal goes: page, x_mm and y_mm, or a keyword, or an edge to straddle.",
            "请说明盖章位置：page、x_mm、y_mm，或关键字 keyword，或骑缝边 straddle。",
        )
    return Placement(page, x_mm, y_mm)


@router.get("/impressions", operation_id="list_impressions", response_model=Page[ImpressionOut], summary="The register of use")
def list_impressions(
    request: Request, actor: Caller, seal: str | None = None, limit: Limit = 100, cursor: Cursor = None
) -> Any:
    """Every use of a seal that the caller may see."""
    page = node_of(request).seals.list_impressions(actor, seal_id=seal, limit=limit, cursor=cursor)
    return JSONResponse({"items": plain(page.items), "next": page.next})


@router.get("/impressions/{impression_id}", operation_id="show_impression", response_model=ImpressionOut, responses=errors(404))
def show_impression(request: Request, actor: Caller, impression_id: str) -> Any:
    """One use of a seal."""
    return JSONResponse(plain(node_of(request).seals.show_impression(actor, impression_id)))


@router.get(
    "/impressions/{impression_id}/document",
    operation_id="impression_document",
    response_class=Response,
    responses={200: {"content": {"application/pdf": {"schema": {"type": "string", "format": "binary"}}}}, **errors(404)},
)
def impression_document(request: Request, actor: Caller, impression_id: str) -> Response:
    """The sealed document."""
    node = node_of(request)
    found = plain(node.seals.show_impression(actor, impression_id))
    name = f"{impression_id}.pdf"
    return Response(
        node.blobs.get(found["document_sha256"]),
        media_type="application/pdf",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


@router.post(
    "/impressions/{impression_id}/void",
    operation_id="void_impression",
    response_model=ImpressionOut,
    responses=errors(404, 409),
)
def void(request: Request, actor: Caller, impression_id: str, why: Voiding) -> Any:
    """Void a sealed document, or name the one that replaces it. Nothing is deleted."""
    voided = node_of(request).seals.void(actor, impression_id, reason=why.reason, replaced_by=why.replaced_by)
    return JSONResponse(plain(voided))
