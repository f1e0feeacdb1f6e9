"""``/api/v1/trust-lists``: which trust lists are in use."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from api.auth import Caller, node_of
from api.routes.common import KNOWN
from api.schemas import Page, TrustListOut
from ceremonies.plain import plain

router = APIRouter(prefix="/api/v1", responses=KNOWN)


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
