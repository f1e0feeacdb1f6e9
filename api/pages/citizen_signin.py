"""Citizens sign in at the region's identity provider, and out again; afterwards they are where they wanted to be."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response

from api import phones, render
from api.auth import CurrentCitizen, node_of
from api.sessions import CITIZEN_COOKIE, demand, set_cookie
from crypto.errors import NotFound, TooManyRequests, XinyinError
from people.citizen_oidc import RETURN_PATH, CitizenSignIn
from people.schemas import Citizen

router = APIRouter(include_in_schema=False)

TICKET_COOKIE = "xinyin_citizen_oidc"
_PATH = "/phone/signin"
_HOME = "/phone"


@router.get(_PATH)
def signin(request: Request, browser: CurrentCitizen, to: str = "") -> Response:
    """Where one signs in, and what of one is passed on."""
    if browser is not None:
        return RedirectResponse(_next(to), 303)
    return _page(request, to=_next(to))


@router.get(f"{_PATH}/start")
def start(request: Request, to: str = "") -> Response:
    """Off to the provider."""
    node = node_of(request)
    try:
        if not request.app.state.signin_limit.allow(request.client.host if request.client else "?"):
            raise TooManyRequests("Too many attempts from here; wait a little.", "尝试次数过多，请稍候再试。")
        # Behind a proxy the request does not know how it was addressed; production has one address, the configured one.
        own = node.accounts.passkeys.origin
        url, ticket = _provider(request).begin(own if node.mode == "production" else _origin(request), to=_next(to))
    except XinyinError as exc:
        return _page(request, exc.status, problem=exc.to_dict(), to=_next(to))
    response = RedirectResponse(url, 303)
    # Lax: the browser comes back from the provider's site, and the cookie has to come with it.
    secure = request.app.state.secure_cookies
    response.set_cookie(TICKET_COOKIE, ticket, max_age=600, httponly=True, samesite="lax", secure=secure, path=_PATH)
    return response


@router.get(RETURN_PATH)
def returned(request: Request) -> Response:
    """Back from the provider.

    The answer is a page that leads on, not a redirect: the session's cookie is strict, and a browser does not send it along
    a chain of redirects that began on another site.
    """
    try:
        citizen, to = _provider(request).finish(request.cookies.get(TICKET_COOKIE, ""), dict(request.query_params))
    except XinyinError as exc:
        response = _page(request, exc.status, problem=exc.to_dict(), to=_HOME)
    else:
        response = phones.page(request, "signed_in.html", next=_next(to), name=citizen.name)
        _signed_in(request, response, citizen)
    response.delete_cookie(TICKET_COOKIE, path=_PATH)
    return response


@router.post("/phone/signout")
def signout(request: Request, browser: CurrentCitizen, csrf: Annotated[str, Form(max_length=200)] = "") -> Response:
    """Sign out of this browser. What the phone keeps to show stays on it."""
    if browser is not None:
        demand(browser.csrf, csrf)
        node_of(request).citizens.sign_out(browser.token)
    response = RedirectResponse(_HOME, 303)
    response.delete_cookie(CITIZEN_COOKIE)
    return response


def _provider(request: Request) -> CitizenSignIn:
    """The provider that node.toml names; on a development node else its own, where nobody is authenticated.

    :raises NotFound: neither
    """
    node = node_of(request)
    if node.citizen_provider is not None:
        return node.citizen_provider
    if request.app.state.identity is None:
        raise NotFound(
            "Citizens cannot sign in here yet; go to a counter with your identity card.",
            "本地区尚未开通公众登录；请携带身份证到窗口办理。",
        )
    found: CitizenSignIn = request.app.state.identity.client(_origin(request))
    return found


def _origin(request: Request) -> str:
    return str(request.base_url).rstrip("/")


def _signed_in(request: Request, response: Response, citizen: Citizen) -> None:
    """Give this browser a session of its own; the one that it had is over."""
    session = node_of(request).citizens.open_session(
        citizen, agent=request.headers.get("user-agent", ""), replacing=request.cookies.get(CITIZEN_COOKIE)
    )
    set_cookie(response, CITIZEN_COOKIE, session.token, secure=request.app.state.secure_cookies)


def _next(to: str) -> str:
    """Where a citizen goes on: a page of the phone, or anywhere else of this service that was asked for."""
    wanted = render.local_path(to)
    return _HOME if wanted == "/" or wanted.startswith(_PATH) else wanted


def _page(request: Request, status: int = 200, **values: Any) -> Response:
    node = node_of(request)
    settings = node.citizen_provider.settings if node.citizen_provider is not None else None
    zh = render.language(request) == "zh"
    shown = {
        "provider": (settings.name if zh else settings.name_en) if settings else None,
        "open": settings is not None or request.app.state.identity is not None,
        **values,
    }
    return phones.page(request, "signin.html", status=status, **shown)
