"""Who is calling: a bearer token, a signed-in browser, or nobody in particular."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPBearer
from fastapi.security.http import HTTPAuthorizationCredentials

from api.sessions import CITIZEN_COOKIE, COOKIE, CitizenBrowser, Session, demand
from crypto.errors import Unauthenticated
from people import schemas
from people.errors import CitizenUnknown
from people.schemas import Actor

if TYPE_CHECKING:
    from ceremonies.node import Node

bearer_scheme = HTTPBearer(auto_error=False, description="A token made by `xinyin account token`.")
_SAFE = ("GET", "HEAD", "OPTIONS")


def node_of(request: Request) -> Node:
    """The node that this application serves."""
    node: Node = request.app.state.node
    return node


def session_of(request: Request) -> Session | None:
    """The signed-in browser, if the cookie names a living session of an account that still may sign in."""
    if not hasattr(request.state, "session"):
        token = request.cookies.get(COOKIE)
        account = node_of(request).accounts.by_session(token) if token else None
        request.state.session = Session(account, token) if account and token else None
    found: Session | None = request.state.session
    return found


def citizen_browser(request: Request) -> CitizenBrowser | None:
    """The browser of a citizen, if its cookie names a living session."""
    if not hasattr(request.state, "citizen"):
        token = request.cookies.get(CITIZEN_COOKIE)
        citizen = node_of(request).citizens.by_session(token) if token else None
        request.state.citizen = CitizenBrowser(citizen, token) if citizen and token else None
    found: CitizenBrowser | None = request.state.citizen
    return found


def citizen_of(request: Request) -> schemas.Citizen:
    """The citizen who calls.

    What changes something needs the session's token in ``X-CSRF-Token``; a page's form, which cannot send that header, hands
    its field ``csrf`` to :func:`api.sessions.demand` instead and asks :func:`citizen_browser`.

    :raises CitizenUnknown: nobody has signed in in this browser, or too long ago
    """
    browser = citizen_browser(request)
    if browser is None:
        raise CitizenUnknown("Sign in first.", "请先登录。")
    if request.method not in _SAFE:
        demand(browser.csrf, request.headers.get("x-csrf-token"))
    return browser.citizen


def caller(request: Request, bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer_scheme)] = None) -> Actor:
    """The known caller of an API operation.

    A browser's session counts too; what changes something then needs the session's token in ``X-CSRF-Token``, because a cookie
    is sent by pages that the person never meant to act.

    :raises Unauthenticated: neither a valid token nor a living session
    """
    if bearer is not None:
        return node_of(request).accounts.by_token(bearer.credentials)
    session = session_of(request)
    if session is None:
        raise Unauthenticated(
            "Sign in first, or send an API token: Authorization: Bearer TOKEN. Only verifying is open to everyone.",
            "请先登录，或携带接口令牌（Authorization: Bearer TOKEN）。只有核验无需登录。",
        )
    if request.method not in _SAFE:
        demand(session.csrf, request.headers.get("x-csrf-token"))
    return session.account


def bearer_caller(
    request: Request, bearer: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer_scheme)] = None
) -> Actor | None:
    """Who calls where nobody need say so: the account of a bearer token, None without one.

    :raises Unauthenticated: a token that is not valid
    """
    return node_of(request).accounts.by_token(bearer.credentials) if bearer is not None else None


Caller = Annotated[Actor, Depends(caller)]
CurrentSession = Annotated[Session | None, Depends(session_of)]
MaybeCaller = Annotated[Actor | None, Depends(bearer_caller)]
Citizen = Annotated[schemas.Citizen, Depends(citizen_of)]
CurrentCitizen = Annotated[CitizenBrowser | None, Depends(citizen_browser)]
