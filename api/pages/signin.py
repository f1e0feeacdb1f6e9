"""Signing in: with a password, a passkey, or at the OpenID provider that the node names; and signing out."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Form, Header, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response
from pydantic import BaseModel

from api import navigation, render
from api.auth import CurrentSession, node_of
from api.sessions import COOKIE, FORM_COOKIE, demand, form_token, set_cookie
from crypto.errors import NotFound, TooManyRequests, XinyinError
from people.schemas import Account, SignedIn

router = APIRouter(include_in_schema=False)

OIDC_COOKIE = "xinyin_oidc"
_OIDC_PATH = "/signin/oidc"
_OWN_PLACES = (("administrator", "/people"), ("auditor", "/audit"), ("officer", "/officer"))
"""Where the day begins for those who also find other places in the navigation before it."""


class Proof(BaseModel):
    """What the browser's passkey gave."""

    ticket: str
    credential: dict[str, Any]
    to: str = ""


@router.get("/signin")
def signin_page(request: Request, session: CurrentSession, to: str = "") -> Response:
    """The ways to sign in."""
    if session is not None:
        return RedirectResponse(_first_place(request, session.account, to), 303)
    return _page(request, to=to)


@router.post("/signin")
def signin(
    request: Request,
    name: Annotated[str, Form(max_length=200)],
    password: Annotated[str, Form(max_length=1000)],
    csrf: Annotated[str, Form(max_length=200)] = "",
    to: Annotated[str, Form(max_length=500)] = "",
) -> Response:
    """Sign in with a local account."""
    demand(request.cookies.get(FORM_COOKIE, ""), csrf)
    accounts = node_of(request).accounts
    try:
        _not_too_often(request)
        account = accounts.authenticate(name, password)
    except XinyinError as exc:
        return _page(request, exc.status, problem=exc.to_dict(), name=name, to=to)
    response = RedirectResponse(_first_place(request, account, to), 303)
    return _signed_in(request, response, account, "password")


# -- passkeys ---------------------------------------------------------------------------------------------------------------


@router.post("/signin/passkey/options")
def passkey_options(request: Request, x_csrf_token: Annotated[str, Header(max_length=200)] = "") -> Response:
    """What the browser asks its passkeys."""
    demand(request.cookies.get(FORM_COOKIE, ""), x_csrf_token)
    _not_too_often(request)
    accounts = node_of(request).accounts
    accounts.passkeys.check_origin(origin_of(request))
    options, ticket = accounts.passkeys.begin_sign_in()
    return JSONResponse({"options": options, "ticket": ticket})


@router.post("/signin/passkey")
def passkey(request: Request, proof: Proof, x_csrf_token: Annotated[str, Header(max_length=200)] = "") -> Response:
    """Sign in with the passkey's proof; answers where to go."""
    demand(request.cookies.get(FORM_COOKIE, ""), x_csrf_token)
    accounts = node_of(request).accounts
    asserted = accounts.passkeys.finish_sign_in(proof.ticket, proof.credential, origin=origin_of(request))
    account = accounts.get(asserted.account_id)
    response = JSONResponse({"next": _first_place(request, account, proof.to)})
    return _signed_in(request, response, account, "passkey")


# -- OpenID Connect -----------------------------------------------------------------------------------------------------------


@router.get(_OIDC_PATH)
def oidc(request: Request) -> Response:
    """Off to the provider."""
    node = node_of(request)
    if node.oidc is None:
        raise NotFound("This node names no sign-in service.", "本节点未配置统一认证。")
    try:
        _not_too_often(request)
        passkeys = node.accounts.passkeys
        # Behind a proxy the request does not know how it was addressed; production has one address, the configured one.
        seen = passkeys.origin if node.mode == "production" else str(request.base_url).rstrip("/")
        origin = passkeys.check_origin(seen)
        url, ticket = node.oidc.begin(origin)
    except XinyinError as exc:
        return _page(request, exc.status, problem=exc.to_dict())
    response = RedirectResponse(url, 303)
    # Lax: the browser comes back from the provider's site, and the cookie has to come with it.
    secure = request.app.state.secure_cookies
    response.set_cookie(OIDC_COOKIE, ticket, max_age=600, httponly=True, samesite="lax", secure=secure, path=_OIDC_PATH)
    return response


@router.get(f"{_OIDC_PATH}/return")
def oidc_return(request: Request) -> Response:
    """Back from the provider.

    The answer is a page that leads on, not a redirect: the session's cookie is strict, and a browser does not send it along
    a chain of redirects that began on another site.
    """
    node = node_of(request)
    try:
        if node.oidc is None:
            raise NotFound("This node names no sign-in service.", "本节点未配置统一认证。")
        account = node.oidc.finish(request.cookies.get(OIDC_COOKIE, ""), dict(request.query_params))
    except XinyinError as exc:
        response = _page(request, exc.status, problem=exc.to_dict())
    else:
        response = render.page(request, "signed_in.html", here="signin", next=_first_place(request, account, ""))
        _signed_in(request, response, account, "oidc")
    response.delete_cookie(OIDC_COOKIE, path=_OIDC_PATH)
    return response


@router.post("/signout")
def signout(request: Request, session: CurrentSession, csrf: Annotated[str, Form(max_length=200)] = "") -> Response:
    """Sign out of this browser."""
    if session is not None:
        demand(session.csrf, csrf)
        node_of(request).accounts.sign_out(session.token)
    response = RedirectResponse("/", 303)
    response.delete_cookie(COOKIE)
    return response


# -- shared -----------------------------------------------------------------------------------------------------------------


def origin_of(request: Request) -> str:
    """The origin of the page that a script of ours ran on; what it may be ``PasskeyService.check_origin`` says."""
    return request.headers.get("origin", "")


def _signed_in(request: Request, response: Response, account: Account, method: str) -> Response:
    """Give this browser a session of its own; the one that it had is over."""
    signed_in: SignedIn = node_of(request).accounts.open_session(
        account,
        method=method,
        agent=request.headers.get("user-agent", ""),
        replacing=request.cookies.get(COOKIE),
    )
    set_cookie(response, COOKIE, signed_in.token, secure=request.app.state.secure_cookies)
    response.delete_cookie(FORM_COOKIE)
    return response


def _first_place(request: Request, account: Account, to: str) -> str:
    """Where somebody goes who has signed in: where they wanted to, else the first place of their day's work."""
    wanted = render.local_path(to)
    if wanted != "/":
        return wanted
    found = [p.href for p in navigation.places(request.app.state.pages, node_of(request).authoriser, account) if p.actions]
    own = [href for role, href in _OWN_PLACES if role in account.roles]
    return next((href for href in (*own, *found) if href in found), "/account")


def _not_too_often(request: Request) -> None:
    caller = request.client.host if request.client else "?"
    if not request.app.state.signin_limit.allow(caller):
        raise TooManyRequests("Too many attempts from here; wait a little.", "尝试次数过多，请稍候再试。")


def _page(request: Request, status: int = 200, **values: Any) -> Response:
    token = form_token(request)
    node = node_of(request)
    provider = None
    if node.oidc is not None:
        settings = node.oidc.settings
        provider = settings.name if render.language(request) == "zh" else settings.name_en
    shown = {"name": "", "to": "", **values}
    response = render.page(request, "signin.html", status, here="signin", csrf=token, provider=provider, **shown)
    set_cookie(response, FORM_COOKIE, token, secure=request.app.state.secure_cookies)
    return response
