"""``/api/v1/peer-messages``: where the nodes of other regions hand in what they have to say."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from api.auth import node_of
from api.limits import RateLimit
from api.routes.common import errors
from crypto.errors import BadInput, TooManyRequests
from records.peers import MEDIA_TYPE

router = APIRouter(prefix="/api/v1", tags=["regions"])

_LIMIT = RateLimit(per_second=20, burst=200)
"""Of one address: a node that sends more waits and sends again."""


class PeerReceipt(BaseModel):
    """``taken``, or ``known`` where a copy of the message was taken before: the sender is done with it either way."""

    id: str
    status: str


@router.post(
    "/peer-messages",
    operation_id="receive_peer_message",
    summary="A signed message of another region's node",
    response_model=PeerReceipt,
    responses=errors(400, 403, 409, 413, 422, 429, 503),
    openapi_extra={"requestBody": {"required": True, "content": {MEDIA_TYPE: {"schema": {"type": "string"}}}}},
)
async def receive(request: Request) -> Any:
    """Compact JWS by a receipt key that the sender's trust list names; no account is needed, and none helps."""
    address = request.client.host if request.client else "?"
    if not _LIMIT.allow(address):
        raise TooManyRequests("Too many messages at once; send them again in a while.", "消息过于频繁，请稍后重发。")
    body = await request.body()
    try:
        token = body.decode("ascii").strip()
    except UnicodeDecodeError as exc:
        raise BadInput("The message is a compact JWS.", "消息须为紧凑 JWS。") from exc
    return JSONResponse(await run_in_threadpool(lambda: node_of(request).peer_mail.receive(token)))
