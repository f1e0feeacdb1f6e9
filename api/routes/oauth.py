"""Tokens for systems: the OAuth 2.0 token endpoint (client credentials, ``private_key_jwt``) and what describes it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Form, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from api.auth import node_of
from api.routes.common import errors
from crypto.errors import TooManyRequests

router = APIRouter(tags=["oauth"])


class TokenOut(BaseModel):
    """A bearer token (RFC 6749 §5.1); ``expires_in`` in seconds."""

    access_token: str
    token_type: Literal["Bearer"]
    expires_in: int


class OAuthError(BaseModel):
    """An error of RFC 6749 §5.2."""

    error: str
    error_description: str | None = None


_REFUSED = {"model": OAuthError, "description": "Error of RFC 6749 §5.2"}


@router.post(
    "/oauth/token", operation_id="oauth_token", response_model=TokenOut, responses={400: _REFUSED, 401: _REFUSED, **errors(429)}
)
def token(
    request: Request,
    grant_type: Annotated[str, Form(max_length=100, examples=["client_credentials"])] = "",
    client_assertion_type: Annotated[
        str, Form(max_length=200, examples=["urn:ietf:params:oauth:client-assertion-type:jwt-bearer"])
    ] = "",
    client_assertion: Annotated[str, Form(max_length=8192, description="A JWT signed with the system's key")] = "",
    scope: Annotated[str, Form(max_length=200)] = "",
) -> JSONResponse:
    """A bearer token for ten minutes, for a system that signs a client assertion with its registered key (RFC 7523)."""
    caller = request.client.host if request.client else ""
    if not request.app.state.token_limit.allow(caller):
        raise TooManyRequests("Too many tokens were asked for from here; wait a little.", "请求令牌过于频繁，请稍候再试。")
    form = {
        "grant_type": grant_type,
        "client_assertion_type": client_assertion_type,
        "client_assertion": client_assertion,
        "scope": scope,
    }
    answer = node_of(request).accounts.clients.token({name: value for name, value in form.items() if value})
    return JSONResponse(answer.body, answer.status, answer.headers)


@router.get("/.well-known/oauth-authorization-server", operation_id="oauth_metadata", response_model=dict[str, Any])
def metadata(request: Request) -> dict[str, Any]:
    """Where systems get tokens, and how they prove themselves (RFC 8414)."""
    return node_of(request).accounts.clients.metadata()
