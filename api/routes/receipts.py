"""``/api/v1/receipts`` and what follows from them: slips, going on provisionally 容缺受理, and the uses that holders see."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field

from api.auth import Caller, node_of
from api.routes.common import KNOWN, Cursor, Limit, errors
from api.schemas import CheckedReceiptOut, Page, ProvisionalOut, ReceiptOut, SlipOut
from verify.receipt import MAX_BYTES, check

router = APIRouter(prefix="/api/v1", tags=["receipts"])


class Compact(BaseModel):
    """A receipt as it was handed over."""

    jws: str = Field(max_length=MAX_BYTES, description="The compact JWS")


class GoOn(BaseModel):
    """Why it goes on, under whom, and what the applicant brings until when."""

    supervisor: str = Field(max_length=64, description="Account identifier of a signer-off of the department, not oneself")
    reason: str = Field(min_length=2, max_length=500)
    bring: str = Field(min_length=2, max_length=500, description="As the slip says it: nothing personal")
    until: date


class Decide(BaseModel):
    """The supervisor's decision."""

    confirm: bool
    note: str = Field("", max_length=500)


@router.get("/receipts", operation_id="list_receipts", response_model=Page[ReceiptOut], responses=KNOWN)
def list_receipts(request: Request, actor: Caller, limit: Limit = 100, cursor: Cursor = None) -> Any:
    """Receipts of one's own and of one's department, newest first. One is made with POST /verifications and receipt=true."""
    page = node_of(request).receipts.list(actor, limit=limit, cursor=cursor)
    return {"items": page.items, "next": page.next}


@router.post("/receipts/check", operation_id="check_receipt", response_model=CheckedReceiptOut, responses=errors(400))
def check_receipt(request: Request, wish: Compact) -> Any:
    """Whether a listed receipt key signed this receipt; open to everyone."""
    return JSONResponse(check(wish.jws, node_of(request).trust_store()))


@router.get(
    "/receipts/{receipt_id}", operation_id="show_receipt", response_model=ReceiptOut, responses={**KNOWN, **errors(404)}
)
def show(request: Request, actor: Caller, receipt_id: str) -> Any:
    """One receipt with what it says."""
    return node_of(request).receipts.show(actor, receipt_id)


@router.get(
    "/receipts/{receipt_id}/jws",
    operation_id="download_receipt",
    response_class=Response,
    responses={**KNOWN, **errors(404), 200: {"content": {"application/jose": {}}}},
)
def download(request: Request, actor: Caller, receipt_id: str) -> Response:
    """The receipt as a file, for the file."""
    found = node_of(request).receipts.show(actor, receipt_id)
    return as_file(found)


def as_file(receipt: dict[str, Any]) -> Response:
    """A receipt to keep beside the document."""
    name = f"{receipt['id']}.jws"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(receipt["jws"], media_type="application/jose", headers=headers)


@router.post(
    "/receipts/{receipt_id}/provisional",
    operation_id="go_on_provisionally",
    status_code=201,
    response_model=ProvisionalOut,
    responses={**KNOWN, **errors(400, 404, 409)},
)
def go_on(request: Request, actor: Caller, receipt_id: str, wish: GoOn) -> Any:
    """Go on although the answer was to check; the supervisor is asked to confirm, the slip tells the applicant."""
    made = node_of(request).provisionals.record(
        actor, receipt_id, supervisor=wish.supervisor, reason=wish.reason, bring=wish.bring, until=wish.until
    )
    return JSONResponse(made, 201)


@router.get("/provisionals", operation_id="list_provisionals", response_model=Page[ProvisionalOut], responses=KNOWN)
def list_provisionals(
    request: Request,
    actor: Caller,
    waiting: Annotated[bool, Query(description="Only those that wait for the caller's own decision")] = False,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Any:
    """What the department goes on with, newest first."""
    page = node_of(request).provisionals.list(actor, waiting=waiting, limit=limit, cursor=cursor)
    return {"items": page.items, "next": page.next}


@router.get(
    "/provisionals/{provisional_id}",
    operation_id="show_provisional",
    response_model=ProvisionalOut,
    responses={**KNOWN, **errors(404)},
)
def show_provisional(request: Request, actor: Caller, provisional_id: str) -> Any:
    """One, with who recorded it, who decides, and how it stands."""
    return node_of(request).provisionals.show(actor, provisional_id)


@router.post(
    "/provisionals/{provisional_id}/decide",
    operation_id="decide_provisional",
    response_model=ProvisionalOut,
    responses={**KNOWN, **errors(404)},
)
def decide(request: Request, actor: Caller, provisional_id: str, wish: Decide) -> Any:
    """The named supervisor confirms, or does not."""
    return node_of(request).provisionals.decide(actor, provisional_id, confirm=wish.confirm, note=wish.note)


@router.post(
    "/provisionals/{provisional_id}/fulfil",
    operation_id="fulfil_provisional",
    response_model=ProvisionalOut,
    responses={**KNOWN, **errors(404)},
)
def fulfil(request: Request, actor: Caller, provisional_id: str) -> Any:
    """The applicant brought what was outstanding."""
    return node_of(request).provisionals.fulfil(actor, provisional_id)


@router.get("/slips/{slip}", operation_id="show_slip", response_model=SlipOut, responses=errors(404))
def slip(request: Request, slip: str) -> Any:
    """What an applicant's slip says, open to whoever was given its code; nothing about persons."""
    return JSONResponse(node_of(request).provisionals.slip(slip))
