"""``/api/v1/keys`` and ``/trust-lists``: what officers and auditors look at."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from api.auth import Caller, node_of
from api.routes.common import KNOWN
from api.schemas import KeyOut, Page, TrustListOut
from ceremonies.plain import plain

router = APIRouter(prefix="/api/v1", responses=KNOWN)


@router.get("/keys", operation_id="list_keys", tags=["keys"], response_model=Page[KeyOut], summary="Key roles and generations")
def keys(request: Request, actor: Caller) -> Any:
    """Public halves only; private keys never leave the token."""
    node = node_of(request)
    node.authorise(actor, "key.list")
    return JSONResponse({"items": plain(node.list_keys()), "next": None})


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
