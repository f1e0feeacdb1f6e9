"""Signed-in browsers: the session's cookie, and the token that every form of it carries.

Sessions themselves are kept by ``people`` (a new one at each sign-in, ended by sign-out, idleness or age). A form's token
is derived from the session's secret, so that no page of another site knows it. Before anybody signs in, the sign-in form
carries the value of a cookie of its own: nobody is signed in by a foreign page (login CSRF).
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field

from fastapi import Request
from fastapi.responses import Response

from crypto.errors import Forbidden
from people.schemas import Account, Citizen

COOKIE = "xinyin_session"
CITIZEN_COOKIE = "xinyin_citizen"
FORM_COOKIE = "xinyin_form"


class CsrfRefused(Forbidden):
    """A state-changing request from a browser that does not carry its form's token."""

    code = "csrf"


@dataclass(frozen=True)
class Session:
    """One signed-in browser."""

    account: Account
    token: str = field(repr=False)

    @property
    def csrf(self) -> str:
        """What every form of this session carries."""
        return _csrf(self.token)


@dataclass(frozen=True)
class CitizenBrowser:
    """One browser in which a citizen is signed in, beside and apart from any session of staff."""

    citizen: Citizen
    token: str = field(repr=False)

    @property
    def csrf(self) -> str:
        """What every form of this session carries, and scripts send as ``X-CSRF-Token``."""
        return _csrf(self.token)


def _csrf(token: str) -> str:
    return hmac.new(token.encode(), b"xinyin-form", hashlib.sha256).hexdigest()


def set_cookie(response: Response, name: str, value: str, *, secure: bool) -> None:
    """A cookie that scripts cannot read and other sites do not send, until the browser closes."""
    response.set_cookie(name, value, httponly=True, samesite="strict", secure=secure, path="/")


def form_token(request: Request) -> str:
    """The token of the sign-in form: the value of its own cookie, made if absent."""
    found = request.cookies.get(FORM_COOKIE, "")
    return found if len(found) >= 20 else secrets.token_urlsafe(24)


def demand(expected: str, given: str | None) -> None:
    """:raises CsrfRefused: the form's token is absent or another's"""
    if not expected or not hmac.compare_digest(expected.encode(), (given or "").encode()):
        raise CsrfRefused(
            "This form has expired or came from another page; open the page again and repeat.",
            "表单已过期或来自其他页面；请重新打开页面后再操作。",
        )
