"""``/api/v1/enquiries``: questions about licences to other regions and from them, and their answers under seal."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field

from api.auth import Caller, node_of
from api.routes.common import KNOWN, Cursor, Limit, errors
from api.schemas import Open, Page

router = APIRouter(prefix="/api/v1", tags=["regions"], responses=KNOWN)


class EnquiryAsk(BaseModel):
    """A question to the region that issued a licence. What `particulars` say leaves this node as salted digests only."""

    region: str = Field(pattern=r"^[0-9]{6}$", examples=["310000"])
    identifier: str | None = Field(None, max_length=200, description="证照标识; or `document_sha256`, or both")
    document_sha256: str | None = Field(None, pattern=r"^[0-9a-f]{64}$")
    matter: str | None = Field(None, max_length=64, examples=["open-bank-account"])
    particulars: dict[str, str] = Field(
        default={}, max_length=10, description="As the document says them: holder, holder_code, number, issuer, valid_to, …"
    )
    remark: str | None = Field(None, max_length=300)


class EnquiryReply(BaseModel):
    """The answer is what the register says; a clerk confirms it, or declines with a reason."""

    remark: str | None = Field(None, max_length=300)
    declined: bool = False
    seal: str | None = Field(None, max_length=100, description="Where it is not clear under whose seal the answer goes")


class AnswerOut(Open):
    """Yes, no, or nothing on record (null); never a particular."""

    outcome: Literal["yes", "no", "declined"]
    in_force: bool | None
    document: bool | None
    particulars: dict[str, bool | None]
    organ: str


class EnquiryOut(Open):
    """An enquiry as it stands; ``direction`` tells ours (`out`) from those of other regions (`in`)."""

    id: str
    status: Literal["open", "answered", "undeliverable"]
    direction: Literal["out", "in"]
    region: str
    asked_at: datetime
    due_at: datetime
    answer: AnswerOut | None = None
    letter_url: str | None = None


@router.post(
    "/enquiries",
    operation_id="send_enquiry",
    status_code=201,
    response_model=EnquiryOut,
    responses=errors(400, 404, 422),
    summary="Ask the region that issued a licence",
)
def send(request: Request, actor: Caller, wish: EnquiryAsk) -> Any:
    """Is it in force, is this its document, do these particulars agree: yes or no, under the issuing organ's seal."""
    return JSONResponse(_with_letter(node_of(request).enquiries.send(actor, **wish.model_dump())), 201)


@router.get("/enquiries", operation_id="list_enquiries", response_model=Page[EnquiryOut])
def list_enquiries(
    request: Request,
    actor: Caller,
    direction: Literal["out", "in"] | None = None,
    status: Literal["open", "answered"] | None = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Any:
    """Those that the caller may see, newest first."""
    page = node_of(request).enquiries.list(actor, direction=direction, status=status, limit=limit, cursor=cursor)
    return JSONResponse({"items": [_with_letter(one) for one in page.items], "next": page.next})


@router.get("/enquiries/{enquiry_id}", operation_id="show_enquiry", response_model=EnquiryOut, responses=errors(404))
def show(request: Request, actor: Caller, enquiry_id: str) -> Any:
    """With what the register would answer (`register`), for those who may."""
    return JSONResponse(_with_letter(node_of(request).enquiries.show(actor, enquiry_id)))


@router.post(
    "/enquiries/{enquiry_id}/answer",
    operation_id="answer_enquiry",
    response_model=EnquiryOut,
    responses=errors(400, 404, 409, 422),
)
def answer(request: Request, actor: Caller, enquiry_id: str, reply: EnquiryReply) -> Any:
    """As the register has it, under the seal of the organ that issued the licence."""
    node = node_of(request)
    found = node.enquiries.answer(actor, enquiry_id, remark=reply.remark, declined=reply.declined, seal_id=reply.seal)
    return JSONResponse(_with_letter(found))


@router.get(
    "/enquiries/{enquiry_id}/letter",
    operation_id="enquiry_letter",
    response_class=Response,
    responses={200: {"content": {"application/pdf": {}}}, **errors(404)},
)
def letter(request: Request, actor: Caller, enquiry_id: str) -> Response:
    """The sealed letter; ``answer.json`` is attached to it."""
    data = node_of(request).enquiries.letter(actor, enquiry_id)
    headers = {"Content-Disposition": f'attachment; filename="{enquiry_id}.pdf"'}
    return Response(data, media_type="application/pdf", headers=headers)


def _with_letter(found: dict[str, Any]) -> dict[str, Any]:
    url = f"/api/v1/enquiries/{found['id']}/letter" if found["letter_sha256"] else None
    return {**found, "letter_url": url}
