"""``/api/v1/approvals`` and ``/officer-keys``: what officers are asked, what they signed, and what they sign with."""

from __future__ import annotations

import binascii
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, Field

from api.auth import Caller, node_of
from api.routes.common import KNOWN, Cursor, Limit, errors
from api.schemas import Open, Page
from ceremonies.plain import plain
from crypto.errors import BadInput
from formats.approvals import unpack
from policies.limits import APPROVAL_HOURS, APPROVAL_LONGEST_HOURS

router = APIRouter(prefix="/api/v1", tags=["approvals"], responses=KNOWN)

Base64 = Annotated[str, Field(max_length=100_000, description="Base64 (RFC 4648 §4)")]


class Given(Open):
    """One officer's approval; ``counts`` is false once its giver or key no longer counts."""

    account: str
    name: str
    kind: Literal["passkey", "certificate"]
    key: str
    at: datetime
    counts: bool


class ApprovalOut(Open):
    """A step that officers are asked to approve. They sign ``document``; ``digest`` is the SHA-256 of its canonical JSON."""

    id: str
    status: Literal["open", "granted", "used", "refused", "withdrawn", "expired"]
    action: str
    subject: dict[str, str]
    statement: dict[str, Any]
    document: dict[str, Any]
    digest: str
    words_en: str
    words_zh: str
    needed: int
    given: list[Given]
    requested_by: str
    requested_at: datetime
    expires_at: datetime
    can: list[str]


class OfficerKeyOut(Open):
    """A key that an officer approves with; ``approval`` asks two officers to approve it, where the rules want that."""

    id: str
    status: Literal["proposed", "confirmed", "removed"]
    account: str
    name: str
    kind: Literal["passkey", "certificate"]
    label: str
    sha256: str
    approval: str | None = None


class ApprovalRequest(BaseModel):
    """A step on a key. What exactly will happen, and its words, the node says itself."""

    action: Literal["key.stage", "key.activate", "key.retire", "key.destroy"]
    target: str = Field(max_length=64, description="A key role for `key.stage`, else a key generation")
    hours: int = Field(APPROVAL_HOURS, ge=1, le=APPROVAL_LONGEST_HOURS)


class ApprovalSignature(BaseModel):
    """Either a passkey's assertion over the digest, or a signature over the document."""

    signature: Base64 | None = None
    assertion: dict[str, Any] | None = None
    origin: str | None = Field(None, max_length=300, description="Of the page that asked for the assertion")


class Reason(BaseModel):
    """Why not."""

    reason: str = Field(min_length=1, max_length=1000)


class OfficerKeyNew(BaseModel):
    """A certificate with its proof (a signature over the challenge), or one of the own passkeys."""

    certificate: str | None = Field(None, max_length=100_000, description="PEM")
    proof: Base64 | None = None
    passkey: str | None = Field(None, max_length=2000, description="Credential identifier, base64url")
    label: str = Field("", max_length=200)


class CertificateIn(BaseModel):
    """A certificate to be enrolled."""

    certificate: str = Field(max_length=100_000, description="PEM")


class Confirmation(BaseModel):
    """The approval by two officers, where there has been a quorum."""

    approval: str | None = Field(None, max_length=64)


@router.get("/approvals", operation_id="list_approvals", response_model=Page[ApprovalOut])
def list_approvals(
    request: Request,
    actor: Caller,
    status: Literal["open", "granted", "used", "refused", "withdrawn", "expired"] | None = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Any:
    """What officers were asked, newest first."""
    items, more = node_of(request).approvals.list(actor, status=status, limit=limit, cursor=cursor)
    return JSONResponse({"items": plain(items), "next": more})


@router.post(
    "/approvals", operation_id="request_approval", status_code=201, response_model=ApprovalOut, responses=errors(400, 404, 409)
)
def request_approval(request: Request, actor: Caller, wish: ApprovalRequest) -> Any:
    """Ask officers to approve a step on a key; the same step asked again while it is open is the same request."""
    node = node_of(request)
    node.authorise(actor, "approval.request")
    step = node.keys.foresee(wish.action, wish.target)
    made = node.approvals.request(
        actor,
        action=step.action,
        subject=step.subject,
        statement=step.statement,
        words_zh=step.words_zh,
        words_en=step.words_en,
        hours=wish.hours,
    )
    return JSONResponse(plain(made), 201)


@router.get("/approvals/{approval_id}", operation_id="show_approval", response_model=ApprovalOut, responses=errors(404))
def show(request: Request, actor: Caller, approval_id: str) -> Any:
    """What will happen, in words and exactly, and who approved it."""
    return JSONResponse(plain(node_of(request).approvals.show(actor, approval_id)))


@router.get(
    "/approvals/{approval_id}/document",
    operation_id="approval_document",
    response_class=Response,
    responses={200: {"content": {"application/json": {}}, "description": "The very bytes that are signed"}, **errors(404)},
)
def document(request: Request, actor: Caller, approval_id: str) -> Response:
    """The bytes that a certificate signs; their SHA-256 is a passkey's challenge."""
    data = node_of(request).approvals.document(actor, approval_id)
    return Response(data, media_type="application/json")


@router.post(
    "/approvals/{approval_id}/assertion-options",
    operation_id="approval_assertion_options",
    response_model=Open,
    responses=errors(403, 404),
)
def assertion_options(request: Request, actor: Caller, approval_id: str) -> Any:
    """What a browser needs to ask the officer's passkey for an assertion over the digest."""
    return JSONResponse(node_of(request).approvals.passkey_options(actor, approval_id))


@router.post(
    "/approvals/{approval_id}/signatures",
    operation_id="sign_approval",
    response_model=ApprovalOut,
    responses=errors(400, 404, 409),
)
def sign(request: Request, actor: Caller, approval_id: str, given: ApprovalSignature) -> Any:
    """Approve, with a key of one's own: the signature is checked over exactly this request before it is kept."""
    approvals = node_of(request).approvals
    if (given.signature is None) == (given.assertion is None):
        raise BadInput("Send either `signature` or `assertion`.", "请提交 signature 或 assertion 其中之一。")
    if given.signature is not None:
        return JSONResponse(plain(approvals.sign_with_certificate(actor, approval_id, _bytes(given.signature))))
    origin = given.origin or request.headers.get("origin", "")
    return JSONResponse(plain(approvals.sign_with_passkey(actor, approval_id, given.assertion or {}, origin=origin)))


@router.post(
    "/approvals/{approval_id}/refuse",
    operation_id="refuse_approval",
    response_model=ApprovalOut,
    responses=errors(400, 404, 409),
)
def refuse(request: Request, actor: Caller, approval_id: str, why: Reason) -> Any:
    """One officer's no ends the request."""
    return JSONResponse(plain(node_of(request).approvals.refuse(actor, approval_id, reason=why.reason)))


@router.post(
    "/approvals/{approval_id}/withdraw",
    operation_id="withdraw_approval",
    response_model=ApprovalOut,
    responses=errors(404, 409),
)
def withdraw(request: Request, actor: Caller, approval_id: str) -> Any:
    """Take the request back."""
    return JSONResponse(plain(node_of(request).approvals.withdraw(actor, approval_id)))


@router.get("/officer-keys", operation_id="list_officer_keys", response_model=Page[OfficerKeyOut])
def list_keys(request: Request, actor: Caller, account: str | None = None) -> Any:
    """The keys that officers approve with."""
    return JSONResponse({"items": plain(node_of(request).approvals.keys.list(actor, account=account)), "next": None})


@router.post(
    "/officer-keys/challenge",
    operation_id="officer_key_challenge",
    response_class=Response,
    responses={200: {"content": {"application/json": {}}, "description": "The very bytes to sign"}, **errors(400)},
)
def challenge(request: Request, actor: Caller, wish: CertificateIn) -> Response:
    """What the caller signs with a certificate's key to enrol it."""
    node = node_of(request)
    node.authorise(actor, "approval.enrol")
    return Response(node.approvals.keys.challenge(actor, wish.certificate.encode()), media_type="application/json")


@router.post(
    "/officer-keys",
    operation_id="enrol_officer_key",
    status_code=201,
    response_model=OfficerKeyOut,
    responses=errors(400, 409),
)
def enrol(request: Request, actor: Caller, wish: OfficerKeyNew) -> Any:
    """Put a key of one's own forward; it counts once it is confirmed."""
    keys = node_of(request).approvals.keys
    if wish.passkey is not None:
        return JSONResponse(plain(keys.propose_passkey(actor, wish.passkey)), 201)
    if wish.certificate is None or wish.proof is None:
        raise BadInput("Send `certificate` with `proof`, or `passkey`.", "请提交 certificate 与 proof，或 passkey。")
    made = keys.propose_certificate(actor, wish.certificate.encode(), _bytes(wish.proof), wish.label)
    return JSONResponse(plain(made), 201)


@router.post(
    "/officer-keys/{key_id}/confirm",
    operation_id="confirm_officer_key",
    response_model=OfficerKeyOut,
    responses=errors(404, 409),
)
def confirm(request: Request, actor: Caller, key_id: str, wish: Confirmation) -> Any:
    """Confirm that the key is the officer's."""
    return JSONResponse(plain(node_of(request).approvals.keys.confirm(actor, key_id, approval=wish.approval)))


@router.post(
    "/officer-keys/{key_id}/remove", operation_id="remove_officer_key", response_model=OfficerKeyOut, responses=errors(404)
)
def remove(request: Request, actor: Caller, key_id: str) -> Any:
    """The key approves nothing more."""
    return JSONResponse(plain(node_of(request).approvals.keys.remove(actor, key_id)))


def _bytes(text: str) -> bytes:
    try:
        return unpack("".join(text.split()))
    except (ValueError, binascii.Error) as exc:
        raise BadInput("The signature is not base64.", "签名不是 Base64 编码。") from exc
