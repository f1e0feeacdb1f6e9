"""``/api/v1/subscriptions`` and ``/api/v1/events``: what other systems are told of, pushed to them or asked for."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from api.auth import Caller, node_of
from api.routes.common import KNOWN, Cursor, Limit, errors
from api.schemas import DeliveryOut, EventOut, Page, SubscriptionOut

router = APIRouter(prefix="/api/v1", tags=["notices"], responses=KNOWN)


class Subscribe(BaseModel):
    """Where to post notices, and of what."""

    url: str = Field(max_length=2000, description="https address that takes application/secevent+jwt (RFC 8935)")
    kinds: list[str] = Field(default_factory=list, max_length=64, description="impression.voided, impression.*; empty: all")
    department: str | None = Field(None, max_length=64, description="Only of this department (identifier or credit code)")
    matter: str | None = Field(None, max_length=64)
    seal: str | None = Field(None, max_length=64, description="Only of this seal of your department (ID or esID)")
    audience: str | None = Field(None, max_length=255, description="aud of the tokens; the address by default")


@router.post("/subscriptions", operation_id="subscribe", status_code=201, response_model=SubscriptionOut, responses=errors(400))
def subscribe(request: Request, actor: Caller, wish: Subscribe) -> Any:
    """Have events pushed as signed Security Event Tokens (RFC 8417); for systems with an account of their own."""
    node = node_of(request)
    made = node.subscriptions.subscribe(
        actor,
        url=wish.url,
        kinds=wish.kinds,
        department=wish.department,
        matter=wish.matter,
        seal_id=node.seals.show(actor, wish.seal)["id"] if wish.seal else None,
        audience=wish.audience,
    )
    return JSONResponse(made, 201)


@router.get("/subscriptions", operation_id="list_subscriptions", response_model=Page[SubscriptionOut])
def list_subscriptions(request: Request, actor: Caller, limit: Limit = 100, cursor: Cursor = None) -> Any:
    """Those that the caller may see, newest first."""
    page = node_of(request).subscriptions.list(actor, limit=limit, cursor=cursor)
    return {"items": page.items, "next": page.next}


@router.get(
    "/subscriptions/{subscription_id}", operation_id="show_subscription", response_model=SubscriptionOut, responses=errors(404)
)
def show(request: Request, actor: Caller, subscription_id: str) -> Any:
    """One subscription with the number of deliveries in each state."""
    return node_of(request).subscriptions.show(actor, subscription_id)


@router.post(
    "/subscriptions/{subscription_id}/end",
    operation_id="end_subscription",
    response_model=SubscriptionOut,
    responses=errors(404),
)
def end(request: Request, actor: Caller, subscription_id: str) -> Any:
    """Send nothing more."""
    return node_of(request).subscriptions.end(actor, subscription_id)


@router.post(
    "/subscriptions/{subscription_id}/test",
    operation_id="test_subscription",
    status_code=202,
    response_model=EventOut,
    responses=errors(404, 409),
)
def test(request: Request, actor: Caller, subscription_id: str) -> Any:
    """Have a notice of the kind subscription.tested sent, to try the receiver."""
    return JSONResponse(node_of(request).subscriptions.test(actor, subscription_id), 202)


@router.get(
    "/subscriptions/{subscription_id}/deliveries",
    operation_id="list_deliveries",
    response_model=Page[DeliveryOut],
    responses=errors(404),
)
def deliveries(
    request: Request,
    actor: Caller,
    subscription_id: str,
    status: Annotated[Literal["waiting", "delivered", "dead"] | None, Query()] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Any:
    """Newest first; with `status=dead` what could not be delivered."""
    found = node_of(request).subscriptions.deliveries(actor, subscription_id, status=status, limit=limit, cursor=cursor)
    return {"items": found.items, "next": found.next}


@router.post(
    "/subscriptions/{subscription_id}/deliveries/{delivery_id}/retry",
    operation_id="retry_delivery",
    response_model=DeliveryOut,
    responses=errors(404, 409),
)
def retry(request: Request, actor: Caller, subscription_id: str, delivery_id: str) -> Any:
    """Try a delivery again that was given up."""
    return node_of(request).subscriptions.retry(actor, subscription_id, delivery_id)


@router.get("/events", operation_id="list_events", response_model=Page[EventOut], responses=errors(400))
def events(
    request: Request,
    actor: Caller,
    kind: Annotated[str | None, Query(max_length=64, description="impression.voided, or impression.*")] = None,
    limit: Limit = 100,
    cursor: Annotated[str | None, Query(max_length=18, description="`seq` of the last event already seen")] = None,
) -> Any:
    """Oldest first, for systems that cannot be called: ask again with the last `seq` as cursor and nothing is missed."""
    page = node_of(request).subscriptions.events(actor, kind=kind, limit=limit, cursor=cursor)
    return {"items": page.items, "next": page.next}


@router.get("/events/{event_id}", operation_id="show_event", response_model=EventOut, responses=errors(404))
def event(request: Request, actor: Caller, event_id: str) -> Any:
    """One event."""
    return node_of(request).subscriptions.event(actor, event_id)
