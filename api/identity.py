"""The pages and endpoints of the development identity provider (:mod:`api.devprovider`); a development node alone has them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Form, Header, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response

from api import render
from api.devprovider import PATH, DevelopmentProvider
from api.sessions import FORM_COOKIE, demand, form_token, set_cookie
from people.demo import CITIZENS

router = APIRouter(prefix=PATH, include_in_schema=False)

_REPEATED = (
    "response_type",
    "client_id",
    "redirect_uri",
    "scope",
    "state",
    "nonce",
    "code_challenge",
    "code_challenge_method",
    "acr_values",
)
"""What of the request goes through the form; anything else means nothing here."""


@router.get("/.well-known/openid-configuration")
def configuration(request: Request) -> Response:
    """OpenID Connect Discovery."""
    return JSONResponse(_provider(request).metadata(_issuer(request)))


@router.get("/jwks.json")
def jwks(request: Request) -> Response:
    """The key of the ID tokens."""
    return JSONResponse(_provider(request).jwks())


@router.get("/authorize")
def choose(request: Request) -> Response:
    """Who would you like to be?"""
    asked = _asked(dict(request.query_params))
    _provider(request).check(_issuer(request), asked)
    token = form_token(request)
    response = render.page(request, "identity.html", citizens=CITIZENS, asked=asked, csrf=token)
    set_cookie(response, FORM_COOKIE, token, secure=request.app.state.secure_cookies)
    return response


@router.post("/authorize")
async def chosen(request: Request) -> Response:
    """Back to where the browser came from, as whoever was chosen or as nobody."""
    form = {key: value for key, value in (await request.form()).items() if isinstance(value, str)}
    demand(request.cookies.get(FORM_COOKIE, ""), form.get("csrf"))
    citizen = next((one for one in CITIZENS if one.key == form.get("citizen")), None)
    return RedirectResponse(_provider(request).authorize(_issuer(request), _asked(form), citizen), 303)


@router.post("/token")
def token(
    request: Request,
    grant_type: Annotated[str, Form(max_length=100)] = "",
    code: Annotated[str, Form(max_length=200)] = "",
    redirect_uri: Annotated[str, Form(max_length=500)] = "",
    client_id: Annotated[str, Form(max_length=100)] = "",
    code_verifier: Annotated[str, Form(max_length=200)] = "",
) -> Response:
    """The ID token for a code (RFC 6749 §4.1.3, RFC 7636)."""
    form = {
        "grant_type": grant_type,
        "code": code,
        "redirect_uri": redirect_uri,
        "client_id": client_id,
        "code_verifier": code_verifier,
    }
    answer = _provider(request).token(_issuer(request), {name: value for name, value in form.items() if value})
    return JSONResponse(answer.body, answer.status, answer.headers)


@router.get("/userinfo")
def userinfo(request: Request, authorization: Annotated[str, Header(max_length=300)] = "") -> Response:
    """Who a token is about."""
    found: dict[str, Any] | None = _provider(request).userinfo(authorization.removeprefix("Bearer "))
    if found is None:
        return JSONResponse({"error": "invalid_token"}, 401, {"WWW-Authenticate": 'Bearer error="invalid_token"'})
    return JSONResponse(found)


def _provider(request: Request) -> DevelopmentProvider:
    provider: DevelopmentProvider = request.app.state.identity
    return provider


def _issuer(request: Request) -> str:
    return str(request.base_url).rstrip("/") + PATH


def _asked(values: dict[str, str]) -> dict[str, str]:
    return {key: values[key][:1000] for key in _REPEATED if key in values}
