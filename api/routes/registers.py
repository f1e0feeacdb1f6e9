"""``/api/v1/keys``, ``/audit`` and ``/trust-lists``: what officers and auditors look at."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, StreamingResponse

from api.auth import Caller, node_of
from api.routes.common import KNOWN, Cursor, Limit, errors
from api.schemas import KeyOut, LeafOut, LogStateOut, Page, TrustListOut
from ceremonies.plain import plain

router = APIRouter(prefix="/api/v1", responses=KNOWN)


@router.get("/keys", operation_id="list_keys", tags=["keys"], response_model=Page[KeyOut], summary="Key roles and generations")
def keys(request: Request, actor: Caller) -> Any:
    """Public halves only; private keys never leave the token."""
    node = node_of(request)
    node.authorise(actor, "key.list")
    return JSONResponse({"items": plain(node.list_keys()), "next": None})


@router.get(
    "/audit", operation_id="list_audit", tags=["audit"], response_model=Page[LeafOut], summary="Entries of the audit log"
)
def audit(request: Request, actor: Caller, subject: str | None = None, limit: Limit = 100, cursor: Cursor = None) -> Any:
    """Newest first; `subject` keeps to one object's history."""
    node = node_of(request)
    node.authorise(actor, "audit.read")
    if subject:
        found = node.audit.history(subject, limit=limit, before=cursor)
    else:
        found = node.audit.entries(limit=limit, before=cursor)
    return JSONResponse({"items": plain(found), "next": found[-1].id if len(found) == limit else None})


@router.get(
    "/audit/state", operation_id="audit_state", tags=["audit"], response_model=LogStateOut, summary="How the log stands"
)
def audit_state(request: Request, actor: Caller) -> Any:
    """Size, what waits for the sequencer, and whether it waits too long."""
    node = node_of(request)
    node.authorise(actor, "audit.read")
    state = node.audit.state()
    return JSONResponse({"size": state.size, "pending": state.pending, "alarm": state.alarm})


@router.get(
    "/audit/{leaf_id}/proof", operation_id="prove_audit", tags=["audit"], responses=errors(404, 409), summary="Prove an entry"
)
def prove(request: Request, actor: Caller, leaf_id: str) -> dict[str, Any]:
    """For `xinyin audit verify FILE --trust KEY`, offline; 409 until a checkpoint covers the entry."""
    node = node_of(request)
    node.authorise(actor, "audit.prove")
    return node.audit.prove(leaf_id)


@router.get(
    "/audit-export",
    operation_id="export_audit",
    tags=["audit"],
    response_class=StreamingResponse,
    responses={200: {"content": {"application/jsonl": {"schema": {"type": "string"}}}}, **errors(409)},
    summary="The whole log",
)
def export(request: Request, actor: Caller) -> StreamingResponse:
    """One JSON object a line, for `xinyin audit verify FILE`."""
    node = node_of(request)
    node.authorise(actor, "audit.export")
    lines = node.audit.export()
    first = next(lines)  # a refusal must come before the answer has begun

    def text() -> Any:
        yield first
        yield from lines

    return StreamingResponse(text(), media_type="application/jsonl")


@router.get(
    "/trust-lists",
    operation_id="list_trust_lists",
    tags=["trust"],
    response_model=Page[TrustListOut],
    summary="Trust lists in use",
)
def trust_lists(request: Request, actor: Caller) -> Any:
    """Our own list and imported ones, with their state."""
    node = node_of(request)
    node.authorise(actor, "trust.list")
    return JSONResponse({"items": plain(node.trust.lists()), "next": None})
