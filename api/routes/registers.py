"""``/api/v1/trust-lists``: which regions this node trusts, importing others, and what is held of their states."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from api.auth import Caller, node_of
from api.routes.common import KNOWN, Moment, errors
from api.schemas import Open, Page, TrustListOut
from ceremonies.plain import plain
from crypto.errors import BadInput
from verify.trust import TrustList

router = APIRouter(prefix="/api/v1", tags=["trust"], responses=KNOWN)


class TrustListWish(BaseModel):
    """A region to be trusted: the address of its list, or the list itself; one of them."""

    model_config = ConfigDict(extra="forbid")

    url: Annotated[str | None, Field(max_length=2048, description="Where the list is; it is refreshed from there")] = None
    content: Annotated[str | None, Field(alias="list", max_length=8 << 20, description="The list itself (compact JWS)")] = None
    pin: Annotated[str | None, Field(max_length=200, description="SHA-256 of the list's key, as the region published it")] = (
        None
    )


class HeldOut(Open):
    """A status list or seal list of another region that this node holds; ``stale``: past the time its maker set, or vouched for
    by nobody any more."""

    region: str
    kind: Literal["statuses", "seals"]
    url: str
    fetched: Moment
    issued: Moment | None
    stale: bool


class RefreshedOut(Open):
    """How asking a region for its list went; a failure leaves the last good list in use."""

    region: str
    status: Literal["updated", "unchanged", "failed"]
    sequence: int
    message: str | None = None
    message_zh: str | None = None


@router.get("/trust-lists", operation_id="list_trust_lists", response_model=Page[TrustListOut], summary="Trust lists in use")
def trust_lists(request: Request, actor: Caller) -> Any:
    """Our own list and imported ones, with their state."""
    return JSONResponse({"items": plain(node_of(request).region_desk.lists(actor)), "next": None})


@router.post(
    "/trust-lists",
    operation_id="import_trust_list",
    status_code=201,
    response_model=TrustListOut,
    responses=errors(400, 409, 502),
    summary="Import another region's trust list",
)
def import_trust_list(request: Request, actor: Caller, wish: TrustListWish) -> Any:
    """The first time with the fingerprint that the region publishes; a list that is not pinned is refused, and the problem
    names the fingerprint that was found (`values.fingerprint`).
    """
    desk = node_of(request).region_desk
    if (wish.url is None) == (wish.content is None):
        raise BadInput(
            "Give the address of the list (url) or the list itself (list).", "请给出列表的地址（url）或列表本身（list）。"
        )
    if wish.url is not None:
        return JSONResponse(_shown(desk.import_from(actor, wish.url, pin=wish.pin)), 201)
    return JSONResponse(_shown(desk.import_text(actor, (wish.content or "").encode(), pin=wish.pin)), 201)


@router.post(
    "/trust-lists/refresh",
    operation_id="refresh_trust_lists",
    response_model=Page[RefreshedOut],
    summary="Ask other regions for newer lists",
)
def refresh_trust_lists(request: Request, actor: Caller) -> Any:
    """Trust lists, and with them what is held of status and seal lists."""
    return JSONResponse({"items": plain(node_of(request).region_desk.refresh(actor)), "next": None})


@router.get(
    "/trust-lists/held",
    operation_id="list_held_lists",
    response_model=Page[HeldOut],
    summary="What is held of other regions' states",
)
def held_lists(request: Request, actor: Caller) -> Any:
    """Status lists and seal lists, and how old they are."""
    return JSONResponse({"items": plain(node_of(request).region_desk.holdings(actor)), "next": None})


@router.post(
    "/trust-lists/{region}/forget",
    operation_id="forget_region",
    status_code=204,
    response_class=Response,
    responses=errors(404),
    summary="Stop trusting a region",
)
def forget_region(request: Request, actor: Caller, region: str) -> Response:
    """Its list, its pin and what is held of it go; its documents are then of unknown origin."""
    node_of(request).region_desk.forget(actor, region)
    return Response(status_code=204)


def _shown(found: TrustList) -> dict[str, Any]:
    shown = {
        "id": found.fingerprint,
        "status": "imported",
        "region": found.region,
        "name": found.name,
        "sequence": found.sequence,
        "issued": found.issued,
        "next_update": found.next_update,
    }
    return dict(plain(shown))
